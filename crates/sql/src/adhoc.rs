//! Ad-hoc queries over tables that others read.
//!
//! # Where to start reading
//!
//! [`Engine::run`]. `table` is what a source offers, `pushdown` what of a query's conditions it is told, `statement` what is refused.
//!
//! # Invariants
//!
//! - **A query changes nothing**: what is no query is refused, and the plan is looked at again.
//! - **A query is bounded**: text, time, memory, rows read, rows answered, queries at a time. Nothing spills to disk.
//! - **An answer is whole before it is given**: who takes it slowly holds nothing that others wait for but its rows.

mod answer;
mod error;
mod function;
mod nothing;
mod pushdown;
mod rewrite;
mod scan;
mod statement;
mod table;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::MemorySchemaProvider;
use datafusion::common::TableReference;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::{SQLOptions, SessionContext};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionConfig;
use datafusion::sql::parser::Statement as Parsed;
use futures::StreamExt as _;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use types::Boxed;

pub use answer::{Answer, AnswerColumn, AnswerKind, ResultTable, TextRow};
pub use error::{LimitError, QueryError};
pub use function::{Evaluate, Function};
pub use rewrite::{Parameter, ParameterType};
pub use statement::{
    OPERATORS_MAX, PARAMETERS_MAX, RELATIONS_MAX, Statement, StatementKind, parse,
};
pub use table::{Batch, ColumnType, ColumnValues, KeyValue, ReadError, TableSource, Wanted};

use crate::error::SqlError;
use scan::{RowsRead, SourceTable};

/// Name of the one database.
pub const DATABASE: &str = "daybook";
/// Schema of tables that belong to no catalog.
const SCHEMA: &str = "public";
/// Stack of the threads that queries run on: what nests as deep as is allowed fits.
pub const QUERY_STACK_BYTES: usize = 16 << 20;
/// How long a query waits for others to end.
const QUEUE_TIME_MAX: Duration = Duration::from_secs(5);
/// Threads of one query: others have theirs.
const PARTITIONS: usize = 1;

/// What one query may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryLimits {
    /// Most rows of an answer.
    pub rows_max: usize,
    /// Most rows read from sources.
    pub rows_read_max: u64,
    /// Longest time, with planning and without waiting for its turn.
    pub time_max: Duration,
    /// Most bytes of memory for groups, sorts and joins; and for the answer as much again.
    pub memory_bytes_max: usize,
    /// Most queries at a time.
    pub queries_max: usize,
    /// Longest text, in bytes.
    pub statement_bytes_max: usize,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            rows_max: 100_000,
            rows_read_max: 10_000_000,
            time_max: Duration::from_secs(30),
            memory_bytes_max: 256 << 20,
            queries_max: 4,
            statement_bytes_max: 64 << 10,
        }
    }
}

impl QueryLimits {
    /// For a program that asks one thing and ends: only memory is bounded, at 1 GiB.
    pub fn of_one_query() -> Self {
        Self {
            rows_max: usize::MAX,
            rows_read_max: u64::MAX,
            time_max: Duration::MAX,
            memory_bytes_max: 1 << 30,
            queries_max: 1,
            statement_bytes_max: 1 << 20,
        }
    }
}

/// What is known of a statement before it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Types of its parameters, given or found out.
    pub parameters: Vec<ParameterType>,
    /// Columns of its answer.
    pub columns: Vec<AnswerColumn>,
}

/// Answers queries. Clones are cheap and share the limits.
#[derive(Debug, Clone)]
pub struct Engine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tables: Vec<Arc<dyn TableSource>>,
    functions: Vec<Function>,
    limits: QueryLimits,
    permits: Semaphore,
    runtime: Option<Handle>,
}

impl Engine {
    /// An engine over these tables. Queries run on the threads of `runtime`; without it, on the caller's.
    pub fn new(
        tables: Vec<Arc<dyn TableSource>>,
        functions: Vec<Function>,
        limits: QueryLimits,
        runtime: Option<Handle>,
    ) -> Self {
        Self(Arc::new(Inner {
            tables,
            functions,
            permits: Semaphore::new(limits.queries_max.min(Semaphore::MAX_PERMITS)),
            limits,
            runtime,
        }))
    }

    /// What one query may use.
    pub fn limits(&self) -> &QueryLimits {
        &self.0.limits
    }

    /// The tables.
    pub fn tables(&self) -> &[Arc<dyn TableSource>] {
        &self.0.tables
    }

    /// Runs a query of kind [`StatementKind::Query`] and waits for all of its answer; `time_max` may be shorter than the limit. Dropping
    /// the future ends the query.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub fn run(
        &self,
        statement: &Statement,
        parameters: Vec<Parameter>,
        time_max: Option<Duration>,
    ) -> Boxed<'_, Result<Answer, QueryError>> {
        let engine = Arc::clone(&self.0);
        let statement = statement.clone();
        Box::pin(self.bounded(time_max, async move {
            let parameters: Vec<_> = parameters.into_iter().map(Some).collect();
            engine.answer(statement, &parameters).await
        }))
    }

    /// Says what a query takes and gives; `given` are types of parameters that the client knows.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub fn describe(
        &self,
        statement: &Statement,
        given: Vec<Option<ParameterType>>,
    ) -> Boxed<'_, Result<Description, QueryError>> {
        let engine = Arc::clone(&self.0);
        let statement = statement.clone();
        Box::pin(self.bounded(None, async move { engine.describe(statement, given).await }))
    }

    /// Within the limits of queries at a time and of time.
    async fn bounded<T: Send + 'static>(
        &self,
        time_max: Option<Duration>,
        work: impl Future<Output = Result<T, QueryError>> + Send + 'static,
    ) -> Result<T, QueryError> {
        let limits = &self.0.limits;
        let turn = timeout(QUEUE_TIME_MAX, self.0.permits.acquire()).await;
        let Ok(Ok(_permit)) = turn else {
            return Err(QueryError::Limit(LimitError::Queries {
                max: limits.queries_max,
            }));
        };
        let max = time_max.map_or(limits.time_max, |time| time.min(limits.time_max));
        // Dropping the set ends the work.
        let mut tasks = JoinSet::new();
        match &self.0.runtime {
            Some(runtime) => tasks.spawn_on(work, runtime),
            None => tasks.spawn(work),
        };
        match timeout(max, tasks.join_next()).await {
            Err(_) => Err(QueryError::Limit(LimitError::Time { max })),
            Ok(Some(Ok(result))) => result,
            Ok(Some(Err(error))) => Err(plain(format!("the query ended early: {error}"))),
            Ok(None) => Err(plain("the query ended early".to_owned())),
        }
    }
}

fn plain(message: String) -> QueryError {
    QueryError::Sql(SqlError::plain(message))
}

impl Inner {
    fn failed(
        &self,
        what: &'static str,
    ) -> impl Fn(datafusion::error::DataFusionError) -> QueryError {
        let max = self.limits.memory_bytes_max;
        move |error| QueryError::from_datafusion(what, error, max)
    }

    /// A session with the tables, for one query.
    fn session(&self) -> Result<SessionContext, QueryError> {
        let mut config = SessionConfig::new()
            .with_information_schema(true)
            .with_default_catalog_and_schema(DATABASE, SCHEMA)
            .with_target_partitions(PARTITIONS);
        // 0.1 is a decimal, never a float.
        config.options_mut().sql_parser.parse_float_as_decimal = true;
        let nothing_on_disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
        let memory = GreedyMemoryPool::new(self.limits.memory_bytes_max);
        let runtime = RuntimeEnvBuilder::new()
            .with_disk_manager_builder(nothing_on_disk)
            .with_memory_pool(Arc::new(memory))
            .build_arc()
            .map_err(self.failed("no session"))?;
        let session = SessionContext::new_with_config_rt(config, runtime);
        for function in &self.functions {
            session.register_udf(function.clone().into_udf());
        }
        let rows_read = Arc::new(RowsRead::new(self.limits.rows_read_max));
        for source in &self.tables {
            let table = SourceTable::new(Arc::clone(source), Arc::clone(&rows_read));
            if source.schema() != SCHEMA
                && let Some(catalog) = session.catalog(DATABASE)
                && catalog.schema(source.schema()).is_none()
            {
                let schema = Arc::new(MemorySchemaProvider::new());
                let registered = catalog.register_schema(source.schema(), schema);
                registered.map_err(self.failed("a schema"))?;
            }
            let name = TableReference::partial(source.schema(), source.name());
            let registered = session.register_table(name, Arc::new(table));
            registered.map_err(self.failed("a table"))?;
        }
        Ok(session)
    }

    async fn plan(
        &self,
        session: &SessionContext,
        mut statement: Statement,
        parameters: &[Option<Parameter>],
    ) -> Result<LogicalPlan, QueryError> {
        if let Some(inner) = statement::innermost(&mut statement.parsed) {
            rewrite::with_parameters(inner, parameters);
            nothing::without_subqueries(inner, &|name| self.is_empty(name));
        }
        let plan = session.state().statement_to_plan(statement.parsed).await;
        let plan = plan.map_err(self.failed("not accepted"))?;
        let only_reading = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        match only_reading.verify_plan(&plan) {
            Ok(()) => Ok(plan),
            Err(error) => Err(QueryError::ReadOnly {
                what: error.strip_backtrace(),
            }),
        }
    }

    fn is_empty(&self, table: &str) -> bool {
        let mut tables = self.tables.iter();
        tables.any(|source| source.is_empty() && source.name() == table)
    }

    fn columns_of_nothing(&self, statement: &Statement) -> Option<Vec<AnswerColumn>> {
        let Parsed::Statement(inner) = &statement.parsed else {
            return None;
        };
        let names = nothing::columns_of_nothing(inner, &|name| self.is_empty(name))?;
        let column = |name| AnswerColumn {
            name,
            kind: AnswerKind::Text,
        };
        Some(names.into_iter().map(column).collect())
    }

    /// Plans it and begins to run it.
    async fn begin(
        &self,
        session: &SessionContext,
        statement: Statement,
        parameters: &[Option<Parameter>],
    ) -> Result<SendableRecordBatchStream, QueryError> {
        let plan = self.plan(session, statement, parameters).await?;
        let frame = session.execute_logical_plan(plan).await;
        let frame = frame.map_err(self.failed("not accepted"))?;
        let stream = frame.execute_stream().await;
        stream.map_err(self.failed("not accepted"))
    }

    async fn answer(
        &self,
        statement: Statement,
        parameters: &[Option<Parameter>],
    ) -> Result<Answer, QueryError> {
        let nothing = self.columns_of_nothing(&statement);
        let session = self.session()?;
        let begun = self.begin(&session, statement, parameters).await;
        let mut stream = match (begun, nothing) {
            (Ok(stream), _) => stream,
            (Err(_), Some(columns)) => return Ok(Answer::nothing(columns)),
            (Err(error), None) => return Err(error),
        };
        let schema = stream.schema();
        let (mut rows, mut bytes) = (0_usize, 0_usize);
        let mut batches = Vec::new();
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(self.failed("failed"))?;
            rows += batch.num_rows();
            bytes = bytes.saturating_add(batch.get_array_memory_size());
            if rows > self.limits.rows_max {
                let max = self.limits.rows_max;
                return Err(QueryError::Limit(LimitError::Rows { max }));
            }
            if bytes > self.limits.memory_bytes_max {
                let max = self.limits.memory_bytes_max;
                return Err(QueryError::Limit(LimitError::Memory { max }));
            }
            batches.push(batch);
        }
        Ok(Answer::new(&schema, batches))
    }

    /// Columns of its answer, with the types that are known when all is decided.
    async fn columns(
        &self,
        session: &SessionContext,
        statement: Statement,
        parameters: &[Option<Parameter>],
    ) -> Result<Vec<AnswerColumn>, QueryError> {
        let plan = self.plan(session, statement, parameters).await?;
        let plan = session.state().optimize(&plan);
        let plan = plan.map_err(self.failed("not accepted"))?;
        Ok(answer::columns(plan.schema().inner()))
    }

    async fn describe(
        &self,
        statement: Statement,
        given: Vec<Option<ParameterType>>,
    ) -> Result<Description, QueryError> {
        let session = self.session()?;
        let count = statement.parameters();
        let mut types: Vec<Option<ParameterType>> = given;
        types.resize(count, None);
        if types.iter().any(Option::is_none) {
            let known: Vec<_> = types.iter().map(|kind| kind.map(nothing_of)).collect();
            // Where it cannot be found out it is text, which becomes what it is used for.
            if let Ok(plan) = self.plan(&session, statement.clone(), &known).await
                && let Ok(found) = plan.get_parameter_types()
            {
                for (name, found) in found {
                    let index = statement::parameter_number(&name).map(|number| number - 1);
                    if let Some(unknown @ None) = index.and_then(|index| types.get_mut(index)) {
                        *unknown = found.as_ref().and_then(parameter_type);
                    }
                }
            }
        }
        let types = types.into_iter();
        let types: Vec<_> = types
            .map(|kind| kind.unwrap_or(ParameterType::Text))
            .collect();
        let nothing: Vec<_> = types.iter().map(|kind| Some(nothing_of(*kind))).collect();
        let columns_of_nothing = self.columns_of_nothing(&statement);
        let columns = match (
            self.columns(&session, statement, &nothing).await,
            columns_of_nothing,
        ) {
            (Ok(columns), _) | (Err(_), Some(columns)) => columns,
            (Err(error), None) => return Err(error),
        };
        Ok(Description {
            parameters: types,
            columns,
        })
    }
}

fn nothing_of(kind: ParameterType) -> Parameter {
    Parameter { kind, text: None }
}

fn parameter_type(found: &DataType) -> Option<ParameterType> {
    Some(match found {
        DataType::Boolean => ParameterType::Bool,
        found if found.is_integer() => ParameterType::Int,
        DataType::Decimal128(..) | DataType::Decimal256(..) => ParameterType::Decimal,
        DataType::Float32 | DataType::Float64 => ParameterType::Float,
        DataType::Date32 => ParameterType::Date,
        DataType::Timestamp(..) => ParameterType::Timestamp,
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => ParameterType::Text,
        _ => return None,
    })
}

/// A function `today('aggregation')`, and `today()` for the only or first one, that says the business day as `day_of` knows it.
pub fn today(
    day_of: impl Fn(Option<&str>) -> Option<types::BusinessDay> + Send + Sync + 'static,
) -> Function {
    Function {
        name: "today".to_owned(),
        returns: ColumnType::Day,
        evaluate: Arc::new(move |args| {
            let of = args.first().copied().flatten();
            day_of(of).map(|day| day.to_string())
        }),
    }
}
