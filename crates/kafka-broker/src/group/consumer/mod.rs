//! Groups of the new protocol (KIP-848): the broker shares out the partitions, and members follow by heartbeats.
//!
//! ```text
//! heartbeat ─► subscription ─► group epoch ─► target of all members ─► one step of this member ─► answer
//! ```
//!
//! Nobody waits for anybody: a member goes its own way to the target, and takes a partition when the one who had it
//! has said that it no longer does. What is committed with an epoch that is not the member's own is refused, unless
//! the member has had the partition without a break since then.
//!
//! # Invariants
//!
//! - **No partition of two members**, at no moment: see [`member`].
//! - **Epochs never go back**, not even over a restart or the end of a group: the first epoch of a group is above all
//!   that were ever given out ([`super::Groups::consumer_heartbeat`]), so that no old one is ever valid again.
//! - **Memory only**, except for that. **No clock, no I/O**: time and topics come in as arguments.

pub(crate) mod assign;
mod beat;
pub(crate) mod member;
mod registry;
pub(crate) mod subscription;

#[cfg(test)]
mod rules;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Instant;

use kafka_protocol::ResponseError;

use self::assign::{Assignment, Assignor, Reader};
use self::member::{Goal, Member};
use self::subscription::{Catalog, Subscriptions};
use super::{Committing, EMPTY_KEPT, GroupLimits, Speaker};
use crate::entry::PartitionId;

pub(crate) use self::beat::{Beat, Beaten, JOINS, LEAVES_FOR_NOW, Refusal};
use self::beat::{check_epoch, refusal};
pub(crate) use self::registry::{ConsumerDescription, ConsumerMember};

/// A group of the new protocol. See the module.
#[derive(Debug)]
pub(crate) struct ConsumerGroup {
    /// Goes up whenever the target has to be found anew.
    epoch: i32,
    /// The epoch of the target.
    target_epoch: i32,
    members: BTreeMap<String, Member>,
    targets: BTreeMap<String, Assignment>,
    /// Member id by instance id.
    instances: BTreeMap<String, String>,
    subscriptions: Subscriptions,
    /// Without members it is remembered until then.
    kept_until: Instant,
}

impl ConsumerGroup {
    /// A group whose first epoch is above `floor`.
    fn new(floor: i32, now: Instant) -> Self {
        Self {
            epoch: floor,
            target_epoch: floor,
            members: BTreeMap::new(),
            targets: BTreeMap::new(),
            instances: BTreeMap::new(),
            subscriptions: Subscriptions::default(),
            kept_until: now + EMPTY_KEPT,
        }
    }

    /// Stops at the end of the numbers, which is two thousand million changes away.
    fn bump(&mut self) {
        self.epoch = self.epoch.saturating_add(1);
    }

    fn heartbeat(
        &mut self,
        beat: &Beat,
        catalog: &dyn Catalog,
        limits: &GroupLimits,
        now: Instant,
    ) -> Result<Beaten, Refusal> {
        if self.members.len() >= limits.members_max && !self.members.contains_key(&beat.member_id) {
            let reason = "The consumer group has reached its maximum capacity.";
            return refusal(ResponseError::GroupMaxSizeReached, reason);
        }
        let (mut member, former) = self.admit(beat, now)?;
        let before = member.clone();
        let topics_changed = beat.update(&mut member);
        let regex_changed = member.regex != before.regex;
        self.check_pattern(&member, limits)?;

        // Nothing has changed so far; from here on nothing is refused.
        let id = beat.member_id.as_str();
        if let Some(former) = former {
            self.replace(&former, id);
        }
        if let Some(instance) = &member.instance_id {
            self.instances.insert(instance.clone(), id.to_owned());
        }
        member.session_ends = now + limits.consumer_session_timeout;
        self.members.insert(id.to_owned(), member);
        let resubscribed = topics_changed || regex_changed;
        let refreshed = self
            .subscriptions
            .refresh(&self.members, catalog, resubscribed);
        if resubscribed || refreshed {
            self.bump();
        }
        self.retarget();
        let epoch_and_share = self.reconcile(id, beat.owned.as_ref(), resubscribed, now);
        let (epoch, share) = epoch_and_share;
        let tells = beat.epoch == JOINS || beat.is_full() || !before.assigned.keys().eq(&share);
        Ok(Beaten {
            member_id: id.to_owned(),
            epoch,
            assignment: tells.then_some(share),
        })
    }

    /// The member that a heartbeat is of, as it was, and the id of the static member whose place it takes.
    fn admit(&self, beat: &Beat, now: Instant) -> Result<(Member, Option<String>), Refusal> {
        let joins = beat.epoch == JOINS;
        let Some(instance) = &beat.instance_id else {
            let member = match self.members.get(&beat.member_id) {
                Some(member) => member.clone(),
                None if joins => Member::new(now),
                None => return refusal(ResponseError::UnknownMemberId, "Member is not known."),
            };
            check_epoch(&member, beat)?;
            return Ok((member, None));
        };
        let known = self.instances.get(instance);
        let known = known.and_then(|id| Some((id, self.members.get(id)?)));
        match known {
            None if joins => {
                let member = self.members.get(&beat.member_id).cloned();
                Ok((member.unwrap_or_else(|| Member::new(now)), None))
            }
            None => refusal(ResponseError::UnknownMemberId, "Instance id is unknown."),
            Some((_, member)) if joins && member.epoch != LEAVES_FOR_NOW => {
                let reason = "Instance id is owned by another member, which has not left.";
                refusal(ResponseError::UnreleasedInstanceId, reason)
            }
            Some((id, member)) if joins => {
                let mut member = member.clone();
                (member.epoch, member.previous_epoch) = (JOINS, JOINS);
                let former = (*id != beat.member_id).then(|| id.clone());
                Ok((member, former))
            }
            Some((id, _)) if *id != beat.member_id => {
                let reason = "Static member was fenced by another member.";
                refusal(ResponseError::FencedInstanceId, reason)
            }
            Some((_, member)) => {
                check_epoch(member, beat)?;
                Ok((member.clone(), None))
            }
        }
    }

    fn check_pattern(&self, member: &Member, limits: &GroupLimits) -> Result<(), Refusal> {
        let Some(pattern) = &member.regex else {
            return Ok(());
        };
        if self.subscriptions.has_pattern(pattern) {
            return Ok(());
        }
        if subscription::compile(pattern).is_err() {
            let reason = "SubscribedTopicRegex is not a valid regular expression, or too large.";
            return refusal(ResponseError::InvalidRegularExpression, reason);
        }
        if self.subscriptions.patterns() >= limits.regexes_max {
            let reason =
                "The group has as many different regular expressions as the broker allows.";
            return refusal(ResponseError::InvalidRequest, reason);
        }
        Ok(())
    }

    /// A static member is back under another id, and gets what it had.
    fn replace(&mut self, former: &str, id: &str) {
        self.members.remove(former);
        if let Some(target) = self.targets.remove(former) {
            self.targets.insert(id.to_owned(), target);
        }
    }

    /// Finds the target anew if it is not of this epoch.
    fn retarget(&mut self) {
        if self.target_epoch >= self.epoch {
            return;
        }
        let none = Assignment::new();
        let topics: Vec<_> = self
            .members
            .values()
            .map(|member| self.subscriptions.of(member))
            .collect();
        let readers: Vec<_> = self
            .members
            .iter()
            .zip(&topics)
            .map(|((id, member), topics)| Reader {
                id,
                instance_id: member.instance_id.as_deref(),
                topics,
                before: self.targets.get(id).unwrap_or(&none),
            })
            .collect();
        let shares = self
            .assignor()
            .assign(&readers, &self.subscriptions.partitions());
        self.targets = self.members.keys().cloned().zip(shares).collect();
        self.target_epoch = self.epoch;
    }

    /// The assignor that most members want.
    fn assignor(&self) -> Assignor {
        let mut votes = BTreeMap::new();
        for assignor in self.members.values().filter_map(|member| member.assignor) {
            *votes.entry(assignor).or_insert(0_usize) += 1;
        }
        // Of those with as many votes the first.
        let best = votes.into_iter().rev().max_by_key(|(_, count)| *count);
        best.map_or(Assignor::Uniform, |(assignor, _)| assignor)
    }

    /// One step of a member towards its target. Returns its epoch and what it is to have.
    fn reconcile(
        &mut self,
        id: &str,
        owned: Option<&Assignment>,
        resubscribed: bool,
        now: Instant,
    ) -> (i32, Assignment) {
        let none = Assignment::new();
        let Some(mut member) = self.members.remove(id) else {
            return (JOINS, none);
        };
        let others = &self.members;
        member.reconcile(
            &Goal {
                epoch: self.target_epoch,
                target: self.targets.get(id).unwrap_or(&none),
                topics: &self.subscriptions.of(&member),
                resubscribed,
                owned,
                taken: &|partition| others.values().any(|other| other.holds(partition)),
            },
            now,
        );
        let answer = (member.epoch, member.assigned.keys().copied().collect());
        self.members.insert(id.to_owned(), member);
        answer
    }

    /// The id of the member that leaves, if it may.
    fn leaving(&self, beat: &Beat) -> Result<String, Refusal> {
        let id = match &beat.instance_id {
            None => &beat.member_id,
            Some(instance) => match self.instances.get(instance) {
                None => return refusal(ResponseError::UnknownMemberId, "Instance id is unknown."),
                Some(id) if *id != beat.member_id => {
                    let reason = "Static member was fenced by another member.";
                    return refusal(ResponseError::FencedInstanceId, reason);
                }
                Some(id) => id,
            },
        };
        if self.members.contains_key(id) {
            Ok(id.clone())
        } else {
            refusal(ResponseError::UnknownMemberId, "Member is not known.")
        }
    }

    fn leave(&mut self, beat: &Beat) -> Result<Beaten, Refusal> {
        let id = self.leaving(beat)?;
        if beat.epoch == LEAVES_FOR_NOW {
            if let Some(member) = self.members.get_mut(&id) {
                // It has given up what it was to give up, and keeps the rest until its session ends.
                member.epoch = LEAVES_FOR_NOW;
                member.revoking.clear();
                member.revocation_ends = None;
                member.assigned.values_mut().for_each(|epoch| *epoch = 0);
            }
        } else {
            self.remove(&id);
        }
        Ok(Beaten {
            member_id: beat.member_id.clone(),
            epoch: beat.epoch,
            assignment: None,
        })
    }

    /// Takes a member out: what it had is free.
    fn remove(&mut self, id: &str) {
        let Some(member) = self.members.remove(id) else {
            return;
        };
        self.targets.remove(id);
        if let Some(instance) = member.instance_id {
            self.instances.remove(&instance);
        }
        self.subscriptions.forget(&self.members);
        self.bump();
    }

    /// Takes out those whose time is up. Returns when the next one's is.
    fn tick(&mut self, now: Instant) -> Option<Instant> {
        let ends = |member: &Member| {
            let revocation = member.revocation_ends.unwrap_or(member.session_ends);
            member.session_ends.min(revocation)
        };
        let expired = self.members.iter();
        let expired = expired.filter(|(_, member)| ends(member) <= now);
        let expired: Vec<String> = expired.map(|(id, _)| id.clone()).collect();
        for id in expired {
            self.remove(&id);
        }
        self.members.values().map(ends).min()
    }

    /// May `speaker` commit offsets of these partitions? `None` is a partition that does not exist.
    pub(in crate::group) fn may_commit(
        &self,
        speaker: Speaker<'_>,
        how: Committing,
        partitions: &[Option<PartitionId>],
    ) -> Result<(), ResponseError> {
        let transactional = how == Committing::InTransaction;
        let nobody = speaker.member_id.is_empty() && speaker.instance_id.is_none();
        if speaker.generation < 0 && self.members.is_empty()
            || transactional && speaker.generation == -1 && nobody
        {
            return Ok(());
        }
        let member = self.members.get(speaker.member_id);
        let member = member.ok_or(ResponseError::UnknownMemberId)?;
        if how == Committing::Plain {
            return Err(ResponseError::UnsupportedVersion);
        }
        let stale = if transactional {
            ResponseError::IllegalGeneration
        } else {
            ResponseError::StaleMemberEpoch
        };
        if speaker.generation == member.epoch {
            return Ok(());
        }
        let has_had = |id: &Option<PartitionId>| {
            let since = id.and_then(|id| member.held_since(id));
            since.is_some_and(|since| since <= speaker.generation)
        };
        if speaker.generation < member.epoch && partitions.iter().all(has_had) {
            Ok(())
        } else {
            Err(stale)
        }
    }

    /// May this member ask for offsets? Who says nothing of itself may.
    fn may_fetch(&self, member_id: Option<&str>, epoch: i32) -> Result<(), ResponseError> {
        let Some(id) = member_id else {
            return if epoch < 0 {
                Ok(())
            } else {
                Err(ResponseError::UnknownMemberId)
            };
        };
        match self.members.get(id) {
            None => Err(ResponseError::UnknownMemberId),
            Some(member) if member.epoch != epoch => Err(ResponseError::StaleMemberEpoch),
            Some(_) => Ok(()),
        }
    }
}
