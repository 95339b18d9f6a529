//! Time is an argument, so these need no sleeping.

use super::*;

const DELAY: Duration = Duration::from_millis(20);

pub(super) fn groups() -> Groups {
    Groups::new(GroupLimits {
        groups_max: 2,
        members_max: 2,
        session_timeout_ms_min: 10,
        session_timeout_ms_max: 1_000,
        initial_rebalance_delay: DELAY,
        consumer_session_timeout: Duration::from_secs(1),
        subscription_bytes_max: 100,
        regexes_max: 1,
    })
}

fn join(member_id: &str) -> Join {
    Join {
        group: "g".to_owned(),
        member_id: member_id.to_owned(),
        client_id: "c".to_owned(),
        session_timeout_ms: 1_000,
        rebalance_timeout_ms: 500,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), Bytes::from_static(b"meta"))],
        ..Join::default()
    }
}

fn speaker<'a>(member_id: &'a str, generation: i32) -> Speaker<'a> {
    Speaker {
        generation,
        member_id,
        instance_id: None,
    }
}

fn refusal(mut answer: oneshot::Receiver<Joined>) -> Option<ResponseError> {
    answer.try_recv().expect("an answer").error
}

/// A stable group of one, with its member id.
pub(super) fn stable(groups: &mut Groups, now: Instant) -> String {
    let mut joined = groups.join(join(""), now);
    assert!(joined.try_recv().is_err(), "waits for others first");
    groups.tick(now + DELAY);
    let joined = joined.try_recv().expect("joined");
    assert_eq!(
        (joined.error, joined.generation, joined.members.len()),
        (None, 1, 1)
    );
    let id = joined.member_id;
    let assignment = vec![(id.clone(), Bytes::from_static(b"all"))];
    let mut synced = groups.sync("g", speaker(&id, 1), assignment, now);
    assert_eq!(
        synced
            .try_recv()
            .expect("answered")
            .expect("synced")
            .assignment,
        "all"
    );
    id
}

#[test]
fn a_second_member_makes_the_first_join_again() {
    let (mut groups, now) = (groups(), Instant::now());
    let first = stable(&mut groups, now);
    let mut second = groups.join(join(""), now);
    assert!(second.try_recv().is_err());
    let heard = groups.heartbeat("g", speaker(&first, 1), now);
    assert_eq!(heard, Err(ResponseError::RebalanceInProgress));
    // Commits of the generation that ends are still taken.
    assert_eq!(
        groups.may_commit("g", speaker(&first, 1), Committing::Plain, &[], now),
        Ok(())
    );
    let mut first_again = groups.join(join(&first), now);
    let (first_again, second) = (
        first_again.try_recv().expect("joined"),
        second.try_recv().expect("joined"),
    );
    assert_eq!((first_again.generation, second.generation), (2, 2));
    assert_eq!(first_again.leader, first);
    assert_eq!((first_again.members.len(), second.members.len()), (2, 0));
    let late = groups.may_commit("g", speaker(&first, 1), Committing::Plain, &[], now);
    assert_eq!(late, Err(ResponseError::IllegalGeneration));
    let mut waiting = groups.sync("g", speaker(&second.member_id, 2), Vec::new(), now);
    assert!(waiting.try_recv().is_err());
    let assignment = vec![(second.member_id.clone(), Bytes::from_static(b"half"))];
    let mut synced = groups.sync("g", speaker(&first, 2), assignment, now);
    assert_eq!(
        synced
            .try_recv()
            .expect("answered")
            .expect("synced")
            .assignment,
        ""
    );
    assert_eq!(
        waiting
            .try_recv()
            .expect("answered")
            .expect("synced")
            .assignment,
        "half"
    );
    assert_eq!(groups.leave("g", &first, None, now), Ok(()));
    let heard = groups.heartbeat("g", speaker(&second.member_id, 2), now);
    assert_eq!(heard, Err(ResponseError::RebalanceInProgress));
}

#[test]
fn a_silent_member_is_removed() {
    let (mut groups, now) = (groups(), Instant::now());
    let id = stable(&mut groups, now);
    assert_eq!(
        groups.tick(now + Duration::from_millis(900)),
        Some(now + Duration::from_secs(1))
    );
    assert_eq!(groups.heartbeat("g", speaker(&id, 1), now), Ok(()));
    let forgotten = groups.tick(now + Duration::from_secs(2));
    assert!(groups.is_empty("g") && groups.is_known("g"));
    let heard = groups.heartbeat("g", speaker(&id, 1), now);
    assert_eq!(heard, Err(ResponseError::UnknownMemberId));
    // The group itself is remembered for a while.
    let forgotten = forgotten.expect("a time");
    assert!(forgotten > now + Duration::from_secs(60));
    assert_eq!(groups.tick(forgotten), None);
    assert!(!groups.is_known("g"));
}

#[test]
fn those_who_miss_a_rebalance_are_left_out() {
    let (mut groups, now) = (groups(), Instant::now());
    let first = stable(&mut groups, now);
    let mut second = groups.join(join(""), now);
    groups.tick(now + Duration::from_millis(500));
    let second = second.try_recv().expect("joined");
    assert_eq!(second.leader, second.member_id);
    assert_eq!(second.members.len(), 1);
    assert_eq!(
        refusal(groups.join(join(&first), now)),
        Some(ResponseError::UnknownMemberId)
    );
}

#[test]
fn limits_and_rules_are_kept() {
    let (mut groups, now) = (groups(), Instant::now());
    let with = |change: &dyn Fn(&mut Join)| {
        let mut wish = join("");
        change(&mut wish);
        wish
    };
    for (wish, expected) in [
        (
            with(&|join| join.group.clear()),
            ResponseError::InvalidGroupId,
        ),
        (
            with(&|join| join.session_timeout_ms = 9),
            ResponseError::InvalidSessionTimeout,
        ),
        (
            with(&|join| join.session_timeout_ms = 1_001),
            ResponseError::InvalidSessionTimeout,
        ),
        (
            with(&|join| join.protocols.clear()),
            ResponseError::InconsistentGroupProtocol,
        ),
        (
            with(&|join| join.member_id = "x".to_owned()),
            ResponseError::UnknownMemberId,
        ),
    ] {
        assert_eq!(refusal(groups.join(wish, now)), Some(expected));
    }
    let _first = groups.join(join(""), now);
    let _second = groups.join(join(""), now);
    assert_eq!(
        refusal(groups.join(join(""), now)),
        Some(ResponseError::GroupMaxSizeReached)
    );
    let other = with(&|join| join.group = "h".to_owned());
    let _other = groups.join(other, now);
    let third = with(&|join| join.group = "i".to_owned());
    assert_eq!(
        refusal(groups.join(third, now)),
        Some(ResponseError::CoordinatorNotAvailable)
    );
}

#[test]
fn a_member_without_an_id_is_sent_back_with_one() {
    let (mut groups, now) = (groups(), Instant::now());
    let mut wish = join("");
    wish.member_id_required = true;
    let mut answer = groups.join(wish.clone(), now);
    let answer = answer.try_recv().expect("an answer");
    assert_eq!(answer.error, Some(ResponseError::MemberIdRequired));
    wish.member_id = answer.member_id;
    let mut joined = groups.join(wish, now);
    groups.tick(now + DELAY);
    assert_eq!(joined.try_recv().expect("joined").error, None);
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_fences_its_former_self() {
    let (mut groups, now) = (groups(), Instant::now());
    let mut wish = join("");
    wish.instance_id = Some("i".to_owned());
    let mut joined = groups.join(wish.clone(), now);
    groups.tick(now + DELAY);
    let old = joined.try_recv().expect("joined").member_id;
    let assignment = vec![(old.clone(), Bytes::from_static(b"all"))];
    let _synced = groups.sync("g", speaker(&old, 1), assignment, now);
    let mut again = groups.join(wish, now);
    let again = again.try_recv().expect("joined at once");
    assert_eq!((again.error, again.generation), (None, 1));
    assert_ne!(again.member_id, old);
    assert_ne!(again.leader, again.member_id);
    let mut synced = groups.sync("g", speaker(&again.member_id, 1), Vec::new(), now);
    assert_eq!(
        synced
            .try_recv()
            .expect("answered")
            .expect("synced")
            .assignment,
        "all"
    );
    let former = Speaker {
        generation: 1,
        member_id: &old,
        instance_id: Some("i"),
    };
    assert_eq!(
        groups.heartbeat("g", former, now),
        Err(ResponseError::FencedInstanceId)
    );
}

#[test]
fn whoever_manages_partitions_alone_may_commit_to_an_empty_group() {
    let (mut groups, now) = (groups(), Instant::now());
    assert_eq!(
        groups.may_commit("g", speaker("", -1), Committing::Plain, &[], now),
        Ok(())
    );
    stable(&mut groups, now);
    let refused = groups.may_commit("g", speaker("", -1), Committing::Plain, &[], now);
    assert_eq!(refused, Err(ResponseError::UnknownMemberId));
    assert_eq!(
        groups.may_commit("g", speaker("", -1), Committing::InTransaction, &[], now),
        Ok(())
    );
}
