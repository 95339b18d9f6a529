//! The reader: get, produce, commit Kafka, commit the queue.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use kafka_client::{
    CALL_TIME_MAX, ClientError, Cluster, Part, PartThread, Ready, TransactionalProducer, is_fenced,
};
use rdkafka::admin::AdminOptions;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use telemetry::{Hop, Telemetry, now_micros};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};
use types::names;

use crate::claim::{Identity, decode_claim, encode_claim};
use crate::source::{Incoming, Reader, Source, SourceError};

/// How long a get waits for a first message; also how soon a stop is noticed.
const GET_WAIT: Duration = Duration::from_millis(100);
/// Least time from one transaction to the next while several messages come in it. A transaction
/// costs a dozen switches between threads, however little is in it.
const BUSY_INTERVAL: Duration = Duration::from_millis(5);
/// The id log is cut when it holds this many identities, or after this time.
const CUT_IDENTITIES: usize = if cfg!(test) { 12 } else { 1_000_000 };
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
    /// The gateway's queue to the topic `transactions`, up to 10,000 messages or 8 MiB at once.
    pub fn new() -> Self {
        Self {
            queue: names::QUEUE_TRANSACTIONS.to_owned(),
            topic: names::TOPIC_TRANSACTIONS.to_owned(),
            transactional_id: "daybook-connector-0".to_owned(),
            batch_messages_max: 10_000,
            batch_bytes_max: 8 << 20,
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
    Source(#[from] SourceError),
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

/// A running connector, on a thread of its own.
#[derive(Debug)]
pub struct Connector(PartThread);

impl Connector {
    /// Starts the thread that reads `source`. Must be called within a tokio runtime, whose timers the gets use.
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
        let runner = Runner {
            hop: telemetry.hop("connector"),
            runtime: tokio::runtime::Handle::current(),
            options,
            source,
            cluster,
            shutdown: shutdown.clone(),
            #[cfg(test)]
            after: Box::new(|_| Ok(())),
        };
        let started = PartThread::start("connect", "connector".to_owned(), shutdown, runner);
        started.map(Self).map_err(ConnectorError::Thread)
    }

    /// Waits until messages are being read; `false` when it has failed for good.
    pub async fn ready(&mut self) -> bool {
        self.0.ready().await
    }

    /// Waits for the end after the shutdown was asked for.
    pub fn join(self) {
        self.0.join();
    }
}

struct Runner {
    options: ConnectorOptions,
    source: Box<dyn Source>,
    cluster: Cluster,
    hop: Arc<Hop>,
    runtime: tokio::runtime::Handle,
    shutdown: CancellationToken,
    #[cfg(test)]
    after: Box<dyn Fn(Step) -> Result<(), ConnectorError> + Send + Sync>,
}

/// What a delivery is made of, in order. A test ends a life after any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Got,
    Produced,
    KafkaCommitted,
    QueueCommitted,
    IdLogCut,
}

impl Runner {
    #[cfg(test)]
    fn after(&self, step: Step) -> Result<(), ConnectorError> {
        (self.after)(step)
    }

    #[cfg(not(test))]
    fn after(&self, _: Step) -> Result<(), ConnectorError> {
        Ok(())
    }
}

impl Part for Runner {
    type Error = ConnectorError;

    fn live(&mut self, ready: &Ready) -> Result<(), ConnectorError> {
        let mut life = Life::begin(self)?;
        ready.tell();
        life.live()
    }

    fn may_pass(&self, error: &ConnectorError) -> bool {
        match error {
            ConnectorError::Fenced { .. } | ConnectorError::IdLog { .. } => false,
            ConnectorError::Source(error) => !error.is_final(),
            _ => true,
        }
    }
}

/// Hashes already, so hashed again cheaply.
type Identities = HashSet<Identity, foldhash::fast::RandomState>;

/// From fencing the earlier self to the next failure.
struct Life<'a> {
    runner: &'a Runner,
    /// What it has got and not committed is backed out when it goes.
    reader: Box<dyn Reader>,
    producer: TransactionalProducer,
    /// Identities in the id log: a message with one of them was delivered.
    delivered: Identities,
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
        let mut delivered = Identities::default();
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
        let reader = runner
            .runtime
            .block_on(runner.source.begin(&options.queue))?;
        info!(
            queue = options.queue,
            topic = options.topic,
            identities = delivered.len(),
            "connector started"
        );
        Ok(Self {
            runner,
            reader,
            producer,
            delivered,
            cut_at: Instant::now(),
        })
    }

    fn live(&mut self) -> Result<(), ConnectorError> {
        let runner = self.runner;
        while !runner.shutdown.is_cancelled() {
            let options = &runner.options;
            let got = self.reader.get_batch(
                GET_WAIT,
                options.batch_messages_max,
                options.batch_bytes_max,
            );
            let messages = runner.runtime.block_on(got)?;
            let begun = Instant::now();
            if messages.is_empty() {
                continue;
            }
            runner.after(Step::Got)?;
            runner.hop.add_in(messages.len() as u64);
            let new: Vec<&Incoming> = messages
                .iter()
                .filter(|message| !self.delivered.contains(&message.identity))
                .collect();
            let discarded = messages.len() - new.len();
            if discarded > 0 {
                info!(discarded, "messages came again that were delivered already");
                runner.hop.add_duplicates(discarded as u64);
            }
            if !new.is_empty() {
                self.deliver(&new)?;
            }
            runner.after(Step::KafkaCommitted)?;
            runner.runtime.block_on(self.reader.commit())?;
            runner.after(Step::QueueCommitted)?;
            self.delivered
                .extend(new.iter().map(|message| message.identity));
            self.observe(&new);
            if self.delivered.len() >= CUT_IDENTITIES || self.cut_at.elapsed() >= CUT_INTERVAL {
                self.cut_id_log()?;
                runner.after(Step::IdLogCut)?;
            }
            if messages.len() > 1 {
                thread::sleep(BUSY_INTERVAL.saturating_sub(begun.elapsed()));
            }
        }
        Ok(())
    }

    /// One Kafka transaction: the claim and the records.
    fn deliver(&self, messages: &[&Incoming]) -> Result<(), ConnectorError> {
        self.producer
            .begin()
            .map_err(|error| self.failed("begin a transaction", error))?;
        let identities: Vec<Identity> = messages.iter().map(|message| message.identity).collect();
        let claim = encode_claim(&identities);
        self.send(names::TOPIC_DELIVERED, &[], &claim, None)?;
        for message in messages {
            let account = match message.properties.key.is_empty() {
                true => account_of(&message.body),
                false => None,
            };
            let key = match &account {
                Some(account) => account.as_bytes(),
                None => &message.properties.key,
            };
            self.send(
                &self.runner.options.topic,
                key,
                &message.body,
                Some(headers(message)),
            )?;
        }
        self.runner.after(Step::Produced)?;
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

    fn observe(&self, messages: &[&Incoming]) {
        let now = now_micros();
        self.runner.hop.add_out(messages.len() as u64);
        for run in messages.chunk_by(|a, b| Arc::ptr_eq(&a.properties.shared, &b.properties.shared))
        {
            if let Some(first) = run.first() {
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
        self.delivered = Identities::default();
        self.cut_at = Instant::now();
        Ok(())
    }
}

/// `id`, `traceparent`, `received_at` (DESIGN §3). A message somebody else put has no such
/// properties: its id is the MsgId, its time the put time.
fn headers(message: &Incoming) -> OwnedHeaders {
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

fn received_at(message: &Incoming) -> i64 {
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

#[cfg(test)]
mod tests;
