//! Groups of the new protocol (KIP-848), request by request.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError as E;
use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
    DeleteGroupsRequest, DescribeGroupsRequest, LeaveGroupRequest, ListGroupsRequest,
    MetadataRequest,
};
use uuid::Uuid;

use crate::groups;
use crate::support::raw::{Raw, name, text};
use crate::{Target, eventually, unique};

pub(crate) type Partitions = BTreeSet<(Uuid, i32)>;

/// A member that does what it is told.
pub(crate) struct Member {
    pub(crate) raw: Raw,
    pub(crate) group: String,
    pub(crate) id: String,
    pub(crate) epoch: i32,
    pub(crate) owned: Partitions,
}

fn wire(owned: &Partitions) -> Vec<TopicPartitions> {
    let topics: BTreeSet<Uuid> = owned.iter().map(|(topic, _)| *topic).collect();
    let topics = topics.into_iter().map(|topic| {
        let partitions = owned.iter().filter(|(id, _)| *id == topic);
        TopicPartitions::default()
            .with_topic_id(topic)
            .with_partitions(partitions.map(|(_, partition)| *partition).collect())
    });
    topics.collect()
}

fn told(answer: &ConsumerGroupHeartbeatResponse) -> Option<Partitions> {
    let topics = &answer.assignment.as_ref()?.topic_partitions;
    let ids = topics.iter().flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|partition| (topic.topic_id, *partition))
    });
    Some(ids.collect())
}

impl Member {
    pub(crate) async fn new(target: &Target, group: &str) -> Self {
        Self {
            raw: target.raw().await,
            group: group.to_owned(),
            id: unique("member"),
            epoch: 0,
            owned: Partitions::new(),
        }
    }

    /// A heartbeat that says nothing new.
    pub(crate) fn beat(&self) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(text(&self.group).into())
            .with_member_id(text(&self.id))
            .with_member_epoch(self.epoch)
            .with_rebalance_timeout_ms(-1)
            .with_subscribed_topic_names(None)
            .with_topic_partitions(None)
    }

    pub(crate) fn joining(&self, topics: &[&str]) -> ConsumerGroupHeartbeatRequest {
        self.beat()
            .with_member_epoch(0)
            .with_rebalance_timeout_ms(10_000)
            .with_subscribed_topic_names(Some(topics.iter().map(|topic| name(topic)).collect()))
            .with_topic_partitions(Some(Vec::new()))
    }

    pub(crate) async fn send(
        &mut self,
        request: ConsumerGroupHeartbeatRequest,
    ) -> ConsumerGroupHeartbeatResponse {
        let answer = self.raw.call(1, request).await;
        if answer.error_code == 0 {
            self.epoch = answer.member_epoch;
            if let Some(told) = told(&answer) {
                self.owned = told;
            }
        }
        answer
    }

    async fn code(&mut self, request: ConsumerGroupHeartbeatRequest) -> i16 {
        self.raw.call(1, request).await.error_code
    }

    pub(crate) async fn join(&mut self, topics: &[&str]) {
        let answer = self.send(self.joining(topics)).await;
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    }

    /// Beats, and says what it owns.
    pub(crate) async fn follow(&mut self) {
        let beat = self.beat().with_topic_partitions(Some(wire(&self.owned)));
        let answer = self.send(beat).await;
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    }

    pub(crate) async fn leave(&mut self, epoch: i32, instance: Option<&str>) -> i16 {
        let beat = self.beat().with_member_epoch(epoch);
        self.code(beat.with_instance_id(instance.map(text))).await
    }

    pub(crate) fn count(&self) -> usize {
        self.owned.len()
    }
}

/// Lets all of them follow until they have so many partitions each.
pub(crate) async fn settled(members: &mut [&mut Member], counts: &[usize]) {
    let wait = async {
        loop {
            for member in members.iter_mut() {
                member.follow().await;
            }
            if members
                .iter()
                .map(|member| member.count())
                .eq(counts.iter().copied())
            {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(crate::support::PATIENCE, wait).await;
    waited.expect("settled in time");
    // What they have just been told they confirm.
    for member in members.iter_mut() {
        member.follow().await;
    }
}

pub(crate) async fn describe(raw: &mut Raw, group: &str) -> DescribedGroup {
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![text(group).into()]);
    raw.call(1, request).await.groups.remove(0)
}

pub(crate) async fn topic_id(raw: &mut Raw, topic: &str) -> Uuid {
    let wanted = MetadataRequestTopic::default().with_name(Some(name(topic)));
    let request = MetadataRequest::default().with_topics(Some(vec![wanted]));
    raw.call(12, request).await.topics[0].topic_id
}

#[tokio::test]
async fn a_member_joins_is_described_and_leaves() {
    let target = Target::new().await;
    let (topic, group) = (target.topic(2, &[]).await, target.group().await);
    let mut member = Member::new(&target, &group).await;
    member.join(&[&topic]).await;
    assert!(member.epoch > 0);
    settled(&mut [&mut member], &[2]).await;
    let id = topic_id(&mut member.raw, &topic).await;
    assert_eq!(member.owned, [(id, 0), (id, 1)].into());
    let found = describe(&mut member.raw, &group).await;
    assert_eq!(
        (
            found.error_code,
            found.group_state.as_str(),
            found.assignor_name.as_str()
        ),
        (0, "Stable", "uniform")
    );
    assert_eq!(
        (found.group_epoch, found.assignment_epoch),
        (member.epoch, member.epoch)
    );
    let [one] = &found.members[..] else {
        panic!("{found:?}");
    };
    assert_eq!(
        (one.member_id.as_str(), one.member_epoch),
        (member.id.as_str(), member.epoch)
    );
    assert_eq!(
        (one.client_id.as_str(), one.client_host.as_str()),
        ("raw", "/127.0.0.1")
    );
    assert_eq!(
        (&one.instance_id, &one.rack_id, one.member_type),
        (&None, &None, 1)
    );
    assert_eq!(one.subscribed_topic_names, [name(&topic)]);
    assert_eq!(
        one.subscribed_topic_regex
            .as_ref()
            .map(|regex| regex.as_str()),
        Some("")
    );
    for assignment in [&one.assignment, &one.target_assignment] {
        let [found] = &assignment.topic_partitions[..] else {
            panic!("{assignment:?}");
        };
        assert_eq!(
            (found.topic_id, found.topic_name.as_str()),
            (id, topic.as_str())
        );
        assert_eq!(
            BTreeSet::from_iter(&found.partitions),
            BTreeSet::from([&0, &1])
        );
    }
    assert_eq!(member.leave(-1, None).await, 0);
    let found = describe(&mut member.raw, &group).await;
    assert_eq!(
        (found.group_state.as_str(), found.members.len()),
        ("Empty", 0)
    );
    let gone = member.code(member.beat()).await;
    assert_eq!(gone, E::UnknownMemberId.code());
    assert_eq!(member.leave(-1, None).await, E::UnknownMemberId.code());
}

#[tokio::test]
async fn two_members_share_and_one_takes_over() {
    let target = Target::new().await;
    let (topic, group) = (target.topic(4, &[]).await, target.group().await);
    let (mut a, mut b) = (
        Member::new(&target, &group).await,
        Member::new(&target, &group).await,
    );
    a.join(&[&topic]).await;
    settled(&mut [&mut a], &[4]).await;
    let first = a.epoch;
    b.join(&[&topic]).await;
    // Nothing is free before the first one gives it up.
    assert_eq!((b.count(), b.epoch > first), (0, true));
    let before = a.owned.clone();
    let answer = a.send(a.beat()).await;
    assert_eq!((answer.error_code, a.count(), a.epoch), (0, 2, first));
    assert!(a.owned.is_subset(&before));
    b.follow().await;
    assert_eq!(b.count(), 0);
    let still = a.beat().with_topic_partitions(Some(wire(&before)));
    assert_eq!(a.send(still).await.error_code, 0);
    b.follow().await;
    assert_eq!((a.epoch, b.count()), (first, 0));
    let described = describe(&mut a.raw, &group).await;
    assert_eq!(described.group_state.as_str(), "Reconciling");
    a.follow().await;
    assert_eq!(a.epoch, b.epoch);
    b.follow().await;
    assert_eq!(b.count(), 2);
    assert!(a.owned.is_disjoint(&b.owned));
    let described = describe(&mut a.raw, &group).await;
    assert_eq!(described.group_state.as_str(), "Stable");
    assert_eq!(a.leave(-1, None).await, 0);
    settled(&mut [&mut b], &[4]).await;
}

#[tokio::test]
async fn wrong_epochs_are_fenced_and_the_one_before_is_not() {
    let target = Target::new().await;
    let (topic, group) = (target.topic(1, &[]).await, target.group().await);
    let mut a = Member::new(&target, &group).await;
    let nobody = a.code(a.beat().with_member_epoch(1)).await;
    assert_eq!(nobody, E::GroupIdNotFound.code());
    assert_eq!(a.leave(-1, None).await, E::GroupIdNotFound.code());
    a.join(&[&topic]).await;
    settled(&mut [&mut a], &[1]).await;
    let mut stranger = Member::new(&target, &group).await;
    let unknown = stranger.code(stranger.beat().with_member_epoch(1)).await;
    assert_eq!(unknown, E::UnknownMemberId.code());
    let fenced = E::FencedMemberEpoch.code();
    let greater = a.beat().with_member_epoch(a.epoch + 1);
    assert_eq!(a.code(greater).await, fenced);
    // Another subscription, so that there is a next epoch.
    let before = a.epoch;
    let other = unique("other");
    let subscribes = a
        .beat()
        .with_subscribed_topic_names(Some(vec![name(&topic), name(&other)]));
    assert_eq!(a.send(subscribes).await.error_code, 0);
    assert_eq!(a.epoch, before + 1);
    let owned = wire(&a.owned);
    let lost = a.beat().with_member_epoch(before);
    assert_eq!(a.code(lost.clone()).await, fenced);
    let lost = lost.with_topic_partitions(Some(owned));
    let answer = a.raw.call(1, lost.clone()).await;
    assert_eq!((answer.error_code, answer.member_epoch), (0, before + 1));
    let more = wire(&[(Uuid::from_u128(7), 0)].into());
    assert_eq!(a.code(lost.with_topic_partitions(Some(more))).await, fenced);
    // It joins again under its id, and goes on at its epoch.
    a.join(&[&topic, &other]).await;
    assert_eq!((a.epoch, a.count()), (before + 1, 1));
}

#[tokio::test]
async fn heartbeats_that_cannot_be_are_refused() {
    let target = Target::new().await;
    let (topic, group) = (target.topic(1, &[]).await, target.group().await);
    let mut a = Member::new(&target, &group).await;
    let invalid = E::InvalidRequest.code();
    let join = a.joining(&[&topic]);
    for request in [
        join.clone().with_group_id(text("").into()),
        join.clone().with_member_id(text("")),
        join.clone().with_instance_id(Some(text(""))),
        join.clone().with_rack_id(Some(text(""))),
        join.clone().with_rebalance_timeout_ms(-1),
        join.clone().with_topic_partitions(None),
        join.clone()
            .with_topic_partitions(Some(wire(&[(Uuid::from_u128(7), 0)].into()))),
        join.clone().with_subscribed_topic_names(None),
        join.clone().with_member_epoch(-2),
        join.clone().with_member_epoch(-3),
    ] {
        assert_eq!(a.code(request.clone()).await, invalid, "{request:?}");
    }
    let request = join.clone().with_server_assignor(Some(text("sticky")));
    assert_eq!(a.code(request).await, E::UnsupportedAssignor.code());
    let request = join.clone().with_subscribed_topic_regex(Some(text("(")));
    assert_eq!(a.code(request).await, E::InvalidRegularExpression.code());
    // Of none of them a member has come about.
    let found = describe(&mut a.raw, &group).await;
    assert_eq!(found.error_code, E::GroupIdNotFound.code());
    // Before version 1 the broker gives the id.
    let answer = a.raw.call(0, join.with_member_id(text(""))).await;
    assert_eq!(answer.error_code, 0);
    assert!(answer.member_id.is_some_and(|id| !id.is_empty()));
}

#[tokio::test]
async fn who_is_silent_for_too_long_is_fenced() {
    let target = Target::new().await;
    let (topic, group) = (target.topic(1, &[]).await, target.group().await);
    let (mut a, mut b) = (
        Member::new(&target, &group).await,
        Member::new(&target, &group).await,
    );
    a.join(&[&topic]).await;
    settled(&mut [&mut a], &[1]).await;
    b.join(&[&topic]).await;
    settled(&mut [&mut b], &[1]).await;
    assert_eq!(a.code(a.beat()).await, E::UnknownMemberId.code());
    let found = describe(&mut b.raw, &group).await;
    assert_eq!(found.members.len(), 1);
}

#[tokio::test]
async fn who_does_not_give_up_in_time_is_fenced() {
    let target = Target::new().await;
    let (topic, group) = (target.topic(2, &[]).await, target.group().await);
    let (mut a, mut b) = (
        Member::new(&target, &group).await,
        Member::new(&target, &group).await,
    );
    let join = a.joining(&[&topic]).with_rebalance_timeout_ms(500);
    assert_eq!(a.send(join).await.error_code, 0);
    settled(&mut [&mut a], &[2]).await;
    b.join(&[&topic]).await;
    let owned = wire(&a.owned);
    eventually(async || {
        let beat = a.beat().with_topic_partitions(Some(owned.clone()));
        let code = target.raw().await.call(1, beat).await.error_code;
        (code == E::UnknownMemberId.code()).then_some(())
    })
    .await;
    settled(&mut [&mut b], &[2]).await;
}

#[tokio::test]
async fn a_static_member_comes_back_to_its_partitions() {
    let target = Target::new().await;
    let (topic, group) = (target.topic(4, &[]).await, target.group().await);
    let (mut a, mut b) = (
        Member::new(&target, &group).await,
        Member::new(&target, &group).await,
    );
    let join = |member: &Member| {
        let join = member.joining(&[&topic]);
        join.with_instance_id(Some(text("one")))
    };
    assert_eq!(a.send(join(&a)).await.error_code, 0);
    b.join(&[&topic]).await;
    settled(&mut [&mut a, &mut b], &[2, 2]).await;
    let mut again = Member::new(&target, &group).await;
    let refused = again.code(join(&again)).await;
    assert_eq!(refused, E::UnreleasedInstanceId.code());
    // Not even under the id that it has.
    assert_eq!(a.code(join(&a)).await, E::UnreleasedInstanceId.code());
    assert_eq!(
        again.leave(-2, Some("one")).await,
        E::FencedInstanceId.code()
    );
    assert_eq!(
        again.leave(-2, Some("two")).await,
        E::UnknownMemberId.code()
    );
    assert_eq!(a.leave(-2, Some("one")).await, 0);
    // Nobody gets what it had.
    b.follow().await;
    assert_eq!(b.count(), 2);
    let epoch = b.epoch;
    assert_eq!(again.send(join(&again)).await.error_code, 0);
    assert_eq!((again.epoch, &again.owned), (epoch, &a.owned));
    let former = a.beat().with_instance_id(Some(text("one")));
    assert_eq!(a.code(former).await, E::FencedInstanceId.code());
    assert_eq!(a.code(a.beat()).await, E::UnknownMemberId.code());
    b.follow().await;
    assert_eq!((b.count(), b.epoch), (2, epoch));
    // Taken out by its instance id alone, as administrators do.
    let identity = MemberIdentity::default().with_group_instance_id(Some(text("one")));
    let request = LeaveGroupRequest::default()
        .with_group_id(text(&group).into())
        .with_members(vec![identity]);
    let left = b.raw.call(5, request).await;
    assert_eq!((left.error_code, left.members[0].error_code), (0, 0));
    settled(&mut [&mut b], &[4]).await;
}

#[tokio::test]
async fn a_group_is_of_one_protocol_until_it_is_empty() {
    let target = Target::new().await;
    let (topic, group) = (target.topic(1, &[]).await, target.group().await);
    let mut a = Member::new(&target, &group).await;
    let mut raw = target.raw().await;
    a.join(&[&topic]).await;
    let refused = raw.call(7, groups::join(&group, "", &["range"])).await;
    assert_eq!(refused.error_code, E::InconsistentGroupProtocol.code());
    assert_eq!(a.leave(-1, None).await, 0);
    let (member, _) = groups::alone(&mut raw, &group).await;
    let found = describe(&mut raw, &group).await;
    assert_eq!(found.error_code, E::GroupIdNotFound.code());
    let refused = a.code(a.joining(&[&topic])).await;
    assert_eq!(refused, E::GroupIdNotFound.code());
    let refused = a.code(a.beat().with_member_epoch(1)).await;
    assert_eq!(refused, E::GroupIdNotFound.code());
    assert_eq!(groups::leave(&mut raw, &group, &member, None).await, (0, 0));
    a.join(&[&topic]).await;
    settled(&mut [&mut a], &[1]).await;
}

#[tokio::test]
async fn groups_are_listed_by_type_described_by_protocol_and_deleted() {
    let target = Target::new().await;
    let (topic, group) = (target.topic(1, &[]).await, target.group().await);
    let mut a = Member::new(&target, &group).await;
    a.join(&[&topic]).await;
    settled(&mut [&mut a], &[1]).await;
    for (types, states, listed) in [
        (vec![], vec![], true),
        (vec!["Consumer"], vec![], true),
        (vec!["classic"], vec![], false),
        (vec!["classic", "consumer"], vec!["stable"], true),
        (vec![], vec!["Empty"], false),
    ] {
        let all = |words: &[&str]| words.iter().map(|word| text(word)).collect::<Vec<_>>();
        let request = ListGroupsRequest::default()
            .with_types_filter(all(&types))
            .with_states_filter(all(&states));
        let answer = a.raw.call(5, request).await;
        let found = answer
            .groups
            .iter()
            .find(|found| found.group_id.as_str() == group);
        assert_eq!(found.is_some(), listed, "{types:?} {states:?}");
        if let Some(found) = found {
            let said = (found.protocol_type.as_str(), found.group_state.as_str());
            assert_eq!(said, ("consumer", "Stable"));
            assert_eq!(found.group_type.as_str(), "consumer");
        }
    }
    for (version, code) in [(5, 0), (6, E::GroupIdNotFound.code())] {
        let request = DescribeGroupsRequest::default().with_groups(vec![text(&group).into()]);
        let found = a.raw.call(version, request).await.groups.remove(0);
        assert_eq!(
            (found.error_code, found.group_state.as_str()),
            (code, "Dead")
        );
    }
    let delete = || DeleteGroupsRequest::default().with_groups_names(vec![text(&group).into()]);
    let refused = a.raw.call(2, delete()).await.results[0].error_code;
    assert_eq!(refused, E::NonEmptyGroup.code());
    assert_eq!(a.leave(-1, None).await, 0);
    assert_eq!(a.raw.call(2, delete()).await.results[0].error_code, 0);
    let found = describe(&mut a.raw, &group).await;
    assert_eq!(found.error_code, E::GroupIdNotFound.code());
    let found = describe(&mut a.raw, "").await;
    assert_eq!(found.error_code, E::InvalidGroupId.code());
}
