//! Ordinary clients: librdkafka produces, consumes, commits and uses transactions, over restarts.

use std::collections::BTreeMap;

use crate::support::{
    PATIENCE, attempt, blocking, client, committed, initialised, read_all, send, start, until, with,
};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

fn values(found: &BTreeMap<i32, Vec<String>>) -> Vec<&str> {
    found.values().flatten().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_records_survive_a_restart_and_a_crash() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    assert!(broker.create_topic("t", 2, &[]).await.expect("created"));
    assert!(!broker.create_topic("t", 2, &[]).await.expect("known"));
    let producer: FutureProducer = with(&client(&broker), &[("linger.ms", "0")]);
    for number in 0..20 {
        assert_eq!(
            send(&producer, "t", number % 2, &format!("a{number}")).await,
            i64::from(number / 2)
        );
    }
    let before = read_all(&broker, "t", 2, "read_uncommitted").await;
    drop(producer);
    broker.shutdown().await;

    let broker = start(dir.path()).await;
    assert_eq!(read_all(&broker, "t", 2, "read_uncommitted").await, before);
    let producer: FutureProducer = with(&client(&broker), &[("enable.idempotence", "true")]);
    assert_eq!(send(&producer, "t", 0, "b").await, 10);
    // A crash: the directory as it is while the broker runs.
    let crashed = tempfile::tempdir().expect("a directory");
    crate::support::copy_dir(dir.path(), crashed.path());
    let broker = start(crashed.path()).await;
    let found = read_all(&broker, "t", 2, "read_uncommitted").await;
    assert_eq!(found[&0].last().map(String::as_str), Some("b"));
    assert_eq!(found[&1], before[&1]);
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_goes_on_where_it_committed() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    let producer: FutureProducer = with(&client(&broker), &[]);
    for number in 0..10 {
        // The topic is created by the first of them.
        send(&producer, "t", 0, &number.to_string()).await;
    }
    let settings = [
        ("group.id", "g"),
        ("auto.offset.reset", "earliest"),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "true"),
    ];
    let consumer: StreamConsumer = with(&client(&broker), &settings);
    consumer.subscribe(&["t"]).expect("subscribed");
    for number in 0..4 {
        let message = tokio::time::timeout(PATIENCE, consumer.recv())
            .await
            .expect("in time")
            .expect("a record");
        assert_eq!(message.payload(), Some(number.to_string().as_bytes()));
        consumer
            .commit_message(&message, CommitMode::Sync)
            .expect("committed");
    }
    drop(consumer);
    assert_eq!(committed(&broker, "g", "t", 0).await, Some(4));
    broker.shutdown().await;

    let broker = start(dir.path()).await;
    assert_eq!(committed(&broker, "g", "t", 0).await, Some(4));
    let consumer: StreamConsumer = with(&client(&broker), &settings);
    consumer.subscribe(&["t"]).expect("subscribed");
    let message = tokio::time::timeout(PATIENCE, consumer.recv())
        .await
        .expect("in time")
        .expect("a record");
    assert_eq!(message.payload(), Some("4".as_bytes()));
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_members_share_the_partitions_cooperatively() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    broker.create_topic("t", 4, &[]).await.expect("created");
    let settings = [
        ("group.id", "g"),
        ("auto.offset.reset", "earliest"),
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("session.timeout.ms", "6000"),
        ("heartbeat.interval.ms", "100"),
    ];
    let first: StreamConsumer = with(&client(&broker), &settings);
    first.subscribe(&["t"]).expect("subscribed");
    let held = |consumer: &StreamConsumer| consumer.assignment().expect("an assignment").count();
    let poll = async |consumer: &StreamConsumer| {
        let _none =
            tokio::time::timeout(std::time::Duration::from_millis(20), consumer.recv()).await;
    };
    until(async || {
        poll(&first).await;
        (held(&first) == 4).then_some(())
    })
    .await;
    let second: StreamConsumer = with(&client(&broker), &settings);
    second.subscribe(&["t"]).expect("subscribed");
    until(async || {
        poll(&first).await;
        poll(&second).await;
        (held(&first) == 2 && held(&second) == 2).then_some(())
    })
    .await;
    drop(second);
    until(async || {
        poll(&first).await;
        (held(&first) == 4).then_some(())
    })
    .await;
    drop(first);
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_commit_abort_and_survive_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    broker.create_topic("t", 2, &[]).await.expect("created");
    broker.create_topic("in", 1, &[]).await.expect("created");
    let producer = initialised(&broker, "tx").await;
    let member: StreamConsumer = with(&client(&broker), &[("group.id", "g")]);
    for (round, commit) in [(0, true), (1, false), (2, true)] {
        producer.begin_transaction().expect("begun");
        for partition in 0..2 {
            send(&producer, "t", partition, &format!("r{round}p{partition}")).await;
        }
        let mut offsets = TopicPartitionList::new();
        offsets
            .add_partition_offset("in", 0, Offset::Offset(10 + round))
            .expect("an offset");
        let group = member.group_metadata().expect("a group");
        producer
            .send_offsets_to_transaction(&offsets, &group, PATIENCE)
            .expect("sent");
        let end = move |p: &FutureProducer| {
            if commit {
                p.commit_transaction(PATIENCE)
            } else {
                p.abort_transaction(PATIENCE)
            }
        };
        let _same = blocking(producer.clone(), end).await;
        let last = if round == 2 { 12 } else { 10 };
        assert_eq!(committed(&broker, "g", "in", 0).await, Some(last));
    }
    let check = async |broker| {
        let found = read_all(broker, "t", 2, "read_committed").await;
        assert_eq!(values(&found), ["r0p0", "r2p0", "r0p1", "r2p1"]);
        let found = read_all(broker, "t", 2, "read_uncommitted").await;
        assert_eq!(
            values(&found),
            ["r0p0", "r1p0", "r2p0", "r0p1", "r1p1", "r2p1"]
        );
        assert_eq!(committed(broker, "g", "in", 0).await, Some(12));
    };
    check(&broker).await;
    // Left open over the restart.
    producer.begin_transaction().expect("begun");
    send(&producer, "t", 0, "open").await;
    let crashed = tempfile::tempdir().expect("a directory");
    crate::support::copy_dir(dir.path(), crashed.path());
    let broker = start(crashed.path()).await;
    check_open(&broker).await;
    // The next owner of the id aborts what was open.
    let _next = initialised(&broker, "tx").await;
    let found = read_all(&broker, "t", 2, "read_committed").await;
    assert_eq!(values(&found), ["r0p0", "r2p0", "r0p1", "r2p1"]);
    broker.shutdown().await;
}

async fn check_open(broker: &kafka_broker::Broker) {
    let found = read_all(broker, "t", 2, "read_committed").await;
    assert_eq!(values(&found), ["r0p0", "r2p0", "r0p1", "r2p1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_producer_fences_the_first() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    broker.create_topic("t", 1, &[]).await.expect("created");
    let first = initialised(&broker, "tx").await;
    first.begin_transaction().expect("begun");
    send(&first, "t", 0, "zombie").await;
    let second = initialised(&broker, "tx").await;
    second.begin_transaction().expect("begun");
    send(&second, "t", 0, "second").await;
    let _same = blocking(second.clone(), |p| p.commit_transaction(PATIENCE)).await;
    let refused = attempt(first, |p| p.commit_transaction(PATIENCE)).await;
    let code = refused
        .map(|_| ())
        .expect_err("fenced")
        .rdkafka_error_code();
    assert!(
        matches!(
            code,
            Some(RDKafkaErrorCode::Fenced | RDKafkaErrorCode::InvalidProducerEpoch)
        ),
        "{code:?}"
    );
    let found = read_all(&broker, "t", 1, "read_committed").await;
    assert_eq!(values(&found), ["second"]);
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_takes_too_long_is_aborted_and_fenced() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    broker.create_topic("t", 1, &[]).await.expect("created");
    let settings = [
        ("transactional.id", "tx"),
        ("transaction.timeout.ms", "1000"),
        ("socket.timeout.ms", "1000"),
        ("message.timeout.ms", "1000"),
    ];
    let slow: FutureProducer = with(&client(&broker), &settings);
    let slow = blocking(slow, |p| p.init_transactions(PATIENCE)).await;
    slow.begin_transaction().expect("begun");
    send(&slow, "t", 0, "late").await;
    let plain: FutureProducer = with(&client(&broker), &[]);
    send(&plain, "t", 0, "behind").await;
    // Nothing about when: a slow machine may be past the time-out already.
    until(async || {
        let found = read_all(&broker, "t", 1, "read_committed").await;
        (values(&found) == ["behind"]).then_some(())
    })
    .await;
    assert!(
        attempt(slow, |p| p.commit_transaction(PATIENCE))
            .await
            .is_err()
    );
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn administration_works() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    let admin: AdminClient<DefaultClientContext> = with(&client(&broker), &[]);
    let options = AdminOptions::new();
    let topic = NewTopic::new("a", 3, TopicReplication::Fixed(1)).set("retention.ms", "1000");
    assert_eq!(
        admin
            .create_topics([&topic], &options)
            .await
            .expect("asked"),
        [Ok("a".to_owned())]
    );
    let again = admin
        .create_topics([&topic], &options)
        .await
        .expect("asked");
    assert_eq!(
        again,
        [Err(("a".to_owned(), RDKafkaErrorCode::TopicAlreadyExists))]
    );
    let described = admin
        .describe_configs([&ResourceSpecifier::Topic("a")], &options)
        .await
        .expect("asked");
    let configs = described[0].as_ref().expect("described").entry_map();
    assert_eq!(configs["retention.ms"].value.as_deref(), Some("1000"));
    assert_eq!(configs["cleanup.policy"].value.as_deref(), Some("delete"));

    let producer: FutureProducer = with(&client(&broker), &[]);
    for number in 0..10 {
        send(&producer, "a", 0, &number.to_string()).await;
    }
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("a", 0, Offset::Offset(7))
        .expect("an offset");
    admin
        .delete_records(&list, &options)
        .await
        .expect("deleted");
    assert_eq!(
        values(&read_all(&broker, "a", 1, "read_committed").await),
        ["7", "8", "9"]
    );
    broker.shutdown().await;
    let broker = start(dir.path()).await;
    assert_eq!(
        values(&read_all(&broker, "a", 1, "read_committed").await),
        ["7", "8", "9"]
    );
    let admin: AdminClient<DefaultClientContext> = with(&client(&broker), &[]);
    assert_eq!(
        admin.delete_topics(&["a"], &options).await.expect("asked"),
        [Ok("a".to_owned())]
    );
    assert!(!broker.stats().end_offsets.contains_key("a"));
    broker.shutdown().await;
    assert_eq!(
        std::fs::read_dir(dir.path().join("logs"))
            .expect("a directory")
            .count(),
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_are_found_by_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    broker.create_topic("t", 1, &[]).await.expect("created");
    let producer: FutureProducer = with(&client(&broker), &[("linger.ms", "20")]);
    let sends = (0..100).map(|number| {
        let record = rdkafka::producer::FutureRecord::<str, str>::to("t")
            .payload("x")
            .timestamp(1_000 + number);
        producer
            .send_result(record)
            .map_err(|(error, _)| error)
            .expect("queued")
    });
    for sent in sends.collect::<Vec<_>>() {
        sent.await
            .expect("not cancelled")
            .map_err(|(error, _): (KafkaError, _)| error)
            .expect("acknowledged");
    }
    let consumer: StreamConsumer = with(&client(&broker), &[("group.id", "g")]);
    let look = move |time| {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset("t", 0, Offset::Offset(time))
            .expect("an offset");
        let found = consumer.offsets_for_times(list, PATIENCE).expect("found");
        found
            .find_partition("t", 0)
            .expect("the partition")
            .offset()
    };
    let found = tokio::task::spawn_blocking(move || [0, 1_042, 1_099, 2_000].map(look))
        .await
        .expect("no panic");
    assert_eq!(
        found,
        [
            Offset::Offset(0),
            Offset::Offset(42),
            Offset::Offset(99),
            Offset::End
        ]
    );
    broker.shutdown().await;
}
