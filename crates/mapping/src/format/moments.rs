//! Texts of numbers that stand for days and instants in binary formats.

use std::fmt::Write as _;

use crate::time::civil_of;

const SECONDS_PER_DAY: i64 = 86_400;
/// 0001-01-01 and 9999-12-31, days since 1970: what ISO 8601 writes in four digits.
const DAY_MIN: i64 = -719_162;
const DAY_MAX: i64 = 2_932_896;

/// A day, counted from 1970-01-01, as ISO 8601. `None` outside of the years 1 to 9999.
pub(crate) fn push_day(text: &mut String, days: i64) -> Option<()> {
    if !(DAY_MIN..=DAY_MAX).contains(&days) {
        return None;
    }
    let (year, month, day) = civil_of(days);
    // Writing to a String cannot fail.
    let _ = write!(text, "{year:04}-{month:02}-{day:02}");
    Some(())
}

/// A time of the day as ISO 8601, with as many digits of a fraction as it needs of 3, 6 and 9.
pub(crate) fn push_time(text: &mut String, of_day: i64, nanos: u32) {
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let _ = write!(text, "{hour:02}:{minute:02}:{second:02}");
    let _ = match nanos {
        0 => Ok(()),
        _ if nanos.is_multiple_of(1_000_000) => write!(text, ".{:03}", nanos / 1_000_000),
        _ if nanos.is_multiple_of(1_000) => write!(text, ".{:06}", nanos / 1_000),
        _ => write!(text, ".{nanos:09}"),
    };
}

/// An instant since 1970-01-01T00:00Z as ISO 8601; without `Z` where it is a local time.
pub(crate) fn push_instant(
    text: &mut String,
    seconds: i64,
    nanos: u32,
    is_local: bool,
) -> Option<()> {
    push_day(text, seconds.div_euclid(SECONDS_PER_DAY))?;
    text.push('T');
    push_time(text, seconds.rem_euclid(SECONDS_PER_DAY), nanos);
    if !is_local {
        text.push('Z');
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants() {
        let text = |seconds, nanos| {
            let mut text = String::new();
            push_instant(&mut text, seconds, nanos, false).map(|()| text)
        };
        let check = |seconds, nanos, expected: &str| {
            assert_eq!(text(seconds, nanos).as_deref(), Some(expected));
        };
        check(0, 0, "1970-01-01T00:00:00Z");
        check(-1, 500_000_000, "1969-12-31T23:59:59.500Z");
        check(1_795_435_200, 1_000, "2026-11-23T12:00:00.000001Z");
        check(253_402_300_799, 1, "9999-12-31T23:59:59.000000001Z");
        check(-62_135_596_800, 0, "0001-01-01T00:00:00Z");
        assert_eq!(text(253_402_300_800, 0), None);
        assert_eq!(text(-62_135_596_801, 0), None);
        assert_eq!(text(i64::MAX, 0), None);
    }
}
