//! An embedded, single-node, durable broker that speaks Kafka's protocol.
//!
//! # Where this sits
//!
//! ```text
//! connector ─► kafka-broker (you are here) ─► aggregator ─► kafka-broker ─► sink, web
//! ```
//!
//! It is Daybook's log on a laptop. Clients are ordinary Kafka clients and cannot tell the difference, so that what
//! works here works on a cluster.
//!
//! # Where to start reading
//!
//! [`Broker::start`], then `connection` (bytes in and out), `api` (one file a request), `shared` (how a request
//! changes the state durably), `state` (what there is), `checkpoint` (how the journal stays short).
//!
//! # Invariants
//!
//! - **Acknowledged is durable.** Everything that changes goes to one journal, whose `fdatasync` serves all who
//!   wait (group commit), and is answered afterwards.
//! - **Visible is durable.** The high watermark follows the journal; nobody reads what a crash could take back.
//! - **A transaction ends in one journal record**, so that no crash shows half of it.
//! - **One way to change.** Live requests and recovery apply the same entries to the same state.
//! - **Nobody unknown.** Beyond loopback a connection must say who it is, and may do what it was granted.
//! - **No trust in peers.** Every length and count is checked against a limit before anything is allocated for it.

mod api;
mod batch;
mod broker;
mod checkpoint;
mod cleanup;
mod codec;
mod config;
mod connection;
mod entry;
mod group;
mod partition_log;
mod records;
mod security;
mod shape;
mod shared;
#[cfg(test)]
mod spec;
mod state;
mod stats;
mod topic_config;
mod topics;
mod transaction;

pub use broker::{Broker, BrokerWatch, CreateTopicError, StartError};
pub use config::BrokerConfig;
pub use kafka_protocol::ResponseError;
pub use security::{Access, Permission, Resource, TlsError, TlsFiles, User};
pub use stats::BrokerStats;
