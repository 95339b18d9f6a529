//! Rows as files, values as published: CSV (RFC 4180), or a JSON object a line.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use store::TableSpec;

/// Rows that are encoded at a time: what a slow reader makes us hold.
const CHUNK_ROWS: usize = 500;

/// Of which kind a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Csv,
    Ndjson,
}

impl Format {
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    fn head(self, table: &TableSpec) -> String {
        let names = table.columns.iter().map(|(name, _)| name.as_str());
        match self {
            Self::Csv => line(names),
            Self::Ndjson => String::new(),
        }
    }

    fn push(self, text: &mut String, table: &TableSpec, row: &str) {
        match self {
            Self::Csv => push_csv(text, row),
            Self::Ndjson => push_object(text, table, row),
        }
    }
}

/// What is needed of a row's JSON.
#[derive(Deserialize)]
struct Columns<'a> {
    #[serde(default, borrow)]
    c: Vec<&'a RawValue>,
}

/// The file in pieces; each is encoded when it is taken.
pub(crate) fn chunks(
    table: TableSpec,
    format: Format,
    rows: Vec<Arc<str>>,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let head = format.head(&table);
    futures::stream::unfold((head, rows.into_iter()), move |(mut text, mut rows)| {
        for row in rows.by_ref().take(CHUNK_ROWS) {
            format.push(&mut text, &table, &row);
        }
        let chunk = (!text.is_empty()).then(|| (Ok(text.into()), (String::new(), rows)));
        std::future::ready(chunk)
    })
}

// Rows were made here and are JSON.
fn push_csv(text: &mut String, row: &str) {
    let Ok(row) = serde_json::from_str::<Columns<'_>>(row) else {
        return;
    };
    let values = row
        .c
        .iter()
        .map(|value| serde_json::from_str(value.get()).map_or_else(|_| String::new(), value_text));
    let values: Vec<String> = values.collect();
    text.push_str(&line(values.iter().map(String::as_str)));
}

fn push_object(text: &mut String, table: &TableSpec, row: &str) {
    let Ok(row) = serde_json::from_str::<Columns<'_>>(row) else {
        return;
    };
    text.push('{');
    for (index, ((name, _), value)) in table.columns.iter().zip(row.c).enumerate() {
        if index > 0 {
            text.push(',');
        }
        // Serialising a string cannot fail.
        text.push_str(&serde_json::to_string(name).unwrap_or_default());
        text.push(':');
        text.push_str(value.get());
    }
    text.push_str("}\n");
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
        let text = |format: Format| {
            let mut text = format.head(&table);
            rows.iter()
                .for_each(|row| format.push(&mut text, &table, row));
            text
        };
        assert_eq!(
            text(Format::Csv),
            "\"a,b\",total,n\r\n\"say \"\"hi\"\"\n\",-12.50,3\r\n,1.00,9007199254740993\r\n"
        );
        assert_eq!(
            text(Format::Ndjson),
            "{\"a,b\":\"say \\\"hi\\\"\\n\",\"total\":\"-12.50\",\"n\":3}\n\
             {\"a,b\":null,\"total\":\"1.00\",\"n\":9007199254740993}\n"
        );
    }

    #[tokio::test]
    async fn nothing_is_lost_between_the_pieces() {
        use futures::StreamExt as _;
        let table = TableSpec {
            name: "t".to_owned(),
            columns: vec![("n".to_owned(), CellKind::Int)],
        };
        for count in [0, 1, CHUNK_ROWS, CHUNK_ROWS + 1] {
            let rows = (0..count)
                .map(|n| format!("{{\"c\":[{n}]}}").into())
                .collect();
            let pieces: Vec<_> = chunks(table.clone(), Format::Csv, rows).collect().await;
            let pieces = pieces.into_iter().map(|piece| match piece {
                Ok(bytes) => String::from_utf8(bytes.to_vec()).expect("text"),
                Err(never) => match never {},
            });
            let all: String = pieces.collect();
            let expected = (0..count).map(|n| format!("{n}\r\n"));
            assert_eq!(all, format!("n\r\n{}", expected.collect::<String>()));
        }
    }
}
