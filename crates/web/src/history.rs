//! How the rows went: of each row's first decimal sum a bounded course, kept by this server alone since it began.
//!
//! # Invariants
//!
//! - **Pure.** No I/O, no clock, no locks.
//! - A row takes one [`Series`], at most 1.3 kB, and some 60 bytes to be found; there are at most so many rows.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use types::BusinessDay;

use crate::series::{Minute, Series};

/// Most rows whose course is kept, of all days; later ones have none.
pub(crate) const SERIES_MAX: usize = 1_000_000;

type Courses = HashMap<Arc<str>, Series, foldhash::fast::RandomState>;

/// The courses of the rows in view. See the module.
#[derive(Debug)]
pub(crate) struct History {
    days: BTreeMap<BusinessDay, Courses>,
    /// When it began; `None`: it has not.
    since: Option<Minute>,
    count: usize,
    most: usize,
}

impl Default for History {
    fn default() -> Self {
        Self::of(SERIES_MAX)
    }
}

/// A row that has moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mover {
    pub(crate) key: Arc<str>,
    pub(crate) now: i128,
    /// `None`: there was no such row.
    pub(crate) before: Option<i128>,
    pub(crate) change: i128,
}

impl History {
    fn of(most: usize) -> Self {
        Self {
            days: BTreeMap::new(),
            since: None,
            count: 0,
            most,
        }
    }

    /// Begins, unless it has; `anew`: what is known is of other rows.
    pub(crate) fn begin(&mut self, now: Minute, anew: bool) {
        if anew {
            *self = Self::of(self.most);
        }
        self.since.get_or_insert(now);
    }

    pub(crate) fn since(&self) -> Option<Minute> {
        self.since
    }

    /// Notes a row's number from now on; `None`: the row or its number has gone.
    pub(crate) fn note(
        &mut self,
        day: BusinessDay,
        key: &Arc<str>,
        now: Minute,
        number: Option<i128>,
    ) {
        let courses = self.days.entry(day).or_default();
        let Some(number) = number else {
            self.count -= usize::from(courses.remove(key).is_some());
            return;
        };
        if let Some(series) = courses.get_mut(key) {
            series.note(now, number);
        } else if self.count < self.most {
            self.count += 1;
            let mut series = Series::default();
            series.note(now, number);
            courses.insert(Arc::clone(key), series);
        }
    }

    /// Forgets days before this one.
    pub(crate) fn forget_before(&mut self, oldest: BusinessDay) {
        self.days.retain(|day, courses| {
            let keep = *day >= oldest;
            self.count -= if keep { 0 } else { courses.len() };
            keep
        });
    }

    /// The course of a row.
    pub(crate) fn series(&self, day: BusinessDay, key: &str) -> Option<&Series> {
        self.days.get(&day)?.get(key)
    }

    /// The rows whose number changed most within the last minutes, largest change first, then by key. Looks at
    /// every row of the day: some 10 ms for 100,000.
    pub(crate) fn movers(
        &self,
        day: BusinessDay,
        now: Minute,
        minutes: Minute,
        count: usize,
    ) -> Vec<Mover> {
        let Some(courses) = self.days.get(&day) else {
            return Vec::new();
        };
        let moved = courses.iter();
        let moved = moved.filter_map(|(key, series)| self.moved(key, series, now, minutes));
        let mut moved: Vec<Mover> = moved.collect();
        let by = |mover: &Mover| (Reverse(mover.change.unsigned_abs()), Arc::clone(&mover.key));
        if moved.len() > count {
            moved.select_nth_unstable_by_key(count, by);
            moved.truncate(count);
        }
        moved.sort_unstable_by_key(by);
        moved
    }

    fn moved(
        &self,
        key: &Arc<str>,
        series: &Series,
        now: Minute,
        minutes: Minute,
    ) -> Option<Mover> {
        let last = series.last()?;
        let before = series.at(now.saturating_sub(minutes)).or_else(|| {
            // Known from the beginning on, so that is what it is compared with; or else it is new.
            let (first, number) = series.first()?;
            (Some(first) <= self.since).then_some(number)
        });
        let change = last - before.unwrap_or_default();
        (change != 0).then(|| Mover {
            key: Arc::clone(key),
            now: last,
            before,
            change,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day() -> BusinessDay {
        "2026-11-23".parse().expect("a day")
    }

    fn moved(history: &History, now: Minute, minutes: Minute) -> Vec<String> {
        let movers = history.movers(day(), now, minutes, 2);
        let text = |mover: &Mover| format!("{} {:?} {}", mover.key, mover.before, mover.change);
        movers.iter().map(text).collect()
    }

    #[test]
    fn movers_are_those_that_changed_most() {
        let mut history = History::default();
        let mut note = |minute, key: &str, number| {
            history.begin(100, false);
            history.note(day(), &key.into(), minute, Some(number));
        };
        note(100, "old", 1_000);
        note(100, "still", 5_000);
        note(103, "new", 7);
        note(104, "old", 400);
        note(109, "old", 401);
        note(109, "new", 2);
        for minutes in [1, 5] {
            let found = moved(&history, 109, minutes);
            assert_eq!(found, ["new Some(7) -5", "old Some(400) 1"], "{minutes}");
        }
        // Before history began, what it was at its beginning; of a new row nothing.
        assert_eq!(
            moved(&history, 109, 15),
            ["old Some(1000) -599", "new None 2"]
        );
        history.note(day(), &"old".into(), 110, None);
        assert_eq!(moved(&history, 110, 15), ["new None 2"]);
        assert_eq!(history.count, 2);
        history.forget_before(day().plus_days(1));
        assert_eq!((history.count, history.series(day(), "new")), (0, None));
    }

    #[test]
    fn only_so_many_rows_have_a_course() {
        let mut history = History::of(2);
        for key in ["a", "b", "c"] {
            history.note(day(), &key.into(), 1, Some(1));
        }
        assert!(history.series(day(), "b").is_some() && history.series(day(), "c").is_none());
        history.note(day(), &"a".into(), 1, None);
        history.note(day(), &"c".into(), 1, Some(1));
        assert!(history.series(day(), "c").is_some());
        assert_eq!(History::default().most, 1_000_000);
    }
}
