//! What is left after a crash at any moment: everything acknowledged, and never half a transaction.

use std::path::{Path, PathBuf};

use crate::support::copy_dir;
use crate::support::raw::{NOBODY, Pid, Raw, batch};
use kafka_broker::{Broker, BrokerConfig};

fn small(dir: &Path) -> BrokerConfig {
    let mut config = crate::support::config(dir);
    config.journal_segment_bytes = 1 << 20;
    config.batch_bytes_max = 128 << 10;
    config.segment_bytes = 4 << 10;
    config
}

async fn open(dir: &Path) -> Broker {
    Broker::start(small(dir)).await.expect("the broker starts")
}

/// xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

fn seed() -> u64 {
    let given = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed: u64 = given.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.expect("after 1970").subsec_nanos().into()
    });
    eprintln!("SEED={seed}");
    seed | 1
}

/// What must be visible: the values of `plain`, those of both partitions of `t`, and the offset of the group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Expected {
    plain: Vec<String>,
    t: [Vec<String>; 2],
    offset: i64,
}

async fn seen(raw: &mut Raw) -> Expected {
    let (code, offset) = raw.committed("g", "plain").await;
    assert!(code == 0 || code == kafka_protocol::ResponseError::UnstableOffsetCommit.code());
    Expected {
        plain: raw.read("plain", 0, true).await,
        t: [raw.read("t", 0, true).await, raw.read("t", 1, true).await],
        offset: if code == 0 { offset } else { -2 },
    }
}

/// One producer with one transactional id, and what it has been told.
struct Writer {
    raw: Raw,
    pid: Pid,
    sequences: [i32; 2],
    round: i64,
    expected: Expected,
}

impl Writer {
    async fn new(broker: &Broker, expected: Expected, round: i64) -> Self {
        let mut raw = Raw::connect(broker).await;
        let pid = raw.init("tx", 60_000).await;
        Self {
            raw,
            pid,
            sequences: [0; 2],
            round,
            expected,
        }
    }

    async fn plain(&mut self) {
        self.round += 1;
        let value = format!("p{}", self.round);
        let (code, _) = self
            .raw
            .produce(None, "plain", 0, batch(NOBODY, 0, false, &[&value]))
            .await;
        assert_eq!(code, 0);
        self.expected.plain.push(value);
    }

    /// Two partitions and a group's offset in one transaction. `how`: 0 aborts, 1 leaves it open, else commits.
    async fn transaction(&mut self, how: u64) {
        self.round += 1;
        let value = format!("t{}", self.round);
        let (raw, pid) = (&mut self.raw, self.pid);
        assert_eq!(raw.add("tx", pid, "t", &[0, 1]).await, 0);
        for partition in 0..2 {
            let sequence = &mut self.sequences[partition as usize];
            let bytes = batch(pid, *sequence, true, &[&value]);
            assert_eq!(raw.produce(Some("tx"), "t", partition, bytes).await.0, 0);
            *sequence += 1;
        }
        assert_eq!(raw.add_offsets("tx", pid, "g").await, 0);
        assert_eq!(raw.txn_commit("tx", pid, "g", "plain", self.round).await, 0);
        match how {
            0 => assert_eq!(raw.end("tx", pid, false).await, 0),
            1 => {
                self.pid = raw.init("tx", 60_000).await;
                self.sequences = [0; 2];
            }
            _ => {
                assert_eq!(raw.end("tx", pid, true).await, 0);
                self.expected
                    .t
                    .iter_mut()
                    .for_each(|values| values.push(value.clone()));
                self.expected.offset = self.round;
            }
        }
    }
}

/// Bytes of the journal's files up to the last one that is not zero, in order of name.
fn journal_files(dir: &Path) -> Vec<(PathBuf, usize)> {
    let entries = std::fs::read_dir(dir.join("journal")).expect("a directory");
    let mut files: Vec<(PathBuf, usize)> = entries
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            let bytes = std::fs::read(&path).expect("a file");
            let used = bytes
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |last| last + 1);
            (path, used)
        })
        .filter(|(_, used)| *used > 0)
        .collect();
    files.sort();
    files
}

/// The journal's one file that is written to. The tests here stay within one.
fn journal_file(dir: &Path) -> (PathBuf, usize) {
    let files = journal_files(dir);
    files
        .into_iter()
        .max_by_key(|(_, used)| *used)
        .expect("a journal file")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_anywhere_the_journal_gives_back_what_was_acknowledged_and_whole_transactions() {
    let mut random = Random(seed());
    let dir = tempfile::tempdir().expect("a directory");
    let broker = open(dir.path()).await;
    broker.create_topic("plain", 1, &[]).await.expect("created");
    broker.create_topic("t", 2, &[]).await.expect("created");
    broker.checkpoint().await.expect("a checkpoint");
    let first = journal_file(dir.path()).1;
    let expected = Expected {
        offset: -1,
        ..Expected::default()
    };
    let mut writer = Writer::new(&broker, expected, 0).await;
    // After each acknowledged step: bytes of the journal, and what must be there with so many.
    let mut steps = vec![(first, writer.expected.clone())];
    for _ in 0..25 {
        if random.below(3) == 0 {
            writer.plain().await;
        } else {
            let how = random.below(5);
            writer.transaction(how).await;
        }
        steps.push((journal_file(dir.path()).1, writer.expected.clone()));
    }
    let crashed = tempfile::tempdir().expect("a directory");
    copy_dir(dir.path(), crashed.path());
    let (file, used) = journal_file(crashed.path());
    let whole = std::fs::read(&file).expect("the journal");
    let name = file.file_name().expect("a name").to_owned();
    for sample in 0..40 {
        let from = first as u64;
        // The ends of the steps themselves first, then anything in between.
        let cut = match steps.get(sample * 2) {
            Some((end, _)) => *end,
            None => (from + random.below(used as u64 - from)) as usize,
        };
        let copy = tempfile::tempdir().expect("a directory");
        copy_dir(crashed.path(), copy.path());
        let mut bytes = whole.clone();
        bytes[cut..].fill(0);
        std::fs::write(copy.path().join("journal").join(&name), bytes).expect("written");
        check_cut(copy.path(), cut, &steps).await;
    }
    broker.shutdown().await;
}

async fn check_cut(dir: &Path, cut: usize, steps: &[(usize, Expected)]) {
    let broker = open(dir).await;
    let mut raw = Raw::connect(&broker).await;
    // Nobody else: what is open ends aborted.
    raw.init("tx", 60_000).await;
    let seen = seen(&mut raw).await;
    let acknowledged = &steps
        .iter()
        .rev()
        .find(|(end, _)| *end <= cut)
        .expect("the first")
        .1;
    let next = steps
        .iter()
        .find(|(end, _)| *end > cut)
        .map_or(acknowledged, |(_, next)| next);
    assert!(
        seen == *acknowledged || seen == *next,
        "cut at {cut}: {seen:?}, not {acknowledged:?} or {next:?}"
    );
    // And it goes on.
    let mut writer = Writer::new(&broker, seen, 1_000_000).await;
    writer.transaction(2).await;
    writer.plain().await;
    assert_eq!(super_seen(&mut writer).await, writer.expected);
    drop(writer);
    drop(raw);
    broker.shutdown().await;
}

async fn super_seen(writer: &mut Writer) -> Expected {
    seen(&mut writer.raw).await
}

/// Random steps with crashes (the directory as it is), clean stops and checkpoints in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_steps_crashes_and_checkpoints_lose_nothing() {
    let mut random = Random(seed());
    let mut dir = tempfile::tempdir().expect("a directory");
    let mut broker = open(dir.path()).await;
    broker.create_topic("plain", 1, &[]).await.expect("created");
    broker.create_topic("t", 2, &[]).await.expect("created");
    let expected = Expected {
        offset: -1,
        ..Expected::default()
    };
    let mut writer = Writer::new(&broker, expected, 0).await;
    for _ in 0..150 {
        match random.below(12) {
            0..=3 => writer.plain().await,
            4..=8 => {
                let how = random.below(5);
                writer.transaction(how).await;
            }
            9 => broker.checkpoint().await.expect("a checkpoint"),
            kind => {
                let Writer {
                    expected,
                    round,
                    raw,
                    ..
                } = writer;
                drop(raw);
                if kind == 10 {
                    broker.shutdown().await;
                } else {
                    let crashed = tempfile::tempdir().expect("a directory");
                    copy_dir(dir.path(), crashed.path());
                    drop(broker);
                    dir = crashed;
                }
                broker = open(dir.path()).await;
                writer = Writer::new(&broker, expected, round).await;
                assert_eq!(seen(&mut writer.raw).await, writer.expected);
            }
        }
    }
    assert_eq!(seen(&mut writer.raw).await, writer.expected);
    drop(writer);
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_snapshot_is_an_error_and_a_second_broker_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = open(dir.path()).await;
    broker.create_topic("plain", 1, &[]).await.expect("created");
    let second = Broker::start(small(dir.path())).await;
    assert!(
        matches!(second, Err(kafka_broker::StartError::InUse { .. })),
        "{second:?}"
    );
    broker.shutdown().await;
    let path = dir.path().join("snapshot");
    let good = std::fs::read(&path).expect("a snapshot");
    for at in [0, 10, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&path, bad).expect("written");
        let error = Broker::start(small(dir.path())).await.expect_err("refused");
        assert!(
            matches!(error, kafka_broker::StartError::Snapshot { .. }),
            "{error:?}"
        );
    }
    std::fs::write(&path, good).expect("written");
    let broker = open(dir.path()).await;
    assert_eq!(broker.stats().end_offsets["plain"], [0]);
    broker.shutdown().await;
}

/// Checkpoints come by themselves when the journal grows, and the journal stays short.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_is_cut_while_records_come() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = small(dir.path());
    config.journal_checkpoint_bytes = 1 << 20;
    config.segment_bytes = 256 << 10;
    let broker = Broker::start(config.clone()).await.expect("starts");
    broker.create_topic("plain", 1, &[]).await.expect("created");
    let mut raw = Raw::connect(&broker).await;
    let value = "x".repeat(100_000);
    let mut sent = 0;
    while broker.stats().checkpoints < 3 || sent < 500 {
        assert_eq!(
            raw.produce(None, "plain", 0, batch(NOBODY, 0, false, &[&value]))
                .await,
            (0, sent)
        );
        sent += 1;
        assert!(sent < 5_000, "no checkpoint");
    }
    assert!(
        broker.stats().journal_bytes < 40 << 20,
        "{}",
        broker.stats().journal_bytes
    );
    // The copy is of one moment: no checkpoint is under way, nor due by what is sent behind this one.
    broker.checkpoint().await.expect("taken");
    for _ in 0..3 {
        let produced = raw.produce(None, "plain", 0, batch(NOBODY, 0, false, &[&value]));
        assert_eq!(produced.await, (0, sent));
        sent += 1;
    }
    let crashed = tempfile::tempdir().expect("a directory");
    copy_dir(dir.path(), crashed.path());
    config.data_dir = crashed.path().to_owned();
    let copy = Broker::start(config).await.expect("starts");
    assert_eq!(copy.stats().end_offsets["plain"], [sent]);
    assert_eq!(
        Raw::connect(&copy)
            .await
            .read("plain", 0, false)
            .await
            .len(),
        sent as usize
    );
    copy.shutdown().await;
    broker.shutdown().await;
}
