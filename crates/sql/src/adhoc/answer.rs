//! A query's rows, as text: decimals exact.

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::error::SqlError;

/// Type of a column of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerKind {
    /// Text, and whatever else is shown as text.
    Text,
    /// `true` or `false`.
    Bool,
    /// A whole number of at most 32 bits.
    Int4,
    /// A whole number of 64 bits.
    Int8,
    /// An exact decimal, or a whole number that may have more than 63 bits.
    Decimal,
    /// A float.
    Float,
    /// `2026-11-23`.
    Date,
    /// `2026-11-23T10:15:00`, to the microsecond.
    Timestamp,
    /// The same, in UTC.
    TimestampUtc,
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: AnswerKind,
}

/// A query's answer, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    columns: Vec<AnswerColumn>,
    batches: Vec<RecordBatch>,
}

/// A row's cells; `None` is null.
pub type TextRow = Vec<Option<String>>;

/// A query's answer, as text: decimals exact, with at least two digits behind the point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultTable {
    /// Column names.
    pub columns: Vec<String>,
    /// Which columns hold numbers (JSON writes whole numbers bare, decimals as strings).
    pub whole_numbers: Vec<bool>,
    /// Rows of cells; `None` is null.
    pub rows: Vec<TextRow>,
}

impl Answer {
    pub(super) fn new(schema: &SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self {
            columns: columns(schema),
            batches,
        }
    }

    /// Without rows.
    pub(super) fn nothing(columns: Vec<AnswerColumn>) -> Self {
        Self {
            columns,
            batches: Vec::new(),
        }
    }

    /// Its columns.
    pub fn columns(&self) -> &[AnswerColumn] {
        &self.columns
    }

    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Its rows, made into text a batch of some thousand at a time.
    pub fn into_batches(self) -> impl Iterator<Item = Result<Vec<TextRow>, SqlError>> + Send {
        self.batches.into_iter().map(|batch| {
            let columns = batch.columns().iter().map(cells);
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
            let row = |_| {
                columns
                    .iter_mut()
                    .map(|cells| cells.next().flatten())
                    .collect()
            };
            Ok((0..batch.num_rows()).map(row).collect())
        })
    }

    /// All of it.
    ///
    /// # Errors
    ///
    /// [`SqlError`] of a value that has no text.
    pub fn into_table(self) -> Result<ResultTable, SqlError> {
        let is_whole =
            |column: &AnswerColumn| matches!(column.kind, AnswerKind::Int4 | AnswerKind::Int8);
        let mut table = ResultTable {
            columns: self
                .columns
                .iter()
                .map(|column| column.name.clone())
                .collect(),
            whole_numbers: self.columns.iter().map(is_whole).collect(),
            rows: Vec::new(),
        };
        for rows in self.into_batches() {
            table.rows.extend(rows?);
        }
        Ok(table)
    }
}

/// Names and types, as an answer has them.
pub(super) fn columns(schema: &SchemaRef) -> Vec<AnswerColumn> {
    let fields = schema.fields().iter();
    fields
        .map(|field| AnswerColumn {
            name: field.name().clone(),
            kind: kind(field.data_type()),
        })
        .collect()
}

fn kind(data_type: &DataType) -> AnswerKind {
    match data_type {
        DataType::Boolean => AnswerKind::Bool,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => {
            AnswerKind::Int4
        }
        DataType::Int64 | DataType::UInt32 => AnswerKind::Int8,
        DataType::UInt64
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => AnswerKind::Decimal,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => AnswerKind::Float,
        DataType::Date32 => AnswerKind::Date,
        DataType::Timestamp(_, None) => AnswerKind::Timestamp,
        DataType::Timestamp(_, Some(_)) => AnswerKind::TimestampUtc,
        _ => AnswerKind::Text,
    }
}

fn cells(array: &ArrayRef) -> Result<Vec<Option<String>>, SqlError> {
    let failed = |error: datafusion::arrow::error::ArrowError| {
        SqlError::from_datafusion("a cell", error.into())
    };
    let array = match array.data_type() {
        // A finer time than PostgreSQL's is cut off, and every zone is shown as UTC.
        DataType::Timestamp(_, zone) => {
            let zone = zone.as_ref().map(|_| "+00:00".into());
            &cast(array, &DataType::Timestamp(TimeUnit::Microsecond, zone)).map_err(failed)?
        }
        _ => array,
    };
    let data_type = array.data_type();
    let is_decimal = matches!(
        data_type,
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) if *scale > 0
    );
    if let DataType::Utf8 = data_type {
        let texts = array.as_string::<i32>();
        return Ok(texts.iter().map(|text| text.map(str::to_owned)).collect());
    }
    let options = FormatOptions::default();
    let shown = ArrayFormatter::try_new(array.as_ref(), &options).map_err(failed)?;
    let cell = |row| {
        // Of a type of its own, nulls are not marked.
        if *data_type == DataType::Null || array.is_null(row) {
            return Ok(None);
        }
        let text = shown.value(row).try_to_string().map_err(failed)?;
        Ok(Some(match is_decimal {
            true => shorten(&text),
            false => text,
        }))
    };
    (0..array.len()).map(cell).collect()
}

/// `2500315.63000` becomes `2500315.63`: no trailing zeros, at least two digits.
fn shorten(decimal: &str) -> String {
    let Some((whole, digits)) = decimal.split_once('.') else {
        return decimal.to_owned();
    };
    let kept = digits.trim_end_matches('0').len().max(2).min(digits.len());
    format!("{whole}.{}", &digits[..kept])
}
