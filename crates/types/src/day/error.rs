//! What can be wrong with a calendar's settings.

use super::working::{CLOSED_DAYS_MAX, HOLIDAYS_MAX};

/// A setting of the calendar that cannot be used. Retrying does not help.
#[derive(Debug, thiserror::Error)]
pub enum CalendarError {
    /// Not an IANA zone.
    #[error("{name:?} is no time zone of the IANA database (example: \"Europe/Zagreb\")")]
    Zone {
        /// As configured.
        name: String,
    },
    /// The data of a zone in this program cannot be read: a defect of the build.
    #[error("the time zone database in this program has no usable data for {name:?}")]
    ZoneData {
        /// Name in the database.
        name: &'static str,
        /// From the date library.
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
    /// A time of day with a fraction of a second.
    #[error("the cut-off {text:?} has a fraction of a second; give whole seconds (\"17:30:15\")")]
    CutOffFraction {
        /// As configured.
        text: String,
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
    /// Not a weekday.
    #[error(
        "`working_days` has {text:?}, but must be of \"mon\", \"tue\", \"wed\", \"thu\", \"fri\", \
         \"sat\", \"sun\""
    )]
    Weekday {
        /// As configured.
        text: String,
    },
    /// A weekday is named twice.
    #[error("`working_days` has {text:?} twice; remove one")]
    WeekdayTwice {
        /// As configured.
        text: String,
    },
    /// No weekday at all.
    #[error("`working_days` is empty; name one at least, or remove the key: every day is one then")]
    NoWeekday,
    /// Neither a date nor a calendar's name.
    #[error(
        "`holidays` has {text:?}, which is neither a date (\"2026-12-24\") nor a known calendar \
         (\"target\")"
    )]
    Holiday {
        /// As configured.
        text: String,
    },
    /// A line of a file of holidays.
    #[error(
        "line {line} is {text:?}; a line is a date (\"2026-12-24\"), and what follows # is a comment"
    )]
    HolidayLine {
        /// The first is 1.
        line: usize,
        /// Without its comment.
        text: String,
    },
    /// More dates than [`HOLIDAYS_MAX`].
    #[error("there are more than {HOLIDAYS_MAX} holidays; remove the past ones")]
    Holidays,
    /// Transactions would wait for a business day longer than [`CLOSED_DAYS_MAX`].
    #[error(
        "from {from} on there is no business day in {CLOSED_DAYS_MAX} days; remove holidays or add \
         `working_days`"
    )]
    Closed {
        /// First date without.
        from: super::BusinessDay,
    },
}
