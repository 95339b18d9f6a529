//! Answers repeated questions without asking the calendar.

use super::{BusinessCalendar, BusinessDay, Micros};

/// Remembers the bounds of the days last asked for: a stream asks for the same few.
#[derive(Debug)]
pub struct DayCache {
    calendar: BusinessCalendar,
    /// `[start, end)` and the day, most recently used first.
    recent: Vec<(Micros, Micros, BusinessDay)>,
    /// Day, days kept and the first of them, as last asked for.
    kept: Option<(BusinessDay, u16, BusinessDay)>,
}

/// Days a [`DayCache`] remembers.
const DAYS_CACHED: usize = 8;

impl DayCache {
    /// Empty cache over a calendar.
    pub fn new(calendar: BusinessCalendar) -> Self {
        Self {
            calendar,
            recent: Vec::with_capacity(DAYS_CACHED),
            kept: None,
        }
    }

    /// The calendar behind the cache.
    pub fn calendar(&self) -> &BusinessCalendar {
        &self.calendar
    }

    /// Same answer as [`BusinessCalendar::day_of`]. Does not allocate.
    pub fn day_of(&mut self, at: Micros) -> Option<BusinessDay> {
        let hit = self
            .recent
            .iter()
            .position(|(start, end, _)| (*start..*end).contains(&at));
        if let Some(index) = hit {
            if index > 0 {
                self.recent.swap(0, index);
            }
            return self.recent.first().map(|(_, _, day)| *day);
        }
        let day = self.calendar.day_of(at)?;
        let (Some(start), Some(end)) = (self.calendar.start(day), self.calendar.end(day)) else {
            return Some(day);
        };
        self.recent.truncate(DAYS_CACHED - 1);
        self.recent.insert(0, (start, end, day));
        Some(day)
    }

    /// First of the `keep` business days that are kept when the last of them is `today`. 0 is taken
    /// as 1.
    pub fn first_kept(&mut self, today: BusinessDay, keep: u16) -> BusinessDay {
        match self.kept {
            Some((day, days, first)) if (day, days) == (today, keep) => first,
            _ => {
                let first = self.calendar.earlier(today, keep.saturating_sub(1));
                self.kept = Some((today, keep, first));
                first
            }
        }
    }
}
