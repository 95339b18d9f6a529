//! Which day is today and which days are in view: the clock decides, traffic or not.
//!
//! Forward, rows leave the view with their day. Back, as when a wrong clock is set right, the rows of the
//! earlier days are not here any more: the hand-off begins again and brings them and the day together.

use std::sync::atomic::Ordering::Relaxed;

use types::BusinessDay;

use super::Hub;
use crate::options::AggregationView;

pub(super) fn oldest_in_view(spec: &AggregationView, today: BusinessDay, days: u16) -> BusinessDay {
    spec.calendar.earlier(today, days.saturating_sub(1))
}

/// What a hand-off brings: days by the clock at its beginning.
#[derive(Debug)]
pub(crate) struct Span {
    pub(super) today: BusinessDay,
    pub(super) oldest: BusinessDay,
    /// Dates whose stored rows are needed, those of days to come included.
    pub(crate) days: Vec<BusinessDay>,
}

impl Hub {
    /// Today and the oldest day in view, by the clock; `None` outside the calendar's range.
    pub(super) fn by_the_clock(&self) -> Option<(BusinessDay, BusinessDay)> {
        let today = self.spec.calendar.day_of((self.clock)())?;
        Some((today, oldest_in_view(&self.spec, today, self.days_in_view)))
    }

    /// What a hand-off that begins now is to bring.
    pub(crate) fn span(&self) -> Span {
        self.went_back.store(false, Relaxed);
        let calendar = &self.spec.calendar;
        let (today, oldest) = self.by_the_clock().unwrap_or_else(|| {
            let view = self.view();
            (view.today(), view.oldest_day())
        });
        let ahead = calendar.day_of((self.clock)().saturating_add(self.spec.ahead_max));
        let last = calendar.next(ahead.unwrap_or(today).max(today));
        let (mut day, last) = (oldest, last.unwrap_or(today));
        let mut days = Vec::new();
        while day <= last {
            days.push(day);
            day = day.plus_days(1);
        }
        Span {
            today,
            oldest,
            days,
        }
    }

    /// Whether the hand-off must begin again, as rows of an earlier day are needed.
    pub(crate) fn went_back(&self) -> bool {
        self.went_back.load(Relaxed)
    }

    /// Lets the clock decide the day.
    pub(super) fn look_at_the_clock(&self) {
        let shown = self.view().today();
        match self.by_the_clock() {
            Some((today, oldest)) if today > shown => {
                self.view_mut().set_today(today, oldest);
                tracing::info!(aggregation = self.name(), day = %today, "a new business day");
                self.announce();
            }
            // The rows of that day have left the view: they come with its name.
            Some((today, _)) if today < shown && !self.went_back.swap(true, Relaxed) => {
                tracing::warn!(aggregation = self.name(), day = %today, "the clock went back a day");
            }
            _ => {}
        }
    }
}
