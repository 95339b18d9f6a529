//! What the hub remembers of what was: courses of rows, and the days' curves.

use std::collections::BTreeMap;
use std::sync::Arc;

use types::BusinessDay;

use super::{Hub, locked};
use crate::api;
use crate::curve::{GROUPS_MAX, Point};
use crate::history::{History, Mover};
use crate::row::Change;
use crate::series::{Minute, minute_of};
use crate::view::View;

/// Numbers that changed, to be noted when the view is free again.
pub(super) struct Notes {
    place: Option<usize>,
    changed: Vec<(BusinessDay, Arc<str>, Option<i128>)>,
}

impl Notes {
    pub(super) fn of(view: &View) -> Self {
        Self {
            place: view.schema().main_sum(),
            changed: Vec::new(),
        }
    }

    /// Applies the change; says whether it was news.
    pub(super) fn apply(&mut self, view: &mut View, change: Change) -> bool {
        let number = self.place.and_then(|place| change.cells.number(place));
        let noted = self
            .place
            .map(|_| (change.day, Arc::clone(&change.key), number));
        let applied = view.apply(change);
        if applied {
            self.changed.extend(noted);
        }
        applied
    }
}

impl Hub {
    /// The minute by this server's clock.
    pub(crate) fn minute(&self) -> Minute {
        minute_of((self.clock)())
    }

    pub(super) fn begin_history(&self, anew: bool) {
        locked(&self.history).begin(self.minute(), anew);
    }

    pub(super) fn note(&self, notes: Notes) {
        if notes.changed.is_empty() {
            return;
        }
        let now = self.minute();
        let mut history = locked(&self.history);
        for (day, key, number) in &notes.changed {
            history.note(*day, key, now, *number);
        }
    }

    pub(crate) fn history<T>(&self, read: impl FnOnce(&History) -> T) -> T {
        read(&locked(&self.history))
    }

    /// See [`History::movers`].
    pub(crate) fn movers(&self, day: BusinessDay, minutes: Minute, count: usize) -> Vec<Mover> {
        let now = self.minute();
        self.history(|history| history.movers(day, now, minutes, count))
    }

    /// Looks at what the days come to; the points of the minute that is over, if one is.
    pub(crate) fn close_minute(&self) -> Vec<Point> {
        // What is behind or cut off does not know what the day came to.
        if self.state() != api::State::Live {
            return Vec::new();
        }
        let view = self.view();
        let oldest = view.oldest_day();
        let groups = |day| {
            let mut groups = view.totals(day)?.groups(view.schema());
            groups.truncate(GROUPS_MAX);
            Some((day, groups))
        };
        let days: BTreeMap<_, _> = view.days().filter_map(groups).collect();
        drop(view);
        locked(&self.history).forget_before(oldest);
        let now = (self.clock)();
        locked(&self.curves).tick(&self.spec.calendar, now, days)
    }

    pub(crate) fn put_curve(&self, point: &Point) {
        locked(&self.curves).put(point);
    }

    pub(crate) fn curve(&self, day: BusinessDay) -> api::Curve {
        locked(&self.curves).curve(&self.spec.calendar, day)
    }
}
