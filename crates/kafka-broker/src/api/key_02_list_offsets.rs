//! ListOffsets: where a partition begins, ends, or has its first record of a time.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use super::{Context, Reply};
use crate::batch::{self, Batch, LEADER_EPOCH};
use crate::partition_log::ReadPlan;
use crate::shared::Core;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;

/// What the lock is needed for.
enum Look {
    Offset(i64),
    Time {
        plan: ReadPlan,
        timestamp: i64,
        bound: i64,
        last: bool,
    },
    Nothing,
    Refused(ResponseError),
}

pub(super) fn handle(
    context: &Context<'_>,
    request: ListOffsetsRequest,
) -> Reply<ListOffsetsResponse> {
    let shared = Arc::clone(context.shared);
    Reply::later(async move {
        let read_committed = request.isolation_level == 1;
        let looks: Vec<Vec<Look>> = {
            let core = shared.core();
            let look_at = |name: &str, partition, timestamp| {
                look(&core, name, partition, timestamp, read_committed)
            };
            let each = request.topics.iter().map(|topic| {
                let wishes = topic.partitions.iter();
                wishes
                    .map(|wish| look_at(&topic.name, wish.partition_index, wish.timestamp))
                    .collect()
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

fn look(core: &Core, topic: &str, partition: i32, timestamp: i64, read_committed: bool) -> Look {
    let id = core.state.partition_id(topic, partition);
    let Some(partition) = id.and_then(|id| core.state.partition(id)) else {
        return Look::Refused(ResponseError::UnknownTopicOrPartition);
    };
    let bound = partition.visible_end(read_committed);
    let (timestamp, last) = match timestamp {
        LATEST => return Look::Offset(bound),
        EARLIEST => return Look::Offset(partition.start),
        MAX_TIMESTAMP => (partition.log.max_timestamp(), true),
        timestamp if timestamp >= 0 => (timestamp, false),
        _ => return Look::Refused(ResponseError::InvalidRequest),
    };
    match partition.log.plan_timestamp(timestamp) {
        Some(plan) => Look::Time {
            plan,
            timestamp,
            bound,
            last,
        },
        None => Look::Nothing,
    }
}

async fn answer(partition: i32, look: Look) -> ListOffsetsPartitionResponse {
    let answer = ListOffsetsPartitionResponse::default()
        .with_partition_index(partition)
        .with_timestamp(-1)
        .with_offset(-1)
        .with_leader_epoch(LEADER_EPOCH);
    match look {
        Look::Offset(offset) => answer.with_offset(offset),
        Look::Nothing => answer,
        Look::Refused(error) => answer.with_error_code(error.code()),
        Look::Time {
            plan,
            timestamp,
            bound,
            last,
        } => {
            let search = move || plan.find_timestamp(timestamp, bound);
            match tokio::task::spawn_blocking(search).await {
                Ok(Ok(None)) => answer,
                Ok(Ok(Some(bytes))) => {
                    let (offset, timestamp) = record_at(&bytes, timestamp, last);
                    answer.with_offset(offset).with_timestamp(timestamp)
                }
                _ => answer.with_error_code(ResponseError::KafkaStorageError.code()),
            }
        }
    }
}

/// The first record of a batch with at least `timestamp`. Inside a compressed batch nobody looks: its first record
/// stands for all, or its last one if the largest timestamp was asked for.
fn record_at(bytes: &Bytes, timestamp: i64, last: bool) -> (i64, i64) {
    let Some(batch) = Batch::parse(bytes) else {
        return (-1, -1);
    };
    if let Some(found) = batch::find_record(bytes, timestamp) {
        return found;
    }
    let offset = if last {
        batch.last_offset()
    } else {
        batch.base_offset
    };
    (offset, batch.max_timestamp)
}
