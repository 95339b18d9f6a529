//! AddPartitionsToTxn: the transaction will write to these partitions. Why it may be answered before it is durable:
//! see [`crate::transaction`].

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};

use super::key_22_init_producer_id::fenced;
use super::{Context, Reply};
use crate::security::Access;
use crate::transaction::{self, Identity};

/// Since this version clients know PRODUCER_FENCED.
const FENCED_SINCE: i16 = 2;

pub(super) fn handle(
    context: &Context<'_>,
    request: AddPartitionsToTxnRequest,
) -> Reply<AddPartitionsToTxnResponse> {
    let shared = context.shared;
    let topics = request.v3_and_below_topics;
    let identity = Identity {
        transactional_id: &request.v3_and_below_transactional_id,
        producer_id: request.v3_and_below_producer_id.0,
        epoch: request.v3_and_below_producer_epoch,
    };
    let mut core = shared.core();
    let owner = context.grants.transactional_id(identity.transactional_id);
    let wishes = topics.iter().flat_map(|topic| {
        let allowed = owner.and_then(|()| context.grants.topic(&topic.name, Access::Write));
        let core = &core;
        topic.partitions.iter().map(move |partition| {
            let id = allowed.map(|()| core.state.partition_id(&topic.name, *partition));
            id.and_then(|id| id.ok_or(ResponseError::UnknownTopicOrPartition))
        })
    });
    let known: Vec<Result<_, ResponseError>> = wishes.collect();
    let all: Option<Vec<_>> = known.iter().map(|known| known.ok()).collect();
    let result = all.map(|partitions| {
        transaction::add(shared, &mut core, identity, partitions, Vec::new())
            .map_err(|error| fenced(error, context.version, FENCED_SINCE))
    });
    drop(core);
    let mut codes = known.iter().map(|known| match (&result, known) {
        (Some(result), _) => super::code(result),
        // All or nothing: an unknown partition stops the others too.
        (None, Err(error)) => error.code(),
        (None, Ok(_)) => ResponseError::OperationNotAttempted.code(),
    });
    let answers = topics.iter().map(|topic| {
        let answers = topic.partitions.iter().map(|partition| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*partition)
                .with_partition_error_code(codes.next().unwrap_or_default())
        });
        let answers = answers.collect();
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(answers)
    });
    let answers = answers.collect();
    Reply::Now(AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(answers))
}
