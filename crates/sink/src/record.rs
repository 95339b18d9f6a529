//! A record of a results topic as a row of the store.

use serde_json::Value;
use store::{Cell, Row, TableSpec};
use types::Version;

/// A results record that no aggregator of this program can have written.
#[derive(Debug, thiserror::Error)]
#[error("the record at partition {partition}, offset {offset} of {topic} is no result: {detail}")]
pub struct RecordError {
    topic: String,
    partition: i32,
    offset: i64,
    detail: &'static str,
}

/// Reads a results record (DESIGN §4).
///
/// # Errors
///
/// [`RecordError`] naming what is missing. Reading it again does not help.
pub fn parse_row(
    table: &TableSpec,
    partition: i32,
    offset: i64,
    key: &[u8],
    value: &[u8],
) -> Result<Row, RecordError> {
    let refuse = |detail| RecordError {
        topic: table.name.clone(),
        partition,
        offset,
        detail,
    };
    let json: Value = serde_json::from_slice(value).map_err(|_| refuse("the value is not JSON"))?;
    let version = json.get("v").and_then(|version| {
        Some(Version {
            generation: u32::try_from(version.get(0)?.as_u64()?).ok()?,
            sequence: version.get(1)?.as_u64()?,
        })
    });
    let day = json.get("day").and_then(|day| day.as_str()?.parse().ok());
    let cells = table.columns.iter().map(|(name, _)| match json.get(name) {
        Some(Value::String(text)) => Cell::Text(text.clone()),
        Some(Value::Number(number)) => number.as_i64().map_or(Cell::Null, Cell::Int),
        _ => Cell::Null,
    });
    Ok(Row {
        key: String::from_utf8(key.to_vec()).map_err(|_| refuse("the key is not UTF-8"))?,
        day: day.ok_or_else(|| refuse("\"day\" is missing"))?,
        version: version.ok_or_else(|| refuse("\"v\" is missing"))?,
        deleted: json
            .get("deleted")
            .and_then(Value::as_bool)
            .unwrap_or(false),
        partition,
        offset,
        cells: cells.collect(),
    })
}

/// The version of a results record. Cheap: of all records but the newest of a key nothing else is
/// read.
///
/// # Errors
///
/// [`RecordError`], as [`parse_row`].
pub(crate) fn version_of(
    table: &TableSpec,
    partition: i32,
    offset: i64,
    key: &[u8],
    value: &[u8],
) -> Result<Version, RecordError> {
    match leading_version(value) {
        Some(version) => Ok(version),
        None => parse_row(table, partition, offset, key, value).map(|row| row.version),
    }
}

/// `{"v":[1,2]`, as the aggregator writes it; JSON written in another way is parsed.
fn leading_version(value: &[u8]) -> Option<Version> {
    let rest = value.strip_prefix(b"{\"v\":[")?;
    let end = rest.iter().take(32).position(|byte| *byte == b']')?;
    let (generation, sequence) = std::str::from_utf8(&rest[..end]).ok()?.split_once(',')?;
    Some(Version {
        generation: generation.parse().ok()?,
        sequence: sequence.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::CellKind;

    #[test]
    fn a_result_is_read_and_anything_else_refused() {
        let table = TableSpec {
            name: "t".to_owned(),
            columns: vec![
                ("total".to_owned(), CellKind::Decimal),
                ("n".to_owned(), CellKind::Int),
            ],
        };
        let value =
            br#"{"v":[2,7],"day":"2026-11-23","deleted":true,"at":[0,1],"n":3,"total":"1.50"}"#;
        let row = parse_row(&table, 1, 9, br#"["2026-11-23"]"#, value).expect("reads");
        assert_eq!(
            row.version,
            Version {
                generation: 2,
                sequence: 7
            }
        );
        assert_eq!(row.cells, [Cell::Text("1.50".to_owned()), Cell::Int(3)]);
        assert!(row.deleted);
        for value in [&value[..], br#"{ "day":"2026-11-23", "v": [2, 7] }"#] {
            let version = version_of(&table, 1, 9, br#"["2026-11-23"]"#, value);
            assert_eq!(version.expect("reads"), row.version);
        }
        version_of(&table, 1, 9, b"[]", b"{\"v\":[1,x]}").expect_err("refuses");
        let error = parse_row(&table, 1, 9, b"[]", br#"{"v":[1,1]}"#).expect_err("refuses");
        assert_eq!(
            error.to_string(),
            "the record at partition 1, offset 9 of t is no result: \"day\" is missing"
        );
    }
}
