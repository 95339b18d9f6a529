//! Groups of both protocols have their names in common: this is where one becomes the other, and what is asked of
//! groups of the new one.

use std::time::Instant;

use kafka_protocol::ResponseError;
use uuid::Uuid;

use super::ConsumerGroup;
use super::assign::Assignment;
use super::beat::{Beat, Beaten, JOINS, Refusal, refusal};
use super::member::Member;
use super::subscription::Catalog;
use crate::group::{EMPTY_KEPT, Groups};

/// What `ConsumerGroupDescribe` shows of a group.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerDescription {
    pub(crate) state: &'static str,
    pub(crate) epoch: i32,
    pub(crate) target_epoch: i32,
    pub(crate) assignor: &'static str,
    pub(crate) members: Vec<ConsumerMember>,
}

/// What it shows of a member.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerMember {
    pub(crate) id: String,
    pub(crate) member: Member,
    pub(crate) target: Assignment,
}

impl ConsumerMember {
    /// Everything that it answers for: what it has, and what it has not yet given up.
    pub(crate) fn held(&self) -> Assignment {
        let all = self
            .member
            .assigned
            .keys()
            .chain(self.member.revoking.keys());
        all.copied().collect()
    }
}

impl ConsumerGroup {
    pub(crate) fn state(&self) -> &'static str {
        let reconciled = |member: &Member| member.is_reconciled(self.target_epoch);
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch > self.target_epoch {
            "Assigning"
        } else if self.members.values().all(reconciled) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Names of the topics that its members read.
    pub(crate) fn topics(&self) -> std::collections::BTreeSet<String> {
        self.subscriptions.all_names(&self.members)
    }

    fn describe(&self) -> ConsumerDescription {
        let members = self.members.iter().map(|(id, member)| ConsumerMember {
            id: id.clone(),
            member: member.clone(),
            target: self.targets.get(id).cloned().unwrap_or_default(),
        });
        ConsumerDescription {
            state: self.state(),
            epoch: self.epoch,
            target_epoch: self.target_epoch,
            assignor: self.assignor().name(),
            members: members.collect(),
        }
    }
}

impl Groups {
    /// Takes a heartbeat of a member of the new protocol: it joins, lives on, or leaves.
    ///
    /// `known` says whether the group has offsets, so that it counts as a group although nobody is there. A new
    /// group's epochs are above [`Groups::start_above`] and above those of all groups that have ended since. A member
    /// of whose group nothing is left is told to join again if it may be from before a restart.
    ///
    /// # Errors
    ///
    /// [`Refusal`], as KIP-848 has them; nothing has changed then.
    pub(crate) fn consumer_heartbeat(
        &mut self,
        mut beat: Beat,
        known: bool,
        catalog: &dyn Catalog,
        now: Instant,
    ) -> Result<Beaten, Refusal> {
        beat.check(&self.limits)?;
        if beat.epoch < JOINS {
            return match self.consumers.get_mut(&beat.group) {
                Some(group) => group.leave(&beat),
                None => Err(self.stranger(&beat, known)),
            };
        }
        if beat.epoch > JOINS {
            return match self.consumers.get_mut(&beat.group) {
                Some(group) => group.heartbeat(&beat, catalog, &self.limits, now),
                None => Err(self.stranger(&beat, known)),
            };
        }
        if beat.member_id.is_empty() {
            beat.member_id = Uuid::new_v4().to_string();
        }
        if let Some(group) = self.consumers.get_mut(&beat.group) {
            return group.heartbeat(&beat, catalog, &self.limits, now);
        }
        let classic = self.groups.get(&beat.group);
        if classic.is_some_and(|group| !group.members.is_empty()) {
            let reason = "Group has members of the classic protocol, which have to leave first.";
            return refusal(ResponseError::GroupIdNotFound, reason);
        }
        if classic.is_none() && !self.has_room() {
            let reason = "The broker has as many groups as it may have.";
            return refusal(ResponseError::CoordinatorNotAvailable, reason);
        }
        let mut group = ConsumerGroup::new(self.epoch_floor, now);
        let beaten = group.heartbeat(&beat, catalog, &self.limits, now)?;
        self.groups.remove(&beat.group);
        self.consumers.insert(beat.group, group);
        Ok(beaten)
    }

    /// What somebody hears whose group is none of the new protocol.
    fn stranger(&self, beat: &Beat, known: bool) -> Refusal {
        let is_classic = self.groups.contains_key(&beat.group);
        // Epochs of this run are above those of the ones before.
        let is_old = beat.epoch <= self.start_floor && self.start_floor > 0;
        if !is_classic && (known || is_old) {
            return Refusal {
                error: ResponseError::UnknownMemberId,
                reason: "Member is not known.",
            };
        }
        Refusal {
            error: ResponseError::GroupIdNotFound,
            reason: "Group is not known, or not a consumer group.",
        }
    }

    /// Epochs up to here may have been given out before the broker started. Called once, before anybody is there.
    pub(crate) fn start_above(&mut self, epoch: i32) {
        self.start_floor = epoch;
        self.epoch_floor = epoch;
    }

    /// A classic member wants to join: a group of the new protocol makes way if it is empty.
    pub(in crate::group) fn yield_to_classic(&mut self, group: &str) -> Result<(), ResponseError> {
        match self.consumers.get(group) {
            Some(group) if !group.is_empty() => Err(ResponseError::InconsistentGroupProtocol),
            _ => {
                self.forget_consumer(group);
                Ok(())
            }
        }
    }

    /// Forgets a group of the new protocol. Its epochs are never given out again.
    pub(in crate::group) fn forget_consumer(&mut self, group: &str) {
        if let Some(group) = self.consumers.remove(group) {
            self.epoch_floor = self.epoch_floor.max(group.epoch);
        }
    }

    /// Takes a member out at the wish of an administrator. `member_id` may be empty for a static member.
    pub(in crate::group) fn remove_consumer(
        &mut self,
        group: &str,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), ResponseError> {
        let group = self.consumers.get_mut(group);
        let group = group.ok_or(ResponseError::UnknownMemberId)?;
        let id = match instance_id {
            None => member_id.to_owned(),
            Some(instance) => {
                let id = group.instances.get(instance).cloned();
                let id = id.ok_or(ResponseError::UnknownMemberId)?;
                if !member_id.is_empty() && id != member_id {
                    return Err(ResponseError::FencedInstanceId);
                }
                id
            }
        };
        if !group.members.contains_key(&id) {
            return Err(ResponseError::UnknownMemberId);
        }
        group.remove(&id);
        Ok(())
    }

    /// Ends sessions and waits of members of the new protocol. Returns when to come again.
    pub(in crate::group) fn tick_consumers(&mut self, now: Instant) -> Option<Instant> {
        let mut next = None;
        let floor = &mut self.epoch_floor;
        self.consumers.retain(|_, group| {
            let mut at = group.tick(now);
            if group.is_empty() {
                at = Some(group.kept_until);
            } else {
                group.kept_until = now + EMPTY_KEPT;
            }
            let keep = group.kept_until > now;
            if keep {
                next = [next, at].into_iter().flatten().min();
            } else {
                *floor = (*floor).max(group.epoch);
            }
            keep
        });
        next
    }

    /// May this member ask for a group's offsets (OffsetFetch since version 9)?
    pub(crate) fn may_fetch(
        &self,
        group: &str,
        member_id: Option<&str>,
        epoch: i32,
    ) -> Result<(), ResponseError> {
        match self.consumers.get(group) {
            Some(group) => group.may_fetch(member_id, epoch),
            None => Ok(()),
        }
    }

    pub(crate) fn describe_consumer(&self, group: &str) -> Option<ConsumerDescription> {
        self.consumers.get(group).map(ConsumerGroup::describe)
    }

    /// The state of a group of the new protocol.
    pub(crate) fn consumer_state(&self, group: &str) -> Option<&'static str> {
        self.consumers.get(group).map(ConsumerGroup::state)
    }
}
