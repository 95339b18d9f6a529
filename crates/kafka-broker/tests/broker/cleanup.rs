//! Compaction and retention against crashes: whatever the moment, what is left is what was there before or after.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::support::raw::{Pid, Raw, batch, keyed_batch, records};
use crate::support::{copy_dir, until};
use kafka_broker::{Broker, BrokerConfig};

const COMPACTED: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("min.cleanable.dirty.ratio", "0.01"),
    ("delete.retention.ms", "0"),
    ("segment.ms", "1"),
];

fn eager(dir: &Path) -> BrokerConfig {
    let mut config = crate::support::config(dir);
    config.segment_bytes = 2 << 10;
    config.journal_segment_bytes = 1 << 20;
    config.batch_bytes_max = 128 << 10;
    config.cleanup_interval = Duration::from_millis(20);
    config
}

fn pairs(configs: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = configs.iter();
    pairs
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

async fn start(dir: &Path) -> Broker {
    Broker::start(eager(dir)).await.expect("starts")
}

/// The last committed value of each key, as a consumer that reads from the beginning finds it, and how many records
/// it read for that.
async fn table(raw: &mut Raw, topic: &str) -> (BTreeMap<String, String>, usize) {
    let (mut found, mut count, mut offset) = (BTreeMap::new(), 0, 0);
    loop {
        let fetched = raw.fetch(topic, 0, offset, true, 0).await;
        assert_eq!(fetched.error_code, 0);
        if fetched.bytes == 0 {
            return (found, count);
        }
        offset = fetched.next;
        for (key, value) in fetched.pairs() {
            count += 1;
            match value {
                Some(value) => found.insert(key, value),
                None => found.remove(&key),
            };
        }
    }
}

/// Random records, tombstones, transactions that commit and abort; the table that must come of it.
struct Writer {
    raw: Raw,
    pid: Pid,
    sequence: i32,
    round: u64,
    expected: BTreeMap<String, String>,
}

impl Writer {
    async fn new(broker: &Broker, round: u64, expected: BTreeMap<String, String>) -> Self {
        let mut raw = Raw::connect(broker).await;
        let pid = raw.init("tx", 60_000).await;
        Self {
            raw,
            pid,
            sequence: 0,
            round,
            expected,
        }
    }

    async fn step(&mut self) {
        self.round += 1;
        let number = self.round.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let key = format!("k{}", number % 7);
        let value = format!("v{}", self.round);
        match number % 5 {
            0 => {
                let tombstone = records(&[(Some(&key), None, 1)]);
                assert_eq!(self.raw.produce(None, "t", 0, tombstone).await.0, 0);
                self.expected.remove(&key);
            }
            1 | 2 => {
                let commit = number % 5 == 1;
                assert_eq!(self.raw.add("tx", self.pid, "t", &[0]).await, 0);
                let sent =
                    keyed_batch(self.pid, self.sequence, &[(&key, &value), ("both", &value)]);
                assert_eq!(self.raw.produce(Some("tx"), "t", 0, sent).await.0, 0);
                self.sequence += 2;
                assert_eq!(self.raw.end("tx", self.pid, commit).await, 0);
                if commit {
                    self.expected.insert(key, value.clone());
                    self.expected.insert("both".to_owned(), value);
                }
            }
            _ => {
                let record = records(&[(Some(&key), Some(&value), 1)]);
                assert_eq!(self.raw.produce(None, "t", 0, record).await.0, 0);
                self.expected.insert(key, value);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compaction_loses_and_resurrects_nothing_over_crashes_and_restarts() {
    let mut dir = tempfile::tempdir().expect("a directory");
    let mut broker = start(dir.path()).await;
    broker
        .create_topic("t", 1, &pairs(&COMPACTED))
        .await
        .expect("created");
    let mut writer = Writer::new(&broker, 0, BTreeMap::new()).await;
    let mut compactions = 0;
    for round in 0..40 {
        for _ in 0..40 {
            writer.step().await;
        }
        assert_eq!(
            table(&mut writer.raw, "t").await.0,
            writer.expected,
            "round {round}"
        );
        let Writer {
            raw,
            expected,
            round: steps,
            ..
        } = writer;
        drop(raw);
        compactions += broker.stats().compactions;
        match round % 3 {
            0 => broker.checkpoint().await.expect("a checkpoint"),
            // The disk as it is, in the middle of whatever is going on. Copied once more if a file went meanwhile.
            1 => {
                let crashed = tempfile::tempdir().expect("a directory");
                broker = crash(broker, dir.path(), crashed.path()).await;
                dir = crashed;
            }
            _ => {
                broker.shutdown().await;
                broker = start(dir.path()).await;
            }
        }
        writer = Writer::new(&broker, steps, expected).await;
        assert_eq!(
            table(&mut writer.raw, "t").await.0,
            writer.expected,
            "after round {round}"
        );
    }
    assert!(compactions > 5, "{compactions}");
    // Left alone it becomes short: a record a key, and the markers that are too young.
    let records = until(async || {
        let mut raw = Raw::connect(&broker).await;
        raw.produce(None, "t", 0, records(&[(Some("last"), Some("x"), 1)]))
            .await;
        let (_, count) = table(&mut raw, "t").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        (count < 20).then_some(count)
    });
    assert!(records.await >= writer.expected.len());
    drop(writer);
    broker.shutdown().await;
}

/// Starts a broker on a copy of the directory of one that is stopped without a checkpoint.
async fn crash(broker: Broker, from: &Path, to: &Path) -> Broker {
    // No more passes from here on, so that the copy is of one moment; what a pass has left half done is in it.
    drop(broker);
    tokio::time::sleep(Duration::from_millis(100)).await;
    copy_dir(from, to);
    start(to).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn markers_go_with_their_transactions_and_later_records_of_the_producer_are_seen() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    broker
        .create_topic("t", 1, &pairs(&COMPACTED))
        .await
        .expect("created");
    let mut raw = Raw::connect(&broker).await;
    let pid = raw.init("tx", 60_000).await;
    assert_eq!(raw.add("tx", pid, "t", &[0]).await, 0);
    assert_eq!(
        raw.produce(Some("tx"), "t", 0, keyed_batch(pid, 0, &[("a", "aborted")]))
            .await
            .0,
        0
    );
    assert_eq!(raw.end("tx", pid, false).await, 0);
    // Markers and all: offset 0 and 1 are gone in the end, and nobody is told of an aborted transaction any more.
    until(async || {
        let mut raw = Raw::connect(&broker).await;
        let next = raw
            .produce(None, "t", 0, records(&[(Some("filler"), Some("x"), 1)]))
            .await;
        assert_eq!(next.0, 0);
        let fetched = raw.fetch("t", 0, 0, true, 0).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let first = fetched.records.first().map_or(0, |record| record.offset);
        (first > 1 && fetched.aborted.is_empty()).then_some(())
    })
    .await;
    assert_eq!(raw.add("tx", pid, "t", &[0]).await, 0);
    assert_eq!(
        raw.produce(
            Some("tx"),
            "t",
            0,
            keyed_batch(pid, 1, &[("b", "committed")])
        )
        .await
        .0,
        0
    );
    assert_eq!(raw.end("tx", pid, true).await, 0);
    let (found, _) = table(&mut raw, "t").await;
    assert_eq!(found.get("b").map(String::as_str), Some("committed"));
    assert_eq!(found.get("a"), None);
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_remembers_no_more_keys_than_allowed_and_still_comes_to_the_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = eager(dir.path());
    config.compaction_keys_max = 3;
    let broker = Broker::start(config).await.expect("starts");
    broker
        .create_topic("t", 1, &pairs(&COMPACTED))
        .await
        .expect("created");
    let mut raw = Raw::connect(&broker).await;
    for round in 0..20 {
        for key in 0..10 {
            let (key, value) = (format!("k{key}"), format!("v{round}"));
            let sent = records(&[(Some(&key), Some(&value), 1)]);
            assert_eq!(raw.produce(None, "t", 0, sent).await.0, 0);
        }
    }
    until(async || {
        let mut raw = Raw::connect(&broker).await;
        raw.produce(None, "t", 0, records(&[(Some("filler"), Some("x"), 1)]))
            .await;
        let (found, count) = table(&mut raw, "t").await;
        assert!((0..10).all(|key| found[&format!("k{key}")] == "v19"));
        tokio::time::sleep(Duration::from_millis(10)).await;
        (count < 30).then_some(())
    })
    .await;
    drop(raw);
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_retention_deletes_stays_deleted_and_its_files_go() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    let configs = pairs(&[("retention.bytes", "6000")]);
    broker
        .create_topic("t", 1, &configs)
        .await
        .expect("created");
    let mut raw = Raw::connect(&broker).await;
    let value = "x".repeat(500);
    for _ in 0..100 {
        raw.produce(
            None,
            "t",
            0,
            batch(crate::support::raw::NOBODY, 0, false, &[&value]),
        )
        .await;
    }
    until(async || (broker.stats().log_bytes < 9_000).then_some(())).await;
    let first = until(async || {
        let mut raw = Raw::connect(&broker).await;
        let start = raw.fetch("t", 0, 99, false, 0).await.log_start;
        (start > 80).then_some(start)
    })
    .await;
    let files = || {
        let logs = dir.path().join("logs");
        let mut count = 0;
        for topic in std::fs::read_dir(logs).expect("a directory") {
            for partition in
                std::fs::read_dir(topic.expect("an entry").path()).expect("a directory")
            {
                let path = partition.expect("an entry").path();
                count += std::fs::read_dir(path).expect("a directory").count();
            }
        }
        count
    };
    until(async || (files() <= 6).then_some(())).await;
    let crashed = tempfile::tempdir().expect("a directory");
    drop(raw);
    let broker = crash(broker, dir.path(), crashed.path()).await;
    let mut raw = Raw::connect(&broker).await;
    let fetched = raw.fetch("t", 0, first, false, 0).await;
    assert_eq!((fetched.error_code, fetched.records[0].offset), (0, first));
    assert_eq!(raw.fetch("t", 0, 0, false, 0).await.error_code, 1);
    broker.shutdown().await;
}
