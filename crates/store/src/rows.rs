//! Rows as they are stored.

use types::{BusinessDay, Version};

/// Type of an output column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellKind {
    /// Text.
    Text,
    /// An exact decimal, stored as text.
    Decimal,
    /// A whole number.
    Int,
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
    /// Text, or a decimal as text.
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
