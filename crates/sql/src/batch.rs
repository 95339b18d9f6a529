//! Columns of a micro-batch, built record by record.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Date32Builder, Decimal128Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::record_batch::RecordBatch;
use types::Amount;

use crate::error::SqlError;

/// Digits of a transaction's amount (DESIGN §3).
const AMOUNT_PRECISION: u8 = 23;
const AMOUNT_SCALE: i8 = 5;

/// Type of a column of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputKind {
    /// Text.
    Text,
    /// DECIMAL(23,5).
    Amount,
    /// A whole number of 64 bits.
    Integer,
    /// An instant in microseconds, UTC.
    Timestamp,
    /// A date, in days since 1970.
    Date,
}

/// A column of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputColumn {
    /// Name in SQL and in the canonical JSON.
    pub name: String,
    /// Type.
    pub kind: InputKind,
    /// Whether a record may have null.
    pub is_nullable: bool,
}

impl InputColumn {
    /// A column that every record has.
    pub fn new(name: &str, kind: InputKind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            is_nullable: false,
        }
    }

    /// The same, where records may have null.
    pub fn nullable(self) -> Self {
        Self {
            is_nullable: true,
            ..self
        }
    }

    fn field(&self) -> Field {
        let kind = match self.kind {
            InputKind::Text => DataType::Utf8,
            InputKind::Amount => DataType::Decimal128(AMOUNT_PRECISION, AMOUNT_SCALE),
            InputKind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            InputKind::Date => DataType::Date32,
            InputKind::Integer => DataType::Int64,
        };
        Field::new(&self.name, kind, self.is_nullable)
    }
}

pub(crate) fn schema(columns: &[InputColumn]) -> SchemaRef {
    let fields: Vec<Field> = columns.iter().map(InputColumn::field).collect();
    Arc::new(Schema::new(fields))
}

#[derive(Debug)]
enum Builder {
    Text(StringBuilder),
    Amount(Decimal128Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Date(Date32Builder),
    Integer(Int64Builder),
}

/// The columns that a plan reads, filled record by record.
///
/// Each `push_*` adds to one column; the caller pushes exactly one value to every column for each
/// record. A value of the wrong kind for its column is a bug of the caller and is refused when the
/// batch is run.
#[derive(Debug)]
pub struct InputBatch {
    schema: SchemaRef,
    builders: Vec<Builder>,
    rows: usize,
}

impl InputBatch {
    pub(crate) fn new(columns: &[InputColumn]) -> Self {
        let builders = columns
            .iter()
            .map(|column| match column.kind {
                InputKind::Text => Builder::Text(StringBuilder::new()),
                InputKind::Amount => Builder::Amount(Decimal128Builder::new()),
                InputKind::Timestamp => {
                    Builder::Timestamp(TimestampMicrosecondBuilder::new().with_timezone("UTC"))
                }
                InputKind::Date => Builder::Date(Date32Builder::new()),
                InputKind::Integer => Builder::Integer(Int64Builder::new()),
            })
            .collect();
        Self {
            schema: schema(columns),
            builders,
            rows: 0,
        }
    }

    /// Text, or null.
    pub fn push_text(&mut self, column: usize, value: Option<&str>) {
        if let Some(Builder::Text(builder)) = self.builders.get_mut(column) {
            builder.append_option(value);
        }
    }

    /// An amount that fits a transaction, or null.
    pub fn push_amount(&mut self, column: usize, value: Option<Amount>) {
        if let Some(Builder::Amount(builder)) = self.builders.get_mut(column) {
            builder.append_option(value.map(Amount::units));
        }
    }

    /// Microseconds since 1970, or null.
    pub fn push_timestamp(&mut self, column: usize, micros: Option<i64>) {
        if let Some(Builder::Timestamp(builder)) = self.builders.get_mut(column) {
            builder.append_option(micros);
        }
    }

    /// Days since 1970, or null.
    pub fn push_date(&mut self, column: usize, days: Option<i32>) {
        if let Some(Builder::Date(builder)) = self.builders.get_mut(column) {
            builder.append_option(days);
        }
    }

    /// A whole number, or null.
    pub fn push_integer(&mut self, column: usize, value: Option<i64>) {
        if let Some(Builder::Integer(builder)) = self.builders.get_mut(column) {
            builder.append_option(value);
        }
    }

    /// Call once for each record, after its columns.
    pub fn end_record(&mut self) {
        self.rows += 1;
    }

    /// Records so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The batch; `self` is empty afterwards and keeps its memory.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch, SqlError> {
        let columns = self
            .builders
            .iter_mut()
            .map(|builder| -> Result<ArrayRef, SqlError> {
                Ok(match builder {
                    Builder::Text(builder) => Arc::new(builder.finish()),
                    Builder::Timestamp(builder) => Arc::new(builder.finish()),
                    Builder::Date(builder) => Arc::new(builder.finish()),
                    Builder::Integer(builder) => Arc::new(builder.finish()),
                    Builder::Amount(builder) => {
                        let array = builder.finish();
                        let array = array.with_precision_and_scale(AMOUNT_PRECISION, AMOUNT_SCALE);
                        Arc::new(array.map_err(|error| {
                            SqlError::from_datafusion("an amount does not fit", error.into())
                        })?)
                    }
                })
            });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        self.rows = 0;
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|error| SqlError::from_datafusion("the batch is uneven", error.into()))
    }
}
