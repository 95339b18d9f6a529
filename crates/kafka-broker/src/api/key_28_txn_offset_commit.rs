//! TxnOffsetCommit: offsets that count when the transaction commits, and are durable with it.

use std::time::Instant;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};

use super::key_08_offset_commit::{Wish, partitions, submit};
use super::{Context, Reply};
use crate::group::{Committing, Speaker};
use crate::security::Access;
use crate::shared::Core;
use crate::state::TransactionState;
use crate::transaction::{self, Identity};

pub(super) fn handle(
    context: &Context<'_>,
    request: TxnOffsetCommitRequest,
) -> Reply<TxnOffsetCommitResponse> {
    let shared = context.shared;
    let speaker = Speaker {
        generation: request.generation_id,
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
    };
    let wishes = request.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| Wish {
            topic: &topic.name,
            partition: partition.partition_index,
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: partition.committed_metadata.as_deref(),
        })
    });
    let mut groups = shared.groups();
    let mut core = shared.core();
    let grants = &context.grants;
    let allowed = grants
        .transactional_id(&request.transactional_id)
        .and_then(|()| grants.group(&request.group_id, Access::Read));
    let partitions = partitions(&core, wishes.clone());
    let allowed = allowed.and_then(|()| {
        let (how, now) = (Committing::InTransaction, Instant::now());
        groups.may_commit(&request.group_id, speaker, how, &partitions, now)
    });
    let allowed = allowed.and_then(|()| check(&core, &request));
    let producer_id = Some(request.producer_id.0);
    let codes = match allowed {
        Ok(()) => submit(context, &mut core, &request.group_id, producer_id, wishes),
        Err(error) => wishes.map(|_| error.code()).collect(),
    };
    drop(core);
    drop(groups);
    let mut codes = codes.into_iter();
    let topics = request.topics.iter().map(|topic| {
        let answers = topic.partitions.iter().map(|partition| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(codes.next().unwrap_or_default())
        });
        let answers = answers.collect();
        TxnOffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(answers)
    });
    Reply::Now(TxnOffsetCommitResponse::default().with_topics(topics.collect()))
}

/// The transaction is this producer's, open, and knows of the group.
fn check(core: &Core, request: &TxnOffsetCommitRequest) -> Result<(), ResponseError> {
    let identity = Identity {
        transactional_id: &request.transactional_id,
        producer_id: request.producer_id.0,
        epoch: request.producer_epoch,
    };
    let known = transaction::owned(&core.state, identity).map_err(|error| match error {
        // This request never learned of PRODUCER_FENCED.
        ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
        error => error,
    })?;
    let open = known.state == TransactionState::Ongoing;
    if open && known.groups.contains(request.group_id.as_str()) {
        Ok(())
    } else {
        Err(ResponseError::InvalidTxnState)
    }
}
