//! OffsetDelete: committed offsets of a group, one by one. Offsets of topics that a member is subscribed to stay.
//! Durable before the answer.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

use super::{Context, Reply};
use crate::entry::Entry;
use crate::group::Subscribed;
use crate::security::Access;

pub(super) fn handle(
    context: &Context<'_>,
    request: OffsetDeleteRequest,
) -> Reply<OffsetDeleteResponse> {
    let shared = context.shared;
    let group = request.group_id.as_str();
    // Nobody joins before the deletion has its place in the journal.
    let groups = shared.groups();
    let mut core = shared.core();
    let subscribed = groups.subscribed(group);
    let refused = |error: ResponseError| {
        Reply::Now(OffsetDeleteResponse::default().with_error_code(error.code()))
    };
    if let Err(error) = context.grants.group(group, Access::Admin) {
        return refused(error);
    }
    if group.is_empty() {
        return refused(ResponseError::InvalidGroupId);
    }
    if !groups.is_known(group) && !core.state.groups.contains_key(group) {
        return refused(ResponseError::GroupIdNotFound);
    }
    if matches!(subscribed, Subscribed::Unknown) {
        return refused(ResponseError::NonEmptyGroup);
    }
    let mut gone = Vec::new();
    let topics = request.topics.iter().map(|topic| {
        let allowed = context.grants.topic(&topic.name, Access::Read);
        let busy = subscribed.has(&topic.name);
        let partitions = topic.partitions.iter().map(|wish| {
            let known = core
                .state
                .partition_id(&topic.name, wish.partition_index)
                .is_some();
            let error = match (busy, known) {
                _ if allowed.is_err() => super::code(&allowed),
                (true, _) => ResponseError::GroupSubscribedToTopic.code(),
                (false, false) => ResponseError::UnknownTopicOrPartition.code(),
                (false, true) => {
                    gone.push((topic.name.to_string(), wish.partition_index));
                    0
                }
            };
            OffsetDeleteResponsePartition::default()
                .with_partition_index(wish.partition_index)
                .with_error_code(error)
        });
        let partitions = partitions.collect();
        OffsetDeleteResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions)
    });
    let response = OffsetDeleteResponse::default().with_topics(topics.collect());
    let submitted = if gone.is_empty() {
        Ok(shared.journal.end())
    } else {
        let group = group.to_owned();
        let entry = Entry::DeleteOffsets {
            group,
            partitions: gone,
        };
        shared.submit(&mut core, &entry)
    };
    drop(core);
    drop(groups);
    let shared = Arc::clone(shared);
    Reply::later(async move {
        let durable = match submitted {
            Ok(position) => shared.durable(position).await,
            Err(error) => Err(error),
        };
        match durable {
            Ok(()) => response,
            Err(error) => OffsetDeleteResponse::default().with_error_code(error.code()),
        }
    })
}
