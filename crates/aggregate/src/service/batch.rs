//! What is committed of a batch.

use std::collections::HashMap;

use rdkafka::topic_partition_list::TopicPartitionList;

use crate::classify::Reason;
use crate::engine::Changes;

/// What is committed of a batch.
pub(super) struct Batch<'a> {
    pub(super) first: Changes,
    pub(super) second: Changes,
    pub(super) aside: Vec<Aside<'a>>,
    /// Where to read on.
    pub(super) next: TopicPartitionList,
}

impl Batch<'_> {
    /// Whether it has records of a partition.
    pub(super) fn has(&self, (topic, partition): &(String, i32)) -> bool {
        self.next.find_partition(topic, *partition).is_some()
    }
}

/// A record that is set aside.
pub(super) struct Aside<'a> {
    pub(super) key: String,
    pub(super) value: &'a [u8],
    pub(super) reason: String,
}

/// Finds the records that were refused among a batch's, which are (partition, offset, value).
pub(super) fn set_aside<'a>(
    refused: &[(i32, i64, Reason)],
    batch: impl Iterator<Item = (i32, i64, &'a [u8])>,
    prefix: &str,
    aside: &mut Vec<Aside<'a>>,
) {
    if refused.is_empty() {
        return;
    }
    let refused = refused
        .iter()
        .map(|(partition, offset, reason)| ((*partition, *offset), reason));
    let refused: HashMap<(i32, i64), &Reason> = refused.collect();
    aside.extend(batch.filter_map(|(partition, offset, value)| {
        let reason = refused.get(&(partition, offset))?;
        Some(Aside {
            key: format!("{prefix}{partition}-{offset}"),
            value,
            reason: reason.to_string(),
        })
    }));
}
