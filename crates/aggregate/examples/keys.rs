//! Memory and speed of the engine by number of keys, without a log: `cargo run --release -p aggregate --example keys [KEYS...]`.
//! `SPILL_MIB=512` lets it hold so much state in memory, the rest in the directory `SPILL_DIR`, or `keys.spill` here.
//!
//! Each number of keys is counted in a process of its own, so that memory is its own; every key comes once, then keys at random, two
//! million records at least, `RECORDS` if it is given. The sums are checked.
#![allow(missing_docs, clippy::print_stdout, clippy::print_stderr)]

use std::collections::HashMap;
use std::process::Command;
use std::time::{Duration, Instant};

use aggregate::{AggregationOptions, Definition, Engine, Input, Spill, SpillOptions, fingerprint};

const RECORDS_MIN: u64 = 2_000_000;
const BATCH: u64 = 50_000;
const PARTITIONS: u64 = 4;
const AT: i64 = 1_795_424_400_000_000;

fn options() -> AggregationOptions {
    let sql = "SELECT account, sum(amount) AS total, count(*) AS count FROM transactions GROUP BY business_day, account";
    AggregationOptions::new("totals", sql, "UTC", "00:00").expect("a calendar")
}

fn spill() -> Option<SpillOptions> {
    let given = std::env::var("SPILL_MIB").ok()?;
    let mib: usize = given.parse().expect("a number of MiB");
    let directory = std::env::var("SPILL_DIR").unwrap_or_else(|_| "keys.spill".to_owned());
    Some(SpillOptions {
        directory: directory.into(),
        memory_bytes_max: mib << 20,
    })
}

/// Resident memory in KiB (proc_pid_status(5)).
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn key_of(number: u64, keys: u64, seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    if number < keys { number } else { *seed % keys }
}

async fn count(keys: u64) {
    let options = options();
    let definition = Definition {
        generation: 1,
        fingerprint: fingerprint(&options),
    };
    let mut engine = Engine::new(options, definition).await.expect("compiles");
    if let Some(spill) = spill() {
        engine.spill_to(Spill::open(&spill).expect("a directory"));
    }
    for partition in 0..4 {
        engine.begin_restore(partition);
        engine.end_restore(partition).expect("nothing there");
    }
    let before = resident();
    let given = std::env::var("RECORDS").ok();
    let given = given.map(|given| given.parse().expect("a number of records"));
    let all = given.unwrap_or_else(|| RECORDS_MIN.max(keys + keys / 2));
    let (mut seed, mut number, mut took) = (0x9E37_79B9_7F4A_7C15, 0, Duration::ZERO);
    let (mut steady, mut steady_records) = (Duration::ZERO, 0);
    let mut sum: u64 = 0;
    let mut batches: Vec<Duration> = Vec::new();
    let mut totals: HashMap<Vec<u8>, u64> = HashMap::new();
    let is_checked = keys <= 1_000_000;
    while number < all {
        let lines: Vec<(u64, String)> = (number..(number + BATCH).min(all))
            .map(|number| {
                let key = key_of(number, keys, &mut seed);
                sum += number % 1_000;
                let line = format!(
                    r#"{{"id":"T-{number:012}","source":"s","account":"ACC-{key:08}","amount":"{}.00","currency":"EUR","booked_at":"2026-11-23T09:00:00Z","received_at":"2026-11-23T09:00:00Z","merchant":"M-{:05}"}}"#,
                    number % 1_000,
                    number % 97
                );
                (key, line)
            })
            .collect();
        let inputs: Vec<Input<'_>> = (number..)
            .zip(&lines)
            .map(|(offset, (key, line))| Input {
                partition: i32::try_from(key % PARTITIONS).expect("small"),
                offset: i64::try_from(offset).expect("small"),
                appended_at: AT,
                value: line.as_bytes(),
            })
            .collect();
        let begun = Instant::now();
        let changes = engine.process(&inputs).await.expect("processes");
        let elapsed = begun.elapsed();
        took += elapsed;
        batches.push(elapsed);
        if number >= keys {
            steady += elapsed;
            steady_records += inputs.len() as u64;
        }
        assert!(
            changes.quarantined.is_empty(),
            "{:?}",
            changes.quarantined.first()
        );
        if is_checked {
            for result in &changes.results {
                let value = result.value.as_deref().expect("a row");
                let row: serde_json::Value = serde_json::from_slice(value).expect("JSON");
                let total = row["total"].as_str().expect("a total");
                let whole = total.strip_suffix(".00").expect("whole");
                totals.insert(result.key.clone(), whole.parse().expect("a number"));
            }
        }
        number += BATCH;
    }
    let memory = (resident() - before) * 1_024;
    if is_checked {
        assert_eq!(totals.values().sum::<u64>(), sum, "the totals are wrong");
    }
    let rate = |records: u64, time: Duration| match time.as_millis() {
        0 => 0,
        millis => u128::from(records) * 1_000 / millis,
    };
    println!(
        "{keys} keys, {all} records: {} records/s, known keys {} records/s; memory {} MiB, {} bytes a record; rows {}, identities {}",
        rate(all, took),
        rate(steady_records, steady),
        memory >> 20,
        memory / all,
        engine.rows(),
        engine.identities()
    );
    batches.sort_unstable();
    let [half, most, slowest] = [50, 99, 100].map(|percent| {
        let batch = batches.get((batches.len() * percent / 100).min(batches.len() - 1));
        batch.map_or(0, Duration::as_millis)
    });
    println!(
        "  batches of {BATCH}: p50 {half} p99 {most} max {slowest} ms; {:?}",
        engine.size()
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, keys] = arguments.as_slice()
        && flag == "--one"
    {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let keys = keys.parse().expect("a number of keys");
        runtime.expect("a runtime").block_on(count(keys));
        return;
    }
    let wanted = match arguments.as_slice() {
        [] => ["1000", "100000", "1000000", "10000000"]
            .map(str::to_owned)
            .to_vec(),
        given => given.to_vec(),
    };
    for keys in wanted {
        let program = std::env::current_exe().expect("a path");
        let status = Command::new(program).args(["--one", &keys]).status();
        assert!(status.expect("starts").success(), "{keys} keys failed");
    }
}
