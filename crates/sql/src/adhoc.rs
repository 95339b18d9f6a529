//! Ad-hoc queries over tables that were read from the store.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Decimal128Array, Int64Array, StringArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::execution::context::SessionContext;
use types::{Amount, BusinessDay};

use crate::error::SqlError;

/// Digits of sums (DESIGN §3).
const SUM_PRECISION: u8 = 33;
const SCALE: i8 = 5;

/// Values of one column of a table.
#[derive(Debug, Clone)]
pub enum ColumnKind {
    /// Text, or null.
    Text(Vec<Option<String>>),
    /// Exact decimals, or null.
    Decimal(Vec<Option<Amount>>),
    /// Whole numbers, or null.
    Int(Vec<Option<i64>>),
    /// Days.
    Day(Vec<BusinessDay>),
}

/// A named column.
#[derive(Debug, Clone)]
pub struct Column {
    /// Name in SQL.
    pub name: String,
    /// Its values; all columns of a table have the same number.
    pub values: ColumnKind,
}

/// A table that can be queried.
#[derive(Debug, Clone)]
pub struct Table {
    /// Name in SQL.
    pub name: String,
    /// Its columns.
    pub columns: Vec<Column>,
}

/// A query's answer, as text: decimals exact, with at least two digits behind the point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultTable {
    /// Column names.
    pub columns: Vec<String>,
    /// Which columns hold numbers (JSON writes whole numbers bare, decimals as strings).
    pub whole_numbers: Vec<bool>,
    /// Rows of cells; `None` is null.
    pub rows: Vec<Vec<Option<String>>>,
}

impl Column {
    fn array(&self) -> Result<(Field, ArrayRef), SqlError> {
        let (kind, array): (DataType, ArrayRef) = match &self.values {
            ColumnKind::Text(values) => (
                DataType::Utf8,
                Arc::new(values.iter().map(Option::as_deref).collect::<StringArray>()),
            ),
            ColumnKind::Int(values) => (
                DataType::Int64,
                Arc::new(values.iter().copied().collect::<Int64Array>()),
            ),
            ColumnKind::Day(values) => {
                let days = values.iter().map(|day| Some(day.epoch_days()));
                (DataType::Date32, Arc::new(days.collect::<Date32Array>()))
            }
            ColumnKind::Decimal(values) => {
                let units = values.iter().map(|value| value.map(Amount::units));
                let array = units.collect::<Decimal128Array>();
                let array = array
                    .with_precision_and_scale(SUM_PRECISION, SCALE)
                    .map_err(|error| SqlError::from_datafusion("a decimal", error.into()))?;
                (DataType::Decimal128(SUM_PRECISION, SCALE), Arc::new(array))
            }
        };
        Ok((Field::new(&self.name, kind, true), array))
    }
}

/// Runs a query over the tables.
///
/// # Errors
///
/// [`SqlError`] as DataFusion says it, with the position where known.
pub async fn query(sql: &str, tables: &[Table]) -> Result<ResultTable, SqlError> {
    let context = SessionContext::new();
    for table in tables {
        let columns = table.columns.iter().map(Column::array);
        let (fields, arrays): (Vec<_>, Vec<_>) =
            columns.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
            .map_err(|error| SqlError::from_datafusion("a table is uneven", error.into()))?;
        context
            .register_batch(&table.name, batch)
            .map_err(|error| SqlError::from_datafusion("a table", error))?;
    }
    let frame = context.sql(sql).await;
    let frame = frame.map_err(|error| SqlError::from_datafusion("not accepted", error))?;
    let schema = Arc::clone(frame.schema().inner());
    let batches = frame.collect().await;
    let batches = batches.map_err(|error| SqlError::from_datafusion("failed", error))?;
    let fields = schema.fields();
    let mut result = ResultTable {
        columns: fields.iter().map(|field| field.name().clone()).collect(),
        whole_numbers: fields
            .iter()
            .map(|field| field.data_type().is_integer())
            .collect(),
        rows: Vec::new(),
    };
    for batch in &batches {
        let columns = batch
            .columns()
            .iter()
            .map(cells)
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            result
                .rows
                .push(columns.iter().map(|column| column[row].clone()).collect());
        }
    }
    Ok(result)
}

fn cells(array: &ArrayRef) -> Result<Vec<Option<String>>, SqlError> {
    let text = cast(array, &DataType::Utf8)
        .map_err(|error| SqlError::from_datafusion("a cell", error.into()))?;
    let decimal = matches!(array.data_type(), DataType::Decimal128(_, scale) if *scale > 0);
    let text = text.as_string::<i32>();
    let cells = (0..text.len()).map(|row| {
        let cell = text.is_valid(row).then(|| text.value(row));
        cell.map(|cell| {
            if decimal {
                shorten(cell)
            } else {
                cell.to_owned()
            }
        })
    });
    Ok(cells.collect())
}

/// `2500315.63000` becomes `2500315.63`: no trailing zeros, at least two digits.
fn shorten(decimal: &str) -> String {
    let Some((whole, digits)) = decimal.split_once('.') else {
        return decimal.to_owned();
    };
    let kept = digits.trim_end_matches('0').len().max(2).min(digits.len());
    format!("{whole}.{}", &digits[..kept])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_exact_and_shown_short() {
        let amount = |text| Some(Amount::parse(text).expect("an amount"));
        let table = Table {
            name: "daily_totals".to_owned(),
            columns: vec![
                Column {
                    name: "account".to_owned(),
                    values: ColumnKind::Text(vec![Some("ann".to_owned()), None]),
                },
                Column {
                    name: "total".to_owned(),
                    values: ColumnKind::Decimal(vec![amount("0.1"), amount("0.2")]),
                },
                Column {
                    name: "transactions".to_owned(),
                    values: ColumnKind::Int(vec![Some(1), Some(2)]),
                },
            ],
        };
        let sql = "SELECT sum(total) AS s, sum(transactions) AS n FROM daily_totals";
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let result = runtime.block_on(query(sql, &[table])).expect("runs");
        let row = [Some("0.30".to_owned()), Some("3".to_owned())];
        assert_eq!(
            (result.columns, result.rows),
            (vec!["s".to_owned(), "n".to_owned()], vec![row.to_vec()])
        );
        assert_eq!(result.whole_numbers, [false, true]);
    }
}
