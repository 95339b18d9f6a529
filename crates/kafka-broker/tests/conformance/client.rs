//! The same through a client library: librdkafka.

use std::collections::BTreeSet;

use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::support::{PATIENCE, attempt, blocking, send, with};
use crate::{Target, eventually};

async fn read(target: &Target, topic: &str, partitions: i32, isolation: &str) -> Vec<String> {
    let settings = [
        ("group.id", "unused"),
        ("isolation.level", isolation),
        ("enable.auto.commit", "false"),
        ("enable.partition.eof", "true"),
    ];
    let consumer: StreamConsumer = with(&target.client(), &settings);
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning)
            .expect("an offset");
    }
    consumer.assign(&list).expect("assigned");
    let (mut values, mut open) = (Vec::new(), partitions);
    while open > 0 {
        match tokio::time::timeout(PATIENCE, consumer.recv())
            .await
            .expect("in time")
        {
            Ok(message) => {
                let value = message
                    .payload_view::<str>()
                    .expect("a value")
                    .expect("text");
                values.push(value.to_owned());
            }
            Err(KafkaError::PartitionEOF(_)) => open -= 1,
            Err(error) => panic!("{error}"),
        }
    }
    values
}

async fn codec(codec: &str) {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let settings = [("compression.codec", codec), ("linger.ms", "50")];
    let producer: FutureProducer = with(&target.client(), &settings);
    let values: Vec<String> = (0..50)
        .map(|i| format!("{i}-{}", "v".repeat(200)))
        .collect();
    let sends = values.iter().map(|value| send(&producer, &topic, 0, value));
    futures::future::join_all(sends).await;
    let found = read(&target, &topic, 1, "read_committed").await;
    assert_eq!(BTreeSet::from_iter(found), BTreeSet::from_iter(values));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gzip_comes_back() {
    codec("gzip").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snappy_comes_back() {
    codec("snappy").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lz4_comes_back() {
    codec("lz4").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_keys_and_nulls_come_back() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let producer: FutureProducer = with(&target.client(), &[]);
    let headers = OwnedHeaders::new()
        .insert(Header {
            key: "a",
            value: Some("1"),
        })
        .insert(Header {
            key: "a",
            value: Some("2"),
        })
        .insert(Header {
            key: "none",
            value: None::<&str>,
        });
    let record = FutureRecord::<str, str>::to(&topic)
        .key("k")
        .headers(headers)
        .timestamp(4_711);
    producer.send(record, PATIENCE).await.expect("sent");
    let consumer: StreamConsumer = with(&target.client(), &[("group.id", "unused")]);
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, Offset::Beginning)
        .expect("an offset");
    consumer.assign(&list).expect("assigned");
    let message = tokio::time::timeout(PATIENCE, consumer.recv())
        .await
        .expect("in time")
        .expect("a record");
    assert_eq!((message.key(), message.payload()), (Some(&b"k"[..]), None));
    assert_eq!(message.timestamp().to_millis(), Some(4_711));
    let headers = message.headers().expect("headers");
    let headers: Vec<_> = headers
        .iter()
        .map(|header| (header.key, header.value))
        .collect();
    assert_eq!(
        headers,
        [
            ("a", Some(&b"1"[..])),
            ("a", Some(&b"2"[..])),
            ("none", None)
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_commit_abort_and_fence() {
    let target = Target::new().await;
    let topic = target.topic(2, &[]).await;
    let id = target.transactional_id().await;
    let make = || {
        with::<FutureProducer>(
            &target.client(),
            &[("transactional.id", &id), ("linger.ms", "0")],
        )
    };
    let first = blocking(make(), |p| p.init_transactions(PATIENCE)).await;
    for (value, commit) in [("one", true), ("two", false), ("three", true)] {
        first.begin_transaction().expect("begun");
        for partition in 0..2 {
            send(&first, &topic, partition, value).await;
        }
        let end = move |p: &FutureProducer| match commit {
            true => p.commit_transaction(PATIENCE),
            false => p.abort_transaction(PATIENCE),
        };
        let _same = blocking(first.clone(), end).await;
    }
    first.begin_transaction().expect("begun");
    send(&first, &topic, 0, "zombie").await;
    let second = blocking(make(), |p| p.init_transactions(PATIENCE)).await;
    second.begin_transaction().expect("begun");
    send(&second, &topic, 0, "four").await;
    let _same = blocking(second, |p| p.commit_transaction(PATIENCE)).await;
    let refused = attempt(first, |p| p.commit_transaction(PATIENCE)).await;
    let code = refused
        .map(|_| ())
        .expect_err("fenced")
        .rdkafka_error_code();
    let fenced = [
        RDKafkaErrorCode::Fenced,
        RDKafkaErrorCode::InvalidProducerEpoch,
    ];
    assert!(code.is_some_and(|code| fenced.contains(&code)), "{code:?}");
    eventually(async || {
        let mut found = read(&target, &topic, 2, "read_committed").await;
        found.sort_unstable();
        (found == ["four", "one", "one", "three", "three"]).then_some(())
    })
    .await;
}

async fn shared(strategy: &str) {
    let target = Target::new().await;
    let topic = target.topic(4, &[]).await;
    let group = target.group().await;
    let settings = [
        ("group.id", group.as_str()),
        ("auto.offset.reset", "earliest"),
        ("partition.assignment.strategy", strategy),
        ("session.timeout.ms", "10000"),
        ("heartbeat.interval.ms", "200"),
    ];
    let members: Vec<StreamConsumer> = (0..2).map(|_| with(&target.client(), &settings)).collect();
    for member in &members {
        member.subscribe(&[&topic]).expect("subscribed");
    }
    // Assignments come to those who poll.
    eventually(async || {
        for member in &members {
            let _nothing =
                tokio::time::timeout(std::time::Duration::from_millis(50), member.recv()).await;
        }
        let counts = members
            .iter()
            .map(|member| member.assignment().expect("assigned").count());
        (counts.collect::<Vec<_>>() == [2, 2]).then_some(())
    })
    .await;
    let producer: FutureProducer = with(&target.client(), &[]);
    for partition in 0..4 {
        send(&producer, &topic, partition, &partition.to_string()).await;
    }
    let mut seen = BTreeSet::new();
    let mut by_member = [0, 0];
    let read = async {
        while seen.len() < 4 {
            for (index, member) in members.iter().enumerate() {
                let wait = std::time::Duration::from_millis(50);
                if let Ok(Ok(message)) = tokio::time::timeout(wait, member.recv()).await {
                    seen.insert(message.partition());
                    by_member[index] += 1;
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("in time");
    assert_eq!(by_member, [2, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_members_share_the_partitions() {
    shared("range").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_cooperative_members_share_the_partitions() {
    shared("cooperative-sticky").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_are_committed_and_read_on_from() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let group = target.group().await;
    let consumer: BaseConsumer = with(&target.client(), &[("group.id", &group)]);
    let looked = tokio::task::spawn_blocking(move || {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&topic, 0, Offset::Offset(42))
            .expect("an offset");
        consumer
            .commit(&list, rdkafka::consumer::CommitMode::Sync)
            .expect("committed");
        let mut list = TopicPartitionList::new();
        list.add_partition(&topic, 0);
        let list = consumer.committed_offsets(list, PATIENCE).expect("offsets");
        list.find_partition(&topic, 0)
            .expect("the partition")
            .offset()
    });
    assert_eq!(looked.await.expect("no panic"), Offset::Offset(42));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_too_large_is_refused() {
    let target = Target::new().await;
    let topic = target.topic(1, &[("max.message.bytes", "2000")]).await;
    let producer: FutureProducer = with(&target.client(), &[]);
    let value = "x".repeat(3_000);
    let record = FutureRecord::<str, str>::to(&topic).payload(&value);
    let (error, _) = producer.send(record, PATIENCE).await.expect_err("refused");
    assert_eq!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::MessageSizeTooLarge)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_altered_and_described() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let admin: AdminClient<DefaultClientContext> = with(&target.client(), &[]);
    let options = AdminOptions::new();
    let change = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("retention.ms", "777");
    let altered = admin
        .alter_configs([&change], &options)
        .await
        .expect("asked");
    assert!(altered[0].is_ok(), "{altered:?}");
    eventually(async || {
        let wanted = [ResourceSpecifier::Topic(&topic)];
        let found = admin
            .describe_configs(&wanted, &options)
            .await
            .expect("asked");
        let found = found[0].as_ref().expect("described").entry_map()["retention.ms"]
            .value
            .clone();
        (found.as_deref() == Some("777")).then_some(())
    })
    .await;
}
