//! What a member says in a heartbeat: whether it may, and what it changes.

use kafka_protocol::ResponseError;

use super::assign::{Assignment, Assignor};
use super::member::Member;
use crate::group::{GroupLimits, millis};

/// A member's epoch when it joins.
pub(crate) const JOINS: i32 = 0;
/// The static member leaves, and will be back before its session ends.
pub(crate) const LEAVES_FOR_NOW: i32 = -2;

/// A heartbeat of a member. What has not changed since the last one is `None`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Beat {
    pub(crate) group: String,
    pub(crate) member_id: String,
    /// The member's epoch, or what it does: [`JOINS`], [`LEAVES_FOR_NOW`], or leave for good with -1.
    pub(crate) epoch: i32,
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    /// Milliseconds to give up partitions in. -1: unchanged.
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) topics: Option<Vec<String>>,
    pub(crate) regex: Option<String>,
    pub(crate) assignor: Option<String>,
    pub(crate) owned: Option<Assignment>,
    /// Whether a member without an id is given one (version 0 of the request).
    pub(crate) gives_id: bool,
}

/// The answer to a [`Beat`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Beaten {
    pub(crate) member_id: String,
    pub(crate) epoch: i32,
    /// What the member is to have; `None`: as before.
    pub(crate) assignment: Option<Assignment>,
}

/// A heartbeat is refused, and why, in words for whoever looks after the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) error: ResponseError,
    pub(crate) reason: &'static str,
}

pub(super) const fn refusal<T>(error: ResponseError, reason: &'static str) -> Result<T, Refusal> {
    Err(Refusal { error, reason })
}

impl Beat {
    /// Rules that need no look at the group.
    pub(super) fn check(&self, limits: &GroupLimits) -> Result<(), Refusal> {
        let is_empty = |text: &Option<String>| text.as_deref() == Some("");
        if self.member_id.is_empty()
            && !(self.gives_id && matches!(self.epoch, JOINS | LEAVES_FOR_NOW))
        {
            return refusal(ResponseError::InvalidRequest, "MemberId can't be empty.");
        }
        if self.group.is_empty() {
            return refusal(ResponseError::InvalidRequest, "GroupId can't be empty.");
        }
        if is_empty(&self.instance_id) {
            return refusal(ResponseError::InvalidRequest, "InstanceId can't be empty.");
        }
        if is_empty(&self.rack_id) {
            return refusal(ResponseError::InvalidRequest, "RackId can't be empty.");
        }
        if self.epoch == JOINS {
            if self.rebalance_timeout_ms == -1 {
                let reason = "RebalanceTimeoutMs must be provided in first request.";
                return refusal(ResponseError::InvalidRequest, reason);
            }
            if self.owned.as_ref().is_none_or(|owned| !owned.is_empty()) {
                let reason = "TopicPartitions must be empty when (re-)joining.";
                return refusal(ResponseError::InvalidRequest, reason);
            }
            if self.topics.is_none() && self.regex.is_none() {
                let reason = "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.";
                return refusal(ResponseError::InvalidRequest, reason);
            }
        }
        if self.epoch == LEAVES_FOR_NOW && self.instance_id.is_none() {
            return refusal(ResponseError::InvalidRequest, "InstanceId can't be null.");
        }
        if self.epoch < LEAVES_FOR_NOW {
            return refusal(ResponseError::InvalidRequest, "MemberEpoch is invalid.");
        }
        let assignor = self.assignor.as_deref();
        if assignor.is_some_and(|name| Assignor::named(name).is_none()) {
            let reason = "ServerAssignor is not supported. Supported assignors: uniform, range.";
            return refusal(ResponseError::UnsupportedAssignor, reason);
        }
        if self.bytes() > limits.subscription_bytes_max {
            let reason = "Names and subscription of the member are larger than the broker allows.";
            return refusal(ResponseError::InvalidRequest, reason);
        }
        Ok(())
    }

    /// What the group would have to remember of it.
    fn bytes(&self) -> usize {
        let optional = [&self.instance_id, &self.rack_id, &self.regex];
        let optional = optional.into_iter().flatten().map(String::len);
        let topics = self.topics.iter().flatten().map(String::len);
        let names = self.member_id.len() + self.client_id.len() + self.client_host.len();
        names + optional.sum::<usize>() + topics.sum::<usize>()
    }

    /// Says everything, so that the member wants to hear everything.
    pub(super) fn is_full(&self) -> bool {
        let subscription = self.topics.is_some() || self.regex.is_some();
        self.rebalance_timeout_ms != -1 && subscription && self.owned.is_some()
    }
}

impl Beat {
    /// Puts what has changed into the member. Returns whether the names of its topics have.
    pub(super) fn update(&self, member: &mut Member) -> bool {
        let replace = |old: &mut Option<String>, new: &Option<String>| {
            if let Some(new) = new {
                *old = Some(new.clone());
            }
        };
        replace(&mut member.instance_id, &self.instance_id);
        replace(&mut member.rack_id, &self.rack_id);
        if self.rebalance_timeout_ms != -1 {
            member.rebalance_timeout = millis(self.rebalance_timeout_ms);
        }
        if let Some(assignor) = self.assignor.as_deref().and_then(Assignor::named) {
            member.assignor = Some(assignor);
        }
        if let Some(regex) = &self.regex {
            // Empty: none any more.
            member.regex = Some(regex.clone()).filter(|regex| !regex.is_empty());
        }
        member.client_id.clone_from(&self.client_id);
        member.client_host.clone_from(&self.client_host);
        match &self.topics {
            None => false,
            Some(topics) => {
                let topics = topics.iter().cloned().collect();
                let changed = member.topics != topics;
                member.topics = topics;
                changed
            }
        }
    }
}

/// A member has its present epoch, or the one before if the answer with the present one may have been lost.
pub(super) fn check_epoch(member: &Member, beat: &Beat) -> Result<(), Refusal> {
    if beat.epoch == JOINS || beat.epoch == member.epoch {
        return Ok(());
    }
    let owned = beat.owned.as_ref();
    let has_no_more =
        owned.is_some_and(|owned| owned.iter().all(|id| member.assigned.contains_key(id)));
    if beat.epoch < member.epoch && beat.epoch == member.previous_epoch && has_no_more {
        return Ok(());
    }
    let reason = "Member epoch is not the one that the group coordinator knows. The member must abandon all its partitions and rejoin.";
    refusal(ResponseError::FencedMemberEpoch, reason)
}
