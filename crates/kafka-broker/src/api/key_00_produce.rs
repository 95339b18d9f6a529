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
use crate::batch::{self, Batch, BatchError};
use crate::records;
use crate::security::Access;
use crate::shared::{Core, Shared, now_ms};
use crate::state::partition::Sequence;
use crate::topic_config::TopicConfig;
use crate::transaction;

pub(super) fn handle(context: &Context<'_>, request: ProduceRequest) -> Reply<ProduceResponse> {
    let shared = context.shared;
    let transactional_id = request.transactional_id.as_ref().map(|id| id.as_str());
    let grants = &context.grants;
    let owner = transactional_id.map_or(Ok(()), |id| grants.transactional_id(id));
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
            let allowed = owner.and_then(|()| grants.topic(&topic.name, Access::Write));
            let result = match (allowed.and(batch), &data.records) {
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

fn append(
    shared: &Shared,
    core: &mut Core,
    transactional_id: Option<&str>,
    (topic, partition): (&str, i32),
    batch: &Batch,
    bytes: &Bytes,
) -> Result<Appended, ResponseError> {
    let id = core.state.partition_id(topic, partition);
    let id = id.ok_or(ResponseError::UnknownTopicOrPartition)?;
    let known = core
        .state
        .partition(id)
        .ok_or(ResponseError::UnknownTopicOrPartition)?;
    let start = known.start;
    let now = now_ms();
    let topic = core.state.topics.get(&id.topic);
    let append_time = match topic {
        Some(topic) => check_settings(&topic.config, batch, bytes, now)?,
        None => None,
    };
    // Before the transaction's state, because a batch sent again may come after its transaction has ended.
    let sequence = if batch.is_idempotent() {
        known.check_sequence(batch)?
    } else {
        Sequence::Next
    };
    if let Sequence::Duplicate(base_offset) = sequence {
        return Ok(Appended {
            base_offset,
            start,
            append_time,
        });
    }
    transaction::check_batch(&core.state, transactional_id, id, batch)?;
    let base_offset = match append_time {
        None => shared.append(core, id, batch, bytes, now)?,
        Some(time) => {
            let (batch, bytes) = batch::with_append_time(batch, bytes, time);
            shared.append(core, id, &batch, &bytes, now)?
        }
    };
    let counters = &shared.counters;
    counters
        .produced_records
        .fetch_add(u64::from(batch.records.unsigned_abs()), Ordering::Relaxed);
    counters
        .produced_bytes
        .fetch_add(bytes.len() as u64, Ordering::Relaxed);
    Ok(Appended {
        base_offset,
        start,
        append_time,
    })
}

/// What the topic's settings say to a batch. Returns the time it gets, if that is the log's.
fn check_settings(
    config: &TopicConfig,
    batch: &Batch,
    bytes: &[u8],
    now: i64,
) -> Result<Option<i64>, ResponseError> {
    if batch.bytes > config.max_message_bytes {
        return Err(ResponseError::MessageTooLarge);
    }
    if config.compact {
        // Without a key there is nothing that a later record could replace.
        match records::all_keyed(batch, bytes) {
            Ok(true) => {}
            Ok(false) => return Err(ResponseError::InvalidRecord),
            Err(_) => return Err(ResponseError::CorruptMessage),
        }
    }
    if config.log_append_time {
        return Ok(Some(now));
    }
    let ahead = batch.max_timestamp.saturating_sub(now) > config.timestamp_after_max_ms;
    let behind = now.saturating_sub(batch.base_timestamp) > config.timestamp_before_max_ms;
    if batch.max_timestamp >= 0 && (ahead || behind) {
        return Err(ResponseError::InvalidTimestamp);
    }
    Ok(None)
}

/// What an accepted batch is answered with.
#[derive(Debug, Clone, Copy)]
struct Appended {
    base_offset: i64,
    /// Log start offset.
    start: i64,
    append_time: Option<i64>,
}

fn answer(index: i32, result: Result<Appended, ResponseError>) -> PartitionProduceResponse {
    let appended = result.as_ref().ok();
    PartitionProduceResponse::default()
        .with_index(index)
        .with_error_code(super::code(&result))
        .with_base_offset(appended.map_or(-1, |appended| appended.base_offset))
        .with_log_append_time_ms(
            appended
                .and_then(|appended| appended.append_time)
                .unwrap_or(-1),
        )
        .with_log_start_offset(appended.map_or(-1, |appended| appended.start))
}
