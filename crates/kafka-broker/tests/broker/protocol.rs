//! What the broker answers to requests no client library would send: zombies, repetitions, garbage.

use std::time::Duration;

use crate::support::raw::{NOBODY, Pid, Raw, batch, frame, text};
use crate::support::{config, start, until};
use bytes::{BufMut, BytesMut};
use kafka_protocol::ResponseError as E;
use kafka_protocol::messages::{
    ApiVersionsRequest, DescribeClusterRequest, FetchRequest, InitProducerIdRequest,
    ListGroupsRequest, MetadataRequest, ProduceRequest,
};
use kafka_protocol::protocol::Request;
use tokio::io::AsyncWriteExt;

async fn broker_with(topics: &[&str]) -> (tempfile::TempDir, kafka_broker::Broker) {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    for topic in topics {
        broker.create_topic(topic, 2, &[]).await.expect("created");
    }
    (dir, broker)
}

#[tokio::test]
async fn a_batch_sent_again_is_answered_as_before_also_after_a_restart() {
    let (dir, broker) = broker_with(&["t"]).await;
    let mut raw = Raw::connect(&broker).await;
    let pid = raw.init("", 1_000).await;
    for sequence in 0..7 {
        let sent = raw
            .produce(None, "t", 0, batch(pid, sequence, false, &["x"]))
            .await;
        assert_eq!(sent, (0, i64::from(sequence)));
    }
    for (sequence, expected) in [
        (6, (0, 6)),
        (2, (0, 2)),
        (1, (E::OutOfOrderSequenceNumber.code(), -1)),
        (8, (E::OutOfOrderSequenceNumber.code(), -1)),
    ] {
        assert_eq!(
            raw.produce(None, "t", 0, batch(pid, sequence, false, &["x"]))
                .await,
            expected,
            "{sequence}"
        );
    }
    drop(raw);
    broker.shutdown().await;
    let broker = start(dir.path()).await;
    let mut raw = Raw::connect(&broker).await;
    assert_eq!(
        raw.produce(None, "t", 0, batch(pid, 6, false, &["x"]))
            .await,
        (0, 6)
    );
    assert_eq!(
        raw.produce(None, "t", 0, batch(pid, 7, false, &["x"]))
            .await,
        (0, 7)
    );
    let older = Pid { epoch: -1, ..pid };
    assert_eq!(
        raw.produce(None, "t", 0, batch(older, 8, false, &["x"]))
            .await
            .0,
        E::InvalidRecord.code()
    );
    assert_eq!(raw.read("t", 0, false).await.len(), 8);
    broker.shutdown().await;
}

#[tokio::test]
async fn no_record_is_appended_outside_of_its_transaction() {
    let (_dir, broker) = broker_with(&["t"]).await;
    let mut raw = Raw::connect(&broker).await;
    let pid = raw.init("tx", 60_000).await;
    let refused = (E::InvalidTxnState.code(), -1);
    // Not begun; begun, but in another partition; ended.
    assert_eq!(
        raw.produce(Some("tx"), "t", 0, batch(pid, 0, true, &["early"]))
            .await,
        refused
    );
    assert_eq!(raw.add("tx", pid, "t", &[1]).await, 0);
    assert_eq!(
        raw.produce(Some("tx"), "t", 0, batch(pid, 0, true, &["aside"]))
            .await,
        refused
    );
    assert_eq!(raw.add("tx", pid, "t", &[0]).await, 0);
    assert_eq!(
        raw.produce(Some("tx"), "t", 0, batch(pid, 0, true, &["good"]))
            .await,
        (0, 0)
    );
    assert_eq!(
        raw.produce(None, "t", 0, batch(pid, 1, false, &["mixed"]))
            .await,
        refused
    );
    assert_eq!(raw.end("tx", pid, true).await, 0);
    assert_eq!(
        raw.produce(Some("tx"), "t", 0, batch(pid, 1, true, &["late"]))
            .await,
        refused
    );
    // The end may be asked for again, but not the other one.
    assert_eq!(raw.end("tx", pid, true).await, 0);
    assert_eq!(raw.end("tx", pid, false).await, E::InvalidTxnState.code());
    assert_eq!(raw.read("t", 0, true).await, ["good"]);
    broker.shutdown().await;
}

#[tokio::test]
async fn a_fenced_producer_is_refused_everywhere() {
    let (_dir, broker) = broker_with(&["t"]).await;
    let mut raw = Raw::connect(&broker).await;
    let old = raw.init("tx", 60_000).await;
    assert_eq!(raw.add("tx", old, "t", &[0]).await, 0);
    assert_eq!(
        raw.produce(Some("tx"), "t", 0, batch(old, 0, true, &["old"]))
            .await,
        (0, 0)
    );
    assert_eq!(raw.add_offsets("tx", old, "g").await, 0);
    assert_eq!(raw.txn_commit("tx", old, "g", "t", 7).await, 0);
    assert_eq!(
        raw.committed("g", "t").await,
        (E::UnstableOffsetCommit.code(), -1)
    );
    let new = raw.init("tx", 60_000).await;
    assert_eq!((new.id, new.epoch), (old.id, old.epoch + 1));
    assert_eq!(raw.committed("g", "t").await, (0, -1));
    let fenced = E::ProducerFenced.code();
    assert_eq!(raw.end("tx", old, true).await, fenced);
    assert_eq!(raw.add("tx", old, "t", &[0]).await, fenced);
    assert_eq!(raw.add_offsets("tx", old, "g").await, fenced);
    assert_eq!(
        raw.txn_commit("tx", old, "g", "t", 7).await,
        E::InvalidProducerEpoch.code()
    );
    let zombie = raw
        .produce(Some("tx"), "t", 0, batch(old, 1, true, &["zombie"]))
        .await;
    assert_eq!(zombie.0, E::InvalidProducerEpoch.code());
    // Even while the new owner has the partition in its transaction.
    assert_eq!(raw.add("tx", new, "t", &[0, 1]).await, 0);
    let zombie = raw
        .produce(Some("tx"), "t", 1, batch(old, 0, true, &["zombie"]))
        .await;
    assert_eq!(zombie.0, E::InvalidProducerEpoch.code());
    assert_eq!(
        raw.produce(Some("tx"), "t", 0, batch(new, 0, true, &["new"]))
            .await
            .0,
        0
    );
    assert_eq!(raw.end("tx", new, true).await, 0);
    assert_eq!(raw.read("t", 0, true).await, ["new"]);
    assert_eq!(raw.read("t", 1, false).await, Vec::<String>::new());
    broker.shutdown().await;
}

#[tokio::test]
async fn the_same_init_again_gets_the_same_epoch() {
    let (_dir, broker) = broker_with(&["t"]).await;
    let mut raw = Raw::connect(&broker).await;
    let first = raw.init("tx", 60_000).await;
    let again = |pid: Pid| {
        InitProducerIdRequest::default()
            .with_transactional_id(Some(text("tx").into()))
            .with_transaction_timeout_ms(60_000)
            .with_producer_id(pid.id.into())
            .with_producer_epoch(pid.epoch)
    };
    for _ in 0..2 {
        let answer = raw.call(4, again(first)).await;
        assert_eq!((answer.error_code, answer.producer_epoch), (0, 1));
    }
    let second = Pid { epoch: 1, ..first };
    assert_eq!(raw.call(4, again(second)).await.producer_epoch, 2);
    assert_eq!(
        raw.call(4, again(first)).await.error_code,
        E::ProducerFenced.code()
    );
    assert_eq!(
        raw.call(3, again(first)).await.error_code,
        E::InvalidProducerEpoch.code()
    );
    broker.shutdown().await;
}

#[tokio::test]
async fn a_timed_out_transaction_is_fenced_also_over_a_restart() {
    let (dir, broker) = broker_with(&["t"]).await;
    let mut raw = Raw::connect(&broker).await;
    let pid = raw.init("tx", 300).await;
    assert_eq!(raw.add("tx", pid, "t", &[0]).await, 0);
    assert_eq!(
        raw.produce(Some("tx"), "t", 0, batch(pid, 0, true, &["late"]))
            .await,
        (0, 0)
    );
    drop(raw);
    broker.shutdown().await;
    let broker = start(dir.path()).await;
    let mut raw = Raw::connect(&broker).await;
    loop {
        let fetched = raw.fetch("t", 0, 0, true, 0).await;
        if fetched.last_stable == 2 {
            assert_eq!(fetched.aborted, [(pid.id, 0)]);
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(raw.end("tx", pid, true).await, E::ProducerFenced.code());
    let late = raw
        .produce(Some("tx"), "t", 0, batch(pid, 1, true, &["late"]))
        .await;
    assert_eq!(late.0, E::InvalidProducerEpoch.code());
    assert_eq!(raw.read("t", 0, true).await, Vec::<String>::new());
    broker.shutdown().await;
}

/// Requests of an open transaction are answered before they are durable. A crash may take the last of them back:
/// then what is left must never be committed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_transaction_outlives_a_clean_stop_but_no_crash() {
    let (dir, broker) = broker_with(&["t"]).await;
    let mut raw = Raw::connect(&broker).await;
    let pid = raw.init("tx", 60_000).await;
    assert_eq!(raw.add("tx", pid, "t", &[0]).await, 0);
    let produce = |sequence, value| batch(pid, sequence, true, &[value]);
    let first = raw.produce(Some("tx"), "t", 0, produce(0, "first")).await;
    assert_eq!(first, (0, 0));
    drop(raw);
    broker.shutdown().await;
    let broker = start(dir.path()).await;
    let mut raw = Raw::connect(&broker).await;
    let second = raw.produce(Some("tx"), "t", 0, produce(1, "second")).await;
    assert_eq!(second, (0, 1));

    // The disk as it is, with whatever of the second record has got there.
    let crashed = tempfile::tempdir().expect("a directory");
    crate::support::copy_dir(dir.path(), crashed.path());
    let copy = start(crashed.path()).await;
    let mut survivor = Raw::connect(&copy).await;
    assert_eq!(
        survivor.end("tx", pid, true).await,
        E::ProducerFenced.code()
    );
    let third = survivor
        .produce(Some("tx"), "t", 0, produce(2, "third"))
        .await;
    assert_eq!(third.0, E::InvalidProducerEpoch.code());
    assert_eq!(survivor.read("t", 0, true).await, Vec::<String>::new());
    copy.shutdown().await;

    assert_eq!(raw.end("tx", pid, true).await, 0);
    assert_eq!(raw.read("t", 0, true).await, ["first", "second"]);
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_fetch_is_answered_when_there_is_something_to_read() {
    let (_dir, broker) = broker_with(&["t"]).await;
    let mut reader = Raw::connect(&broker).await;
    let mut writer = Raw::connect(&broker).await;
    let pid = writer.init("tx", 60_000).await;
    let begun = std::time::Instant::now();
    let waiting = tokio::spawn(async move {
        (
            reader.fetch("t", 0, 0, false, 20_000).await.values(),
            reader,
        )
    });
    assert_eq!(
        writer
            .produce(None, "t", 0, batch(NOBODY, 0, false, &["a"]))
            .await,
        (0, 0)
    );
    let (values, mut reader) = waiting.await.expect("no panic");
    assert_eq!(values, ["a"]);
    // Read committed: the commit is what there is to see, not the record.
    assert_eq!(writer.add("tx", pid, "t", &[0]).await, 0);
    assert_eq!(
        writer
            .produce(Some("tx"), "t", 0, batch(pid, 0, true, &["b"]))
            .await,
        (0, 1)
    );
    let waiting = tokio::spawn(async move { reader.fetch("t", 0, 1, true, 20_000).await.values() });
    assert_eq!(writer.end("tx", pid, true).await, 0);
    assert_eq!(waiting.await.expect("no panic"), ["b"]);
    assert!(begun.elapsed() < Duration::from_secs(10));
    let nothing = writer.fetch("t", 0, 3, true, 50).await;
    assert_eq!(
        (
            nothing.error_code,
            nothing.records.len(),
            nothing.high_watermark
        ),
        (0, 0, 3)
    );
    assert_eq!(
        writer.fetch("t", 0, 4, true, 50).await.error_code,
        E::OffsetOutOfRange.code()
    );
    broker.shutdown().await;
}

#[tokio::test]
async fn a_damaged_or_forbidden_batch_is_refused() {
    let (_dir, broker) = broker_with(&["t"]).await;
    let mut raw = Raw::connect(&broker).await;
    let good = batch(NOBODY, 0, false, &["a", "b"]);
    let changed = |at: usize, bits: u8| {
        let mut bytes = good.to_vec();
        bytes[at] ^= bits;
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        bytes::Bytes::from(bytes)
    };
    let mut broken = good.to_vec();
    *broken.last_mut().expect("not empty") ^= 1;
    let twice = bytes::Bytes::from([&good[..], &good[..]].concat());
    let cases = [
        ("crc", bytes::Bytes::from(broken), E::CorruptMessage),
        ("short", good.slice(..good.len() - 1), E::CorruptMessage),
        ("two batches", twice, E::InvalidRecord),
        ("magic", changed(16, 3), E::UnsupportedForMessageFormat),
        ("control", changed(22, 0x20), E::InvalidRecord),
        (
            "transactional without id",
            changed(22, 0x10),
            E::InvalidRecord,
        ),
        ("count", changed(60, 1), E::InvalidRecord),
        ("record length", changed(61, 2), E::InvalidRecord),
        ("codec", changed(22, 7), E::InvalidRecord),
        ("empty", bytes::Bytes::new(), E::CorruptMessage),
    ];
    for (what, bytes, expected) in cases {
        assert_eq!(
            raw.produce(None, "t", 0, bytes).await,
            (expected.code(), -1),
            "{what}"
        );
    }
    let large = "x".repeat((4 << 20) + 1);
    let too_large = raw
        .produce(None, "t", 0, batch(NOBODY, 0, false, &[&large]))
        .await;
    assert_eq!(too_large.0, E::MessageTooLarge.code());
    assert_eq!(
        raw.produce(None, "none", 0, good.clone()).await.0,
        E::UnknownTopicOrPartition.code()
    );
    assert_eq!(
        raw.produce(None, "t", 2, good.clone()).await.0,
        E::UnknownTopicOrPartition.code()
    );
    assert_eq!(raw.produce(None, "t", 0, good).await, (0, 0));
    broker.shutdown().await;
}

#[tokio::test]
async fn unknown_versions_are_answered_as_kafka_does() {
    let (_dir, broker) = broker_with(&[]).await;
    let mut raw = Raw::connect(&broker).await;
    // ApiVersions of a newer client: error 35 and the list, in version 0.
    let mut bytes = BytesMut::from(&frame(3, 5, &ApiVersionsRequest::default())[..]);
    bytes[6..8].copy_from_slice(&99_i16.to_be_bytes());
    raw.stream.write_all(&bytes).await.expect("sent");
    let answer = raw.answer().await.expect("an answer");
    assert_eq!(answer[..6], [0, 0, 0, 5, 0, 35]);
    assert!(
        raw.call(3, ApiVersionsRequest::default())
            .await
            .api_keys
            .len()
            > 20
    );
    assert_eq!(
        raw.call(0, DescribeClusterRequest::default())
            .await
            .brokers
            .len(),
        1
    );
    assert_eq!(
        raw.call(4, ListGroupsRequest::default()).await.error_code,
        0
    );
    // Anything else closes the connection.
    let mut bytes = BytesMut::from(&frame(12, 5, &MetadataRequest::default())[..]);
    bytes[6..8].copy_from_slice(&99_i16.to_be_bytes());
    raw.stream.write_all(&bytes).await.expect("sent");
    assert_eq!(raw.answer().await, None);
    broker.shutdown().await;
}

#[tokio::test]
async fn a_request_over_a_limit_closes_the_connection_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut settings = config(dir.path());
    settings.request_bytes_max = 1 << 20;
    settings.batch_bytes_max = 1 << 20;
    settings.connections_max = 2;
    let broker = kafka_broker::Broker::start(settings).await.expect("starts");
    broker.create_topic("t", 1, &[]).await.expect("created");
    let mut raw = Raw::connect(&broker).await;
    let mut other = Raw::connect(&broker).await;
    assert_eq!(
        other.call(4, ListGroupsRequest::default()).await.error_code,
        0
    );
    // A third connection is one too many.
    let mut third = Raw::connect(&broker).await;
    assert_eq!(third.answer().await, None);
    // At the limit it is read (and found to be no request), above it nothing is read.
    for length in [(1 << 20) + 1, u32::MAX] {
        raw.stream.write_u32(length).await.expect("sent");
        assert_eq!(raw.answer().await, None);
        until(async || (broker.stats().connections < 2).then_some(())).await;
        raw = Raw::connect(&broker).await;
        assert_eq!(
            raw.call(4, ListGroupsRequest::default()).await.error_code,
            0
        );
    }
    // An array that claims to have 2^31 elements.
    let mut bytes = BytesMut::new();
    bytes.put_slice(&[
        0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 1, 255, 255, 0x7f, 255, 255, 255,
    ]);
    raw.stream.write_all(&bytes).await.expect("sent");
    assert_eq!(raw.answer().await, None);
    assert_eq!(
        other.call(4, ListGroupsRequest::default()).await.error_code,
        0
    );
    broker.shutdown().await;
}

/// Every prefix of a request, and every byte of it changed, with the right length in front.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_however_damaged_brings_the_broker_down() {
    let (_dir, broker) = broker_with(&["t"]).await;
    fn spoil<Q: Request>(version: i16, request: &Q) -> Vec<Vec<u8>> {
        let good = frame(version, 1, request);
        let mut all = Vec::new();
        for cut in 4..good.len() {
            all.push([&((cut - 4) as u32).to_be_bytes()[..], &good[4..cut]].concat());
        }
        for at in 4..good.len() {
            for bits in [0xff, 0x80, 0x01] {
                let mut bytes = good.to_vec();
                bytes[at] ^= bits;
                all.push(bytes);
            }
        }
        all
    }
    let produce = ProduceRequest::default();
    let mut spoiled = spoil(9, &produce);
    spoiled.extend(spoil(12, &FetchRequest::default().with_max_wait_ms(0)));
    spoiled.extend(spoil(
        12,
        &MetadataRequest::default().with_topics(Some(Vec::new())),
    ));
    spoiled.extend(spoil(
        4,
        &InitProducerIdRequest::default().with_transactional_id(Some(text("x").into())),
    ));
    for bytes in spoiled {
        let mut raw = Raw::connect(&broker).await;
        raw.stream.write_all(&bytes).await.expect("sent");
        raw.stream.shutdown().await.expect("closed");
        let _whatever = tokio::time::timeout(Duration::from_secs(5), raw.answer()).await;
    }
    let mut raw = Raw::connect(&broker).await;
    assert_eq!(
        raw.produce(None, "t", 0, batch(NOBODY, 0, false, &["fine"]))
            .await,
        (0, 0)
    );
    assert!(!broker.stats().storage_failed);
    broker.shutdown().await;
}

#[tokio::test]
async fn limits_of_topics_and_offsets_are_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut settings = config(dir.path());
    settings.partitions_max = 3;
    settings.groups_max = 1;
    settings.transactional_ids_max = 1;
    settings.transaction_timeout_ms_max = 1_000;
    let broker = kafka_broker::Broker::start(settings).await.expect("starts");
    assert!(broker.create_topic("a", 4, &[]).await.is_err());
    assert!(broker.create_topic("a", 0, &[]).await.is_err());
    assert!(
        broker
            .create_topic("a", 3, &[])
            .await
            .expect("at the limit")
    );
    assert!(broker.create_topic("b", 1, &[]).await.is_err());
    assert!(broker.create_topic("a/b", 1, &[]).await.is_err());
    let mut raw = Raw::connect(&broker).await;
    assert_eq!(raw.commit("g", "a", 1).await, 0);
    assert_eq!(
        raw.commit("h", "a", 1).await,
        E::CoordinatorNotAvailable.code()
    );
    assert_eq!(
        raw.commit("g", "none", 1).await,
        E::UnknownTopicOrPartition.code()
    );
    assert_eq!(raw.committed("g", "a").await, (0, 1));
    raw.init("x", 1_000).await;
    let init = |id: &str, timeout_ms| {
        InitProducerIdRequest::default()
            .with_transactional_id(Some(text(id).into()))
            .with_transaction_timeout_ms(timeout_ms)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1)
    };
    assert_eq!(
        raw.call(4, init("x", 1_001)).await.error_code,
        E::InvalidTransactionTimeout.code()
    );
    assert_eq!(
        raw.call(4, init("x", 0)).await.error_code,
        E::InvalidTransactionTimeout.code()
    );
    assert_eq!(
        raw.call(4, init("y", 1_000)).await.error_code,
        E::PolicyViolation.code()
    );
    assert_eq!(
        raw.call(4, init("", 1_000)).await.error_code,
        E::InvalidRequest.code()
    );
    broker.shutdown().await;
}
