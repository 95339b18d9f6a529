//! ListOffsets: the ends, and the first record of a time.

use kafka_protocol::ResponseError as E;
use kafka_protocol::messages::ListOffsetsRequest;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::records::Compression;

use crate::Target;
use crate::support::raw::{NOBODY, Raw, batch, encode, name};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;

/// Error code, offset, timestamp.
pub(crate) async fn offset_at(
    raw: &mut Raw,
    topic: &str,
    partition: i32,
    time: i64,
) -> (i16, i64, i64) {
    ask(raw, topic, partition, time, false, -1).await
}

async fn ask(
    raw: &mut Raw,
    topic: &str,
    partition: i32,
    time: i64,
    committed: bool,
    epoch: i32,
) -> (i16, i64, i64) {
    let wish = ListOffsetsPartition::default()
        .with_partition_index(partition)
        .with_current_leader_epoch(epoch)
        .with_timestamp(time);
    let wanted = ListOffsetsTopic::default()
        .with_name(name(topic))
        .with_partitions(vec![wish]);
    let request = ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_isolation_level(i8::from(committed))
        .with_topics(vec![wanted]);
    let answer = raw.call(7, request).await;
    let found = &answer.topics[0].partitions[0];
    (found.error_code, found.offset, found.timestamp)
}

#[tokio::test]
async fn an_empty_log_begins_and_ends_at_zero() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let mut raw = target.raw().await;
    assert_eq!(offset_at(&mut raw, &topic, 0, EARLIEST).await, (0, 0, -1));
    assert_eq!(offset_at(&mut raw, &topic, 0, LATEST).await, (0, 0, -1));
    assert_eq!(offset_at(&mut raw, &topic, 0, 0).await, (0, -1, -1));
    assert_eq!(
        offset_at(&mut raw, &topic, 0, MAX_TIMESTAMP).await,
        (0, -1, -1)
    );
}

#[tokio::test]
async fn an_unknown_topic_or_partition_is_refused() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let mut raw = target.raw().await;
    let refused = (E::UnknownTopicOrPartition.code(), -1, -1);
    assert_eq!(offset_at(&mut raw, "no-such", 0, LATEST).await, refused);
    assert_eq!(offset_at(&mut raw, &topic, 5, LATEST).await, refused);
}

#[tokio::test]
async fn a_leader_epoch_that_is_not_the_partitions_is_refused() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let mut raw = target.raw().await;
    assert_eq!(ask(&mut raw, &topic, 0, LATEST, false, 0).await.0, 0);
    let refused = ask(&mut raw, &topic, 0, LATEST, false, 1).await.0;
    assert_eq!(refused, E::UnknownLeaderEpoch.code());
}

/// Timestamps 1000, 1001, ... with offsets 0, 1, ...; a batch may hold several.
async fn by_time(codec: Compression) {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let mut raw = target.raw().await;
    for round in 0..3 {
        let times: Vec<i64> = (0..4).map(|i| 1_000 + round * 4 + i).collect();
        let records: Vec<_> = times
            .iter()
            .map(|time| (Some("k"), Some("v"), *time))
            .collect();
        assert_eq!(
            raw.produce(None, &topic, 0, encode(&records, codec))
                .await
                .0,
            0
        );
    }
    for (time, expected) in [
        (0, (0, 0, 1_000)),
        (1_000, (0, 0, 1_000)),
        (1_001, (0, 1, 1_001)),
        (1_006, (0, 6, 1_006)),
        (1_011, (0, 11, 1_011)),
        (1_012, (0, -1, -1)),
        (MAX_TIMESTAMP, (0, 11, 1_011)),
    ] {
        assert_eq!(
            offset_at(&mut raw, &topic, 0, time).await,
            expected,
            "{time}"
        );
    }
}

#[tokio::test]
async fn a_time_finds_its_first_record() {
    by_time(Compression::None).await;
}

#[tokio::test]
async fn a_time_finds_its_record_inside_a_gzip_batch() {
    by_time(Compression::Gzip).await;
}

#[tokio::test]
async fn a_time_finds_its_record_inside_a_snappy_batch() {
    by_time(Compression::Snappy).await;
}

#[tokio::test]
async fn a_time_finds_its_record_inside_an_lz4_batch() {
    by_time(Compression::Lz4).await;
}

#[tokio::test]
async fn a_time_finds_its_record_inside_a_zstd_batch() {
    by_time(Compression::Zstd).await;
}

#[tokio::test]
async fn the_largest_timestamp_may_be_in_the_middle() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let mut raw = target.raw().await;
    for codec in [Compression::None, Compression::Lz4] {
        let records = [
            (None, Some("a"), 5),
            (None, Some("b"), 9),
            (None, Some("c"), 7),
        ];
        raw.produce(None, &topic, 0, encode(&records, codec)).await;
    }
    assert_eq!(
        offset_at(&mut raw, &topic, 0, MAX_TIMESTAMP).await,
        (0, 1, 9)
    );
    assert_eq!(offset_at(&mut raw, &topic, 0, 6).await, (0, 1, 9));
}

#[tokio::test]
async fn the_end_of_committed_records_is_the_last_stable_offset() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let id = target.transactional_id().await;
    let mut raw = target.raw().await;
    raw.produce(None, &topic, 0, batch(NOBODY, 0, false, &["a"]))
        .await;
    let pid = raw.init(&id, 60_000).await;
    assert_eq!(raw.add(&id, pid, &topic, &[0]).await, 0);
    assert_eq!(
        raw.produce(Some(&id), &topic, 0, batch(pid, 0, true, &["b"]))
            .await
            .0,
        0
    );
    assert_eq!(ask(&mut raw, &topic, 0, LATEST, true, -1).await, (0, 1, -1));
    // Acknowledged, but maybe not shown yet: see docs/specs/kafka.md.
    crate::eventually(async || {
        let found = ask(&mut target.raw().await, &topic, 0, LATEST, false, -1).await;
        (found == (0, 2, -1)).then_some(())
    })
    .await;
    // A time that only an open transaction has is not there yet.
    assert_eq!(
        ask(&mut raw, &topic, 0, 1_000, true, -1).await,
        (0, 0, 1_000)
    );
    assert_eq!(raw.end(&id, pid, true).await, 0);
}
