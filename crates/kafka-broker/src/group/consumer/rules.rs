//! Tests of what holds beyond a heartbeat: commits, restarts, the other protocol, limits.

use std::time::Instant;

use super::tests::{LEAVES, Topics, beat, groups, parse};
use super::*;
use crate::group::{Groups, Speaker};

fn speaker(member_id: &str, generation: i32) -> Speaker<'_> {
    Speaker {
        generation,
        member_id,
        instance_id: None,
    }
}

#[test]
fn offsets_are_committed_with_the_epoch_or_for_what_one_has_had_since() {
    let (mut groups, mut topics) = (groups(3), Topics::default());
    let now = Instant::now();
    topics.set("t", 2);
    let join = |groups: &mut Groups, id: &str| {
        let beat = parse(&[id, "join", "t"], &topics);
        let beaten = groups.consumer_heartbeat(beat, false, &topics, now);
        beaten.expect("joined").epoch
    };
    let epoch = join(&mut groups, "a");
    assert_eq!(epoch, 1);
    join(&mut groups, "b");
    let mut leaves = beat("b", LEAVES);
    leaves.owned = None;
    groups
        .consumer_heartbeat(leaves, false, &topics, now)
        .expect("left");
    let moved = groups.consumer_heartbeat(beat("a", 1), false, &topics, now);
    assert_eq!(moved.expect("alive").epoch, 3);
    let all: Vec<_> = topics.partitions("t0,t1").into_iter().map(Some).collect();
    let mut commit = |id: &str, epoch, how, partitions: &[Option<PartitionId>]| {
        groups.may_commit("g", speaker(id, epoch), how, partitions, now)
    };
    use Committing::{InTransaction, Plain, WithEpochs};
    assert_eq!(commit("a", 3, WithEpochs, &all), Ok(()));
    assert_eq!(commit("a", 1, WithEpochs, &all), Ok(()));
    assert_eq!(
        commit("a", 0, WithEpochs, &all),
        Err(ResponseError::StaleMemberEpoch)
    );
    assert_eq!(
        commit("a", 4, WithEpochs, &all),
        Err(ResponseError::StaleMemberEpoch)
    );
    assert_eq!(
        commit("a", 4, InTransaction, &all),
        Err(ResponseError::IllegalGeneration)
    );
    assert_eq!(
        commit("a", 1, WithEpochs, &[None]),
        Err(ResponseError::StaleMemberEpoch)
    );
    assert_eq!(
        commit("a", 3, Plain, &all),
        Err(ResponseError::UnsupportedVersion)
    );
    assert_eq!(
        commit("b", 2, WithEpochs, &all),
        Err(ResponseError::UnknownMemberId)
    );
    assert_eq!(
        commit("", -1, WithEpochs, &all),
        Err(ResponseError::UnknownMemberId)
    );
    assert_eq!(commit("", -1, InTransaction, &all), Ok(()));
    assert_eq!(groups.may_fetch("g", Some("a"), 3), Ok(()));
    assert_eq!(
        groups.may_fetch("g", Some("a"), 1),
        Err(ResponseError::StaleMemberEpoch)
    );
    assert_eq!(
        groups.may_fetch("g", Some("b"), 1),
        Err(ResponseError::UnknownMemberId)
    );
    assert_eq!(groups.may_fetch("g", None, -1), Ok(()));
}

#[test]
fn epochs_are_above_those_of_before_a_restart_and_of_groups_that_are_gone() {
    let (mut groups, mut topics) = (groups(3), Topics::default());
    let now = Instant::now();
    topics.set("t", 1);
    groups.start_above(1_000);
    let say = |groups: &mut Groups, beat: Beat, known| {
        let beaten = groups.consumer_heartbeat(beat, known, &topics, now);
        beaten
            .map(|beaten| beaten.epoch)
            .map_err(|refusal| refusal.error)
    };
    let join = |id: &str| parse(&[id, "join", "t"], &Topics::default());
    // A member of before the restart has to join again; one that cannot be is told that there is no group.
    assert_eq!(
        say(&mut groups, beat("a", 7), false),
        Err(ResponseError::UnknownMemberId)
    );
    assert_eq!(
        say(&mut groups, beat("a", 1_001), false),
        Err(ResponseError::GroupIdNotFound)
    );
    assert_eq!(
        say(&mut groups, beat("a", 1_001), true),
        Err(ResponseError::UnknownMemberId)
    );
    assert_eq!(say(&mut groups, join("a"), false), Ok(1_001));
    assert_eq!(
        say(&mut groups, beat("a", 7), false),
        Err(ResponseError::FencedMemberEpoch)
    );
    assert_eq!(say(&mut groups, beat("a", LEAVES), false), Ok(LEAVES));
    groups.forget("g");
    assert_eq!(say(&mut groups, join("a"), false), Ok(1_003));
}

#[test]
fn a_group_is_of_one_protocol_and_an_empty_one_becomes_the_others() {
    let (mut groups, topics) = (groups(3), Topics::default());
    let now = Instant::now();
    let classic = || crate::group::Join {
        group: "g".to_owned(),
        client_id: "c".to_owned(),
        session_timeout_ms: 1_000,
        rebalance_timeout_ms: 500,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), bytes::Bytes::new())],
        ..crate::group::Join::default()
    };
    let join = || parse(&["a", "join", "t"], &topics);
    let say = |groups: &mut Groups, beat: Beat| {
        let beaten = groups.consumer_heartbeat(beat, false, &topics, now);
        beaten.map(|_| ()).map_err(|refusal| refusal.error)
    };
    assert_eq!(say(&mut groups, join()), Ok(()));
    let refused = groups.join(classic(), now).try_recv().expect("an answer");
    assert_eq!(
        refused.error,
        Some(ResponseError::InconsistentGroupProtocol)
    );
    assert_eq!(say(&mut groups, beat("a", LEAVES)), Ok(()));
    let joined = groups.join(classic(), now).try_recv().expect("an answer");
    assert_eq!(joined.error, None);
    assert!(groups.describe_consumer("g").is_none());
    assert_eq!(
        say(&mut groups, join()),
        Err(ResponseError::GroupIdNotFound)
    );
    assert_eq!(groups.leave("g", &joined.member_id, None, now), Ok(()));
    assert_eq!(say(&mut groups, join()), Ok(()));
    assert!(groups.describe("g").is_none());
    // Both kinds count for the limit, which is two; what is empty makes room.
    let mut other = join();
    other.group = "h".to_owned();
    assert_eq!(say(&mut groups, other.clone()), Ok(()));
    other.group = "i".to_owned();
    assert_eq!(
        say(&mut groups, other.clone()),
        Err(ResponseError::CoordinatorNotAvailable)
    );
    assert_eq!(groups.leave("g", "a", None, now), Ok(()));
    assert_eq!(say(&mut groups, other), Ok(()));
}

#[test]
fn a_group_has_as_many_members_as_it_may() {
    let (mut groups, mut topics) = (groups(2), Topics::default());
    topics.set("t", 1);
    let mut join = |id: &str| {
        let beat = parse(&[id, "join", "t"], &topics);
        let beaten = groups.consumer_heartbeat(beat, false, &topics, Instant::now());
        beaten.map(|_| ()).map_err(|refusal| refusal.error)
    };
    assert_eq!((join("a"), join("b"), join("b")), (Ok(()), Ok(()), Ok(())));
    assert_eq!(join("c"), Err(ResponseError::GroupMaxSizeReached));
}
