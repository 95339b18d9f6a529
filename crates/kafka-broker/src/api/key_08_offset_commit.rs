//! OffsetCommit: how far a group has read. Durable before the answer.

use std::sync::Arc;
use std::time::Instant;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};

use super::{Context, Reply};
use crate::entry::{CommittedOffset, Entry, PartitionId};
use crate::group::{Committing, Speaker};
use crate::security::Access;
use crate::shared::{Core, now_ms};

/// Since this version members of the new group protocol may commit, with their epoch.
const MEMBER_EPOCHS_SINCE: i16 = 9;

/// An offset as it comes in a request.
pub(super) struct Wish<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) leader_epoch: i32,
    pub(super) metadata: Option<&'a str>,
}

pub(super) fn handle(
    context: &Context<'_>,
    request: OffsetCommitRequest,
) -> Reply<OffsetCommitResponse> {
    let shared = context.shared;
    let speaker = Speaker {
        generation: request.generation_id_or_member_epoch,
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
    };
    let wishes = request.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| Wish {
            topic: &topic.name,
            partition: partition.partition_index,
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: partition.committed_metadata.as_deref(),
        })
    });
    // The groups stay locked until the commit has its place in the journal: no rebalance comes in between.
    let mut groups = shared.groups();
    let allowed = context.grants.group(&request.group_id, Access::Read);
    let mut core = shared.core();
    let how = if context.version >= MEMBER_EPOCHS_SINCE {
        Committing::WithEpochs
    } else {
        Committing::Plain
    };
    let partitions = partitions(&core, wishes.clone());
    let allowed = allowed.and_then(|()| {
        let now = Instant::now();
        groups.may_commit(&request.group_id, speaker, how, &partitions, now)
    });
    let codes = match allowed {
        Ok(()) => submit(context, &mut core, &request.group_id, None, wishes),
        Err(error) => wishes.map(|_| error.code()).collect(),
    };
    let position = shared.journal.end();
    drop(core);
    drop(groups);
    let shared = Arc::clone(shared);
    Reply::later(async move {
        let durable = shared.durable(position).await;
        let failed = super::code(&durable);
        let mut codes = codes
            .into_iter()
            .map(|code| if code == 0 { failed } else { code });
        let topics = request.topics.iter().map(|topic| {
            let answers = topic.partitions.iter().map(|partition| {
                OffsetCommitResponsePartition::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(codes.next().unwrap_or_default())
            });
            let answers = answers.collect();
            OffsetCommitResponseTopic::default()
                .with_name(topic.name.clone())
                .with_partitions(answers)
        });
        OffsetCommitResponse::default().with_topics(topics.collect())
    })
}

/// The partitions of wishes, as far as they exist.
pub(super) fn partitions<'a>(
    core: &Core,
    wishes: impl Iterator<Item = Wish<'a>>,
) -> Vec<Option<PartitionId>> {
    wishes
        .map(|wish| core.state.partition_id(wish.topic, wish.partition))
        .collect()
}

/// Writes the legal ones among the wishes as one entry. Returns an error code for each.
pub(super) fn submit<'a>(
    context: &Context<'_>,
    core: &mut Core,
    group: &str,
    producer_id: Option<i64>,
    wishes: impl Iterator<Item = Wish<'a>>,
) -> Vec<i16> {
    let shared = context.shared;
    let time_ms = now_ms();
    let mut offsets = Vec::new();
    let mut codes = Vec::new();
    let full = !core.state.groups.contains_key(group)
        && core.state.groups.len() >= shared.config.groups_max;
    for wish in wishes {
        let metadata = wish.metadata.unwrap_or_default();
        let known = core
            .state
            .partition_id(wish.topic, wish.partition)
            .is_some();
        let allowed = context.grants.topic(wish.topic, Access::Read);
        let error = if let Err(error) = allowed {
            Some(error)
        } else if metadata.len() > shared.config.offset_metadata_bytes_max {
            Some(ResponseError::OffsetMetadataTooLarge)
        } else if !known {
            Some(ResponseError::UnknownTopicOrPartition)
        } else if full {
            Some(ResponseError::CoordinatorNotAvailable)
        } else {
            None
        };
        codes.push(error.map_or(0, |error| error.code()));
        if error.is_none() {
            let offset = CommittedOffset {
                offset: wish.offset,
                leader_epoch: wish.leader_epoch,
                metadata: metadata.to_owned(),
                time_ms,
            };
            offsets.push((wish.topic.to_owned(), wish.partition, offset));
        }
    }
    if offsets.is_empty() {
        return codes;
    }
    let entry = Entry::CommitOffsets {
        group: group.to_owned(),
        producer_id,
        offsets,
    };
    if let Err(error) = shared.submit(core, &entry) {
        let error = match error {
            ResponseError::RecordListTooLarge => ResponseError::InvalidCommitOffsetSize,
            error => error,
        };
        codes
            .iter_mut()
            .filter(|code| **code == 0)
            .for_each(|code| *code = error.code());
    }
    codes
}
