//! ListOffsets: where a partition begins, ends, or has its first record of a time.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use super::{Context, Reply};
use crate::batch::{Batch, LEADER_EPOCH};
use crate::partition_log::ReadPlan;
use crate::records;
use crate::shared::Core;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;

/// What the lock is needed for.
enum Look {
    Offset(i64),
    Time {
        plans: Vec<ReadPlan>,
        timestamp: i64,
        from: i64,
        bound: i64,
    },
    Refused(ResponseError),
}

pub(super) fn handle(
    context: &Context<'_>,
    request: ListOffsetsRequest,
) -> Reply<ListOffsetsResponse> {
    let shared = Arc::clone(context.shared);
    let grants = Arc::clone(&context.grants);
    Reply::later(async move {
        let read_committed = request.isolation_level == 1;
        let looks: Vec<Vec<Look>> = {
            let core = shared.core();
            let look_at = |name: &str, wish: &ListOffsetsPartition| match grants.look_at_topic(name)
            {
                Ok(()) => look(&core, name, wish, read_committed),
                Err(error) => Look::Refused(error),
            };
            let each = request.topics.iter().map(|topic| {
                let wishes = topic.partitions.iter();
                wishes.map(|wish| look_at(&topic.name, wish)).collect()
            });
            each.collect()
        };
        let mut response = ListOffsetsResponse::default();
        for (topic, looks) in request.topics.into_iter().zip(looks) {
            let mut answers = Vec::with_capacity(looks.len());
            for (wish, look) in topic.partitions.iter().zip(looks) {
                answers.push(answer(wish.partition_index, look).await);
            }
            let topic = ListOffsetsTopicResponse::default().with_name(topic.name);
            response.topics.push(topic.with_partitions(answers));
        }
        response
    })
}

fn look(core: &Core, topic: &str, wish: &ListOffsetsPartition, read_committed: bool) -> Look {
    let id = core.state.partition_id(topic, wish.partition_index);
    let Some(partition) = id.and_then(|id| core.state.partition(id)) else {
        return Look::Refused(ResponseError::UnknownTopicOrPartition);
    };
    if let Err(error) = super::check_leader_epoch(wish.current_leader_epoch) {
        return Look::Refused(error);
    }
    let bound = partition.visible_end(read_committed);
    let timestamp = match wish.timestamp {
        LATEST => return Look::Offset(bound),
        EARLIEST => return Look::Offset(partition.start),
        MAX_TIMESTAMP => partition.log.max_timestamp(),
        timestamp if timestamp >= 0 => timestamp,
        _ => return Look::Refused(ResponseError::UnsupportedVersion),
    };
    Look::Time {
        plans: partition.log.plans_timestamp(timestamp, partition.start),
        timestamp,
        from: partition.start,
        bound,
    }
}

async fn answer(partition: i32, look: Look) -> ListOffsetsPartitionResponse {
    let answer = ListOffsetsPartitionResponse::default()
        .with_partition_index(partition)
        .with_timestamp(-1)
        .with_offset(-1)
        .with_leader_epoch(-1);
    match look {
        Look::Offset(offset) => answer.with_offset(offset).with_leader_epoch(LEADER_EPOCH),
        Look::Refused(error) => answer.with_error_code(error.code()),
        Look::Time {
            plans,
            timestamp,
            from,
            bound,
        } => {
            let search = move || first(&plans, timestamp, from, bound);
            match tokio::task::spawn_blocking(search).await {
                Ok(Ok(None)) => answer,
                Ok(Ok(Some((offset, timestamp)))) => answer
                    .with_offset(offset)
                    .with_timestamp(timestamp)
                    .with_leader_epoch(LEADER_EPOCH),
                _ => answer.with_error_code(ResponseError::KafkaStorageError.code()),
            }
        }
    }
}

/// Offset and timestamp of the first record of a time.
fn first(
    plans: &[ReadPlan],
    timestamp: i64,
    from: i64,
    bound: i64,
) -> std::io::Result<Option<(i64, i64)>> {
    for plan in plans {
        if let Some(bytes) = plan.find_timestamp(timestamp, from, bound)? {
            return Ok(Some(record_at(&bytes, timestamp, from)));
        }
    }
    Ok(None)
}

/// The first record of a batch with at least `timestamp`. Where nobody can look inside, the batch's first record
/// stands for all of them: whoever begins there misses nothing.
fn record_at(bytes: &Bytes, timestamp: i64, from: i64) -> (i64, i64) {
    let first =
        || Batch::parse(bytes).map(|batch| (batch.base_offset.max(from), batch.max_timestamp));
    records::find(bytes, timestamp, from)
        .or_else(first)
        .unwrap_or((-1, -1))
}
