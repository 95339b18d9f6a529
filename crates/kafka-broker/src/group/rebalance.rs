//! One group: joining, agreeing, syncing, leaving. See the module above for the rules.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{EMPTY_KEPT, Group, Join, Joined, Member, Phase, SyncResult, Synced, millis, refused};

/// Longest wait for a member that was given an id and has not come back with it.
const PROMISED_WAIT: Duration = Duration::from_millis(100);

impl Member {
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| name == protocol);
        found.map_or_else(Bytes::new, |(_, metadata)| metadata.clone())
    }
}

impl Group {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            phase: Phase::Empty,
            generation: 0,
            protocol_type: String::new(),
            protocol: String::new(),
            leader: String::new(),
            members: BTreeMap::new(),
            promised: HashMap::new(),
            not_before: now,
            deadline: now,
            kept_until: now + EMPTY_KEPT,
        }
    }

    pub(super) fn static_member(&self, instance: &str) -> Option<String> {
        let found = self
            .members
            .iter()
            .find(|(_, m)| m.instance_id.as_deref() == Some(instance));
        found.map(|(id, _)| id.clone())
    }

    pub(super) fn join(
        &mut self,
        join: Join,
        now: Instant,
        members_max: usize,
        initial_delay: Duration,
        sender: oneshot::Sender<Joined>,
    ) {
        if let Err((error, member_id)) = self.admit(&join, now, members_max) {
            let _gone = sender.send(refused(error, &member_id));
            return;
        }
        let known_instance = join
            .instance_id
            .as_deref()
            .and_then(|id| self.static_member(id));
        let mut member_id = join.member_id.clone();
        let mut unchanged = false;
        if member_id.is_empty() {
            member_id = new_member_id(join.instance_id.as_deref().unwrap_or(&join.client_id));
            if let Some(old) = known_instance {
                unchanged = self.replace(&old, &member_id, &join);
            }
        }
        self.promised.remove(&member_id);
        let was_empty = self.members.is_empty();
        let is_new = !self.members.contains_key(&member_id);
        let same = self
            .members
            .get(&member_id)
            .is_some_and(|m| m.protocols == join.protocols);
        self.protocol_type.clone_from(&join.protocol_type);
        self.upsert(&member_id, join, now, sender);
        match self.phase {
            Phase::Stable if unchanged => self.answer_join(&member_id),
            Phase::Stable if same && self.leader != member_id => self.answer_join(&member_id),
            Phase::Completing if same => self.answer_join(&member_id),
            Phase::Preparing => {}
            _ => {
                self.prepare(now);
                if was_empty && is_new {
                    self.not_before = now + initial_delay;
                }
            }
        }
        self.complete_if_ready(now);
    }

    /// May this member join? The error goes out with the member id beside it.
    pub(super) fn admit(
        &mut self,
        join: &Join,
        now: Instant,
        members_max: usize,
    ) -> Result<(), (ResponseError, String)> {
        let refuse = |error| Err((error, join.member_id.clone()));
        let known = self.members.contains_key(&join.member_id);
        let instance = join
            .instance_id
            .as_deref()
            .and_then(|id| self.static_member(id));
        if !join.member_id.is_empty() {
            if instance
                .as_ref()
                .is_some_and(|known| *known != join.member_id)
            {
                return refuse(ResponseError::FencedInstanceId);
            }
            if !known && !self.promised.contains_key(&join.member_id) {
                return refuse(ResponseError::UnknownMemberId);
            }
        }
        if !known && instance.is_none() && self.members.len() >= members_max {
            return refuse(ResponseError::GroupMaxSizeReached);
        }
        let others: Vec<&Member> = self
            .members
            .iter()
            .filter(|(id, _)| **id != join.member_id && Some(*id) != instance.as_ref())
            .map(|(_, member)| member)
            .collect();
        let common = join.protocols.iter().any(|(name, _)| {
            others
                .iter()
                .all(|member| member.protocols.iter().any(|(other, _)| other == name))
        });
        if !others.is_empty() && (join.protocol_type != self.protocol_type || !common) {
            return refuse(ResponseError::InconsistentGroupProtocol);
        }
        if join.member_id.is_empty() && join.instance_id.is_none() && join.member_id_required {
            if self.promised.len() >= members_max {
                return refuse(ResponseError::GroupMaxSizeReached);
            }
            let id = new_member_id(&join.client_id);
            self.promised
                .insert(id.clone(), now + millis(join.session_timeout_ms));
            return Err((ResponseError::MemberIdRequired, id));
        }
        Ok(())
    }

    /// A static member came back under a new id. Returns whether the group can go on as it is.
    pub(super) fn replace(&mut self, old: &str, new: &str, join: &Join) -> bool {
        let Some(mut member) = self.members.remove(old) else {
            return false;
        };
        if let Some(waiting) = member.joining.take() {
            let _gone = waiting.send(refused(ResponseError::FencedInstanceId, old));
        }
        if let Some(waiting) = member.syncing.take() {
            let _gone = waiting.send(Err(ResponseError::FencedInstanceId));
        }
        let same = member.protocols == join.protocols;
        self.members.insert(new.to_owned(), member);
        if self.leader == old {
            // The newcomer must not think that it has to assign: the others keep what they have.
            self.leader = if same {
                format!("{old}-replaced")
            } else {
                new.to_owned()
            };
        }
        same
    }

    pub(super) fn upsert(
        &mut self,
        member_id: &str,
        join: Join,
        now: Instant,
        sender: oneshot::Sender<Joined>,
    ) {
        let session_timeout = millis(join.session_timeout_ms);
        let rebalance_timeout = match join.rebalance_timeout_ms {
            ..=0 => session_timeout,
            timeout => millis(timeout),
        };
        let old = self.members.remove(member_id);
        let member = Member {
            instance_id: join.instance_id,
            client_id: join.client_id,
            client_host: join.client_host,
            session_timeout,
            rebalance_timeout,
            protocols: join.protocols,
            assignment: old.map_or_else(Bytes::new, |old| old.assignment),
            deadline: now + session_timeout,
            joining: Some(sender),
            syncing: None,
        };
        self.members.insert(member_id.to_owned(), member);
    }

    /// Begins a rebalance: everybody has to join again.
    pub(super) fn prepare(&mut self, now: Instant) {
        for member in self.members.values_mut() {
            if let Some(waiting) = member.syncing.take() {
                let _gone = waiting.send(Err(ResponseError::RebalanceInProgress));
            }
        }
        self.phase = Phase::Preparing;
        self.not_before = now;
        let longest = self
            .members
            .values()
            .map(|member| member.rebalance_timeout)
            .max();
        self.deadline = now + longest.unwrap_or_default();
    }

    pub(super) fn complete_if_ready(&mut self, now: Instant) {
        let all = self.members.values().all(|member| member.joining.is_some());
        if self.phase == Phase::Preparing
            && all
            && self.promised.is_empty()
            && now >= self.not_before
        {
            self.complete(now);
        } else if self.phase == Phase::Preparing && all && now >= self.not_before {
            // Somebody was given an id and will be here at once: wait for it, but not long.
            self.deadline = self.deadline.min(now + PROMISED_WAIT);
        }
    }

    /// Ends the phase of joining: a new generation, and an answer to all.
    pub(super) fn complete(&mut self, now: Instant) {
        let missing: Vec<String> = self
            .members
            .iter()
            .filter(|(_, member)| member.joining.is_none() && member.instance_id.is_none())
            .map(|(id, _)| id.clone())
            .collect();
        for id in missing {
            self.members.remove(&id);
        }
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        if self.members.is_empty() {
            self.phase = Phase::Empty;
            self.leader.clear();
            self.protocol.clear();
            return;
        }
        self.protocol = self.vote();
        if self
            .members
            .get(&self.leader)
            .is_none_or(|leader| leader.joining.is_none())
        {
            let joined = self
                .members
                .iter()
                .find(|(_, member)| member.joining.is_some());
            self.leader = joined.map(|(id, _)| id.clone()).unwrap_or_default();
        }
        self.phase = Phase::Completing;
        let longest = self
            .members
            .values()
            .map(|member| member.rebalance_timeout)
            .max();
        self.deadline = now + longest.unwrap_or_default();
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            if let Some(member) = self.members.get_mut(&id) {
                member.deadline = now + member.session_timeout;
                member.assignment = Bytes::new();
            }
            self.answer_join(&id);
        }
    }

    /// The protocol most members like best, among those that all know.
    pub(super) fn vote(&self) -> String {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let known_by_all = |name: &str| {
                self.members
                    .values()
                    .all(|other| other.protocols.iter().any(|(n, _)| n == name))
            };
            if let Some((name, _)) = member.protocols.iter().find(|(name, _)| known_by_all(name)) {
                *votes.entry(name).or_default() += 1;
            }
        }
        votes
            .into_iter()
            .max_by_key(|(_, count)| *count)
            .map_or_else(String::new, |(n, _)| n.to_owned())
    }

    pub(super) fn answer_join(&mut self, member_id: &str) {
        let members = if self.leader == member_id && self.phase == Phase::Completing {
            let describe = |(id, member): (&String, &Member)| {
                (
                    id.clone(),
                    member.instance_id.clone(),
                    member.metadata(&self.protocol),
                )
            };
            self.members.iter().map(describe).collect()
        } else {
            Vec::new()
        };
        let joined = Joined {
            error: None,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            member_id: member_id.to_owned(),
            members,
        };
        let waiting = self
            .members
            .get_mut(member_id)
            .and_then(|member| member.joining.take());
        if let Some(waiting) = waiting {
            let _gone = waiting.send(joined);
        }
    }

    pub(super) fn sync(
        &mut self,
        member_id: &str,
        assignments: Vec<(String, Bytes)>,
        now: Instant,
        sender: oneshot::Sender<SyncResult>,
    ) {
        let leader = self.leader == member_id;
        let (phase, protocol_type) = (self.phase, self.protocol_type.clone());
        let protocol = self.protocol.clone();
        let Some(member) = self.members.get_mut(member_id) else {
            return;
        };
        member.deadline = now + member.session_timeout;
        match phase {
            Phase::Empty => {
                let _gone = sender.send(Err(ResponseError::UnknownMemberId));
            }
            Phase::Preparing => {
                let _gone = sender.send(Err(ResponseError::RebalanceInProgress));
            }
            Phase::Stable => {
                let assignment = member.assignment.clone();
                let _gone = sender.send(Ok(Synced {
                    protocol_type,
                    protocol,
                    assignment,
                }));
            }
            Phase::Completing => {
                member.syncing = Some(sender);
                if leader {
                    self.assign(assignments);
                }
            }
        }
    }

    pub(super) fn assign(&mut self, assignments: Vec<(String, Bytes)>) {
        self.phase = Phase::Stable;
        let mut assignments: HashMap<String, Bytes> = assignments.into_iter().collect();
        for (id, member) in &mut self.members {
            member.assignment = assignments.remove(id).unwrap_or_default();
            if let Some(waiting) = member.syncing.take() {
                let _gone = waiting.send(Ok(Synced {
                    protocol_type: self.protocol_type.clone(),
                    protocol: self.protocol.clone(),
                    assignment: member.assignment.clone(),
                }));
            }
        }
    }

    /// Takes a member out and rebalances the rest.
    pub(super) fn remove(&mut self, member_id: &str, now: Instant) {
        let Some(member) = self.members.remove(member_id) else {
            return;
        };
        if let Some(waiting) = member.joining {
            let _gone = waiting.send(refused(ResponseError::UnknownMemberId, member_id));
        }
        if let Some(waiting) = member.syncing {
            let _gone = waiting.send(Err(ResponseError::UnknownMemberId));
        }
        match self.phase {
            Phase::Completing | Phase::Stable => self.prepare(now),
            Phase::Empty | Phase::Preparing => {}
        }
        self.complete_if_ready(now);
    }

    pub(super) fn tick(&mut self, now: Instant) -> Option<Instant> {
        self.promised.retain(|_, end| *end > now);
        let expired: Vec<String> = self
            .members
            .iter()
            .filter(|(_, m)| m.joining.is_none() && m.syncing.is_none() && m.deadline <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in expired {
            self.remove(&id, now);
        }
        self.complete_if_ready(now);
        if self.phase == Phase::Preparing && now >= self.deadline && now >= self.not_before {
            self.complete(now);
        }
        if self.phase == Phase::Completing && now >= self.deadline {
            self.drop_unsynced(now);
        }
        let phase_ends = match self.phase {
            Phase::Preparing => Some(self.deadline.min(self.not_before.max(now))),
            Phase::Completing => Some(self.deadline),
            Phase::Empty | Phase::Stable => None,
        };
        let sessions = self
            .members
            .values()
            .filter(|m| m.joining.is_none() && m.syncing.is_none())
            .map(|m| m.deadline);
        // A phase that could not complete now waits for a member, not for the time that has passed.
        let phase_ends = phase_ends.map(|at| if at <= now { self.deadline } else { at });
        sessions.chain(phase_ends).min()
    }

    /// The assignment did not come in time: those who did not ask for it are gone.
    pub(super) fn drop_unsynced(&mut self, now: Instant) {
        let silent: Vec<String> = self
            .members
            .iter()
            .filter(|(_, member)| member.syncing.is_none())
            .map(|(id, _)| id.clone())
            .collect();
        self.prepare(now);
        for id in silent {
            self.remove(&id, now);
        }
    }
}

fn new_member_id(prefix: &str) -> String {
    format!("{prefix}-{}", Uuid::new_v4())
}
