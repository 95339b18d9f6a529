//! Produce: batches into partitions, answered when they are on disk, or, in a transaction, when they are appended:
//! they are on disk when the transaction's end is answered.
//!
//! `acks=1` is treated as `acks=all`: there is one copy, and it is durable before the answer.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};

use super::{Context, Reply};
use crate::batch::{Batch, BatchError};
use crate::shared::{Core, Shared, now_ms};
use crate::state::partition::Sequence;
use crate::transaction;

pub(super) fn handle(context: &Context<'_>, request: ProduceRequest) -> Reply<ProduceResponse> {
    let shared = context.shared;
    let transactional_id = request.transactional_id.as_ref().map(|id| id.as_str());
    let legal_acks = (-1..=1).contains(&request.acks);
    // CRCs are computed before the lock is taken.
    let checked: Vec<Vec<_>> = request
        .topic_data
        .iter()
        .map(|topic| {
            let check = |bytes: &Option<Bytes>| check(shared, legal_acks, bytes.as_ref());
            topic
                .partition_data
                .iter()
                .map(|data| check(&data.records))
                .collect()
        })
        .collect();
    let transactional = checked
        .iter()
        .flatten()
        .all(|batch| batch.as_ref().map_or(true, Batch::is_transactional));
    let mut response = ProduceResponse::default();
    let mut core = shared.core();
    for (topic, batches) in request.topic_data.iter().zip(checked) {
        let mut answers = Vec::with_capacity(batches.len());
        for (data, batch) in topic.partition_data.iter().zip(batches) {
            let result = match (batch, &data.records) {
                (Ok(batch), Some(bytes)) => {
                    let target = (topic.name.as_str(), data.index);
                    append(shared, &mut core, transactional_id, target, &batch, bytes)
                }
                (Ok(_), None) => Err(ResponseError::InvalidRecord),
                (Err(error), _) => Err(error),
            };
            answers.push(answer(data.index, result));
        }
        response.responses.push(
            TopicProduceResponse::default()
                .with_name(topic.name.clone())
                .with_partition_responses(answers),
        );
    }
    // A batch that was in the log already may not be durable yet either, so wait for all there is.
    let position = shared.journal.end();
    drop(core);
    if request.acks == 0 {
        shared.journal.flush();
        return Reply::Silent;
    }
    let accepted = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partition_responses)
        .any(|p| p.error_code == 0);
    if !accepted || transactional {
        return Reply::Now(response);
    }
    let shared = std::sync::Arc::clone(shared);
    Reply::later(async move {
        if let Err(error) = shared.durable(position).await {
            let topics = response.responses.iter_mut();
            for partition in topics.flat_map(|topic| &mut topic.partition_responses) {
                *partition = answer(partition.index, Err(error));
            }
        }
        response
    })
}

fn check(shared: &Shared, legal_acks: bool, bytes: Option<&Bytes>) -> Result<Batch, ResponseError> {
    if !legal_acks {
        return Err(ResponseError::InvalidRequiredAcks);
    }
    let bytes = bytes.ok_or(ResponseError::InvalidRecord)?;
    Batch::check(bytes, shared.config.batch_bytes_max).map_err(|error| match error {
        BatchError::Corrupt => ResponseError::CorruptMessage,
        BatchError::Magic(_) => ResponseError::UnsupportedForMessageFormat,
        BatchError::Invalid(_) => ResponseError::InvalidRecord,
        BatchError::TooLarge { .. } => ResponseError::MessageTooLarge,
    })
}

/// Base offset and log start offset.
fn append(
    shared: &Shared,
    core: &mut Core,
    transactional_id: Option<&str>,
    (topic, partition): (&str, i32),
    batch: &Batch,
    bytes: &Bytes,
) -> Result<(i64, i64), ResponseError> {
    let id = core.state.partition_id(topic, partition);
    let id = id.ok_or(ResponseError::UnknownTopicOrPartition)?;
    let known = core
        .state
        .partition(id)
        .ok_or(ResponseError::UnknownTopicOrPartition)?;
    let start = known.start;
    // Before the transaction's state, because a batch sent again may come after its transaction has ended.
    let sequence = if batch.is_idempotent() {
        known.check_sequence(batch)?
    } else {
        Sequence::Next
    };
    if let Sequence::Duplicate(base_offset) = sequence {
        return Ok((base_offset, start));
    }
    transaction::check_batch(&core.state, transactional_id, id, batch)?;
    let base_offset = shared.append(core, id, batch, bytes, now_ms())?;
    let counters = &shared.counters;
    counters
        .produced_records
        .fetch_add(u64::from(batch.records.unsigned_abs()), Ordering::Relaxed);
    counters
        .produced_bytes
        .fetch_add(bytes.len() as u64, Ordering::Relaxed);
    Ok((base_offset, start))
}

fn answer(index: i32, result: Result<(i64, i64), ResponseError>) -> PartitionProduceResponse {
    let (base_offset, start) = *result.as_ref().unwrap_or(&(-1, -1));
    PartitionProduceResponse::default()
        .with_index(index)
        .with_error_code(super::code(&result))
        .with_base_offset(base_offset)
        .with_log_append_time_ms(-1)
        .with_log_start_offset(start)
}
