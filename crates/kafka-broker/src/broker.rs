//! The broker as its owner sees it: start, create a topic, look at numbers, stop.

use std::fs::{File, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use kafka_protocol::ResponseError;
use segment_log::{Log, LogOptions, OpenError, Position, ReplayError};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};
use types::Boxed;
use uuid::Uuid;

use crate::checkpoint;
use crate::cleanup;
use crate::config::BrokerConfig;
use crate::connection;
use crate::entry::{self, APPEND_HEADER_BYTES, Decoded, Entry};
use crate::group::{GroupLimits, Groups};
use crate::security::{self, Directory, TlsError};
use crate::shared::{Shared, now_ms};
use crate::state::State;
use crate::stats::{self, BrokerStats};
use crate::topic_config::Defaults;
use crate::topics::{self, NewTopic};
use crate::transaction;

/// How often time-outs of transactions and the size of the journal are looked at.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_millis(100);

/// How long a start waits for a broker of the same process that is just stopping.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const LOCK_RETRY: Duration = Duration::from_millis(5);

/// The broker cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The data directory cannot be created.
    #[error("data directory {path:?} cannot be created")]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another broker uses the data directory.
    #[error("data directory {path:?} is in use by another broker")]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The snapshot is damaged, or partition files do not fit it. Needs an operator: the broker does not guess.
    #[error("snapshot in {path:?} cannot be loaded")]
    Snapshot {
        /// The data directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The journal cannot be opened, or an entry in it cannot be applied.
    #[error("journal cannot be opened")]
    Journal(#[from] OpenError),
    /// The journal cannot be written.
    #[error("journal cannot be written")]
    Write(#[source] ResponseError),
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: another program has the port, or the machine has no such address; \
         choose another (`log.address`, or --port-offset, which moves all ports)"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// TLS cannot be spoken with what is configured.
    #[error("certificates of the broker cannot be used")]
    Tls(#[source] Box<TlsError>),
    /// No random bytes for the users' keys.
    #[error("passwords of users cannot be prepared")]
    Users(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A setting contradicts another.
    #[error("{0}")]
    Config(&'static str),
}

/// A topic cannot be created.
#[derive(Debug, thiserror::Error)]
#[error("topic `{name}` with {partitions} partitions cannot be created: {error}")]
pub struct CreateTopicError {
    /// The topic.
    pub name: String,
    /// How many partitions it was to have.
    pub partitions: i32,
    /// What a client would be told.
    pub error: ResponseError,
}

/// A running broker. Dropping it without [`Broker::shutdown`] is like a crash: nothing acknowledged is lost, but the
/// next start has the journal to replay.
#[derive(Debug)]
pub struct Broker {
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

impl Broker {
    /// Recovers what is in the data directory and listens. Clients may connect when it returns.
    ///
    /// # Errors
    ///
    /// See [`StartError`]. What is on disk is then as it was, except for files that no snapshot knows.
    pub fn start(config: BrokerConfig) -> Boxed<'static, Result<Broker, StartError>> {
        Box::pin(Self::recover(config))
    }

    async fn recover(config: BrokerConfig) -> Result<Broker, StartError> {
        check(&config)?;
        let begun = Instant::now();
        let optional = !config.users.is_empty();
        let tls = config
            .tls
            .as_ref()
            .map(|files| security::load(files, optional));
        let tls = tls
            .transpose()
            .map_err(|error| StartError::Tls(Box::new(error)))?;
        let (mut config, state, journal, checkpointed, lock) =
            tokio::task::spawn_blocking(move || recover(config))
                .await
                .map_err(|error| StartError::DataDir {
                    path: PathBuf::new(),
                    source: io::Error::other(error),
                })??;
        let users = std::mem::take(&mut config.users);
        let permissions = config.permissions.clone();
        let certificates = wants_certificates(&config);
        let directory = move || Directory::new(&users, &permissions, certificates);
        let directory = tokio::task::spawn_blocking(directory).await;
        let directory = directory
            .map_err(|error| StartError::Users(Box::new(error)))?
            .map_err(|error| StartError::Users(Box::new(error)))?;
        let address = config.listen;
        let listen = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let local_addr = listener.local_addr().map_err(listen)?;
        let mut groups = Groups::new(GroupLimits {
            groups_max: config.groups_max,
            members_max: config.group_members_max,
            session_timeout_ms_min: config.group_session_timeout_ms_min,
            session_timeout_ms_max: config.group_session_timeout_ms_max,
            initial_rebalance_delay: config.group_initial_rebalance_delay,
            consumer_session_timeout: config.consumer_session_timeout,
            subscription_bytes_max: config.group_subscription_bytes_max,
            regexes_max: config.group_regexes_max,
        });
        groups.start_above(state.group_epochs);
        let shared = Arc::new(Shared::new(
            config,
            local_addr,
            tls,
            directory,
            journal,
            state,
            groups,
            checkpointed,
            lock,
        ));
        name_cluster(&shared).await.map_err(StartError::Write)?;
        end_crashed(&shared).await.map_err(StartError::Write)?;
        let tasks = TaskTracker::new();
        tasks.spawn(accept(Arc::clone(&shared), listener, tasks.clone()));
        tasks.spawn(follow_journal(Arc::clone(&shared)));
        tasks.spawn(keep_groups(Arc::clone(&shared)));
        tasks.spawn(keep_house(Arc::clone(&shared)));
        tasks.spawn(keep_short(Arc::clone(&shared)));
        let millis = begun.elapsed().as_millis() as u64;
        info!(%local_addr, recovery_ms = millis, "broker started");
        Ok(Broker { shared, tasks })
    }

    /// The address it listens on, with the port that was taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.local_addr
    }

    /// Creates a topic, durably, with `partitions` partitions (-1: the default) and settings. `Ok(false)`: a topic of
    /// that name exists, whatever it looks like.
    ///
    /// # Errors
    ///
    /// [`CreateTopicError`] when a rule or limit forbids it, or the disk has failed.
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        configs: &[(String, String)],
    ) -> Result<bool, CreateTopicError> {
        let new = NewTopic {
            name: name.to_owned(),
            partitions,
            configs: configs.to_vec(),
        };
        let (created, position) = {
            let mut core = self.shared.core();
            let created = topics::create(&self.shared, &mut core, &new);
            (created, self.shared.journal.end())
        };
        let result = match created {
            Ok(_) => self.shared.durable(position).await.map(|()| true),
            Err(ResponseError::TopicAlreadyExists) => {
                self.shared.durable(position).await.map(|()| false)
            }
            Err(error) => Err(error),
        };
        result.map_err(|error| CreateTopicError {
            name: name.to_owned(),
            partitions,
            error,
        })
    }

    /// Numbers for health and metrics. Takes the state's lock for a moment.
    pub fn stats(&self) -> BrokerStats {
        stats::collect(&self.shared)
    }

    /// The same numbers for somebody who does not own the broker.
    pub fn watch(&self) -> BrokerWatch {
        BrokerWatch(Arc::downgrade(&self.shared))
    }

    /// Takes a checkpoint now, so that the next start has little to replay.
    ///
    /// # Errors
    ///
    /// The disk failed; nothing is acknowledged any more.
    pub async fn checkpoint(&self) -> Result<(), ResponseError> {
        checkpoint::take(&self.shared).await
    }

    /// Stops: closes all connections, takes a checkpoint and closes the journal.
    pub async fn shutdown(self) {
        self.shared.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        checkpoint::take_last(&self.shared).await;
        if let Err(error) = self.shared.journal.clone().close().await {
            warn!(%error, "journal could not be closed");
        }
    }
}

/// Reads a broker's numbers without keeping it alive.
#[derive(Debug, Clone)]
pub struct BrokerWatch(Weak<Shared>);

impl BrokerWatch {
    /// See [`Broker::stats`]; `None` when the broker is gone.
    pub fn stats(&self) -> Option<BrokerStats> {
        self.0.upgrade().map(|shared| stats::collect(&shared))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

fn wants_certificates(config: &BrokerConfig) -> bool {
    config
        .tls
        .as_ref()
        .is_some_and(|files| files.client_roots.is_some())
}

fn check(config: &BrokerConfig) -> Result<(), StartError> {
    if config.batch_bytes_max + APPEND_HEADER_BYTES >= config.journal_segment_bytes as usize {
        return Err(StartError::Config(
            "batch_bytes_max must be below journal_segment_bytes",
        ));
    }
    if config.users.is_empty() && !wants_certificates(config) && !config.listen.ip().is_loopback() {
        return Err(StartError::Config(
            "without users and certificates of clients the broker listens on loopback only: everybody may do everything",
        ));
    }
    if config.partitions_default < 1 {
        return Err(StartError::Config("partitions_default must be at least 1"));
    }
    if config.batch_bytes_max > config.request_bytes_max as usize {
        return Err(StartError::Config(
            "batch_bytes_max must not exceed request_bytes_max",
        ));
    }
    Ok(())
}

type Recovered = (BrokerConfig, State, Log, Position, File);

/// Loads the snapshot and applies what the journal says behind it.
fn recover(config: BrokerConfig) -> Result<Recovered, StartError> {
    let dir = &config.data_dir;
    let data_dir = |source| StartError::DataDir {
        path: dir.clone(),
        source,
    };
    std::fs::create_dir_all(checkpoint::journal_dir(dir)).map_err(data_dir)?;
    // Before anything is touched: loading cuts files that a running broker would be writing to.
    let lock = lock(dir)?;
    let loaded = checkpoint::load(dir, Defaults::of(&config));
    let (mut state, snapshot) = loaded.map_err(|source| StartError::Snapshot {
        path: dir.clone(),
        source: Box::new(source),
    })?;
    let record_bytes_max = config.batch_bytes_max + APPEND_HEADER_BYTES + 64;
    let options = LogOptions {
        segment_bytes: config.journal_segment_bytes,
        record_bytes_max: u32::try_from(record_bytes_max).unwrap_or(u32::MAX),
        ..LogOptions::default()
    };
    let mut replay = |end: Position, record: &[u8]| {
        // The journal is cut in whole segments: what the snapshot has may still be there.
        if end <= snapshot {
            Ok(())
        } else {
            apply(&mut state, record)
        }
    };
    let journal_dir = checkpoint::journal_dir(dir);
    let begun = Instant::now();
    let journal = loop {
        match Log::open(&journal_dir, options.clone(), &mut replay) {
            // Ours is the data directory: it can only be the writer of a broker that is just stopping.
            Err(OpenError::InUse { .. }) if begun.elapsed() < LOCK_WAIT => {
                std::thread::sleep(LOCK_RETRY);
            }
            opened => break opened?,
        }
    };
    let everything = state
        .topics
        .values_mut()
        .flat_map(|topic| &mut topic.partitions);
    everything.for_each(|partition| partition.advance(partition.end));
    Ok((config, state, journal, snapshot, lock))
}

/// Takes the lock of the data directory. One that is just being stopped is waited for.
fn lock(dir: &Path) -> Result<File, StartError> {
    let data_dir = |source| StartError::DataDir {
        path: dir.to_owned(),
        source,
    };
    let file = File::create(dir.join("lock")).map_err(data_dir)?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(data_dir(error)),
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_WAIT => {
                std::thread::sleep(LOCK_RETRY);
            }
            Err(TryLockError::WouldBlock) => {
                return Err(StartError::InUse {
                    path: dir.to_owned(),
                });
            }
        }
    }
}

fn apply(state: &mut State, record: &[u8]) -> Result<(), ReplayError> {
    match entry::decode(record).map_err(ReplayError::new)? {
        Decoded::Append {
            partition,
            time_ms,
            batch,
        } => state
            .replay_append(partition, batch, time_ms)
            .map_err(ReplayError::new),
        Decoded::Entry(entry) => state
            .apply(&entry, &mut |_, _| {})
            .map_err(ReplayError::new),
    }
}

/// A new data directory gets a cluster id, for ever.
async fn name_cluster(shared: &Shared) -> Result<(), ResponseError> {
    let position = {
        let mut core = shared.core();
        if !core.state.cluster.is_nil() {
            return Ok(());
        }
        shared.submit(&mut core, &Entry::Cluster { id: Uuid::new_v4() })?
    };
    shared.durable(position).await
}

/// Before anybody is connected: after a crash no transaction goes on.
async fn end_crashed(shared: &Shared) -> Result<(), ResponseError> {
    let clean = checkpoint::take_clean_stop(&shared.config.data_dir)
        .map_err(|error| shared.fail("remove the mark of a clean stop", &error))?;
    if clean {
        return Ok(());
    }
    let position = {
        let mut core = shared.core();
        transaction::fence_open(shared, &mut core, now_ms())?;
        shared.journal.end()
    };
    shared.durable(position).await
}

async fn accept(shared: Arc<Shared>, listener: TcpListener, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let open = shared.counters.connections.fetch_add(1, Ordering::AcqRel);
                let shared = Arc::clone(&shared);
                if open >= shared.config.connections_max {
                    shared.counters.connections.fetch_sub(1, Ordering::AcqRel);
                    shared
                        .counters
                        .connections_refused
                        .fetch_add(1, Ordering::Relaxed);
                    warn!(%peer, connections_max = shared.config.connections_max, "connection refused");
                    continue;
                }
                tasks.spawn(async move {
                    connection::serve(Arc::clone(&shared), stream).await;
                    shared.counters.connections.fetch_sub(1, Ordering::AcqRel);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: others may end meanwhile.
                warn!(%error, "connection could not be accepted");
                tokio::time::sleep(HOUSEKEEPING_INTERVAL).await;
            }
        }
    }
}

/// Shows what has become durable, also when the one who wrote it is gone.
async fn follow_journal(shared: Arc<Shared>) {
    let mut changes = shared.journal.changes();
    loop {
        // Asks for no flush: what nobody waits for may wait.
        tokio::select! {
            durable = changes.next() => match durable {
                Some(_) => shared.advance(),
                None => return,
            },
            () = shared.stop.cancelled() => return,
        }
    }
}

/// Ends sessions and rebalances when their time has come.
async fn keep_groups(shared: Arc<Shared>) {
    loop {
        let now = Instant::now();
        let next = shared
            .groups()
            .tick(now)
            .unwrap_or(now + Duration::from_secs(1));
        tokio::select! {
            () = tokio::time::sleep_until(next.max(now + Duration::from_millis(1)).into()) => {}
            () = shared.groups_changed.notified() => {}
            () = shared.stop.cancelled() => return,
        }
    }
}

/// Aborts transactions that take too long, and takes checkpoints.
async fn keep_house(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(HOUSEKEEPING_INTERVAL) => {}
            () = shared.stop.cancelled() => return,
        }
        transaction::expire(&shared, &mut shared.core(), now_ms());
        // Records of open transactions, for those who read uncommitted ones.
        shared.journal.flush();
        if checkpoint::is_due(&shared) && checkpoint::take(&shared).await.is_err() {
            return;
        }
    }
}

/// Deletes and compacts what topics need not keep.
async fn keep_short(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(shared.config.cleanup_interval) => {}
            () = shared.stop.cancelled() => return,
        }
        if cleanup::run(&shared).await.is_err() {
            return;
        }
    }
}
