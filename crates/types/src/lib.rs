//! The vocabulary of Daybook: money, business day, version, and the names parts agree on.
//!
//! # Where this sits
//!
//! Layer 0. Every crate speaks these words; this one knows none of them and does no I/O.
//!
//! # Invariants
//!
//! - **No floats.** An [`Amount`] is a whole number of 1/100,000 of the major unit; every
//!   operation on it is checked.
//! - **The day is pure.** A business day is computed from an instant and a [`BusinessCalendar`]
//!   only; nothing here reads a clock.

mod amount;
mod boxed;
mod counts;
mod currency;
mod day;
mod glob;
pub mod names;
mod rate;
mod report;
mod swap;
mod tally;
mod version;

pub use amount::{Amount, AmountError, SCALE_DIGITS, SCALE_FACTOR};
pub use boxed::Boxed;
pub use counts::Counts;
pub use currency::{DIGITS_UNKNOWN, currency_digits};
pub use day::{
    BusinessCalendar, BusinessDay, CLOSED_DAYS_MAX, CalendarError, DayCache, Days, HOLIDAYS_MAX,
    Micros, UnknownZone, WorkingDays, ZONES_MAX, ZonedDays, is_zone, tzdata_version,
};
pub use glob::glob;
pub use rate::Rate;
pub use report::report;
pub use swap::{HELD_ROWS_MAX, HOLD_TIME_MAX, Marker, Swap};
pub use tally::{Tally, id_hash, minute_of};
pub use version::Version;
