//! A connector's configuration, typed, and every reason why it cannot be honoured.
//!
//! Invariants: what is in an [`IbmConfig`] is honoured, every key of it; a key without effect left a
//! [`Note`]; passwords show themselves neither in errors nor in `Debug`. No file is opened here.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use mq_client::{Host, Password};

use super::convert::Converter;
use super::file::ConfigMap;
use super::honour;
use super::keys::KeyType;
use super::read::Reader;

/// Most readers of a queue.
pub const READERS_MAX: u32 = 64;
/// Most messages of a unit of work: MQ's MAXUMSGS as it comes.
pub const BATCH_MESSAGES_MAX: u32 = 10_000;
/// Longest time of any wait, in milliseconds: one hour.
pub const WAIT_MS_MAX: i64 = 3_600_000;
/// Most names and patterns in `daybook.queues`.
pub const QUEUES_MAX: usize = 1_000;
/// Most characters of a Kafka topic's name.
pub const TOPIC_CHARS_MAX: usize = 249;
/// What `daybook.topic.pattern` replaces.
pub(super) const QUEUE_VARIABLE: &str = "${queue}";

/// A key whose wish cannot be honoured. Retrying does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct ConfigError {
    /// Which.
    pub key: String,
    /// Names the value, unless it is a secret; says why, and what to do.
    pub reason: String,
}

/// A key that is taken without effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Which.
    pub key: String,
    /// Why nothing follows from it.
    pub reason: String,
}

/// Everything that a connector is to do.
#[derive(Debug, Clone)]
pub struct IbmConfig {
    /// Of the connector.
    pub name: String,
    /// Sessions that read each queue.
    pub readers: u32,
    /// Where the queues are.
    pub connection: Connection,
    /// Which queues.
    pub queues: Vec<QueueName>,
    /// Where records go.
    pub topic: TopicName,
    /// What of a message becomes the record.
    pub record: RecordOptions,
    /// How messages are gathered.
    pub batch: BatchOptions,
    /// What becomes of messages that cannot be converted.
    pub errors: ErrorOptions,
    /// Settings of the producer, without `producer.override.`.
    pub producer: BTreeMap<String, String>,
    /// How topics are made that are missing at the start; `None` = they are not.
    pub topic_creation: Option<TopicCreation>,
    /// Keys without effect, to be logged at the start.
    pub notes: Vec<Note>,
}

/// A queue manager and who we are to it.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Its name.
    pub queue_manager: String,
    /// Tried in this order.
    pub hosts: Vec<Host>,
    /// Server-connection channel.
    pub channel: String,
    /// Empty = none is said.
    pub user: String,
    /// As MQCSP sends it.
    pub password: Option<Password>,
    /// `None` = no TLS.
    pub tls: Option<Tls>,
    /// First pause before the connection is made anew; it doubles.
    pub reconnect_min: Duration,
    /// Longest pause.
    pub reconnect_max: Duration,
}

/// Certificates. [`store_error`](super::store_error) tells what a file is that turns out to be no PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// As it was asked for. Which suite is used is for the two sides to agree.
    pub cipher_suite: String,
    /// Roots, PEM.
    pub truststore: PathBuf,
    /// Certificate and key in one file, PEM.
    pub keystore: Option<PathBuf>,
}

/// A queue, or all that begin so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueName {
    /// This one.
    Exact(String),
    /// All local queues whose names begin with this.
    Prefix(String),
}

/// Where records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicName {
    /// All to this one.
    One(String),
    /// What comes in front of and behind the queue's name, any number of times.
    Pattern(String),
}

impl TopicName {
    /// The topic for a queue. Characters of MQ names that Kafka does not take (`%`, `/`) become `_`;
    /// cut to 249 characters.
    pub fn of(&self, queue: &str) -> String {
        match self {
            Self::One(topic) => topic.clone(),
            Self::Pattern(pattern) => {
                let legal = |char: char| match is_topic_char(char) {
                    true => char,
                    false => '_',
                };
                let queue: String = queue.trim_end().chars().map(legal).collect();
                let topic = pattern.replace(QUEUE_VARIABLE, &queue);
                topic.chars().take(TOPIC_CHARS_MAX).collect()
            }
        }
    }
}

/// Which class builds records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builder {
    /// The body as it is.
    Default,
    /// The body must be JSON.
    Json,
}

/// Where a record's key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// No key.
    None,
    /// Without `ID:`.
    MessageId,
    /// Without `ID:`.
    CorrelationId,
    /// As bytes.
    CorrelationIdBytes,
    /// For instance `queue:///APP.IN`.
    Destination,
    /// `JMSXGroupID`.
    GroupId,
    /// A field of the JSON body: names from the outside in.
    JsonField(Vec<String>),
}

/// Values of `mq.record.builder.key.header`.
pub(super) const KEY_HEADERS: &[&str] = &[
    "JMSMessageID",
    "JMSCorrelationID",
    "JMSCorrelationIDAsBytes",
    "JMSDestination",
    "JMSXGroupID",
];

/// What of a message becomes the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordOptions {
    /// Which builder.
    pub builder: Builder,
    /// The body is that of a JMS message.
    pub body_jms: bool,
    /// Whether MQMD's fields are properties too.
    pub mqmd_read: bool,
    /// Whether properties become headers.
    pub copy_properties: bool,
    /// The record's key.
    pub key: KeySource,
    /// How the key is written.
    pub key_converter: Converter,
    /// How the value is written.
    pub value_converter: Converter,
    /// How headers are written.
    pub header_converter: Converter,
}

/// How messages are gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchOptions {
    /// Most messages of a unit of work.
    pub messages_max: u32,
    /// Longest wait for the first message.
    pub first_wait: Duration,
    /// Longest wait for each further one.
    pub next_wait: Duration,
    /// Longest time that a batch is gathered; `None` = no limit.
    pub gather_max: Option<Duration>,
}

/// Where a message goes that cannot be converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Poison {
    /// Nowhere: the task fails, the message stays first on the queue.
    Fail,
    /// Dropped, with a warning.
    Skip,
    /// To this topic, in the batch's transaction.
    Topic {
        /// Its name.
        topic: String,
        /// Whether the reason goes with it.
        context_headers: bool,
    },
    /// To this queue, as it is.
    Queue(String),
}

/// What becomes of messages that cannot be converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorOptions {
    /// Where they go.
    pub poison: Poison,
    /// As errors, not as warnings.
    pub log: bool,
    /// With identifiers.
    pub log_messages: bool,
}

/// How missing topics are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicCreation {
    /// -1 = the cluster's default.
    pub partitions: i32,
    /// -1 = the cluster's default.
    pub replication_factor: i16,
    /// Further settings of the topic.
    pub settings: BTreeMap<String, String>,
}

impl IbmConfig {
    /// Reads a configuration as Connect has it.
    ///
    /// # Errors
    ///
    /// Every [`ConfigError`] there is, in the order of the keys' table.
    pub fn from(map: &ConfigMap) -> Result<Self, Vec<ConfigError>> {
        let mut reader = Reader::new(map);
        let config = honour::read(&mut reader);
        reader.finish(config)
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

/// Whether a value of this key is a secret: by its type, or by its name as IBM's connector does it.
pub fn is_secret(key: &str) -> bool {
    super::keys::key(key).is_some_and(|key| key.kind == KeyType::Password)
        || key.to_ascii_lowercase().contains("password")
}

/// What Kafka takes in names.
pub(super) fn is_topic_char(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-')
}
