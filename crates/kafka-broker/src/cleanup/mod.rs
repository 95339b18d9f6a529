//! What makes logs shorter: retention by time and size, and compaction, for the topics whose settings ask for it.
//!
//! ```text
//! every cleanup_interval ─► offsets ─► DeleteOffsets entry ─► journal
//!                        └► retention ─► DeleteRecords entry ─► journal
//!                        └► plan (lock) ─► compact::run (no lock) ─► swap (lock) ─► checkpoint
//! ```
//!
//! # Invariants
//!
//! - **Retention is a deletion like a client's.** It goes through the journal, so that recovery deletes the same.
//! - **Compaction is not in the journal.** It writes other files, on disk before they are put in place, and the next
//!   snapshot names them, together with how far they go and which aborted transactions are left. A crash before
//!   that snapshot finds the snapshot before with the files it names: either everything of a pass counts or nothing.
//! - **Nothing unstable is touched.** Neither goes beyond the last stable offset, nor into what is not durable.
//! - **One partition at a time**, so that memory is that of one pass: see [`compact`].

pub(crate) mod compact;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use kafka_protocol::ResponseError;
use tracing::{debug, warn};
use types::report;

use crate::checkpoint;
use crate::entry::{Entry, PartitionId};
use crate::shared::{Core, Shared, now_ms};
use crate::state::partition::{Aborted, Partition};
use crate::topic_config::TopicConfig;
use compact::{Pass, Work};

/// Most offsets in one journal entry, so that it is smaller than any batch may be.
const EXPIRED_AT_ONCE: usize = 1_000;

/// One round over all topics. Returns whether something was freed.
///
/// # Errors
///
/// The disk failed; nothing is acknowledged any more.
pub(crate) async fn run(shared: &Arc<Shared>) -> Result<(), ResponseError> {
    let now = now_ms();
    expire_offsets(shared, now)?;
    let compacted = {
        let mut core = shared.core();
        retain(shared, &mut core, now)?;
        compacted_topics(&core)
    };
    for partition in compacted {
        if shared.stop.is_cancelled() {
            return Ok(());
        }
        compact_one(shared, partition, now).await?;
    }
    let freed = {
        let core = shared.core();
        let mut topics = core.state.topics.values();
        topics.any(|topic| topic.partitions.iter().any(|p| p.log.has_dropped()))
    };
    // Files are unlinked by a checkpoint alone.
    if freed {
        checkpoint::take(shared).await?;
    }
    Ok(())
}

/// Deletes offsets of groups that nobody has been in for as long as they are kept. Through the journal, like a
/// client's OffsetDelete.
fn expire_offsets(shared: &Shared, now: i64) -> Result<(), ResponseError> {
    let Some(retention) = shared.config.offsets_retention else {
        return Ok(());
    };
    let retention_ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
    // Nobody joins before the deletion has its place in the journal.
    let mut groups = shared.groups();
    let mut core = shared.core();
    let expired = groups.expired_offsets(&core.state.groups, retention_ms, now);
    for (group, partitions) in expired {
        debug!(
            group,
            partitions = partitions.len(),
            "offsets are kept no longer"
        );
        for partitions in partitions.chunks(EXPIRED_AT_ONCE) {
            let (group, partitions) = (group.clone(), partitions.to_vec());
            let entry = Entry::DeleteOffsets { group, partitions };
            shared.submit(&mut core, &entry)?;
        }
    }
    Ok(())
}

/// Deletes what topics need not keep any longer.
fn retain(shared: &Shared, core: &mut Core, now: i64) -> Result<(), ResponseError> {
    let mut deletions = Vec::new();
    for (id, topic) in &mut core.state.topics {
        for (index, partition) in topic.partitions.iter_mut().enumerate() {
            roll(partition, &topic.config, now);
            let start = if topic.config.delete {
                start_after_retention(partition, &topic.config, now)
            } else {
                partition.start
            };
            if start > partition.start {
                let partition = PartitionId {
                    topic: *id,
                    partition: i32::try_from(index).unwrap_or(i32::MAX),
                };
                deletions.push((partition, start));
            }
        }
    }
    for (partition, offset) in deletions {
        debug!(?partition, offset, "records are kept no longer");
        shared.submit(core, &Entry::DeleteRecords { partition, offset })?;
    }
    Ok(())
}

/// Ends the segment that is written to when its time is over.
fn roll(partition: &mut Partition, config: &TopicConfig, now: i64) {
    let longest = if config.compact {
        config.segment_ms.min(config.max_compaction_lag_ms)
    } else {
        config.segment_ms
    };
    let last = partition.log.segments().last();
    if last.is_some_and(|last| last.bytes > 0 && now.saturating_sub(last.created_ms) > longest) {
        partition.log.roll();
    }
}

/// Where the log begins when everything is gone that need not be kept. Segments go as a whole, oldest first.
fn start_after_retention(partition: &Partition, config: &TopicConfig, now: i64) -> i64 {
    let stable = partition.last_stable();
    let segments = partition.log.segments();
    let mut start = partition.start;
    let mut bytes = partition.log.bytes();
    for (index, segment) in segments.iter().enumerate() {
        let behind = segments.get(index + 1);
        let end = behind.map_or(partition.end, |next| next.base_offset);
        let old = config.retention_ms >= 0
            && segment.max_timestamp >= 0
            && now.saturating_sub(segment.max_timestamp) > config.retention_ms;
        let keep = u64::try_from(config.retention_bytes).ok();
        let large = keep.is_some_and(|keep| bytes.saturating_sub(segment.bytes) >= keep);
        if end > stable || !(old || large) {
            break;
        }
        bytes = bytes.saturating_sub(segment.bytes);
        start = start.max(end);
    }
    start
}

fn compacted_topics(core: &Core) -> Vec<PartitionId> {
    let topics = core
        .state
        .topics
        .iter()
        .filter(|(_, topic)| topic.config.compact);
    let partitions = topics.flat_map(|(id, topic)| {
        (0..topic.partitions.len()).map(|index| PartitionId {
            topic: *id,
            partition: i32::try_from(index).unwrap_or(i32::MAX),
        })
    });
    partitions.collect()
}

/// Compacts a partition if enough has come since the last time.
async fn compact_one(shared: &Arc<Shared>, id: PartitionId, now: i64) -> Result<(), ResponseError> {
    let keys_max = shared.config.compaction_keys_max;
    let work = {
        let core = shared.core();
        let topic = core.state.topics.get(&id.topic);
        let partition = core.state.partition(id);
        topic
            .zip(partition)
            .and_then(|(topic, partition)| plan(partition, &topic.config, now, keys_max))
    };
    let Some(work) = work else {
        return Ok(());
    };
    let stop = shared.stop.clone();
    let passed = tokio::task::spawn_blocking(move || {
        let pass = compact::run(&work, &mut || stop.is_cancelled());
        (pass, work)
    });
    let (pass, work) = match passed.await {
        Ok(done) => done,
        Err(error) => return Err(shared.fail("compact a partition", &error)),
    };
    match pass {
        Ok(Some(pass)) => {
            swap(shared, id, &work, pass);
            Ok(())
        }
        Ok(None) => Ok(()),
        Err(error) => {
            // Nothing was changed. A full disk or a damaged batch is no reason to stop taking records.
            warn!(partition = ?id, error = report(&error), "partition could not be compacted, will be tried again");
            Ok(())
        }
    }
}

/// What there is to do for a partition; `None`: nothing yet.
pub(crate) fn plan(
    partition: &Partition,
    config: &TopicConfig,
    now: i64,
    keys_max: usize,
) -> Option<Work> {
    let segments = partition.log.segments();
    let stable = partition.last_stable();
    // The last one is written to. What is young, or not decided yet, ends it.
    let sealed = segments.iter().zip(segments.iter().skip(1));
    let cleanable = sealed
        .take_while(|(segment, next)| {
            let young = config.min_compaction_lag_ms > 0
                && now.saturating_sub(segment.max_timestamp) < config.min_compaction_lag_ms;
            next.base_offset <= stable && !young
        })
        .count();
    let (sources, rest) = segments.split_at(cleanable);
    let end = rest.first()?.base_offset;
    let dirty = sources
        .iter()
        .filter(|segment| segment.end_offset > partition.cleaned_to);
    let dirty_bytes: u64 = dirty.clone().map(|segment| segment.bytes).sum();
    let bytes: u64 = sources.iter().map(|segment| segment.bytes).sum();
    if dirty_bytes == 0 {
        return None;
    }
    let oldest = dirty.map(|segment| segment.created_ms).min().unwrap_or(now);
    let overdue = now.saturating_sub(oldest) > config.max_compaction_lag_ms;
    let ratio = dirty_bytes as f64 / bytes as f64;
    if ratio < config.min_cleanable_dirty_ratio && !overdue {
        return None;
    }
    let mut aborted: HashMap<i64, Vec<Aborted>> = HashMap::new();
    for one in &partition.aborted {
        aborted.entry(one.producer_id).or_default().push(*one);
    }
    Some(Work {
        dir: partition.log.dir().to_owned(),
        sources: sources.iter().map(compact::Source::of).collect(),
        generation: partition.log.next_generation(),
        segment_bytes: partition.log.segment_bytes(),
        cleaned_to: partition.cleaned_to,
        end,
        aborted,
        horizon_ms: now.saturating_add(config.delete_retention_ms),
        now_ms: now,
        keys_max,
    })
}

/// Puts the result of a pass in place, unless the partition has changed meanwhile.
fn swap(shared: &Shared, id: PartitionId, work: &Work, pass: Pass) {
    let Pass {
        segments,
        cleaned_to,
        dropped_markers,
        replaced,
    } = pass;
    let written: u64 = segments.iter().map(|segment| segment.bytes).sum();
    let read: u64 = replaced.iter().map(|name| name.bytes).sum();
    let files: Vec<_> = segments.iter().map(|segment| work.path(segment)).collect();
    let mut core = shared.core();
    let partition = core.state.partition_mut(id);
    let replaced = partition.is_some_and(|partition| {
        let done = partition.log.replace(&replaced, segments);
        if done {
            partition.cleaned_to = cleaned_to;
            partition
                .aborted
                .retain(|one| !dropped_markers.contains(&one.last_offset));
        }
        done
    });
    drop(core);
    if replaced {
        shared.counters.compactions.fetch_add(1, Ordering::Relaxed);
        debug!(partition = ?id, read, written, cleaned_to, "partition compacted");
        return;
    }
    // The topic is gone, or records were deleted meanwhile: the next round sees what is left.
    for file in files {
        if let Err(error) = std::fs::remove_file(&file) {
            debug!(?file, %error, "a file that is not needed stays until the next start");
        }
    }
}
