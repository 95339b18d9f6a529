//! Groups, classic protocol, request by request.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError as E;
use kafka_protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, ListGroupsRequest, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::Encodable;

use crate::support::raw::{Raw, text};
use crate::{Target, eventually, unique};

/// What a consumer of these topics says of itself. A cluster looks inside.
pub(crate) fn subscription(topics: &[&str]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(0);
    ConsumerProtocolSubscription::default()
        .with_topics(topics.iter().map(|topic| text(topic)).collect())
        .encode(&mut out, 0)
        .expect("encodes");
    out.freeze()
}

pub(crate) fn join(group: &str, member: &str, protocols: &[&str]) -> JoinGroupRequest {
    let protocols = protocols.iter().map(|protocol| {
        JoinGroupRequestProtocol::default()
            .with_name(text(protocol))
            .with_metadata(subscription(&[]))
    });
    JoinGroupRequest::default()
        .with_group_id(text(group).into())
        .with_session_timeout_ms(30_000)
        .with_rebalance_timeout_ms(10_000)
        .with_member_id(text(member))
        .with_protocol_type(text("consumer"))
        .with_protocols(protocols.collect())
}

/// Joins an empty group and assigns to itself: the group is stable afterwards.
pub(crate) async fn alone(raw: &mut Raw, group: &str) -> (String, i32) {
    let first = raw.call(7, join(group, "", &["range"])).await;
    assert_eq!(first.error_code, E::MemberIdRequired.code());
    let joined = raw.call(7, join(group, &first.member_id, &["range"])).await;
    assert_eq!(joined.error_code, 0);
    let synced = sync(raw, group, &joined, &[(&joined.member_id, "mine")]).await;
    assert_eq!(
        (synced.error_code, &synced.assignment[..]),
        (0, &b"mine"[..])
    );
    (joined.member_id.to_string(), joined.generation_id)
}

async fn sync(
    raw: &mut Raw,
    group: &str,
    joined: &JoinGroupResponse,
    all: &[(&str, &str)],
) -> SyncGroupResponse {
    let all = all.iter().map(|(member, assignment)| {
        SyncGroupRequestAssignment::default()
            .with_member_id(text(member))
            .with_assignment(Bytes::copy_from_slice(assignment.as_bytes()))
    });
    let request = SyncGroupRequest::default()
        .with_group_id(text(group).into())
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone())
        .with_protocol_type(Some(text("consumer")))
        .with_protocol_name(joined.protocol_name.clone())
        .with_assignments(all.collect());
    raw.call(5, request).await
}

async fn heartbeat(raw: &mut Raw, group: &str, member: &str, generation: i32) -> i16 {
    let request = HeartbeatRequest::default()
        .with_group_id(text(group).into())
        .with_generation_id(generation)
        .with_member_id(text(member));
    raw.call(4, request).await.error_code
}

pub(crate) async fn leave(
    raw: &mut Raw,
    group: &str,
    member: &str,
    instance: Option<&str>,
) -> (i16, i16) {
    let member = MemberIdentity::default()
        .with_member_id(text(member))
        .with_group_instance_id(instance.map(text));
    let request = LeaveGroupRequest::default()
        .with_group_id(text(group).into())
        .with_members(vec![member]);
    let answer = raw.call(5, request).await;
    let member = answer.members.first().map_or(0, |member| member.error_code);
    (answer.error_code, member)
}

async fn describe(raw: &mut Raw, group: &str) -> (i16, String, usize) {
    let request = DescribeGroupsRequest::default().with_groups(vec![text(group).into()]);
    let found = raw.call(5, request).await.groups.remove(0);
    (
        found.error_code,
        found.group_state.to_string(),
        found.members.len(),
    )
}

#[tokio::test]
async fn a_member_joins_syncs_beats_and_leaves() {
    let target = Target::new().await;
    let group = target.group().await;
    let mut raw = target.raw().await;
    let (member, generation) = alone(&mut raw, &group).await;
    assert_eq!(generation, 1);
    assert_eq!(heartbeat(&mut raw, &group, &member, generation).await, 0);
    assert_eq!(
        describe(&mut raw, &group).await,
        (0, "Stable".to_owned(), 1)
    );
    assert_eq!(leave(&mut raw, &group, &member, None).await, (0, 0));
    assert_eq!(
        heartbeat(&mut raw, &group, &member, generation).await,
        E::UnknownMemberId.code()
    );
}

#[tokio::test]
async fn strangers_and_old_generations_are_refused() {
    let target = Target::new().await;
    let group = target.group().await;
    let mut raw = target.raw().await;
    let nobody = unique("nobody");
    let unknown = E::UnknownMemberId.code();
    assert_eq!(heartbeat(&mut raw, &group, &nobody, 1).await, unknown);
    assert_eq!(
        raw.call(7, join(&group, &nobody, &["range"]))
            .await
            .error_code,
        unknown
    );
    let (member, generation) = alone(&mut raw, &group).await;
    assert_eq!(
        heartbeat(&mut raw, &group, &nobody, generation).await,
        unknown
    );
    let old = heartbeat(&mut raw, &group, &member, generation - 1).await;
    assert_eq!(old, E::IllegalGeneration.code());
    assert_eq!(leave(&mut raw, &group, &nobody, None).await, (0, unknown));
}

#[tokio::test]
async fn joins_that_cannot_be_are_refused() {
    let target = Target::new().await;
    let group = target.group().await;
    let mut raw = target.raw().await;
    let refused = raw.call(7, join("", "", &["range"])).await.error_code;
    assert_eq!(refused, E::InvalidGroupId.code());
    for timeout_ms in [0, i32::MAX] {
        let request = join(&group, "", &["range"]).with_session_timeout_ms(timeout_ms);
        let refused = raw.call(7, request).await.error_code;
        assert_eq!(refused, E::InvalidSessionTimeout.code());
    }
    let inconsistent = E::InconsistentGroupProtocol.code();
    assert_eq!(
        raw.call(7, join(&group, "", &[])).await.error_code,
        inconsistent
    );
    alone(&mut raw, &group).await;
    assert_eq!(
        raw.call(7, join(&group, "", &["other"])).await.error_code,
        inconsistent
    );
    let request = join(&group, "", &["range"]).with_protocol_type(text("connect"));
    assert_eq!(raw.call(7, request).await.error_code, inconsistent);
}

#[tokio::test]
async fn a_second_member_rebalances_the_first() {
    let target = Target::new().await;
    let group = target.group().await;
    let (mut a, mut b) = (target.raw().await, target.raw().await);
    let (first, generation) = alone(&mut a, &group).await;
    let promised = b.call(7, join(&group, "", &["range"])).await;
    assert_eq!(promised.error_code, E::MemberIdRequired.code());
    let second = promised.member_id.to_string();
    let waiting = tokio::spawn({
        let (group, second) = (group.clone(), second.clone());
        async move {
            let joined = b.call(7, join(&group, &second, &["range"])).await;
            assert_eq!(joined.error_code, 0);
            let synced = sync(&mut b, &group, &joined, &[]).await;
            (joined, synced)
        }
    });
    eventually(async || {
        let mut raw = target.raw().await;
        let code = heartbeat(&mut raw, &group, &first, generation).await;
        (code == E::RebalanceInProgress.code()).then_some(())
    })
    .await;
    let joined = a.call(7, join(&group, &first, &["range"])).await;
    assert_eq!(
        (joined.error_code, joined.generation_id),
        (0, generation + 1)
    );
    assert_eq!(
        (joined.leader.as_str(), joined.members.len()),
        (first.as_str(), 2)
    );
    let synced = sync(
        &mut a,
        &group,
        &joined,
        &[(&first, "one"), (&second, "two")],
    )
    .await;
    assert_eq!(
        (synced.error_code, &synced.assignment[..]),
        (0, &b"one"[..])
    );
    let (joined, synced) = waiting.await.expect("no panic");
    assert_eq!(
        (joined.leader.as_str(), joined.members.len()),
        (first.as_str(), 0)
    );
    assert_eq!(
        (synced.error_code, &synced.assignment[..]),
        (0, &b"two"[..])
    );
    assert_eq!(describe(&mut a, &group).await, (0, "Stable".to_owned(), 2));
    // The one who leaves sets off the next rebalance.
    assert_eq!(leave(&mut a, &group, &second, None).await, (0, 0));
    let code = heartbeat(&mut a, &group, &first, generation + 1).await;
    assert_eq!(code, E::RebalanceInProgress.code());
}

#[tokio::test]
async fn a_member_that_is_silent_for_too_long_is_gone() {
    let target = Target::new().await;
    let group = target.group().await;
    let mut raw = target.raw().await;
    let request = |member: &str| join(&group, member, &["range"]).with_session_timeout_ms(300);
    let first = raw.call(7, request("")).await;
    let joined = raw.call(7, request(&first.member_id)).await;
    assert_eq!(joined.error_code, 0);
    sync(&mut raw, &group, &joined, &[(&joined.member_id, "mine")]).await;
    eventually(async || {
        let found = describe(&mut target.raw().await, &group).await;
        (found.2 == 0).then_some(())
    })
    .await;
    let code = heartbeat(&mut raw, &group, &joined.member_id, joined.generation_id).await;
    assert_eq!(code, E::UnknownMemberId.code());
}

#[tokio::test]
async fn a_static_member_comes_back_without_a_rebalance_and_fences_its_earlier_self() {
    let target = Target::new().await;
    let group = target.group().await;
    let mut raw = target.raw().await;
    let request = || join(&group, "", &["range"]).with_group_instance_id(Some(text("one")));
    let first = raw.call(7, request()).await;
    assert_eq!(first.error_code, 0);
    let synced = SyncGroupRequest::default()
        .with_group_id(text(&group).into())
        .with_generation_id(first.generation_id)
        .with_member_id(first.member_id.clone())
        .with_group_instance_id(Some(text("one")))
        .with_protocol_type(Some(text("consumer")))
        .with_protocol_name(first.protocol_name.clone())
        .with_assignments(vec![
            SyncGroupRequestAssignment::default()
                .with_member_id(first.member_id.clone())
                .with_assignment(Bytes::from_static(b"mine")),
        ]);
    assert_eq!(raw.call(5, synced).await.error_code, 0);
    let again = raw.call(7, request()).await;
    assert_eq!(
        (again.error_code, again.generation_id),
        (0, first.generation_id)
    );
    assert_ne!(again.member_id, first.member_id);
    let beat = |member: &str| {
        HeartbeatRequest::default()
            .with_group_id(text(&group).into())
            .with_generation_id(first.generation_id)
            .with_group_instance_id(Some(text("one")))
            .with_member_id(text(member))
    };
    let fenced = raw.call(4, beat(&first.member_id)).await.error_code;
    assert_eq!(fenced, E::FencedInstanceId.code());
    assert_eq!(raw.call(4, beat(&again.member_id)).await.error_code, 0);
    // Taken out by its instance id alone, as administrators do.
    assert_eq!(
        leave(&mut raw, &group, "", Some("two")).await,
        (0, E::UnknownMemberId.code())
    );
    assert_eq!(leave(&mut raw, &group, "", Some("one")).await, (0, 0));
    assert_eq!(describe(&mut raw, &group).await.2, 0);
}

#[tokio::test]
async fn groups_are_listed_described_and_deleted() {
    let target = Target::new().await;
    let group = target.group().await;
    let mut raw = target.raw().await;
    assert_eq!(describe(&mut raw, &unique("never")).await.1, "Dead");
    let (member, _) = alone(&mut raw, &group).await;
    let listed = raw.call(4, ListGroupsRequest::default()).await;
    let found = listed
        .groups
        .iter()
        .find(|found| found.group_id.as_str() == group);
    let found = found.expect("listed");
    assert_eq!(
        (found.protocol_type.as_str(), found.group_state.as_str()),
        ("consumer", "Stable")
    );
    let filtered = ListGroupsRequest::default().with_states_filter(vec![text("Empty")]);
    let listed = raw.call(4, filtered).await;
    assert!(
        listed
            .groups
            .iter()
            .all(|found| found.group_id.as_str() != group)
    );
    let delete =
        |group: &str| DeleteGroupsRequest::default().with_groups_names(vec![text(group).into()]);
    let refused = raw.call(2, delete(&group)).await.results[0].error_code;
    assert_eq!(refused, E::NonEmptyGroup.code());
    let refused = raw.call(2, delete(&unique("never"))).await.results[0].error_code;
    assert_eq!(refused, E::GroupIdNotFound.code());
    leave(&mut raw, &group, &member, None).await;
    assert_eq!(describe(&mut raw, &group).await, (0, "Empty".to_owned(), 0));
    assert_eq!(raw.call(2, delete(&group)).await.results[0].error_code, 0);
    assert_eq!(describe(&mut raw, &group).await.1, "Dead");
}
