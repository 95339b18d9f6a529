//! What results topic and store say of one aggregation, and whether they say the same.

use std::collections::{BTreeMap, HashMap};

use anyhow::Context as _;
use kafka_client::Cluster;
use pipeline::Plan;
use rdkafka::message::Message as _;
use serde_json::Value;
use store::{Cell, Row, TableSpec};
use types::{BusinessDay, Counts, Marker, Version};

use crate::cli::Global;
use crate::command::query::open_store;

/// One look at results topic and store.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// The newest row of each key in the results topic.
    pub(super) rows: HashMap<String, Row>,
    /// The five counts in the store.
    pub(super) counts: BTreeMap<BusinessDay, Counts>,
    /// Versions in the store.
    pub(super) stored: HashMap<String, Version>,
    pub(super) differences: Vec<String>,
}

impl Published {
    /// Keys of which the store has not got the newest row yet.
    pub(super) fn store_behind(&self) -> u64 {
        let newer = |row: &&Row| {
            let stored = self.stored.get(&row.key);
            stored.is_none_or(|stored| *stored < row.version)
        };
        self.rows.values().filter(newer).count() as u64
    }
}

/// Reads the store first, then the topic: so the topic has all that the store can have.
pub(super) fn look(
    global: &Global,
    plan: &Plan,
    cluster: &Cluster,
    table: &TableSpec,
) -> anyhow::Result<Published> {
    let store = open_store(global, plan)?;
    // Before the rows: what is before the progress must be among them.
    let progress: HashMap<i32, i64> = store.progress(&table.name)?.into_iter().collect();
    let mut stored: HashMap<String, Row> = HashMap::new();
    store.scan(table, None, |row| drop(stored.insert(row.key.clone(), row)))?;
    let counts = store.counts(&table.name)?.into_iter().collect();
    let mut topic = Vec::new();
    let mut unreadable = 0;
    let consumer = cluster.reader("daybook-prove")?;
    let read = cluster.read_all(&consumer, &table.name, |message| {
        let (key, value) = (
            message.key().unwrap_or_default(),
            message.payload().unwrap_or_default(),
        );
        if Marker::is_key(key) {
            return;
        }
        match row_of(table, message.partition(), message.offset(), key, value) {
            None => unreadable += 1,
            Some(row) => topic.push(row),
        }
    });
    read.context("is `daybook up` running?")?;
    let (rows, mut differences) = compare(&progress, &stored, topic);
    if unreadable > 0 {
        differences.push(format!(
            "results topic: {unreadable} records are not readable"
        ));
    }
    let versions = stored.into_iter().map(|(key, row)| (key, row.version));
    Ok(Published {
        rows,
        counts,
        stored: versions.collect(),
        differences,
    })
}

/// The newest row of each key, and what in the store cannot come from the topic.
fn compare(
    progress: &HashMap<i32, i64>,
    stored: &HashMap<String, Row>,
    topic: Vec<Row>,
) -> (HashMap<String, Row>, Vec<String>) {
    let mut newest: HashMap<String, Row> = HashMap::new();
    let mut due: BTreeMap<String, Version> = BTreeMap::new();
    let mut differences = Vec::new();
    for row in topic {
        if let Some(kept) = stored
            .get(&row.key)
            .filter(|kept| kept.version == row.version)
            && (&kept.cells, kept.deleted) != (&row.cells, row.deleted)
        {
            differences.push(format!(
                "store: {} is {:?}, but {:?} in the results topic",
                row.key, kept.cells, row.cells
            ));
        }
        if progress
            .get(&row.partition)
            .is_some_and(|next| row.offset < *next)
        {
            let version = due.entry(row.key.clone()).or_insert(row.version);
            *version = row.version.max(*version);
        }
        match newest.get(&row.key) {
            Some(known) if known.version >= row.version => {}
            _ => drop(newest.insert(row.key.clone(), row)),
        }
    }
    for (key, version) in due {
        match stored.get(&key) {
            None => differences.push(format!("store: {key} is missing")),
            Some(row) if row.version < version => differences.push(format!(
                "store: {key} has sequence {}, though it went past sequence {}",
                row.version.sequence, version.sequence
            )),
            Some(_) => {}
        }
    }
    let mut unknown: Vec<&Row> = stored.values().collect();
    unknown.retain(|row| {
        let known = newest.get(&row.key);
        known.is_none_or(|known| known.version < row.version)
    });
    unknown.sort_by(|a, b| a.key.cmp(&b.key));
    let unknown = unknown.into_iter().map(|row| {
        let sequence = row.version.sequence;
        format!(
            "store: {} has sequence {sequence}, which the results topic never had",
            row.key
        )
    });
    differences.extend(unknown);
    (newest, differences)
}

/// A results record, read with code of its own.
fn row_of(table: &TableSpec, partition: i32, offset: i64, key: &[u8], value: &[u8]) -> Option<Row> {
    let json: Value = serde_json::from_slice(value).ok()?;
    let number = |index: usize| json.get("v")?.get(index)?.as_u64();
    let cells = table.columns.iter().map(|(name, _)| match json.get(name) {
        Some(Value::String(text)) => Cell::Text(text.clone()),
        Some(Value::Number(number)) => number.as_i64().map_or(Cell::Null, Cell::Int),
        _ => Cell::Null,
    });
    Some(Row {
        key: String::from_utf8(key.to_vec()).ok()?,
        day: json.get("day")?.as_str()?.parse().ok()?,
        version: Version {
            generation: u32::try_from(number(0)?).ok()?,
            sequence: number(1)?,
        },
        deleted: json.get("deleted")?.as_bool()?,
        partition,
        offset,
        cells: cells.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, sequence: u64, total: &str, offset: i64) -> Row {
        Row {
            key: key.to_owned(),
            day: BusinessDay::EPOCH,
            version: Version {
                generation: 1,
                sequence,
            },
            deleted: false,
            partition: 0,
            offset,
            cells: vec![Cell::Text(total.to_owned())],
        }
    }

    #[track_caller]
    fn check(next: i64, stored: &[Row], expected: &[&str]) {
        let topic = vec![
            row("a", 1, "1.00", 0),
            row("b", 1, "5.00", 1),
            row("a", 2, "3.00", 2),
        ];
        let stored = stored.iter().map(|row| (row.key.clone(), row.clone()));
        let (newest, differences) = compare(&HashMap::from([(0, next)]), &stored.collect(), topic);
        assert_eq!(newest["a"].version.sequence, 2);
        assert_eq!(differences, expected);
    }

    #[test]
    fn the_store_may_be_behind_but_never_wrong() {
        check(0, &[], &[]);
        check(1, &[row("a", 1, "1.00", 0)], &[]);
        // Rows may be newer than the progress that was read before them.
        check(1, &[row("a", 2, "3.00", 2)], &[]);
        check(3, &[row("a", 2, "3.00", 2), row("b", 1, "5.00", 1)], &[]);
        check(1, &[], &["store: a is missing"]);
        check(
            3,
            &[row("a", 1, "1.00", 0), row("b", 1, "5.00", 1)],
            &["store: a has sequence 1, though it went past sequence 2"],
        );
        check(
            1,
            &[row("a", 1, "1.01", 0)],
            &["store: a is [Text(\"1.01\")], but [Text(\"1.00\")] in the results topic"],
        );
        check(
            0,
            &[row("c", 1, "1.00", 0)],
            &["store: c has sequence 1, which the results topic never had"],
        );
    }
}
