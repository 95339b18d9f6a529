//! Fetch: where it begins, how much it brings, how long it waits, and what `read_committed` hides.

use std::time::{Duration, Instant};

use kafka_protocol::ResponseError as E;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;

use crate::Target;
use crate::support::raw::{NOBODY, Raw, batch, name};

/// Sends a fetch that is made by hand.
async fn fetch(raw: &mut Raw, topic: &str, wish: FetchPartition, max_bytes: i32) -> PartitionData {
    let wanted = FetchTopic::default()
        .with_topic(name(topic))
        .with_partitions(vec![wish]);
    let request = FetchRequest::default()
        .with_max_wait_ms(0)
        .with_min_bytes(1)
        .with_max_bytes(max_bytes)
        .with_session_epoch(-1)
        .with_topics(vec![wanted]);
    let mut answer = raw.call(12, request).await;
    assert_eq!(answer.error_code, 0);
    answer.responses.remove(0).partitions.remove(0)
}

fn wish(offset: i64, bytes: i32) -> FetchPartition {
    FetchPartition::default()
        .with_current_leader_epoch(-1)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(bytes)
}

#[tokio::test]
async fn offsets_out_of_range_are_refused_and_the_end_is_empty() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let mut raw = target.raw().await;
    raw.produce(None, &topic, 0, batch(NOBODY, 0, false, &["a", "b"]))
        .await;
    let end = raw.fetch(&topic, 0, 2, false, 0).await;
    assert_eq!(
        (end.error_code, end.high_watermark, end.records.len()),
        (0, 2, 0)
    );
    for offset in [3, 100, -1] {
        let refused = raw.fetch(&topic, 0, offset, false, 0).await;
        assert_eq!(refused.error_code, E::OffsetOutOfRange.code(), "{offset}");
    }
}

#[tokio::test]
async fn an_unknown_topic_or_partition_is_refused() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let mut raw = target.raw().await;
    for (topic, partition) in [("no-such", 0), (topic.as_str(), 1)] {
        let refused = raw.fetch(topic, partition, 0, false, 0).await;
        assert_eq!(refused.error_code, E::UnknownTopicOrPartition.code());
        assert_eq!(refused.high_watermark, -1);
    }
}

#[tokio::test]
async fn an_offset_inside_a_batch_brings_the_batch() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let mut raw = target.raw().await;
    raw.produce(None, &topic, 0, batch(NOBODY, 0, false, &["a", "b", "c"]))
        .await;
    let fetched = raw.fetch(&topic, 0, 2, false, 0).await;
    assert_eq!(fetched.records[0].offset, 0);
}

#[tokio::test]
async fn the_first_batch_comes_whole_whatever_the_limit() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let mut raw = target.raw().await;
    let value = "x".repeat(5_000);
    for _ in 0..3 {
        raw.produce(None, &topic, 0, batch(NOBODY, 0, false, &[&value]))
            .await;
    }
    let one = batch(NOBODY, 0, false, &[&value]).len();
    for (partition_bytes, bytes) in [(1, 1 << 20), (1 << 20, 1), (1, 1)] {
        let found = fetch(&mut raw, &topic, wish(0, partition_bytes), bytes).await;
        let found = found.records.expect("records").len();
        assert!(found >= one, "{found} of {one} bytes");
    }
    let found = fetch(&mut raw, &topic, wish(0, 1 << 20), 1 << 20).await;
    assert_eq!(found.records.expect("records").len(), 3 * one);
}

#[tokio::test]
async fn a_leader_epoch_that_is_not_the_partitions_is_refused() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let mut raw = target.raw().await;
    let found = fetch(
        &mut raw,
        &topic,
        wish(0, 100).with_current_leader_epoch(0),
        100,
    )
    .await;
    assert_eq!(found.error_code, 0);
    let found = fetch(
        &mut raw,
        &topic,
        wish(0, 100).with_current_leader_epoch(1),
        100,
    )
    .await;
    assert_eq!(found.error_code, E::UnknownLeaderEpoch.code());
}

#[tokio::test]
async fn a_fetch_waits_for_a_record_and_not_longer_than_it_said() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let mut raw = target.raw().await;
    let begun = Instant::now();
    let nothing = raw.fetch(&topic, 0, 0, false, 300).await;
    assert_eq!(nothing.records.len(), 0);
    assert!(begun.elapsed() >= Duration::from_millis(290));
    let waiting = tokio::spawn({
        let topic = topic.clone();
        async move { raw.fetch(&topic, 0, 0, false, 20_000).await.values() }
    });
    let begun = Instant::now();
    let mut writer = target.raw().await;
    writer
        .produce(None, &topic, 0, batch(NOBODY, 0, false, &["a"]))
        .await;
    assert_eq!(waiting.await.expect("no panic"), ["a"]);
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn an_unknown_fetch_session_is_refused() {
    let target = Target::new().await;
    let request = FetchRequest::default()
        .with_session_id(12_345)
        .with_session_epoch(3);
    let answer = target.raw().await.call(12, request).await;
    assert_eq!(answer.error_code, E::FetchSessionIdNotFound.code());
    assert_eq!(answer.session_id, 0);
}

#[tokio::test]
async fn read_committed_ends_before_an_open_transaction() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let id = target.transactional_id().await;
    let mut raw = target.raw().await;
    raw.produce(None, &topic, 0, batch(NOBODY, 0, false, &["before"]))
        .await;
    let pid = raw.init(&id, 60_000).await;
    assert_eq!(raw.add(&id, pid, &topic, &[0]).await, 0);
    assert_eq!(
        raw.produce(Some(&id), &topic, 0, batch(pid, 0, true, &["open"]))
            .await,
        (0, 1)
    );
    raw.produce(None, &topic, 0, batch(NOBODY, 0, false, &["behind"]))
        .await;
    let committed = raw.fetch(&topic, 0, 0, true, 0).await;
    assert_eq!(committed.values(), ["before"]);
    assert_eq!((committed.high_watermark, committed.last_stable), (3, 1));
    assert_eq!(
        raw.read(&topic, 0, false).await,
        ["before", "open", "behind"]
    );
    assert_eq!(raw.end(&id, pid, true).await, 0);
    let committed = crate::eventually(async || {
        let mut raw = target.raw().await;
        let found = raw.fetch(&topic, 0, 0, true, 100).await;
        (found.last_stable == 4).then_some(found)
    });
    let committed = committed.await;
    assert_eq!(committed.values(), ["before", "open", "behind"]);
    assert!(committed.aborted.is_empty());
}

#[tokio::test]
async fn aborted_transactions_are_listed_where_they_reach_into_the_answer() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let (a, b) = (
        target.transactional_id().await,
        target.transactional_id().await,
    );
    let mut raw = target.raw().await;
    let (pa, pb) = (raw.init(&a, 60_000).await, raw.init(&b, 60_000).await);
    assert_eq!(raw.add(&a, pa, &topic, &[0]).await, 0);
    assert_eq!(raw.add(&b, pb, &topic, &[0]).await, 0);
    // b: 0 and 2, a: 1, markers: 3 (a aborts), 4 (b aborts), 5 committed in the open.
    assert_eq!(
        raw.produce(Some(&b), &topic, 0, batch(pb, 0, true, &["b1"]))
            .await,
        (0, 0)
    );
    assert_eq!(
        raw.produce(Some(&a), &topic, 0, batch(pa, 0, true, &["a1"]))
            .await,
        (0, 1)
    );
    assert_eq!(
        raw.produce(Some(&b), &topic, 0, batch(pb, 1, true, &["b2"]))
            .await,
        (0, 2)
    );
    assert_eq!(raw.end(&a, pa, false).await, 0);
    let wait = async |end| {
        crate::eventually(async || {
            let found = target.raw().await.fetch(&topic, 0, 0, false, 100).await;
            (found.high_watermark == end).then_some(())
        })
        .await;
    };
    wait(4).await;
    assert_eq!(raw.end(&b, pb, false).await, 0);
    wait(5).await;
    raw.produce(None, &topic, 0, batch(NOBODY, 0, false, &["plain"]))
        .await;
    let all = crate::eventually(async || {
        let found = target.raw().await.fetch(&topic, 0, 0, true, 100).await;
        (found.last_stable == 6).then_some(found)
    });
    let all = all.await;
    let mut aborted = all.aborted.clone();
    aborted.sort_unstable();
    let mut expected = vec![(pa.id, 1), (pb.id, 0)];
    expected.sort_unstable();
    assert_eq!(aborted, expected);
    assert_eq!(raw.read(&topic, 0, true).await, ["plain"]);
    // An answer may end anywhere.
    let (mut controls, mut offset) = (Vec::new(), 0);
    while offset < 6 {
        let found = raw.fetch(&topic, 0, offset, true, 0).await;
        controls.extend(found.records.iter().filter(|r| r.control).map(|r| r.offset));
        assert!(found.next > offset);
        offset = found.next;
    }
    assert_eq!(controls, [3, 4]);
    // From behind the first marker on, only the second transaction matters.
    let rest = raw.fetch(&topic, 0, 4, true, 0).await;
    assert_eq!(rest.aborted, [(pb.id, 0)]);
    let rest = raw.fetch(&topic, 0, 5, true, 0).await;
    assert!(rest.aborted.is_empty());
}
