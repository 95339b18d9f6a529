//! Zone, cut-off, working days: the whole rule.

use super::local::{DAY_SECONDS, LocalDays, OFFSET_SECONDS_MAX, tzdata_version};
use super::working::WorkingDays;
use super::{BusinessDay, CalendarError, Micros};

/// Turns an instant into a business day.
///
/// A date begins at the first instant at which local time in the zone reaches the cut-off (DESIGN
/// §4), so it has 23 or 25 hours when the clocks change; with a cut-off other than midnight it is named
/// by the date it begins on. What falls on a date that is no business day counts to the next one that
/// is, so a business day may be several dates long. Normative: `docs/specs/business-day.md`.
///
/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct BusinessCalendar {
    local: LocalDays,
    working: WorkingDays,
}

impl BusinessCalendar {
    /// Calendar of an IANA zone and a cut-off `HH:MM[:SS]` in which every date is a business day.
    ///
    /// # Errors
    ///
    /// [`CalendarError`] naming the value that is not understood.
    pub fn new(zone: &str, cut_off: &str) -> Result<Self, CalendarError> {
        Ok(Self {
            local: LocalDays::new(zone, cut_off)?,
            working: WorkingDays::default(),
        })
    }

    /// The same with these working days.
    ///
    /// # Errors
    ///
    /// [`CalendarError::Closed`] if there is no business day for a long time.
    pub fn with_working_days(self, working: WorkingDays) -> Result<Self, CalendarError> {
        working.check()?;
        Ok(Self { working, ..self })
    }

    /// The same cut-off and working days in another zone. Cost: reading the zone, some 10 µs.
    ///
    /// # Errors
    ///
    /// [`CalendarError::Zone`].
    pub fn in_zone(&self, zone: &str) -> Result<Self, CalendarError> {
        Ok(Self {
            local: self.local.in_zone(zone)?,
            working: self.working.clone(),
        })
    }

    /// Name of the zone as the database spells it.
    pub fn zone(&self) -> &'static str {
        self.local.zone_name()
    }

    /// Weekdays and holidays.
    pub fn working_days(&self) -> &WorkingDays {
        &self.working
    }

    /// Everything that decides, the version of the time zone database included, as text: equal
    /// texts mean equal answers.
    pub fn definition(&self) -> String {
        format!(
            "{} {} [{}] tzdata {}",
            self.zone(),
            self.local.cut_off(),
            self.working.definition(),
            tzdata_version()
        )
    }

    /// Whether transactions can count to this date: a working day, no holiday, and not skipped by
    /// the clocks of the zone.
    pub fn is_business_day(&self, day: BusinessDay) -> bool {
        self.working.is_working_day(day) && !self.local.is_skipped(day)
    }

    /// The first business day after a date; `None` at the end of time.
    pub fn next(&self, day: BusinessDay) -> Option<BusinessDay> {
        self.at_or_after(day.tomorrow()?)
    }

    /// The last business day before a date; `None` at the beginning of time.
    pub fn previous(&self, day: BusinessDay) -> Option<BusinessDay> {
        let mut day = self.working.before(day)?;
        while self.local.is_skipped(day) {
            day = self.working.before(day)?;
        }
        Some(day)
    }

    /// The business day `count` business days before a date; stays at the first one of time.
    ///
    /// With `keep_days = n` the days `earlier(today, n - 1)` to `today` are kept.
    #[must_use]
    pub fn earlier(&self, mut day: BusinessDay, count: u16) -> BusinessDay {
        for _ in 0..count {
            let Some(before) = self.previous(day) else {
                break;
            };
            day = before;
        }
        day
    }

    fn at_or_after(&self, day: BusinessDay) -> Option<BusinessDay> {
        let mut day = self.working.at_or_after(day)?;
        while self.local.is_skipped(day) {
            day = self.working.at_or_after(day.tomorrow()?)?;
        }
        Some(day)
    }

    /// First instant that counts to a day, or for a date that is no business day, to the next one.
    ///
    /// Where the cut-off falls into time that clocks skip, the day begins at the first instant
    /// behind the gap; where it comes twice, at its first coming. `None` at the ends of time.
    pub fn start(&self, day: BusinessDay) -> Option<Micros> {
        self.end(self.previous(day)?)
    }

    /// First instant that counts to a later business day. `None` at the end of time.
    pub fn end(&self, day: BusinessDay) -> Option<Micros> {
        self.local.begin(self.working_end(day)?)
    }

    /// The date whose beginning ends a day: the next, for a date that is no business day that
    /// behind the next business day.
    fn working_end(&self, day: BusinessDay) -> Option<BusinessDay> {
        self.at_or_after(day)?.tomorrow()
    }

    /// The business day of an instant; `None` only outside the calendar's range (year ±9999).
    ///
    /// Monotone: a later instant has the same or a later day. Cost: some µs for walking over the
    /// zone's transitions; [`DayCache`](super::DayCache) answers repeated calls in nanoseconds.
    pub fn day_of(&self, at: Micros) -> Option<BusinessDay> {
        self.at_or_after(self.local.date_of(at)?)
    }

    /// A day which is not after the first kept day of any zone with this cut-off and these working
    /// days, when `keep` days are kept, today included.
    pub(super) fn kept_in_every_zone(&self, at: Micros, keep: u16) -> Option<BusinessDay> {
        let latest = at.div_euclid(1_000_000) - OFFSET_SECONDS_MAX - self.local.cut_off();
        let date = i32::try_from(latest.div_euclid(DAY_SECONDS)).ok()?;
        let mut day = self
            .working
            .at_or_after(BusinessDay::from_epoch_days(date)?)?;
        // One more than elsewhere: a zone may have skipped a date.
        for _ in 0..keep {
            day = self.working.before(day)?;
        }
        Some(day)
    }
}
