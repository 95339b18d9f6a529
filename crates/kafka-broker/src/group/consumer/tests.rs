//! Heartbeats in as text, answers and the group out as text. Time is an argument.
//!
//! A line is `MEMBER join TOPICS`, `MEMBER beat EPOCH`, `MEMBER leave`, `wait MILLISECONDS`, `topic NAME PARTITIONS`
//! or `show`, with `+instance=`, `+regex=`, `+assignor=`, `+owns=`, `+topics=` and `+timeout=` behind.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use expect_test::{Expect, expect};
use uuid::Uuid;

use super::*;
use crate::group::Groups;

/// A member's epoch when it leaves for good.
pub(super) const LEAVES: i32 = -1;

pub(super) const SESSION: Duration = Duration::from_secs(1);

pub(super) fn groups(members_max: usize) -> Groups {
    Groups::new(GroupLimits {
        groups_max: 2,
        members_max,
        session_timeout_ms_min: 10,
        session_timeout_ms_max: 1_000,
        initial_rebalance_delay: Duration::ZERO,
        consumer_session_timeout: SESSION,
        subscription_bytes_max: 60,
        regexes_max: 1,
    })
}

/// Topics of a test. An id is the number of topics that there were before.
#[derive(Debug, Default)]
pub(super) struct Topics {
    version: u64,
    ids: u128,
    pub(super) all: BTreeMap<String, (Uuid, i32)>,
}

impl Topics {
    /// Creates or grows a topic; without partitions it is deleted.
    pub(super) fn set(&mut self, name: &str, partitions: i32) {
        self.version += 1;
        if partitions == 0 {
            self.all.remove(name);
            return;
        }
        let ids = &mut self.ids;
        let topic = self.all.entry(name.to_owned()).or_insert_with(|| {
            *ids += 1;
            (Uuid::from_u128(*ids), partitions)
        });
        topic.1 = partitions;
    }

    fn name(&self, id: Uuid) -> &str {
        let found = self.all.iter().find(|(_, (known, _))| *known == id);
        found.map_or("?", |(name, _)| name)
    }

    fn show(&self, assignment: &Assignment) -> String {
        let ids = assignment.iter();
        let names: Vec<_> = ids
            .map(|id| format!("{}{}", self.name(id.topic), id.partition))
            .collect();
        names.join(" ")
    }

    /// `a0 a1`: partitions 0 and 1 of topic `a`.
    pub(super) fn partitions(&self, text: &str) -> Assignment {
        let ids = text.split(',').filter(|id| !id.is_empty()).map(|id| {
            let (name, partition) = id.split_at(1);
            PartitionId {
                topic: self.all[name].0,
                partition: partition.parse().expect("a number"),
            }
        });
        ids.collect()
    }
}

impl Catalog for Topics {
    fn version(&self) -> u64 {
        self.version
    }

    fn find(&self, name: &str) -> Option<(Uuid, i32)> {
        self.all.get(name).copied()
    }

    fn each_visible(&self, look: &mut dyn FnMut(&str)) {
        self.all.keys().for_each(|name| look(name));
    }
}

/// A heartbeat of this member that says nothing new.
pub(super) fn beat(member_id: &str, epoch: i32) -> Beat {
    Beat {
        group: "g".to_owned(),
        member_id: member_id.to_owned(),
        epoch,
        rebalance_timeout_ms: -1,
        ..Beat::default()
    }
}

fn names(text: &str) -> Vec<String> {
    let names = text.split(',').filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// The heartbeat that a line says.
pub(super) fn parse(words: &[&str], topics: &Topics) -> Beat {
    let mut beat = beat(words[0], JOINS);
    let mut rest = &words[2..];
    match words[1] {
        "join" => {
            beat.rebalance_timeout_ms = 500;
            beat.topics = Some(names(rest[0]));
            beat.owned = Some(Assignment::new());
            rest = &rest[1..];
        }
        "beat" => {
            beat.epoch = rest[0].parse().expect("an epoch");
            rest = &rest[1..];
        }
        "leave" => beat.epoch = LEAVES,
        other => panic!("what is {other}?"),
    }
    for word in rest {
        let (key, value) = word.split_once('=').expect("a value");
        match key {
            "+instance" => beat.instance_id = Some(value.to_owned()),
            "+regex" => beat.regex = Some(value.to_owned()),
            "+assignor" => beat.assignor = Some(value.to_owned()),
            "+owns" => beat.owned = Some(topics.partitions(value)),
            "+topics" => beat.topics = Some(names(value)),
            "+timeout" => beat.rebalance_timeout_ms = value.parse().expect("milliseconds"),
            other => panic!("what is {other}?"),
        }
    }
    beat
}

fn show(groups: &Groups, topics: &Topics) -> String {
    let Some(group) = groups.describe_consumer("g") else {
        return "no group\n".to_owned();
    };
    let mut out = format!(
        "{} epoch {} target {} {}\n",
        group.state, group.epoch, group.target_epoch, group.assignor
    );
    for one in &group.members {
        let assigned = one.member.assigned.keys().copied().collect();
        let revoking: Assignment = one.member.revoking.keys().copied().collect();
        out.push_str(&format!(
            "  {} {:?} {} has [{}] gives up [{}] target [{}]\n",
            one.id,
            one.member.progress,
            one.member.epoch,
            topics.show(&assigned),
            topics.show(&revoking),
            topics.show(&one.target),
        ));
    }
    out
}

#[track_caller]
fn check(script: &str, expected: Expect) {
    let (mut groups, mut topics) = (groups(3), Topics::default());
    let mut now = Instant::now();
    let mut out = String::new();
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[0] {
            "topic" => topics.set(words[1], words[2].parse().expect("a number")),
            "wait" => {
                now += Duration::from_millis(words[1].parse().expect("milliseconds"));
                groups.tick(now);
            }
            "show" => out.push_str(&show(&groups, &topics)),
            _ => {
                let beat = parse(&words, &topics);
                let answer = match groups.consumer_heartbeat(beat, false, &topics, now) {
                    Ok(beaten) => {
                        let assignment = beaten.assignment.map(|all| topics.show(&all));
                        let assignment = assignment.map(|all| format!(" [{all}]"));
                        format!("{}{}", beaten.epoch, assignment.unwrap_or_default())
                    }
                    Err(refusal) => format!("{:?}", refusal.error),
                };
                out.push_str(&format!("{line}: {answer}\n"));
            }
        }
    }
    expected.assert_eq(&out);
}

#[test]
fn what_one_gives_up_the_other_gets_when_it_is_given_up() {
    check(
        "topic t 4
         a join t
         b join t
         show
         a beat 1
         b beat 2
         a beat 1 +owns=t0,t1,t2,t3
         a beat 1 +owns=t0,t1
         b beat 2
         show",
        expect![[r#"
            a join t: 1 [t0 t1 t2 t3]
            b join t: 2 []
            Reconciling epoch 2 target 2 uniform
              a Stable 1 has [t0 t1 t2 t3] gives up [] target [t0 t1]
              b Unreleased 2 has [] gives up [] target [t2 t3]
            a beat 1: 1 [t0 t1]
            b beat 2: 2
            a beat 1 +owns=t0,t1,t2,t3: 1
            a beat 1 +owns=t0,t1: 2
            b beat 2: 2 [t2 t3]
            Stable epoch 2 target 2 uniform
              a Stable 2 has [t0 t1] gives up [] target [t0 t1]
              b Stable 2 has [t2 t3] gives up [] target [t2 t3]
        "#]],
    );
}

#[test]
fn who_does_not_give_up_in_time_is_fenced() {
    check(
        "topic t 2
         a join t
         b join t
         a beat 1
         wait 499
         b beat 2
         a beat 1
         wait 1
         show
         b beat 2
         a beat 1",
        expect![[r#"
            a join t: 1 [t0 t1]
            b join t: 2 []
            a beat 1: 1 [t0]
            b beat 2: 2
            a beat 1: 1
            Assigning epoch 3 target 2 uniform
              b Unreleased 2 has [] gives up [] target [t1]
            b beat 2: 3 [t0 t1]
            a beat 1: UnknownMemberId
        "#]],
    );
}

#[test]
fn who_is_silent_is_fenced_and_comes_back() {
    check(
        "topic t 2
         a join t
         wait 999
         show
         wait 1
         show
         a beat 1
         a join t",
        expect![[r#"
            a join t: 1 [t0 t1]
            Stable epoch 1 target 1 uniform
              a Stable 1 has [t0 t1] gives up [] target [t0 t1]
            Empty epoch 2 target 1 uniform
            a beat 1: UnknownMemberId
            a join t: 3 [t0 t1]
        "#]],
    );
}

#[test]
fn wrong_epochs_are_fenced_and_a_lost_answer_is_not() {
    check(
        "topic t 1
         a beat 1
         a join t
         a beat 2
         x beat 1
         topic t 2
         a beat 1
         a beat 1 +owns=t0
         a beat 1
         a beat 2
         a beat -3
         a beat 0",
        expect![[r#"
            a beat 1: GroupIdNotFound
            a join t: 1 [t0]
            a beat 2: FencedMemberEpoch
            x beat 1: UnknownMemberId
            a beat 1: 2 [t0 t1]
            a beat 1 +owns=t0: 2
            a beat 1: FencedMemberEpoch
            a beat 2: 2
            a beat -3: InvalidRequest
            a beat 0: InvalidRequest
        "#]],
    );
}

#[test]
fn topics_that_come_go_and_grow_change_the_target() {
    check(
        "topic t 1
         a join t,u
         topic u 2
         a beat 1
         topic t 2
         a beat 2
         topic t 0
         a beat 3
         a beat 3 +owns=u0,u1
         show
         topic v 9
         a beat 4",
        expect![[r#"
            a join t,u: 1 [t0]
            a beat 1: 2 [t0 u0 u1]
            a beat 2: 3 [t0 t1 u0 u1]
            a beat 3: 3 [u0 u1]
            a beat 3 +owns=u0,u1: 4
            Stable epoch 4 target 4 uniform
              a Stable 4 has [u0 u1] gives up [] target [u0 u1]
            a beat 4: 4
        "#]],
    );
}

#[test]
fn a_changed_subscription_is_followed_at_once() {
    check(
        "topic t 1
         topic u 1
         a join t
         a beat 1 +topics=u
         a beat 1 +owns=
         a beat 2 +topics=
         a beat 2 +owns=
         show",
        expect![[r#"
            a join t: 1 [t0]
            a beat 1 +topics=u: 1 []
            a beat 1 +owns=: 2 [u0]
            a beat 2 +topics=: 2 []
            a beat 2 +owns=: 3
            Stable epoch 3 target 3 uniform
              a Stable 3 has [] gives up [] target []
        "#]],
    );
}

#[test]
fn a_regular_expression_finds_topics_that_come_later() {
    check(
        "topic t 1
         a join x +regex=t|u
         topic u 1
         a beat 1
         b join t +regex=(
         b join t +regex=v
         b join t +regex=t|u
         a beat 2 +regex=
         show",
        expect![[r#"
            a join x +regex=t|u: 1 [t0]
            a beat 1: 2 [t0 u0]
            b join t +regex=(: InvalidRegularExpression
            b join t +regex=v: InvalidRequest
            b join t +regex=t|u: 3 []
            a beat 2 +regex=: 2 []
            Reconciling epoch 4 target 4 uniform
              a Unrevoked 2 has [] gives up [t0 u0] target []
              b Unreleased 3 has [] gives up [] target [t0 u0]
        "#]],
    );
}

#[test]
fn a_static_member_comes_back_to_what_it_had() {
    check(
        "topic t 2
         a join t +instance=i
         b join t +instance=i
         a beat -2 +instance=j
         b beat -2 +instance=i
         a beat -2 +instance=i
         show
         b join t +instance=i
         a beat 1 +instance=i
         a beat 1
         b beat 1 +instance=i
         b beat -2 +instance=i
         wait 1000
         show",
        expect![[r#"
            a join t +instance=i: 1 [t0 t1]
            b join t +instance=i: UnreleasedInstanceId
            a beat -2 +instance=j: UnknownMemberId
            b beat -2 +instance=i: FencedInstanceId
            a beat -2 +instance=i: -2
            Reconciling epoch 1 target 1 uniform
              a Stable -2 has [t0 t1] gives up [] target [t0 t1]
            b join t +instance=i: 1 [t0 t1]
            a beat 1 +instance=i: FencedInstanceId
            a beat 1: UnknownMemberId
            b beat 1 +instance=i: 1
            b beat -2 +instance=i: -2
            Empty epoch 2 target 1 uniform
        "#]],
    );
}

#[test]
fn the_most_wanted_assignor_is_taken() {
    check(
        "topic t 3
         topic u 3
         a join t,u +assignor=range
         b join t,u
         c join t,u +assignor=range
         show
         d join t
         c beat 3 +assignor=sticky
         c leave
         show",
        expect![[r#"
            a join t,u +assignor=range: 1 [t0 t1 t2 u0 u1 u2]
            b join t,u: 2 []
            c join t,u +assignor=range: 3 []
            Reconciling epoch 3 target 3 range
              a Stable 1 has [t0 t1 t2 u0 u1 u2] gives up [] target [t0 u0]
              b Unreleased 2 has [] gives up [] target [t1 u1]
              c Unreleased 3 has [] gives up [] target [t2 u2]
            d join t: GroupMaxSizeReached
            c beat 3 +assignor=sticky: UnsupportedAssignor
            c leave: -1
            Assigning epoch 4 target 3 range
              a Stable 1 has [t0 t1 t2 u0 u1 u2] gives up [] target [t0 u0]
              b Unreleased 2 has [] gives up [] target [t1 u1]
        "#]],
    );
}

#[test]
fn what_is_missing_or_too_much_is_refused() {
    check(
        "topic t 1
         a join t +timeout=-1
         a join t +owns=t0
         a join t +instance=
         a join 1234567890123456789012345678901234567890123456789012345678
         a join 12345678901234567890123456789012345678901234567890123456789
         a join 123456789012345678901234567890123456789012345678901234567890
         a leave
         show
         a leave
         a beat -2",
        expect![[r#"
            a join t +timeout=-1: InvalidRequest
            a join t +owns=t0: InvalidRequest
            a join t +instance=: InvalidRequest
            a join 1234567890123456789012345678901234567890123456789012345678: 1 []
            a join 12345678901234567890123456789012345678901234567890123456789: 2 []
            a join 123456789012345678901234567890123456789012345678901234567890: InvalidRequest
            a leave: -1
            Empty epoch 3 target 2 uniform
            a leave: UnknownMemberId
            a beat -2: InvalidRequest
        "#]],
    );
}
