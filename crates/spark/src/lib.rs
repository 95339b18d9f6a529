//! A streaming query on a Spark cluster: started, watched, begun again after failures, and stopped. The only crate that knows
//! Spark Connect.
//!
//! # Where this sits
//!
//! ```text
//! aggregate ──▶ `__daybook_counted_…` ──▶ Spark (told from here what to do) ──▶ `__daybook_spark_…` ──▶ aggregate
//! ```
//!
//! No record passes through here: Spark reads and writes Kafka itself. [`Job`] says what the query is, [`Query`] is its running,
//! [`Snapshot`] is what is known of it.
//!
//! # Invariants
//!
//! - **One query.** Its name is taken once in a session, and the session's id is kept in the log by whoever starts it: who comes
//!   second finds the query and watches it. A query that is started from another session on the same checkpoint ends the first (Spark).
//! - **Nobody waits for Spark.** Its client blocks, for minutes while the server is away. It has a thread of its own, every call has
//!   a limit, and a call that goes beyond it is left alone with its thread.
//!
//! Without the feature `connect` there is no client, and every query fails with [`SparkError::NotBuilt`].

#[cfg(not(feature = "connect"))]
mod absent;
mod call;
#[cfg(feature = "connect")]
mod connect;
mod error;
mod job;
mod progress;
mod query;

#[cfg(not(feature = "connect"))]
use absent as client;
#[cfg(feature = "connect")]
use connect as client;

pub use error::SparkError;
pub use job::{Job, Place};
pub use progress::Progress;
pub use query::{Query, Snapshot, Stage};

/// Whether this program has Spark's client.
pub const IS_BUILT: bool = cfg!(feature = "connect");
