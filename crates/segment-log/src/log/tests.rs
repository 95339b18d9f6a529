//! The log against its promises: order, recovery, damage, reclaiming.

use super::*;
use crate::recover::SPARE_PREFIX;
use crate::writer::SPARES_MAX;

fn open(dir: &Path, options: LogOptions) -> (Result<Log, OpenError>, Vec<Vec<u8>>) {
    let mut records = Vec::new();
    let log = Log::open(dir, options, &mut |_, record| {
        records.push(record.to_vec());
        Ok(())
    });
    (log, records)
}

fn small() -> LogOptions {
    LogOptions {
        segment_bytes: 1,
        record_bytes_max: 4096,
        ..LogOptions::default()
    }
}

#[tokio::test]
async fn what_was_durable_comes_back_in_order_over_many_segments() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, _) = open(dir.path(), small());
    let log = log.expect("opens");
    let mut expected = Vec::new();
    let mut last = Position(0);
    for number in 0..4000_u32 {
        let record = vec![number as u8; (number % 1500) as usize];
        last = log.append(&[&record]).expect("appends");
        expected.push(record);
    }
    log.durable(last).await.expect("durable");
    assert!(log.shared.segments.oldest() == Some(0));
    drop(log);
    let (log, records) = reopen(dir.path()).await;
    assert!(records == expected);
    log.truncate_before(last).expect("frees");
    assert!(log.size_bytes() < 3_000_000);
}

fn spares(dir: &Path) -> usize {
    let files = fs::read_dir(dir).expect("lists");
    let names = files.map(|file| file.expect("a file").file_name());
    names
        .filter(|name| name.to_string_lossy().starts_with(SPARE_PREFIX))
        .count()
}

#[tokio::test]
async fn freed_segments_are_used_again_also_in_the_next_life() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), small()).0.expect("opens");
    let segment_bytes = log.shared.segments.segment_bytes;
    let fill = async |log: &Log| {
        let end = log.end().0 + (SPARES_MAX as u64 + 2) * segment_bytes;
        let mut last = log.end();
        while last.0 < end {
            last = log.append(&[&[7; 4096]]).expect("appends");
        }
        log.durable(last).await.expect("durable");
        last
    };
    let last = fill(&log).await;
    log.truncate_before(last).expect("frees");
    assert_eq!(spares(dir.path()), SPARES_MAX);
    drop(log);
    // Half made, as a crash leaves it.
    fs::write(dir.path().join("spare"), b"half").expect("writes");
    let (log, _) = reopen(dir.path()).await;
    assert_eq!(log.shared.segments.spares(), SPARES_MAX);
    assert!(!dir.path().join("spare").exists());
    let last = fill(&log).await;
    assert!(log.shared.segments.spares() < SPARES_MAX);
    drop(log);
    let (log, records) = reopen(dir.path()).await;
    assert_eq!(log.end(), last);
    assert!(records.iter().all(|record| record == &[7; 4096]));
}

/// The flush thread of a dropped log gives its lock back a moment later.
async fn reopen(dir: &Path) -> (Log, Vec<Vec<u8>>) {
    loop {
        match open(dir, small()) {
            (Ok(log), records) => return (log, records),
            (Err(OpenError::InUse { .. }), _) => tokio::task::yield_now().await,
            (Err(error), _) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_lazy_record_is_flushed_when_somebody_asks_for_it_or_much_has_gathered() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), LogOptions::default()).0.expect("opens");
    let before = log.durable_position();
    let lazy = log.append_lazily(&[b"lazy"]).expect("appends");
    let end = log.append(&[b"waited for"]).expect("appends");
    log.durable(end).await.expect("durable");
    assert!(before < lazy && lazy < log.durable_position());
    let asked = log.append_lazily(&[b"asked for"]).expect("appends");
    assert!(log.durable_position() < asked);
    log.durable(asked).await.expect("durable");
    let mut changes = log.changes();
    let much = vec![0; BLOCK_BYTES_TARGET];
    let first = log.append_lazily(&[&much]).expect("appends");
    let _second = log.append_lazily(&[&much]).expect("appends");
    while log.durable_position() < first {
        changes.next().await.expect("more is durable");
    }
    let last = log.append_lazily(&[b"last"]).expect("appends");
    log.flush();
    while log.durable_position() < last {
        changes.next().await.expect("more is durable");
    }
}

#[tokio::test]
async fn busy_or_not_everything_becomes_durable() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = LogOptions {
        busy_interval: Duration::from_millis(1),
        ..LogOptions::default()
    };
    let log = open(dir.path(), options).0.expect("opens");
    for burst in [1, 50, 1, 2, 1] {
        let mut last = Position(0);
        for _ in 0..burst {
            last = log.append(&[b"record"]).expect("appends");
        }
        log.durable(last).await.expect("durable");
    }
    log.append(&[b"record"]).expect("appends");
    log.close().await.expect("closes");
    drop(open(dir.path(), LogOptions::default()));
}

#[tokio::test]
async fn a_record_of_the_largest_size_fits_and_one_byte_more_does_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, _) = open(dir.path(), small());
    let log = log.expect("opens");
    let end = log.append(&[&[7; 4096]]).expect("the largest");
    log.durable(end).await.expect("durable");
    let error = log.append(&[&[7; 4096], &[7]]).expect_err("one more");
    assert_eq!(
        error.to_string(),
        "a record of 4097 bytes is larger than record_bytes_max = 4096"
    );
}

#[tokio::test]
async fn a_second_opening_is_refused_while_the_first_lives() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, _) = open(dir.path(), small());
    let _log = log.expect("opens");
    assert!(matches!(
        open(dir.path(), small()).0,
        Err(OpenError::InUse { .. })
    ));
}

#[tokio::test]
async fn a_closed_log_refuses_and_keeps_what_it_had() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, _) = open(dir.path(), small());
    let log = log.expect("opens");
    log.append(&[b"kept"]).expect("appends");
    let other = log.clone();
    log.close().await.expect("closes");
    assert!(matches!(other.append(&[b"no"]), Err(LogError::Closed)));
    drop(other);
    let (_log, records) = reopen(dir.path()).await;
    assert_eq!(records, [b"kept".to_vec()]);
}
