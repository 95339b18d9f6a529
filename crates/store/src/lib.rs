//! The results store: the rows of every aggregation, upserted by version, in one SQLite file.
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
//! - **Progress follows the rows.** The next offset of a partition is written in the same SQLite
//!   transaction as the rows below it: whoever reads progress and then scans misses nothing.
//! - Tables are plain: anyone with `sqlite3` can read them. Decimals are text, exactly as published.

mod error;
mod rows;
mod sqlite;

pub use error::StoreError;
pub use rows::{Cell, CellKind, Row, TableSpec};
pub use sqlite::{Store, Write};
