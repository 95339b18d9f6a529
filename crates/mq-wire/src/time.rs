//! MQMD's dates and times.

/// `YYYYMMDD` and `HHMMSSTH`, GMT.
pub fn date_and_time(micros: i64) -> ([u8; 8], [u8; 8]) {
    let hundredths = micros.div_euclid(10_000);
    let (days, of_day) = (
        hundredths.div_euclid(8_640_000),
        hundredths.rem_euclid(8_640_000),
    );
    let (year, month, day) = civil(days);
    let date = digits(year * 10_000 + month * 100 + day);
    let seconds = of_day / 100;
    let clock = seconds / 3_600 * 10_000 + seconds / 60 % 60 * 100 + seconds % 60;
    (date, digits(clock * 100 + of_day % 100))
}

/// The opposite of [`date_and_time`]; `None` if it is none.
pub fn micros_of(date: &[u8; 8], time: &[u8; 8]) -> Option<i64> {
    let number = |text: &[u8]| -> Option<i64> { std::str::from_utf8(text).ok()?.parse().ok() };
    let date = number(date)?;
    let (year, month, day) = (date / 10_000, date / 100 % 100, date % 100);
    let time = number(time)?;
    let (hour, minute, second) = (time / 1_000_000, time / 10_000 % 100, time / 100 % 100);
    let valid = (1..=12).contains(&month) && (1..=31).contains(&day) && year >= 1_900;
    if !valid || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days_of(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(seconds * 1_000_000 + time % 100 * 10_000)
}

fn digits(number: i64) -> [u8; 8] {
    let mut text = [b'0'; 8];
    let mut rest = number;
    for digit in text.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest.rem_euclid(10)).unwrap_or(0);
        rest /= 10;
    }
    text
}

/// Year, month and day of a day since 1970 (Hinnant, "chrono-compatible low-level date
/// algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_gmt_and_come_back() {
        for (micros, date, time) in [
            (0, b"19700101", b"00000000"),
            (951_827_696_780_000, b"20000229", b"12345678"),
            (1_764_028_799_990_000, b"20251124", b"23595999"),
            (4_107_542_400_000_000, b"21000301", b"00000000"),
        ] {
            assert_eq!(date_and_time(micros), (*date, *time));
            assert_eq!(micros_of(date, time), Some(micros));
        }
        assert_eq!(micros_of(b"        ", b"        "), None);
        assert_eq!(micros_of(b"20261301", b"00000000"), None);
        assert_eq!(micros_of(b"20261201", b"24000000"), None);
        // Every day of 400 years.
        for day in 0..146_097 {
            let (year, month, of_month) = civil(day);
            assert_eq!(days_of(year, month, of_month), day);
        }
    }
}
