//! Random SQL over random records in random batches with restarts, against an oracle.
//!
//! The oracle interprets the generated query itself, over all accepted records at once, in whole numbers: it knows neither
//! DataFusion nor folding. `SEED=` repeats a run from that seed on, `TRIALS=full` makes ten times as many.

use std::collections::{BTreeMap, BTreeSet};

use types::{Amount, currency_digits};

use super::*;
use crate::options::{Definition, fingerprint};
use crate::schema::Schema;
use crate::spill::testing;

mod query;

use query::{Group, Query, Value};

const TRIALS: u64 = 1_000;
const TRIALS_FULL: u64 = 10_000;

/// Numbers from a seed (splitmix64).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    pub(super) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub(super) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        let count = u64::try_from(choices.len()).expect("few");
        choices[usize::try_from(self.below(count)).expect("small")]
    }
}

/// A record, and whether it is to be counted.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) account: &'static str,
    pub(super) currency: &'static str,
    pub(super) region: Option<&'static str>,
    pub(super) units: i128,
    pub(super) day: u32,
    pub(super) reverses: bool,
    received: u64,
    accepted: bool,
}

impl Record {
    fn json(&self) -> String {
        let region = self
            .region
            .map_or(String::new(), |region| format!(",\"region\":\"{region}\""));
        let reverses = if self.reverses {
            ",\"reverses\":\"t0\""
        } else {
            ""
        };
        format!(
            r#"{{"id":"{}","source":"s","account":"{}","amount":"{}","currency":"{}","booked_at":"2026-11-{}T10:00:00Z","received_at":"2026-11-23T12:{:02}:{:02}Z"{region}{reverses}}}"#,
            self.id,
            self.account,
            query::decimal(self.units, 0),
            self.currency,
            self.day,
            self.received / 60,
            self.received % 60,
        )
    }
}

fn records(random: &mut Random, reversals: bool) -> Vec<Record> {
    let mut all: Vec<Record> = Vec::new();
    for number in 0..60 + random.below(90) {
        let largest = Amount::TRANSACTION_UNITS_MAX;
        let units = match random.below(12) {
            0 => largest,
            1 => -largest,
            2 => 0,
            3 | 4 => i128::from(random.below(2_000)) - 1_000,
            _ => (i128::from(random.below(200_000)) - 90_000) * 1_000,
        };
        let mut record = Record {
            id: format!("t{number}"),
            account: random.of(&["ann", "bob", "cid", "dee"]),
            currency: random.of(&["EUR", "JPY", "KWD", "EUR"]),
            region: random.of(&[None, Some("north"), Some("south"), Some("")]),
            units,
            day: random.of(&[23, 23, 23, 22]),
            reverses: random.one_in(8),
            received: number,
            accepted: true,
        };
        record.accepted = reversals || !record.reverses;
        let earlier = random.below(number + 1);
        let earlier = all.get(usize::try_from(earlier).expect("small")).cloned();
        match (random.below(12), earlier) {
            (0, Some(mut duplicate)) => {
                duplicate.accepted = false;
                all.push(duplicate);
            }
            (1, Some(mut conflict)) if conflict.accepted => {
                conflict.accepted = false;
                conflict.units = conflict.units.abs() - 1;
                conflict.currency = "USD";
                all.push(conflict);
            }
            (2, _) => {
                (record.day, record.accepted) = (random.of(&[18, 26]), false);
                all.push(record);
            }
            _ => all.push(record),
        }
    }
    all
}

fn options(query: &Query, reversals: bool) -> AggregationOptions {
    let options = AggregationOptions::new("random", &query.sql(), "UTC", "00:00");
    AggregationOptions {
        reversals,
        input: Schema::canonical(&["region".to_owned()]),
        batch_records_max: 100,
        ..options.expect("a calendar")
    }
}

/// Rows as readers have them: a newer version replaces an older one.
#[derive(Default)]
struct Readers(BTreeMap<String, (u64, Option<serde_json::Value>)>);

impl Readers {
    fn read(&mut self, results: &[Published]) {
        for result in results {
            let key = String::from_utf8(result.key.clone()).expect("text");
            let value = result.value.as_deref().expect("never null");
            let row: serde_json::Value = serde_json::from_slice(value).expect("JSON");
            let sequence = row["v"][1].as_u64().expect("a sequence");
            let deleted = row["deleted"] == true;
            let before = self.0.get(&key);
            assert!(
                before.is_none_or(|(known, _)| *known < sequence),
                "{key} goes back"
            );
            let was_shown = before.is_some_and(|(_, row)| row.is_some());
            assert!(!deleted || was_shown, "{key} is deleted, but was not there");
            self.0.insert(key, (sequence, (!deleted).then_some(row)));
        }
    }
}

/// The engine and its logs.
struct Run {
    engine: Engine,
    totals: Totals,
    logs: BTreeMap<i32, Vec<Published>>,
    totals_logs: BTreeMap<i32, Vec<Published>>,
    readers: Readers,
}

const PARTS_PARTITIONS: i32 = 2;

impl Run {
    async fn new(options: AggregationOptions, partitions: i32, spill: Option<Spill>) -> Self {
        let definition = Definition {
            generation: 1,
            fingerprint: fingerprint(&options),
        };
        let mut totals = Totals::new(&options);
        let sql = options.sql.clone();
        let engine = Engine::of_partitions(options, definition, partitions).await;
        let mut engine = engine.unwrap_or_else(|error| panic!("{sql}\n{}", report(&error)));
        if let Some(spill) = spill {
            engine.spill_to(spill.clone());
            totals.spill_to(spill);
        }
        let mut run = Self {
            engine,
            totals,
            logs: (0..partitions)
                .map(|partition| (partition, Vec::new()))
                .collect(),
            totals_logs: (0..PARTS_PARTITIONS)
                .map(|partition| (partition, Vec::new()))
                .collect(),
            readers: Readers::default(),
        };
        run.restart(false);
        run
    }

    /// As another process takes over. Compaction leaves the last record of each key, in its place.
    fn restart(&mut self, compact: bool) {
        for log in self.logs.values_mut().chain(self.totals_logs.values_mut()) {
            if compact {
                let mut seen = BTreeSet::new();
                let mut kept: Vec<Published> = log.drain(..).rev().collect();
                kept.retain(|entry| seen.insert(entry.key.clone()));
                log.extend(kept.into_iter().rev());
            }
        }
        for (partition, log) in &mut self.logs {
            self.engine.begin_restore(*partition);
            for entry in &*log {
                let restored = self
                    .engine
                    .restore(*partition, &entry.key, entry.value.as_deref());
                restored.expect("restores");
            }
            let restored = self.engine.end_restore(*partition).expect("not newer");
            assert_eq!(restored, Restored::Current);
            log.extend(self.engine.define(*partition).map(|(_, entry)| entry));
        }
        for (partition, log) in &self.totals_logs {
            self.totals.begin_restore(*partition);
            for entry in log {
                let restored = self
                    .totals
                    .restore(*partition, &entry.key, entry.value.as_deref());
                restored.expect("restores");
            }
        }
    }

    async fn process(&mut self, inputs: &[Input<'_>]) {
        let changes = self.engine.process(inputs).await.expect("processes");
        let not_computed = changes.quarantined.iter();
        let not_computed =
            not_computed.filter(|(.., reason)| matches!(reason, Reason::NotComputable(_)));
        assert_eq!(not_computed.count(), 0, "every record can be added");
        for (partition, entry) in changes.changelog {
            self.logs.get_mut(&partition).expect("known").push(entry);
        }
        self.readers.read(&changes.results);
        let parts: Vec<PartInput<'_>> = changes
            .parts
            .iter()
            .enumerate()
            .map(|(offset, part)| PartInput {
                partition: i32::from(part.key.iter().fold(0_u8, |sum, byte| sum ^ byte))
                    % PARTS_PARTITIONS,
                offset: i64::try_from(offset).expect("small"),
                key: &part.key,
                value: part.value.as_deref().expect("a value"),
            })
            .collect();
        let changes = self.totals.process(&self.engine, &parts).expect("folds");
        assert_eq!(changes.quarantined, []);
        for (partition, entry) in changes.changelog {
            self.totals_logs
                .get_mut(&partition)
                .expect("known")
                .push(entry);
        }
        self.readers.read(&changes.results);
    }
}

/// What must be there: by key the sequence, and the columns.
type Expected = BTreeMap<String, (u64, Vec<(String, serde_json::Value)>)>;

fn oracle(query: &Query, records: &[Record]) -> Expected {
    let accepted = records.iter().filter(|record| record.accepted);
    let mut groups: BTreeMap<String, Group<'_>> = BTreeMap::new();
    for record in accepted.filter(|record| query.takes(record)) {
        let key = query.key(record);
        let json = serde_json::to_string(&key).expect("JSON");
        let group = groups.entry(json).or_insert_with(|| Group::new(key));
        group.records.push(record);
    }
    let shown = groups.into_iter().filter(|(_, group)| query.shows(group));
    let rows = shown.map(|(key, group)| {
        let currency = query.currency(&group);
        let digits = currency.and_then(currency_digits).unwrap_or(2);
        let columns = query.columns(&group).into_iter().map(|(name, value)| {
            let value = match value {
                Value::Null => serde_json::Value::Null,
                Value::Text(text) => text.into(),
                Value::Int(number) => i64::try_from(number).expect("small").into(),
                Value::Units(units) => query::decimal(units, digits).into(),
            };
            (name, value)
        });
        (key, (group.records.len() as u64, columns.collect()))
    });
    rows.collect()
}

async fn trial(seed: u64) {
    let mut random = Random::new(seed);
    let query = Query::random(&mut random);
    let reversals = !query.is_irreversible() && random.one_in(2);
    let records = records(&mut random, reversals);
    let partitions = random.of(&[1, 1, 3]);
    // In every second trial nothing stays in memory from one batch to the next.
    let spill = random.one_in(2).then(|| testing::spill(0, i64::MAX).0);
    let mut run = Run::new(options(&query, reversals), partitions, spill).await;
    let lines: Vec<(i32, String)> = records
        .iter()
        .map(|record| {
            let place = i32::from(record.account.as_bytes()[0]);
            (place % partitions, record.json())
        })
        .collect();
    let appended: jiff::Timestamp = "2026-11-24T00:00:00Z".parse().expect("a time");
    let inputs: Vec<Input<'_>> = (0..)
        .zip(&lines)
        .map(|(offset, (partition, line))| Input {
            partition: *partition,
            offset,
            appended_at: appended.as_microsecond(),
            value: line.as_bytes(),
        })
        .collect();
    let mut rest = &inputs[..];
    while !rest.is_empty() {
        let size = usize::try_from(1 + random.below(50)).expect("small");
        let (batch, later) = rest.split_at(size.min(rest.len()));
        run.process(batch).await;
        rest = later;
        if random.one_in(3) {
            run.restart(random.one_in(2));
        }
    }
    let counted: u64 = run
        .engine
        .counts()
        .map(|(_, counts)| {
            counts.counted
                + counts.reversing
                + counts.duplicate
                + counts.late_corrected
                + counts.quarantined
        })
        .sum();
    assert_eq!(counted, records.len() as u64, "each record is in one count");
    let expected = oracle(&query, &records);
    let sql = query.sql();
    let shown = run.readers.0.iter().filter(|(_, (_, row))| row.is_some());
    let keys: Vec<&String> = shown.map(|(key, _)| key).collect();
    assert_eq!(keys, expected.keys().collect::<Vec<_>>(), "rows of {sql}");
    for (key, (sequence, columns)) in expected {
        let (found, row) = &run.readers.0[&key];
        assert_eq!(*found, sequence, "sequence of {key} of {sql}");
        let row = row.as_ref().expect("shown");
        for (name, value) in columns {
            assert_eq!(row[&name], value, "{name} of {key} of {sql}");
        }
    }
}

#[test]
fn random_aggregations_are_what_the_oracle_says() {
    let number = |name: &str| std::env::var(name).ok();
    let full = number("TRIALS").is_some_and(|trials| trials == "full");
    let trials = if full { TRIALS_FULL } else { TRIALS };
    let seed = number("SEED").and_then(|seed| seed.parse().ok());
    let first: u64 = seed.unwrap_or_else(|| {
        let now = jiff::Timestamp::now().as_microsecond().unsigned_abs();
        now % 1_000_000_000
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    for seed in first..first + trials {
        let run = std::panic::AssertUnwindSafe(|| runtime.block_on(trial(seed)));
        if let Err(panic) = std::panic::catch_unwind(run) {
            let text = panic.downcast_ref::<String>().map_or("?", String::as_str);
            panic!("SEED={seed} repeats it: {text}");
        }
    }
}
