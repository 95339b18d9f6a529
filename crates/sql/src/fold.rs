//! Partial results of a batch, and how they are folded into the state of a row.

use types::Amount;

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
        }
    }
}

fn add(a: Option<Amount>, b: Option<Amount>) -> Option<Option<Amount>> {
    match (a, b) {
        (Some(a), Some(b)) => a.checked_add(b).map(Some),
        (a, b) => Some(a.or(b)),
    }
}

impl Folded {
    /// The combination of two states; `None` on overflow, which is never wrapped.
    ///
    /// Both must come from the same [`FoldKind`]; otherwise `None` too.
    #[must_use]
    pub fn checked_fold(&self, other: &Folded) -> Option<Folded> {
        Some(match (self, other) {
            (Self::Count(a), Self::Count(b)) => Self::Count(a.checked_add(*b)?),
            (Self::Sum(a), Self::Sum(b)) => Self::Sum(add(*a, *b)?),
            (Self::SumInt(a), Self::SumInt(b)) => Self::SumInt(match (a, b) {
                (Some(a), Some(b)) => Some(a.checked_add(*b)?),
                (a, b) => a.or(*b),
            }),
            (Self::Min(a), Self::Min(b)) => Self::Min(match (a, b) {
                (Some(a), Some(b)) => Some(a.min(b).clone()),
                (a, b) => a.as_ref().or(b.as_ref()).cloned(),
            }),
            (Self::Max(a), Self::Max(b)) => Self::Max(a.as_ref().max(b.as_ref()).cloned()),
            (Self::Avg(a, n), Self::Avg(b, m)) => Self::Avg(add(*a, *b)?, n.checked_add(*m)?),
            _ => return None,
        })
    }

    /// The average rounded half to even at five digits; `None` without values.
    pub fn average(&self) -> Option<Amount> {
        let Self::Avg(Some(sum), count) = self else {
            return None;
        };
        let count = i128::from(*count);
        if count == 0 {
            return None;
        }
        let (quotient, rest) = (sum.units().div_euclid(count), sum.units().rem_euclid(count));
        let up = rest * 2 > count || (rest * 2 == count && quotient % 2 != 0);
        Amount::from_units(quotient + i128::from(up))
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
        assert_eq!(max.checked_fold(&Folded::Sum(Some(units(1)))), None);
        assert_eq!(max.checked_fold(&Folded::Sum(None)), Some(max.clone()));
        let (three, none) = (Folded::Min(Some(Scalar::Int(3))), Folded::Min(None));
        assert_eq!(none.checked_fold(&three), Some(three.clone()));
        assert_eq!(three.checked_fold(&none), Some(three.clone()));
        let five = Folded::Min(Some(Scalar::Int(5)));
        assert_eq!(five.checked_fold(&three), Some(three.clone()));
        assert_eq!(five.checked_fold(&Folded::Count(1)), None);
    }
}
