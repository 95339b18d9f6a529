//! State that moves out: what is published is what it would be without, a limit is kept, and a disk that fails changes no total.
//! `SEED=` repeats a run from that seed on, `TRIALS=full` makes twenty times as many.

use std::sync::atomic::Ordering::Relaxed;

use expect_test::expect;

use super::differential::Random;
use super::rows::Rows;
use super::tests::{engine_of, inputs, json, options, run};
use super::*;
use crate::options::AggregationOptions;
use crate::spill::{SpillOptions, testing};

const TRIALS: u64 = 10;
const TRIALS_FULL: u64 = 200;

const SQLS: &[&str] = &[
    "SELECT account, currency, sum(amount) AS total, count(*) AS n FROM transactions \
     GROUP BY business_day, account, currency",
    "SELECT account, sum(amount) AS total, min(id) AS first, count(DISTINCT id) AS ids FROM transactions \
     GROUP BY business_day, account HAVING count(*) > 1",
    "SELECT currency, count(*) AS n, max(id) AS last FROM transactions GROUP BY business_day, currency",
];

fn irreversible(sql: &str, keep_days: Option<u16>) -> AggregationOptions {
    AggregationOptions {
        reversals: false,
        keep_days,
        ..options(sql)
    }
}

/// Batches of both partitions, with duplicates, conflicts and late ones, over days that pass.
fn batches(random: &mut Random) -> Vec<Vec<(i32, String)>> {
    let mut day = 10;
    let (mut number, mut known): (u64, Vec<(i32, String)>) = (0, Vec::new());
    let batch = |_| {
        day = (day + random.of(&[0, 0, 1, 2])).min(24);
        let records = (0..1 + random.below(12)).map(|_| {
            number += 1;
            let earlier = usize::try_from(random.below(number)).expect("small");
            if let Some(again) = known.get(earlier).filter(|_| random.one_in(5)) {
                return again.clone();
            }
            let id = match random.one_in(20) {
                true => format!("t{}", random.below(number)),
                false => format!("t{number}"),
            };
            let account = random.of(&["ann", "bob", "cid", "dee", "eve", "fay"]);
            let booked = day - random.of(&[0, 0, 0, 1, 1, 2, 9]).min(day - 1);
            let amount = random.below(1_000);
            let line = format!(
                "{id} {account} {amount} {booked:02}T10:00 {day:02}T12:{:02}",
                number % 60
            );
            let record = (i32::from(account.as_bytes()[0]) % 2, json(&line));
            known.push(record.clone());
            record
        });
        records.collect()
    };
    (0..20).map(batch).collect()
}

/// An engine, its totals, and the logs of both.
struct Run {
    options: AggregationOptions,
    spill: Option<Spill>,
    engine: Engine,
    totals: Totals,
    logs: [Vec<Published>; 2],
    totals_log: Vec<Published>,
    offset: i64,
}

async fn of_two(options: &AggregationOptions, generation: u32) -> Engine {
    let definition = Definition {
        generation,
        fingerprint: crate::fingerprint(options),
    };
    let engine = Engine::of_partitions(options.clone(), definition, 2).await;
    engine.expect("compiles")
}

impl Run {
    async fn new(options: &AggregationOptions, spill: Option<&Spill>) -> Self {
        let mut run = Self {
            engine: of_two(options, 1).await,
            totals: Totals::new(options),
            options: options.clone(),
            spill: spill.cloned(),
            logs: [Vec::new(), Vec::new()],
            totals_log: Vec::new(),
            offset: 0,
        };
        run.restart(1).await;
        run
    }

    /// As another process takes over; says what it found.
    async fn restart(&mut self, generation: u32) -> [Restored; 2] {
        self.engine = of_two(&self.options, generation).await;
        self.totals = Totals::new(&self.options);
        if let Some(spill) = &self.spill {
            self.engine.spill_to(spill.clone());
            self.totals.spill_to(spill.clone());
        }
        self.totals.begin_restore(0);
        for entry in &self.totals_log {
            let restored = self.totals.restore(0, &entry.key, entry.value.as_deref());
            restored.expect("restores");
        }
        [0, 1].map(|partition| {
            self.engine.begin_restore(partition);
            let log = &mut self.logs[usize::try_from(partition).expect("small")];
            for entry in &*log {
                let restored = self
                    .engine
                    .restore(partition, &entry.key, entry.value.as_deref());
                restored.expect("restores");
            }
            let restored = self.engine.end_restore(partition).expect("not newer");
            if restored == Restored::Current {
                log.extend(self.engine.define(partition).map(|(_, entry)| entry));
            }
            restored
        })
    }

    fn inputs<'a>(&mut self, batch: &'a [(i32, String)]) -> Vec<Input<'a>> {
        let inputs = batch.iter().flat_map(|(partition, record)| {
            self.offset += 1;
            super::tests::inputs(*partition, self.offset, std::slice::from_ref(record))
        });
        inputs.collect()
    }

    fn keep(&mut self, changes: &Changes) {
        for (partition, entry) in &changes.changelog {
            self.logs[usize::try_from(*partition).expect("small")].push(entry.clone());
        }
    }

    /// What is said of a batch, in an order that does not depend on that of tables.
    async fn process(&mut self, batch: &[(i32, String)]) -> String {
        let inputs = self.inputs(batch);
        let changes = self.engine.process(&inputs).await.expect("processes");
        self.keep(&changes);
        let mut parts = changes.parts.clone();
        parts.sort_by(|a, b| a.key.cmp(&b.key));
        let parts: Vec<PartInput<'_>> = parts
            .iter()
            .map(|part| PartInput {
                partition: 0,
                offset: 0,
                key: &part.key,
                value: part.value.as_deref().expect("a value"),
            })
            .collect();
        let second = self.totals.process(&self.engine, &parts).expect("folds");
        let entries = second.changelog.iter().map(|(_, entry)| entry.clone());
        self.totals_log.extend(entries);
        said(changes) + &said(second)
    }
}

fn said(mut changes: Changes) -> String {
    changes.results.sort_by(|a, b| a.key.cmp(&b.key));
    changes.parts.sort_by(|a, b| a.key.cmp(&b.key));
    // The last record of a key counts; the order of different keys does not.
    changes
        .changelog
        .sort_by(|(a, one), (b, other)| (a, &one.key).cmp(&(b, &other.key)));
    format!("{changes:?}\n")
}

/// Everything about one seed, with and without a disk.
async fn outcome(seed: u64, spill: Option<&Spill>) -> String {
    let mut random = Random::new(seed);
    let keep_days = random.of(&[Some(1), Some(2), Some(2), Some(9), None]);
    let sql = random.of(SQLS);
    let options = irreversible(sql, keep_days);
    let all = batches(&mut random);
    let mut run = Run::new(&options, spill).await;
    let mut out = String::new();
    for batch in &all {
        out += &run.process(batch).await;
        if random.one_in(4) {
            out += &format!("{:?}\n", run.restart(1).await);
        }
        let mut size = run.engine.size();
        size += run.totals.size();
        out += &format!("rows {} identities {}\n", size.rows, size.identities);
        let held = run.engine.tasks.values().map(|task| &task.rows);
        assert!(
            held.chain(run.totals.all_rows())
                .all(Rows::is_counted_right)
        );
        if spill.is_some() {
            assert_eq!(
                (size.rows, size.identities),
                (size.rows_spilled, size.identities_spilled)
            );
        }
    }
    run.options = irreversible(random.of(SQLS), keep_days);
    let found = run.restart(2).await;
    out += &format!("{found:?}\n");
    run.offset = 0;
    let mut all_inputs = Vec::new();
    all.iter()
        .for_each(|batch| all_inputs.extend(run.inputs(batch)));
    for (partition, found) in [0, 1].into_iter().zip(found) {
        if found == Restored::Current {
            continue;
        }
        let mut old = run.engine.begin_rebuild(partition).expect("reads");
        let log = &run.logs[usize::try_from(partition).expect("small")];
        let keys: BTreeSet<&Vec<u8>> = log.iter().map(|entry| &entry.key).collect();
        keys.iter().for_each(|key| old.note_key(key));
        for some in all_inputs.chunks(7) {
            let some: Vec<Input<'_>> = some
                .iter()
                .filter(|input| input.partition == partition)
                .copied()
                .collect();
            run.engine.replay(&some).await.expect("replays");
        }
        let changes = run.engine.end_rebuild(partition, &old).expect("reads");
        run.keep(&changes);
        out += &said(changes);
    }
    run.restart(2).await;
    let more = [(1, json("new ann 1 24T10:00 24T13:00")), all[0][0].clone()];
    out + &run.process(&more).await
}

#[test]
fn what_is_published_does_not_depend_on_where_state_is() {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let first: u64 = seed.unwrap_or_else(|| {
        let now = jiff::Timestamp::now().as_microsecond().unsigned_abs();
        now % 1_000_000_000
    });
    let is_full = std::env::var("TRIALS").is_ok_and(|trials| trials == "full");
    let trials = if is_full { TRIALS_FULL } else { TRIALS };
    let place = tempfile::tempdir().expect("a directory");
    for seed in first..first + trials {
        let in_memory = run(outcome(seed, None));
        let (tables, _) = testing::spill(0, i64::MAX);
        let files = Spill::open(&SpillOptions {
            directory: place.path().to_owned(),
            memory_bytes_max: 0,
        });
        for spill in [tables, files.expect("opens")] {
            let spilled = run(outcome(seed, Some(&spill)));
            let differs = in_memory.lines().zip(spilled.lines()).find(|(a, b)| a != b);
            assert_eq!(differs, None, "SEED={seed} repeats it");
            assert_eq!(in_memory.len(), spilled.len(), "SEED={seed} repeats it");
        }
    }
}

fn many(first: u64, count: u64) -> Vec<String> {
    let numbers = first..first + count;
    let line = |number| json(&format!("t{number} account{number} 1 23T10:00 23T10:00"));
    numbers.map(line).collect()
}

async fn engine_with(spill: Spill) -> Engine {
    let sql =
        "SELECT account, sum(amount) AS total FROM transactions GROUP BY business_day, account";
    let mut engine = engine_of(&options(sql), 1).await;
    engine.spill_to(spill);
    engine.begin_restore(0);
    engine
}

#[test]
fn no_batch_ends_with_more_in_memory_than_the_limit() {
    run(async {
        let limit = 4 << 20;
        let (spill, _) = testing::spill(limit, i64::MAX);
        let mut engine = engine_with(spill).await;
        let mut largest = 0;
        for batch in 0..30 {
            let first = batch * 1_000;
            let offset = i64::try_from(first).expect("small");
            let records = many(first, 1_000);
            engine
                .process(&inputs(0, offset, &records))
                .await
                .expect("processes");
            let size = engine.size();
            assert!(size.memory_bytes <= limit, "{size:?}");
            largest = largest.max(size.memory_bytes);
            assert_eq!(
                (size.rows, size.identities),
                (1_000 + offset as usize, 1_000 + offset as usize)
            );
        }
        assert!(largest > limit / 8 * 7, "{largest}: what fits stays");
        let size = engine.size();
        assert!(
            size.rows_spilled > 0 && size.rows_spilled < size.rows,
            "{size:?}"
        );
        // Rows that moved out go on, and identities are known.
        let again = many(0, 3);
        let changes = engine
            .process(&inputs(0, 90_000, &again))
            .await
            .expect("processes");
        assert_eq!(changes.duplicates, 3);
        let more = [json("other account1 1 23T10:00 23T10:00")];
        let changes = engine
            .process(&inputs(0, 90_010, &more))
            .await
            .expect("processes");
        let value = changes.results[0].value.as_deref().expect("a value");
        expect![[r#"{"v":[1,2],"day":"2026-11-23","deleted":false,"at":[0,90010],"account":"account1","total":"2.00"}"#]]
            .assert_eq(&String::from_utf8_lossy(value));
    });
}

#[test]
fn nothing_moves_out_below_the_limit() {
    run(async {
        let (spill, calls) = testing::spill(4 << 20, 0);
        let mut engine = engine_with(spill).await;
        engine
            .process(&inputs(0, 0, &many(0, 5_000)))
            .await
            .expect("processes");
        assert_eq!(calls.load(Relaxed), 0);
        assert_eq!(engine.size().rows_spilled, 0);
    });
}

/// Whichever call fails: the error is told, and no record is set aside for it.
#[test]
fn a_disk_that_fails_is_an_error_and_never_a_record_s() {
    run(async {
        let mut failures = 0;
        for allowed in 0.. {
            let (spill, calls) = testing::spill(0, allowed);
            let mut engine = engine_with(spill).await;
            let mut failed = None;
            for (first, offset) in [(0, 0), (2, 10), (0, 20)] {
                match engine.process(&inputs(0, offset, &many(first, 4))).await {
                    Ok(changes) => assert_eq!(changes.quarantined, []),
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
            }
            let Some(error) = failed else {
                assert!(calls.load(Relaxed) >= 0);
                break;
            };
            assert!(matches!(error, EngineError::Scratch { .. }), "{error:?}");
            expect!["the aggregation daily_totals has more state than it may hold in memory, and the disk for the rest failed: cannot write a scratch file in /full: no space left on device"]
                .assert_eq(&report(&error));
            failures += 1;
        }
        assert!(failures > 8, "{failures}");
    });
}
