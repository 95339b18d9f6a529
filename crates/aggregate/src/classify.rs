//! What becomes of a record: counted, reversing, duplicate, late-corrected or quarantined.

use std::collections::HashMap;
use std::fmt;

use types::{BusinessDay, DayCache, Micros, UnknownZone, ZonedDays};

use crate::identities::Identities;
use crate::options::{AggregationOptions, Late};
use crate::record::{Identity, Parsed, identity_hash};
use crate::spill::ScratchError;

/// Why a record was quarantined. The text is what operators see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Not a transaction.
    Unreadable(String),
    /// `received_at` is ahead of the log's own clock.
    ClockSkew,
    /// `booked_at` is too far ahead of the stream clock.
    Future,
    /// The zone that it names is not known.
    Zone(UnknownZone),
    /// Its day is no longer kept.
    TooLate,
    /// Its day has passed, and late ones are not wanted.
    Late,
    /// The same identity came with other content.
    Conflict,
    /// It takes another transaction back, and the aggregation has `reversals = false`.
    Reversal,
    /// Adding it would leave the range of a sum, or an expression failed for it.
    NotComputable(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(detail) => write!(f, "unreadable: {detail}"),
            Self::ClockSkew => f.write_str("clock-skew: received_at is ahead of the log's clock"),
            Self::Future => f.write_str("future: booked_at is further ahead than future_max"),
            Self::Zone(unknown) => write!(f, "zone: {unknown}"),
            Self::TooLate => f.write_str("too-late: its business day is no longer kept"),
            Self::Late => f.write_str("late: its business day has passed"),
            Self::Conflict => f.write_str("conflict: the same id came before with other content"),
            Self::Reversal => {
                f.write_str("reversal: it takes a transaction back, but `reversals` is false")
            }
            Self::NotComputable(detail) => write!(f, "not-computable: {detail}"),
        }
    }
}

/// The verdict on one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Class {
    Counted,
    Reversing,
    Duplicate,
    LateCorrected,
    Quarantined(Reason),
}

/// An identity that is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) content: u64,
    pub(crate) day: i32,
}

/// The business day that a record is counted on, what becomes of it, and its identity if that is new.
pub(crate) type Verdict = (BusinessDay, Class, Option<(Identity, Seen)>);

/// Identities of the kept days and the stream clocks.
#[derive(Debug)]
pub(crate) struct Classifier {
    days: ZonedDays,
    /// Which column of a record names its zone.
    zone_column: Option<usize>,
    keep_days: Option<u16>,
    late: Late,
    future_max: i64,
    clock_skew_max: i64,
    reversals: bool,
    /// 38 to 75 MB a million in memory.
    pub(crate) seen: Identities,
    /// By partition.
    pub(crate) clocks: HashMap<i32, Micros>,
}

impl Classifier {
    pub(crate) fn new(options: &AggregationOptions) -> Self {
        Self {
            days: ZonedDays::new(options.calendar.clone()),
            zone_column: options.zone_column,
            keep_days: options.keep_days,
            late: options.late,
            future_max: options.future_max_micros,
            clock_skew_max: options.clock_skew_max_micros,
            reversals: options.reversals,
            seen: Identities::new(options.keep_days),
            clocks: HashMap::new(),
        }
    }

    /// The business day of an instant in the aggregation's own zone.
    pub(crate) fn day_of(&mut self, at: Micros) -> BusinessDay {
        day_of(self.days.default_zone(), at)
    }

    /// Judges a record and remembers its identity. `appended_at` is the log's clock.
    pub(crate) fn judge(
        &mut self,
        partition: i32,
        appended_at: Micros,
        parsed: &Parsed<'_, '_>,
    ) -> Result<Verdict, ScratchError> {
        let received = parsed.received_at.unwrap_or(appended_at);
        if received > appended_at + self.clock_skew_max {
            let day = self.day_of(appended_at);
            return Ok((day, Class::Quarantined(Reason::ClockSkew), None));
        }
        let clock = self.clocks.entry(partition).or_insert(received);
        *clock = received.max(*clock);
        let clock = *clock;
        let refuse = |day, reason| Ok((day, Class::Quarantined(reason), None));
        let text = self.zone_column.and_then(|column| parsed.text(column));
        let days = match self.days.zone(text) {
            Ok(days) => days,
            Err(unknown) => return refuse(self.day_of(clock), Reason::Zone(unknown)),
        };
        // Today is the row's own: it may be tomorrow elsewhere.
        let today = day_of(days, clock);
        if parsed.booked_at > clock.saturating_add(self.future_max) {
            return refuse(today, Reason::Future);
        }
        let day = day_of(days, parsed.booked_at);
        let first_kept = self.keep_days.map(|keep| days.first_kept(today, keep));
        if first_kept.is_some_and(|first| day < first) {
            return refuse(today, Reason::TooLate);
        }
        if !self.reversals && parsed.reverses().is_some() {
            return refuse(day, Reason::Reversal);
        }
        let identity = identity_hash(parsed.source(), parsed.id());
        if let Some(seen) = self.seen.find(&identity)? {
            return match seen.content == parsed.content {
                true => Ok((day, Class::Duplicate, None)),
                false => refuse(day, Reason::Conflict),
            };
        }
        let late = first_kept.is_some() && day < today;
        if late && self.late == Late::Quarantine {
            return refuse(today, Reason::Late);
        }
        let seen = Seen {
            content: parsed.content,
            day: day.epoch_days(),
        };
        self.seen.insert(identity, seen);
        let class = match (late, parsed.reverses().is_some()) {
            (true, _) => Class::LateCorrected,
            (false, true) => Class::Reversing,
            (false, false) => Class::Counted,
        };
        Ok((day, class, Some((identity, seen))))
    }

    /// A day before which nothing is kept by any partition's clock, in any zone that a row may name;
    /// `None` while all are kept.
    pub(crate) fn first_kept_day(&mut self) -> Option<BusinessDay> {
        let keep = self.keep_days?;
        let slowest = *self.clocks.values().min()?;
        if self.zone_column.is_some() {
            return self.days.first_kept_anywhere(slowest, keep);
        }
        let today = self.day_of(slowest);
        Some(self.days.default_zone().first_kept(today, keep))
    }

    /// Forgets identities of days before `first`.
    pub(crate) fn forget_before(&mut self, first: BusinessDay) {
        self.seen.forget_before(first.epoch_days());
    }
}

/// The business day of an instant; years beyond ±9999 count as the epoch's.
fn day_of(days: &mut DayCache, at: Micros) -> BusinessDay {
    days.day_of(at).unwrap_or(BusinessDay::EPOCH)
}
