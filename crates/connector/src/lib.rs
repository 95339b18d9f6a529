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
//! # The protocol, with one reader
//!
//! A batch is got in an MQ unit of work. One Kafka transaction holds its records *and* the identities
//! of its messages (the claim, in the id log). Kafka commits first, the queue second. After any
//! failure the unit of work is backed out, the transactional id is initialised anew (which fences an
//! earlier self and decides what it left open), and the id log is read: messages that come again and
//! are in it were delivered, and are discarded. `docs/adr/0001` says what one reader leaves out.
//!
//! # Invariants
//!
//! - **Never commit the queue before Kafka.** A crash between the two gives messages again, never
//!   loses them.
//! - **Never get before the id log was read.** Read after fencing, it is complete.
//! - Identities are dropped from the id log only when the queue has confirmed that the messages left.

mod claim;
mod data;
pub mod ibm;
mod service;
mod source;

pub use claim::{Identity, decode_claim, encode_claim, identity, identity_of_wire};
pub use service::{Connector, ConnectorError, ConnectorOptions};
pub use source::{Incoming, MqSource, QueueSource, Reader, Source, SourceError};
