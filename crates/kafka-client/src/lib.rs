//! How every part talks to the log: librdkafka, with the settings that exactly once needs.
//!
//! # Where this sits
//!
//! Between the stages and any Kafka, embedded or real: a stage never knows which. Calls of
//! librdkafka that wait are blocking, so a stage that uses them has a thread of its own.
//!
//! # Invariants
//!
//! - Consumers read committed records only, unless asked otherwise, and never commit by themselves.
//! - Producers are idempotent, wait for all replicas, and partition as Java's clients do.

mod member;
mod part;
mod transaction;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use member::Moves;
pub use member::{Member, Membership, Move};
pub use part::{Part, PartThread, Ready};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, ClientContext};
use transaction::Failure;
pub use transaction::{PlainProducer, TransactionalProducer};

use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// How long a blocking call may take before it is an error.
pub const CALL_TIME_MAX: Duration = Duration::from_secs(30);
/// A transaction that is not ended within this is aborted by the broker.
const TRANSACTION_TIME_MAX_MS: u32 = 15_000;

/// How long the first record of a batch waits for others. At 0 each record of a burst wakes the
/// client's thread, and many go out alone; much more would be seen in every transaction.
const LINGER_MS: &str = "0.2";
/// Property of librdkafka: how long it waits before it asks again.
const RETRY_BACKOFF: &str = "retry.backoff.ms";
/// The coordinator of Kafka refuses to begin a transaction while it still ends the last one, for a millisecond or two. librdkafka's own
/// 100 ms would be the time of every tenth transaction. What lasts longer is asked for less and less often, up to every second.
const RETRY_BACKOFF_MS: &str = "1";

/// A consumer of the log; `rdkafka`'s, with [`Reader`] as its context.
pub type LogConsumer = BaseConsumer<Reader>;

/// Context of every consumer here: the end of a partition is what it waits for, not an error to log; and what a group gives and
/// takes is noted.
#[derive(Debug, Default)]
pub struct Reader {
    moves: Moves,
}

impl Reader {
    pub(crate) fn moves(&self) -> &Moves {
        &self.moves
    }
}

impl ClientContext for Reader {
    fn error(&self, error: KafkaError, reason: &str) {
        let ended = error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF);
        if !ended && !matches!(error, KafkaError::PartitionEOF(_)) {
            tracing::warn!(error = %error, reason, "a reader of the log met trouble");
        }
    }
}

impl ConsumerContext for Reader {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        kind: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        self.moves.note(consumer, kind, partitions);
    }
}

/// Where the log is.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// `host:port`, comma separated.
    pub bootstrap_servers: String,
    /// Further settings of librdkafka, as they are (TLS, SASL).
    pub properties: BTreeMap<String, String>,
    /// Replicas of topics that are created.
    pub replicas: i32,
}

/// A topic that a part needs.
#[derive(Debug, Clone)]
pub struct TopicSpec {
    /// Name.
    pub name: String,
    /// Partitions, if it must be created.
    pub partitions: i32,
    /// Topic settings, if it must be created.
    pub config: Vec<(&'static str, String)>,
}

/// The log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The broker or librdkafka refused.
    #[error("cannot {what} at {servers}")]
    Kafka {
        /// What was tried.
        what: String,
        /// Which cluster.
        servers: String,
        /// From librdkafka.
        #[source]
        source: Box<KafkaError>,
    },
    /// A topic exists with another number of partitions than its readers and writers agree on.
    #[error("topic {topic} does not exist at {servers}")]
    NoTopic {
        /// Which.
        topic: String,
        /// Which cluster.
        servers: String,
    },
}

impl Cluster {
    /// A cluster without further settings.
    pub fn new(bootstrap_servers: &str) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.to_owned(),
            properties: BTreeMap::new(),
            replicas: 1,
        }
    }

    fn config(&self, client_id: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", client_id)
            .set("broker.address.family", "v4")
            .set("socket.nagle.disable", "true")
            // A broker that restarts should be found again at once.
            .set("reconnect.backoff.ms", "20")
            .set("reconnect.backoff.max.ms", "1000")
            .set("log_level", "3");
        config
    }

    /// An error of this cluster.
    pub fn error(&self, what: impl Into<String>, source: KafkaError) -> ClientError {
        ClientError::Kafka {
            what: what.into(),
            servers: self.bootstrap_servers.clone(),
            source: Box::new(source),
        }
    }

    /// A consumer for manual assignment. `group` is where its offsets may be committed.
    ///
    /// # Errors
    ///
    /// [`ClientError::Kafka`] when a setting is refused; no connection is made yet.
    pub fn consumer(
        &self,
        client_id: &str,
        group: &str,
        read_committed: bool,
    ) -> Result<LogConsumer, ClientError> {
        let config = self.consumer_config(client_id, group, read_committed);
        let consumer = config.create_with_context(Reader::default());
        consumer.map_err(|source| self.error("create a consumer", source))
    }

    /// A consumer of all records, those of open and aborted transactions included, which says when it has reached
    /// the end of a partition (`KafkaError::PartitionEOF`).
    ///
    /// # Errors
    ///
    /// [`ClientError::Kafka`] when a setting is refused; no connection is made yet.
    pub fn tail(&self, client_id: &str, group: &str) -> Result<LogConsumer, ClientError> {
        let mut config = self.consumer_config(client_id, group, false);
        config.set("enable.partition.eof", "true");
        let consumer = config.create_with_context(Reader::default());
        consumer.map_err(|source| self.error("create a consumer", source))
    }

    /// A consumer of committed records for [`Cluster::read_all`].
    ///
    /// # Errors
    ///
    /// [`ClientError::Kafka`] when a setting is refused; no connection is made yet.
    pub fn reader(&self, client_id: &str) -> Result<LogConsumer, ClientError> {
        let mut config = self.consumer_config(client_id, client_id, true);
        // Tells that a partition is through, and at once: an empty fetch must not wait for more.
        config
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "5");
        let consumer = config.create_with_context(Reader::default());
        consumer.map_err(|source| self.error("create a consumer", source))
    }

    fn consumer_config(&self, client_id: &str, group: &str, read_committed: bool) -> ClientConfig {
        let mut config = self.config(client_id);
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "false")
            .set(
                "isolation.level",
                if read_committed {
                    "read_committed"
                } else {
                    "read_uncommitted"
                },
            )
            .set("fetch.min.bytes", "1")
            .set("fetch.wait.max.ms", "500")
            .set("fetch.error.backoff.ms", "20")
            .set("fetch.queue.backoff.ms", "5")
            // Bounds what waits in the client: messages or kilobytes, whichever comes first.
            .set("queued.min.messages", "100000")
            .set("queued.max.messages.kbytes", "32768");
        config
    }

    /// A transactional producer; its earlier self of the same id is fenced by
    /// `init_transactions`, which the caller calls.
    ///
    /// # Errors
    ///
    /// [`ClientError::Kafka`] when a setting is refused; no connection is made yet.
    pub fn transactional_producer(
        &self,
        client_id: &str,
        transactional_id: &str,
    ) -> Result<TransactionalProducer, ClientError> {
        let mut config = self.config(client_id);
        config
            .set("transactional.id", transactional_id)
            .set(
                "transaction.timeout.ms",
                TRANSACTION_TIME_MAX_MS.to_string(),
            )
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("partitioner", "murmur2_random")
            .set("delivery.report.only.error", "true")
            .set("linger.ms", LINGER_MS)
            .set("batch.size", "1000000")
            .set("batch.num.messages", "10000")
            .set("message.max.bytes", "8000000")
            .set("queue.buffering.max.messages", "500000")
            .set("queue.buffering.max.kbytes", "262144");
        if !self.properties.contains_key(RETRY_BACKOFF) {
            config.set(RETRY_BACKOFF, RETRY_BACKOFF_MS);
        }
        let failure = Failure::default();
        let producer = config.create_with_context(failure.clone());
        let producer = producer.map_err(|source| self.error("create a producer", source))?;
        Ok(TransactionalProducer { producer, failure })
    }

    /// A producer of records outside of transactions: idempotent, acknowledged by all replicas.
    ///
    /// # Errors
    ///
    /// [`ClientError::Kafka`] when a setting is refused; no connection is made yet.
    pub fn plain_producer(&self, client_id: &str) -> Result<PlainProducer, ClientError> {
        let mut config = self.config(client_id);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("partitioner", "murmur2_random")
            .set("delivery.report.only.error", "true")
            .set("linger.ms", LINGER_MS);
        let failure = Failure::default();
        let producer = config.create_with_context(failure.clone());
        let producer = producer.map_err(|source| self.error("create a producer", source))?;
        Ok(PlainProducer(TransactionalProducer { producer, failure }))
    }

    /// An admin client.
    ///
    /// # Errors
    ///
    /// [`ClientError::Kafka`] when a setting is refused; no connection is made yet.
    pub fn admin(&self) -> Result<AdminClient<DefaultClientContext>, ClientError> {
        let admin = self.config("daybook-admin").create();
        admin.map_err(|source| self.error("create an admin client", source))
    }

    /// Creates what is missing of these, with partitions, replicas (-1 = as the cluster has it) and settings as given;
    /// existing topics stay as they are.
    ///
    /// # Errors
    ///
    /// [`ClientError::Kafka`]; retrying helps when the cluster was not reachable.
    pub async fn ensure_topics_as(
        &self,
        names: &[String],
        partitions: i32,
        replicas: i32,
        settings: &[(&str, String)],
    ) -> Result<(), ClientError> {
        let new: Vec<NewTopic<'_>> = names
            .iter()
            .map(|name| {
                let new = NewTopic::new(name, partitions, TopicReplication::Fixed(replicas));
                let settings = settings.iter();
                settings.fold(new, |new, (key, value)| new.set(key, value))
            })
            .collect();
        self.create(&new).await
    }

    /// Creates what is missing; existing topics stay as they are.
    ///
    /// # Errors
    ///
    /// [`ClientError::Kafka`]; retrying helps when the cluster was not reachable.
    pub async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), ClientError> {
        let new: Vec<NewTopic<'_>> = topics
            .iter()
            .map(|topic| {
                let replicas = TopicReplication::Fixed(self.replicas);
                let new = NewTopic::new(&topic.name, topic.partitions, replicas);
                topic
                    .config
                    .iter()
                    .fold(new, |new, (key, value)| new.set(key, value))
            })
            .collect();
        self.create(&new).await
    }

    async fn create(&self, new: &[NewTopic<'_>]) -> Result<(), ClientError> {
        let admin = self.admin()?;
        let options = AdminOptions::new().operation_timeout(Some(CALL_TIME_MAX));
        let results = admin.create_topics(new, &options).await;
        for result in results.map_err(|source| self.error("create topics", source))? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => {
                    let source = KafkaError::AdminOp(code);
                    return Err(self.error(format!("create topic {topic}"), source));
                }
            }
        }
        Ok(())
    }

    /// Whether the cluster answers within this time. Blocks.
    ///
    /// # Errors
    ///
    /// [`ClientError::Kafka`]: it does not, or refuses us.
    pub fn answers(&self, within: Duration) -> Result<(), ClientError> {
        let consumer = self.reader("daybook-admin")?;
        let answer = consumer.fetch_metadata(None, within);
        answer.map_err(|source| self.error("reach the log", source))?;
        Ok(())
    }

    /// Partitions of a topic.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoTopic`], or [`ClientError::Kafka`] when the cluster does not answer.
    pub fn partitions(&self, consumer: &LogConsumer, topic: &str) -> Result<i32, ClientError> {
        let metadata = consumer
            .fetch_metadata(Some(topic), CALL_TIME_MAX)
            .map_err(|source| self.error(format!("read about topic {topic}"), source))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let count = found.map_or(0, |found| found.partitions().len());
        if count == 0 {
            return Err(ClientError::NoTopic {
                topic: topic.to_owned(),
                servers: self.bootstrap_servers.clone(),
            });
        }
        Ok(i32::try_from(count).unwrap_or(i32::MAX))
    }

    /// First and next offset of each partition of a topic, as seen by this consumer's isolation.
    ///
    /// # Errors
    ///
    /// As [`Cluster::partitions`].
    pub fn offsets(
        &self,
        consumer: &LogConsumer,
        topic: &str,
    ) -> Result<Vec<(i64, i64)>, ClientError> {
        let partitions = self.partitions(consumer, topic)?;
        (0..partitions)
            .map(|partition| self.bounds(consumer, topic, partition))
            .collect()
    }

    /// As [`Cluster::offsets`], of one partition.
    ///
    /// # Errors
    ///
    /// [`ClientError::Kafka`].
    pub fn bounds(
        &self,
        consumer: &LogConsumer,
        topic: &str,
        partition: i32,
    ) -> Result<(i64, i64), ClientError> {
        consumer
            .fetch_watermarks(topic, partition, CALL_TIME_MAX)
            .map_err(|source| self.error(format!("read the offsets of {topic}"), source))
    }

    /// Offsets that a group has committed, by partition; `None` where it has none.
    ///
    /// # Errors
    ///
    /// [`ClientError::Kafka`].
    pub fn committed(
        &self,
        consumer: &LogConsumer,
        topic: &str,
        partitions: i32,
    ) -> Result<Vec<Option<i64>>, ClientError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic, 0, partitions - 1);
        let committed = consumer
            .committed_offsets(list, CALL_TIME_MAX)
            .map_err(|source| {
                self.error(format!("read the committed offsets of {topic}"), source)
            })?;
        let offset = |partition| {
            committed
                .find_partition(topic, partition)?
                .offset()
                .to_raw()
        };
        Ok((0..partitions)
            .map(|partition| offset(partition).filter(|offset| *offset >= 0))
            .collect())
    }

    /// Offset of the first record of a partition that was appended at this time or later, in milliseconds since 1970; `None` when
    /// there is none.
    ///
    /// # Errors
    ///
    /// [`ClientError::Kafka`].
    pub fn offset_at(
        &self,
        consumer: &LogConsumer,
        topic: &str,
        partition: i32,
        at_ms: i64,
    ) -> Result<Option<i64>, ClientError> {
        let wrap = |source| self.error(format!("look up a time in {topic}"), source);
        let mut list = TopicPartitionList::new();
        let added = list.add_partition_offset(topic, partition, Offset::Offset(at_ms));
        added.map_err(wrap)?;
        let found = consumer
            .offsets_for_times(list, CALL_TIME_MAX)
            .map_err(wrap)?;
        let found = found.find_partition(topic, partition);
        Ok(found.and_then(|found| match found.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }))
    }

    /// Hands over what is there, and waits only for the first record, until `each` wants no more.
    /// `what` is what an error says was tried.
    ///
    /// # Errors
    ///
    /// [`ClientError::Kafka`], unless librdkafka goes on by itself: then there was nothing more.
    pub fn take<'c>(
        &self,
        consumer: &'c LogConsumer,
        what: &str,
        mut wait: Duration,
        mut each: impl FnMut(BorrowedMessage<'c>) -> ControlFlow<()>,
    ) -> Result<(), ClientError> {
        loop {
            match consumer.poll(wait) {
                None => return Ok(()),
                Some(Ok(message)) => {
                    if each(message).is_break() {
                        return Ok(());
                    }
                }
                // The end of one partition says nothing about the others.
                Some(Err(KafkaError::PartitionEOF(_))) => continue,
                Some(Err(error)) if is_passing(&error) => return Ok(()),
                Some(Err(source)) => return Err(self.error(what, source)),
            }
            wait = Duration::ZERO;
        }
    }

    /// Hands over every record of a topic that is there now, read by a [`Cluster::reader`], from its beginning to its end, each
    /// partition in order. Blocks until done.
    ///
    /// # Errors
    ///
    /// As [`Cluster::partitions`].
    pub fn read_all(
        &self,
        consumer: &LogConsumer,
        topic: &str,
        mut each: impl FnMut(&BorrowedMessage<'_>),
    ) -> Result<(), ClientError> {
        let mut assignment = TopicPartitionList::new();
        for (partition, (first, next)) in (0..).zip(self.offsets(consumer, topic)?) {
            if next > first {
                let added = assignment.add_partition_offset(topic, partition, Offset::Beginning);
                added.map_err(|source| self.error("assign partitions", source))?;
            }
        }
        self.read_assigned(consumer, topic, &assignment, |message| {
            each(message);
            ControlFlow::Continue(())
        })
    }

    /// As [`Cluster::read_all`], of one partition and between two offsets, the second one excluded. It ends also
    /// while somebody goes on writing behind the second one.
    ///
    /// # Errors
    ///
    /// As [`Cluster::partitions`].
    pub fn read_between(
        &self,
        consumer: &LogConsumer,
        (topic, partition): (&str, i32),
        (from, until): (i64, i64),
        mut each: impl FnMut(&BorrowedMessage<'_>),
    ) -> Result<(), ClientError> {
        let mut assignment = TopicPartitionList::new();
        let added = assignment.add_partition_offset(topic, partition, Offset::Offset(from));
        added.map_err(|source| self.error("assign partitions", source))?;
        self.read_assigned(consumer, topic, &assignment, |message| {
            if message.offset() >= until {
                return ControlFlow::Break(());
            }
            each(message);
            match message.offset() + 1 < until {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        })
    }

    fn read_assigned(
        &self,
        consumer: &LogConsumer,
        topic: &str,
        assignment: &TopicPartitionList,
        mut each: impl FnMut(&BorrowedMessage<'_>) -> ControlFlow<()>,
    ) -> Result<(), ClientError> {
        let mut open = assignment.count();
        if open == 0 {
            return Ok(());
        }
        let assigned = consumer.assign(assignment);
        assigned.map_err(|source| self.error("assign partitions", source))?;
        while open > 0 {
            match consumer.poll(CALL_TIME_MAX) {
                Some(Ok(message)) => {
                    if each(&message).is_break() {
                        break;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
                Some(Err(source)) => return Err(self.error(format!("read topic {topic}"), source)),
                None => {
                    let source =
                        KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
                    return Err(self.error(format!("read topic {topic}"), source));
                }
            }
        }
        let unassigned = consumer.unassign();
        unassigned.map_err(|source| self.error("release partitions", source))
    }
}

/// A header of a record that is a whole number in text, as `received_at` is; `None` when it is not there.
pub fn number_header(message: &BorrowedMessage<'_>, name: &str) -> Option<i64> {
    let headers = message.headers()?;
    let header = headers.iter().find(|header| header.key == name)?;
    std::str::from_utf8(header.value?).ok()?.parse().ok()
}

/// Whether the error means that another instance has taken over this transactional id.
pub fn is_fenced(error: &KafkaError) -> bool {
    let KafkaError::Transaction(error) = error else {
        return matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::Fenced));
    };
    matches!(
        error.code(),
        RDKafkaErrorCode::Fenced
            | RDKafkaErrorCode::ProducerFenced
            | RDKafkaErrorCode::InvalidProducerEpoch
    )
}

/// Whether the log does not take a record as it is, now or ever: too large for client, broker or topic, or not valid there.
pub fn is_refused(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::MessageSizeTooLarge
                | Code::MessageBatchTooLarge
                | Code::InvalidMessageSize
                | Code::InvalidRecord
                | Code::InvalidTimestamp
        )
    )
}

/// Whether a group takes no offsets of this member, because its partitions are being given out anew or already are. The open
/// transaction is to be aborted.
pub fn is_rebalanced(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let code = match error {
        KafkaError::Transaction(error) => Some(error.code()),
        error => error.rdkafka_error_code(),
    };
    matches!(
        code,
        Some(
            Code::IllegalGeneration
                | Code::UnknownMemberId
                | Code::RebalanceInProgress
                | Code::FencedInstanceId
                | Code::StaleMemberEpoch
        )
    )
}

/// Whether librdkafka goes on by itself after this error of a poll.
pub fn is_passing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(error, KafkaError::PartitionEOF(_))
        || matches!(
            error.rdkafka_error_code(),
            Some(Code::AllBrokersDown | Code::BrokerTransportFailure | Code::OperationTimedOut)
        )
}

/// Whether the producer's buffer is full: poll it and send again.
pub fn is_queue_full(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull)
}
