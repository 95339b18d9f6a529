//! `daybook trace`: the whole way of one transaction.
//!
//! The log is counted again with this record on its own, so that what it changed is seen whatever else was in its batch. What
//! was published then, and where, is looked up in the results topic, and what is there now in the store.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::process::ExitCode;

use aggregate::{AggregationOptions, Input, Schema};
use jiff::Timestamp;
use kafka_client::Cluster;
use pipeline::{Plan, log_cluster};
use rdkafka::message::Message as _;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use store::Store;
use types::names;

use super::query::open_store;
use super::replay::{Replay, replay};
use super::totals::partitions;
use crate::cli::{Global, TraceArgs};

/// A record that carries the transaction, and what it did.
struct Found {
    topic: String,
    /// Whether it is Daybook's own JSON.
    is_canonical: bool,
    partition: i32,
    offset: i64,
    appended_at: i64,
    fields: Map<String, Value>,
    /// By aggregation, in the order of the configuration.
    effects: Vec<Effect>,
}

/// What a record did to one aggregation.
struct Effect {
    aggregation: String,
    became: String,
    /// Results before and behind it, by key.
    rows: Vec<Change>,
}

struct Change {
    key: String,
    before: Option<Value>,
    after: Value,
    /// Partition, offset, time and version of the first published result that has it.
    published: Option<(i32, i64, i64, Value)>,
    /// Version of the row in the store.
    stored: Option<String>,
}

pub(crate) async fn run(global: &Global, args: TraceArgs) -> anyhow::Result<ExitCode> {
    let plan = global.plan().await?;
    let cluster = log_cluster(&plan.config().log, &global.data_dir)?;
    let mut by_input: Vec<(&Schema, Vec<&AggregationOptions>)> = Vec::new();
    for options in plan.aggregations() {
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
        found.extend(find(&cluster, &args, schema, &aggregations).await?);
    }
    // The rest is worth telling without it.
    let store = match open_store(global, &plan) {
        Ok(store) => Some(store),
        Err(error) => {
            eprintln!("daybook: not looked up in the store: {error:#}");
            None
        }
    };
    for one in &mut found {
        for effect in &mut one.effects {
            look_up_published(&cluster, effect)?;
            if let Some(store) = &store {
                look_up_stored(store, &plan, effect)?;
            }
        }
    }
    if found.is_empty() {
        eprintln!(
            "daybook: no transaction {:?} is in the log{}. Was it refused? `daybook queue browse {}` shows what the gateway \
             refused and why",
            args.id,
            args.source.as_ref().map_or(String::new(), |source| format!(
                " from the source {source:?}"
            )),
            names::QUEUE_QUARANTINE
        );
        return Ok(ExitCode::FAILURE);
    }
    let mut out = std::io::stdout().lock();
    for one in &found {
        match args.json {
            true => writeln!(out, "{}", as_json(one))?,
            false => write!(out, "{}", as_text(one))?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The records of a topic that carry the transaction, and what they did to the aggregations of the topic.
async fn find(
    cluster: &Cluster,
    args: &TraceArgs,
    schema: &Schema,
    aggregations: &[&AggregationOptions],
) -> anyhow::Result<Vec<Found>> {
    let partitions = partitions(cluster, &schema.topic)?;
    let mut replays = Vec::new();
    for options in aggregations {
        let in_force = aggregate::in_force(cluster, &options.name)?;
        let generation = in_force.map_or(1, |control| control.generation);
        replays.push(Replay::new(options, partitions, generation).await?);
    }
    let mut found: Vec<Found> = Vec::new();
    let is_it = |record: &Input<'_>| fields_of(record.value, args, schema).is_some();
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
                    fields: fields_of(record.value, args, schema).unwrap_or_default(),
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
            let rows = changes.results.iter().map(|result| Change {
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
    )
    .await?;
    Ok(found)
}

/// The record's fields, if it carries the transaction; numbers of a declared input as text.
fn fields_of(value: &[u8], args: &TraceArgs, schema: &Schema) -> Option<Map<String, Value>> {
    // Most records are others: they are not parsed. An id with escapes looks otherwise in JSON.
    let is_plain = args
        .id
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"\"\\/".contains(&byte));
    if is_plain && memchr::memmem::find(value, args.id.as_bytes()).is_none() {
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
    let source = args.source.as_deref();
    let is_it =
        is(Some(schema.id), &args.id) && source.is_none_or(|source| is(schema.source, source));
    is_it.then_some(fields)
}

/// Generation and sequence of a result.
fn version(result: &Value) -> Option<(u64, u64)> {
    let version = result.get("v")?;
    Some((version.get(0)?.as_u64()?, version.get(1)?.as_u64()?))
}

fn look_up_published(cluster: &Cluster, effect: &mut Effect) -> anyhow::Result<()> {
    if effect.rows.is_empty() {
        return Ok(());
    }
    let consumer = cluster.reader("daybook-trace")?;
    let mut wanted: HashMap<Vec<u8>, &mut Change> = HashMap::new();
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

fn look_up_stored(store: &Store, plan: &Plan, effect: &mut Effect) -> anyhow::Result<()> {
    let Some(table) = plan.tables().find(|table| table.name == effect.aggregation) else {
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

fn time(micros: i64) -> String {
    Timestamp::from_microsecond(micros).map_or_else(|_| micros.to_string(), |at| format!("{at:.3}"))
}

/// Milliseconds from one hop to another, if both are known; the log's clock has whole milliseconds.
fn later(from: Option<i64>, to: i64) -> String {
    from.map_or(String::new(), |from| {
        format!(" (+{} ms)", ((to - from) / 1_000).max(0))
    })
}

fn as_text(found: &Found) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let field = |name: &str| found.fields.get(name).and_then(Value::as_str).unwrap_or("");
    let received: Option<Timestamp> = field(names::field::RECEIVED_AT).parse().ok();
    let received = received.map(Timestamp::as_microsecond);
    // Writing to a String cannot fail.
    let _ = match found.is_canonical {
        false => writeln!(text, "transaction {}", Value::from(found.fields.clone())),
        true => writeln!(
            text,
            "transaction {} of {}: {} {} on account {}, booked at {}",
            field(names::field::ID),
            match field(names::field::SOURCE) {
                "" => "no source",
                source => source,
            },
            field(names::field::AMOUNT),
            field(names::field::CURRENCY),
            field(names::field::ACCOUNT),
            field(names::field::BOOKED_AT)
        ),
    };
    match received {
        _ if !found.is_canonical => {}
        Some(at) => drop(writeln!(text, "  gateway      received {}", time(at))),
        None => drop(writeln!(
            text,
            "  queue        put by somebody else's program, not through the gateway"
        )),
    }
    let _ = writeln!(
        text,
        "  log          {}, partition {}, offset {}, appended {}{}",
        found.topic,
        found.partition,
        found.offset,
        time(found.appended_at),
        later(received, found.appended_at)
    );
    for effect in &found.effects {
        let _ = writeln!(text, "  {}: {}", effect.aggregation, effect.became);
        for row in &effect.rows {
            let _ = writeln!(text, "    row        {}", row.key);
            let columns = row.after.as_object().into_iter().flatten();
            for (name, after) in columns {
                let before = row.before.as_ref().and_then(|before| before.get(name));
                if ["v", "at", "day", "deleted"].contains(&name.as_str()) || before == Some(after) {
                    continue;
                }
                let before = before.map_or("nothing".to_owned(), plain);
                let _ = writeln!(text, "    {name}: {before} -> {}", plain(after));
            }
            match &row.published {
                Some((partition, offset, at, version)) => {
                    let _ = writeln!(
                        text,
                        "    published  {}, partition {partition}, offset {offset}, version {version}, {}{}",
                        effect.aggregation,
                        time(*at),
                        later(received, *at)
                    );
                }
                None => drop(writeln!(text, "    published  not in the topic (any more)")),
            }
            let stored = row.stored.as_deref().unwrap_or("none");
            let _ = writeln!(text, "    store      version {stored} now");
        }
    }
    text
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
