//! Consumer groups: who is a member, and when the group rebalances. Here the classic protocol, in [`consumer`] the new
//! one.
//!
//! ```text
//! JoinGroup ─► wait for all members ─► leader gets the list ─► SyncGroup ─► everybody gets an assignment
//! ```
//!
//! The broker carries the members' metadata and assignments without looking inside, so that any assignor works,
//! cooperative ones too.
//!
//! # Invariants
//!
//! - **Memory only.** Members and generations do not survive a restart: members are then unknown and join again.
//!   Committed offsets are elsewhere, and durable.
//! - **No clock, no I/O.** Time comes in as an argument; answers that must wait go out through a channel.

#[cfg(test)]
mod tests;

pub(crate) mod consumer;

mod commit;
mod expiry;
mod rebalance;
mod subscribed;

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use tokio::sync::oneshot;

pub(crate) use self::commit::Committing;
use self::consumer::ConsumerGroup;
pub(crate) use self::subscribed::Subscribed;

/// How long a group without members is shown. Kafka's interval of looking for such groups.
const EMPTY_KEPT: Duration = Duration::from_secs(10 * 60);

/// What a group allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupLimits {
    pub(crate) groups_max: usize,
    pub(crate) members_max: usize,
    pub(crate) session_timeout_ms_min: i32,
    pub(crate) session_timeout_ms_max: i32,
    /// How long the first member of an empty group waits for others.
    pub(crate) initial_rebalance_delay: Duration,
    /// New protocol: how long a member may be silent.
    pub(crate) consumer_session_timeout: Duration,
    /// New protocol: bytes of a member's names and subscription.
    pub(crate) subscription_bytes_max: usize,
    /// New protocol: different regular expressions of a group.
    pub(crate) regexes_max: usize,
}

/// A member's wish to join.
#[derive(Debug, Clone, Default)]
pub(crate) struct Join {
    pub(crate) group: String,
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) session_timeout_ms: i32,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) protocol_type: String,
    pub(crate) protocols: Vec<(String, Bytes)>,
    /// A member without an id is sent back with one (KIP-394).
    pub(crate) member_id_required: bool,
}

/// The answer to [`Join`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) error: Option<ResponseError>,
    pub(crate) generation: i32,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) leader: String,
    pub(crate) member_id: String,
    /// For the leader alone: member id, instance id, metadata.
    pub(crate) members: Vec<(String, Option<String>, Bytes)>,
}

/// The answer to a sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Synced {
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) assignment: Bytes,
}

type SyncResult = Result<Synced, ResponseError>;

/// Who speaks, in a heartbeat, sync or commit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Speaker<'a> {
    pub(crate) generation: i32,
    pub(crate) member_id: &'a str,
    pub(crate) instance_id: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Empty,
    /// Waits for members to join again.
    Preparing,
    /// Waits for the leader's assignment.
    Completing,
    Stable,
}

#[derive(Debug)]
struct Member {
    instance_id: Option<String>,
    client_id: String,
    client_host: String,
    session_timeout: Duration,
    rebalance_timeout: Duration,
    protocols: Vec<(String, Bytes)>,
    assignment: Bytes,
    deadline: Instant,
    joining: Option<oneshot::Sender<Joined>>,
    syncing: Option<oneshot::Sender<SyncResult>>,
}

#[derive(Debug)]
struct Group {
    phase: Phase,
    generation: i32,
    protocol_type: String,
    protocol: String,
    leader: String,
    members: BTreeMap<String, Member>,
    /// Ids given out by [`ResponseError::MemberIdRequired`] and not used yet, with their end of life.
    promised: HashMap<String, Instant>,
    /// The phase may not complete before, even when all are there.
    not_before: Instant,
    /// The phase completes at this time without those who are missing.
    deadline: Instant,
    /// Without members it is remembered until then.
    kept_until: Instant,
}

/// What `ListGroups` and `DescribeGroups` show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupDescription {
    pub(crate) state: &'static str,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) members: Vec<MemberDescription>,
}

/// See [`GroupDescription`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberDescription {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) metadata: Bytes,
    pub(crate) assignment: Bytes,
}

/// All groups of the broker.
#[derive(Debug)]
pub(crate) struct Groups {
    limits: GroupLimits,
    groups: HashMap<String, Group>,
    /// Groups of the new protocol. No name is in both.
    consumers: HashMap<String, ConsumerGroup>,
    /// A new group's epochs begin above it.
    epoch_floor: i32,
    /// Epochs up to here may be from before the start.
    start_floor: i32,
    /// When groups with offsets were first seen without members, in milliseconds since 1970.
    idle_since_ms: HashMap<String, i64>,
}

fn millis(value: i32) -> Duration {
    Duration::from_millis(u64::try_from(value).unwrap_or(0))
}

fn refused(error: ResponseError, member_id: &str) -> Joined {
    Joined {
        error: Some(error),
        generation: -1,
        protocol_type: String::new(),
        protocol: String::new(),
        leader: String::new(),
        member_id: member_id.to_owned(),
        members: Vec::new(),
    }
}

impl Groups {
    pub(crate) fn new(limits: GroupLimits) -> Self {
        Self {
            limits,
            groups: HashMap::new(),
            consumers: HashMap::new(),
            epoch_floor: 0,
            start_floor: 0,
            idle_since_ms: HashMap::new(),
        }
    }

    /// Lets a member join, or join again. The answer comes when the rebalance completes, or at once.
    pub(crate) fn join(&mut self, join: Join, now: Instant) -> oneshot::Receiver<Joined> {
        let (sender, receiver) = oneshot::channel();
        if let Err(error) = self.check_join(&join) {
            let _gone = sender.send(refused(error, &join.member_id));
            return receiver;
        }
        let initial_delay = self.limits.initial_rebalance_delay;
        let members_max = self.limits.members_max;
        let group = self
            .groups
            .entry(join.group.clone())
            .or_insert_with(|| Group::new(now));
        group.join(join, now, members_max, initial_delay, sender);
        receiver
    }

    fn check_join(&mut self, join: &Join) -> Result<(), ResponseError> {
        if join.group.is_empty() {
            return Err(ResponseError::InvalidGroupId);
        }
        let timeouts = self.limits.session_timeout_ms_min..=self.limits.session_timeout_ms_max;
        if !timeouts.contains(&join.session_timeout_ms) {
            return Err(ResponseError::InvalidSessionTimeout);
        }
        if join.protocols.is_empty() || join.protocol_type.is_empty() {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        self.yield_to_classic(&join.group)?;
        if self.groups.contains_key(&join.group) {
            Ok(())
        } else if !join.member_id.is_empty() {
            Err(ResponseError::UnknownMemberId)
        } else if !self.has_room() {
            Err(ResponseError::CoordinatorNotAvailable)
        } else {
            Ok(())
        }
    }

    /// May there be one group more? Those that are only remembered make room.
    fn has_room(&mut self) -> bool {
        let groups_max = self.limits.groups_max;
        if self.groups.len() + self.consumers.len() >= groups_max {
            self.groups
                .retain(|_, group| !group.members.is_empty() || !group.promised.is_empty());
            let empty = self.consumers.iter().filter(|(_, group)| group.is_empty());
            let empty: Vec<String> = empty.map(|(name, _)| name.clone()).collect();
            empty.iter().for_each(|name| self.forget_consumer(name));
        }
        self.groups.len() + self.consumers.len() < groups_max
    }

    /// Hands in the leader's assignments, or asks for one's own.
    pub(crate) fn sync(
        &mut self,
        group: &str,
        speaker: Speaker<'_>,
        assignments: Vec<(String, Bytes)>,
        now: Instant,
    ) -> oneshot::Receiver<SyncResult> {
        let (sender, receiver) = oneshot::channel();
        match self.checked(group, speaker) {
            Ok(group) => group.sync(speaker.member_id, assignments, now, sender),
            Err(error) => {
                let _gone = sender.send(Err(error));
            }
        }
        receiver
    }

    pub(crate) fn heartbeat(
        &mut self,
        group: &str,
        speaker: Speaker<'_>,
        now: Instant,
    ) -> Result<(), ResponseError> {
        let group = self.checked(group, speaker)?;
        if let Some(member) = group.members.get_mut(speaker.member_id) {
            member.deadline = now + member.session_timeout;
        }
        match group.phase {
            Phase::Preparing => Err(ResponseError::RebalanceInProgress),
            Phase::Empty | Phase::Completing | Phase::Stable => Ok(()),
        }
    }

    /// Takes a member out. `member_id` may be empty for a static member.
    pub(crate) fn leave(
        &mut self,
        group: &str,
        member_id: &str,
        instance_id: Option<&str>,
        now: Instant,
    ) -> Result<(), ResponseError> {
        let Some(group) = self.groups.get_mut(group) else {
            return self.remove_consumer(group, member_id, instance_id);
        };
        let id = match instance_id {
            Some(instance) => {
                let known = group
                    .static_member(instance)
                    .ok_or(ResponseError::UnknownMemberId)?;
                if !member_id.is_empty() && known != member_id {
                    return Err(ResponseError::FencedInstanceId);
                }
                known
            }
            None => member_id.to_owned(),
        };
        if group.promised.remove(&id).is_some() {
            return Ok(());
        }
        if !group.members.contains_key(&id) {
            return Err(ResponseError::UnknownMemberId);
        }
        group.remove(&id, now);
        Ok(())
    }

    /// Does what time alone brings: sessions end, rebalances complete. Returns when to come again.
    pub(crate) fn tick(&mut self, now: Instant) -> Option<Instant> {
        let mut next = self.tick_consumers(now);
        self.groups.retain(|_, group| {
            let at = group.tick(now);
            next = [next, at].into_iter().flatten().min();
            let alive = !group.members.is_empty() || !group.promised.is_empty();
            if alive {
                group.kept_until = now + EMPTY_KEPT;
            } else if group.kept_until > now {
                next = [next, Some(group.kept_until)].into_iter().flatten().min();
            }
            group.kept_until > now
        });
        next
    }

    /// The group's members are gone, or it never had any.
    pub(crate) fn is_empty(&self, group: &str) -> bool {
        let classic = self.groups.get(group);
        let consumers = self.consumers.get(group);
        classic.is_none_or(|group| group.members.is_empty())
            && consumers.is_none_or(ConsumerGroup::is_empty)
    }

    /// Forgets a group without members.
    pub(crate) fn forget(&mut self, group: &str) {
        self.groups.remove(group);
        self.forget_consumer(group);
    }

    /// Whether it has members, or had some a while ago.
    pub(crate) fn is_known(&self, group: &str) -> bool {
        self.groups.contains_key(group) || self.consumers.contains_key(group)
    }

    /// Groups with members, and their members.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let members = self.groups.values().map(|group| group.members.len());
        let consumers = self.consumers.values().map(ConsumerGroup::len);
        members
            .chain(consumers)
            .filter(|members| *members > 0)
            .fold((0, 0), |(groups, all), members| (groups + 1, all + members))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.groups.keys().chain(self.consumers.keys())
    }

    /// A group of the classic protocol.
    pub(crate) fn describe(&self, group: &str) -> Option<GroupDescription> {
        let group = self.groups.get(group)?;
        let state = match group.phase {
            Phase::Empty => "Empty",
            Phase::Preparing => "PreparingRebalance",
            Phase::Completing => "CompletingRebalance",
            Phase::Stable => "Stable",
        };
        let members = group.members.iter().map(|(id, member)| MemberDescription {
            member_id: id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: member.metadata(&group.protocol),
            assignment: member.assignment.clone(),
        });
        Some(GroupDescription {
            state,
            protocol_type: group.protocol_type.clone(),
            protocol: group.protocol.clone(),
            members: members.collect(),
        })
    }

    /// The group, if `speaker` is a member of its present generation.
    fn checked(&mut self, group: &str, speaker: Speaker<'_>) -> Result<&mut Group, ResponseError> {
        if group.is_empty() {
            return Err(ResponseError::InvalidGroupId);
        }
        let group = self
            .groups
            .get_mut(group)
            .ok_or(ResponseError::UnknownMemberId)?;
        if let Some(instance) = speaker.instance_id {
            match group.static_member(instance) {
                None => return Err(ResponseError::UnknownMemberId),
                Some(known) if known != speaker.member_id => {
                    return Err(ResponseError::FencedInstanceId);
                }
                Some(_) => {}
            }
        }
        if !group.members.contains_key(speaker.member_id) {
            return Err(ResponseError::UnknownMemberId);
        }
        if group.generation != speaker.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        Ok(group)
    }
}
