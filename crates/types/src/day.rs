//! The business day: which day a transaction belongs to.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

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

    /// The day `days` later (earlier if negative); stays in range by clamping at year ±9999.
    #[must_use]
    pub fn plus_days(self, days: i32) -> Self {
        Self(self.0.saturating_add(days.days()))
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

/// A setting of the calendar that cannot be used. Retrying does not help.
#[derive(Debug, thiserror::Error)]
pub enum CalendarError {
    /// Not an IANA zone.
    #[error("{name:?} is no time zone of the IANA database (example: \"Europe/Zagreb\")")]
    Zone {
        /// As configured.
        name: String,
        /// From the time zone library.
        #[source]
        source: jiff::Error,
    },
    /// Not a time of day.
    #[error("{text:?} is no time of day (example: \"00:00\" or \"17:30\")")]
    CutOff {
        /// As configured.
        text: String,
        /// From the date library.
        #[source]
        source: jiff::Error,
    },
    /// Not a date.
    #[error("{text:?} is no date (example: \"2026-11-23\")")]
    Date {
        /// As given.
        text: String,
        /// From the date library.
        #[source]
        source: jiff::Error,
    },
}

/// Zone and cut-off that turn an instant into a business day.
///
/// A business day begins at the first instant at which local time in the zone reaches the cut-off
/// (DESIGN §4), so a day has 23 or 25 hours when the clocks change. With a cut-off other than
/// midnight the day is named by the date it begins on.
#[derive(Debug, Clone)]
pub struct BusinessCalendar {
    zone: TimeZone,
    cut_off: Time,
}

impl BusinessCalendar {
    /// Calendar of an IANA zone and a cut-off `HH:MM[:SS]`.
    ///
    /// # Errors
    ///
    /// [`CalendarError`] naming the value that is not understood.
    pub fn new(zone: &str, cut_off: &str) -> Result<Self, CalendarError> {
        let zone = TimeZone::get(zone).map_err(|source| CalendarError::Zone {
            name: zone.to_owned(),
            source,
        })?;
        let cut_off = cut_off.parse().map_err(|source| CalendarError::CutOff {
            text: cut_off.to_owned(),
            source,
        })?;
        Ok(Self { zone, cut_off })
    }

    /// First instant of a day.
    ///
    /// Where the cut-off falls into the hour that clocks skip, the day begins at the first instant
    /// behind the gap; where it comes twice, at its first coming. `None` at the end of time.
    pub fn start(&self, day: BusinessDay) -> Option<Micros> {
        let local = day.0.to_datetime(self.cut_off);
        let ambiguous = self.zone.to_ambiguous_timestamp(local);
        // "Earlier" of a gap would lie before the transition; the first instant at or past the
        // cut-off is the transition itself, which is where "later" minus the overshoot ends up.
        let start = match ambiguous.offset() {
            jiff::tz::AmbiguousOffset::Gap { .. } => {
                let inside = ambiguous.earlier().ok()?;
                let before = inside.checked_sub(24.hours()).ok()?;
                self.zone
                    .following(before)
                    .take_while(|transition| transition.timestamp() <= inside + 24.hours())
                    .map(|transition| transition.timestamp())
                    .find(|at| self.zone.to_datetime(*at) >= local)
                    .unwrap_or(inside)
            }
            _ => ambiguous.earlier().ok()?,
        };
        Some(start.as_microsecond())
    }

    /// The business day of an instant; `None` only outside the calendar's range (year ±9999).
    ///
    /// Cost: a zone conversion. [`DayCache`] answers repeated calls in nanoseconds.
    pub fn day_of(&self, at: Micros) -> Option<BusinessDay> {
        let timestamp = Timestamp::from_microsecond(at).ok()?;
        let date = self.zone.to_datetime(timestamp).date();
        // The local date is off by at most one day from the business day, either way.
        let mut day = BusinessDay(date.tomorrow().ok()?);
        while self.start(day)? > at {
            day = BusinessDay(day.0.yesterday().ok()?);
        }
        Some(day)
    }
}

/// Remembers the bounds of the days last asked for: a stream asks for the same few.
#[derive(Debug)]
pub struct DayCache {
    calendar: BusinessCalendar,
    /// `[start, end)` and the day, most recently used first.
    recent: Vec<(Micros, Micros, BusinessDay)>,
}

/// Days a [`DayCache`] remembers.
const DAYS_CACHED: usize = 8;

impl DayCache {
    /// Empty cache over a calendar.
    pub fn new(calendar: BusinessCalendar) -> Self {
        Self {
            calendar,
            recent: Vec::with_capacity(DAYS_CACHED),
        }
    }

    /// The calendar behind the cache.
    pub fn calendar(&self) -> &BusinessCalendar {
        &self.calendar
    }

    /// Same answer as [`BusinessCalendar::day_of`].
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
        let start = self.calendar.start(day)?;
        let end = self.calendar.start(day.plus_days(1))?;
        self.recent.truncate(DAYS_CACHED - 1);
        self.recent.insert(0, (start, end, day));
        Some(day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn micros(text: &str) -> Micros {
        let at: Timestamp = text.parse().expect("a timestamp");
        at.as_microsecond()
    }

    #[track_caller]
    fn check(zone: &str, cut_off: &str, at: &str, expected: &str) {
        let calendar = BusinessCalendar::new(zone, cut_off).expect("a calendar");
        let day = calendar.day_of(micros(at)).expect("in range");
        assert_eq!(day.to_string(), expected, "{at} in {zone} from {cut_off}");
    }

    #[test]
    fn the_day_is_local_not_utc() {
        check(
            "Europe/Zagreb",
            "00:00",
            "2026-11-22T22:59:59Z",
            "2026-11-22",
        );
        check(
            "Europe/Zagreb",
            "00:00",
            "2026-11-22T23:00:00Z",
            "2026-11-23",
        );
        check(
            "America/New_York",
            "00:00",
            "2026-11-23T04:59:59Z",
            "2026-11-22",
        );
        check(
            "Asia/Kathmandu",
            "00:00",
            "2026-11-22T18:15:00Z",
            "2026-11-23",
        );
    }

    #[test]
    fn a_cut_off_moves_the_beginning_of_the_day() {
        check(
            "Europe/Zagreb",
            "17:30",
            "2026-11-23T16:29:59Z",
            "2026-11-22",
        );
        check(
            "Europe/Zagreb",
            "17:30",
            "2026-11-23T16:30:00Z",
            "2026-11-23",
        );
    }

    #[test]
    fn days_have_23_or_25_hours_when_clocks_change() {
        let calendar = BusinessCalendar::new("Europe/Zagreb", "00:00").expect("a calendar");
        let hours = |day: &str| {
            let day: BusinessDay = day.parse().expect("a date");
            let length = calendar.start(day.plus_days(1)).expect("in range")
                - calendar.start(day).expect("in range");
            length / 3_600_000_000
        };
        assert_eq!(hours("2026-03-29"), 23);
        assert_eq!(hours("2026-10-25"), 25);
        assert_eq!(hours("2026-11-23"), 24);
    }

    #[test]
    fn a_cut_off_inside_the_skipped_hour_begins_behind_the_gap() {
        // 02:00 to 03:00 does not exist on 2026-03-29 in Zagreb.
        check(
            "Europe/Zagreb",
            "02:30",
            "2026-03-29T00:59:59Z",
            "2026-03-28",
        );
        check(
            "Europe/Zagreb",
            "02:30",
            "2026-03-29T01:00:00Z",
            "2026-03-29",
        );
    }

    #[test]
    fn a_cut_off_that_comes_twice_counts_the_first_time() {
        // 02:30 comes at 00:30Z and again at 01:30Z on 2026-10-25 in Zagreb.
        check(
            "Europe/Zagreb",
            "02:30",
            "2026-10-25T00:29:59Z",
            "2026-10-24",
        );
        check(
            "Europe/Zagreb",
            "02:30",
            "2026-10-25T00:30:00Z",
            "2026-10-25",
        );
        check(
            "Europe/Zagreb",
            "02:30",
            "2026-10-25T01:15:00Z",
            "2026-10-25",
        );
    }

    #[test]
    fn midnight_that_does_not_exist_begins_the_day_behind_the_gap() {
        // Clocks in Santiago went from 00:00 to 01:00 on 2024-09-08.
        check(
            "America/Santiago",
            "00:00",
            "2024-09-08T03:59:59Z",
            "2024-09-07",
        );
        check(
            "America/Santiago",
            "00:00",
            "2024-09-08T04:00:00Z",
            "2024-09-08",
        );
    }

    #[test]
    fn epoch_days_go_both_ways() {
        for text in ["1970-01-01", "1900-01-01", "2026-11-23", "2100-12-31"] {
            let day: BusinessDay = text.parse().expect("a date");
            assert_eq!(BusinessDay::from_epoch_days(day.epoch_days()), Some(day));
        }
        let day: BusinessDay = "1970-01-02".parse().expect("a date");
        assert_eq!(day.epoch_days(), 1);
    }

    proptest! {
        #[test]
        fn the_cache_changes_nothing_and_days_are_monotone(
            mut instants in prop::collection::vec(-2_000_000_000_i64..4_000_000_000, 1..40),
        ) {
            let calendar = BusinessCalendar::new("Europe/Zagreb", "00:00").expect("a calendar");
            let mut cache = DayCache::new(calendar.clone());
            for at in &instants {
                prop_assert_eq!(cache.day_of(at * 1_000_000), calendar.day_of(at * 1_000_000));
            }
            instants.sort_unstable();
            let days: Vec<_> = instants.iter().map(|at| calendar.day_of(at * 1_000_000)).collect();
            prop_assert!(days.is_sorted());
        }
    }
}
