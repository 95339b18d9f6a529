//! DeleteRecords: moves the start of a log. Durable before the answer; the space is freed by the next checkpoint.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use super::{Context, Reply};
use crate::entry::Entry;
use crate::security::Access;
use crate::shared::{Core, Shared};

/// Everything that is visible now.
const HIGH_WATERMARK: i64 = -1;

pub(super) fn handle(
    context: &Context<'_>,
    request: DeleteRecordsRequest,
) -> Reply<DeleteRecordsResponse> {
    let shared = context.shared;
    let mut core = shared.core();
    let mut response = DeleteRecordsResponse::default();
    for topic in &request.topics {
        let results = topic.partitions.iter().map(|wish| {
            let allowed = context.grants.topic(&topic.name, Access::Admin);
            let (partition, offset) = (wish.partition_index, wish.offset);
            let result =
                allowed.and_then(|()| delete(shared, &mut core, &topic.name, partition, offset));
            DeleteRecordsPartitionResult::default()
                .with_partition_index(wish.partition_index)
                .with_low_watermark(*result.as_ref().unwrap_or(&-1))
                .with_error_code(super::code(&result))
        });
        let results = results.collect();
        let name = topic.name.clone();
        response.topics.push(
            DeleteRecordsTopicResult::default()
                .with_name(name)
                .with_partitions(results),
        );
    }
    let position = shared.journal.end();
    drop(core);
    let shared = Arc::clone(shared);
    Reply::later(async move {
        if let Err(error) = shared.durable(position).await {
            let partitions = response
                .topics
                .iter_mut()
                .flat_map(|topic| &mut topic.partitions);
            partitions.for_each(|partition| partition.error_code = error.code());
        }
        response
    })
}

/// The start of the log afterwards.
fn delete(
    shared: &Shared,
    core: &mut Core,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<i64, ResponseError> {
    let id = core.state.partition_id(topic, partition);
    let id = id.ok_or(ResponseError::UnknownTopicOrPartition)?;
    let known = core
        .state
        .partition(id)
        .ok_or(ResponseError::UnknownTopicOrPartition)?;
    let offset = if offset == HIGH_WATERMARK {
        known.hw
    } else {
        offset
    };
    if offset < 0 || offset > known.hw {
        return Err(ResponseError::OffsetOutOfRange);
    }
    if offset <= known.start {
        return Ok(known.start);
    }
    shared.submit(
        core,
        &Entry::DeleteRecords {
            partition: id,
            offset,
        },
    )?;
    Ok(offset)
}
