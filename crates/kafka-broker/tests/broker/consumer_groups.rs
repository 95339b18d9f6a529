//! Groups of the new protocol over restarts: members are forgotten, epochs and offsets are not.

use std::path::Path;
use std::time::Duration;

use crate::support::raw::{Raw, name, text};
use crate::support::{client, committed, send, with};
use kafka_broker::{Broker, BrokerConfig};
use kafka_protocol::ResponseError as E;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, OffsetCommitRequest,
};
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::message::Message;
use rdkafka::producer::FutureProducer;

fn config(dir: &Path) -> BrokerConfig {
    let mut config = crate::support::config(dir);
    config.consumer_heartbeat_interval = Duration::from_millis(100);
    config
}

async fn start(dir: &Path) -> Broker {
    Broker::start(config(dir)).await.expect("starts")
}

fn beat(epoch: i32) -> ConsumerGroupHeartbeatRequest {
    let request = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(text("g").into())
        .with_member_id(text("m"))
        .with_member_epoch(epoch)
        .with_rebalance_timeout_ms(-1)
        .with_subscribed_topic_names(None)
        .with_topic_partitions(None);
    match epoch {
        0 => request
            .with_rebalance_timeout_ms(10_000)
            .with_subscribed_topic_names(Some(vec![name("t")]))
            .with_topic_partitions(Some(Vec::new())),
        _ => request,
    }
}

async fn say(broker: &Broker, epoch: i32) -> ConsumerGroupHeartbeatResponse {
    Raw::connect(broker).await.call(1, beat(epoch)).await
}

async fn commit(broker: &Broker, epoch: i32, offset: i64) -> i16 {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(offset);
    let topic = OffsetCommitRequestTopic::default()
        .with_name(name("t"))
        .with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(text("g").into())
        .with_member_id(text("m"))
        .with_generation_id_or_member_epoch(epoch)
        .with_topics(vec![topic]);
    let answer = Raw::connect(broker).await.call(9, request).await;
    answer.topics[0].partitions[0].error_code
}

#[tokio::test]
async fn an_epoch_of_before_a_restart_or_a_crash_is_never_valid_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    assert!(broker.create_topic("t", 1, &[]).await.expect("created"));
    assert_eq!(say(&broker, 0).await.member_epoch, 1);
    assert_eq!(commit(&broker, 1, 7).await, 0);
    // A crash: the directory as it is while the broker runs.
    let crashed = tempfile::tempdir().expect("a directory");
    crate::support::copy_dir(dir.path(), crashed.path());
    broker.shutdown().await;
    let mut old = 1;
    for dir in [dir.path(), crashed.path(), crashed.path()] {
        let broker = start(dir).await;
        let unknown = E::UnknownMemberId.code();
        assert_eq!(say(&broker, 1).await.error_code, unknown);
        assert_eq!(commit(&broker, 1, 8).await, unknown);
        let joined = say(&broker, 0).await;
        assert_eq!(joined.error_code, 0);
        assert!(joined.member_epoch > 1, "{joined:?}");
        assert_eq!(
            say(&broker, 1).await.error_code,
            E::FencedMemberEpoch.code()
        );
        assert_eq!(commit(&broker, 1, 8).await, E::StaleMemberEpoch.code());
        assert_eq!(committed(&broker, "g", "t", 0).await, Some(7));
        if dir == crashed.path() {
            assert!(joined.member_epoch > old);
            old = joined.member_epoch;
        }
        broker.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_goes_on_over_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    assert!(broker.create_topic("t", 1, &[]).await.expect("created"));
    let settings = [
        ("group.id", "g"),
        ("group.protocol", "consumer"),
        ("auto.offset.reset", "earliest"),
        ("enable.auto.commit", "false"),
        ("reconnect.backoff.max.ms", "200"),
    ];
    let consumer: StreamConsumer = with(&client(&broker), &settings);
    consumer.subscribe(&["t"]).expect("subscribed");
    let address = broker.local_addr();
    let mut broker = broker;
    for number in 0..3 {
        let producer: FutureProducer = with(&client(&broker), &[]);
        assert_eq!(send(&producer, "t", 0, "x").await, number);
        // While the broker is away there are errors, and what was read then comes again; a commit with the epoch of
        // before the restart is refused, and the client learns of the new one only while it polls.
        crate::support::until(async || {
            let polled = tokio::time::timeout(Duration::from_millis(100), consumer.recv()).await;
            let message = polled.ok()?.ok()?;
            let sent = consumer.commit_message(&message, CommitMode::Sync);
            (message.offset() == number && sent.is_ok()).then_some(())
        })
        .await;
        assert_eq!(committed(&broker, "g", "t", 0).await, Some(number + 1));
        broker.shutdown().await;
        let mut again = config(dir.path());
        again.listen = address;
        broker = Broker::start(again).await.expect("starts again");
    }
    broker.shutdown().await;
}

#[tokio::test]
async fn offsets_of_a_group_without_members_expire_for_good() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = config(dir.path());
    config.cleanup_interval = Duration::from_millis(20);
    config.offsets_retention = Some(Duration::from_millis(100));
    let broker = Broker::start(config).await.expect("starts");
    assert!(broker.create_topic("t", 1, &[]).await.expect("created"));
    let epoch = say(&broker, 0).await.member_epoch;
    assert_eq!(commit(&broker, epoch, 7).await, 0);
    let mut raw = Raw::connect(&broker).await;
    assert_eq!(raw.commit("other", "t", 8).await, 0);
    crate::support::until(async || {
        let found = Raw::connect(&broker).await.committed("other", "t").await;
        (found == (0, -1)).then_some(())
    })
    .await;
    // The member is still there.
    assert_eq!(raw.committed("g", "t").await, (0, 7));
    assert_eq!(say(&broker, -1).await.error_code, 0);
    crate::support::until(async || {
        let found = Raw::connect(&broker).await.committed("g", "t").await;
        (found == (0, -1)).then_some(())
    })
    .await;
    broker.shutdown().await;
    let broker = start(dir.path()).await;
    let mut raw = Raw::connect(&broker).await;
    assert_eq!(raw.committed("g", "t").await, (0, -1));
    broker.shutdown().await;
}
