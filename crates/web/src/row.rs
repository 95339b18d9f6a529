//! A result row as the view keeps it, and how a results record or a stored row becomes one.
//!
//! # Invariants
//!
//! - A row's JSON is one line, ready to be copied into a snapshot or an event.
//! - Values are copied as published: nothing here turns a decimal into a number.

use std::fmt::Write as _;
use std::sync::Arc;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use store::{Cell, CellKind, Row, TableSpec};
use types::{BusinessDay, Micros, Version};

use crate::cell::{Cells, Value};

/// A change of a row, from the topic or from the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The record's key: a JSON array, `business_day` first.
    pub key: Arc<str>,
    /// The day it belongs to.
    pub day: BusinessDay,
    /// Decides which of two states is newer.
    pub version: Version,
    /// Whether the row has left the results.
    pub deleted: bool,
    /// Partition of the results topic.
    pub partition: i32,
    /// Offset there.
    pub offset: i64,
    /// When the oldest transaction behind it was received; `None` for rows of the store.
    pub received_at: Option<Micros>,
    /// The row as clients get it: `{"key":[…],"v":[g,s],"c":[…]}`, or `"deleted":true` for `c`.
    pub json: Arc<str>,
    /// Its values; none when it is deleted.
    pub cells: Cells,
}

/// A results record that cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The key is not a JSON array of strings and nulls.
    #[error("the key is no JSON array of strings")]
    Key(#[source] Option<serde_json::Error>),
    /// The value is not the object of DESIGN §4.
    #[error("the value is no result")]
    Value(#[source] serde_json::Error),
    /// The value lacks a field.
    #[error("the value lacks {0}")]
    Missing(String),
    /// The day is no date.
    #[error("the day {0:?} is no date")]
    Day(String),
}

/// A record of the results topic, as it is read.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// JSON array.
    pub key: &'a [u8],
    /// JSON object.
    pub value: &'a [u8],
    /// Header `received_at`, in microseconds since 1970.
    pub received_at: Option<Micros>,
}

/// The value's fields. Columns are in the order of the table.
struct Fields<'a> {
    version: Option<(u32, u64)>,
    day: Option<std::borrow::Cow<'a, str>>,
    deleted: Option<bool>,
    columns: Vec<Option<&'a RawValue>>,
}

struct FieldsVisitor<'t>(&'t TableSpec);

/// Text that borrows where it has no escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

impl<'de> Visitor<'de> for FieldsVisitor<'_> {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a result object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields {
            version: None,
            day: None,
            deleted: None,
            columns: vec![None; self.0.columns.len()],
        };
        while let Some(Text(name)) = map.next_key::<Text<'de>>()? {
            // The fixed fields come first; a column of the same name comes behind them.
            match name.as_ref() {
                "v" if fields.version.is_none() => fields.version = Some(map.next_value()?),
                "day" if fields.day.is_none() => {
                    fields.day = Some(map.next_value::<Text<'de>>()?.0);
                }
                "deleted" if fields.deleted.is_none() => fields.deleted = Some(map.next_value()?),
                name => match self.0.columns.iter().position(|(known, _)| known == name) {
                    Some(index) => fields.columns[index] = Some(map.next_value()?),
                    None => {
                        map.next_value::<IgnoredAny>()?;
                    }
                },
            }
        }
        Ok(fields)
    }
}

impl Change {
    /// Reads a results record.
    ///
    /// # Errors
    ///
    /// [`RecordError`] naming what is wrong; the record is then nobody's row.
    pub fn from_record(table: &TableSpec, record: &Record<'_>) -> Result<Self, RecordError> {
        let key = checked_key(record.key)?;
        let mut value = serde_json::Deserializer::from_slice(record.value);
        let fields = value
            .deserialize_map(FieldsVisitor(table))
            .map_err(RecordError::Value)?;
        let (generation, sequence) = fields
            .version
            .ok_or_else(|| RecordError::Missing("v".to_owned()))?;
        let day = fields
            .day
            .ok_or_else(|| RecordError::Missing("day".to_owned()))?;
        let version = Version {
            generation,
            sequence,
        };
        let mut json = row_head(&key, version);
        let mut values = Vec::new();
        let deleted = fields.deleted.unwrap_or_default();
        if deleted {
            json.push_str(",\"deleted\":true}");
        } else {
            json.push_str(",\"c\":[");
            for (index, column) in fields.columns.iter().enumerate() {
                let name = || table.columns[index].0.clone();
                let column = column.ok_or_else(|| RecordError::Missing(name()))?;
                comma(&mut json, index);
                push_one_line(&mut json, column.get());
                values.push(value_of(table.columns[index].1, column)?);
            }
            json.push_str("]}");
        }
        Ok(Self {
            key: key.into(),
            day: day
                .parse()
                .map_err(|_| RecordError::Day(day.into_owned()))?,
            version,
            deleted,
            partition: record.partition,
            offset: record.offset,
            received_at: record.received_at,
            json: json.into(),
            cells: Cells::new(values),
        })
    }

    /// A row as the store has it.
    ///
    /// # Errors
    ///
    /// [`RecordError::Key`] when the key is not what a sink would have written.
    pub fn from_stored(table: &TableSpec, row: &Row) -> Result<Self, RecordError> {
        let key = checked_key(row.key.as_bytes())?;
        let mut json = row_head(&key, row.version);
        let mut values = Vec::new();
        if row.deleted {
            json.push_str(",\"deleted\":true}");
        } else {
            json.push_str(",\"c\":[");
            for (index, cell) in row.cells.iter().enumerate() {
                comma(&mut json, index);
                push_cell(&mut json, cell);
                let kind = table
                    .columns
                    .get(index)
                    .map_or(CellKind::Text, |(_, kind)| *kind);
                values.push(match cell {
                    Cell::Null => Value::Null,
                    Cell::Int(number) => Value::Number(i128::from(*number)),
                    Cell::Text(text) => Value::of(kind, text),
                });
            }
            json.push_str("]}");
        }
        Ok(Self {
            key: key.into(),
            day: row.day,
            version: row.version,
            deleted: row.deleted,
            partition: row.partition,
            offset: row.offset,
            received_at: None,
            json: json.into(),
            cells: Cells::new(values),
        })
    }
}

fn value_of(kind: CellKind, column: &RawValue) -> Result<Value, RecordError> {
    let text = column.get();
    if text == "null" {
        return Ok(Value::Null);
    }
    if !text.starts_with('"') {
        return Ok(Value::of(kind, text));
    }
    let Text(text) = serde_json::from_str(text).map_err(RecordError::Value)?;
    Ok(Value::of(kind, &text))
}

fn comma(json: &mut String, index: usize) {
    if index > 0 {
        json.push(',');
    }
}

fn row_head(key: &str, version: Version) -> String {
    let mut json = String::with_capacity(key.len() + 96);
    // Writing to a String cannot fail.
    let _ = write!(
        json,
        "{{\"key\":{key},\"v\":[{},{}]",
        version.generation, version.sequence
    );
    json
}

fn push_cell(json: &mut String, cell: &Cell) {
    match cell {
        Cell::Null => json.push_str("null"),
        Cell::Int(number) => {
            let _ = write!(json, "{number}");
        }
        // Serialising a string cannot fail.
        Cell::Text(text) => json.push_str(&serde_json::to_string(text).unwrap_or_default()),
    }
}

/// Copies JSON; line ends between its tokens, which would end an SSE line, become blanks.
/// (Inside strings JSON has no raw line ends.)
fn push_one_line(json: &mut String, raw: &str) {
    if raw.contains(['\n', '\r']) {
        json.push_str(&raw.replace(['\n', '\r'], " "));
    } else {
        json.push_str(raw);
    }
}

fn checked_key(key: &[u8]) -> Result<String, RecordError> {
    let text = std::str::from_utf8(key).map_err(|_| RecordError::Key(None))?;
    // Only looked at: two texts of one key would be two rows in the store as well.
    serde_json::from_str::<Vec<Option<Text<'_>>>>(text)
        .map_err(|error| RecordError::Key(Some(error)))?;
    let mut one_line = String::with_capacity(text.len());
    push_one_line(&mut one_line, text);
    Ok(one_line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::CellKind;

    fn table() -> TableSpec {
        TableSpec {
            name: "daily_totals".to_owned(),
            columns: vec![
                ("account".to_owned(), CellKind::Text),
                ("total".to_owned(), CellKind::Decimal),
                ("transactions".to_owned(), CellKind::Int),
            ],
        }
    }

    fn read(key: &str, value: &str) -> Result<Change, RecordError> {
        let record = Record {
            partition: 1,
            offset: 7,
            key: key.as_bytes(),
            value: value.as_bytes(),
            received_at: Some(5),
        };
        Change::from_record(&table(), &record)
    }

    const KEY: &str = r#"["2026-11-23","ann"]"#;

    #[test]
    fn a_record_and_the_stored_row_are_the_same_to_clients() {
        let value = r#"{"v":[1,3],"day":"2026-11-23","deleted":false,"at":[0,9],
            "account":"an\"n","total":"12.50","transactions":3}"#;
        let change = read(KEY, value).expect("a row");
        let expected = r#"{"key":["2026-11-23","ann"],"v":[1,3],"c":["an\"n","12.50",3]}"#;
        assert_eq!(&*change.json, expected);
        let stored = Row {
            key: KEY.to_owned(),
            day: change.day,
            version: change.version,
            deleted: false,
            partition: 1,
            offset: 7,
            cells: vec![
                Cell::Text("an\"n".to_owned()),
                Cell::Text("12.50".to_owned()),
                Cell::Int(3),
            ],
        };
        let mut stored = Change::from_stored(&table(), &stored).expect("a row");
        stored.received_at = change.received_at;
        assert_eq!(stored, change);
    }

    #[test]
    fn a_deleted_row_needs_no_columns() {
        let change = read(KEY, r#"{"v":[1,4],"day":"2026-11-23","deleted":true}"#);
        let json = change.expect("a row").json;
        assert_eq!(
            &*json,
            r#"{"key":["2026-11-23","ann"],"v":[1,4],"deleted":true}"#
        );
    }

    #[test]
    fn every_row_is_one_line() {
        let value = "{\"v\":[1,4],\n\"day\":\"2026-11-23\",\"account\":\n\"a\\nb\",\"total\":\r\n\
                     \"1.00\",\"transactions\":\n1}";
        let change = read("[\n\"2026-11-23\",\"ann\"]", value).expect("a row");
        assert!(!change.json.contains(['\n', '\r']), "{}", change.json);
    }

    #[test]
    fn what_is_no_result_is_refused() {
        for (key, value) in [
            ("ann", r#"{"v":[1,4],"day":"2026-11-23","deleted":true}"#),
            ("[1]", r#"{"v":[1,4],"day":"2026-11-23","deleted":true}"#),
            (KEY, ""),
            (KEY, "[]"),
            (KEY, r#"{"day":"2026-11-23","deleted":true}"#),
            (KEY, r#"{"v":[1,4],"day":"2026-11-33","deleted":true}"#),
            (KEY, r#"{"v":[1,4],"day":"2026-11-23","account":"ann"}"#),
            (KEY, r#"{"v":[1,-4],"day":"2026-11-23","deleted":true}"#),
        ] {
            read(key, value).expect_err(value);
        }
    }
}
