//! What is computed from the folded values of a row: HAVING, and expressions of the SELECT list.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Decimal128Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{BinaryExpr, Expr};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::sql::sqlparser::tokenizer::Span;
use types::Amount;

use crate::error::SqlError;
use crate::exact::{exact, sum_type};
use crate::fold::{Folded, Scalar, ValueKind};
use crate::read::{ScalarReader, value_kind};

/// A row whose expressions are to be computed.
#[derive(Debug, Clone, Copy)]
pub struct FoldedRow<'a> {
    /// Parts of the key as text, `business_day` first; `None` is SQL's null.
    pub key: &'a [Option<&'a str>],
    /// One a fold.
    pub values: &'a [Folded],
}

/// What HAVING and the expressions of the SELECT list say of some rows.
#[derive(Debug, Default)]
pub struct Finished {
    /// Of each row, whether HAVING is satisfied.
    pub visible: Vec<bool>,
    /// Of each expression its value of each row.
    pub computed: Vec<Vec<Option<Scalar>>>,
    /// Values that could not be computed, by division by zero or because they are too large. They are null, and a HAVING
    /// that cannot be computed is not satisfied.
    pub failures: u64,
    /// Why the first of them could not.
    pub failure: Option<String>,
}

/// Where a column of the expressions comes from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Key(DataType),
    Value(ValueKind),
}

#[derive(Debug)]
struct Computed {
    expression: Arc<dyn PhysicalExpr>,
    kind: ValueKind,
}

/// Expressions over folded values, planned.
#[derive(Debug)]
pub(crate) struct Finish {
    schema: SchemaRef,
    /// Those that are read, with their place among keys or values.
    sources: Vec<(Source, usize)>,
    having: Option<Arc<dyn PhysicalExpr>>,
    computed: Vec<Computed>,
}

/// Name of the column of a key or value in the expressions.
pub(crate) fn key_column(place: usize) -> String {
    format!("key{place}")
}

/// As [`key_column`], of a value.
pub(crate) fn value_column(place: usize) -> String {
    format!("value{place}")
}

/// The Arrow type that values are computed with.
fn arrow_type(kind: ValueKind) -> DataType {
    match kind {
        ValueKind::Decimal => sum_type(),
        ValueKind::Int => DataType::Int64,
        ValueKind::Date => DataType::Date32,
        ValueKind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ValueKind::Text => DataType::Utf8,
    }
}

impl Finish {
    /// Plans the expressions, whose columns are [`key_column`] and [`value_column`].
    pub(crate) fn plan(
        context: &SessionContext,
        keys: &[DataType],
        values: &[ValueKind],
        having: Option<(Expr, Span)>,
        computed: Vec<(Expr, Span)>,
    ) -> Result<Self, SqlError> {
        let keys = keys.iter().enumerate();
        let keys = keys.map(|(place, kind)| (key_column(place), Source::Key(kind.clone()), place));
        let values = values.iter().enumerate();
        let values = values.map(|(place, kind)| (value_column(place), Source::Value(*kind), place));
        let expressions = computed.iter().chain(&having);
        let read: std::collections::HashSet<String> = expressions
            .flat_map(|(expression, _)| expression.column_refs())
            .map(|column| column.name.clone())
            .collect();
        let used = keys.chain(values).filter(|(name, ..)| read.contains(name));
        let (fields, sources): (Vec<Field>, Vec<_>) = used
            .map(|(name, source, place)| {
                let kind = match &source {
                    Source::Key(kind) => kind.clone(),
                    Source::Value(kind) => arrow_type(*kind),
                };
                (Field::new(name, kind, true), (source, place))
            })
            .unzip();
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let columns = DFSchema::try_from(Arc::clone(&schema))
            .map_err(|error| SqlError::from_datafusion("not accepted", error))?;
        let having = having.map(|(expression, span)| {
            let (expression, kind) = physical(context, expression, span, &columns)?;
            match kind {
                DataType::Boolean | DataType::Null => Ok(expression),
                kind => Err(SqlError::refused(
                    format!("HAVING is a condition, not {kind}"),
                    span,
                )),
            }
        });
        let computed = computed.into_iter().map(|(expression, span)| {
            let (expression, kind) = physical(context, expression, span, &columns)?;
            let kind = value_kind(&kind).ok_or_else(|| {
                let hint = match kind {
                    DataType::Boolean => "CASE WHEN ... THEN 'yes' ELSE 'no' END is text",
                    _ => "results are decimals, whole numbers, dates, times and text",
                };
                SqlError::refused(
                    format!("{kind} cannot be a column of the results; {hint}"),
                    span,
                )
            })?;
            Ok(Computed { expression, kind })
        });
        Ok(Self {
            having: having.transpose()?,
            computed: computed.collect::<Result<_, SqlError>>()?,
            schema,
            sources,
        })
    }

    /// What a computed column is.
    pub(crate) fn kind(&self, place: usize) -> Option<ValueKind> {
        self.computed.get(place).map(|computed| computed.kind)
    }

    /// Computes the expressions of some rows, all at once.
    pub(crate) fn compute(&self, rows: &[FoldedRow<'_>]) -> Finished {
        let batch = match self.batch(rows) {
            Ok(batch) => batch,
            Err(error) => return self.failed(rows.len(), &error),
        };
        let mut finished = Finished {
            visible: vec![true; rows.len()],
            ..Finished::default()
        };
        for computed in &self.computed {
            let values = each_row(&batch, &mut finished, None, |batch| {
                scalars(computed, batch)
            });
            finished.computed.push(values);
        }
        if let Some(having) = &self.having {
            finished.visible = each_row(&batch, &mut finished, false, |batch| {
                conditions(having, batch)
            });
        }
        finished
    }

    fn batch(&self, rows: &[FoldedRow<'_>]) -> Result<RecordBatch, SqlError> {
        let sources = self.sources.iter();
        let columns = sources.map(|(source, place)| match source {
            Source::Key(kind) => key_array(rows, *place, kind),
            Source::Value(kind) => Ok(value_array(rows, *place, *kind)),
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let count = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &count)
            .map_err(|error| SqlError::from_datafusion("folded values", error.into()))
    }

    /// Nothing could be computed.
    fn failed(&self, rows: usize, error: &SqlError) -> Finished {
        let expressions = self.computed.len() + usize::from(self.having.is_some());
        Finished {
            visible: vec![self.having.is_none(); rows],
            computed: vec![vec![None; rows]; self.computed.len()],
            failures: (expressions * rows) as u64,
            failure: Some(error.to_string()),
        }
    }
}

/// All rows at once; if that fails row by row, with `otherwise` for those that fail.
fn each_row<T: Clone>(
    batch: &RecordBatch,
    finished: &mut Finished,
    otherwise: T,
    run: impl Fn(&RecordBatch) -> Result<Vec<T>, SqlError>,
) -> Vec<T> {
    if let Ok(values) = run(batch) {
        return values;
    }
    let mut values = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        match run(&batch.slice(row, 1)) {
            Ok(mut one) => values.append(&mut one),
            Err(error) => {
                finished.failures += 1;
                finished.failure.get_or_insert_with(|| error.to_string());
                values.push(otherwise.clone());
            }
        }
    }
    values
}

fn evaluate(expression: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<ArrayRef, SqlError> {
    let value = expression.evaluate(batch);
    let array = value.and_then(|value| value.into_array(batch.num_rows()));
    array.map_err(|error| SqlError::from_datafusion("an expression failed", error))
}

fn scalars(computed: &Computed, batch: &RecordBatch) -> Result<Vec<Option<Scalar>>, SqlError> {
    let reader = ScalarReader::new(&evaluate(&computed.expression, batch)?)?;
    let values = (0..batch.num_rows()).map(|row| reader.value(row));
    let values: Result<_, _> = values.collect();
    values.map_err(|error| SqlError::plain(error.to_string()))
}

fn conditions(having: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<Vec<bool>, SqlError> {
    let array = evaluate(having, batch)?;
    let Some(array) = array.as_boolean_opt() else {
        return Ok(vec![false; batch.num_rows()]);
    };
    let rows = 0..batch.num_rows();
    Ok(rows
        .map(|row| array.is_valid(row) && array.value(row))
        .collect())
}

/// Coerced, simplified, without floats.
fn physical(
    context: &SessionContext,
    expression: Expr,
    span: Span,
    columns: &DFSchema,
) -> Result<(Arc<dyn PhysicalExpr>, DataType), SqlError> {
    let refuse = |error| SqlError::from_datafusion("not accepted", error).at(span);
    // Quotients of averages are known to be of decimals only now.
    let expression = expression.transform_up(|node| {
        Ok(match &node {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                exact(*op, left, right, columns).map_or(Transformed::no(node), Transformed::yes)
            }
            _ => Transformed::no(node),
        })
    });
    let config = context.copied_config().options().clone();
    let simplify = SimplifyContext::builder()
        .with_schema(Arc::new(columns.clone()))
        .with_config_options(config)
        .build();
    let simplifier = ExprSimplifier::new(simplify);
    let coerced = simplifier
        .coerce(expression.map_err(refuse)?.data, columns)
        .map_err(refuse)?;
    refuse_floats(&coerced, columns, span)?;
    let simple = simplifier.simplify(coerced).map_err(refuse)?;
    let physical = context
        .create_physical_expr(simple, columns)
        .map_err(refuse)?;
    let kind = physical.data_type(columns.as_arrow()).map_err(refuse)?;
    Ok((physical, kind))
}

/// Refuses an expression that is or has a float.
pub(crate) fn refuse_floats(
    expression: &Expr,
    columns: &DFSchema,
    span: Span,
) -> Result<(), SqlError> {
    use datafusion::logical_expr::ExprSchemable;
    let float = expression.exists(|node| {
        let kind = match node {
            // Folded in its own exact way.
            Expr::AggregateFunction(_) => None,
            node => node.get_type(columns).ok(),
        };
        Ok(kind.is_some_and(|kind| kind.is_floating()))
    });
    match float {
        Ok(false) => Ok(()),
        _ => Err(SqlError::refused(
            "this would be a float, which is not exact; DECIMAL(33,5) is",
            span,
        )),
    }
}

fn key_array(rows: &[FoldedRow<'_>], place: usize, kind: &DataType) -> Result<ArrayRef, SqlError> {
    let parts = rows.iter().map(|row| row.key.get(place).copied().flatten());
    let text: ArrayRef = Arc::new(parts.collect::<StringArray>());
    let checked = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(&text, kind, &checked)
        .map_err(|error| SqlError::from_datafusion("a key", error.into()))
}

fn value_array(rows: &[FoldedRow<'_>], place: usize, kind: ValueKind) -> ArrayRef {
    let values = rows
        .iter()
        .map(|row| row.values.get(place).and_then(Folded::shown));
    match kind {
        ValueKind::Decimal => {
            let units = values.map(|value| match value {
                Some(Scalar::Decimal(amount)) => Some(Amount::units(amount)),
                _ => None,
            });
            let array = units
                .collect::<Decimal128Array>()
                .with_data_type(sum_type());
            Arc::new(array)
        }
        ValueKind::Int => {
            let numbers = values.map(|value| match value {
                Some(Scalar::Int(number)) => Some(number),
                _ => None,
            });
            Arc::new(numbers.collect::<Int64Array>())
        }
        ValueKind::Date => {
            let days = values.map(|value| match value {
                Some(Scalar::Date(days)) => Some(days),
                _ => None,
            });
            Arc::new(days.collect::<Date32Array>())
        }
        ValueKind::Timestamp => {
            let instants = values.map(|value| match value {
                Some(Scalar::Timestamp(micros)) => Some(micros),
                _ => None,
            });
            let array = instants.collect::<TimestampMicrosecondArray>();
            Arc::new(array.with_timezone("UTC"))
        }
        ValueKind::Text => {
            let texts = values.map(|value| match value {
                Some(Scalar::Text(text)) => Some(text),
                _ => None,
            });
            Arc::new(texts.collect::<StringArray>())
        }
    }
}
