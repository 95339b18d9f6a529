//! IBM MQ's client channel protocol, both sides, without I/O.
//!
//! # Where this sits
//!
//! ```text
//! IBM's clients ──TCP, TLS──▶ mq-server ──┐
//!                                         ├── mq-wire (you are here): bytes ⇄ flows
//! a queue manager ◀──TCP, TLS── mq-client ┘
//! ```
//!
//! # Where to start reading
//!
//! [`stream`](SegmentReader) cuts bytes into segments and joins long messages; [`Flow`] is what a
//! message says; `descriptor` and `connection` list the structures field by field. [`Pcf`] is what
//! administration's messages carry as their data.
//!
//! # Invariants
//!
//! - Reading never panics, and allocates only for bytes that are there, up to stated limits.
//! - Reading and writing follow from one list of fields: what was read is written as the same bytes.
//! - A segment is read by the byte order and character set of its own header.
//!
//! The protocol is not published. What is here was verified against IBM's Java client 9.4; see
//! `tests/captures/README.md` for what is known from where.

mod call;
mod connection;
mod descriptor;
mod error;
mod field;
mod flow;
mod header;
pub mod mqi;
mod pcf;
mod rfh2;
mod spi;
mod stream;
mod streaming;
mod subscription;
mod text;
mod time;
mod xa;

pub use call::*;
pub use connection::*;
pub use descriptor::*;
pub use error::WireError;
pub use field::{ByteOrder, Chars};
pub use flow::Flow;
pub use header::{Conversation, Header, HeaderKind, SegmentType, TSH_BYTES, TSHM_BYTES, flags};
pub use pcf::*;
pub use rfh2::*;
pub use spi::*;
pub use stream::*;
pub use streaming::*;
pub use subscription::*;
pub use text::{TextCode, convert};
pub use time::{date_and_time, micros_of};
pub use xa::*;
