//! Rows as CSV (RFC 4180), values as published.

use serde::Deserialize;
use serde_json::Value;
use store::TableSpec;

/// What is needed of a row's JSON.
#[derive(Deserialize)]
struct Columns {
    #[serde(default)]
    c: Vec<Value>,
}

/// A header line and a line a row, sorted by their text so that two exports compare.
pub(crate) fn export<'a>(table: &TableSpec, rows: impl Iterator<Item = &'a str>) -> String {
    let names = table.columns.iter().map(|(name, _)| name.as_str());
    let mut text = line(names);
    let mut lines: Vec<String> = rows
        // They were made here and are JSON.
        .filter_map(|row| serde_json::from_str::<Columns>(row).ok())
        .map(|row| {
            let values: Vec<String> = row.c.into_iter().map(value_text).collect();
            line(values.iter().map(String::as_str))
        })
        .collect();
    lines.sort_unstable();
    lines.iter().for_each(|line| text.push_str(line));
    text
}

fn value_text(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn line<'a>(values: impl Iterator<Item = &'a str>) -> String {
    let mut line = String::new();
    for (index, value) in values.enumerate() {
        if index > 0 {
            line.push(',');
        }
        if value.contains([',', '"', '\n', '\r']) {
            line.push('"');
            line.push_str(&value.replace('"', "\"\""));
            line.push('"');
        } else {
            line.push_str(value);
        }
    }
    line.push_str("\r\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::CellKind;

    #[test]
    fn what_must_be_quoted_is() {
        let table = TableSpec {
            name: "t".to_owned(),
            columns: vec![
                ("a,b".to_owned(), CellKind::Text),
                ("total".to_owned(), CellKind::Decimal),
                ("n".to_owned(), CellKind::Int),
            ],
        };
        let rows = [
            r#"{"key":["d"],"v":[1,2],"c":["say \"hi\"\n","-12.50",3]}"#,
            r#"{"key":["d"],"v":[1,2],"c":[null,"1.00",9007199254740993]}"#,
        ];
        assert_eq!(
            export(&table, rows.into_iter()),
            "\"a,b\",total,n\r\n\"say \"\"hi\"\"\n\",-12.50,3\r\n,1.00,9007199254740993\r\n"
        );
    }
}
