//! The numbers that the broker's owner sees.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use crate::api::APIS;
use crate::shared::Shared;
use crate::state::TransactionState;

/// Numbers of a running broker. Counters begin at 0 when it starts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BrokerStats {
    /// Records appended by producers. Counter.
    pub produced_records: u64,
    /// Bytes of the batches appended by producers. Counter.
    pub produced_bytes: u64,
    /// Records in fetch answers, control records included. Counter.
    pub fetched_records: u64,
    /// Bytes of the batches in fetch answers. Counter.
    pub fetched_bytes: u64,
    /// Requests begun. Counter.
    pub requests: u64,
    /// Requests begun, by the name of their API. Counters.
    pub requests_by_api: BTreeMap<String, u64>,
    /// Connections closed at once, because there were as many as are allowed. Counter.
    pub connections_refused: u64,
    /// Attempts to authenticate that were refused. Counter.
    pub authentications_refused: u64,
    /// Groups with members now.
    pub groups: usize,
    /// Members of all groups now.
    pub group_members: usize,
    /// Transactional ids that are remembered.
    pub transactional_ids: usize,
    /// Transactions that are open now.
    pub open_transactions: usize,
    /// Checkpoints taken. Counter.
    pub checkpoints: u64,
    /// Passes of compaction that have changed a partition. Counter.
    pub compactions: u64,
    /// Connections open now.
    pub connections: usize,
    /// Bytes between the oldest journal record that is kept and the newest.
    pub journal_bytes: u64,
    /// Bytes of all partition files.
    pub log_bytes: u64,
    /// Whether the disk has failed, so that nothing is acknowledged any more.
    pub storage_failed: bool,
    /// By topic, the visible end (high watermark) of each partition.
    pub end_offsets: BTreeMap<String, Vec<i64>>,
}

/// The numbers now. Takes the locks of groups and state for a moment, one after the other.
pub(crate) fn collect(shared: &Shared) -> BrokerStats {
    let counters = &shared.counters;
    let (groups, group_members) = shared.groups().counts();
    let apis = APIS.iter().zip(&counters.by_api.0);
    let requests_by_api =
        apis.map(|(api, count)| (format!("{:?}", api.key), count.load(Ordering::Relaxed)));
    let core = shared.core();
    let transactions = core.state.transactions.values();
    let open = transactions.filter(|known| known.state == TransactionState::Ongoing);
    let topics = core.state.topics.values();
    let log_bytes = topics
        .clone()
        .flat_map(|topic| &topic.partitions)
        .map(|p| p.log.bytes());
    let end_offsets = topics.clone().map(|topic| {
        let ends = topic
            .partitions
            .iter()
            .map(|partition| partition.hw)
            .collect();
        (topic.name.clone(), ends)
    });
    BrokerStats {
        produced_records: counters.produced_records.load(Ordering::Relaxed),
        produced_bytes: counters.produced_bytes.load(Ordering::Relaxed),
        fetched_records: counters.fetched_records.load(Ordering::Relaxed),
        fetched_bytes: counters.fetched_bytes.load(Ordering::Relaxed),
        requests: counters.requests.load(Ordering::Relaxed),
        requests_by_api: requests_by_api.collect(),
        connections_refused: counters.connections_refused.load(Ordering::Relaxed),
        authentications_refused: counters.authentications_refused.load(Ordering::Relaxed),
        groups,
        group_members,
        transactional_ids: core.state.transactions.len(),
        open_transactions: open.count(),
        checkpoints: counters.checkpoints.load(Ordering::Relaxed),
        compactions: counters.compactions.load(Ordering::Relaxed),
        connections: counters.connections.load(Ordering::Relaxed),
        journal_bytes: shared.journal.size_bytes(),
        log_bytes: log_bytes.sum(),
        storage_failed: shared.has_failed(),
        end_offsets: end_offsets.collect(),
    }
}
