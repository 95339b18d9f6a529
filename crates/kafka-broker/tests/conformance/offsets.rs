//! Committed offsets: who may commit, what comes back, and deleting them.

use kafka_protocol::ResponseError as E;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::{
    DeleteTopicsRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest,
};

use crate::groups::{alone, join, subscription};
use crate::support::raw::{Raw, name, text};
use crate::{Target, eventually, unique};

fn commit(
    group: &str,
    topic: &str,
    partition: OffsetCommitRequestPartition,
) -> OffsetCommitRequest {
    let topic = OffsetCommitRequestTopic::default()
        .with_name(name(topic))
        .with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(text(group).into())
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic])
}

fn at(offset: i64) -> OffsetCommitRequestPartition {
    OffsetCommitRequestPartition::default().with_committed_offset(offset)
}

async fn code(raw: &mut Raw, request: OffsetCommitRequest) -> i16 {
    raw.call(8, request).await.topics[0].partitions[0].error_code
}

/// Error code of the request and of the partition.
pub(crate) async fn delete(
    raw: &mut Raw,
    group: &str,
    topic: &str,
    partition: i32,
) -> (i16, Option<i16>) {
    let partition = OffsetDeleteRequestPartition::default().with_partition_index(partition);
    let topic = OffsetDeleteRequestTopic::default()
        .with_name(name(topic))
        .with_partitions(vec![partition]);
    let request = OffsetDeleteRequest::default()
        .with_group_id(text(group).into())
        .with_topics(vec![topic]);
    let answer = raw.call(0, request).await;
    let first = answer
        .topics
        .first()
        .and_then(|topic| topic.partitions.first());
    (
        answer.error_code,
        first.map(|partition| partition.error_code),
    )
}

#[tokio::test]
async fn an_offset_comes_back_with_its_metadata() {
    let target = Target::new().await;
    let topic = target.topic(2, &[]).await;
    let group = target.group().await;
    let mut raw = target.raw().await;
    assert_eq!(raw.committed(&group, &topic).await, (0, -1));
    let wish = at(7)
        .with_committed_metadata(Some(text("note")))
        .with_committed_leader_epoch(0);
    assert_eq!(code(&mut raw, commit(&group, &topic, wish)).await, 0);
    // Nothing is said: everything there is.
    let all = OffsetFetchRequest::default()
        .with_group_id(text(&group).into())
        .with_topics(None);
    let answer = raw.call(7, all).await;
    assert_eq!((answer.error_code, answer.topics.len()), (0, 1));
    assert_eq!(answer.topics[0].name, name(&topic));
    let found = &answer.topics[0].partitions[0];
    assert_eq!(
        (found.committed_offset, found.committed_leader_epoch),
        (7, 0)
    );
    assert_eq!(found.metadata.as_deref(), Some("note"));
}

#[tokio::test]
async fn a_commit_to_an_unknown_topic_or_with_too_much_metadata_is_refused() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let group = target.group().await;
    let mut raw = target.raw().await;
    let refused = code(&mut raw, commit(&group, &unique("none"), at(1))).await;
    assert_eq!(refused, E::UnknownTopicOrPartition.code());
    let refused = code(
        &mut raw,
        commit(&group, &topic, at(1).with_partition_index(4)),
    )
    .await;
    assert_eq!(refused, E::UnknownTopicOrPartition.code());
    for (length, expected) in [(4_096, 0), (4_097, E::OffsetMetadataTooLarge.code())] {
        let wish = at(1).with_committed_metadata(Some(text(&"x".repeat(length))));
        assert_eq!(code(&mut raw, commit(&group, &topic, wish)).await, expected);
    }
}

#[tokio::test]
async fn only_members_of_the_present_generation_commit() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let group = target.group().await;
    let mut raw = target.raw().await;
    let stray = commit(&group, &topic, at(1)).with_generation_id_or_member_epoch(3);
    assert_eq!(code(&mut raw, stray).await, E::IllegalGeneration.code());
    let (member, generation) = alone(&mut raw, &group).await;
    let from = |member: &str, generation| {
        commit(&group, &topic, at(1))
            .with_member_id(text(member))
            .with_generation_id_or_member_epoch(generation)
    };
    assert_eq!(code(&mut raw, from(&member, generation)).await, 0);
    let old = code(&mut raw, from(&member, generation + 1)).await;
    assert_eq!(old, E::IllegalGeneration.code());
    let stranger = code(&mut raw, from("nobody", generation)).await;
    assert_eq!(stranger, E::UnknownMemberId.code());
    let alone = code(&mut raw, from("", -1)).await;
    assert_eq!(alone, E::UnknownMemberId.code());
}

#[tokio::test]
async fn offsets_are_deleted_one_by_one() {
    let target = Target::new().await;
    let topic = target.topic(2, &[]).await;
    let group = target.group().await;
    let mut raw = target.raw().await;
    for partition in 0..2 {
        let wish = at(5).with_partition_index(partition);
        assert_eq!(code(&mut raw, commit(&group, &topic, wish)).await, 0);
    }
    assert_eq!(delete(&mut raw, &group, &topic, 1).await, (0, Some(0)));
    assert_eq!(raw.committed(&group, &topic).await, (0, 5));
    assert_eq!(delete(&mut raw, &group, &topic, 0).await, (0, Some(0)));
    assert_eq!(raw.committed(&group, &topic).await, (0, -1));
    let unknown = delete(&mut raw, &unique("never"), &topic, 0).await;
    assert_eq!(unknown, (E::GroupIdNotFound.code(), None));
}

#[tokio::test]
async fn offsets_of_a_subscribed_topic_stay() {
    let target = Target::new().await;
    let (topic, other) = (target.topic(1, &[]).await, target.topic(1, &[]).await);
    let group = target.group().await;
    let mut raw = target.raw().await;
    for topic in [&topic, &other] {
        assert_eq!(code(&mut raw, commit(&group, topic, at(5))).await, 0);
    }
    let subscription = subscription(&[&topic]);
    let request = |member: &str| {
        let mut request = join(&group, member, &["range"]);
        request.protocols[0].metadata = subscription.clone();
        request
    };
    let first = raw.call(7, request("")).await;
    let joined = raw.call(7, request(&first.member_id)).await;
    assert_eq!(joined.error_code, 0);
    let subscribed = E::GroupSubscribedToTopic.code();
    assert_eq!(
        delete(&mut raw, &group, &topic, 0).await,
        (0, Some(subscribed))
    );
    assert_eq!(delete(&mut raw, &group, &other, 0).await, (0, Some(0)));
}

#[tokio::test]
async fn offsets_go_with_their_topic() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let group = target.group().await;
    let mut raw = target.raw().await;
    assert_eq!(code(&mut raw, commit(&group, &topic, at(5))).await, 0);
    let wanted = DeleteTopicState::default().with_name(Some(name(&topic)));
    let request = DeleteTopicsRequest::default()
        .with_timeout_ms(10_000)
        .with_topics(vec![wanted]);
    assert_eq!(raw.call(6, request).await.responses[0].error_code, 0);
    eventually(async || {
        let found = target.raw().await.committed(&group, &topic).await;
        (found == (0, -1)).then_some(())
    })
    .await;
}
