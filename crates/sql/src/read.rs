//! Columns of a result as values.

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Decimal128Array, Int64Array, ListArray, StringArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use types::Amount;

use crate::error::SqlError;
use crate::exact::to_five_digits;
use crate::fold::{DISTINCT_VALUES_MAX, FoldError, FoldKind, Folded, Scalar, ValueKind};

/// Which kind of value an Arrow type is; `None` if it cannot be a result.
pub(crate) fn value_kind(kind: &DataType) -> Option<ValueKind> {
    Some(match kind {
        DataType::Decimal128(..) => ValueKind::Decimal,
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => ValueKind::Text,
        DataType::Date32 => ValueKind::Date,
        DataType::Timestamp(..) => ValueKind::Timestamp,
        kind if kind.is_integer() => ValueKind::Int,
        _ => return None,
    })
}

pub(crate) fn as_text(column: &ArrayRef) -> Result<StringArray, SqlError> {
    let text = cast(column, &DataType::Utf8)
        .map_err(|error| SqlError::from_datafusion("a key cannot be text", error.into()))?;
    Ok(text.as_string::<i32>().clone())
}

/// Reads a result column as folded values.
pub(crate) enum Reader {
    Count(Int64Array),
    Sum(Decimals),
    SumInt(Decimals),
    Avg(Decimals, Int64Array),
    Extreme(FoldKind, ScalarReader),
    Distinct(ListArray, ScalarReader),
}

/// Decimals with any digits.
pub(crate) struct Decimals {
    array: Decimal128Array,
    scale: i8,
}

pub(crate) enum ScalarReader {
    Decimal(Decimals),
    Int(Int64Array),
    Date(Date32Array),
    Timestamp(Int64Array),
    Text(StringArray),
}

impl Reader {
    pub(crate) fn new(
        fold: FoldKind,
        first: &ArrayRef,
        second: Option<&ArrayRef>,
    ) -> Result<Self, SqlError> {
        Ok(match fold {
            FoldKind::Count => Self::Count(ints(first)?),
            FoldKind::Sum => Self::Sum(Decimals::new(first)?),
            FoldKind::SumInt => Self::SumInt(Decimals::new(first)?),
            FoldKind::Avg => {
                let count = second.ok_or_else(|| SqlError::plain("a column is missing"))?;
                Self::Avg(Decimals::new(first)?, ints(count)?)
            }
            FoldKind::Min | FoldKind::Max => Self::Extreme(fold, ScalarReader::new(first)?),
            FoldKind::Distinct => {
                let lists = first.as_list_opt::<i32>();
                let lists = lists.ok_or_else(|| SqlError::plain("no list of values"))?;
                Self::Distinct(lists.clone(), ScalarReader::new(lists.values())?)
            }
        })
    }

    /// The value of a row.
    pub(crate) fn value(&self, row: usize) -> Result<Folded, FoldError> {
        Ok(match self {
            Self::Count(array) => Folded::Count(array.value(row)),
            Self::Sum(decimals) => Folded::Sum(decimals.value(row)?),
            Self::SumInt(decimals) => {
                let array = &decimals.array;
                let whole = array.is_valid(row).then(|| i64::try_from(array.value(row)));
                Folded::SumInt(whole.transpose().map_err(|_| FoldError::Whole)?)
            }
            Self::Avg(decimals, count) => Folded::Avg(decimals.value(row)?, count.value(row)),
            Self::Extreme(FoldKind::Min, reader) => Folded::Min(reader.value(row)?),
            Self::Extreme(_, reader) => Folded::Max(reader.value(row)?),
            Self::Distinct(lists, reader) => {
                let offsets = lists.value_offsets();
                let range = match (lists.is_valid(row), offsets.get(row), offsets.get(row + 1)) {
                    (true, Some(&first), Some(&end)) => first..end,
                    _ => 0..0,
                };
                if range.len() > DISTINCT_VALUES_MAX {
                    return Err(FoldError::Distinct);
                }
                let values = range.map(|place| reader.value(usize::try_from(place).unwrap_or(0)));
                let values: Result<Vec<_>, _> = values.collect();
                Folded::Distinct(values?.into_iter().flatten().collect())
            }
        })
    }
}

impl Decimals {
    fn new(array: &ArrayRef) -> Result<Self, SqlError> {
        let DataType::Decimal128(_, scale) = array.data_type() else {
            return Err(SqlError::plain(format!(
                "{} is no decimal",
                array.data_type()
            )));
        };
        Ok(Self {
            array: array.as_primitive().clone(),
            scale: *scale,
        })
    }

    fn value(&self, row: usize) -> Result<Option<Amount>, FoldError> {
        if self.array.is_null(row) {
            return Ok(None);
        }
        let units = to_five_digits(self.array.value(row), self.scale);
        let amount = units.and_then(Amount::from_units);
        amount.map(Some).ok_or(FoldError::Decimal)
    }
}

impl ScalarReader {
    pub(crate) fn new(array: &ArrayRef) -> Result<Self, SqlError> {
        Ok(match array.data_type() {
            DataType::Decimal128(..) => Self::Decimal(Decimals::new(array)?),
            DataType::Date32 => Self::Date(array.as_primitive().clone()),
            DataType::Timestamp(..) => {
                let zone = Some("UTC".into());
                let micros = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, zone))
                    .map_err(|error| SqlError::from_datafusion("a timestamp", error.into()))?;
                let micros = micros.as_primitive::<TimestampMicrosecondType>().clone();
                Self::Timestamp(micros.reinterpret_cast())
            }
            kind if kind.is_integer() => Self::Int(ints(array)?),
            _ => Self::Text(as_text(array)?),
        })
    }

    /// The value of a row, a decimal rounded half to even to five digits.
    pub(crate) fn value(&self, row: usize) -> Result<Option<Scalar>, FoldError> {
        Ok(match self {
            Self::Decimal(decimals) => decimals.value(row)?.map(Scalar::Decimal),
            Self::Int(array) => array.is_valid(row).then(|| Scalar::Int(array.value(row))),
            Self::Date(array) => array.is_valid(row).then(|| Scalar::Date(array.value(row))),
            Self::Timestamp(array) => array
                .is_valid(row)
                .then(|| Scalar::Timestamp(array.value(row))),
            Self::Text(array) => array
                .is_valid(row)
                .then(|| Scalar::Text(array.value(row).into())),
        })
    }
}

fn ints(array: &ArrayRef) -> Result<Int64Array, SqlError> {
    // Not null in place of a number that is too large.
    let checked = datafusion::arrow::compute::CastOptions {
        safe: false,
        ..Default::default()
    };
    let array = datafusion::arrow::compute::cast_with_options(array, &DataType::Int64, &checked);
    let array = array.map_err(|error| SqlError::from_datafusion("a whole number", error.into()))?;
    Ok(array.as_primitive().clone())
}
