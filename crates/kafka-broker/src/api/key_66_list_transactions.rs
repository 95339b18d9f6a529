//! ListTransactions: transactional ids by state, producer and age.

use kafka_protocol::messages::list_transactions_response::TransactionState;
use kafka_protocol::messages::{ListTransactionsRequest, ListTransactionsResponse};

use super::key_65_describe_transactions::name;
use super::{Context, Reply, text};
use crate::shared::now_ms;
use crate::state;

/// Every state that Kafka knows. Some never show here: deciding and marking are one entry.
const STATES: [&str; 7] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "PrepareEpochFence",
];

pub(super) fn handle(
    context: &Context<'_>,
    request: ListTransactionsRequest,
) -> Reply<ListTransactionsResponse> {
    let (known, unknown): (Vec<_>, Vec<_>) = request
        .state_filters
        .iter()
        .cloned()
        .partition(|filter| STATES.contains(&filter.as_str()));
    let now = now_ms();
    let core = context.shared.core();
    let states = core.state.transactions.iter();
    let states = states.filter(|(id, _)| context.grants.sees_transactional_id(id));
    let states = states.filter(|(_, transaction)| {
        let by_state = request.state_filters.is_empty()
            || known
                .iter()
                .any(|filter| filter.as_str() == name(transaction.state));
        let producers = &request.producer_id_filters;
        let by_producer =
            producers.is_empty() || producers.iter().any(|id| id.0 == transaction.producer_id);
        let open = transaction.state == state::TransactionState::Ongoing;
        let long = open && now.saturating_sub(transaction.start_ms) > request.duration_filter;
        by_state && by_producer && (request.duration_filter < 0 || long)
    });
    let states = states.map(|(id, transaction)| {
        TransactionState::default()
            .with_transactional_id(text(id).into())
            .with_producer_id(transaction.producer_id.into())
            .with_transaction_state(text(name(transaction.state)))
    });
    Reply::Now(
        ListTransactionsResponse::default()
            .with_unknown_state_filters(unknown)
            .with_transaction_states(states.collect()),
    )
}
