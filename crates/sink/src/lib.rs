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
//! - **Progress is behind the rows.** It is written with them, in one SQLite transaction.
//! - A store that is slow or down is lag, not loss: the topic keeps what was not written.

mod record;
mod service;

pub use record::{RecordError, parse_row};
pub use service::{ParseCounts, Sink, SinkError, SinkOptions};
