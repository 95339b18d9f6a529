//! SQL, by Apache DataFusion: aggregations over micro-batches, and ad-hoc queries over tables.
//!
//! # Where this sits
//!
//! ```text
//! aggregate ──columns of a batch──▶ sql (you are here) ──partial results──▶ aggregate (folds them)
//! daybook query ──rows of the store──▶ sql ──table──▶ terminal
//! ```
//!
//! # Invariants
//!
//! - **The only crate that knows DataFusion and Arrow.** They are heavy to build and change often.
//! - **The plan is made once.** A batch costs an execution, not a planning.
//! - **Decimals are exact.** An aggregation that would yield a float is refused.

mod adhoc;
mod batch;
mod error;
mod exact;
mod finish;
mod fold;
mod plan;
mod read;
mod subset;

pub use adhoc::{Column, ColumnKind, ResultTable, Table, query};
pub use batch::{InputBatch, InputColumn, InputKind};
pub use error::SqlError;
pub use finish::{Finished, FoldedRow};
pub use fold::{DISTINCT_VALUES_MAX, FoldError, FoldKind, Folded, Scalar, ValueKind};
pub use plan::{
    AggregationPlan, Argument, Contribution, Contributions, GroupRef, Output, OutputSource,
    RUN_RECORDS_MAX,
};
