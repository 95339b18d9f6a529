//! A row as Spark writes it, and a record as Spark reads it.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use sql::{FoldKind, Folded, Scalar, ValueKind};
use types::{Amount, BusinessDay, Micros};

use super::Shape;
use crate::changelog;
use crate::classify::Reason;
use crate::engine::{PartInput, RowState, write_key};

/// Adds a field to a JSON object that has been begun.
pub(super) fn write_field(json: &mut String, name: &str, value: &Scalar) {
    if !json.ends_with('{') {
        json.push(',');
    }
    // Writing to a String cannot fail.
    let _ = write!(json, "\"{name}\":");
    let _ = match value {
        Scalar::Decimal(amount) => write!(json, "\"{}\"", amount.display(0)),
        Scalar::Int(number) | Scalar::Timestamp(number) => write!(json, "{number}"),
        Scalar::Date(days) => write!(json, "{days}"),
        Scalar::Text(text) => write!(json, "{}", Value::from(text.as_ref())),
    };
}

/// Reads a record of Spark: the row's key, the stream clock, and the row. Reason: it is none, or has a sum that is too large.
pub(crate) fn read(
    shape: &Shape,
    key: &[u8],
    value: &[u8],
) -> Result<(Vec<u8>, Micros, RowState), Reason> {
    let unreadable = |what: &str| Reason::Unreadable(format!("Spark's row has {what}"));
    let parts: Vec<Option<String>> =
        serde_json::from_slice(key).map_err(|_| unreadable("no key that is a list of text"))?;
    if parts.len() != shape.keys.len() {
        return Err(unreadable("a key of another length"));
    }
    let day = parts.first().and_then(Option::as_deref);
    let day = day.and_then(|day| day.parse::<BusinessDay>().ok());
    let day = day.ok_or_else(|| unreadable("no business day"))?;
    let mut row_key = Vec::with_capacity(key.len());
    let parts: Vec<Option<&str>> = parts.iter().map(Option::as_deref).collect();
    write_key(&mut row_key, &parts);

    let fields: Map<String, Value> =
        serde_json::from_slice(value).map_err(|_| unreadable("no JSON object as value"))?;
    let number = |value: Option<&Value>| value.and_then(Value::as_i64);
    let at = |name: &str| number(fields.get("at").and_then(|at| at.get(name)));
    let records = number(fields.get("n")).and_then(|count| u64::try_from(count).ok());
    let (Some(records), Some(clock), Some(partition), Some(offset)) =
        (records, at("_clock"), at("_partition"), at("_offset"))
    else {
        return Err(unreadable("no number of records, or no position"));
    };
    let mut values = Vec::with_capacity(shape.folds.len());
    for (place, (fold, argument)) in shape.folds.iter().enumerate() {
        let kind = argument.and_then(|argument| shape.arguments.get(argument));
        let text = fields.get(&format!("s{place}")).and_then(Value::as_str);
        let count = match kind {
            None => i64::try_from(records).ok(),
            Some(_) => number(fields.get(&format!("c{place}"))),
        };
        let kind = kind.map_or(ValueKind::Int, |column| column.kind);
        values.push(folded(*fold, kind, text, count)?);
    }
    let row = RowState {
        day,
        sequence: records,
        partition: i32::try_from(partition).map_err(|_| unreadable("no partition"))?,
        offset,
        visible: false,
        recent: true,
        values,
    };
    Ok((row_key, clock, row))
}

/// A record of Spark as a record of the topic of parts: key and value. What ends a generation's first part is one already.
pub(crate) fn as_part(shape: &Shape, part: &PartInput<'_>) -> Result<(Vec<u8>, Vec<u8>), Reason> {
    if changelog::decode_complete(part.key, part.value).is_some() {
        return Ok((part.key.to_vec(), part.value.to_vec()));
    }
    let (key, clock, row) = read(shape, part.key, part.value)?;
    Ok((key, changelog::encode_part(clock, &row)))
}

fn folded(
    fold: FoldKind,
    kind: ValueKind,
    text: Option<&str>,
    count: Option<i64>,
) -> Result<Folded, Reason> {
    let not_understood = || {
        let text = text.unwrap_or("null");
        Reason::Unreadable(format!("Spark's row has {text:?} for a {kind:?}"))
    };
    let value = text.map(|text| scalar(kind, text).ok_or_else(not_understood));
    let value = value.transpose()?;
    let amount = match &value {
        Some(Scalar::Decimal(amount)) => Some(*amount),
        _ => None,
    };
    if matches!(fold, FoldKind::Sum | FoldKind::SumInt | FoldKind::Avg)
        && value.is_none()
        && count.is_none_or(|count| count > 0)
    {
        return Err(Reason::NotComputable(
            "a sum leaves DECIMAL(33,5), or 64 bits where it is of whole numbers".to_owned(),
        ));
    }
    Ok(match fold {
        FoldKind::Count => Folded::Count(count.ok_or_else(not_understood)?),
        FoldKind::Sum => Folded::Sum(amount),
        FoldKind::SumInt => Folded::SumInt(match value {
            Some(Scalar::Int(number)) => Some(number),
            _ => None,
        }),
        FoldKind::Avg => Folded::Avg(amount, count.ok_or_else(not_understood)?),
        FoldKind::Min => Folded::Min(value),
        FoldKind::Max => Folded::Max(value),
        FoldKind::Distinct => return Err(not_understood()),
    })
}

fn scalar(kind: ValueKind, text: &str) -> Option<Scalar> {
    Some(match kind {
        ValueKind::Decimal => Scalar::Decimal(decimal(text)?),
        ValueKind::Int => Scalar::Int(text.parse().ok()?),
        ValueKind::Date => Scalar::Date(text.parse().ok()?),
        ValueKind::Timestamp => Scalar::Timestamp(text.parse().ok()?),
        ValueKind::Text => Scalar::Text(text.into()),
    })
}

/// A decimal with at most five digits behind the point; it may be larger than a transaction's amount.
fn decimal(text: &str) -> Option<Amount> {
    let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
    if digits.len() > 5 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let units: i128 = format!("{whole}{digits:0<5}").parse().ok()?;
    Amount::from_units(units)
}
