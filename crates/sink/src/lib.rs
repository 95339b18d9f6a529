//! Writes results into the store: absolute values, newest version a key, then progress.
//!
//! # Where this sits
//!
//! ```text
//! results topics, counts topic ──▶ sink (you are here) ──upsert──▶ store
//! ```
//!
//! # Invariants
//!
//! - **Rewriting is harmless.** Rows are absolute and versioned: reading a stretch again changes
//!   nothing.
//! - **Few writes.** What comes while the last write is paid for is gathered, of each row the newest
//!   state alone: the store's cost depends on its rows, not on the transactions.
//! - **Progress is behind the rows.** It is written with them or after them, never before.
//! - **Several share the work.** The partitions of the results topics are given out among the sinks of a group; where each begins is
//!   in the store's progress, so a partition may change its owner at any moment.
//! - A store that is slow or down is lag, not loss: the topic keeps what was not written.

mod gathered;
mod hold;
mod pending;
mod record;
mod service;

pub use record::{RecordError, parse_row};
pub use service::{ParseControl, ParseCounts, Sink, SinkError, SinkOptions};
