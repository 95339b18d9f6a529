//! Topics: creating, growing, deleting, deleting records, and what metadata says of them.

use kafka_protocol::ResponseError as E;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    ApiVersionsRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest,
    DeleteTopicsRequest, DescribeClusterRequest, MetadataRequest,
};

use crate::list_offsets::offset_at;
use crate::support::raw::{NOBODY, Raw, batch, frame, name, text};
use crate::{Target, eventually, unique};

#[tokio::test]
async fn a_topic_is_created_once() {
    let target = Target::new().await;
    let topic = unique("topic");
    let created = target.create(&topic, 3, &[("retention.ms", "12345")]).await;
    assert_eq!((created.error_code, created.num_partitions), (0, 3));
    assert_eq!(created.replication_factor, 1);
    assert!(!created.topic_id.is_nil());
    let again = target.create(&topic, 3, &[]).await;
    assert_eq!(again.error_code, E::TopicAlreadyExists.code());
}

#[tokio::test]
async fn topics_that_cannot_be_are_refused() {
    let target = Target::new().await;
    for (topic, partitions, configs, expected) in [
        ("", 1, vec![], E::InvalidTopicException),
        ("a b", 1, vec![], E::InvalidTopicException),
        (".", 1, vec![], E::InvalidTopicException),
        (&*"x".repeat(250), 1, vec![], E::InvalidTopicException),
        (&unique("t"), 0, vec![], E::InvalidPartitions),
        (&unique("t"), -2, vec![], E::InvalidPartitions),
        (
            &unique("t"),
            1,
            vec![("no.such.config", "1")],
            E::InvalidConfig,
        ),
        (
            &unique("t"),
            1,
            vec![("retention.ms", "soon")],
            E::InvalidConfig,
        ),
        (
            &unique("t"),
            1,
            vec![("retention.ms", "-2")],
            E::InvalidConfig,
        ),
        (
            &unique("t"),
            1,
            vec![("cleanup.policy", "burn")],
            E::InvalidConfig,
        ),
        (
            &unique("t"),
            1,
            vec![("min.cleanable.dirty.ratio", "2")],
            E::InvalidConfig,
        ),
        (
            &unique("t"),
            1,
            vec![("message.timestamp.type", "Never")],
            E::InvalidConfig,
        ),
        (
            &unique("t"),
            1,
            vec![("segment.bytes", "1")],
            E::InvalidConfig,
        ),
    ] {
        let refused = target.create(topic, partitions, &configs).await;
        assert_eq!(
            refused.error_code,
            expected.code(),
            "{topic} {partitions} {configs:?}"
        );
    }
}

#[tokio::test]
async fn a_replication_factor_beyond_the_brokers_is_refused() {
    let target = Target::new().await;
    let wanted = CreatableTopic::default()
        .with_name(name(&unique("t")))
        .with_num_partitions(1)
        .with_replication_factor(3);
    let request = CreateTopicsRequest::default()
        .with_timeout_ms(5_000)
        .with_topics(vec![wanted]);
    let refused = target.raw().await.call(7, request).await;
    assert_eq!(
        refused.topics[0].error_code,
        E::InvalidReplicationFactor.code()
    );
}

#[tokio::test]
async fn validate_only_creates_nothing() {
    let target = Target::new().await;
    let topic = unique("t");
    let wanted = CreatableTopic::default()
        .with_name(name(&topic))
        .with_num_partitions(2)
        .with_replication_factor(-1);
    let request = CreateTopicsRequest::default()
        .with_timeout_ms(5_000)
        .with_validate_only(true)
        .with_topics(vec![wanted]);
    let mut raw = target.raw().await;
    assert_eq!(raw.call(7, request).await.topics[0].error_code, 0);
    assert_eq!(
        metadata(&mut raw, &topic).await.0,
        E::UnknownTopicOrPartition.code()
    );
}

/// Error code and number of partitions.
async fn metadata(raw: &mut Raw, topic: &str) -> (i16, usize) {
    let wanted = MetadataRequestTopic::default().with_name(Some(name(topic)));
    let request = MetadataRequest::default()
        .with_allow_auto_topic_creation(false)
        .with_topics(Some(vec![wanted]));
    let found = raw.call(12, request).await.topics.remove(0);
    (found.error_code, found.partitions.len())
}

#[tokio::test]
async fn metadata_names_the_broker_the_topic_and_its_leader() {
    let target = Target::new().await;
    let topic = target.topic(2, &[]).await;
    let mut raw = target.raw().await;
    let wanted = MetadataRequestTopic::default().with_name(Some(name(&topic)));
    let request = MetadataRequest::default().with_topics(Some(vec![wanted]));
    let found = raw.call(12, request).await;
    assert_eq!(found.brokers.len(), 1);
    assert_eq!(found.brokers[0].port, i32::from(target.address.port()));
    assert!(found.cluster_id.is_some());
    let topic_id = found.topics[0].topic_id;
    for (index, partition) in found.topics[0].partitions.iter().enumerate() {
        assert_eq!(
            (partition.error_code, partition.partition_index),
            (0, index as i32)
        );
        assert_eq!((partition.leader_id.0, partition.leader_epoch), (1, 0));
        assert_eq!(
            (partition.replica_nodes.len(), partition.isr_nodes.len()),
            (1, 1)
        );
        assert!(partition.offline_replicas.is_empty());
    }
    // By its id, and by one that nobody has.
    let by_id = |id| {
        MetadataRequestTopic::default()
            .with_name(None)
            .with_topic_id(id)
    };
    let wanted = vec![by_id(topic_id), by_id(uuid::Uuid::new_v4())];
    let request = MetadataRequest::default().with_topics(Some(wanted));
    let mut found = raw.call(12, request).await.topics;
    found.sort_by_key(|topic| topic.error_code);
    assert_eq!(found[0].name.as_ref(), Some(&name(&topic)));
    assert_eq!(found[1].error_code, E::UnknownTopicId.code());
    // All of them.
    let all = raw
        .call(12, MetadataRequest::default().with_topics(None))
        .await;
    assert!(
        all.topics
            .iter()
            .any(|found| found.name.as_ref() == Some(&name(&topic)))
    );
    // None of them.
    let none = raw
        .call(12, MetadataRequest::default().with_topics(Some(Vec::new())))
        .await;
    assert!(none.topics.is_empty());
}

#[tokio::test]
async fn metadata_of_unknown_and_illegal_topics_says_so() {
    let target = Target::new().await;
    let mut raw = target.raw().await;
    let unknown = metadata(&mut raw, &unique("none")).await;
    assert_eq!(unknown, (E::UnknownTopicOrPartition.code(), 0));
    let illegal = metadata(&mut raw, "a b").await;
    assert_eq!(illegal, (E::InvalidTopicException.code(), 0));
}

#[tokio::test]
async fn a_topic_grows_but_does_not_shrink() {
    let target = Target::new().await;
    let topic = target.topic(2, &[]).await;
    let mut raw = target.raw().await;
    let grow = |topic: &str, count| {
        let wanted = CreatePartitionsTopic::default()
            .with_name(name(topic))
            .with_count(count)
            .with_assignments(None);
        CreatePartitionsRequest::default()
            .with_timeout_ms(10_000)
            .with_topics(vec![wanted])
    };
    for count in [2, 1, 0] {
        let refused = raw.call(3, grow(&topic, count)).await.results[0].error_code;
        assert_eq!(refused, E::InvalidPartitions.code(), "{count}");
    }
    let unknown = raw.call(3, grow(&unique("none"), 3)).await.results[0].error_code;
    assert_eq!(unknown, E::UnknownTopicOrPartition.code());
    let only = grow(&topic, 4).with_validate_only(true);
    assert_eq!(raw.call(3, only).await.results[0].error_code, 0);
    assert_eq!(metadata(&mut raw, &topic).await, (0, 2));
    assert_eq!(raw.call(3, grow(&topic, 4)).await.results[0].error_code, 0);
    target.ready(&topic, 4).await;
    let sent = raw
        .produce(None, &topic, 3, batch(NOBODY, 0, false, &["a"]))
        .await;
    assert_eq!(sent, (0, 0));
}

#[tokio::test]
async fn a_topic_is_deleted_by_name_or_id_and_unknown_ones_are_refused() {
    let target = Target::new().await;
    let (topic, other) = (target.topic(1, &[]).await, unique("topic"));
    let id = target.create(&other, 1, &[]).await.topic_id;
    let mut raw = target.raw().await;
    let delete = |wanted| {
        DeleteTopicsRequest::default()
            .with_timeout_ms(10_000)
            .with_topics(vec![wanted])
    };
    let by_name = |topic: &str| DeleteTopicState::default().with_name(Some(name(topic)));
    let by_id = |id| {
        DeleteTopicState::default()
            .with_name(None)
            .with_topic_id(id)
    };
    assert_eq!(
        raw.call(6, delete(by_name(&topic))).await.responses[0].error_code,
        0
    );
    let answer = raw.call(6, delete(by_id(id))).await.responses.remove(0);
    assert_eq!((answer.error_code, answer.name), (0, Some(name(&other))));
    let unknown = raw
        .call(6, delete(by_name(&unique("none"))))
        .await
        .responses[0]
        .error_code;
    assert_eq!(unknown, E::UnknownTopicOrPartition.code());
    let unknown = raw
        .call(6, delete(by_id(uuid::Uuid::new_v4())))
        .await
        .responses[0]
        .error_code;
    assert_eq!(unknown, E::UnknownTopicId.code());
    eventually(async || {
        let gone = metadata(&mut target.raw().await, &topic).await;
        (gone.0 == E::UnknownTopicOrPartition.code()).then_some(())
    })
    .await;
    // A new one of the same name begins anew.
    assert_eq!(target.create(&topic, 1, &[]).await.error_code, 0);
    target.ready(&topic, 1).await;
    let sent = raw
        .produce(None, &topic, 0, batch(NOBODY, 0, false, &["a"]))
        .await;
    assert_eq!(sent, (0, 0));
}

#[tokio::test]
async fn deleting_records_moves_the_start() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let mut raw = target.raw().await;
    for _ in 0..3 {
        raw.produce(None, &topic, 0, batch(NOBODY, 0, false, &["a", "b"]))
            .await;
    }
    let delete = |topic: &str, partition, offset| {
        let partition = DeleteRecordsPartition::default()
            .with_partition_index(partition)
            .with_offset(offset);
        let topic = DeleteRecordsTopic::default()
            .with_name(name(topic))
            .with_partitions(vec![partition]);
        DeleteRecordsRequest::default()
            .with_timeout_ms(10_000)
            .with_topics(vec![topic])
    };
    for (topic, partition, offset, expected) in [
        (topic.as_str(), 0, 3, (0, 3)),
        // It does not move back.
        (&topic, 0, 1, (0, 3)),
        (&topic, 0, 7, (E::OffsetOutOfRange.code(), -1)),
        (&topic, 0, -2, (E::OffsetOutOfRange.code(), -1)),
        (&topic, 4, 0, (E::UnknownTopicOrPartition.code(), -1)),
        ("no-such", 0, 0, (E::UnknownTopicOrPartition.code(), -1)),
    ] {
        let answer = raw.call(2, delete(topic, partition, offset)).await;
        let answer = &answer.topics[0].partitions[0];
        assert_eq!(
            (answer.error_code, answer.low_watermark),
            expected,
            "{offset}"
        );
    }
    assert_eq!(offset_at(&mut raw, &topic, 0, -2).await, (0, 3, -1));
    let refused = raw.fetch(&topic, 0, 2, false, 0).await;
    assert_eq!(refused.error_code, E::OffsetOutOfRange.code());
    let fetched = raw.fetch(&topic, 0, 3, false, 0).await;
    assert_eq!((fetched.log_start, fetched.records[0].offset), (3, 2));
    let all = raw.call(2, delete(&topic, 0, -1)).await;
    assert_eq!(all.topics[0].partitions[0].low_watermark, 6);
    assert_eq!(offset_at(&mut raw, &topic, 0, -1).await, (0, 6, -1));
    let sent = raw
        .produce(None, &topic, 0, batch(NOBODY, 0, false, &["c"]))
        .await;
    assert_eq!(sent, (0, 6));
}

#[tokio::test]
async fn the_cluster_is_one_broker() {
    let target = Target::new().await;
    let found = target
        .raw()
        .await
        .call(1, DescribeClusterRequest::default().with_endpoint_type(1))
        .await;
    assert_eq!((found.error_code, found.brokers.len()), (0, 1));
    assert!(!found.cluster_id.is_empty());
}

#[tokio::test]
async fn versions_that_are_not_known_are_answered_in_version_0() {
    use tokio::io::AsyncWriteExt;
    let target = Target::new().await;
    let mut raw = target.raw().await;
    let mut bytes = frame(3, 5, &ApiVersionsRequest::default()).to_vec();
    bytes[6..8].copy_from_slice(&99_i16.to_be_bytes());
    raw.stream.write_all(&bytes).await.expect("sent");
    let answer = raw.answer().await.expect("an answer");
    assert_eq!(answer[..6], [0, 0, 0, 5, 0, 35]);
    let request = ApiVersionsRequest::default()
        .with_client_software_name(text("conformance"))
        .with_client_software_version(text("1"));
    let mut raw = target.raw().await;
    assert_eq!(raw.call(3, request).await.error_code, 0);
    // A version of another request that nobody knows ends the connection.
    let mut bytes = frame(12, 5, &MetadataRequest::default()).to_vec();
    bytes[6..8].copy_from_slice(&99_i16.to_be_bytes());
    raw.stream.write_all(&bytes).await.expect("sent");
    assert_eq!(raw.answer().await, None);
}
