//! DescribeProducers: who writes to a partition with sequences, and whose transaction is open there.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse};

use super::{Context, Reply};
use crate::security::Access;
use crate::shared::Core;

pub(super) fn handle(
    context: &Context<'_>,
    request: DescribeProducersRequest,
) -> Reply<DescribeProducersResponse> {
    let core = context.shared.core();
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partition_indexes.iter();
        let allowed = context.grants.topic(&topic.name, Access::Read);
        let partitions = partitions.map(|index| match allowed {
            Ok(()) => describe(&core, &topic.name, *index),
            Err(error) => PartitionResponse::default()
                .with_partition_index(*index)
                .with_error_code(error.code()),
        });
        let partitions = partitions.collect();
        TopicResponse::default()
            .with_name(topic.name)
            .with_partitions(partitions)
    });
    Reply::Now(DescribeProducersResponse::default().with_topics(topics.collect()))
}

fn describe(core: &Core, topic: &str, index: i32) -> PartitionResponse {
    let answer = PartitionResponse::default().with_partition_index(index);
    let id = core.state.partition_id(topic, index);
    let Some(partition) = id.and_then(|id| core.state.partition(id)) else {
        return answer.with_error_code(ResponseError::UnknownTopicOrPartition.code());
    };
    let producers = partition.producers.iter().map(|(id, producer)| {
        let last = producer.batches.back();
        ProducerState::default()
            .with_producer_id((*id).into())
            .with_producer_epoch(i32::from(producer.epoch))
            .with_last_sequence(last.map_or(-1, |batch| batch.last_sequence))
            .with_last_timestamp(producer.time_ms)
            .with_coordinator_epoch(-1)
            .with_current_txn_start_offset(producer.open_from.unwrap_or(-1))
    });
    answer.with_active_producers(producers.collect())
}
