//! Dates and times: from what a source writes to RFC 3339 with offset.
//!
//! The common forms are read by hand; jiff answers for time zones and for free formats.

use jiff::civil;
use jiff::tz::TimeZone;

/// How a source writes dates and times.
#[derive(Debug)]
pub(crate) enum TimeFormat {
    /// ISO 8601 / RFC 3339: a date, or date and time, with or without offset.
    Iso,
    /// A `strftime` pattern such as `%Y%m%d` or `%d.%m.%Y %H:%M`.
    Pattern(Box<str>),
    /// Whole seconds since 1970, UTC.
    UnixSeconds,
    /// Whole milliseconds since 1970, UTC.
    UnixMillis,
}

/// How one time field is read.
#[derive(Debug)]
pub(crate) struct TimeRule {
    pub(crate) format: TimeFormat,
    /// Zone of local times; without it a time must have an offset.
    pub(crate) zone: Option<TimeZone>,
    /// Time of day of a date that has none; without it a date alone is refused.
    pub(crate) at: Option<civil::Time>,
}

/// An instant with the offset it is written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Microseconds since 1970, UTC.
    pub(crate) micros: i64,
    /// Seconds east of UTC.
    pub(crate) offset_seconds: i32,
    /// Written `Z` rather than `+00:00`.
    pub(crate) zulu: bool,
}

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// Bounds of what can be written with a four-digit year.
const MICROS_MIN: i64 = -62_135_596_800 * MICROS_PER_SECOND;
const MICROS_MAX: i64 = 253_402_300_799 * MICROS_PER_SECOND;

impl TimeRule {
    /// Reads a time.
    ///
    /// A local time that clocks skip is moved behind the gap, one that comes twice is its first
    /// coming (jiff's "compatible", as in RFC 5545). A date without a year is the last one that lies at
    /// most [`YEARLESS_AHEAD_DAYS_MAX`] behind `received_at`, microseconds since 1970.
    pub(crate) fn parse(&self, text: &str, received_at: i64) -> Result<Moment, String> {
        let moment = match &self.format {
            TimeFormat::Iso => {
                let iso = parse_iso(text.as_bytes()).ok_or_else(|| {
                    "is no date and time such as 2026-11-23T10:15:00+01:00".to_owned()
                })?;
                self.place(iso)?
            }
            TimeFormat::Pattern(pattern) => {
                self.place(parse_pattern(pattern, text, received_at)?)?
            }
            TimeFormat::UnixSeconds => unix(text, MICROS_PER_SECOND)?,
            TimeFormat::UnixMillis => unix(text, 1_000)?,
        };
        if (MICROS_MIN..=MICROS_MAX).contains(&moment.micros) {
            Ok(moment)
        } else {
            Err("lies outside the years 1 to 9999".to_owned())
        }
    }

    fn place(&self, local: Local) -> Result<Moment, String> {
        let time_micros = match (local.time_micros, self.at) {
            (Some(micros), _) => micros,
            (None, Some(at)) => {
                i64::from(at.hour()) * 3_600 * MICROS_PER_SECOND
                    + i64::from(at.minute()) * 60 * MICROS_PER_SECOND
                    + i64::from(at.second()) * MICROS_PER_SECOND
            }
            (None, None) => return Err("has a date but no time of day".to_owned()),
        };
        let civil_micros = local.days * SECONDS_PER_DAY * MICROS_PER_SECOND + time_micros;
        if let Some((offset_seconds, zulu)) = local.offset {
            return Ok(Moment {
                micros: civil_micros - i64::from(offset_seconds) * MICROS_PER_SECOND,
                offset_seconds,
                zulu,
            });
        }
        let Some(zone) = &self.zone else {
            return Err("has no offset from UTC, and the mapping names no zone".to_owned());
        };
        if *zone == TimeZone::UTC {
            return Ok(Moment {
                micros: civil_micros,
                offset_seconds: 0,
                zulu: true,
            });
        }
        in_zone(zone, civil_micros)
    }
}

fn in_zone(zone: &TimeZone, civil_micros: i64) -> Result<Moment, String> {
    let out_of_range = |error: jiff::Error| format!("cannot be placed in its zone: {error}");
    // The civil time as if it were UTC, then read back without zone.
    let civil = jiff::Timestamp::from_microsecond(civil_micros)
        .map_err(out_of_range)?
        .to_zoned_datetime(TimeZone::UTC)
        .datetime();
    let at = zone
        .to_ambiguous_timestamp(civil)
        .compatible()
        .map_err(out_of_range)?;
    Ok(Moment {
        micros: at.as_microsecond(),
        offset_seconds: zone.to_offset(at).seconds(),
        zulu: false,
    })
}

fn unix(text: &str, micros_per_unit: i64) -> Result<Moment, String> {
    let whole: i64 = text
        .parse()
        .map_err(|_| "is no whole number of seconds or milliseconds since 1970".to_owned())?;
    let micros = whole
        .checked_mul(micros_per_unit)
        .ok_or_else(|| "lies outside the years 1 to 9999".to_owned())?;
    Ok(Moment {
        micros,
        offset_seconds: 0,
        zulu: true,
    })
}

/// What stands in a text: a day, perhaps a time of day, perhaps an offset.
#[derive(Debug, Clone, Copy)]
struct Local {
    /// Days since 1970-01-01.
    days: i64,
    time_micros: Option<i64>,
    /// Seconds east of UTC, and whether written as `Z`.
    offset: Option<(i32, bool)>,
}

fn parse_pattern(pattern: &str, text: &str, received_at: i64) -> Result<Local, String> {
    let wrong = || format!("does not have the form {pattern}");
    // CSV files with eight-digit dates are the common case and long.
    if pattern == "%Y%m%d" {
        let bytes = text.as_bytes();
        let days = (bytes.len() == 8)
            .then(|| {
                days_of(
                    digits(&bytes[..4])?,
                    digits(&bytes[4..6])?,
                    digits(&bytes[6..])?,
                )
            })
            .flatten()
            .ok_or_else(wrong)?;
        return Ok(Local {
            days,
            time_micros: None,
            offset: None,
        });
    }
    let parts = jiff::fmt::strtime::parse(pattern, text).map_err(|_| wrong())?;
    let days = if parts.year().is_some() || parts.month().is_none() {
        let date = parts.to_date().map_err(|_| wrong())?;
        days_of(
            u32::from(date.year().unsigned_abs()),
            u32::from(date.month().unsigned_abs()),
            u32::from(date.day().unsigned_abs()),
        )
    } else {
        last_days(parts.month(), parts.day(), received_at)
    };
    let days = days.ok_or_else(wrong)?;
    let time_micros = parts
        .to_time()
        .ok()
        .filter(|_| parts.hour().is_some())
        .map(|time| {
            let seconds = i64::from(time.hour()) * 3_600
                + i64::from(time.minute()) * 60
                + i64::from(time.second());
            seconds * MICROS_PER_SECOND + i64::from(time.subsec_nanosecond()) / 1_000
        });
    Ok(Local {
        days,
        time_micros,
        offset: parts.offset().map(|offset| (offset.seconds(), false)),
    })
}

/// Days by which a date without a year may lie ahead of its arrival. What is not booked yet comes within
/// days; what is from an archive may be almost a year old.
const YEARLESS_AHEAD_DAYS_MAX: i64 = 31;

/// Days from 1970-01-01 to the month and day in the last year in which they are not too far ahead of an
/// instant.
fn last_days(month: Option<i8>, day: Option<i8>, near_micros: i64) -> Option<i64> {
    let (month, day) = (u32::try_from(month?).ok()?, u32::try_from(day?).ok()?);
    let near = near_micros.clamp(MICROS_MIN, MICROS_MAX);
    let near = near.div_euclid(SECONDS_PER_DAY * MICROS_PER_SECOND);
    let (year, _, _) = civil_of(near);
    (year - 1..=year + 1)
        .rev()
        .filter_map(|year| days_of(u32::try_from(year).ok()?, month, day))
        .find(|days| days - near <= YEARLESS_AHEAD_DAYS_MAX)
}

/// Reads `YYYY-MM-DD`, `YYYY-MM-DDThh:mm:ss[.f…]`, each with or without `Z` or `±hh:mm`.
///
/// Digits of a second behind the sixth are cut off, never rounded.
fn parse_iso(text: &[u8]) -> Option<Local> {
    let (date, rest) = text.split_at_checked(10)?;
    if date[4] != b'-' || date[7] != b'-' {
        return None;
    }
    let days = days_of(
        digits(&date[..4])?,
        digits(&date[5..7])?,
        digits(&date[8..])?,
    )?;
    let (time_micros, rest) = match rest.first() {
        Some(b'T' | b't' | b' ') => {
            let (micros, rest) = parse_time(&rest[1..])?;
            (Some(micros), rest)
        }
        _ => (None, rest),
    };
    let offset = match rest {
        [] => None,
        [b'Z' | b'z'] => Some((0, true)),
        [sign @ (b'+' | b'-'), hours @ .., b':', tens, ones] if hours.len() == 2 => {
            let (hours, minutes) = (digits(hours)?, digits(&[*tens, *ones])?);
            if hours > 18 || minutes > 59 {
                return None;
            }
            let seconds = i32::try_from(hours * 3_600 + minutes * 60).ok()?;
            Some((if *sign == b'-' { -seconds } else { seconds }, false))
        }
        _ => return None,
    };
    Some(Local {
        days,
        time_micros,
        offset,
    })
}

/// `hh:mm:ss[.f…]` in microseconds, and what follows.
fn parse_time(text: &[u8]) -> Option<(i64, &[u8])> {
    let (time, mut rest) = text.split_at_checked(8)?;
    if time[2] != b':' || time[5] != b':' {
        return None;
    }
    let (hour, minute, second) = (
        digits(&time[..2])?,
        digits(&time[3..5])?,
        digits(&time[6..])?,
    );
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut micros = i64::from(hour * 3_600 + minute * 60 + second) * MICROS_PER_SECOND;
    if let [b'.', fraction @ ..] = rest {
        let count = fraction
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if count == 0 || count > 9 {
            return None;
        }
        let mut place = 100_000;
        for byte in &fraction[..count.min(6)] {
            micros += i64::from(byte - b'0') * place;
            place /= 10;
        }
        rest = &fraction[count..];
    }
    Some((micros, rest))
}

fn digits(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0_u32, |value, byte| {
        byte.is_ascii_digit()
            .then(|| value * 10 + u32::from(byte - b'0'))
    })
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; `None` if there is no such date.
fn days_of(year: u32, month: u32, day: u32) -> Option<i64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if year == 0 || day == 0 || day > length {
        return None;
    }
    // Years that begin in March put the leap day last (Howard Hinnant, "chrono-compatible
    // low-level date algorithms", days_from_civil).
    let (year, month) = (i64::from(year), i64::from(month));
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let month_index = (month + 9) % 12;
    let day_of_year = (153 * month_index + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// Year, month and day of a number of days since 1970-01-01; the inverse of [`days_of`].
pub(crate) fn civil_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Whether a fraction of a second is always written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fraction {
    /// Six digits.
    Always,
    /// Six digits, or none when they are all zero.
    IfAny,
}

/// Writes an instant as RFC 3339.
pub(crate) fn write_rfc3339(out: &mut Vec<u8>, moment: Moment, fraction: Fraction) {
    let local = moment.micros + i64::from(moment.offset_seconds) * MICROS_PER_SECOND;
    let seconds = local.div_euclid(MICROS_PER_SECOND);
    let micros = local.rem_euclid(MICROS_PER_SECOND);
    let (year, month, day) = civil_of(seconds.div_euclid(SECONDS_PER_DAY));
    let of_day = seconds.rem_euclid(SECONDS_PER_DAY);
    push_digits(out, year, 4);
    out.push(b'-');
    push_digits(out, month, 2);
    out.push(b'-');
    push_digits(out, day, 2);
    out.push(b'T');
    push_digits(out, of_day / 3_600, 2);
    out.push(b':');
    push_digits(out, of_day / 60 % 60, 2);
    out.push(b':');
    push_digits(out, of_day % 60, 2);
    if fraction == Fraction::Always || micros != 0 {
        out.push(b'.');
        push_digits(out, micros, 6);
    }
    if moment.zulu {
        out.push(b'Z');
    } else {
        // Offsets with seconds ended long before 1970; RFC 3339 has minutes.
        let minutes = moment.offset_seconds / 60;
        out.push(if minutes < 0 { b'-' } else { b'+' });
        push_digits(out, i64::from(minutes.abs() / 60), 2);
        out.push(b':');
        push_digits(out, i64::from(minutes.abs() % 60), 2);
    }
}

/// Text of an instant in UTC with microseconds: `2026-11-23T10:15:00.000001Z`.
pub fn received_at_text(micros: i64) -> String {
    let mut text = Vec::with_capacity(27);
    let moment = Moment {
        micros: micros.clamp(MICROS_MIN, MICROS_MAX),
        offset_seconds: 0,
        zulu: true,
    };
    write_rfc3339(&mut text, moment, Fraction::Always);
    String::from_utf8(text).expect("digits and punctuation are ASCII")
}

fn push_digits(out: &mut Vec<u8>, value: i64, width: usize) {
    let mut buffer = [b'0'; 8];
    let mut value = value.unsigned_abs();
    for place in buffer[..width].iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&buffer[..width]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2026-11-23T12:00:00Z.
    const RECEIVED_AT: i64 = 1_795_435_200_000_000;

    #[track_caller]
    fn check(format: &str, zone: &str, at: &str, text: &str, expected: &str) {
        let rule = TimeRule {
            format: match format {
                "iso" => TimeFormat::Iso,
                "unix" => TimeFormat::UnixSeconds,
                "millis" => TimeFormat::UnixMillis,
                pattern => TimeFormat::Pattern(pattern.into()),
            },
            zone: (!zone.is_empty()).then(|| TimeZone::get(zone).expect("a zone")),
            at: (!at.is_empty()).then(|| at.parse().expect("a time")),
        };
        let actual = match rule.parse(text, RECEIVED_AT) {
            Ok(moment) => {
                let mut out = Vec::new();
                write_rfc3339(&mut out, moment, Fraction::IfAny);
                String::from_utf8(out).expect("ASCII")
            }
            Err(error) => error,
        };
        assert_eq!(actual, expected, "{text}");
    }

    #[test]
    fn iso_times_keep_their_offset() {
        let same = |text| check("iso", "", "", text, text);
        same("2026-11-23T10:15:00+01:00");
        same("2026-11-23T10:15:00Z");
        same("2026-11-23T00:15:00-09:30");
        same("2024-02-29T23:59:59.000001Z");
        same("1900-01-01T00:00:00Z");
        check(
            "iso",
            "",
            "",
            "2026-11-23 10:15:00.5z",
            "2026-11-23T10:15:00.500000Z",
        );
        check(
            "iso",
            "",
            "",
            "2026-11-23T10:15:00.123456789Z",
            "2026-11-23T10:15:00.123456Z",
        );
    }

    #[test]
    fn local_times_take_the_zone() {
        check(
            "iso",
            "Europe/Zagreb",
            "",
            "2026-07-01T12:00:00",
            "2026-07-01T12:00:00+02:00",
        );
        check(
            "iso",
            "Europe/Zagreb",
            "",
            "2026-11-23T12:00:00",
            "2026-11-23T12:00:00+01:00",
        );
        // Skipped and doubled hours.
        check(
            "iso",
            "Europe/Zagreb",
            "",
            "2026-03-29T02:30:00",
            "2026-03-29T03:30:00+02:00",
        );
        check(
            "iso",
            "Europe/Zagreb",
            "",
            "2026-10-25T02:30:00",
            "2026-10-25T02:30:00+02:00",
        );
        check(
            "iso",
            "",
            "",
            "2026-11-23T12:00:00",
            "has no offset from UTC, and the mapping names no zone",
        );
    }

    #[test]
    fn dates_take_the_time_of_day() {
        check("iso", "UTC", "12:00", "2026-11-23", "2026-11-23T12:00:00Z");
        check(
            "iso",
            "UTC",
            "12:00",
            "2026-11-23+01:00",
            "2026-11-23T12:00:00+01:00",
        );
        check(
            "%Y%m%d",
            "America/New_York",
            "12:00",
            "19970101",
            "1997-01-01T12:00:00-05:00",
        );
        check(
            "iso",
            "UTC",
            "",
            "2026-11-23",
            "has a date but no time of day",
        );
    }

    #[test]
    fn other_forms() {
        check(
            "%d.%m.%Y %H:%M",
            "UTC",
            "",
            "23.11.2026 10:15",
            "2026-11-23T10:15:00Z",
        );
        check(
            "%d.%m.%Y",
            "UTC",
            "00:00",
            "23.11.2026",
            "2026-11-23T00:00:00Z",
        );
        check("unix", "", "", "1700000000", "2023-11-14T22:13:20Z");
        check(
            "millis",
            "",
            "",
            "1700000000123",
            "2023-11-14T22:13:20.123000Z",
        );
    }

    #[test]
    fn a_missing_year_is_the_last_that_is_not_far_ahead() {
        let near = |text, expected| check("%m%d%H%M%S", "UTC", "", text, expected);
        near("1123101500", "2026-11-23T10:15:00Z");
        near("1224235959", "2026-12-24T23:59:59Z");
        near("1225000000", "2025-12-25T00:00:00Z");
        near("0109080646", "2026-01-09T08:06:46Z");
        near("0523000000", "2026-05-23T00:00:00Z");
        near("0229000000", "does not have the form %m%d%H%M%S");
        near("2005080501", "does not have the form %m%d%H%M%S");
        check("%m%d", "UTC", "12:00", "1120", "2026-11-20T12:00:00Z");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2026",
            "2026-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-11-31",
            "2026-11-23T24:00:00Z",
            "2026-11-23T10:15Z",
            "2026-11-23T10:15:00.Z",
            "2026-11-23T10:15:00+0100",
            "0000-01-01",
            "2026-11-23T10:15:60Z",
            "2026-11-23T10:15:00+19:00",
            "２026-11-23",
            "2026-11-23T10:15:00Zx",
        ] {
            check(
                "iso",
                "UTC",
                "12:00",
                text,
                "is no date and time such as 2026-11-23T10:15:00+01:00",
            );
        }
        check(
            "%Y%m%d",
            "UTC",
            "12:00",
            "19970230",
            "does not have the form %Y%m%d",
        );
        check(
            "unix",
            "",
            "",
            "1e9",
            "is no whole number of seconds or milliseconds since 1970",
        );
        check(
            "unix",
            "",
            "",
            "99999999999999",
            "lies outside the years 1 to 9999",
        );
    }

    proptest! {
        #[test]
        fn days_agree_with_the_date_library(days in -700_000_i64..2_900_000) {
            let (year, month, day) = civil_of(days);
            let date = civil::Date::new(year as i16, month as i8, day as i8).expect("a date");
            let epoch = civil::date(1970, 1, 1);
            prop_assert_eq!(i64::from(date.duration_since(epoch).as_hours() as i32 / 24), days);
            prop_assert_eq!(days_of(year as u32, month as u32, day as u32), Some(days));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,30}") {
            let rule = TimeRule { format: TimeFormat::Iso, zone: Some(TimeZone::UTC), at: None };
            let _ = rule.parse(&text, RECEIVED_AT);
        }
    }
}
