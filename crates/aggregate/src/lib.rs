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
//! Where GROUP BY lacks the stream's key and the input has several partitions, there are two stages:
//!
//! ```text
//! `transactions` ──▶ Engine ──▶ `__daybook_parts_…` (what a batch adds to a row) ──▶ Totals ──▶ results topic
//! ```
//!
//! Where Spark adds up (`engine = "spark"`) it stands between the two: see `spark`.
//!
//! # Where to start reading
//!
//! [`Engine::process`] is the whole algorithm: records in, changes out. `classify` decides what
//! becomes of a record, `spill` where state goes that is too much for memory, `service` feeds the engine from Kafka and commits what it says, `takeover` is how a partition
//! and its state come from another process.
//!
//! # Invariants
//!
//! - **Pure core.** [`Engine`] reads no clock and does no I/O but to the scratch tables it is given ([`Spill`]): late and future are judged by the
//!   stream clock, the largest `received_at` seen in the partition, so a replay judges alike.
//! - **Exactly once.** Results, state changes, counts and input offsets are one Kafka transaction.
//! - **Nothing vanishes.** Each record adds one to exactly one of five counts of its day.
//! - **No floats, no wrapping.** A sum that would overflow is an error of the record.

mod changelog;
mod classify;
mod control;
mod counts;
mod engine;
mod error;
mod identities;
mod in_force;
mod options;
mod record;
mod schema;
mod service;
mod spark;
mod spill;
mod standby;
mod takeover;

/// Whether this program can have Spark add up.
pub use ::spark::IS_BUILT as HAS_SPARK;
pub use classify::Reason;
pub use control::{Control, parse_control};
pub use counts::{CountsOf, TOPIC_COUNTS, counts_key, parse_counts};
pub use engine::{
    Changes, Engine, EngineError, Input, Old, PartInput, Published, Restored, StateSize, Totals,
};
pub use error::ServiceError;
pub use in_force::in_force;
pub use options::{AggregationOptions, Definition, EngineKind, Late, fingerprint};
pub use record::{Parsed, Said, Unreadable};
pub use schema::{Column, FieldKind, Roles, Schema, SchemaError};
pub use service::{Aggregator, consumer_group, input};
pub use spark::SparkOptions;
pub use spill::{ScratchError, Spill, SpillOptions};
