//! Control totals: what a trailer says about the lines before it, and what they come to.

use types::{Amount, SCALE_FACTOR};

use super::{Column, Line, LinePlan};
use crate::record::Assembler;
use crate::refusal::{Refusal, rule, shown};

/// One number of a trailer and what it must be.
#[derive(Debug)]
pub(crate) struct Total {
    /// Name of the trailer.
    pub(crate) trailer: Box<str>,
    /// Name of the trailer's column, for messages.
    pub(crate) name: Box<str>,
    pub(crate) column: Column,
    /// The level whose lines are counted or summed up.
    pub(crate) level: usize,
    /// Only the last digits count, as many as the column has.
    pub(crate) is_hash: bool,
}

/// What a line adds to one total.
#[derive(Debug)]
pub(crate) struct Add {
    /// Index in the plan's totals.
    pub(crate) total: usize,
    /// The number that is added; `None` counts the line.
    pub(crate) column: Option<Column>,
    pub(crate) when: Option<Condition>,
}

/// Only lines with one of some texts in a column (or none of them) are added.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    pub(crate) column: Column,
    pub(crate) is: Vec<Box<str>>,
    pub(crate) negated: bool,
}

impl Condition {
    fn holds(&self, line: Line<'_>) -> bool {
        let (_, text) = line.column(self.column);
        self.is.iter().any(|known| **known == *text) != self.negated
    }
}

/// The totals while lines are read.
pub(super) struct Totals<'p> {
    plan: &'p [Total],
    sums: Vec<Amount>,
}

impl<'p> Totals<'p> {
    pub(super) fn new(plan: &'p [Total]) -> Self {
        Self {
            plan,
            sums: vec![Amount::ZERO; plan.len()],
        }
    }

    /// A header of this level begins.
    pub(super) fn reset(&mut self, level: usize) {
        for (total, sum) in self.plan.iter().zip(&mut self.sums) {
            if total.level >= level {
                *sum = Amount::ZERO;
            }
        }
    }

    /// Adds what a line contributes.
    pub(super) fn add(
        &mut self,
        records: &mut Assembler<'_, '_>,
        kind: &LinePlan,
        line: Line<'_>,
    ) -> Result<(), Refusal> {
        for add in &kind.adds {
            if add.when.as_ref().is_some_and(|when| !when.holds(line)) {
                continue;
            }
            let number = match add.column {
                None => Amount::from_units(SCALE_FACTOR),
                Some(column) => number(line.column(column).1),
            };
            let sum = &mut self.sums[add.total];
            let Some(more) = number.and_then(|number| sum.checked_add(number)) else {
                let total = &self.plan[add.total];
                let text = add.column.map_or("", |column| line.column(column).1);
                let detail = format!(
                    "{} of the line {} is no number, so that {} of {} cannot be checked",
                    shown(text),
                    kind.name,
                    total.name,
                    total.trailer
                );
                return Err(records.refuse(line.offset, None, rule::CONTROL_TOTAL, detail));
            };
            *sum = more;
        }
        Ok(())
    }

    /// Compares the numbers of a trailer with what was counted.
    pub(super) fn check(
        &self,
        records: &mut Assembler<'_, '_>,
        kind: &LinePlan,
        line: Line<'_>,
    ) -> Result<(), Refusal> {
        for (total, sum) in self.plan.iter().zip(&self.sums) {
            if total.trailer != kind.name {
                continue;
            }
            let (start, text) = line.column(total.column);
            let counted = if total.is_hash {
                last_digits(*sum, total.column.length)
            } else {
                *sum
            };
            if number(text) == Some(counted) {
                continue;
            }
            let detail = format!(
                "{} of the line {} is {}, but what stands before it comes to {}",
                total.name,
                total.trailer,
                shown(text),
                counted.display(0)
            );
            let offset = line.offset + start;
            return Err(records.refuse(offset, Some(&total.name), rule::CONTROL_TOTAL, detail));
        }
        Ok(())
    }
}

/// A number of a column; blank is zero.
fn number(text: &str) -> Option<Amount> {
    if text.is_empty() {
        return Some(Amount::ZERO);
    }
    Amount::parse(text).ok()
}

/// The last digits of a whole number.
fn last_digits(sum: Amount, digits: usize) -> Amount {
    let modulus = u32::try_from(digits)
        .ok()
        .and_then(|digits| 10_i128.checked_pow(digits))
        .and_then(|power| power.checked_mul(SCALE_FACTOR));
    modulus
        .and_then(|modulus| Amount::from_units(sum.units() % modulus))
        .unwrap_or(sum)
}
