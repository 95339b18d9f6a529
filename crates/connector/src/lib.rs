//! Carries messages from the queue into Kafka, exactly once.
//!
//! # Where this sits
//!
//! ```text
//! queue ──get, commit──▶ connector (you are here) ──one Kafka transaction──▶ topic `transactions`
//!                                                             └────────────▶ id log
//! ```
//!
//! The queue is one of this process ([`QueueSource`]) or of a queue manager elsewhere, IBM MQ's for
//! instance ([`MqSource`]).
//!
//! # The protocol
//!
//! `docs/specs/delivery.md` has it whole. A reader gets a batch in an MQ unit of work. One Kafka transaction holds
//! its records *and* the identities of its messages: the claim, in the id log. Before it commits, the reader has
//! read the id log up to its own claim; if an earlier claim that may still count has one of its messages, it gives
//! way. So of all claims to a message one alone is ever committed, whoever else reads the queue, in this process or
//! in others, and however late somebody acts who was thought dead. Kafka commits first, the queue second.
//!
//! # Where to start reading
//!
//! `delivery.rs` is one reader, step by step; `idlog/` the rules, without I/O; `tail.rs` the thread that reads the id
//! log for all readers of the process; `keeper.rs` cuts it; `service.rs` starts them.
//!
//! # Invariants
//!
//! - **Never commit the queue before Kafka.** A crash between the two gives messages again, never
//!   loses them.
//! - **Never commit Kafka before the own claim was read back**, and every earlier claim to the same messages is
//!   decided.
//! - **Once the end of a transaction was sent, nothing is guessed**: its marker in the log says how it ended.
//! - Identities are forgotten only when the queue has confirmed that the messages left, and no unit of work here is
//!   older than that.

mod claim;
mod data;
mod delivery;
pub mod ibm;
mod idlog;
mod keeper;
mod service;
mod source;
mod tail;
mod translate;

pub use claim::{Identity, identity, identity_of_wire};
pub use service::{Connector, ConnectorError, ConnectorOptions, READERS_MAX, Report, ReportState};
pub use source::{BatchLimits, Head, Incoming, MqSource, QueueSource, Reader, Source, SourceError};
pub use translate::IbmRecords;
