//! The reader: get, produce, commit Kafka, commit the queue.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use kafka_client::{CALL_TIME_MAX, ClientError, Cluster, TransactionalProducer, is_fenced, report};
use queue_manager::{Message, QueueError, QueueManager};
use rdkafka::admin::AdminOptions;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use telemetry::{Hop, Telemetry, now_micros};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use types::names;

use crate::claim::{Identity, decode_claim, encode_claim, identity};

/// How long a get waits for a first message; also how soon a stop is noticed.
const GET_WAIT: Duration = Duration::from_millis(100);
/// First and longest pause between attempts after a failure.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// The id log is cut when it holds this many identities, or after this time.
const CUT_IDENTITIES: usize = 1_000_000;
const CUT_INTERVAL: Duration = Duration::from_secs(60);

/// From which queue to which topic, and how much at once.
#[derive(Debug, Clone)]
pub struct ConnectorOptions {
    /// Queue to get from.
    pub queue: String,
    /// Topic to produce to.
    pub topic: String,
    /// Transactional id; one connector at a time lives under it.
    pub transactional_id: String,
    /// Most messages in one batch. A batch is never waited for.
    pub batch_messages_max: usize,
    /// Most bytes of bodies in one batch.
    pub batch_bytes_max: usize,
}

impl ConnectorOptions {
    /// The gateway's queue to the topic `transactions`, up to 5,000 messages or 4 MiB at once.
    pub fn new() -> Self {
        Self {
            queue: names::QUEUE_TRANSACTIONS.to_owned(),
            topic: names::TOPIC_TRANSACTIONS.to_owned(),
            transactional_id: "daybook-connector-0".to_owned(),
            batch_messages_max: 5_000,
            batch_bytes_max: 4 << 20,
        }
    }
}

impl Default for ConnectorOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// The connector failed; unless it was fenced it tries again by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectorError {
    /// Kafka failed. Retried after a back-out.
    #[error("Kafka failed")]
    Client(#[from] ClientError),
    /// The queue failed. Retried.
    #[error("the queue failed")]
    Queue(#[from] QueueError),
    /// Another connector lives under the same transactional id now.
    #[error("another connector has taken over the transactional id {transactional_id}")]
    Fenced {
        /// Which.
        transactional_id: String,
    },
    /// A record of the id log was not written by this program.
    #[error("the id log {topic} holds a record that is no claim")]
    IdLog {
        /// Which topic.
        topic: &'static str,
    },
    /// A thread could not be started.
    #[error("cannot start a thread for the connector")]
    Thread(#[source] std::io::Error),
}

/// A running connector, on a thread of its own (librdkafka's calls block).
#[derive(Debug)]
pub struct Connector {
    thread: Option<thread::JoinHandle<()>>,
    ready: watch::Receiver<bool>,
}

impl Connector {
    /// Starts the thread. Must be called within a tokio runtime, whose timers the gets use.
    ///
    /// # Errors
    ///
    /// [`ConnectorError::Thread`].
    pub fn start(
        options: ConnectorOptions,
        queue: QueueManager,
        cluster: Cluster,
        telemetry: &Telemetry,
        shutdown: CancellationToken,
    ) -> Result<Self, ConnectorError> {
        let (ready_sender, ready) = watch::channel(false);
        let runner = Runner {
            hop: telemetry.hop("connector"),
            runtime: tokio::runtime::Handle::current(),
            options,
            queue,
            cluster,
            shutdown,
            ready: ready_sender,
        };
        let thread = thread::Builder::new()
            .name("connect".to_owned())
            .spawn(move || runner.run())
            .map_err(ConnectorError::Thread)?;
        Ok(Self {
            thread: Some(thread),
            ready,
        })
    }

    /// Waits until messages are being read; `false` when it has failed for good.
    pub async fn ready(&mut self) -> bool {
        self.ready.wait_for(|ready| *ready).await.is_ok()
    }

    /// Waits for the end after the shutdown was asked for.
    pub fn join(mut self) {
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the connector's thread panicked");
        }
    }
}

struct Runner {
    options: ConnectorOptions,
    queue: QueueManager,
    cluster: Cluster,
    hop: Arc<Hop>,
    runtime: tokio::runtime::Handle,
    shutdown: CancellationToken,
    ready: watch::Sender<bool>,
}

impl Runner {
    fn run(self) {
        let mut pause = BACK_OFF.0;
        while !self.shutdown.is_cancelled() {
            let began = Instant::now();
            match Life::begin(&self).and_then(|mut life| life.live()) {
                Ok(()) => break,
                Err(error @ (ConnectorError::Fenced { .. } | ConnectorError::IdLog { .. })) => {
                    error!(error = report(&error), "connector stopped");
                    return;
                }
                Err(ConnectorError::Queue(QueueError::Stopped { .. })) => {
                    warn!("connector stopped: the queue manager has stopped");
                    return;
                }
                Err(error) => {
                    if began.elapsed() > BACK_OFF.1 {
                        pause = BACK_OFF.0;
                    }
                    warn!(
                        error = report(&error),
                        pause_ms = pause.as_millis() as u64,
                        "connector failed; the batch is backed out and tried again"
                    );
                    thread::park_timeout(pause);
                    pause = (pause * 2).min(BACK_OFF.1);
                }
            }
        }
        info!("connector stopped");
    }
}

/// From fencing the earlier self to the next failure.
struct Life<'a> {
    runner: &'a Runner,
    producer: TransactionalProducer,
    /// Identities in the id log: a message with one of them was delivered.
    delivered: HashSet<Identity>,
    cut_at: Instant,
}

impl<'a> Life<'a> {
    fn begin(runner: &'a Runner) -> Result<Self, ConnectorError> {
        let (cluster, options) = (&runner.cluster, &runner.options);
        let producer =
            cluster.transactional_producer("daybook-connector", &options.transactional_id)?;
        producer
            .init()
            .map_err(|source| cluster.error("initialise transactions", source))?;
        let consumer = cluster.reader("daybook-connector")?;
        let mut delivered = HashSet::new();
        let mut foreign = false;
        cluster.read_all(&consumer, names::TOPIC_DELIVERED, |message| {
            use rdkafka::message::Message as _;
            match decode_claim(message.payload().unwrap_or_default()) {
                Some(identities) => delivered.extend(identities),
                None => foreign = true,
            }
        })?;
        if foreign {
            return Err(ConnectorError::IdLog {
                topic: names::TOPIC_DELIVERED,
            });
        }
        info!(
            queue = options.queue,
            topic = options.topic,
            identities = delivered.len(),
            "connector started"
        );
        Ok(Self {
            runner,
            producer,
            delivered,
            cut_at: Instant::now(),
        })
    }

    fn live(&mut self) -> Result<(), ConnectorError> {
        let runner = self.runner;
        runner.ready.send_replace(true);
        while !runner.shutdown.is_cancelled() {
            let mut unit = runner.queue.begin();
            let options = &runner.options;
            let got = unit.get_batch(
                &options.queue,
                GET_WAIT,
                options.batch_messages_max,
                options.batch_bytes_max,
            );
            let messages = runner.runtime.block_on(got)?;
            if messages.is_empty() {
                continue;
            }
            runner.hop.add_in(messages.len() as u64);
            let new: Vec<(&Message, Identity)> = messages
                .iter()
                .map(|message| (message, identity(message)))
                .filter(|(_, identity)| !self.delivered.contains(identity))
                .collect();
            let discarded = messages.len() - new.len();
            if discarded > 0 {
                info!(discarded, "messages came again that were delivered already");
                runner.hop.add_duplicates(discarded as u64);
            }
            if !new.is_empty() {
                self.deliver(&new)?;
            }
            runner.runtime.block_on(unit.commit())?;
            self.delivered
                .extend(new.iter().map(|(_, identity)| *identity));
            self.observe(&new);
            if self.delivered.len() >= CUT_IDENTITIES || self.cut_at.elapsed() >= CUT_INTERVAL {
                self.cut_id_log()?;
            }
        }
        Ok(())
    }

    /// One Kafka transaction: the claim and the records.
    fn deliver(&self, messages: &[(&Message, Identity)]) -> Result<(), ConnectorError> {
        self.producer
            .begin()
            .map_err(|error| self.failed("begin a transaction", error))?;
        let identities: Vec<Identity> = messages.iter().map(|(_, identity)| *identity).collect();
        let claim = encode_claim(&identities);
        self.send(names::TOPIC_DELIVERED, &[], &claim, None)?;
        for (message, _) in messages {
            let account = account_of(&message.body);
            let key = account.as_deref().unwrap_or_default().as_bytes();
            self.send(
                &self.runner.options.topic,
                key,
                &message.body,
                Some(headers(message)),
            )?;
        }
        self.producer
            .commit()
            .map_err(|error| self.failed("commit a transaction", error))
    }

    fn send(
        &self,
        topic: &str,
        key: &[u8],
        value: &[u8],
        headers: Option<OwnedHeaders>,
    ) -> Result<(), ConnectorError> {
        let sent = self.producer.send(topic, key, Some(value), headers);
        sent.map_err(|error| self.failed("produce", error))
    }

    fn failed(&self, what: &str, error: KafkaError) -> ConnectorError {
        if is_fenced(&error) {
            return ConnectorError::Fenced {
                transactional_id: self.runner.options.transactional_id.clone(),
            };
        }
        self.runner.cluster.error(what, error).into()
    }

    fn observe(&self, messages: &[(&Message, Identity)]) {
        let now = now_micros();
        self.runner.hop.add_out(messages.len() as u64);
        for run in messages
            .chunk_by(|(a, _), (b, _)| Arc::ptr_eq(&a.properties.shared, &b.properties.shared))
        {
            if let Some((first, _)) = run.first() {
                self.runner
                    .hop
                    .observe(received_at(first), now, run.len() as u64);
            }
        }
    }

    /// Everything in the id log has left the queue: between two batches it may go.
    fn cut_id_log(&mut self) -> Result<(), ConnectorError> {
        let cluster = &self.runner.cluster;
        let consumer = cluster.consumer("daybook-connector", "daybook-connector", true)?;
        let mut cut = TopicPartitionList::new();
        for (partition, (_, end)) in (0..).zip(cluster.offsets(&consumer, names::TOPIC_DELIVERED)?)
        {
            let added =
                cut.add_partition_offset(names::TOPIC_DELIVERED, partition, Offset::Offset(end));
            added.map_err(|error| self.failed("cut the id log", error))?;
        }
        let admin = cluster.admin()?;
        let options = AdminOptions::new().operation_timeout(Some(CALL_TIME_MAX));
        let deleted = self
            .runner
            .runtime
            .block_on(admin.delete_records(&cut, &options));
        deleted.map_err(|error| self.failed("cut the id log", error))?;
        debug!(identities = self.delivered.len(), "id log cut");
        self.delivered = HashSet::new();
        self.cut_at = Instant::now();
        Ok(())
    }
}

/// `id`, `traceparent`, `received_at` (DESIGN §3). A message somebody else put has no such
/// properties: its id is the MsgId, its time the put time.
fn headers(message: &Message) -> OwnedHeaders {
    let properties = &message.properties;
    let headers = OwnedHeaders::new_with_capacity(3);
    let headers = match properties.id.is_empty() {
        false => headers.insert(Header {
            key: names::HEADER_ID,
            value: Some(&properties.id[..]),
        }),
        true => {
            let id = message.msg_id.to_string();
            headers.insert(Header {
                key: names::HEADER_ID,
                value: Some(&id),
            })
        }
    };
    let headers = match properties.get(names::HEADER_TRACEPARENT) {
        Some(trace) => headers.insert(Header {
            key: names::HEADER_TRACEPARENT,
            value: Some(trace),
        }),
        None => headers,
    };
    match properties.get(names::HEADER_RECEIVED_AT) {
        Some(received) => headers.insert(Header {
            key: names::HEADER_RECEIVED_AT,
            value: Some(received),
        }),
        None => {
            let put_time = message.put_time.to_string();
            headers.insert(Header {
                key: names::HEADER_RECEIVED_AT,
                value: Some(&put_time),
            })
        }
    }
}

fn received_at(message: &Message) -> i64 {
    let received = message.properties.get(names::HEADER_RECEIVED_AT);
    received
        .and_then(|text| text.parse().ok())
        .unwrap_or(message.put_time)
}

/// The record key: the field `account` of a JSON object, else none.
fn account_of(body: &[u8]) -> Option<Cow<'_, str>> {
    #[derive(serde::Deserialize)]
    struct Keyed<'a> {
        #[serde(borrow)]
        account: Cow<'a, str>,
    }
    serde_json::from_slice::<Keyed<'_>>(body)
        .ok()
        .map(|keyed| keyed.account)
}
