//! Why a query has no answer.

use std::time::Duration;

use datafusion::error::DataFusionError;

use super::table::ReadError;
use crate::error::SqlError;

/// A query has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The text is no SQL. Retrying does not help.
    #[error(transparent)]
    Syntax(SqlError),
    /// There is no such table. Retrying does not help.
    #[error(transparent)]
    NoTable(SqlError),
    /// There is no such column. Retrying does not help.
    #[error(transparent)]
    NoColumn(SqlError),
    /// It is not accepted, or failed while it ran. Retrying does not help.
    #[error(transparent)]
    Sql(SqlError),
    /// It would change something. Retrying does not help.
    #[error(
        "{what} is refused: totals are read only here, and only SELECT, WITH, VALUES, EXPLAIN and SHOW are answered"
    )]
    ReadOnly {
        /// The kind of statement.
        what: String,
    },
    /// More than one query may use. Retrying helps only against [`LimitError::Queries`].
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// A source could not be read. Retrying may help.
    #[error("the store cannot be read")]
    Source(#[source] ReadError),
}

/// A limit was reached. Every text says which, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// Rows of the answer.
    #[error(
        "the answer has more than {max} rows (limit `rows_max`): add LIMIT, aggregate, or raise the limit"
    )]
    Rows {
        /// Most.
        max: usize,
    },
    /// Rows read from the store.
    #[error(
        "the query reads more than {max} rows (limit `rows_read_max`): narrow business_day or the key in WHERE, or raise the limit"
    )]
    RowsRead {
        /// Most.
        max: u64,
    },
    /// Time.
    #[error(
        "the query took longer than {} ms (limit `time_ms_max`): narrow business_day or the key in WHERE, or raise the limit",
        max.as_millis()
    )]
    Time {
        /// Longest.
        max: Duration,
    },
    /// Memory.
    #[error(
        "the query needs more than {max} bytes of memory (limit `memory_bytes_max`): select fewer groups or rows, or raise the limit"
    )]
    Memory {
        /// Most.
        max: usize,
    },
    /// Queries at a time.
    #[error(
        "{max} queries are running and none ended in time (limit `queries_max`): try again, or raise the limit"
    )]
    Queries {
        /// Most.
        max: usize,
    },
    /// Length of the text.
    #[error(
        "the statement has {bytes} bytes, but may have {max} (limit `statement_bytes_max`): shorten it, or raise the limit"
    )]
    StatementBytes {
        /// How many it has.
        bytes: usize,
        /// Most.
        max: usize,
    },
}

/// A source's own error, on its way through DataFusion.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct SourceError(pub(super) ReadError);

impl QueryError {
    /// `what` was tried; `memory_max` is the limit that DataFusion's pool has.
    pub(super) fn from_datafusion(what: &str, error: DataFusionError, memory_max: usize) -> Self {
        let mut root = error.find_root();
        // A shared error is found behind what shares it.
        while let DataFusionError::Shared(shared) = root {
            root = shared.find_root();
        }
        match root {
            DataFusionError::External(cause) => {
                if let Some(limit) = cause.downcast_ref::<LimitError>() {
                    return Self::Limit(limit.clone());
                }
                if let Some(source) = cause.downcast_ref::<SourceError>() {
                    return Self::Source(source.0.to_string().into());
                }
            }
            DataFusionError::ResourcesExhausted(_) => {
                return Self::Limit(LimitError::Memory { max: memory_max });
            }
            _ => {}
        }
        let is_syntax = matches!(root, DataFusionError::SQL(..));
        let is_column = matches!(root, DataFusionError::SchemaError(..));
        let text = root.to_string();
        let is_table = text.contains("table '") && text.contains("' not found");
        let error = SqlError::from_datafusion(what, error);
        match (is_syntax, is_column, is_table) {
            (true, ..) => Self::Syntax(error),
            (_, true, _) => Self::NoColumn(error),
            (.., true) => Self::NoTable(error),
            _ => Self::Sql(error),
        }
    }
}
