//! The composition root: reads the configuration, starts the parts, watches over them.
//!
//! # Where to start reading
//!
//! [`start`] is the path of data in one function, downstream first. `config` is the reference of
//! every key.
//!
//! # Invariants
//!
//! - Only this crate knows "embedded" from "external". Parts meet on a queue, a topic or a table.
//! - Everything is checked before a socket opens: [`Plan::check`] reports all mistakes at once.
//! - Stopping goes upstream first, so that what was accepted is carried through.

mod admin;
mod calendar;
mod check;
mod config;
mod connect;
mod directories;
mod input;
mod intake;
mod lag;
mod levels;
mod log;
mod mq_outbox;
mod outbox;
mod postgres;
mod queue;
mod queue_names;
mod reload;
mod sources;
mod spool;
mod start;
mod store_target;
mod topics;

pub use check::{Mistake, Plan};
pub use config::{
    AggregationConfig, AggregatorConfig, Authentication, Config, ConfigError, ConnectorConfig,
    EngineConfig, KeepDays, LateConfig, LogAccess, LogConfig, LogPermission, LogTls, LogUser,
    Place, PostgresConfig, PostgresTlsConfig, PostgresUserConfig, QueueClient, QueueConfig,
    QueuePermission, QueueRight, QueueRule, QueueTls, QueueUser, SinkConfig, SparkConfig,
    StoreConfig, StoreConsistency, StoreReplication, WebConfig, WebConfigError, WebProxy, WebTls,
    WebUser,
};
pub use connect::{ApplyLevels, connector_mistakes};
pub use connector::ibm::{ConfigFile, FileError};
pub use input::InputConfig;
pub use log::{LogConfigError, log_cluster};
pub use queue::{ClientConfigError, QueueProcess, hash_password, reachable};
pub use sources::{BUILT_IN, load as load_sources};
pub use start::{Part, Running, StartError, StartOptions, start};
pub use store_target::store_target;
