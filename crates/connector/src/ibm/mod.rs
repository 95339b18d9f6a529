//! IBM's Kafka Connect source connector for MQ, as far as its configuration and its records go.
//!
//! # Where this sits
//!
//! ```text
//! .properties, JSON ──ConfigFile──▶ map ──IbmConfig──▶ what the reader is to do
//!                                    └──validate────▶ the REST API's answer
//! message from the queue ──RecordBuilder (with IbmConfig)──▶ record, or Poison ──▶ dead letter
//! ```
//!
//! # Invariants
//!
//! - Nothing here does I/O or reads a clock.
//! - A wish that cannot be honoured is refused with the reason and what to do instead; a key that is
//!   taken without effect leaves a note.
//! - A record's bytes are those that IBM's connector 3.0.0 and Kafka Connect's converter write for the
//!   same message. `docs/specs/connect.md` lists where they differ.
//!
//! Sources: the connector's documentation and its behaviour in a worker; what a message looks like to
//! JMS was taken from IBM's client 9.4.5 (`tests/jms.txt`).

mod config;
mod convert;
mod file;
mod honour;
mod keys;
mod message;
mod read;
mod record;
mod stores;
mod table;
mod validate;
mod variables;

pub use config::{
    BATCH_MESSAGES_MAX, BatchOptions, Builder, ConfigError, Connection, ErrorOptions, IbmConfig,
    KeySource, Note, Poison, QUEUES_MAX, QueueName, READERS_MAX, RecordOptions, TOPIC_CHARS_MAX,
    Tls, TopicCreation, TopicName, WAIT_MS_MAX, is_secret,
};
pub use convert::{Converter, Datum};
pub use file::{ConfigFile, ConfigMap, FILE_BYTES_MAX, FileError, properties};
pub use keys::{
    CONNECTOR_ALIASES, CONNECTOR_CLASS, CONNECTOR_VERSION, Check, Effect, Importance, KEYS, Key,
    KeyType, PREFIXES, Prefix, key,
};
pub use message::{JmsKind, JmsMessage, Received};
pub use record::{Record, RecordBuilder, RecordError, Stage};
pub use stores::store_error;
pub use validate::{ConfigInfo, ConfigValue, Definition, Validation, definitions, judge, validate};
pub use variables::{Find, Variable, validate_resolved};

use config::KEY_HEADERS;

#[cfg(test)]
mod tests;
