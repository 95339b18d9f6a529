//! Produce: acknowledgements, sequences, what is refused, and what comes back out.

use bytes::Bytes;
use kafka_protocol::ResponseError as E;
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::records::{Compression, TimestampType};
use tokio::io::AsyncWriteExt;

use crate::support::raw::{NOBODY, Pid, batch, encode, frame, name, records};
use crate::{Target, eventually, keyed};

fn request(topic: &str, partition: i32, acks: i16, batch: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default()
        .with_index(partition)
        .with_records(Some(batch));
    let topic = TopicProduceData::default()
        .with_name(name(topic))
        .with_partition_data(vec![data]);
    ProduceRequest::default()
        .with_acks(acks)
        .with_timeout_ms(1_000)
        .with_topic_data(vec![topic])
}

#[tokio::test]
async fn acks_of_the_leader_and_of_all_bring_the_offset() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let mut raw = target.raw().await;
    for (offset, acks) in [(0, 1), (1, -1)] {
        let batch = batch(NOBODY, 0, false, &["a"]);
        let answer = raw.call(9, request(&topic, 0, acks, batch)).await;
        let answer = &answer.responses[0].partition_responses[0];
        assert_eq!((answer.error_code, answer.base_offset), (0, offset));
        assert_eq!(
            (answer.log_append_time_ms, answer.log_start_offset),
            (-1, 0)
        );
    }
}

#[tokio::test]
async fn without_acks_there_is_no_answer_but_the_record() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let mut raw = target.raw().await;
    let silent = request(&topic, 0, 0, batch(NOBODY, 0, false, &["silent"]));
    let bytes = frame(9, 77, &silent);
    raw.stream.write_all(&bytes).await.expect("sent");
    // The next answer on the connection is that of the next request.
    assert_eq!(raw.fetch(&topic, 0, 0, false, 5_000).await.error_code, 0);
    eventually(async || {
        let values = target.raw().await.read(&topic, 0, false).await;
        (values == ["silent"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn other_acks_are_refused() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let batch = batch(NOBODY, 0, false, &["a"]);
    let answer = target
        .raw()
        .await
        .call(9, request(&topic, 0, 2, batch))
        .await;
    let answer = &answer.responses[0].partition_responses[0];
    assert_eq!(answer.error_code, E::InvalidRequiredAcks.code());
}

#[tokio::test]
async fn an_unknown_topic_or_partition_is_refused() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let mut raw = target.raw().await;
    let good = batch(NOBODY, 0, false, &["a"]);
    let refused = (E::UnknownTopicOrPartition.code(), -1);
    assert_eq!(raw.produce(None, "no-such", 0, good.clone()).await, refused);
    assert_eq!(raw.produce(None, &topic, 1, good.clone()).await, refused);
    assert_eq!(raw.produce(None, &topic, -1, good).await, refused);
}

#[tokio::test]
async fn a_batch_sent_again_is_answered_as_the_first_time() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let mut raw = target.raw().await;
    let pid = raw.init("", 1_000).await;
    for sequence in 0..6 {
        let batch = batch(pid, sequence * 2, false, &["x", "y"]);
        let sent = raw.produce(None, &topic, 0, batch).await;
        assert_eq!(sent, (0, i64::from(sequence) * 2));
    }
    // Five batches are remembered.
    for sequence in 1..6 {
        let batch = batch(pid, sequence * 2, false, &["x", "y"]);
        let sent = raw.produce(None, &topic, 0, batch).await;
        assert_eq!(sent, (0, i64::from(sequence) * 2));
    }
    assert_eq!(raw.read(&topic, 0, false).await.len(), 12);
}

#[tokio::test]
async fn a_batch_out_of_order_is_refused() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let mut raw = target.raw().await;
    let pid = raw.init("", 1_000).await;
    for sequence in 0..7 {
        let sent = raw
            .produce(None, &topic, 0, batch(pid, sequence, false, &["x"]))
            .await;
        assert_eq!(sent.0, 0);
    }
    let refused = E::OutOfOrderSequenceNumber.code();
    for sequence in [8, 100, 0, 1] {
        let sent = raw
            .produce(None, &topic, 0, batch(pid, sequence, false, &["x"]))
            .await;
        assert_eq!(sent.0, refused, "{sequence}");
    }
    // Half of one that is there, and half of the next.
    let sent = raw
        .produce(None, &topic, 0, batch(pid, 6, false, &["x", "y"]))
        .await;
    assert_eq!(sent.0, refused);
    let sent = raw
        .produce(None, &topic, 0, batch(pid, 7, false, &["x"]))
        .await;
    assert_eq!(sent, (0, 7));
}

#[tokio::test]
async fn an_older_epoch_is_refused_and_a_newer_one_begins_at_zero() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let mut raw = target.raw().await;
    let old = raw.init("", 1_000).await;
    let new = Pid {
        epoch: old.epoch + 1,
        ..old
    };
    assert_eq!(
        raw.produce(None, &topic, 0, batch(old, 0, false, &["x"]))
            .await
            .0,
        0
    );
    let sent = raw
        .produce(None, &topic, 0, batch(new, 1, false, &["x"]))
        .await;
    assert_eq!(sent.0, E::OutOfOrderSequenceNumber.code());
    assert_eq!(
        raw.produce(None, &topic, 0, batch(new, 0, false, &["x"]))
            .await
            .0,
        0
    );
    let sent = raw
        .produce(None, &topic, 0, batch(old, 1, false, &["x"]))
        .await;
    assert_eq!(sent.0, E::InvalidProducerEpoch.code());
}

#[tokio::test]
async fn a_producer_that_is_not_known_begins_anywhere_and_sequences_wrap() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let mut raw = target.raw().await;
    let pid = raw.init("", 1_000).await;
    let last = batch(pid, i32::MAX, false, &["last"]);
    assert_eq!(raw.produce(None, &topic, 0, last).await, (0, 0));
    assert_eq!(
        raw.produce(None, &topic, 0, batch(pid, 0, false, &["first"]))
            .await,
        (0, 1)
    );
}

#[tokio::test]
async fn damaged_and_forbidden_batches_are_refused() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let mut raw = target.raw().await;
    let good = batch(NOBODY, 0, false, &["a", "b"]);
    let changed = |at: usize, bits: u8| {
        let mut bytes = good.to_vec();
        bytes[at] ^= bits;
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        Bytes::from(bytes)
    };
    let mut broken = good.to_vec();
    *broken.last_mut().expect("not empty") ^= 1;
    let twice = Bytes::from([&good[..], &good[..]].concat());
    for (what, bytes, expected) in [
        ("crc", Bytes::from(broken), E::CorruptMessage),
        ("two batches", twice, E::InvalidRecord),
        ("control", changed(22, 0x20), E::InvalidRecord),
        ("count", changed(60, 1), E::InvalidRecord),
        ("record length", changed(61, 2), E::InvalidRecord),
    ] {
        let sent = raw.produce(None, &topic, 0, bytes).await;
        assert_eq!(sent, (expected.code(), -1), "{what}");
    }
    assert_eq!(raw.produce(None, &topic, 0, good).await, (0, 0));
}

#[tokio::test]
async fn max_message_bytes_is_the_size_of_a_batch() {
    let target = Target::new().await;
    let value = "x".repeat(1_000);
    let good = batch(NOBODY, 0, false, &[&value]);
    let limit = good.len().to_string();
    let topic = target.topic(1, &[("max.message.bytes", &limit)]).await;
    let mut raw = target.raw().await;
    assert_eq!(raw.produce(None, &topic, 0, good).await, (0, 0));
    let larger = batch(NOBODY, 0, false, &[&format!("{value}x")]);
    let sent = raw.produce(None, &topic, 0, larger).await;
    assert_eq!(sent, (E::MessageTooLarge.code(), -1));
}

#[tokio::test]
async fn keys_values_and_headers_come_back_null_or_empty_as_they_were() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let mut raw = target.raw().await;
    let sent = [
        (None, None),
        (Some(""), Some("")),
        (Some("k"), None),
        (None, Some("v")),
    ];
    assert_eq!(raw.produce(None, &topic, 0, keyed(&sent)).await, (0, 0));
    let fetched = raw.fetch(&topic, 0, 0, false, 0).await;
    let view = |bytes: &Option<Bytes>| {
        let bytes = bytes.as_ref()?;
        Some(String::from_utf8(bytes.to_vec()).expect("text"))
    };
    let found: Vec<_> = fetched
        .records
        .iter()
        .map(|r| (view(&r.key), view(&r.value)))
        .collect();
    let sent = sent.map(|(key, value)| (key.map(str::to_owned), value.map(str::to_owned)));
    assert_eq!(found, sent);
}

#[tokio::test]
async fn every_codec_comes_back_as_it_was_sent() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let mut raw = target.raw().await;
    let value = "abc".repeat(500);
    let codecs = [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
        Compression::None,
    ];
    for (index, codec) in codecs.into_iter().enumerate() {
        let batch = encode(
            &[(Some("k"), Some(&value), 5), (None, Some("second"), 6)],
            codec,
        );
        let size = batch.len();
        let offset = index as i64 * 2;
        assert_eq!(
            raw.produce(None, &topic, 0, batch).await,
            (0, offset),
            "{codec:?}"
        );
        let fetched = raw.fetch(&topic, 0, offset, false, 0).await;
        assert_eq!(fetched.values(), [value.as_str(), "second"], "{codec:?}");
        // Not packed anew.
        assert_eq!(fetched.bytes, size, "{codec:?}");
    }
}

#[tokio::test]
async fn a_compacted_topic_takes_no_record_without_a_key() {
    let target = Target::new().await;
    let topic = target.topic(1, &[("cleanup.policy", "compact")]).await;
    let mut raw = target.raw().await;
    let refused = (E::InvalidRecord.code(), -1);
    let one = [(Some("k"), Some("v"), 1), (None, Some("v"), 1)];
    assert_eq!(raw.produce(None, &topic, 0, records(&one)).await, refused);
    for codec in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let sent = raw.produce(None, &topic, 0, encode(&one, codec)).await;
        assert_eq!(sent, refused, "{codec:?}");
    }
    let keyed = keyed(&[(Some("k"), Some("v"))]);
    assert_eq!(raw.produce(None, &topic, 0, keyed).await, (0, 0));
}

#[tokio::test]
async fn log_append_time_replaces_the_producers() {
    let target = Target::new().await;
    let topic = target
        .topic(1, &[("message.timestamp.type", "LogAppendTime")])
        .await;
    let mut raw = target.raw().await;
    let batch = batch(NOBODY, 0, false, &["a", "b"]);
    let answer = raw.call(9, request(&topic, 0, -1, batch)).await;
    let time = answer.responses[0].partition_responses[0].log_append_time_ms;
    assert!(time > 1_600_000_000_000, "{time}");
    let fetched = raw.fetch(&topic, 0, 0, false, 0).await;
    assert_eq!(fetched.values(), ["a", "b"]);
    for record in &fetched.records {
        assert_eq!(record.timestamp_type, TimestampType::LogAppend);
    }
}

#[tokio::test]
async fn a_timestamp_far_ahead_is_refused() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.expect("after 1970").as_millis() as i64;
    let mut raw = target.raw().await;
    let hour = 3_600_000;
    let sent = raw
        .produce(
            None,
            &topic,
            0,
            records(&[(None, Some("v"), now + 2 * hour)]),
        )
        .await;
    assert_eq!(sent, (E::InvalidTimestamp.code(), -1));
    let sent = raw
        .produce(
            None,
            &topic,
            0,
            records(&[(None, Some("v"), now + hour / 2)]),
        )
        .await;
    assert_eq!(sent, (0, 0));
}

#[tokio::test]
async fn one_request_writes_to_many_partitions_and_each_has_its_own_answer() {
    let target = Target::new().await;
    let topic = target.topic(2, &[]).await;
    let data = |index| {
        PartitionProduceData::default()
            .with_index(index)
            .with_records(Some(batch(NOBODY, 0, false, &["a"])))
    };
    let wanted = TopicProduceData::default()
        .with_name(name(&topic))
        .with_partition_data(vec![data(0), data(7), data(1)]);
    let request = ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(1_000)
        .with_topic_data(vec![wanted]);
    let answer = target.raw().await.call(9, request).await;
    let answers = answer.responses[0].partition_responses.iter();
    let mut codes: Vec<_> = answers.map(|p| (p.index, p.error_code)).collect();
    codes.sort_unstable();
    assert_eq!(
        codes,
        [(0, 0), (1, 0), (7, E::UnknownTopicOrPartition.code())]
    );
}
