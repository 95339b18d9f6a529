//! The transaction coordinator: who may write under a transactional id, and how a transaction ends.
//!
//! ```text
//! InitProducerId ─► AddPartitionsToTxn ─► Produce … ─► AddOffsetsToTxn ─► TxnOffsetCommit ─► EndTxn
//! ```
//!
//! # Invariants
//!
//! - **One entry ends a transaction**: decision, markers and offsets, so that no crash shows half of it, and nobody
//!   ever has to answer CONCURRENT_TRANSACTIONS.
//! - **Nothing behind the end.** A batch is accepted only while its transaction is open and holds its partition.
//! - **An older epoch never writes again** once a newer one was given out.
//!
//! - **What is committed is whole.** Requests of an open transaction are answered before they are durable; the journal
//!   keeps their order, so that an end that is durable has all of them before it. A crash may lose the last of them
//!   while the producer lives on and would commit the rest: so what is open at a crash is aborted and fenced, as if
//!   its time had run out ([`fence_open`]). Over a clean stop it stays open.

use kafka_protocol::ResponseError;
use tracing::info;

use crate::batch::Batch;
use crate::entry::{Entry, PartitionId};
use crate::shared::{Core, Shared, now_ms};
use crate::state::{State, Transaction, TransactionState};

/// The last epoch that is given to a producer id. Behind it the transactional id gets a new producer id.
const EPOCH_MAX: i16 = i16::MAX - 1;

/// Longest transactional id, in bytes.
const TRANSACTIONAL_ID_BYTES_MAX: usize = 4_096;

/// A producer as it introduces itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity<'a> {
    pub(crate) transactional_id: &'a str,
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
}

/// Gives a producer its id and epoch. With a transactional id, an open transaction is aborted and the owner before
/// is fenced.
pub(crate) fn init_producer_id(
    shared: &Shared,
    core: &mut Core,
    identity: Identity<'_>,
    timeout_ms: i32,
) -> Result<(i64, i16), ResponseError> {
    let id = identity.transactional_id;
    if id.is_empty() {
        return Ok((allocate(shared, core)?, 0));
    }
    if id.len() > TRANSACTIONAL_ID_BYTES_MAX {
        return Err(ResponseError::InvalidRequest);
    }
    if timeout_ms < 1 || timeout_ms > shared.config.transaction_timeout_ms_max {
        return Err(ResponseError::InvalidTransactionTimeout);
    }
    let time_ms = now_ms();
    let init = |producer_id, epoch, last_epoch| Entry::InitTransactionalId {
        id: id.to_owned(),
        producer_id,
        epoch,
        last_epoch,
        timeout_ms,
        time_ms,
    };
    let Some(known) = core.state.transactions.get(id) else {
        if identity.producer_id >= 0 {
            return Err(ResponseError::InvalidProducerIdMapping);
        }
        if core.state.transactions.len() >= shared.config.transactional_ids_max {
            return Err(ResponseError::PolicyViolation);
        }
        let producer_id = allocate(shared, core)?;
        shared.submit(core, &init(producer_id, 0, -1))?;
        return Ok((producer_id, 0));
    };
    let (producer_id, epoch, last_epoch) = (known.producer_id, known.epoch, known.last_epoch);
    let ongoing = known.state == TransactionState::Ongoing;
    if identity.producer_id >= 0 {
        if identity.producer_id != producer_id {
            return Err(ResponseError::ProducerFenced);
        }
        if identity.epoch != epoch {
            // The same question again, because the answer was lost: give the same answer.
            let repeated = identity.epoch == last_epoch && !ongoing;
            return if repeated {
                Ok((producer_id, epoch))
            } else {
                Err(ResponseError::ProducerFenced)
            };
        }
    }
    let next = if epoch >= EPOCH_MAX {
        None
    } else {
        Some(epoch + 1)
    };
    if ongoing {
        let epoch = next.unwrap_or(i16::MAX);
        shared.submit(core, &end_entry(id, false, epoch, time_ms))?;
    }
    let (producer_id, epoch, last_epoch) = match next {
        Some(next) if identity.producer_id >= 0 => (producer_id, next, epoch),
        Some(next) => (producer_id, next, -1),
        None => (allocate(shared, core)?, 0, -1),
    };
    shared.submit(core, &init(producer_id, epoch, last_epoch))?;
    Ok((producer_id, epoch))
}

fn allocate(shared: &Shared, core: &mut Core) -> Result<i64, ResponseError> {
    let producer_id = core.state.next_producer_id;
    shared.submit(core, &Entry::AllocateProducerId { producer_id })?;
    Ok(producer_id)
}

fn end_entry(id: &str, committed: bool, epoch: i16, time_ms: i64) -> Entry {
    Entry::EndTransaction {
        id: id.to_owned(),
        committed,
        epoch,
        time_ms,
    }
}

/// The transaction of a producer, if it is the present owner of its transactional id.
pub(crate) fn owned<'a>(
    state: &'a State,
    identity: Identity<'_>,
) -> Result<&'a Transaction, ResponseError> {
    let known = state.transactions.get(identity.transactional_id);
    let known = known.filter(|known| known.producer_id == identity.producer_id);
    let known = known.ok_or(ResponseError::InvalidProducerIdMapping)?;
    if known.epoch != identity.epoch {
        return Err(ResponseError::ProducerFenced);
    }
    Ok(known)
}

/// Takes partitions and groups into the transaction; begins it if none is open.
pub(crate) fn add(
    shared: &Shared,
    core: &mut Core,
    identity: Identity<'_>,
    partitions: Vec<PartitionId>,
    groups: Vec<String>,
) -> Result<(), ResponseError> {
    let known = owned(&core.state, identity)?;
    let held = known.state == TransactionState::Ongoing
        && partitions
            .iter()
            .all(|partition| known.partitions.contains(partition))
        && groups.iter().all(|group| known.groups.contains(group));
    if held {
        return Ok(());
    }
    let id = identity.transactional_id.to_owned();
    let entry = Entry::AddToTransaction {
        id,
        partitions,
        groups,
        time_ms: now_ms(),
    };
    shared.submit(core, &entry).map(|_| ())
}

/// Commits or aborts. Asked again for what it has done, it agrees.
pub(crate) fn end(
    shared: &Shared,
    core: &mut Core,
    identity: Identity<'_>,
    committed: bool,
) -> Result<(), ResponseError> {
    let known = owned(&core.state, identity)?;
    match (known.state, committed) {
        (TransactionState::Ongoing, _) => {
            let entry = end_entry(identity.transactional_id, committed, known.epoch, now_ms());
            shared.submit(core, &entry).map(|_| ())
        }
        (TransactionState::Committed, true) | (TransactionState::Aborted, false) => Ok(()),
        _ => Err(ResponseError::InvalidTxnState),
    }
}

/// May this transactional batch be appended to `partition`?
pub(crate) fn check_batch(
    state: &State,
    transactional_id: Option<&str>,
    partition: PartitionId,
    batch: &Batch,
) -> Result<(), ResponseError> {
    if !batch.is_transactional() {
        // A record outside of the producer's own open transaction would be hidden or shown with it.
        let mixed = batch.is_idempotent()
            && state
                .partition(partition)
                .is_some_and(|known| known.has_open(batch.producer_id));
        return if mixed {
            Err(ResponseError::InvalidTxnState)
        } else {
            Ok(())
        };
    }
    let known = match transactional_id {
        Some(id) => state
            .transactions
            .get(id)
            .filter(|known| known.producer_id == batch.producer_id),
        None => state.owner(batch.producer_id),
    };
    let known = known.ok_or(ResponseError::InvalidProducerIdMapping)?;
    if known.epoch != batch.producer_epoch {
        return Err(ResponseError::InvalidProducerEpoch);
    }
    if known.state != TransactionState::Ongoing || !known.partitions.contains(&partition) {
        return Err(ResponseError::InvalidTxnState);
    }
    Ok(())
}

/// Aborts transactions that are open for longer than they said, and fences their owners.
pub(crate) fn expire(shared: &Shared, core: &mut Core, now_ms: i64) {
    let expired: Vec<(String, i16)> = core
        .state
        .transactions
        .iter()
        .filter(|(_, known)| {
            known.state == TransactionState::Ongoing
                && known.start_ms.saturating_add(i64::from(known.timeout_ms)) <= now_ms
        })
        .map(|(id, known)| (id.clone(), known.epoch))
        .collect();
    for (id, epoch) in expired {
        info!(transactional_id = id, "transaction timed out, aborting it");
        let epoch = epoch.saturating_add(1);
        if shared
            .submit(core, &end_entry(&id, false, epoch, now_ms))
            .is_err()
        {
            return;
        }
        shared.journal.flush();
    }
}

/// After a crash: aborts every open transaction and fences its owner. Durable when the caller says so.
pub(crate) fn fence_open(
    shared: &Shared,
    core: &mut Core,
    now_ms: i64,
) -> Result<(), ResponseError> {
    let open: Vec<(String, i16)> = core
        .state
        .transactions
        .iter()
        .filter(|(_, known)| known.state == TransactionState::Ongoing)
        .map(|(id, known)| (id.clone(), known.epoch))
        .collect();
    for (id, epoch) in open {
        info!(
            transactional_id = id,
            "transaction was open at a crash, aborting it"
        );
        let end = end_entry(&id, false, epoch.saturating_add(1), now_ms);
        shared.submit(core, &end)?;
    }
    Ok(())
}
