//! OffsetForLeaderEpoch: where an epoch ended. There is one epoch, which has not ended: it reaches to what is
//! visible.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::{Context, Reply, check_leader_epoch};
use crate::batch::LEADER_EPOCH;
use crate::shared::Core;

pub(super) fn handle(
    context: &Context<'_>,
    request: OffsetForLeaderEpochRequest,
) -> Reply<OffsetForLeaderEpochResponse> {
    let core = context.shared.core();
    let topics = request.topics.into_iter().map(|topic| {
        let wishes = topic.partitions.iter();
        let seen = context.grants.look_at_topic(&topic.topic);
        let ends = wishes.map(|wish| match seen {
            Ok(()) => end(&core, &topic.topic, wish),
            Err(error) => unknown(wish.partition).with_error_code(error.code()),
        });
        let ends = ends.collect();
        OffsetForLeaderTopicResult::default()
            .with_topic(topic.topic)
            .with_partitions(ends)
    });
    Reply::Now(OffsetForLeaderEpochResponse::default().with_topics(topics.collect()))
}

fn unknown(partition: i32) -> EpochEndOffset {
    EpochEndOffset::default()
        .with_partition(partition)
        .with_leader_epoch(-1)
        .with_end_offset(-1)
}

fn end(core: &Core, topic: &str, wish: &OffsetForLeaderPartition) -> EpochEndOffset {
    let answer = unknown(wish.partition);
    let id = core.state.partition_id(topic, wish.partition);
    let Some(partition) = id.and_then(|id| core.state.partition(id)) else {
        return answer.with_error_code(ResponseError::UnknownTopicOrPartition.code());
    };
    if let Err(error) = check_leader_epoch(wish.current_leader_epoch) {
        return answer.with_error_code(error.code());
    }
    if wish.leader_epoch != LEADER_EPOCH {
        return answer;
    }
    answer
        .with_leader_epoch(LEADER_EPOCH)
        .with_end_offset(partition.hw)
}
