//! Who may commit offsets of a group.

use std::time::Instant;

use kafka_protocol::ResponseError;

use super::{Groups, Phase, Speaker};
use crate::entry::PartitionId;

/// How offsets are committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Committing {
    /// OffsetCommit before version 9, which knows no epochs of members: members of the new protocol may not use it.
    Plain,
    /// OffsetCommit since version 9.
    WithEpochs,
    /// TxnOffsetCommit.
    InTransaction,
}

impl Groups {
    /// May `speaker` commit offsets of these partitions of `group`? Those who manage their partitions themselves have
    /// generation -1 and no member id, and may as long as the group has no members. `None` is a partition that does
    /// not exist.
    pub(crate) fn may_commit(
        &mut self,
        group: &str,
        speaker: Speaker<'_>,
        how: Committing,
        partitions: &[Option<PartitionId>],
        now: Instant,
    ) -> Result<(), ResponseError> {
        if let Some(group) = self.consumers.get(group) {
            return group.may_commit(speaker, how, partitions);
        }
        let alone = speaker.generation < 0 && speaker.member_id.is_empty();
        let empty = self
            .groups
            .get(group)
            .is_none_or(|group| group.members.is_empty());
        if alone && (empty || how == Committing::InTransaction) {
            return Ok(());
        }
        let group = match self.checked(group, speaker) {
            // Since version 9 the one who asks may be of the new protocol, and of before a restart.
            Err(ResponseError::UnknownMemberId)
                if empty && speaker.generation >= 0 && how != Committing::WithEpochs =>
            {
                return Err(ResponseError::IllegalGeneration);
            }
            other => other?,
        };
        if let Some(member) = group.members.get_mut(speaker.member_id) {
            member.deadline = now + member.session_timeout;
        }
        match group.phase {
            Phase::Completing => Err(ResponseError::RebalanceInProgress),
            Phase::Empty | Phase::Preparing | Phase::Stable => Ok(()),
        }
    }
}
