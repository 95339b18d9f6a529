//! What of a query's conditions a source can make use of.
//!
//! # Invariants
//!
//! - **No row is lost.** What is found is a superset of what the conditions let through; DataFusion looks at every row again.
//! - What is not understood narrows nothing.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{Between, InList};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use types::{BusinessDay, Days};

use super::table::{ColumnType, KeyValue, Wanted};

/// Most values of one column that are handed on; of more, all rows are read.
const VALUES_MAX: usize = 1_000;

/// Names and types of a table's columns.
pub(super) type Columns = [(String, ColumnType)];

/// Rows that can pass: on these days, and with one of these values in each of these columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Bounds {
    days: Days,
    equal: BTreeMap<usize, BTreeSet<KeyValue>>,
}

/// What all of the conditions together let through.
pub(super) fn wanted(filters: &[Expr], columns: &Columns) -> Wanted {
    let bounds = filters.iter().fold(Bounds::default(), |bounds, filter| {
        bounds.and(Bounds::of(filter, columns))
    });
    let equal = bounds.equal.into_iter();
    Wanted {
        days: bounds.days,
        equal: equal
            .filter(|(_, values)| values.len() <= VALUES_MAX)
            .map(|(column, values)| (column, values.into_iter().collect()))
            .collect(),
    }
}

/// Whether a condition narrows anything.
pub(super) fn narrows(filter: &Expr, columns: &Columns) -> bool {
    Bounds::of(filter, columns) != Bounds::default()
}

impl Bounds {
    fn of(filter: &Expr, columns: &Columns) -> Self {
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::And => Self::of(left, columns).and(Self::of(right, columns)),
                Operator::Or => Self::of(left, columns).or(&Self::of(right, columns)),
                _ => Self::comparison(left, *op, right, columns),
            },
            Expr::InList(InList {
                expr,
                list,
                negated: false,
            }) => Self::in_list(expr, list, columns),
            Expr::Between(Between {
                expr,
                negated: false,
                low,
                high,
            }) => Self::comparison(expr, Operator::GtEq, low, columns).and(Self::comparison(
                expr,
                Operator::LtEq,
                high,
                columns,
            )),
            _ => Self::default(),
        }
    }

    fn comparison(left: &Expr, op: Operator, right: &Expr, columns: &Columns) -> Self {
        let (column, op, value) = match (column(left, columns), column(right, columns)) {
            (Some(column), None) => (column, op, right),
            (None, Some(column)) => {
                let Some(swapped) = op.swap() else {
                    return Self::default();
                };
                (column, swapped, left)
            }
            _ => return Self::default(),
        };
        if op == Operator::Eq {
            return Self::in_list_of(column, std::slice::from_ref(value), columns);
        }
        let is_day = first_day(columns) == Some(column);
        let Some(day) = is_day.then(|| day(value)).flatten() else {
            return Self::default();
        };
        let days = match op {
            Operator::Lt => Days::between(None, Some(day.plus_days(-1))),
            Operator::LtEq => Days::between(None, Some(day)),
            Operator::Gt => Days::between(Some(day.plus_days(1)), None),
            Operator::GtEq => Days::between(Some(day), None),
            _ => Days::all(),
        };
        Self {
            days,
            ..Self::default()
        }
    }

    fn in_list(of: &Expr, list: &[Expr], columns: &Columns) -> Self {
        match column(of, columns) {
            Some(column) => Self::in_list_of(column, list, columns),
            None => Self::default(),
        }
    }

    fn in_list_of(column: usize, list: &[Expr], columns: &Columns) -> Self {
        let mut bounds = Self::default();
        if first_day(columns) == Some(column) {
            let days: Option<Vec<BusinessDay>> = list.iter().map(day).collect();
            bounds.days = days.map_or_else(Days::all, Days::of);
            return bounds;
        }
        let kind = columns.get(column).map(|(_, kind)| *kind);
        let values: Option<BTreeSet<KeyValue>> =
            list.iter().map(|value| key_value(value, kind)).collect();
        bounds.equal.extend(values.map(|values| (column, values)));
        bounds
    }

    fn and(mut self, other: Self) -> Self {
        self.days = self.days.and(&other.days);
        for (column, values) in other.equal {
            match self.equal.remove(&column) {
                None => self.equal.insert(column, values),
                Some(known) => self
                    .equal
                    .insert(column, known.intersection(&values).cloned().collect()),
            };
        }
        self
    }

    /// What only one of them narrows is not narrowed.
    fn or(self, other: &Self) -> Self {
        let mut equal = BTreeMap::new();
        for (column, values) in self.equal {
            if let Some(others) = other.equal.get(&column) {
                equal.insert(column, values.union(others).cloned().collect());
            }
        }
        Self {
            days: self.days.or(&other.days),
            equal,
        }
    }
}

fn column(expr: &Expr, columns: &Columns) -> Option<usize> {
    let Expr::Column(column) = expr else {
        return None;
    };
    columns.iter().position(|(name, _)| *name == column.name)
}

fn first_day(columns: &Columns) -> Option<usize> {
    columns
        .iter()
        .position(|(_, kind)| *kind == ColumnType::Day)
}

fn day(expr: &Expr) -> Option<BusinessDay> {
    match expr {
        Expr::Literal(ScalarValue::Date32(Some(days)), _) => BusinessDay::from_epoch_days(*days),
        _ => None,
    }
}

fn key_value(expr: &Expr, kind: Option<ColumnType>) -> Option<KeyValue> {
    let Expr::Literal(value, _) = expr else {
        return None;
    };
    match (kind?, value) {
        (
            ColumnType::Text,
            ScalarValue::Utf8(Some(text))
            | ScalarValue::Utf8View(Some(text))
            | ScalarValue::LargeUtf8(Some(text)),
        ) => Some(KeyValue::Text(text.clone())),
        (ColumnType::Int, ScalarValue::Int64(Some(number))) => Some(KeyValue::Int(*number)),
        _ => None,
    }
}
