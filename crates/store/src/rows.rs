//! Rows as they are stored.

use types::{BusinessDay, Counts, Days, Version};

/// Type of an output column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellKind {
    /// Text.
    Text,
    /// An exact decimal.
    Decimal,
    /// A whole number.
    Int,
    /// A date: text such as `2026-11-23`.
    Date,
    /// An instant with microseconds: text such as `2026-11-23T09:15:00.5Z`.
    Timestamp,
}

/// An aggregation's table: the columns of its results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSpec {
    /// Name of the aggregation, of its topic, and of the table.
    pub name: String,
    /// Names and types of the columns of the SELECT list, in order.
    pub columns: Vec<(String, CellKind)>,
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// SQL's null.
    Null,
    /// Text; a decimal, a date or an instant as text.
    Text(String),
    /// A whole number.
    Int(i64),
}

/// A result row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The results record's key: a JSON array of the GROUP BY values, `business_day` first.
    pub key: String,
    /// The business day it belongs to.
    pub day: BusinessDay,
    /// Decides which of two states is newer.
    pub version: Version,
    /// Whether the row has left the results.
    pub deleted: bool,
    /// Partition of the results topic it was read from.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Values in the order of [`TableSpec::columns`].
    pub cells: Vec<Cell>,
}

/// Which rows of a table are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Rows of these days that have, in each of these columns (by their index in [`TableSpec::columns`]), one of its values. Costs the
    /// reading of the days.
    Days(Days, Vec<(usize, Vec<Cell>)>),
    /// The rows of these days and keys ([`Row::key`]). Costs one look-up each.
    Keys(Vec<(BusinessDay, String)>),
}

impl Selection {
    /// Whether a row is wanted.
    pub(crate) fn has(&self, row: &Row) -> bool {
        match self {
            Self::Days(days, columns) => {
                let is_one_of = |(index, values): &(usize, Vec<Cell>)| {
                    let cell = row.cells.get(*index);
                    cell.is_some_and(|cell| values.contains(cell))
                };
                days.contains(row.day) && columns.iter().all(is_one_of)
            }
            Self::Keys(keys) => keys
                .iter()
                .any(|(day, key)| *day == row.day && *key == row.key),
        }
    }
}

/// What became of the records of one day and one partition of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayCounts {
    /// The day.
    pub day: BusinessDay,
    /// The partition of the input.
    pub partition: i32,
    /// The counts: absolute, not what changed.
    pub counts: Counts,
    /// Offset of the record of the counts topic that says so: of two the one with the larger offset is newer. (Their sum does not
    /// tell: a new generation counts the kept days from nothing.)
    pub offset: i64,
}

/// Names of tables that stores have beside those of aggregations.
pub const OWN_TABLES: [&str; 5] = [
    "progress",
    "counts_by_partition",
    "daily_counts",
    "days",
    "layout",
];

/// Columns that every aggregation's table has beside those of its SELECT list.
pub const OWN_COLUMNS: [&str; 8] = [
    "row_key",
    "row_day",
    "row_bucket",
    "row_generation",
    "row_sequence",
    "row_deleted",
    "row_partition",
    "row_offset",
];
