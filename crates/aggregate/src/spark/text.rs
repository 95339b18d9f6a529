//! The query that Spark runs, as text of its dialect.

use sql::{FoldKind, ValueKind};

use super::Shape;

/// The type in Spark's dialect of a column that it adds up.
fn spark_type(kind: ValueKind) -> &'static str {
    match kind {
        // As wide as a sum: an argument may be a product.
        ValueKind::Decimal => "DECIMAL(33,5)",
        // Days and microseconds since 1970 are whole numbers here.
        ValueKind::Int | ValueKind::Date | ValueKind::Timestamp => "BIGINT",
        ValueKind::Text => "STRING",
    }
}

pub(super) fn query(shape: &Shape, view: &str, forget_days: Option<u32>) -> String {
    let mut columns: Vec<String> = shape
        .keys
        .iter()
        .map(|key| format!("{key} STRING"))
        .collect();
    let arguments = shape.arguments.iter();
    columns.extend(arguments.map(|column| format!("{} {}", column.name, spark_type(column.kind))));
    columns.extend(
        ["_clock", "_partition", "_offset", "_received_at"].map(|name| format!("{name} BIGINT")),
    );
    let mut values = vec![
        "'n', count(*)".to_owned(),
        "'at', max(struct(_clock, _partition, _offset))".to_owned(),
    ];
    for (place, (fold, argument)) in shape.folds.iter().enumerate() {
        let name = argument
            .and_then(|argument| shape.arguments.get(argument))
            .map(|column| column.name.as_str());
        values.extend(match (fold, name) {
            // It is `n`.
            (_, None) | (FoldKind::Distinct, _) => None,
            (FoldKind::Count, Some(name)) => Some(format!("'c{place}', count({name})")),
            // A sum that is too large is null, where the count is not 0: so the row is known for it, and the query lives.
            (FoldKind::Sum | FoldKind::SumInt | FoldKind::Avg, Some(name)) => Some(format!(
                "'s{place}', CAST(try_sum({name}) AS STRING), 'c{place}', count({name})"
            )),
            (FoldKind::Min, Some(name)) => Some(format!("'s{place}', CAST(min({name}) AS STRING)")),
            (FoldKind::Max, Some(name)) => Some(format!("'s{place}', CAST(max({name}) AS STRING)")),
        });
    }
    let keys = shape.keys.join(", ");
    let columns = columns.join(", ");
    let values = values.join(",\n    ");
    let day = shape.keys.first().map_or("", String::as_str);
    let watermark = forget_days
        .map(|days| format!(" WATERMARK _day DELAY OF INTERVAL {days} DAYS"))
        .unwrap_or_default();
    format!(
        "SELECT
  to_json(array({keys})) AS key,
  to_json(named_struct(
    {values})) AS value,
  array(named_struct('key', 'received_at', 'value', CAST(CAST(max(_received_at) AS STRING) AS BINARY))) AS headers
FROM (
  SELECT record.*, CAST(record.{day} AS TIMESTAMP) AS _day FROM (
    SELECT from_json(CAST(value AS STRING), '{columns}', map('mode', 'FAILFAST')) AS record FROM {view}))
  {watermark}
GROUP BY _day, {keys}"
    )
}
