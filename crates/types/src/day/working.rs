//! Which dates are business days: weekdays and holidays.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use super::holidays::is_target_holiday;
use super::{BusinessDay, CalendarError};

/// Most dates named as holidays, of list and file together; 4 bytes each.
pub const HOLIDAYS_MAX: usize = 10_000;
/// So many dates in a row, in days, may not all be without a business day.
pub const CLOSED_DAYS_MAX: u16 = 366;

/// Bits of all weekdays, Monday the lowest.
const EVERY_DAY: u8 = 0b111_1111;
const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Weekdays and holidays. Cheap to clone. `default()`: every date is a business day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkingDays {
    /// A bit for each weekday, Monday the lowest.
    weekdays: u8,
    /// Whether the holidays of TARGET are holidays.
    target: bool,
    holidays: Arc<BTreeSet<BusinessDay>>,
}

impl Default for WorkingDays {
    fn default() -> Self {
        Self {
            weekdays: EVERY_DAY,
            target: false,
            holidays: Arc::default(),
        }
    }
}

impl WorkingDays {
    /// These weekdays (`"mon"` to `"sun"`, in any order), without holidays.
    ///
    /// # Errors
    ///
    /// [`CalendarError::Weekday`], [`CalendarError::WeekdayTwice`] and [`CalendarError::NoWeekday`].
    pub fn of_week<S: AsRef<str>>(weekdays: &[S]) -> Result<Self, CalendarError> {
        let mut bits = 0;
        for text in weekdays.iter().map(AsRef::as_ref) {
            let place = WEEKDAYS.iter().position(|weekday| *weekday == text);
            let place = place.ok_or_else(|| CalendarError::Weekday {
                text: text.to_owned(),
            })?;
            if bits & (1 << place) != 0 {
                return Err(CalendarError::WeekdayTwice {
                    text: text.to_owned(),
                });
            }
            bits |= 1 << place;
        }
        if bits == 0 {
            return Err(CalendarError::NoWeekday);
        }
        Ok(Self {
            weekdays: bits,
            ..Self::default()
        })
    }

    /// Adds holidays: a date (`"2026-12-24"`), or the name of a calendar. `"target"` is the
    /// Eurosystem's TARGET: New Year's Day, Good Friday, Easter Monday, 1 May, 25 and 26 December.
    ///
    /// # Errors
    ///
    /// [`CalendarError::Holiday`] and [`CalendarError::Holidays`].
    pub fn add_holiday(&mut self, text: &str) -> Result<(), CalendarError> {
        if text == "target" {
            self.target = true;
            return Ok(());
        }
        let date = plain_date(text).ok_or_else(|| CalendarError::Holiday {
            text: text.to_owned(),
        })?;
        self.insert(date)
    }

    /// Adds the holidays of a file: one date a line; what follows `#` is a comment; empty lines
    /// are passed over.
    ///
    /// # Errors
    ///
    /// [`CalendarError::HolidayLine`] and [`CalendarError::Holidays`].
    pub fn add_holiday_lines(&mut self, text: &str) -> Result<(), CalendarError> {
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let date = plain_date(line).ok_or_else(|| CalendarError::HolidayLine {
                line: index + 1,
                text: line.to_owned(),
            })?;
            self.insert(date)?;
        }
        Ok(())
    }

    fn insert(&mut self, date: BusinessDay) -> Result<(), CalendarError> {
        let holidays = Arc::make_mut(&mut self.holidays);
        holidays.insert(date);
        if holidays.len() > HOLIDAYS_MAX {
            return Err(CalendarError::Holidays);
        }
        Ok(())
    }

    /// Whether every date is a business day.
    pub fn is_every_day(&self) -> bool {
        self.weekdays == EVERY_DAY && !self.target && self.holidays.is_empty()
    }

    /// Whether a date is a working day and no holiday.
    pub fn is_working_day(&self, day: BusinessDay) -> bool {
        let place = day.0.weekday().to_monday_zero_offset();
        self.weekdays & (1 << place) != 0
            && !self.holidays.contains(&day)
            && !(self.target && is_target_holiday(day.0))
    }

    /// Refuses a stretch without business days.
    ///
    /// Such a stretch has a named date in it: weekdays and TARGET alone never close for so long.
    pub(super) fn check(&self) -> Result<(), CalendarError> {
        let mut looked_at = None;
        for date in self.holidays.iter() {
            if looked_at.is_some_and(|last| *date <= last) {
                continue;
            }
            let mut first = *date;
            while let Some(before) = first.yesterday().filter(|day| !self.is_working_day(*day)) {
                first = before;
            }
            let mut last = first;
            let mut closed = 0;
            while !self.is_working_day(last) {
                closed += 1;
                if closed >= CLOSED_DAYS_MAX {
                    return Err(CalendarError::Closed { from: first });
                }
                let Some(next) = last.tomorrow() else { break };
                last = next;
            }
            looked_at = Some(last);
        }
        Ok(())
    }

    /// First working day at or after a date. At most [`CLOSED_DAYS_MAX`] steps.
    pub(super) fn at_or_after(&self, mut day: BusinessDay) -> Option<BusinessDay> {
        while !self.is_working_day(day) {
            day = day.tomorrow()?;
        }
        Some(day)
    }

    /// Last working day before a date.
    pub(super) fn before(&self, day: BusinessDay) -> Option<BusinessDay> {
        let mut day = day.yesterday()?;
        while !self.is_working_day(day) {
            day = day.yesterday()?;
        }
        Some(day)
    }

    /// Everything that decides, as text: equal texts mean equal rules.
    pub(super) fn definition(&self) -> String {
        let mut text = format!("{:07b}", self.weekdays);
        if self.target {
            text.push_str(" target");
        }
        for date in self.holidays.iter() {
            let _ = write!(text, " {date}");
        }
        text
    }
}

/// A date in the one form that is taken: with a time of day or without dashes it is a slip.
fn plain_date(text: &str) -> Option<BusinessDay> {
    let date: BusinessDay = text.parse().ok()?;
    (date.to_string() == text).then_some(date)
}

/// For people: `every day`, or `mon tue wed thu fri without target and 3 holidays`.
impl std::fmt::Display for WorkingDays {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.weekdays == EVERY_DAY {
            f.write_str("every day")?;
        } else {
            let of_week = WEEKDAYS.iter().enumerate();
            let named = of_week.filter(|(place, _)| self.weekdays & (1 << place) != 0);
            let named: Vec<&str> = named.map(|(_, name)| *name).collect();
            f.write_str(&named.join(" "))?;
        }
        match (self.target, self.holidays.len()) {
            (false, 0) => Ok(()),
            (true, 0) => f.write_str(" without target"),
            (false, count) => write!(f, " without {count} holidays"),
            (true, count) => write!(f, " without target and {count} holidays"),
        }
    }
}
