//! Today's totals: the running aggregation of transactions, exact and each counted once.
//!
//! # Where this sits
//!
//! ```text
//! topic `transactions` ──▶ aggregate (you are here) ──▶ results topic ──▶ sink, web
//!                              │      └─▶ topic `__daybook_counts` (what became of the records)
//!                              └─▶ changelog topic (its own state)
//! ```
//!
//! # Where to start reading
//!
//! [`Engine::process`] is the whole algorithm: records in, changes out. `classify` decides what
//! becomes of a record, `service` feeds the engine from Kafka and commits what it says.
//!
//! # Invariants
//!
//! - **Pure core.** [`Engine`] does no I/O and reads no clock: late and future are judged by the
//!   stream clock, the largest `received_at` seen in the partition, so a replay judges alike.
//! - **Exactly once.** Results, state changes, counts and input offsets are one Kafka transaction.
//! - **Nothing vanishes.** Each record adds one to exactly one of five counts of its day.
//! - **No floats, no wrapping.** A sum that would overflow is an error of the record.

mod changelog;
mod classify;
mod engine;
mod options;
mod record;
mod service;

pub use classify::Reason;
pub use engine::{Changes, Engine, EngineError, Input, Published};
pub use options::{AggregationOptions, Late, definition_fingerprint, stream_columns};
pub use record::{Parsed, Unreadable, content_hash, identity_hash, parse};
pub use service::{
    Aggregator, ServiceError, TOPIC_COUNTS, consumer_group, counts_key, parse_counts,
};
