//! Fetch: batches out of partitions, waiting for them if there are none yet.
//!
//! Sessions (KIP-227) are refused by answering with session 0: clients then name all partitions each time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, FetchableTopicResponse, PartitionData,
};
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::{Context, Reply};
use crate::batch::Batch;
use crate::partition_log::ReadPlan;
use crate::security::{Access, Grants};
use crate::shared::{Core, Shared};

/// The client has no session and wants none, or asks for a new one.
const SESSIONLESS: [i32; 2] = [-1, 0];

pub(super) fn handle(context: &Context<'_>, request: FetchRequest) -> Reply<FetchResponse> {
    if request.session_id != 0 || !SESSIONLESS.contains(&request.session_epoch) {
        let code = ResponseError::FetchSessionIdNotFound.code();
        return Reply::Now(FetchResponse::default().with_error_code(code));
    }
    let shared = Arc::clone(context.shared);
    let grants = Arc::clone(&context.grants);
    Reply::later(async move { fetch(&shared, &grants, request).await })
}

/// Waits until there is enough to answer, or the client's patience ends.
async fn fetch(shared: &Shared, grants: &Grants, request: FetchRequest) -> FetchResponse {
    let wait_ms = u64::try_from(request.max_wait_ms).unwrap_or(0);
    let wait_ms = wait_ms.min(u64::from(shared.config.fetch_wait_ms_max));
    let deadline = Instant::now() + Duration::from_millis(wait_ms);
    let wanted = usize::try_from(request.min_bytes).unwrap_or(0);
    let waiter = Arc::new(Notify::new());
    loop {
        let last = wait_ms == 0 || Instant::now() >= deadline;
        let found = collect(shared, grants, &request, (!last).then_some(&waiter)).await;
        if last || found.urgent || found.bytes >= wanted {
            shared
                .counters
                .fetched_bytes
                .fetch_add(found.bytes as u64, Ordering::Relaxed);
            shared
                .counters
                .fetched_records
                .fetch_add(found.records, Ordering::Relaxed);
            return FetchResponse::default().with_responses(found.topics);
        }
        // A time-out is no error: the next round is the last.
        let _timed_out = timeout_at(deadline, waiter.notified()).await;
    }
}

#[derive(Default)]
struct Found {
    topics: Vec<FetchableTopicResponse>,
    bytes: usize,
    records: u64,
    /// Something to tell at once: an error.
    urgent: bool,
}

/// What the lock is needed for.
struct Look {
    answer: PartitionData,
    plan: Option<ReadPlan>,
    from: i64,
    bound: i64,
    bytes_max: usize,
}

/// One look at all partitions. With a waiter, it is left where records are missing.
async fn collect(
    shared: &Shared,
    grants: &Grants,
    request: &FetchRequest,
    waiter: Option<&Arc<Notify>>,
) -> Found {
    let read_committed = request.isolation_level == 1;
    let looks: Vec<Vec<Look>> = {
        let mut core = shared.core();
        let mut look_at = |topic: &FetchTopic| {
            let allowed = grants.topic(&topic.topic, Access::Read);
            let each = topic.partitions.iter();
            each.map(|wish| {
                look(
                    shared,
                    &mut core,
                    allowed.map(|()| topic.topic.as_str()),
                    wish,
                    read_committed,
                    waiter,
                )
            })
            .collect()
        };
        request.topics.iter().map(&mut look_at).collect()
    };
    let mut room = usize::try_from(request.max_bytes)
        .unwrap_or(0)
        .min(shared.config.fetch_bytes_max);
    let mut found = Found::default();
    for (topic, looks) in request.topics.iter().zip(looks) {
        let mut partitions = Vec::with_capacity(looks.len());
        for look in looks {
            let records = if room == 0 && found.bytes > 0 {
                Ok(Bytes::new())
            } else {
                read(&look, room).await
            };
            let mut answer = look.answer;
            match records {
                // Only the very first batch of an answer may be larger than what is allowed.
                Ok(records) if found.bytes == 0 || records.len() <= room => {
                    found.bytes += records.len();
                    found.records += count_records(&records);
                    room = room.saturating_sub(records.len());
                    answer.records = Some(records);
                }
                Ok(_) => answer.records = Some(Bytes::new()),
                Err(_) => answer.error_code = ResponseError::KafkaStorageError.code(),
            }
            found.urgent |= answer.error_code != 0;
            partitions.push(answer);
        }
        let topic = FetchableTopicResponse::default().with_topic(topic.topic.clone());
        found.topics.push(topic.with_partitions(partitions));
    }
    found
}

fn look(
    shared: &Shared,
    core: &mut Core,
    topic: Result<&str, ResponseError>,
    wish: &FetchPartition,
    read_committed: bool,
    waiter: Option<&Arc<Notify>>,
) -> Look {
    let answer = PartitionData::default()
        .with_partition_index(wish.partition)
        .with_high_watermark(-1)
        .with_last_stable_offset(-1)
        .with_log_start_offset(-1)
        .with_preferred_read_replica((-1).into())
        .with_aborted_transactions(read_committed.then(Vec::new))
        .with_records(Some(Bytes::new()));
    let from = wish.fetch_offset;
    let refuse = |answer: PartitionData, error: ResponseError| Look {
        answer: answer.with_error_code(error.code()),
        plan: None,
        from,
        bound: from,
        bytes_max: 0,
    };
    let topic = match topic {
        Ok(topic) => topic,
        Err(error) => return refuse(answer, error),
    };
    let id = core.state.partition_id(topic, wish.partition);
    let Some(partition) = id.and_then(|id| core.state.partition_mut(id)) else {
        return refuse(answer, ResponseError::UnknownTopicOrPartition);
    };
    if let Err(error) = super::check_leader_epoch(wish.current_leader_epoch) {
        return refuse(answer, error);
    }
    let bound = partition.visible_end(read_committed);
    let mut answer = answer
        .with_high_watermark(partition.hw)
        .with_last_stable_offset(partition.last_stable())
        .with_log_start_offset(partition.start);
    if from < partition.start || from > partition.hw {
        return refuse(answer, ResponseError::OffsetOutOfRange);
    }
    if from >= bound {
        if !read_committed && partition.end > partition.hw {
            // Written in an open transaction, and seen when it is on disk.
            shared.journal.flush();
        }
        if let Some(waiter) = waiter {
            partition.wait(waiter, read_committed);
        }
        return Look {
            answer,
            plan: None,
            from,
            bound,
            bytes_max: 0,
        };
    }
    if let Some(waiter) = waiter {
        // There is something, but maybe less than the client asked for.
        partition.wait(waiter, read_committed);
    }
    if read_committed {
        let aborted = partition.aborted_in(from, bound).map(|aborted| {
            AbortedTransaction::default()
                .with_producer_id(aborted.producer_id.into())
                .with_first_offset(aborted.first_offset)
        });
        answer.aborted_transactions = Some(aborted.collect());
    }
    let bytes_max = usize::try_from(wish.partition_max_bytes).unwrap_or(0);
    Look {
        answer,
        plan: partition.log.plan(from),
        from,
        bound,
        bytes_max,
    }
}

async fn read(look: &Look, room: usize) -> std::io::Result<Bytes> {
    let Some(plan) = &look.plan else {
        return Ok(Bytes::new());
    };
    let (from, bound, bytes_max) = (look.from, look.bound, look.bytes_max.min(room));
    if !plan.cold {
        return plan.read_batches(from, bound, bytes_max);
    }
    let plan = plan.clone();
    let task = tokio::task::spawn_blocking(move || plan.read_batches(from, bound, bytes_max));
    task.await.map_err(std::io::Error::other)?
}

fn count_records(mut batches: &[u8]) -> u64 {
    let mut records = 0;
    while let Some(batch) = Batch::parse(batches) {
        records += u64::from(batch.records.unsigned_abs());
        match batches.get(batch.bytes..) {
            Some(rest) => batches = rest,
            None => break,
        }
    }
    records
}
