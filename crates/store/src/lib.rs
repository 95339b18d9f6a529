//! The results store: the rows of every aggregation, upserted by version, in a SQLite file or an Apache Cassandra cluster.
//!
//! # Where this sits
//!
//! ```text
//! results topic ─▶ sink ─upsert─▶ store (you are here) ─scan─▶ web, daybook query, daybook prove
//! ```
//!
//! # Invariants
//!
//! - **Absolute values.** A row is replaced whole, never added to.
//! - **An older version never overwrites a newer one**, in whatever order writes come.
//! - **Progress follows the rows.** The next offset of a partition is written with the rows below it or after them: whoever reads
//!   progress and then scans misses nothing.
//! - Tables are plain: anyone with `sqlite3` or `cqlsh` can read them. Decimals keep the digits that were published.
//!
//! [`StoreTarget`] says which store it is; nobody behind it knows.

mod cassandra;
mod error;
mod rows;
mod sqlite;
mod target;

pub use cassandra::{
    BUCKETS_MAX, CASSANDRA_NAME_CHARS_MAX, CASSANDRA_PORT, CassandraOptions, CassandraTls,
    Consistency, DAYS_KEPT_MAX, Replication,
};
pub use error::{DriverError, StoreError};
pub use rows::{Cell, CellKind, DayCounts, OWN_COLUMNS, OWN_TABLES, Row, Selection, TableSpec};
pub use target::{Store, StoreTarget, Write};
