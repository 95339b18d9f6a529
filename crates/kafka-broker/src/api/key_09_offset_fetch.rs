//! OffsetFetch: how far a group has read, as far as that is durable.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse, TopicName};

use super::{Context, Reply, text};
use crate::group::Groups;
use crate::security::{Access, Grants};
use crate::shared::Core;
use crate::state::GroupOffsets;

/// The answer for one partition, in no version's layout yet.
struct Found {
    partition: i32,
    offset: i64,
    leader_epoch: i32,
    metadata: String,
    error_code: i16,
}

pub(super) fn handle(
    context: &Context<'_>,
    request: OffsetFetchRequest,
) -> Reply<OffsetFetchResponse> {
    let shared = Arc::clone(context.shared);
    let (response, position) = {
        let groups = shared.groups();
        let core = shared.core();
        (
            collect(&core, &groups, &context.grants, context.version, request),
            shared.journal.end(),
        )
    };
    Reply::later(async move {
        // What was found may not be on disk yet. Who reads on from an offset that a crash takes back would leave out
        // the records whose processing it took back too.
        match shared.durable(position).await {
            Ok(()) => response,
            Err(error) => OffsetFetchResponse::default().with_error_code(error.code()),
        }
    })
}

fn collect(
    core: &Core,
    members: &Groups,
    grants: &Grants,
    version: i16,
    request: OffsetFetchRequest,
) -> OffsetFetchResponse {
    let stable = request.require_stable;
    if version >= 8 {
        let groups = request.groups.into_iter().map(|group| {
            let wanted = group.topics.map(|topics| {
                topics
                    .into_iter()
                    .map(|topic| (topic.name, topic.partition_indexes))
                    .collect()
            });
            let allowed = grants.group(&group.group_id, Access::Read);
            let allowed = allowed.and_then(|()| {
                let member = group.member_id.as_deref();
                members.may_fetch(&group.group_id, member, group.member_epoch)
            });
            if let Err(error) = allowed {
                return OffsetFetchResponseGroup::default()
                    .with_group_id(group.group_id)
                    .with_error_code(error.code());
            }
            let topics = look(core, grants, &group.group_id, wanted, stable).into_iter();
            let topics = topics.map(|(name, found)| {
                let found = found.into_iter().map(newer).collect();
                OffsetFetchResponseTopics::default()
                    .with_name(name)
                    .with_partitions(found)
            });
            let topics = topics.collect();
            OffsetFetchResponseGroup::default()
                .with_group_id(group.group_id)
                .with_topics(topics)
        });
        return OffsetFetchResponse::default().with_groups(groups.collect());
    }
    let wanted = request.topics.map(|topics| {
        topics
            .into_iter()
            .map(|topic| (topic.name, topic.partition_indexes))
            .collect()
    });
    if let Err(error) = grants.group(&request.group_id, Access::Read) {
        return OffsetFetchResponse::default().with_error_code(error.code());
    }
    let topics = look(core, grants, &request.group_id, wanted, stable).into_iter();
    let topics = topics.map(|(name, found)| {
        let found = found.into_iter().map(older).collect();
        OffsetFetchResponseTopic::default()
            .with_name(name)
            .with_partitions(found)
    });
    OffsetFetchResponse::default().with_topics(topics.collect())
}

fn older(found: Found) -> OffsetFetchResponsePartition {
    OffsetFetchResponsePartition::default()
        .with_partition_index(found.partition)
        .with_committed_offset(found.offset)
        .with_committed_leader_epoch(found.leader_epoch)
        .with_metadata(Some(text(&found.metadata)))
        .with_error_code(found.error_code)
}

fn newer(found: Found) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions::default()
        .with_partition_index(found.partition)
        .with_committed_offset(found.offset)
        .with_committed_leader_epoch(found.leader_epoch)
        .with_metadata(Some(text(&found.metadata)))
        .with_error_code(found.error_code)
}

/// `None` asks for everything the group has committed.
fn look(
    core: &Core,
    grants: &Grants,
    group: &str,
    wanted: Option<Vec<(TopicName, Vec<i32>)>>,
    stable: bool,
) -> Vec<(TopicName, Vec<Found>)> {
    let none = GroupOffsets::default();
    let offsets = core.state.groups.get(group).unwrap_or(&none);
    let wanted = wanted.unwrap_or_else(|| {
        let mut all = everything(offsets);
        all.retain(|(name, _)| grants.sees_topic(name));
        all
    });
    let answer = |(name, partitions): (TopicName, Vec<i32>)| {
        let seen = grants.look_at_topic(&name);
        let found = partitions.into_iter().map(|partition| match seen {
            Ok(()) => find(offsets, &name, partition, stable),
            Err(error) => missing(partition, error.code()),
        });
        let found = found.collect();
        (name, found)
    };
    wanted.into_iter().map(answer).collect()
}

fn everything(offsets: &GroupOffsets) -> Vec<(TopicName, Vec<i32>)> {
    let mut topics: Vec<(TopicName, Vec<i32>)> = Vec::new();
    for (topic, partition) in offsets.committed.keys() {
        match topics.last_mut() {
            Some((name, partitions)) if name.as_str() == topic => partitions.push(*partition),
            _ => topics.push((TopicName(text(topic)), vec![*partition])),
        }
    }
    topics
}

fn missing(partition: i32, error_code: i16) -> Found {
    Found {
        partition,
        offset: -1,
        leader_epoch: -1,
        metadata: String::new(),
        error_code,
    }
}

fn find(offsets: &GroupOffsets, topic: &str, partition: i32, stable: bool) -> Found {
    let key = (topic.to_owned(), partition);
    let missing = missing(partition, 0);
    if stable
        && offsets
            .pending
            .values()
            .any(|pending| pending.contains_key(&key))
    {
        return Found {
            error_code: ResponseError::UnstableOffsetCommit.code(),
            ..missing
        };
    }
    match offsets.committed.get(&key) {
        None => missing,
        Some(known) => Found {
            offset: known.offset,
            leader_epoch: known.leader_epoch,
            metadata: known.metadata.clone(),
            ..missing
        },
    }
}
