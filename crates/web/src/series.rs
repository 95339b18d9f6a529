//! How one number went over a day, in few points.
//!
//! # Invariants
//!
//! - **Pure**, and exact: numbers are kept as they are.
//! - At most [`POINTS_MAX`] points: every minute of the last quarter of an hour, of what is older the last one of
//!   each half-hour. A full series takes 12 bytes a point, or 20 when a number needs more than 64 bits: 0.8 to 1.3 kB.
//! - A point is what the number was at the end of its minute, until the next point.

use types::Micros;

/// Most points of a series: 48 half-hours and 16 minutes. On a day of 25 hours the first half-hours go.
pub(crate) const POINTS_MAX: usize = 64;
/// How long every minute is kept.
const FINE_MINUTES: u32 = 16;
const COARSE_MINUTES: u32 = 30;

/// Minutes since 1970.
pub(crate) type Minute = u32;

pub(crate) fn minute_of(at: Micros) -> Minute {
    Minute::try_from(at.max(0) / 60_000_000).unwrap_or(Minute::MAX)
}

/// Milliseconds since 1970.
pub(crate) fn millis_of(minute: Minute) -> i64 {
    i64::from(minute) * 60_000
}

/// A number's course. See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Series {
    minutes: Vec<Minute>,
    numbers: Numbers,
}

/// Most numbers fit half the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Numbers {
    Small(Vec<i64>),
    Large(Vec<i128>),
}

impl Default for Numbers {
    fn default() -> Self {
        Self::Small(Vec::new())
    }
}

impl Numbers {
    fn get(&self, index: usize) -> Option<i128> {
        match self {
            Self::Small(numbers) => numbers.get(index).map(|number| i128::from(*number)),
            Self::Large(numbers) => numbers.get(index).copied(),
        }
    }

    fn push(&mut self, number: i128) {
        match (&mut *self, i64::try_from(number)) {
            (Self::Small(numbers), Ok(number)) => numbers.push(number),
            (Self::Small(numbers), Err(_)) => {
                let mut large: Vec<i128> = numbers.iter().copied().map(i128::from).collect();
                large.push(number);
                *self = Self::Large(large);
            }
            (Self::Large(numbers), _) => numbers.push(number),
        }
    }

    fn remove(&mut self, index: usize) {
        match self {
            Self::Small(numbers) => {
                numbers.remove(index);
            }
            Self::Large(numbers) => {
                numbers.remove(index);
            }
        }
    }
}

impl Series {
    /// Notes what the number is from this minute on. An earlier minute than the last one counts as that.
    pub(crate) fn note(&mut self, minute: Minute, number: i128) {
        let last = self.minutes.len().checked_sub(1);
        if let Some(last) = last {
            if self.numbers.get(last) == Some(number) {
                return;
            }
            if self.minutes[last] >= minute {
                self.numbers.remove(last);
                self.numbers.push(number);
                return;
            }
        }
        self.minutes.push(minute);
        self.numbers.push(number);
        self.thin(minute);
    }

    /// Of what is older than the fine minutes the last point of each half-hour stays.
    fn thin(&mut self, now: Minute) {
        let fine = now.saturating_sub(FINE_MINUTES - 1);
        let older = self.minutes.partition_point(|minute| *minute < fine);
        let mut index = older.saturating_sub(1);
        // What is older still has been thinned before.
        while index > 0 {
            index -= 1;
            if self.minutes[index] / COARSE_MINUTES == self.minutes[index + 1] / COARSE_MINUTES {
                self.remove(index);
            }
        }
        while self.minutes.len() > POINTS_MAX {
            self.remove(0);
        }
    }

    fn remove(&mut self, index: usize) {
        self.minutes.remove(index);
        self.numbers.remove(index);
    }

    /// Oldest first.
    pub(crate) fn points(&self) -> impl Iterator<Item = (Minute, i128)> {
        let points = self.minutes.iter().enumerate();
        points.filter_map(|(index, minute)| Some((*minute, self.numbers.get(index)?)))
    }

    /// The number at the end of a minute; `None` when that is before the first point.
    pub(crate) fn at(&self, minute: Minute) -> Option<i128> {
        let behind = self.minutes.partition_point(|known| *known <= minute);
        self.numbers.get(behind.checked_sub(1)?)
    }

    pub(crate) fn first(&self) -> Option<(Minute, i128)> {
        Some((*self.minutes.first()?, self.numbers.get(0)?))
    }

    pub(crate) fn last(&self) -> Option<i128> {
        self.numbers.get(self.minutes.len().checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn points(series: &Series) -> Vec<(Minute, i128)> {
        series.points().collect()
    }

    #[test]
    fn a_minute_has_one_point_and_only_changes_are_points() {
        let mut series = Series::default();
        series.note(60, 5);
        series.note(60, 7);
        series.note(61, 7);
        series.note(63, 9);
        series.note(62, 8);
        assert_eq!(points(&series), [(60, 7), (63, 8)]);
        assert_eq!(
            [59, 60, 62, 63, 99].map(|minute| series.at(minute)),
            [None, Some(7), Some(7), Some(8), Some(8)]
        );
        assert_eq!((series.first(), series.last()), (Some((60, 7)), Some(8)));
    }

    #[test]
    fn large_numbers_are_kept_exactly() {
        let mut series = Series::default();
        let large = i128::from(i64::MAX) + 1;
        for (minute, number) in [(1, 3), (2, large), (3, -large), (4, 4)] {
            series.note(minute, number);
        }
        assert_eq!(points(&series), [(1, 3), (2, large), (3, -large), (4, 4)]);
    }

    #[test]
    fn a_day_of_changes_fits_and_the_limit_is_reached() {
        let mut series = Series::default();
        // Begins at a half-hour, as days do.
        for minute in 0..24 * 60 {
            series.note(minute, i128::from(minute));
            assert!(series.minutes.len() <= POINTS_MAX);
        }
        let found: Vec<Minute> = series.points().map(|(minute, _)| minute).collect();
        let coarse = (0..47).map(|slot| slot * 30 + 29);
        let coarse = coarse.chain([24 * 60 - 17]);
        let expected: Vec<Minute> = coarse.chain(24 * 60 - 16..24 * 60).collect();
        assert_eq!(found, expected);
        assert_eq!(found.len(), POINTS_MAX);
        series.note(25 * 60, -1);
        series.note(25 * 60 + 30, -2);
        assert!(series.minutes.len() <= POINTS_MAX);
    }

    #[test]
    fn the_last_quarter_of_an_hour_is_exact_whatever_came() {
        for seed in 1..=2_000_u64 {
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut below = |end: u64| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random % end
            };
            let (mut series, mut truth) = (Series::default(), BTreeMap::new());
            let mut minute = 1_000;
            for _ in 0..80 {
                minute += below(40) as Minute;
                let number = i128::from(below(5));
                series.note(minute, number);
                truth.insert(minute, number);
                for back in [0, 1, 5, 15] {
                    let expected = truth.range(..=minute - back).next_back();
                    let expected = expected.map(|(_, number)| *number);
                    assert_eq!(series.at(minute - back), expected, "seed {seed}");
                }
            }
        }
    }
}
