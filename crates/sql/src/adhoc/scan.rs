//! A source as a table of DataFusion.
//!
//! Invariant: a source is read on a thread for blocking calls, at most [`BATCHES_AHEAD_MAX`] batches ahead of who takes them; nobody
//! waits for it on the runtime's threads, and it stops when nobody wants more.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties,
};

use super::error::{LimitError, SourceError};
use super::pushdown;
use super::table::{TableSource, Wanted, arrow_schema, show_wanted};

/// Most batches that are read ahead.
const BATCHES_AHEAD_MAX: usize = 2;

/// Rows that one query has read of all its tables.
#[derive(Debug)]
pub(super) struct RowsRead {
    count: AtomicU64,
    max: u64,
}

impl RowsRead {
    pub(super) fn new(max: u64) -> Self {
        Self {
            count: AtomicU64::new(0),
            max,
        }
    }

    fn add(&self, rows: usize) -> Result<(), LimitError> {
        let rows = rows as u64;
        let before = self.count.fetch_add(rows, Relaxed);
        match before.saturating_add(rows) > self.max {
            true => Err(LimitError::RowsRead { max: self.max }),
            false => Ok(()),
        }
    }
}

#[derive(Debug)]
pub(super) struct SourceTable {
    source: Arc<dyn TableSource>,
    schema: SchemaRef,
    rows_read: Arc<RowsRead>,
}

impl SourceTable {
    pub(super) fn new(source: Arc<dyn TableSource>, rows_read: Arc<RowsRead>) -> Self {
        Self {
            schema: arrow_schema(source.columns()),
            source,
            rows_read,
        }
    }
}

#[async_trait]
impl TableProvider for SourceTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Never exact: whatever a source makes of them, the rows are looked at again.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let columns = self.source.columns();
        let use_of = |filter: &&Expr| match pushdown::narrows(filter, columns) {
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(use_of).collect())
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = match projection {
            Some(columns) => columns.clone(),
            None => (0..self.schema.fields().len()).collect(),
        };
        let schema = Arc::new(self.schema.project(&columns)?);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Arc::new(SourceScan {
            wanted: pushdown::wanted(filters, self.source.columns()),
            source: Arc::clone(&self.source),
            rows_read: Arc::clone(&self.rows_read),
            columns,
            schema,
            limit,
            properties: Arc::new(properties),
        }))
    }
}

/// The reading of a source, as a node of a plan.
#[derive(Debug)]
struct SourceScan {
    source: Arc<dyn TableSource>,
    rows_read: Arc<RowsRead>,
    wanted: Wanted,
    columns: Vec<usize>,
    schema: SchemaRef,
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
}

/// What `EXPLAIN` shows: what the source is asked for.
impl DisplayAs for SourceScan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreScan: {}", self.source.name())?;
        let wanted = show_wanted(&self.wanted, self.source.columns());
        if !wanted.is_empty() {
            write!(f, ", {wanted}")?;
        }
        match self.limit {
            Some(limit) => write!(f, ", limit={limit}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for SourceScan {
    fn name(&self) -> &'static str {
        "StoreScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // It has none.
        Ok(self)
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = Arc::clone(&self.schema);
        let mut stream = RecordBatchReceiverStream::builder(Arc::clone(&schema), BATCHES_AHEAD_MAX);
        let batches = stream.tx();
        let source = Arc::clone(&self.source);
        let rows_read = Arc::clone(&self.rows_read);
        let (wanted, columns) = (self.wanted.clone(), self.columns.clone());
        let mut left = self.limit.unwrap_or(usize::MAX);
        stream.spawn_blocking(move || {
            let mut failed = None;
            let read = source.read(&wanted, &columns, &mut |batch| {
                let rows = batch.rows;
                let sent = rows_read.add(rows).map_err(external).and_then(|()| {
                    let batch = batch.into_arrow(&schema)?;
                    // An error means that nobody wants more.
                    Ok(batches.blocking_send(Ok(batch)).is_ok())
                });
                left = left.saturating_sub(rows);
                match sent {
                    Ok(true) if left > 0 => ControlFlow::Continue(()),
                    Ok(_) => ControlFlow::Break(()),
                    Err(error) => {
                        failed = Some(error);
                        ControlFlow::Break(())
                    }
                }
            });
            match failed {
                Some(error) => Err(error),
                None => read.map_err(|source| external(SourceError(source))),
            }
        });
        Ok(stream.build())
    }
}

fn external(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
