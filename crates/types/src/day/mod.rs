//! The business day: which day a transaction belongs to.
//!
//! # Where to start reading
//!
//! [`BusinessCalendar`] is the rule (normative: `docs/specs/business-day.md`). [`DayCache`] answers
//! for a stream, [`ZonedDays`] for a stream whose rows name their zone.
//!
//! # Invariants
//!
//! - **Monotone.** A later instant never belongs to an earlier day, whatever clocks do.
//! - **One database.** Zones come from the database in this program, never from the machine, so
//!   every instance and every replay of one build judges alike ([`tzdata_version`]).

mod cache;
mod calendar;
mod days;
mod error;
mod holidays;
mod local;
mod working;
mod zoned;

pub use cache::DayCache;
pub use calendar::BusinessCalendar;
pub use days::Days;
pub use error::CalendarError;
pub use local::{is_zone, tzdata_version};
pub use working::{CLOSED_DAYS_MAX, HOLIDAYS_MAX, WorkingDays};
pub use zoned::{UnknownZone, ZONES_MAX, ZonedDays};

use std::fmt;
use std::str::FromStr;

use jiff::ToSpan;
use jiff::civil::Date;

/// Microseconds since 1970-01-01T00:00:00Z.
pub type Micros = i64;

/// A business day, by its date. Ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BusinessDay(Date);

impl BusinessDay {
    /// 1970-01-01.
    pub const EPOCH: BusinessDay = BusinessDay(Date::constant(1970, 1, 1));

    /// Days since 1970-01-01, the form that columns and topics carry.
    pub fn epoch_days(self) -> i32 {
        let epoch = Date::constant(1970, 1, 1);
        // Both dates are within jiff's range of ±9999 years: the span is far below i32.
        epoch.until(self.0).map_or(0, |span| span.get_days())
    }

    /// The day a number of days after 1970-01-01; `None` outside years -9999 to 9999.
    pub fn from_epoch_days(days: i32) -> Option<Self> {
        let epoch = Date::constant(1970, 1, 1);
        epoch.checked_add(days.days()).ok().map(Self)
    }

    /// The date `days` dates later (earlier if negative); stays in range by clamping at year ±9999.
    ///
    /// Counts dates, not business days: see [`BusinessCalendar::earlier`] and
    /// [`BusinessCalendar::next`] for those.
    #[must_use]
    pub fn plus_days(self, days: i32) -> Self {
        Self(self.0.saturating_add(days.days()))
    }

    /// The date after; `None` at the end of the range.
    fn tomorrow(self) -> Option<Self> {
        self.0.tomorrow().ok().map(Self)
    }

    /// The date before; `None` at the beginning of the range.
    fn yesterday(self) -> Option<Self> {
        self.0.yesterday().ok().map(Self)
    }
}

impl fmt::Display for BusinessDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `YYYY-MM-DD`.
impl FromStr for BusinessDay {
    type Err = CalendarError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse()
            .map(Self)
            .map_err(|source| CalendarError::Date {
                text: text.to_owned(),
                source,
            })
    }
}

#[cfg(test)]
mod tests;
