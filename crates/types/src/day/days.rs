//! A set of business days, as a reader of the store asks for it.
//!
//! Invariant: what [`Days::and`] and [`Days::or`] make holds every day that the exact set has, and `or` of a range may hold more: who
//! narrows a scan with it must look at the rows again, and loses none.

use std::collections::BTreeSet;
use std::fmt;

use super::BusinessDay;

/// All days, those from one to another, or single ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Days {
    from: Option<BusinessDay>,
    to: Option<BusinessDay>,
    /// With it there are no bounds.
    only: Option<BTreeSet<BusinessDay>>,
}

impl Days {
    /// Every day.
    pub fn all() -> Self {
        Self::default()
    }

    /// One day.
    pub fn one(day: BusinessDay) -> Self {
        Self::of([day])
    }

    /// These days.
    pub fn of(days: impl IntoIterator<Item = BusinessDay>) -> Self {
        Self {
            only: Some(days.into_iter().collect()),
            ..Self::default()
        }
    }

    /// The days from `from` to `to`, both included; `None` is no bound.
    pub fn between(from: Option<BusinessDay>, to: Option<BusinessDay>) -> Self {
        match (from, to) {
            (Some(from), Some(to)) if from > to => Self::of([]),
            (Some(from), Some(to)) if from == to => Self::one(from),
            _ => Self {
                from,
                to,
                only: None,
            },
        }
    }

    /// Whether it has every day.
    pub fn is_all(&self) -> bool {
        *self == Self::all()
    }

    /// The single days, where it is a list of such.
    pub fn listed(&self) -> Option<&BTreeSet<BusinessDay>> {
        self.only.as_ref()
    }

    /// First and last day where it is a range; `None` is no bound.
    pub fn bounds(&self) -> (Option<BusinessDay>, Option<BusinessDay>) {
        (self.from, self.to)
    }

    /// Whether it has a day.
    pub fn contains(&self, day: BusinessDay) -> bool {
        match &self.only {
            Some(only) => only.contains(&day),
            None => self.from.is_none_or(|from| from <= day) && self.to.is_none_or(|to| day <= to),
        }
    }

    /// The days that both have.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        match (self.only, &other.only) {
            (Some(only), _) => Self::of(only.into_iter().filter(|day| other.contains(*day))),
            (None, Some(only)) => {
                let bounds = Self::between(self.from, self.to);
                Self::of(only.iter().copied().filter(|day| bounds.contains(*day)))
            }
            (None, None) => {
                // `None` is the smallest: it gives way to any bound.
                let from = self.from.max(other.from);
                let to = match (self.to, other.to) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                };
                Self::between(from, to)
            }
        }
    }

    /// The days that one of them has, and where one is a range those between, too.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        if let (Some(one), Some(other)) = (&self.only, &other.only) {
            return Self::of(one.union(other).copied());
        }
        if self.is_nothing() {
            return other.clone();
        }
        if other.is_nothing() {
            return self;
        }
        let ((first, last), (other_first, other_last)) = (self.hull(), other.hull());
        Self::between(
            first.zip(other_first).map(|(one, other)| one.min(other)),
            last.zip(other_last).map(|(one, other)| one.max(other)),
        )
    }

    fn is_nothing(&self) -> bool {
        self.only.as_ref().is_some_and(BTreeSet::is_empty)
    }

    fn hull(&self) -> (Option<BusinessDay>, Option<BusinessDay>) {
        match &self.only {
            Some(only) => (only.first().copied(), only.last().copied()),
            None => (self.from, self.to),
        }
    }
}

/// `2026-11-23`, `2026-11-20, 2026-11-23`, `2026-11-20 to 2026-11-23`, `from 2026-11-20`, `to 2026-11-23`, `all` or `none`.
impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.only, self.from, self.to) {
            (Some(only), ..) if only.is_empty() => f.write_str("none"),
            (Some(only), ..) => {
                for (index, day) in only.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    day.fmt(f)?;
                }
                Ok(())
            }
            (None, Some(from), Some(to)) => write!(f, "{from} to {to}"),
            (None, Some(from), None) => write!(f, "from {from}"),
            (None, None, Some(to)) => write!(f, "to {to}"),
            (None, None, None) => f.write_str("all"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(number: i32) -> BusinessDay {
        BusinessDay::EPOCH.plus_days(number)
    }

    /// Every kind of set, with its days among ten.
    fn sets() -> Vec<(Days, Vec<bool>)> {
        let mut sets = vec![Days::all(), Days::of([])];
        for one in [2, 5] {
            sets.push(Days::one(day(one)));
            sets.push(Days::of([day(one), day(7)]));
            sets.push(Days::between(Some(day(one)), None));
            sets.push(Days::between(None, Some(day(one))));
            sets.push(Days::between(Some(day(one)), Some(day(6))));
            sets.push(Days::between(Some(day(one)), Some(day(one - 1))));
        }
        let has = |set: &Days| (0..10).map(|number| set.contains(day(number))).collect();
        sets.into_iter()
            .map(|set| (set.clone(), has(&set)))
            .collect()
    }

    #[test]
    fn no_day_is_lost() {
        for (one, has_one) in sets() {
            for (other, has_other) in sets() {
                let both = one.clone().and(&other);
                let either = one.clone().or(&other);
                for number in 0..10 {
                    let (in_one, in_other) = (
                        has_one[usize::try_from(number).expect("small")],
                        has_other[usize::try_from(number).expect("small")],
                    );
                    assert_eq!(
                        both.contains(day(number)),
                        in_one && in_other,
                        "{one} and {other} = {both}"
                    );
                    assert!(
                        either.contains(day(number)) || !(in_one || in_other),
                        "{one} or {other} = {either}"
                    );
                }
            }
        }
    }

    #[test]
    fn sets_are_shown() {
        let shown: Vec<String> = [
            Days::all(),
            Days::of([]),
            Days::of([day(3), day(1)]),
            Days::between(Some(day(1)), Some(day(1))),
            Days::between(Some(day(1)), Some(day(3))),
            Days::between(Some(day(1)), None),
            Days::between(None, Some(day(3))),
        ]
        .iter()
        .map(ToString::to_string)
        .collect();
        assert_eq!(
            shown,
            [
                "all",
                "none",
                "1970-01-02, 1970-01-04",
                "1970-01-02",
                "1970-01-02 to 1970-01-04",
                "from 1970-01-02",
                "to 1970-01-04"
            ]
        );
    }
}
