//! The connector as the rest of the program sees it: a tail of the id log, readers, and the keeper, each on a
//! thread of its own. What one reader does is in `delivery.rs`.
//!
//! When the tail fails all begin anew; when a reader fails it alone does.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use kafka_client::{ClientError, Cluster, Part, PartThread, Ready};
use telemetry::{Hop, Telemetry};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use types::{names, report};

use crate::delivery::{After, Batches, Common, Delivery};
use crate::ibm::RecordError;
use crate::keeper::{Dones, Keeper};
use crate::source::{BatchLimits, Source, SourceError};
use crate::tail::Tail;
use crate::translate::IbmRecords;

/// How often the keeper looks whether something is due.
const KEEPER_LOOK: Duration = Duration::from_millis(50);
/// First and longest pause of a reader between attempts after a failure.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// How soon a stop ends a pause.
const STOP_LOOK: Duration = Duration::from_millis(20);
/// Most readers of one connector: each has a connection, a producer and threads.
pub const READERS_MAX: usize = 64;

/// From which queue to which topic, with how many readers, and how much at once.
#[derive(Debug, Clone)]
pub struct ConnectorOptions {
    /// Queue to get from.
    pub queue: String,
    /// Topic to produce to.
    pub topic: String,
    /// Topic of claims, with one partition; all connectors of one queue share it, and no others.
    pub id_log: String,
    /// Tells this process apart from other live ones in the transactional ids `<instance>-<reader>`. A process
    /// that has the same one as before ends at once what its predecessor left open.
    pub instance: String,
    /// How many get from the queue at a time, 1 to [`READERS_MAX`]. With one the queue's order is kept.
    pub readers: usize,
    /// How a batch is gathered.
    pub batch: BatchLimits,
    /// With it records are built as IBM's connector does; without, messages are transactions, which go to `topic`
    /// under their account.
    pub records: Option<Arc<IbmRecords>>,
    /// Queue for messages whose records Kafka does not take, because they are too large for the topic. Without one such a
    /// message stands in the way until the topic takes it.
    pub refused_queue: Option<String>,
}

impl ConnectorOptions {
    /// The gateway's queue to the topic `transactions`, one reader, up to 10,000 messages or 8 MiB at once.
    pub fn new() -> Self {
        Self {
            queue: names::QUEUE_TRANSACTIONS.to_owned(),
            topic: names::TOPIC_TRANSACTIONS.to_owned(),
            id_log: names::TOPIC_DELIVERED.to_owned(),
            instance: "daybook-connector".to_owned(),
            readers: 1,
            batch: BatchLimits::default(),
            records: None,
            refused_queue: Some(names::QUEUE_BACKOUT.to_owned()),
        }
    }

    /// Transactional id of a reader.
    pub(crate) fn owner(&self, reader: usize) -> String {
        format!("{}-{reader}", self.instance)
    }
}

impl Default for ConnectorOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// The connector failed; it tries again by itself unless that cannot help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectorError {
    /// Kafka failed. Retried after a back-out.
    #[error("Kafka failed")]
    Client(#[from] ClientError),
    /// Kafka does not take a record, and nothing says where its message should go instead. Retried: it helps when the topic's
    /// `max.message.bytes` was raised.
    #[error("Kafka refuses a record")]
    Refused(#[source] ClientError),
    /// The queue failed. Retried.
    #[error("the queue failed")]
    Source(#[from] SourceError),
    /// A transaction was ended by somebody else: another process of the same name, or a reader that it stood
    /// in the way of. Retried.
    #[error("the transactional id {transactional_id} was taken over")]
    Fenced {
        /// Which.
        transactional_id: String,
    },
    /// A record of the id log was not written by this program. Retrying does not help.
    #[error("the id log {topic} holds a record at offset {offset} that this program does not know")]
    IdLog {
        /// Which topic.
        topic: String,
        /// Which record.
        offset: i64,
    },
    /// The order of one partition decides. Retrying does not help.
    #[error("the id log {topic} has {partitions} partitions; it must have one")]
    IdLogPartitions {
        /// Which topic.
        topic: String,
        /// How many it has.
        partitions: usize,
    },
    /// What was delivered is not known any more. Retrying does not help.
    #[error(
        "the id log {topic} ends at {end}, but had been read to {stored}: it was made anew. \
         Messages that are on the queue may have been delivered. If none have, delete the offset of the group daybook-connector"
    )]
    IdLogReplaced {
        /// Which topic.
        topic: String,
        /// Offset that was stored.
        stored: i64,
        /// End of the log.
        end: i64,
    },
    /// The own claim was not read back in time. Retried after a back-out.
    #[error("a claim was not read back from {topic} within {seconds} s")]
    ReadBack {
        /// Which topic.
        topic: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The id log is not read any more. Retried from the start.
    #[error("the id log is not read any more: {why}")]
    Tail {
        /// Why.
        why: String,
    },
    /// A batch could not be delivered in time. Retried after a back-out.
    #[error("a batch was not delivered within {seconds} s")]
    BatchAge {
        /// How long was tried.
        seconds: u64,
    },
    /// A message cannot become a record, and the configuration says to stop then. Retrying does not help until
    /// it was taken off the queue, or the configuration says where such messages go.
    #[error("a message stands in the way on {queue}")]
    Poison {
        /// Which queue.
        queue: String,
        /// Which message, and why.
        #[source]
        source: Box<RecordError>,
    },
    /// A thread could not be started. Retried.
    #[error("cannot start a thread for the connector")]
    Thread(#[source] std::io::Error),
}

impl ConnectorError {
    fn may_pass(&self) -> bool {
        match self {
            Self::IdLog { .. }
            | Self::IdLogPartitions { .. }
            | Self::IdLogReplaced { .. }
            | Self::Poison { .. } => false,
            Self::Source(error) => !error.is_final(),
            _ => true,
        }
    }
}

/// What a reader does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportState {
    /// It reads, or tries to: why it does not get on.
    Running(Option<String>),
    /// It has stopped for good.
    Failed(String),
}

/// What a connector has done and does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// By reader.
    pub readers: Vec<ReportState>,
    /// Messages that are in Kafka and off the queue, since the start.
    pub delivered: u64,
    /// Topics that records were written to.
    pub topics: BTreeSet<String>,
}

/// For those who ask.
#[derive(Debug, Default)]
pub(crate) struct Status {
    troubles: Mutex<Vec<Option<String>>>,
    failed: Mutex<Option<String>>,
    pub(crate) delivered: AtomicU64,
    pub(crate) topics: Mutex<BTreeSet<String>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Status {
    fn new(readers: usize) -> Arc<Self> {
        let status = Self::default();
        locked(&status.troubles).resize(readers, None);
        Arc::new(status)
    }

    fn trouble(&self, reader: usize, why: Option<String>) {
        if let Some(trouble) = locked(&self.troubles).get_mut(reader) {
            *trouble = why;
        }
    }

    fn trouble_all(&self, why: &str) {
        locked(&self.troubles).fill(Some(why.to_owned()));
    }

    pub(crate) fn wrote_to(&self, topic: &str) {
        let mut topics = locked(&self.topics);
        if !topics.contains(topic) {
            topics.insert(topic.to_owned());
        }
    }

    fn report(&self) -> Report {
        let failed = locked(&self.failed).clone();
        let troubles = locked(&self.troubles).clone().into_iter();
        let readers = troubles.map(|trouble| match &failed {
            Some(why) => ReportState::Failed(why.clone()),
            None => ReportState::Running(trouble),
        });
        Report {
            readers: readers.collect(),
            delivered: self.delivered.load(Ordering::Relaxed),
            topics: locked(&self.topics).clone(),
        }
    }
}

/// A running connector, on threads of its own.
#[derive(Debug)]
pub struct Connector {
    thread: PartThread,
    status: Arc<Status>,
}

impl Connector {
    /// Starts to read `source`. Must be called within a tokio runtime, whose timers the gets use.
    ///
    /// # Errors
    ///
    /// [`ConnectorError::Thread`].
    pub fn start(
        options: ConnectorOptions,
        source: Box<dyn Source>,
        cluster: Cluster,
        telemetry: &Telemetry,
        shutdown: CancellationToken,
    ) -> Result<Self, ConnectorError> {
        let status = Status::new(options.readers.clamp(1, READERS_MAX));
        let name = format!("connector of {}", options.queue);
        let runner = Runner {
            hop: telemetry.hop("connector"),
            status: Arc::clone(&status),
            runtime: tokio::runtime::Handle::current(),
            options,
            source,
            cluster,
            shutdown: shutdown.clone(),
            dones: Arc::default(),
            after: Box::new(|_| Ok(())),
        };
        let started = PartThread::start("connect", name, shutdown, runner);
        let thread = started.map_err(ConnectorError::Thread)?;
        Ok(Self { thread, status })
    }

    /// What it has done and does. Does not wait.
    pub fn report(&self) -> Report {
        self.status.report()
    }

    /// Forgets which topics it has written to.
    pub fn reset_topics(&self) {
        locked(&self.status.topics).clear();
    }

    /// Waits until messages are being read; `false` when it has failed for good.
    pub async fn ready(&mut self) -> bool {
        self.thread.ready().await
    }

    /// Waits for the end after the shutdown was asked for.
    pub fn join(self) {
        self.thread.join();
    }
}

/// What a delivery is made of, in order. A test ends a life after any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Got,
    Produced,
    /// Its claim is the first; Kafka is about to be told to commit.
    ReadBack,
    KafkaCommitted,
    QueueCommitted,
    IdLogCut,
}

struct Runner {
    options: ConnectorOptions,
    source: Box<dyn Source>,
    cluster: Cluster,
    hop: Arc<Hop>,
    status: Arc<Status>,
    runtime: tokio::runtime::Handle,
    shutdown: CancellationToken,
    /// Survives a life that fails: what has left the queue is a fact.
    dones: Arc<Dones>,
    /// Does nothing, but in tests.
    after: Box<dyn Fn(Step) -> Result<(), ConnectorError> + Send + Sync>,
}

impl Part for Runner {
    type Error = ConnectorError;

    fn live(&mut self, ready: &Ready) -> Result<(), ConnectorError> {
        let life = self.life(&|| ready.tell(), true);
        if let Err(error) = &life {
            match error.may_pass() {
                true => self.status.trouble_all(&report(error)),
                false => drop(locked(&self.status.failed).insert(report(error))),
            }
        }
        life
    }

    fn may_pass(&self, error: &ConnectorError) -> bool {
        error.may_pass()
    }
}

/// Ends the threads of a life: at the shutdown, or when one has failed for all.
struct Stop<'a> {
    shutdown: &'a CancellationToken,
    ended: AtomicBool,
}

impl Stop<'_> {
    fn is_set(&self) -> bool {
        self.shutdown.is_cancelled() || self.ended.load(Ordering::Relaxed)
    }

    fn set(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

impl Runner {
    /// From reading the id log to the next failure that concerns all. With `again` a reader that fails begins
    /// anew by itself; without, its failure is the life's.
    fn life(&self, ready: &(dyn Fn() + Sync), again: bool) -> Result<(), ConnectorError> {
        let options = &self.options;
        let tail = Tail::new(&self.cluster, &options.id_log);
        let consumer = tail.begin()?;
        let (_, identities, uncertain) = tail.size();
        info!(
            queue = options.queue,
            topic = options.topic,
            readers = options.readers,
            identities,
            uncertain,
            "connector started"
        );
        let dones = Arc::clone(&self.dones);
        let common = Common {
            options: options.clone(),
            cluster: self.cluster.clone(),
            tail: Arc::clone(&tail),
            dones: Arc::clone(&dones),
            hop: Arc::clone(&self.hop),
            status: Arc::clone(&self.status),
            runtime: self.runtime.clone(),
            batches: Arc::new(Batches::new(process_number())),
        };
        let mut keeper = Keeper::new(
            &self.cluster,
            &options.id_log,
            &tail,
            &dones,
            self.runtime.clone(),
        )?;
        let stop = Stop {
            shutdown: &self.shutdown,
            ended: AtomicBool::new(false),
        };
        // The tail outlives the readers, so that what they have begun can end.
        let readers_left = AtomicBool::new(true);
        let result = thread::scope(|scope| {
            let following = thread::Builder::new()
                .name("connect-tail".to_owned())
                .spawn_scoped(scope, || {
                    let followed = tail.follow(&consumer, || !readers_left.load(Ordering::Relaxed));
                    if let Err(error) = &followed {
                        tail.end(report(error));
                        stop.set();
                    }
                    followed
                });
            let following = following.map_err(ConnectorError::Thread)?;
            let mut readers = Vec::new();
            let mut failed = None;
            for number in 0..options.readers.clamp(1, READERS_MAX) {
                let (common, stop) = (&common, &stop);
                let reading = thread::Builder::new()
                    .name(format!("connect-{number}"))
                    .spawn_scoped(scope, move || self.read(common, number, stop, ready, again));
                match reading {
                    Ok(reading) => readers.push(reading),
                    Err(error) => {
                        stop.set();
                        failed = Some(ConnectorError::Thread(error));
                    }
                }
            }
            while !stop.is_set() {
                if let Err(error) = keeper.tend(&*self.after) {
                    if !again {
                        failed.get_or_insert(error);
                        stop.set();
                        break;
                    }
                    warn!(
                        error = report(&error),
                        "the id log is not taken care of; tries again"
                    );
                    pause(BACK_OFF.1, &stop);
                }
                thread::sleep(KEEPER_LOOK);
            }
            for reading in readers {
                match reading.join() {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => drop(failed.get_or_insert(error)),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            readers_left.store(false, Ordering::Relaxed);
            match following.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => drop(failed.get_or_insert(error)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
            failed.map_or(Ok(()), Err)
        });
        // After a failure the next life says it.
        if result.is_ok() {
            keeper.finish();
        }
        result
    }

    fn read(
        &self,
        common: &Common,
        number: usize,
        stop: &Stop<'_>,
        ready: &(dyn Fn() + Sync),
        again: bool,
    ) -> Result<(), ConnectorError> {
        let after: After<'_> = &*self.after;
        let mut wait = BACK_OFF.0;
        while !stop.is_set() {
            let begun = Instant::now();
            let failure = match self.read_on(common, number, stop, ready, after) {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            common.tail.end_unit(number);
            if !again || !failure.may_pass() || matches!(failure, ConnectorError::Tail { .. }) {
                stop.set();
                return Err(failure);
            }
            if begun.elapsed() > BACK_OFF.1 {
                wait = BACK_OFF.0;
            }
            self.status.trouble(number, Some(report(&failure)));
            warn!(
                reader = number,
                error = report(&failure),
                pause_ms = wait.as_millis() as u64,
                "a reader failed; begins again from what is durable"
            );
            pause(wait, stop);
            wait = (wait * 2).min(BACK_OFF.1);
        }
        Ok(())
    }

    fn read_on(
        &self,
        common: &Common,
        number: usize,
        stop: &Stop<'_>,
        ready: &(dyn Fn() + Sync),
        after: After<'_>,
    ) -> Result<(), ConnectorError> {
        let queue = &self.options.queue;
        let reader = self.runtime.block_on(self.source.begin(queue))?;
        let mut delivery = Delivery::begin(common, number, reader, after)?;
        ready();
        self.status.trouble(number, None);
        while !stop.is_set() {
            delivery.step()?;
        }
        Ok(())
    }
}

fn pause(wait: Duration, stop: &Stop<'_>) {
    let begun = Instant::now();
    while begun.elapsed() < wait && !stop.is_set() {
        thread::sleep(STOP_LOOK.min(wait));
    }
}

/// Drawn at random: a number that no other process, and no earlier life, has.
fn process_number() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one((std::process::id(), telemetry::now_micros()))
}

#[cfg(test)]
mod tests;
