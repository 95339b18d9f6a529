//! Numbers as people read them: thousands apart, with a unit, no more digits than mean something.

/// Whole number with commas: `1,234,567`.
pub(crate) fn whole(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A measured number, rounded: whole from 100 up, with one digit below, two below 10.
pub(crate) fn measured(number: f64) -> String {
    match number {
        number if !number.is_finite() || number < 0.0 => "-".to_owned(),
        number if number >= 99.95 => whole(number.round() as u64),
        number if number >= 9.995 => format!("{number:.1}"),
        number => format!("{number:.2}"),
    }
}

/// Bytes in the largest unit of which there is one: `1.50 MB`. Decimal, as networks count.
pub(crate) fn bytes(bytes: f64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut left = bytes;
    let mut unit = 0;
    while left >= 1_000.0 && unit + 1 < units.len() {
        left /= 1_000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{} B", whole(left.max(0.0) as u64)),
        _ => format!("{} {}", measured(left), units[unit]),
    }
}

/// Seconds as a time: `45 s`, `2 min`, `2 min 5 s`, `1 h 30 min`.
pub(crate) fn time(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    let (hours, minutes, seconds) = (whole / 3_600, whole / 60 % 60, whole % 60);
    match (hours, minutes, seconds) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_can_be_read() {
        let wholes = [0, 12, 999, 1_000, 1_234_567].map(whole);
        assert_eq!(wholes, ["0", "12", "999", "1,000", "1,234,567"]);
        let some = [0.0, 1.239, 9.996, 99.94, 99.96, 12_345.6, f64::NAN].map(measured);
        assert_eq!(some, ["0.00", "1.24", "10.0", "99.9", "100", "12,346", "-"]);
        let sizes = [12.0, 1_500.0, 2_345_678.0, 5e15].map(bytes);
        assert_eq!(sizes, ["12 B", "1.50 kB", "2.35 MB", "5,000 TB"]);
        let times = [45.0, 120.0, 125.0, 3_600.0, 5_400.0].map(time);
        assert_eq!(times, ["45 s", "2 min", "2 min 5 s", "1 h", "1 h 30 min"]);
    }
}
