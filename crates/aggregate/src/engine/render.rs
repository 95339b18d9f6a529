//! A row of the results as its readers get it: key and value (`docs/specs/results.md`).

use std::fmt::Write as _;

use sql::{Finished, Folded, OutputSource, Scalar};
use types::{BusinessDay, DIGITS_UNKNOWN, Version, currency_digits};

use super::{Engine, RowState};

impl Engine {
    /// The JSON of a result row (DESIGN §4).
    ///
    /// What is computed is the `place`-th of `finished`.
    pub(super) fn result_value(
        &self,
        key: &[u8],
        row: &RowState,
        finished: Option<&Finished>,
        place: usize,
    ) -> Vec<u8> {
        let parts: Vec<Option<String>> = serde_json::from_slice(key).unwrap_or_default();
        let part = |index: usize| parts.get(index).and_then(Option::as_deref);
        let currency = self.currency_key.and_then(part);
        let digits = currency.and_then(currency_digits).unwrap_or(DIGITS_UNKNOWN);
        let version = Version {
            generation: self.definition.generation,
            sequence: row.sequence,
        };
        let mut json = String::with_capacity(160);
        // Writing to a String cannot fail.
        let _ = write!(
            json,
            r#"{{"v":[{},{}],"day":"{}","deleted":false,"at":[{},{}]"#,
            version.generation, version.sequence, row.day, row.partition, row.offset
        );
        for output in self.plan.outputs() {
            json.push(',');
            write_json_text(&mut json, &output.name);
            json.push(':');
            match output.source {
                OutputSource::Key(index) => match part(index) {
                    Some(text) => write_json_text(&mut json, text),
                    None => json.push_str("null"),
                },
                OutputSource::Value(index) => write_value(&mut json, row.values.get(index), digits),
                OutputSource::Computed(index) => {
                    let column = finished.and_then(|finished| finished.computed.get(index));
                    let value = column.and_then(|column| column.get(place));
                    write_scalar(&mut json, value.and_then(Option::as_ref), digits);
                }
            }
        }
        json.push('}');
        json.into_bytes()
    }

    /// The JSON of a row that has left the results: HAVING is no longer satisfied, or an older definition had it and this one
    /// has not. `at`: partition and offset, where a batch did it.
    pub(super) fn deleted_value(
        &self,
        key: &[u8],
        day: BusinessDay,
        sequence: u64,
        at: Option<(i32, i64)>,
    ) -> Vec<u8> {
        let generation = self.definition.generation;
        let mut json = format!(r#"{{"v":[{generation},{sequence}],"day":"{day}","deleted":true"#);
        if let Some((partition, offset)) = at {
            let _ = write!(json, r#","at":[{partition},{offset}]"#);
        }
        let parts: Vec<Option<String>> = serde_json::from_slice(key).unwrap_or_default();
        for output in self.plan.outputs() {
            // Which part of an old key is which is not known, but where nothing else changed it is the same.
            if let OutputSource::Key(index) = output.source {
                json.push(',');
                write_json_text(&mut json, &output.name);
                json.push(':');
                match parts.get(index).and_then(Option::as_deref) {
                    Some(text) => write_json_text(&mut json, text),
                    None => json.push_str("null"),
                }
            }
        }
        json.push('}');
        json.into_bytes()
    }
}

/// The row's key: a JSON array of its parts.
pub(crate) fn write_key(key: &mut Vec<u8>, parts: &[Option<&str>]) {
    key.clear();
    key.push(b'[');
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            key.push(b',');
        }
        // Writing JSON text to a Vec cannot fail.
        let _ = serde_json::to_writer(&mut *key, part);
    }
    key.push(b']');
}

fn write_json_text(json: &mut String, text: &str) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        json.push('"');
        json.push_str(text);
        json.push('"');
    } else {
        json.push_str(&serde_json::Value::from(text).to_string());
    }
}

/// Without copying what is not a set: most rows have only sums and counts.
fn write_value(json: &mut String, value: Option<&Folded>, digits: u32) {
    match value {
        Some(Folded::Min(scalar) | Folded::Max(scalar)) => {
            write_scalar(json, scalar.as_ref(), digits);
        }
        other => write_scalar(json, other.and_then(Folded::shown).as_ref(), digits),
    }
}

fn write_scalar(json: &mut String, value: Option<&Scalar>, digits: u32) {
    // Writing to a String cannot fail.
    match value {
        None => json.push_str("null"),
        Some(Scalar::Decimal(amount)) => {
            let _ = write!(json, "\"{}\"", amount.display(digits));
        }
        Some(Scalar::Int(number)) => {
            let _ = write!(json, "{number}");
        }
        Some(Scalar::Text(text)) => write_json_text(json, text),
        Some(Scalar::Date(days)) => {
            let day = BusinessDay::from_epoch_days(*days).unwrap_or(BusinessDay::EPOCH);
            let _ = write!(json, "\"{day}\"");
        }
        Some(Scalar::Timestamp(micros)) => {
            let instant = jiff::Timestamp::from_microsecond(*micros).unwrap_or_default();
            let _ = write!(json, "\"{instant}\"");
        }
    }
}
