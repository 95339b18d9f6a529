//! What others offer as a table: columns, and rows in batches.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int64Array, RecordBatch,
    RecordBatchOptions, StringArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use types::{Amount, BusinessDay, Days};

/// Digits of sums (DESIGN §3).
const SUM_PRECISION: u8 = 33;
const SCALE: i8 = 5;

/// Type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// Text.
    Text,
    /// An exact decimal, DECIMAL(33,5).
    Decimal,
    /// A whole number of 64 bits.
    Int,
    /// A date.
    Day,
    /// True or false.
    Bool,
}

/// Values of one column, as many as the batch has rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnValues {
    /// Text, or null.
    Text(Vec<Option<String>>),
    /// Exact decimals, or null.
    Decimal(Vec<Option<Amount>>),
    /// Whole numbers, or null.
    Int(Vec<Option<i64>>),
    /// Days.
    Day(Vec<BusinessDay>),
    /// True or false.
    Bool(Vec<bool>),
}

/// A value that a column is compared with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyValue {
    /// Text.
    Text(String),
    /// A whole number.
    Int(i64),
}

/// Which rows a query looks at, as far as a source may make use of it: it may hand over more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Values of the first column of type [`ColumnType::Day`].
    pub days: Days,
    /// Columns of text or whole numbers (by index), each with the values of which it must have one, ascending.
    pub equal: Vec<(usize, Vec<KeyValue>)>,
}

/// Rows of a table.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// How many.
    pub rows: usize,
    /// Of each column that was asked for, in that order.
    pub columns: Vec<ColumnValues>,
}

/// Why a source cannot be read.
pub type ReadError = Box<dyn std::error::Error + Send + Sync>;

/// A table that can be queried.
pub trait TableSource: fmt::Debug + Send + Sync {
    /// Its schema: `public` unless it belongs to a catalog.
    fn schema(&self) -> &str {
        "public"
    }

    /// Name in SQL.
    fn name(&self) -> &str;

    /// Names and types of the columns.
    fn columns(&self) -> &[(String, ColumnType)];

    /// Whether it never has a row: then also questions about it that go beyond this SQL are answered, with nothing.
    fn is_empty(&self) -> bool {
        false
    }

    /// Hands over rows in batches of bounded size, with the columns of these indices, until `each` breaks. May block.
    ///
    /// # Errors
    ///
    /// Why the rows cannot be read.
    fn read(
        &self,
        wanted: &Wanted,
        columns: &[usize],
        each: &mut dyn FnMut(Batch) -> ControlFlow<()>,
    ) -> Result<(), ReadError>;
}

/// `days 2026-11-23; account = ann`; nothing where all rows are wanted.
pub(super) fn show_wanted(wanted: &Wanted, columns: &[(String, ColumnType)]) -> String {
    let mut parts = Vec::new();
    if !wanted.days.is_all() {
        parts.push(format!("days {}", wanted.days));
    }
    for (index, values) in &wanted.equal {
        let name = columns.get(*index).map_or("?", |(name, _)| name);
        let values: Vec<String> = values
            .iter()
            .map(|value| match value {
                KeyValue::Text(text) => text.clone(),
                KeyValue::Int(number) => number.to_string(),
            })
            .collect();
        parts.push(format!("{name} = {}", values.join(" or ")));
    }
    parts.join("; ")
}

pub(super) fn arrow_type(kind: ColumnType) -> DataType {
    match kind {
        ColumnType::Text => DataType::Utf8,
        ColumnType::Decimal => DataType::Decimal128(SUM_PRECISION, SCALE),
        ColumnType::Int => DataType::Int64,
        ColumnType::Day => DataType::Date32,
        ColumnType::Bool => DataType::Boolean,
    }
}

pub(super) fn arrow_schema(columns: &[(String, ColumnType)]) -> SchemaRef {
    let field = |(name, kind): &(String, ColumnType)| Field::new(name, arrow_type(*kind), true);
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

impl Batch {
    pub(super) fn into_arrow(self, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        let arrays = self.columns.into_iter().map(ColumnValues::into_array);
        let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
        // Without columns nothing else says how many rows there are.
        let rows = RecordBatchOptions::new().with_row_count(Some(self.rows));
        RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &rows)
    }
}

impl ColumnValues {
    fn into_array(self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Text(values) => Arc::new(values.into_iter().collect::<StringArray>()),
            Self::Int(values) => Arc::new(values.into_iter().collect::<Int64Array>()),
            Self::Bool(values) => Arc::new(values.into_iter().map(Some).collect::<BooleanArray>()),
            Self::Day(values) => {
                let days = values.into_iter().map(|day| Some(day.epoch_days()));
                Arc::new(days.collect::<Date32Array>())
            }
            Self::Decimal(values) => {
                let units = values.into_iter().map(|value| value.map(Amount::units));
                let array = units.collect::<Decimal128Array>();
                Arc::new(array.with_precision_and_scale(SUM_PRECISION, SCALE)?)
            }
        })
    }
}
