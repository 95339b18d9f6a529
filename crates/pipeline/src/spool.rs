//! What was accepted while no queue manager answered: kept on this machine's disk, and carried on when one does.
//!
//! A queue of Daybook's own under `<data-dir>/spool`, in front of the queue manager elsewhere.
//!
//! # Invariants
//!
//! - **Durable before answered**, as everywhere: a batch is forced to disk here before it counts as put, and the answer says that it is here.
//! - **Put there before it is gone here.** A crash in between puts messages twice, with the ids that they had; they are counted once (DESIGN §3).
//! - While anything waits here nothing overtakes it: what comes goes behind it until a unit of work has been committed there.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use connector::{BatchLimits, Incoming, QueueSource, Reader, Source};
use gateway::{Batch, Kept, Outbox, PutError};
use mq_client::MessageDescriptor;
use queue_manager::{QueueDefinition, QueueManager, QueueManagerOptions, StartError};
use telemetry::{Hop, Telemetry};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use types::names;

use crate::config::QueueConfig;
use crate::mq_outbox::{self, MqOutbox};
use crate::outbox::QueueOutbox;

/// Messages of one unit of work on their way there.
const BATCH_MESSAGES: usize = 1_000;
/// About the most bytes of them.
const BATCH_BYTES: usize = 4 << 20;
/// How long a first message is waited for: a stop is noticed after it.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Pause before the queue manager is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What the spool may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpoolLimits {
    /// Bytes of transactions.
    pub(crate) bytes_max: usize,
    /// Bytes of refused input.
    pub(crate) quarantine_bytes_max: usize,
    /// Messages.
    pub(crate) depth_max: usize,
}

/// `None`: nothing is spooled.
pub(crate) fn limits(config: &QueueConfig) -> Option<SpoolLimits> {
    let bytes_max = config.client.spool_bytes_max;
    (bytes_max > 0).then_some(SpoolLimits {
        bytes_max,
        quarantine_bytes_max: config.quarantine_bytes_max,
        depth_max: config.depth_max,
    })
}

/// The gateway's outbox over a queue manager elsewhere, with a spool for when it is away.
#[derive(Debug, Clone)]
pub(crate) struct SpoolingOutbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    elsewhere: MqOutbox,
    here: QueueOutbox,
    manager: QueueManager,
    /// Something failed there, and nothing has succeeded since.
    away: AtomicBool,
}

impl SpoolingOutbox {
    /// Recovers what a former process left, and keeps others out of the directory; carries it on once [`start`] is called.
    pub(crate) fn open(
        directory: PathBuf,
        limits: SpoolLimits,
        elsewhere: MqOutbox,
        hop: Arc<Hop>,
    ) -> Result<Self, StartError> {
        let mut options = QueueManagerOptions::new("SPOOL", directory);
        let queue = |name: &str, bytes_max| QueueDefinition {
            description: "Accepted while no queue manager answered".to_owned(),
            depth_max: limits.depth_max,
            bytes_max,
            ..QueueDefinition::new(name)
        };
        options.queues = vec![
            queue(names::QUEUE_TRANSACTIONS, limits.bytes_max),
            queue(names::QUEUE_QUARANTINE, limits.quarantine_bytes_max),
        ];
        let manager = QueueManager::start(options)?;
        let inner = Inner {
            elsewhere,
            here: QueueOutbox::new(manager.clone(), hop),
            away: AtomicBool::new(false),
            manager,
        };
        let outbox = Self(Arc::new(inner));
        outbox.0.away.store(outbox.waiting() > 0, Ordering::Relaxed);
        Ok(outbox)
    }

    /// Messages that wait here.
    pub(crate) fn waiting(&self) -> usize {
        self.0
            .manager
            .status()
            .iter()
            .map(|queue| queue.depth)
            .sum()
    }

    fn is_away(&self) -> bool {
        self.0.away.load(Ordering::Relaxed)
    }
}

impl Outbox for SpoolingOutbox {
    async fn put_all(&self, queue: &'static str, batch: Batch) -> Result<Kept, PutError> {
        if !self.is_away() {
            match self.0.elsewhere.put_all(queue, batch.clone()).await {
                // An outcome that is not known becomes one that is: put again it has the same ids.
                Err(PutError::Unavailable { reason, .. } | PutError::Unknown { reason, .. }) => {
                    if !self.0.away.swap(true, Ordering::Relaxed) {
                        warn!(%reason, "no queue manager answers: what is accepted waits in the spool");
                    }
                }
                outcome => return outcome,
            }
        }
        self.0.here.put_all(queue, batch).await?;
        Ok(Kept::Spool)
    }
}

/// Carries on what waits, until `stop` fires; then the spool is closed.
pub(crate) fn start(
    outbox: &SpoolingOutbox,
    telemetry: &Arc<Telemetry>,
    stop: &CancellationToken,
) -> JoinHandle<()> {
    let (outbox, telemetry, stop) = (outbox.clone(), Arc::clone(telemetry), stop.clone());
    tokio::spawn(async move {
        let transactions = carry_on(&outbox, names::QUEUE_TRANSACTIONS, &stop);
        let quarantine = carry_on(&outbox, names::QUEUE_QUARANTINE, &stop);
        let gauge = async {
            let meter = telemetry.meter("gateway_spool_messages", "");
            while !stop.is_cancelled() {
                meter.set(i64::try_from(outbox.waiting()).unwrap_or(i64::MAX));
                pause(&stop).await;
            }
        };
        tokio::join!(transactions, quarantine, gauge);
        let waiting = outbox.waiting();
        if waiting > 0 {
            warn!(
                waiting,
                "messages stay in the spool; they are carried on at the next start"
            );
        }
        if let Err(error) = outbox.0.manager.clone().stop().await {
            warn!(
                error = types::report(&error),
                "the spool did not close cleanly"
            );
        }
    })
}

async fn carry_on(outbox: &SpoolingOutbox, queue: &'static str, stop: &CancellationToken) {
    let source = QueueSource::new(outbox.0.manager.clone());
    while !stop.is_cancelled() {
        let Err(reason) = carry(outbox, &source, queue, stop).await else {
            return;
        };
        tracing::debug!(
            queue,
            reason,
            "the spool is not carried on; it is tried again"
        );
        pause(stop).await;
    }
}

/// [`RETRY_PAUSE`], or less when `stop` fires.
async fn pause(stop: &CancellationToken) {
    let _ = stop
        .run_until_cancelled(tokio::time::sleep(RETRY_PAUSE))
        .await;
}

/// Until `stop` fires, or something fails: then what was got is backed out.
async fn carry(
    outbox: &SpoolingOutbox,
    source: &QueueSource,
    queue: &'static str,
    stop: &CancellationToken,
) -> Result<(), String> {
    let limits = BatchLimits {
        messages_max: BATCH_MESSAGES,
        bytes_max: BATCH_BYTES,
        first_wait: FIRST_WAIT,
        ..BatchLimits::default()
    };
    let begun = source.begin(queue).await;
    let mut reader: Box<dyn Reader> = begun.map_err(|error| types::report(&error))?;
    while !stop.is_cancelled() {
        let got = reader.get_batch(&limits).await;
        let got = got.map_err(|error| types::report(&error))?;
        if got.is_empty() {
            continue;
        }
        let messages: Vec<_> = got.iter().map(message).collect();
        let put = outbox.0.elsewhere.put_messages(queue, &messages);
        put.await.map_err(|error| types::report(&error))?;
        let done = reader.commit().await;
        done.map_err(|error| types::report(&error))?;
        if outbox.0.away.swap(false, Ordering::Relaxed) {
            info!(
                waiting = outbox.waiting(),
                "the queue manager answers again: the spool is carried on"
            );
        }
    }
    Ok(())
}

/// As it would have been put there at once.
fn message(kept: &Incoming) -> (MessageDescriptor, Bytes) {
    let id = String::from_utf8_lossy(&kept.properties.id);
    let others = kept
        .properties
        .shared
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let pairs = std::iter::once((names::HEADER_ID, &*id)).chain(others);
    mq_outbox::message(pairs, &kept.body)
}
