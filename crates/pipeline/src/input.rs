//! `[aggregation.input]`: the topic that an aggregation counts, and what its records have.

use aggregate::{Column, FieldKind, Roles, Schema};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use types::report;

use crate::config::AggregationConfig;

/// Longest name of a topic (Kafka's own limit).
const TOPIC_CHARS_MAX: usize = 249;
/// Longest name of a column, in characters.
const COLUMN_CHARS_MAX: usize = 64;
/// Most columns of a schema.
const COLUMNS_MAX: usize = 200;

/// A topic that others fill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputConfig {
    /// Name of the topic. In SQL it is called `transactions`.
    pub topic: String,
    /// Column that identifies a transaction (within its source).
    pub id: String,
    /// Column with the instant that decides its business day.
    pub event_time: String,
    /// Column that the topic's records are keyed by. A GROUP BY without it takes a second stage over several partitions. None.
    pub key: Option<String>,
    /// Column with the source. All are of one source.
    pub source: Option<String>,
    /// Column with the instant at which it was received. The log's own clock.
    pub received_at: Option<String>,
    /// Column with the id of the transaction that a record takes back. None.
    pub reverses: Option<String>,
    /// Type of each column, which is a field of the JSON: `text`, `decimal`, `integer`, `timestamp`, `epoch_millis`, `date`; with a
    /// `?` behind it where records may lack it.
    pub columns: BTreeMap<String, String>,
}

/// Input of an aggregation, and which of its columns names the zone of a row.
///
/// `Err`: the mistakes, with what to do.
pub(crate) fn of(config: &AggregationConfig) -> Result<(Schema, Option<usize>), Vec<String>> {
    let Some(input) = &config.input else {
        return canonical(config).map_err(|mistake| vec![mistake]);
    };
    let mut mistakes = Vec::new();
    if !config.text_columns.is_empty() {
        mistakes.push(
            "`text_columns` are fields of Daybook's own JSON; with `input` name them in `input.columns`"
                .to_owned(),
        );
    }
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let topic = input.topic.as_str();
    let is_topic = (1..=TOPIC_CHARS_MAX).contains(&topic.len()) && topic.bytes().all(is_legal);
    if !is_topic || topic == config.name || matches!(topic, "." | "..") {
        mistakes.push(format!(
            "`input.topic` is {topic:?}, but must be 1 to {TOPIC_CHARS_MAX} letters, digits, \".\", \"_\" and \"-\", and another \
             topic than the results'"
        ));
    }
    if !(1..=COLUMNS_MAX).contains(&input.columns.len()) {
        mistakes.push(format!(
            "`input.columns` has {} columns, but must have 1 to {COLUMNS_MAX}",
            input.columns.len()
        ));
    }
    let columns = input.columns.iter().filter_map(|(name, kind)| {
        let column = column(name, kind);
        column.map_err(|mistake| mistakes.push(mistake)).ok()
    });
    let columns: Vec<Column> = columns.collect();
    let zone = config.zone_column.as_deref();
    let zone = zone.map(|name| {
        let found = columns.iter().position(|column| column.name == name);
        match found.filter(|place| columns[*place].kind == FieldKind::Text) {
            Some(place) => Ok(place),
            None => Err(format!(
                "`zone_column` is {name:?}, but must be one of `input.columns` whose type is text"
            )),
        }
    });
    let zone = zone.transpose();
    if !mistakes.is_empty() {
        mistakes.extend(zone.err());
        return Err(mistakes);
    }
    let roles = Roles {
        id: &input.id,
        event_time: &input.event_time,
        source: input.source.as_deref(),
        received_at: input.received_at.as_deref(),
        reverses: input.reverses.as_deref(),
        key: input.key.as_deref(),
    };
    let schema = Schema::declared(topic, columns, &roles);
    match (schema, zone) {
        (Ok(schema), Ok(zone)) => Ok((schema, zone)),
        (schema, zone) => {
            let of_schema = schema
                .err()
                .map(|error| format!("`input`: {}", report(&error)));
            Err(of_schema.into_iter().chain(zone.err()).collect())
        }
    }
}

fn column(name: &str, kind: &str) -> Result<Column, String> {
    if !(1..=COLUMN_CHARS_MAX).contains(&name.chars().count()) {
        return Err(format!(
            "`input.columns` has {name:?}, but a name has 1 to {COLUMN_CHARS_MAX} characters"
        ));
    }
    let (bare, is_optional) = match kind.strip_suffix('?') {
        Some(bare) => (bare, true),
        None => (kind, false),
    };
    let kind = match bare {
        "text" => FieldKind::Text,
        "decimal" => FieldKind::Decimal,
        "integer" => FieldKind::Integer,
        "timestamp" => FieldKind::Timestamp,
        "epoch_millis" => FieldKind::EpochMillis,
        "date" => FieldKind::Date,
        _ => {
            return Err(format!(
                "`input.columns.{name}` is {kind:?}, but must be \"text\", \"decimal\", \"integer\", \"timestamp\", \
                 \"epoch_millis\" or \"date\", with a ? behind it where records may lack it"
            ));
        }
    };
    Ok(Column {
        name: name.to_owned(),
        kind,
        is_optional,
    })
}

/// `zone_column` is a text column whether it is listed or not.
fn canonical(config: &AggregationConfig) -> Result<(Schema, Option<usize>), String> {
    let mut columns = config.text_columns.clone();
    let standard = Schema::canonical(&[]);
    if let Some(zone_column) = &config.zone_column {
        let computed = standard.stream_columns();
        if zone_column.is_empty() || computed.iter().any(|column| column.name == *zone_column) {
            return Err(format!(
                "`zone_column` is {zone_column:?}, but must be a text field beside the standard ones, which \
                 the mapping fills with a zone's name (example: \"branch_zone\")"
            ));
        }
        if !columns.contains(zone_column) {
            columns.push(zone_column.clone());
        }
    }
    let schema = Schema::canonical(&columns);
    let zone = config.zone_column.as_deref();
    let zone = zone.and_then(|name| schema.column(name));
    Ok((schema, zone))
}
