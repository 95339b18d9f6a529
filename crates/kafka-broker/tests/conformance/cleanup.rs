//! Retention and compaction, waited for.

use std::time::{SystemTime, UNIX_EPOCH};

use kafka_protocol::records::Compression;

use crate::list_offsets::offset_at;
use crate::support::raw::{Raw, encode, keyed_batch, records};
use crate::{Target, eventually};

const EARLIEST: i64 = -2;
/// The smallest segment that a real Kafka allows.
const SEGMENT: &str = "1048576";

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_millis() as i64
}

/// Sends about a segment's worth of records that nobody asks for.
async fn fill(raw: &mut Raw, topic: &str, time: i64) {
    let value = "f".repeat(300_000);
    for _ in 0..4 {
        let record = [(Some("filler"), Some(value.as_str()), time)];
        assert_eq!(raw.produce(None, topic, 0, records(&record)).await.0, 0);
    }
}

#[tokio::test]
async fn segments_beyond_the_size_to_keep_are_deleted() {
    let target = Target::new().await;
    let configs = [("segment.bytes", SEGMENT), ("retention.bytes", SEGMENT)];
    let topic = target.topic(1, &configs).await;
    let mut raw = target.raw().await;
    for _ in 0..4 {
        fill(&mut raw, &topic, now_ms()).await;
    }
    let start = eventually(async || {
        let (_, start, _) = offset_at(&mut target.raw().await, &topic, 0, EARLIEST).await;
        (start >= 6).then_some(start)
    });
    let start = start.await;
    // What is kept is at least what was to be kept.
    assert!(start <= 13, "{start}");
    let fetched = raw.fetch(&topic, 0, start, false, 0).await;
    assert_eq!(fetched.records[0].offset, start);
    assert_eq!(offset_at(&mut raw, &topic, 0, -1).await.1, 16);
}

#[tokio::test]
async fn records_beyond_the_time_to_keep_are_deleted_also_the_last_ones() {
    let target = Target::new().await;
    let topic = target.topic(1, &[("retention.ms", "3600000")]).await;
    let mut raw = target.raw().await;
    let old = now_ms() - 7_200_000;
    let sent = raw
        .produce(None, &topic, 0, records(&[(None, Some("old"), old)]))
        .await;
    assert_eq!(sent, (0, 0));
    eventually(async || {
        let found = offset_at(&mut target.raw().await, &topic, 0, EARLIEST).await;
        (found.1 == 1).then_some(())
    })
    .await;
    let sent = raw
        .produce(None, &topic, 0, records(&[(None, Some("new"), now_ms())]))
        .await;
    assert_eq!(sent, (0, 1));
    assert_eq!(raw.fetch(&topic, 0, 1, false, 0).await.values(), ["new"]);
}

/// Reads everything there is with its offsets; control records and null values are left out.
async fn visible(raw: &mut Raw, topic: &str) -> Vec<(i64, String, String)> {
    let mut found = Vec::new();
    let (_, end, _) = offset_at(raw, topic, 0, -1).await;
    let (_, mut offset, _) = offset_at(raw, topic, 0, EARLIEST).await;
    while offset < end {
        let fetched = raw.fetch(topic, 0, offset, false, 0).await;
        let last = if fetched.bytes == 0 {
            end
        } else {
            fetched.next
        };
        for record in fetched.records {
            if let (false, Some(key), Some(value)) = (record.control, record.key, record.value) {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
                found.push((record.offset, text(&key), text(&value)));
            }
        }
        offset = last;
    }
    found.retain(|(_, key, _)| key != "filler");
    found
}

const EAGER: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("segment.bytes", SEGMENT),
    ("min.cleanable.dirty.ratio", "0.01"),
    ("delete.retention.ms", "0"),
];

async fn compacts(codec: Compression) {
    let target = Target::new().await;
    let topic = target.topic(1, &EAGER).await;
    let mut raw = target.raw().await;
    let time = now_ms();
    let one = |key: &'static str, value: &'static str| (Some(key), Some(value), time);
    for batch in [
        vec![one("a", "a1"), one("b", "b1"), one("a", "a2")],
        vec![one("c", "c1"), one("b", "b2")],
        vec![one("d", "d1"), (Some("c"), None, time)],
    ] {
        assert_eq!(
            raw.produce(None, &topic, 0, encode(&batch, codec)).await.0,
            0
        );
    }
    fill(&mut raw, &topic, time).await;
    let expected: Vec<_> = [(2, "a", "a2"), (4, "b", "b2"), (5, "d", "d1")]
        .map(|(offset, key, value)| (offset, key.to_owned(), value.to_owned()))
        .into();
    eventually(async || {
        let found = visible(&mut target.raw().await, &topic).await;
        (found == expected).then_some(())
    })
    .await;
    // Whatever offset one begins at, the next record that is left comes.
    for (offset, next) in [(0, 2), (1, 2), (3, 4)] {
        let fetched = raw.fetch(&topic, 0, offset, false, 0).await;
        let found = fetched
            .records
            .iter()
            .find(|record| record.offset >= offset);
        assert_eq!(found.expect("a record").offset, next, "{offset}");
    }
    let kept = raw.fetch(&topic, 0, 2, false, 0).await;
    let kept = kept.records.iter().find(|record| record.offset == 2);
    assert_eq!(kept.expect("a record").timestamp, time);
}

#[tokio::test]
async fn compaction_keeps_the_last_value_of_each_key() {
    compacts(Compression::None).await;
}

#[tokio::test]
async fn compaction_reads_inside_gzip_batches() {
    compacts(Compression::Gzip).await;
}

#[tokio::test]
async fn compaction_reads_inside_zstd_batches() {
    compacts(Compression::Zstd).await;
}

#[tokio::test]
async fn compaction_drops_tombstones_when_their_time_has_come() {
    let target = Target::new().await;
    let topic = target.topic(1, &EAGER).await;
    let mut raw = target.raw().await;
    let time = now_ms();
    let sent = [
        (Some("k"), Some("v"), time),
        (Some("k"), None, time),
        (Some("l"), Some("w"), time),
    ];
    assert_eq!(raw.produce(None, &topic, 0, records(&sent)).await.0, 0);
    // The first pass leaves the tombstone with a date, a later one takes it away.
    eventually(async || {
        let mut raw = target.raw().await;
        fill(&mut raw, &topic, now_ms()).await;
        let fetched = raw.fetch(&topic, 0, 0, false, 0).await;
        let mut keys = fetched.records.iter().map(|record| record.key.clone());
        let tombstone = keys.any(|key| key.as_deref() == Some(b"k"));
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        (!tombstone).then_some(())
    })
    .await;
    let left = visible(&mut raw, &topic).await;
    assert_eq!(left, [(2, "l".to_owned(), "w".to_owned())]);
}

#[tokio::test]
async fn compaction_drops_aborted_records_and_never_brings_back_what_they_hid() {
    let target = Target::new().await;
    let topic = target.topic(1, &EAGER).await;
    let id = target.transactional_id().await;
    let mut raw = target.raw().await;
    let pid = raw.init(&id, 60_000).await;
    let time = now_ms();
    assert_eq!(
        raw.produce(
            None,
            &topic,
            0,
            records(&[(Some("k"), Some("committed"), time)])
        )
        .await,
        (0, 0)
    );
    assert_eq!(raw.add(&id, pid, &topic, &[0]).await, 0);
    let aborted = keyed_batch(pid, 0, &[("k", "aborted"), ("only", "aborted")]);
    assert_eq!(raw.produce(Some(&id), &topic, 0, aborted).await, (0, 1));
    assert_eq!(raw.end(&id, pid, false).await, 0);
    assert_eq!(raw.add(&id, pid, &topic, &[0]).await, 0);
    let good = keyed_batch(pid, 2, &[("m", "good")]);
    assert_eq!(raw.produce(Some(&id), &topic, 0, good).await, (0, 4));
    assert_eq!(raw.end(&id, pid, true).await, 0);
    eventually(async || {
        let found = target.raw().await.fetch(&topic, 0, 0, true, 100).await;
        (found.last_stable == 6).then_some(())
    })
    .await;
    fill(&mut raw, &topic, time).await;
    let expected = [(0, "k", "committed"), (4, "m", "good")];
    let expected = expected.map(|(offset, key, value)| (offset, key.to_owned(), value.to_owned()));
    eventually(async || {
        let found = visible(&mut target.raw().await, &topic).await;
        (found == expected).then_some(())
    })
    .await;
    let committed = raw.fetch(&topic, 0, 0, true, 0).await.values();
    assert_eq!(committed[..2], ["committed", "good"]);
}

#[tokio::test]
async fn compaction_stops_before_an_open_transaction() {
    let target = Target::new().await;
    let topic = target.topic(1, &EAGER).await;
    let id = target.transactional_id().await;
    let mut raw = target.raw().await;
    let pid = raw.init(&id, 60_000).await;
    let time = now_ms();
    assert_eq!(raw.add(&id, pid, &topic, &[0]).await, 0);
    let open = keyed_batch(pid, 0, &[("k", "open")]);
    assert_eq!(raw.produce(Some(&id), &topic, 0, open).await, (0, 0));
    fill(&mut raw, &topic, time).await;
    assert_eq!(
        raw.produce(
            None,
            &topic,
            0,
            records(&[(Some("k"), Some("later"), time)])
        )
        .await
        .0,
        0
    );
    fill(&mut raw, &topic, time).await;
    // Another topic goes the same way and is seen compacted: this one had its turn.
    let witness = target.topic(1, &EAGER).await;
    let sent = [(Some("w"), Some("1"), time), (Some("w"), Some("2"), time)];
    raw.produce(None, &witness, 0, records(&sent)).await;
    fill(&mut raw, &witness, time).await;
    eventually(async || {
        let found = visible(&mut target.raw().await, &witness).await;
        (found.len() == 1).then_some(())
    })
    .await;
    assert_eq!(visible(&mut raw, &topic).await.len(), 2);
    assert_eq!(raw.end(&id, pid, true).await, 0);
    eventually(async || {
        let found = visible(&mut target.raw().await, &topic).await;
        (found == [(5, "k".to_owned(), "later".to_owned())]).then_some(())
    })
    .await;
}
