//! DescribeLogDirs: the one directory, its disk, and the bytes of each partition.

use std::collections::BTreeMap;

use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName};

use super::{Context, Reply, text};
use crate::checkpoint;
use crate::security::Access;
use crate::shared::Core;

pub(super) fn handle(
    context: &Context<'_>,
    request: DescribeLogDirsRequest,
) -> Reply<DescribeLogDirsResponse> {
    if let Err(error) = context.grants.cluster(Access::Read) {
        return Reply::Now(DescribeLogDirsResponse::default().with_error_code(error.code()));
    }
    let dir = checkpoint::logs_dir(&context.shared.config.data_dir);
    let core = context.shared.core();
    let mut wanted: BTreeMap<String, Option<Vec<i32>>> = BTreeMap::new();
    match request.topics {
        Some(topics) => {
            for topic in topics {
                let more = topic.partitions;
                let entry = wanted
                    .entry(topic.topic.to_string())
                    .or_insert_with(|| Some(Vec::new()));
                entry.get_or_insert_default().extend(more);
            }
        }
        None => wanted.extend(core.state.names().map(|(name, _)| (name.clone(), None))),
    }
    let topics = wanted
        .iter()
        .map(|(name, wanted)| describe(&core, name, wanted.as_deref()))
        .filter(|topic| !topic.partitions.is_empty());
    let result = DescribeLogDirsResult::default()
        .with_log_dir(text(&dir.display().to_string()))
        .with_topics(topics.collect());
    drop(core);
    // A disk that says nothing of itself is shown as Kafka shows one that it knows nothing of.
    let (total, usable) = match rustix::fs::statvfs(&dir) {
        Ok(disk) => (
            disk.f_blocks.saturating_mul(disk.f_frsize),
            disk.f_bavail.saturating_mul(disk.f_frsize),
        ),
        Err(_) => (u64::MAX, u64::MAX),
    };
    let bytes = |value: u64| i64::try_from(value).unwrap_or(-1);
    let result = result
        .with_total_bytes(bytes(total))
        .with_usable_bytes(bytes(usable));
    Reply::Now(DescribeLogDirsResponse::default().with_results(vec![result]))
}

fn describe(core: &Core, name: &str, wanted: Option<&[i32]>) -> DescribeLogDirsTopic {
    let known = core
        .state
        .topic(name)
        .map_or(&[][..], |topic| &topic.partitions);
    let partitions = known
        .iter()
        .zip(0..)
        .filter(|(_, index)| wanted.is_none_or(|wanted| wanted.contains(index)));
    let partitions = partitions.map(|(partition, index)| {
        DescribeLogDirsPartition::default()
            .with_partition_index(index)
            .with_partition_size(i64::try_from(partition.log.bytes()).unwrap_or(i64::MAX))
    });
    DescribeLogDirsTopic::default()
        .with_name(TopicName(text(name)))
        .with_partitions(partitions.collect())
}
