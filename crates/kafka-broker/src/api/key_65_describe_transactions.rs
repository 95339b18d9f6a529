//! DescribeTransactions: what the coordinator knows of transactional ids.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kafka_protocol::messages::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, TopicName, TransactionalId,
};

use super::{Context, Reply, text};
use crate::shared::Core;
use crate::state;

pub(super) fn handle(
    context: &Context<'_>,
    request: DescribeTransactionsRequest,
) -> Reply<DescribeTransactionsResponse> {
    let core = context.shared.core();
    let ids = request.transactional_ids.into_iter();
    let states = ids.map(|id| {
        if context.grants.sees_transactional_id(&id) {
            return describe(&core, id);
        }
        let code = ResponseError::TransactionalIdAuthorizationFailed.code();
        TransactionState::default()
            .with_transactional_id(id)
            .with_error_code(code)
    });
    let states = states.collect();
    Reply::Now(DescribeTransactionsResponse::default().with_transaction_states(states))
}

/// How Kafka calls it.
pub(super) fn name(state: state::TransactionState) -> &'static str {
    match state {
        state::TransactionState::Empty => "Empty",
        state::TransactionState::Ongoing => "Ongoing",
        state::TransactionState::Committed => "CompleteCommit",
        state::TransactionState::Aborted => "CompleteAbort",
    }
}

fn describe(core: &Core, id: TransactionalId) -> TransactionState {
    let answer = TransactionState::default();
    let Some(known) = core.state.transactions.get(id.as_str()) else {
        let code = ResponseError::TransactionalIdNotFound.code();
        return answer.with_transactional_id(id).with_error_code(code);
    };
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in &known.partitions {
        if let Some(topic) = core.state.topics.get(&partition.topic) {
            topics
                .entry(&topic.name)
                .or_default()
                .push(partition.partition);
        }
    }
    let topics = topics.into_iter().map(|(name, partitions)| {
        TopicData::default()
            .with_topic(TopicName(text(name)))
            .with_partitions(partitions)
    });
    let open = known.state == state::TransactionState::Ongoing;
    answer
        .with_transactional_id(id)
        .with_transaction_state(text(name(known.state)))
        .with_transaction_timeout_ms(known.timeout_ms)
        .with_transaction_start_time_ms(if open { known.start_ms } else { -1 })
        .with_producer_id(known.producer_id.into())
        .with_producer_epoch(known.epoch)
        .with_topics(topics.collect())
}
