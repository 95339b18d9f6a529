//! Partial results of a batch, and how they are folded into the state of a row.

use std::collections::BTreeSet;

use types::Amount;

use crate::exact::half_even;

/// Most different values that a count(DISTINCT) of one row keeps. They are kept themselves, about 100 bytes each: a hash would
/// not be exact. A record that brings one more is not computable.
pub const DISTINCT_VALUES_MAX: usize = 100_000;

/// A value of min or max. Only values of the same variant are ever compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scalar {
    /// A decimal with five digits.
    Decimal(Amount),
    /// A whole number.
    Int(i64),
    /// Days since 1970.
    Date(i32),
    /// Microseconds since 1970.
    Timestamp(i64),
    /// Text, ordered by its bytes.
    Text(Box<str>),
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// A decimal with five digits.
    Decimal,
    /// A whole number.
    Int,
    /// A date.
    Date,
    /// An instant.
    Timestamp,
    /// Text.
    Text,
}

/// How values of an output column combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoldKind {
    /// Counts add.
    Count,
    /// Decimals add, checked.
    Sum,
    /// Whole numbers add, checked.
    SumInt,
    /// The smaller stays.
    Min,
    /// The larger stays.
    Max,
    /// Sum and count of a decimal; shown as their quotient.
    Avg,
    /// The different values; shown as their number.
    Distinct,
}

/// The state of one output column of one row; also a batch's contribution to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Folded {
    /// Of [`FoldKind::Count`].
    Count(i64),
    /// Of [`FoldKind::Sum`]; `None` until a value that is not null came.
    Sum(Option<Amount>),
    /// Of [`FoldKind::SumInt`].
    SumInt(Option<i64>),
    /// Of [`FoldKind::Min`].
    Min(Option<Scalar>),
    /// Of [`FoldKind::Max`].
    Max(Option<Scalar>),
    /// Of [`FoldKind::Avg`]: sum and count.
    Avg(Option<Amount>, i64),
    /// Of [`FoldKind::Distinct`]: at most [`DISTINCT_VALUES_MAX`].
    Distinct(BTreeSet<Scalar>),
}

/// Two states cannot be folded. The first one has not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// Of decimals. Never wrapped.
    #[error("a sum leaves DECIMAL(33,5)")]
    Decimal,
    /// Of whole numbers. Never wrapped.
    #[error("a sum of whole numbers leaves 64 bits")]
    Whole,
    /// Of [`FoldKind::Distinct`].
    #[error("count(DISTINCT) has more than {DISTINCT_VALUES_MAX} different values")]
    Distinct,
    /// They are of different kinds: a bug of the caller.
    #[error("states of different kinds cannot be folded")]
    Kinds,
}

impl FoldKind {
    /// The state before any record.
    pub fn empty(self) -> Folded {
        match self {
            Self::Count => Folded::Count(0),
            Self::Sum => Folded::Sum(None),
            Self::SumInt => Folded::SumInt(None),
            Self::Min => Folded::Min(None),
            Self::Max => Folded::Max(None),
            Self::Avg => Folded::Avg(None, 0),
            Self::Distinct => Folded::Distinct(BTreeSet::new()),
        }
    }
}

fn add(a: Option<Amount>, b: Option<Amount>) -> Result<Option<Amount>, FoldError> {
    match (a, b) {
        (Some(a), Some(b)) => a.checked_add(b).map(Some).ok_or(FoldError::Decimal),
        (a, b) => Ok(a.or(b)),
    }
}

fn add_whole(a: i64, b: i64) -> Result<i64, FoldError> {
    a.checked_add(b).ok_or(FoldError::Whole)
}

impl Folded {
    /// What [`Folded::take`] makes the combination of two states of: of [`Folded::Distinct`] the values that are new, else
    /// the combination itself. Cost: of different values, that of those in `other`.
    ///
    /// # Errors
    ///
    /// [`FoldError`]; nothing wraps.
    pub fn checked_fold(&self, other: &Folded) -> Result<Folded, FoldError> {
        Ok(match (self, other) {
            (Self::Count(a), Self::Count(b)) => Self::Count(add_whole(*a, *b)?),
            (Self::Sum(a), Self::Sum(b)) => Self::Sum(add(*a, *b)?),
            (Self::SumInt(a), Self::SumInt(b)) => Self::SumInt(match (a, b) {
                (Some(a), Some(b)) => Some(add_whole(*a, *b)?),
                (a, b) => a.or(*b),
            }),
            (Self::Min(a), Self::Min(b)) => Self::Min(match (a, b) {
                (Some(a), Some(b)) => Some(a.min(b).clone()),
                (a, b) => a.as_ref().or(b.as_ref()).cloned(),
            }),
            (Self::Max(a), Self::Max(b)) => Self::Max(a.as_ref().max(b.as_ref()).cloned()),
            (Self::Avg(a, n), Self::Avg(b, m)) => Self::Avg(add(*a, *b)?, add_whole(*n, *m)?),
            (Self::Distinct(a), Self::Distinct(b)) => {
                let new: BTreeSet<Scalar> = b.difference(a).cloned().collect();
                if a.len() + new.len() > DISTINCT_VALUES_MAX {
                    return Err(FoldError::Distinct);
                }
                Self::Distinct(new)
            }
            _ => return Err(FoldError::Kinds),
        })
    }

    /// Goes on with what [`Folded::checked_fold`] of this state gave.
    pub fn take(&mut self, folded: Folded) {
        match (self, folded) {
            (Self::Distinct(values), Self::Distinct(new)) => values.extend(new),
            (state, folded) => *state = folded,
        }
    }

    /// What readers are shown; `None` is SQL's null.
    pub fn shown(&self) -> Option<Scalar> {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        match self {
            Self::Count(count) => Some(Scalar::Int(*count)),
            Self::Sum(sum) => sum.map(Scalar::Decimal),
            Self::SumInt(sum) => sum.map(Scalar::Int),
            Self::Min(scalar) | Self::Max(scalar) => scalar.clone(),
            Self::Avg(..) => self.average().map(Scalar::Decimal),
            Self::Distinct(values) => Some(Scalar::Int(number(values.len()))),
        }
    }

    /// The average rounded half to even at five digits; `None` without values.
    pub fn average(&self) -> Option<Amount> {
        let Self::Avg(Some(sum), count) = self else {
            return None;
        };
        let count = i128::from(*count);
        // Below 10^33: no part of it leaves 128 bits.
        let mean = (count > 0).then(|| half_even(sum.units(), count));
        mean.and_then(Amount::from_units)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(units: i128) -> Amount {
        Amount::from_units(units).expect("in range")
    }

    #[test]
    fn averages_round_half_to_even() {
        let average = |sum, count| {
            Folded::Avg(Some(units(sum)), count)
                .average()
                .map(Amount::units)
        };
        assert_eq!(average(5, 2), Some(2));
        assert_eq!(average(7, 2), Some(4));
        assert_eq!(average(-5, 2), Some(-2));
        assert_eq!(average(-7, 2), Some(-4));
        assert_eq!(average(10, 3), Some(3));
        assert_eq!(average(11, 3), Some(4));
        assert_eq!(average(1, 0), None);
    }

    #[test]
    fn folding_is_checked_and_ignores_nulls() {
        let max = Folded::Sum(Some(units(Amount::SUM_UNITS_MAX)));
        assert_eq!(
            max.checked_fold(&Folded::Sum(Some(units(1)))),
            Err(FoldError::Decimal)
        );
        assert_eq!(max.checked_fold(&Folded::Sum(None)), Ok(max.clone()));
        let (three, none) = (Folded::Min(Some(Scalar::Int(3))), Folded::Min(None));
        assert_eq!(none.checked_fold(&three), Ok(three.clone()));
        assert_eq!(three.checked_fold(&none), Ok(three.clone()));
        let five = Folded::Min(Some(Scalar::Int(5)));
        assert_eq!(five.checked_fold(&three), Ok(three.clone()));
        assert_eq!(five.checked_fold(&Folded::Count(1)), Err(FoldError::Kinds));
        let most = Folded::Count(i64::MAX);
        assert_eq!(most.checked_fold(&Folded::Count(1)), Err(FoldError::Whole));
    }

    #[test]
    fn different_values_are_counted_up_to_their_limit() {
        let set = |range: std::ops::Range<i64>| Folded::Distinct(range.map(Scalar::Int).collect());
        let limit = i64::try_from(DISTINCT_VALUES_MAX).expect("small");
        let mut all = set(0..limit - 2);
        let new = all.checked_fold(&set(5..limit)).expect("at the limit");
        assert_eq!(new, set(limit - 2..limit));
        all.take(new);
        assert_eq!(all, set(0..limit));
        assert_eq!(all.checked_fold(&set(5..limit)), Ok(set(0..0)));
        let one_more = set(limit..limit + 1);
        assert_eq!(all.checked_fold(&one_more), Err(FoldError::Distinct));
    }
}
