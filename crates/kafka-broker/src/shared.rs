//! What all connections share: the state under its lock, the journal beside it, and the way from one to the other.
//!
//! ```text
//! api handler ─lock─► check ─► journal.append_lazily ─► State::apply ─unlock─► journal.durable ─► Shared::advance ─► answer
//! ```
//!
//! # Invariants
//!
//! - **Journal order is state order.** An entry is appended and applied under the same hold of the lock.
//! - **Nobody waits for the disk under the lock**, and nothing is answered or shown before it is durable. The one
//!   exception is what belongs to an open transaction: it is answered at once, durable with the transaction's end,
//!   and a transaction that is open at a crash is aborted and its producer fenced (see `transaction`).
//! - **A failed disk is final.** After the first failed write or sync nothing is acknowledged until a restart.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use segment_log::{Log, Position};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::api::APIS;
use crate::batch::{self, Batch, PATCHED_BYTES};
use crate::config::BrokerConfig;
use crate::entry::{self, Entry, PartitionId};
use crate::group::Groups;
use crate::security::{Directory, Tls};
use crate::state::State;

/// The one node there is.
pub(crate) const NODE_ID: i32 = 1;

/// A partition's end that becomes visible when the journal is durable up to `position`.
#[derive(Debug, Clone, Copy)]
struct Pending {
    position: Position,
    partition: PartitionId,
    end: i64,
}

/// What is under the lock.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) state: State,
    /// By position.
    pending: VecDeque<Pending>,
}

/// A counter an API.
#[derive(Debug)]
pub(crate) struct ByApi(pub(crate) [AtomicU64; APIS.len()]);

impl Default for ByApi {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

/// Counters of [`crate::BrokerStats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) produced_records: AtomicU64,
    pub(crate) produced_bytes: AtomicU64,
    pub(crate) fetched_bytes: AtomicU64,
    pub(crate) fetched_records: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) connections: AtomicUsize,
    pub(crate) checkpoints: AtomicU64,
    pub(crate) compactions: AtomicU64,
    /// In the order of [`APIS`].
    pub(crate) by_api: ByApi,
    pub(crate) connections_refused: AtomicU64,
    pub(crate) authentications_refused: AtomicU64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: BrokerConfig,
    pub(crate) local_addr: SocketAddr,
    pub(crate) tls: Option<Tls>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) journal: Log,
    core: Mutex<Core>,
    groups: Mutex<Groups>,
    /// A group's next deadline may have come nearer.
    pub(crate) groups_changed: Notify,
    /// Journal position of the last [`Entry::ReserveEpochs`] of this run. Written under the lock of the state.
    pub(crate) epochs_reserved: AtomicU64,
    /// Up to where watermarks have followed the journal.
    advanced: AtomicU64,
    /// Journal position of the last checkpoint.
    pub(crate) checkpointed: AtomicU64,
    /// Held by the one checkpoint that may be under way: an older snapshot must never replace a newer one.
    pub(crate) checkpointing: tokio::sync::Mutex<()>,
    failed: AtomicBool,
    pub(crate) counters: Counters,
    pub(crate) stop: CancellationToken,
    /// Holds the lock of the data directory.
    _lock: File,
}

/// Milliseconds since 1970, by the wall clock.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl Shared {
    #[expect(clippy::too_many_arguments, reason = "called once, by the start")]
    pub(crate) fn new(
        config: BrokerConfig,
        local_addr: SocketAddr,
        tls: Option<Tls>,
        directory: Directory,
        journal: Log,
        state: State,
        groups: Groups,
        checkpointed: Position,
        lock: File,
    ) -> Self {
        Self {
            config,
            local_addr,
            tls,
            directory: Arc::new(directory),
            journal,
            core: Mutex::new(Core {
                state,
                pending: VecDeque::new(),
            }),
            groups: Mutex::new(groups),
            groups_changed: Notify::new(),
            epochs_reserved: AtomicU64::new(0),
            advanced: AtomicU64::new(0),
            checkpointed: AtomicU64::new(checkpointed.0),
            checkpointing: tokio::sync::Mutex::new(()),
            failed: AtomicBool::new(false),
            counters: Counters::default(),
            stop: CancellationToken::new(),
            _lock: lock,
        }
    }

    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(|poisoned: PoisonError<_>| {
            // Somebody panicked half way: what is in memory may not be what is in the journal.
            self.failed.store(true, Ordering::SeqCst);
            poisoned.into_inner()
        })
    }

    pub(crate) fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// The disk failed: acknowledge nothing any more.
    pub(crate) fn fail(&self, what: &'static str, error: &dyn std::error::Error) -> ResponseError {
        if !self.failed.swap(true, Ordering::SeqCst) {
            error!(what, %error, "storage failed, the broker acknowledges nothing until it is restarted");
        }
        ResponseError::KafkaStorageError
    }

    fn check_storage(&self) -> Result<(), ResponseError> {
        if self.has_failed() {
            Err(ResponseError::KafkaStorageError)
        } else {
            Ok(())
        }
    }

    /// Writes an entry to the journal and applies it. Durable once [`Shared::durable`] says so.
    pub(crate) fn submit(&self, core: &mut Core, entry: &Entry) -> Result<Position, ResponseError> {
        self.check_storage()?;
        let bytes = entry.encode();
        if bytes.len() > self.config.batch_bytes_max {
            return Err(ResponseError::RecordListTooLarge);
        }
        let appended = self.journal.append_lazily(&[&bytes]);
        let position = appended.map_err(|error| self.fail("append to the journal", &error))?;
        let Core { state, pending } = core;
        let mut moved = |partition, end| {
            pending.push_back(Pending {
                position,
                partition,
                end,
            })
        };
        let applied = state.apply(entry, &mut moved);
        applied.map_err(|error: io::Error| self.fail("write to a partition", &error))?;
        Ok(position)
    }

    /// Writes a checked batch to the journal and to its partition. Returns its base offset.
    pub(crate) fn append(
        &self,
        core: &mut Core,
        partition: PartitionId,
        batch: &Batch,
        bytes: &Bytes,
        time_ms: i64,
    ) -> Result<i64, ResponseError> {
        self.check_storage()?;
        let known = core.state.partition(partition);
        let base_offset = known.ok_or(ResponseError::UnknownTopicOrPartition)?.end;
        let batch = Batch {
            base_offset,
            ..*batch
        };
        let front = batch::patched_front(bytes, base_offset);
        let rest = &bytes[PATCHED_BYTES..];
        let header = entry::append_header(partition, time_ms);
        let appended = self.journal.append_lazily(&[&header, &front, rest]);
        let position = appended.map_err(|error| self.fail("append to the journal", &error))?;
        let written = core.state.append(partition, &batch, &front, rest, time_ms);
        written.map_err(|error| self.fail("write to a partition", &error))?;
        if core
            .state
            .partition(partition)
            .is_some_and(|partition| partition.is_awaited_uncommitted())
        {
            self.journal.flush();
        }
        core.pending.push_back(Pending {
            position,
            partition,
            end: batch.last_offset() + 1,
        });
        Ok(base_offset)
    }

    /// Waits until the journal is on disk up to `position` and everything below it is visible.
    pub(crate) async fn durable(&self, position: Position) -> Result<(), ResponseError> {
        let synced = self.journal.durable(position).await;
        synced.map_err(|error| self.fail("sync the journal", &error))?;
        self.advance();
        self.check_storage()
    }

    /// Moves the high watermarks to where the journal is durable.
    pub(crate) fn advance(&self) {
        let durable = self.journal.durable_position();
        if self.advanced.load(Ordering::Acquire) >= durable.0 || self.has_failed() {
            return;
        }
        let mut core = self.core();
        let Core { state, pending } = &mut *core;
        while let Some(next) = pending.pop_front_if(|next| next.position <= durable) {
            if let Some(partition) = state.partition_mut(next.partition) {
                partition.advance(next.end);
            }
        }
        self.advanced.fetch_max(durable.0, Ordering::AcqRel);
    }

    /// Waits until less than the allowed amount is written but not on disk.
    pub(crate) async fn wait_for_room(&self) -> Result<(), ResponseError> {
        let (end, max) = (self.journal.end(), self.config.journal_unflushed_bytes_max);
        if end.0.saturating_sub(self.journal.durable_position().0) <= max {
            return Ok(());
        }
        self.durable(Position(end.0.saturating_sub(max / 2))).await
    }
}
