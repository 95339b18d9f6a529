//! A client of IBM MQ's channel protocol: asynchronous, in Rust alone.
//!
//! # Where this sits
//!
//! ```text
//! gateway ──put, commit──▶ mq-client (you are here) ──TCP, TLS──▶ a queue manager:
//! connector ◀─get, commit──┘                                      IBM MQ, or Daybook's on port 1414
//! ```
//!
//! # Where to start reading
//!
//! [`Connection`] is a socket, [`Session`] one conversation on it: MQCONN's handle with a unit of work
//! of its own. `start` is what both sides agree on, `socket` the task that reads and writes.
//!
//! # Invariants
//!
//! - **One call at a time in a session**: the protocol has it so, and `&mut self` says it. Sessions on
//!   one socket do not wait for each other.
//! - **A call that was dropped ends its session.** Nobody would know whose reply comes next. The
//!   queue manager then backs out what was not committed.
//! - **Nothing is guessed**: when the connection breaks during MQCMIT, or during a put outside of a unit
//!   of work, the error says that the outcome is unknown ([`ClientError::outcome_is_unknown`]).
//! - **Memory is bounded** by the longest message of the channel, whatever the other side sends.
//!
//! The protocol is not published; `docs/specs/mq.md` says what was verified against what.

mod connection;
mod error;
mod options;
mod reason;
mod session;
mod socket;
mod start;
mod tls;

pub use connection::{Connection, connect_any};
pub use error::ClientError;
pub use mq_wire::mqi::{attribute, close, get, open, put};
pub use mq_wire::{Chars, MessageDescriptor, match_options};
pub use options::{ClientOptions, Host, HostError, Password};
pub use reason::Reason;
pub use session::{GetRequest, Got, Queue, Session};
pub use tls::{ClientTls, ClientTlsFiles, TlsError};
