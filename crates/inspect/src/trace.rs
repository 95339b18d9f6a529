//! The whole way of one transaction.
//!
//! The log is counted again with this record on its own, so that what it changed is seen whatever else was in its batch. What
//! was published then, and where, is looked up in the results topic, and what is there now in the store.

use std::collections::{BTreeMap, HashMap};

use aggregate::{AggregationOptions, Input, Schema};
use jiff::Timestamp;
use kafka_client::Cluster;
use rdkafka::message::Message as _;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use store::{Store, TableSpec};

use crate::error::InspectError;
use crate::replay::{Replay, replay};

/// Which transaction.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its source; every one without.
    pub source: Option<&'a str>,
    /// Most records that are counted again; all without.
    pub records_max: Option<u64>,
}

/// A record that carries the transaction, and what it did.
#[derive(Debug)]
pub struct Found {
    /// Topic of the record.
    pub topic: String,
    /// Whether it is Daybook's own JSON.
    pub is_canonical: bool,
    /// Partition of the record.
    pub partition: i32,
    /// Offset there.
    pub offset: i64,
    /// When the log appended it, microseconds since 1970.
    pub appended_at: i64,
    /// The transaction.
    pub fields: Map<String, Value>,
    /// By aggregation, in the order of the configuration.
    pub effects: Vec<Effect>,
}

/// What a record did to one aggregation.
#[derive(Debug)]
pub struct Effect {
    /// Its name.
    pub aggregation: String,
    /// What became of the record, as a sentence.
    pub became: String,
    /// Results before and behind it, by key.
    pub rows: Vec<RowChange>,
}

/// A row that the record changed.
#[derive(Debug)]
pub struct RowChange {
    /// Key of the result.
    pub key: String,
    /// The result before; `None` if there was none.
    pub before: Option<Value>,
    /// The result behind it.
    pub after: Value,
    /// Partition, offset, time and version of the first published result that has it.
    pub published: Option<(i32, i64, i64, Value)>,
    /// Version of the row in the store.
    pub stored: Option<String>,
}

/// Looks for the records that carry the transaction, in every topic that is counted. Reads the whole log: about a second for half a
/// million records. `progress` is told how many records were counted, and how many there are.
///
/// # Errors
///
/// [`InspectError`]. A store that cannot be read is no error: then nothing is said of it.
pub async fn trace(
    cluster: &Cluster,
    aggregations: &[&AggregationOptions],
    store: Option<(&Store, &[TableSpec])>,
    wanted: &Wanted<'_>,
    mut progress: impl FnMut(u64, u64),
) -> Result<Vec<Found>, InspectError> {
    let mut by_input: Vec<(&Schema, Vec<&AggregationOptions>)> = Vec::new();
    for options in aggregations {
        let same = by_input
            .iter_mut()
            .find(|(schema, _)| **schema == options.input);
        match same {
            Some((_, those)) => those.push(options),
            None => by_input.push((&options.input, vec![options])),
        }
    }
    let mut found: Vec<Found> = Vec::new();
    for (schema, aggregations) in by_input {
        found.extend(find(cluster, wanted, schema, &aggregations, &mut progress).await?);
    }
    for one in &mut found {
        for effect in &mut one.effects {
            look_up_published(cluster, effect)?;
            if let Some((store, tables)) = store {
                look_up_stored(store, tables, effect)?;
            }
        }
    }
    Ok(found)
}

impl Found {
    /// The same as JSON.
    pub fn as_json(&self) -> Value {
        as_json(self)
    }
}

/// The records of a topic that carry the transaction, and what they did to the aggregations of the topic.
async fn find(
    cluster: &Cluster,
    wanted: &Wanted<'_>,
    schema: &Schema,
    aggregations: &[&AggregationOptions],
    progress: &mut impl FnMut(u64, u64),
) -> Result<Vec<Found>, InspectError> {
    let consumer = cluster.reader("daybook-replay")?;
    let bounds = cluster.offsets(&consumer, &schema.topic)?;
    let records: i64 = bounds.iter().map(|(first, next)| next - first).sum();
    let records = records.max(0).cast_unsigned();
    if let Some(max) = wanted.records_max.filter(|max| records > *max) {
        return Err(InspectError::TooMany {
            topic: schema.topic.clone(),
            records,
            max,
            id: wanted.id.to_owned(),
        });
    }
    let partitions = i32::try_from(bounds.len()).unwrap_or(i32::MAX);
    let mut replays = Vec::new();
    for options in aggregations {
        let in_force = aggregate::in_force(cluster, &options.name)?;
        let generation = in_force.map_or(1, |control| control.generation);
        replays.push(Replay::new(options, partitions, generation).await?);
    }
    let mut found: Vec<Found> = Vec::new();
    let is_it = |record: &Input<'_>| fields_of(record.value, wanted, schema).is_some();
    replay(
        cluster,
        &mut replays,
        None,
        is_it,
        |index, record, changes, before| {
            if index == 0 {
                found.push(Found {
                    topic: schema.topic.clone(),
                    is_canonical: schema.is_canonical(),
                    partition: record.partition,
                    offset: record.offset,
                    appended_at: record.appended_at,
                    fields: fields_of(record.value, wanted, schema).unwrap_or_default(),
                    effects: Vec::new(),
                });
            }
            let reason = changes
                .quarantined
                .first()
                .map(|(_, _, reason)| reason.to_string());
            let became = match reason {
                Some(reason) => format!("quarantined: {reason}"),
                None if changes.duplicates > 0 => "duplicate: it was counted before".to_owned(),
                None if changes.results.is_empty() => "counted, and in no row".to_owned(),
                None => "counted".to_owned(),
            };
            let rows = changes.results.iter().map(|result| RowChange {
                key: String::from_utf8_lossy(&result.key).into_owned(),
                before: before
                    .get(&result.key)
                    .and_then(|row| serde_json::from_slice(row).ok()),
                after: result
                    .value
                    .as_deref()
                    .and_then(|row| serde_json::from_slice(row).ok())
                    .unwrap_or_default(),
                published: None,
                stored: None,
            });
            let effect = Effect {
                aggregation: aggregations[index].name.clone(),
                became,
                rows: rows.collect(),
            };
            if let Some(last) = found.last_mut() {
                last.effects.push(effect);
            }
        },
        progress,
    )
    .await?;
    Ok(found)
}

/// The record's fields, if it carries the transaction; numbers of a declared input as text.
fn fields_of(value: &[u8], wanted: &Wanted<'_>, schema: &Schema) -> Option<Map<String, Value>> {
    // Most records are others: they are not parsed. An id with escapes looks otherwise in JSON.
    let is_plain = wanted
        .id
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"\"\\/".contains(&byte));
    if is_plain && memchr::memmem::find(value, wanted.id.as_bytes()).is_none() {
        return None;
    }
    let raw: BTreeMap<String, &RawValue> = serde_json::from_slice(value).ok()?;
    let fields = raw.into_iter().map(|(name, raw)| {
        let value = serde_json::from_str(raw.get()).ok()?;
        // Exactly as it stands there: as a value it would be a float.
        let value = match value {
            Value::Number(_) if !schema.is_canonical() => Value::from(raw.get()),
            value => value,
        };
        Some((name, value))
    });
    let fields: Map<String, Value> = fields.collect::<Option<_>>()?;
    let is = |column: Option<usize>, wanted: &str| {
        let column = column.and_then(|column| schema.columns.get(column));
        let value = column.and_then(|column| fields.get(&column.name));
        value.and_then(Value::as_str) == Some(wanted)
    };
    let source = wanted.source;
    let is_it =
        is(Some(schema.id), wanted.id) && source.is_none_or(|source| is(schema.source, source));
    is_it.then_some(fields)
}

/// Generation and sequence of a result.
fn version(result: &Value) -> Option<(u64, u64)> {
    let version = result.get("v")?;
    Some((version.get(0)?.as_u64()?, version.get(1)?.as_u64()?))
}

fn look_up_published(cluster: &Cluster, effect: &mut Effect) -> Result<(), InspectError> {
    if effect.rows.is_empty() {
        return Ok(());
    }
    let consumer = cluster.reader("daybook-trace")?;
    let mut wanted: HashMap<Vec<u8>, &mut RowChange> = HashMap::new();
    for row in &mut effect.rows {
        wanted.insert(row.key.clone().into_bytes(), row);
    }
    cluster.read_all(&consumer, &effect.aggregation, |message| {
        let Some(row) = wanted.get_mut(message.key().unwrap_or_default()) else {
            return;
        };
        let value: Value = message
            .payload()
            .and_then(|value| serde_json::from_slice(value).ok())
            .unwrap_or_default();
        if row.published.is_none() && version(&value) >= version(&row.after) {
            let at = message.timestamp().to_millis().unwrap_or(0) * 1_000;
            let version = value.get("v").cloned().unwrap_or_default();
            row.published = Some((message.partition(), message.offset(), at, version));
        }
    })?;
    Ok(())
}

fn look_up_stored(
    store: &Store,
    tables: &[TableSpec],
    effect: &mut Effect,
) -> Result<(), InspectError> {
    let Some(table) = tables.iter().find(|table| table.name == effect.aggregation) else {
        return Ok(());
    };
    for change in &mut effect.rows {
        let day = change.after.get("day").and_then(Value::as_str);
        let day = day.and_then(|day| day.parse().ok());
        let Some(day) = day else { continue };
        let row = store.find(table, day, &change.key)?;
        let version = row.map(|row| row.version);
        change.stored =
            version.map(|version| format!("[{},{}]", version.generation, version.sequence));
    }
    Ok(())
}

fn as_json(found: &Found) -> Value {
    let effects = found.effects.iter().map(|effect| {
        let rows = effect.rows.iter().map(|row| {
            let published = row.published.as_ref();
            let published = published.map(|(partition, offset, at, version)| {
                json!({"partition": partition, "offset": offset, "at": time(*at), "version": version})
            });
            json!({
                "key": row.key,
                "before": row.before,
                "after": row.after,
                "published": published,
                "store_version": row.stored,
            })
        });
        json!({
            "aggregation": effect.aggregation,
            "became": effect.became,
            "rows": rows.collect::<Vec<_>>(),
        })
    });
    json!({
        "transaction": found.fields,
        "log": {
            "topic": found.topic,
            "partition": found.partition,
            "offset": found.offset,
            "appended_at": time(found.appended_at),
        },
        "aggregations": effects.collect::<Vec<_>>(),
    })
}

/// A moment in microseconds since 1970, as people read it.
pub fn time(micros: i64) -> String {
    Timestamp::from_microsecond(micros).map_or_else(|_| micros.to_string(), |at| format!("{at:.3}"))
}
