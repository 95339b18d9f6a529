//! One member of a group of the new protocol, and its way to the target assignment.
//!
//! ```text
//!            ┌── has to give up partitions ──► Unrevoked ──given up──┐
//! Stable ────┤                                                      ├──► Stable, or Unreleased:
//!            └── gets new ones ─────────────────────────────────────┘    waits for what others still have
//! ```
//!
//! A partition is nobody else's before the member that has it confirms, in a heartbeat, that it no longer does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::assign::{Assignment, Assignor};
use crate::entry::PartitionId;

/// Partitions that a member has, with the epoch since which it has them without a break.
pub(crate) type Held = BTreeMap<PartitionId, i32>;

/// How far a member is on the way to the target. KIP-848's states of members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It has what it is to have at its epoch.
    Stable,
    /// It has to give up partitions first, and keeps its epoch until it has.
    Unrevoked,
    /// It waits for partitions that others have not given up.
    Unreleased,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(super) rebalance_timeout: Duration,
    pub(crate) topics: BTreeSet<String>,
    /// Never empty.
    pub(crate) regex: Option<String>,
    pub(super) assignor: Option<Assignor>,
    pub(crate) epoch: i32,
    /// The epoch before the last step: the answer that brought the present one may have been lost.
    pub(super) previous_epoch: i32,
    pub(super) progress: Progress,
    pub(crate) assigned: Held,
    /// To be given up.
    pub(crate) revoking: Held,
    pub(super) session_ends: Instant,
    /// It must have given up partitions by then.
    pub(super) revocation_ends: Option<Instant>,
}

/// Where a member is to go.
pub(super) struct Goal<'a> {
    pub(super) epoch: i32,
    pub(super) target: &'a Assignment,
    /// Topics that the member reads.
    pub(super) topics: &'a BTreeSet<Uuid>,
    /// What it reads has changed just now.
    pub(super) resubscribed: bool,
    /// What it says that it has; `None`: it does not say.
    pub(super) owned: Option<&'a Assignment>,
    /// Whether another member has this partition.
    pub(super) taken: &'a dyn Fn(PartitionId) -> bool,
}

impl Goal<'_> {
    /// Who does not say may still have them.
    fn still_owns(&self, held: &Held) -> bool {
        self.owned
            .is_none_or(|owned| held.keys().any(|id| owned.contains(id)))
    }
}

impl Member {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            instance_id: None,
            rack_id: None,
            client_id: String::new(),
            client_host: String::new(),
            rebalance_timeout: Duration::ZERO,
            topics: BTreeSet::new(),
            regex: None,
            assignor: None,
            epoch: 0,
            previous_epoch: 0,
            progress: Progress::Stable,
            assigned: Held::new(),
            revoking: Held::new(),
            session_ends: now,
            revocation_ends: None,
        }
    }

    pub(super) fn is_reconciled(&self, epoch: i32) -> bool {
        self.progress == Progress::Stable && self.epoch == epoch
    }

    /// Has it this partition, or has it not yet given it up?
    pub(super) fn holds(&self, id: PartitionId) -> bool {
        self.assigned.contains_key(&id) || self.revoking.contains_key(&id)
    }

    /// The epoch since which it has a partition.
    pub(super) fn held_since(&self, id: PartitionId) -> Option<i32> {
        self.assigned
            .get(&id)
            .or_else(|| self.revoking.get(&id))
            .copied()
    }

    /// Takes one step towards the goal.
    pub(super) fn reconcile(&mut self, goal: &Goal<'_>, now: Instant) {
        if !goal.resubscribed && self.is_reconciled(goal.epoch) {
            return;
        }
        let before = (self.epoch, self.progress);
        let held = (self.assigned.clone(), self.revoking.clone());
        match self.progress {
            Progress::Stable if self.epoch != goal.epoch => self.advance(goal),
            Progress::Unrevoked if !goal.still_owns(&self.revoking) => self.advance(goal),
            Progress::Unreleased => self.advance(goal),
            Progress::Stable | Progress::Unrevoked if goal.resubscribed => self.drop_topics(goal),
            Progress::Stable | Progress::Unrevoked => {}
        }
        if before == (self.epoch, self.progress)
            && held.0 == self.assigned
            && held.1 == self.revoking
        {
            return;
        }
        self.revocation_ends =
            (self.progress == Progress::Unrevoked).then(|| now + self.rebalance_timeout);
    }

    fn set_epoch(&mut self, epoch: i32) {
        self.previous_epoch = self.epoch;
        self.epoch = epoch;
    }

    /// Gives up what is not in the target; when that is done, takes what is and is free.
    fn advance(&mut self, goal: &Goal<'_>) {
        let target = goal.target.iter().copied();
        let target: Assignment = target
            .filter(|id| goal.topics.contains(&id.topic))
            .collect();
        let (mut keep, revoke): (Held, Held) = self
            .assigned
            .iter()
            .partition(|(id, _)| target.contains(id));
        if !revoke.is_empty() && goal.still_owns(&revoke) {
            self.progress = Progress::Unrevoked;
            self.set_epoch(self.epoch);
            (self.assigned, self.revoking) = (keep, revoke);
            return;
        }
        let mut waits = false;
        for id in target {
            if keep.contains_key(&id) {
                continue;
            }
            if (goal.taken)(id) {
                waits = true;
            } else {
                keep.insert(id, goal.epoch);
            }
        }
        self.progress = if waits {
            Progress::Unreleased
        } else {
            Progress::Stable
        };
        self.set_epoch(goal.epoch);
        (self.assigned, self.revoking) = (keep, Held::new());
    }

    /// Gives up what it no longer reads, without going on to another epoch.
    fn drop_topics(&mut self, goal: &Goal<'_>) {
        let (keep, gone): (Held, Held) = self
            .assigned
            .iter()
            .partition(|(id, _)| goal.topics.contains(&id.topic));
        if gone.is_empty() {
            return;
        }
        let mut revoke = self.revoking.clone();
        revoke.extend(gone);
        self.set_epoch(self.epoch);
        self.assigned = keep;
        if goal.still_owns(&revoke) {
            self.progress = Progress::Unrevoked;
            self.revoking = revoke;
        }
    }
}
