//! SQL, by Apache DataFusion: aggregations over micro-batches, and ad-hoc queries over tables.
//!
//! # Where this sits
//!
//! ```text
//! aggregate ──columns of a batch──▶ sql (you are here) ──partial results──▶ aggregate (folds them)
//! query ──rows of the store──▶ sql ──rows──▶ terminal, PostgreSQL's clients
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

pub use adhoc::{
    Answer, AnswerColumn, AnswerKind, Batch, ColumnType, ColumnValues, DATABASE, Description,
    Engine, Evaluate, Function, KeyValue, LimitError, OPERATORS_MAX, PARAMETERS_MAX, Parameter,
    ParameterType, QUERY_STACK_BYTES, QueryError, QueryLimits, RELATIONS_MAX, ReadError,
    ResultTable, Statement, StatementKind, TableSource, TextRow, Wanted, parse, today,
};
pub use batch::{InputBatch, InputColumn, InputKind};
pub use error::SqlError;
pub use finish::{Finished, FoldedRow};
pub use fold::{DISTINCT_VALUES_MAX, FoldError, FoldKind, Folded, Scalar, ValueKind};
pub use plan::{
    AggregationPlan, Argument, Contribution, Contributions, GroupRef, Output, OutputSource,
    RUN_RECORDS_MAX,
};
