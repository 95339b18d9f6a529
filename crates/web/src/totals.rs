//! Sums over rows, kept by differences: what a row was is taken away, what it is is added.
//!
//! # Invariants
//!
//! - Exact, and the same whichever way it was reached: the sums after any changes are those of the rows there are.
//! - A sum beyond DECIMAL(33,5) is `None`, and exact again when it is back within.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use crate::api;
use crate::cell::{Cells, Schema};

/// Most groups in an answer: those with most rows.
const GROUPS_MAX: usize = 100;

/// Sums of a set of rows, by group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Rows.
    pub(crate) rows: usize,
    named: HashMap<Arc<str>, Sums>,
    unnamed: Sums,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sums {
    rows: usize,
    /// For each column that may be added up: how many values there are, and their sum.
    columns: Vec<Sum>,
}

/// The sum modulo 2^128, and how often it went over: so that differences stay exact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    values: usize,
    low: i128,
    high: i64,
}

impl Sum {
    fn change(&mut self, number: i128, sign: i128) {
        // A number is within 33 digits, so neither product nor wrap can be more than one.
        let (low, over) = self.low.overflowing_add(number * sign);
        if over {
            self.high += if number * sign > 0 { 1 } else { -1 };
        }
        self.low = low;
        match sign > 0 {
            true => self.values += 1,
            false => self.values -= 1,
        }
    }

    fn exact(&self) -> Option<i128> {
        (self.values > 0 && self.high == 0).then_some(self.low)
    }
}

impl Totals {
    pub(crate) fn add(&mut self, schema: &Schema, cells: &Cells) {
        self.rows += 1;
        let name = schema.group.and_then(|place| cells.text(place));
        let Some(name) = name else {
            return self.unnamed.change(schema, cells, 1);
        };
        if let Some(sums) = self.named.get_mut(name) {
            return sums.change(schema, cells, 1);
        }
        let sums = self.named.entry(name.into()).or_default();
        sums.change(schema, cells, 1);
    }

    /// Takes away a row that was added.
    pub(crate) fn remove(&mut self, schema: &Schema, cells: &Cells) {
        self.rows -= 1;
        let name = schema.group.and_then(|place| cells.text(place));
        let Some(name) = name else {
            return self.unnamed.change(schema, cells, -1);
        };
        let Some(sums) = self.named.get_mut(name) else {
            return;
        };
        sums.change(schema, cells, -1);
        if sums.rows == 0 {
            self.named.remove(name);
        }
    }

    /// For the API: the group with most rows first, then by name.
    pub(crate) fn groups(&self, schema: &Schema) -> Vec<api::Group> {
        let named = self.named.iter().map(|(name, sums)| (Some(&**name), sums));
        let unnamed = (self.unnamed.rows > 0).then_some((None, &self.unnamed));
        let mut groups: Vec<_> = named.chain(unnamed).collect();
        groups.sort_unstable_by_key(|(name, sums)| (Reverse(sums.rows), *name));
        groups.truncate(GROUPS_MAX);
        let group = |(name, sums): (Option<&str>, &Sums)| {
            let columns = schema.sums.iter().enumerate();
            let text = |(index, place): (usize, &usize)| {
                schema.text(*place, sums.columns.get(index)?.exact()?, name)
            };
            api::Group {
                name: name.map(str::to_owned),
                rows: sums.rows as u64,
                sums: columns.map(text).collect(),
            }
        };
        groups.into_iter().map(group).collect()
    }
}

impl Sums {
    fn change(&mut self, schema: &Schema, cells: &Cells, sign: i128) {
        match sign > 0 {
            true => self.rows += 1,
            false => self.rows -= 1,
        }
        self.columns.resize(schema.sums.len(), Sum::default());
        for (sum, place) in self.columns.iter_mut().zip(&schema.sums) {
            if let Some(number) = cells.number(*place) {
                sum.change(number, sign);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::Value;
    use store::{CellKind, TableSpec};

    fn schema() -> Schema {
        let column = |name: &str, kind| (name.to_owned(), kind);
        let table = TableSpec {
            name: "t".to_owned(),
            columns: vec![
                column("currency", CellKind::Text),
                column("total", CellKind::Decimal),
                column("n", CellKind::Int),
            ],
        };
        Schema::new(&table, &["total".to_owned(), "n".to_owned()])
    }

    fn row(currency: Option<&str>, total: &str, count: i128) -> Cells {
        Cells::new(vec![
            currency.map_or(Value::Null, |text| Value::Text(text.into())),
            Value::of(CellKind::Decimal, total),
            Value::Number(count),
        ])
    }

    fn shown(totals: &Totals) -> Vec<String> {
        let groups = totals.groups(&schema()).into_iter();
        groups
            .map(|group| format!("{:?} {} {:?}", group.name, group.rows, group.sums))
            .collect()
    }

    #[test]
    fn sums_have_the_digits_of_their_currency() {
        let mut totals = Totals::default();
        for cells in [
            row(Some("EUR"), "12.50", 3),
            row(Some("EUR"), "-0.50", 1),
            row(Some("JPY"), "700", 2),
            row(None, "0.12345", 1),
        ] {
            totals.add(&schema(), &cells);
        }
        assert_eq!(
            shown(&totals),
            [
                "Some(\"EUR\") 2 [Some(\"12.00\"), Some(\"4\")]",
                "None 1 [Some(\"0.12345\"), Some(\"1\")]",
                "Some(\"JPY\") 1 [Some(\"700\"), Some(\"2\")]",
            ]
        );
        totals.remove(&schema(), &row(Some("JPY"), "700", 2));
        assert_eq!((totals.rows, shown(&totals).len()), (3, 2));
    }

    #[test]
    fn a_sum_of_more_digits_than_there_are_is_none_until_it_is_back() {
        let most = format!("{}.99999", "9".repeat(28));
        let mut totals = Totals::default();
        // More than 128 bits hold, too.
        for _ in 0..200_000 {
            totals.add(&schema(), &row(Some("EUR"), &most, 1));
        }
        assert_eq!(
            shown(&totals),
            ["Some(\"EUR\") 200000 [None, Some(\"200000\")]"]
        );
        for _ in 1..200_000 {
            totals.remove(&schema(), &row(Some("EUR"), &most, 1));
        }
        let expected = format!("Some(\"EUR\") 1 [Some(\"{most}\"), Some(\"1\")]");
        assert_eq!(shown(&totals), [expected]);
    }
}
