//! Offsets of groups of the new protocol (KIP-848): committed and fetched with a member's epoch.

use kafka_protocol::ResponseError as E;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetFetchRequest, TxnOffsetCommitRequest};

use crate::consumer_groups::{Member, settled};
use crate::offsets;
use crate::support::raw::{Pid, Raw, name, text};
use crate::{Target, unique};

/// Commits an offset of one partition.
async fn commit(
    raw: &mut Raw,
    version: i16,
    group: &str,
    member: (&str, i32),
    topic: &str,
    (partition, offset): (i32, i64),
) -> i16 {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset);
    let topic = OffsetCommitRequestTopic::default()
        .with_name(name(topic))
        .with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(text(group).into())
        .with_member_id(text(member.0))
        .with_generation_id_or_member_epoch(member.1)
        .with_topics(vec![topic]);
    raw.call(version, request).await.topics[0].partitions[0].error_code
}

/// Error code of the group, and the offset of partition 0.
async fn fetch(
    raw: &mut Raw,
    group: &str,
    member: Option<&str>,
    epoch: i32,
    topic: &str,
) -> (i16, i64) {
    let topic = OffsetFetchRequestTopics::default()
        .with_name(name(topic))
        .with_partition_indexes(vec![0]);
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(text(group).into())
        .with_member_id(member.map(text))
        .with_member_epoch(epoch)
        .with_topics(Some(vec![topic]));
    let request = OffsetFetchRequest::default().with_groups(vec![group]);
    let found = raw.call(9, request).await.groups.remove(0);
    let offset = found
        .topics
        .first()
        .map(|topic| topic.partitions[0].committed_offset);
    (found.error_code, offset.unwrap_or(-1))
}

async fn txn_commit(
    raw: &mut Raw,
    (id, pid): (&str, Pid),
    group: &str,
    member: (&str, i32),
    topic: &str,
    (partition, offset): (i32, i64),
) -> i16 {
    let partition = TxnOffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset);
    let topic = TxnOffsetCommitRequestTopic::default()
        .with_name(name(topic))
        .with_partitions(vec![partition]);
    let request = TxnOffsetCommitRequest::default()
        .with_transactional_id(text(id).into())
        .with_producer_id(pid.id.into())
        .with_producer_epoch(pid.epoch)
        .with_group_id(text(group).into())
        .with_member_id(text(member.0))
        .with_generation_id(member.1)
        .with_topics(vec![topic]);
    raw.call(3, request).await.topics[0].partitions[0].error_code
}

#[tokio::test]
async fn offsets_are_committed_and_fetched_with_the_members_epoch() {
    let target = Target::new().await;
    let (topic, group) = (target.topic(1, &[]).await, target.group().await);
    let mut a = Member::new(&target, &group).await;
    a.join(&[&topic]).await;
    settled(&mut [&mut a], &[1]).await;
    let (id, epoch) = (a.id.clone(), a.epoch);
    let stranger = unique("stranger");
    let raw = &mut a.raw;
    let stale = E::StaleMemberEpoch.code();
    let unknown = E::UnknownMemberId.code();
    assert_eq!(
        commit(raw, 9, &group, (&id, epoch), &topic, (0, 7)).await,
        0
    );
    for (version, member, code) in [
        (9, (id.as_str(), epoch + 1), stale),
        (9, (id.as_str(), 0), stale),
        (9, (stranger.as_str(), epoch), unknown),
        (9, ("", -1), unknown),
        (8, (id.as_str(), epoch), E::UnsupportedVersion.code()),
        (8, (stranger.as_str(), epoch), unknown),
    ] {
        let refused = commit(raw, version, &group, member, &topic, (0, 8)).await;
        assert_eq!(refused, code, "{version} {member:?}");
    }
    assert_eq!(fetch(raw, &group, Some(&id), epoch, &topic).await, (0, 7));
    assert_eq!(fetch(raw, &group, None, -1, &topic).await, (0, 7));
    assert_eq!(
        fetch(raw, &group, Some(&id), epoch + 1, &topic).await.0,
        stale
    );
    assert_eq!(
        fetch(raw, &group, Some(&stranger), epoch, &topic).await.0,
        unknown
    );
    assert_eq!(fetch(raw, &group, Some(""), -1, &topic).await.0, unknown);
    // Offsets of what is read may not be deleted.
    let busy = offsets::delete(raw, &group, &topic, 0).await;
    assert_eq!(busy, (0, Some(E::GroupSubscribedToTopic.code())));
    assert_eq!(a.leave(-1, None).await, 0);
    let raw = &mut a.raw;
    assert_eq!(
        commit(raw, 9, &group, (&id, epoch), &topic, (0, 8)).await,
        unknown
    );
    assert_eq!(commit(raw, 9, &group, ("", -1), &topic, (0, 9)).await, 0);
    assert_eq!(fetch(raw, &group, None, -1, &topic).await, (0, 9));
    assert_eq!(offsets::delete(raw, &group, &topic, 0).await, (0, Some(0)));
    assert_eq!(fetch(raw, &group, None, -1, &topic).await, (0, -1));
}

#[tokio::test]
async fn an_older_epoch_commits_what_the_member_has_had_since() {
    let target = Target::new().await;
    let (topic, group) = (target.topic(2, &[]).await, target.group().await);
    let id = target.transactional_id().await;
    let (mut a, mut b) = (
        Member::new(&target, &group).await,
        Member::new(&target, &group).await,
    );
    a.join(&[&topic]).await;
    settled(&mut [&mut a], &[2]).await;
    let before = a.epoch;
    b.join(&[&topic]).await;
    settled(&mut [&mut a, &mut b], &[1, 1]).await;
    let kept = a.owned.first().expect("one").1;
    let lost = 1 - kept;
    let (member, raw) = (a.id.clone(), &mut a.raw);
    let old = (member.as_str(), before);
    assert!(before < a.epoch);
    assert_eq!(commit(raw, 9, &group, old, &topic, (kept, 1)).await, 0);
    let stale = commit(raw, 9, &group, old, &topic, (lost, 1)).await;
    assert_eq!(stale, E::StaleMemberEpoch.code());
    let older = (member.as_str(), before - 1);
    let stale = commit(raw, 9, &group, older, &topic, (kept, 1)).await;
    assert_eq!(stale, E::StaleMemberEpoch.code());
    let pid = raw.init(&id, 60_000).await;
    assert_eq!(raw.add_offsets(&id, pid, &group).await, 0);
    let transaction = (id.as_str(), pid);
    assert_eq!(
        txn_commit(raw, transaction, &group, old, &topic, (kept, 2)).await,
        0
    );
    let stale = txn_commit(raw, transaction, &group, old, &topic, (lost, 2)).await;
    assert_eq!(stale, E::IllegalGeneration.code());
}

#[tokio::test]
async fn offsets_in_a_transaction_are_the_members_alone() {
    let target = Target::new().await;
    let (topic, group) = (target.topic(1, &[]).await, target.group().await);
    let id = target.transactional_id().await;
    let mut a = Member::new(&target, &group).await;
    a.join(&[&topic]).await;
    settled(&mut [&mut a], &[1]).await;
    let (member, epoch) = (a.id.clone(), a.epoch);
    let raw = &mut a.raw;
    let pid = raw.init(&id, 60_000).await;
    assert_eq!(raw.add_offsets(&id, pid, &group).await, 0);
    let transaction = (id.as_str(), pid);
    let stranger = unique("stranger");
    for (member, code) in [
        ((member.as_str(), epoch + 1), E::IllegalGeneration.code()),
        ((member.as_str(), 0), E::IllegalGeneration.code()),
        ((stranger.as_str(), epoch), E::UnknownMemberId.code()),
        (("", epoch), E::UnknownMemberId.code()),
        ((member.as_str(), epoch), 0),
        // Who says nothing of itself is not checked.
        (("", -1), 0),
    ] {
        let answered = txn_commit(raw, transaction, &group, member, &topic, (0, 5)).await;
        assert_eq!(answered, code, "{member:?}");
    }
    assert_eq!(raw.end(&id, pid, true).await, 0);
    crate::eventually(async || {
        let mut raw = target.raw().await;
        let found = fetch(&mut raw, &group, Some(&member), epoch, &topic).await;
        (found == (0, 5)).then_some(())
    })
    .await;
    assert_eq!(a.leave(-1, None).await, 0);
    let raw = &mut a.raw;
    assert_eq!(raw.add_offsets(&id, pid, &group).await, 0);
    let zombie = (member.as_str(), epoch);
    let refused = txn_commit(raw, transaction, &group, zombie, &topic, (0, 6)).await;
    assert_eq!(refused, E::UnknownMemberId.code());
}
