//! The values inside of fields: decimal commas, dates of six digits.

use std::borrow::Cow;

/// A date or time as ISO 8601 writes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    text: [u8; 10],
}

impl Moment {
    pub(super) fn as_str(&self) -> &str {
        // Digits and hyphens.
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// `YYMMDD` or `YYYYMMDD`; `None` if there is no such day.
    ///
    /// Years 80 to 99 are of the last century, as SWIFT has it.
    pub(super) fn date(text: &str) -> Option<Self> {
        let text = text.trim();
        let (century, rest) = match text.len() {
            6 => (None, text),
            8 => (Some(number(text.get(..2)?)?), text.get(2..)?),
            _ => return None,
        };
        let year = number(rest.get(..2)?)?;
        let century = century.unwrap_or(if year > 79 { 19 } else { 20 });
        Self::of(
            century * 100 + year,
            number(rest.get(2..4)?)?,
            number(rest.get(4..)?)?,
        )
    }

    /// A day of the calendar; `None` if there is no such day.
    pub(super) fn of(year: u32, month: u32, day: u32) -> Option<Self> {
        if day == 0 || day > days_in(year, month)? || year > 9_999 {
            return None;
        }
        let mut text = *b"0000-00-00";
        for (place, value, width) in [(0, year, 4), (5, month, 2), (8, day, 2)] {
            let mut rest = value;
            for at in (place..place + width).rev() {
                text[at] = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
        Some(Self { text })
    }
}

/// Days of a month; `None` if there is no such month.
pub(super) fn days_in(year: u32, month: u32) -> Option<u32> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    Some(match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        _ => return None,
    })
}

/// A number of a few digits.
pub(super) fn number(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.len() <= 9;
    text.bytes()
        .try_fold(0_u32, |value, byte| {
            byte.is_ascii_digit()
                .then(|| value * 10 + u32::from(byte - b'0'))
        })
        .filter(|_| is_number)
}

/// `YYMMDDhhmm`, perhaps with `±hhmm`, as ISO 8601 writes it.
pub(super) fn zoned(text: &str) -> Option<String> {
    let date = Moment::date(text.get(..6)?)?;
    let (hour, minute) = (text.get(6..8)?, text.get(8..10)?);
    let offset = match text.get(10..)? {
        "" => String::new(),
        rest if rest.starts_with(['+', '-']) && rest.len() == 5 => {
            format!("{}:{}", rest.get(..3)?, rest.get(3..)?)
        }
        _ => return None,
    };
    Some(format!("{}T{hour}:{minute}:00{offset}", date.as_str()))
}

/// A currency and an amount: `EUR1234,5`.
pub(super) fn money(text: &str) -> Option<(&str, Cow<'_, str>)> {
    let (currency, rest) = (text.get(..3)?, text.get(3..)?);
    let is_code = currency.bytes().all(|byte| byte.is_ascii_uppercase());
    Some((currency, decimal(rest)?)).filter(|_| is_code)
}

/// Digits with at most one decimal comma (or point), with a point: `200,` → `200`, `1234,5` → `1234.5`.
pub(super) fn decimal(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim();
    let separator = text.find([',', '.']);
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = match separator {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    };
    if whole.is_empty() && fraction.is_empty() || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    Some(if fraction.is_empty() {
        Cow::Borrowed(whole)
    } else {
        Cow::Owned(format!("{whole}.{fraction}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_and_dates() {
        for (text, expected) in [
            ("200,", Some("200")),
            ("1234,5", Some("1234.5")),
            (",50", Some(".50")),
            ("000012,00", Some("000012.00")),
            ("12.5", Some("12.5")),
            ("1.234,5", None),
            (",", None),
            ("", None),
            ("-1,", None),
            ("1,x", None),
        ] {
            assert_eq!(decimal(text).as_deref(), expected, "{text}");
        }
        for (text, expected) in [
            ("261123", Some("2026-11-23")),
            ("20261123", Some("2026-11-23")),
            ("991231", Some("1999-12-31")),
            ("800101", Some("1980-01-01")),
            ("790101", Some("2079-01-01")),
            ("160229", Some("2016-02-29")),
            ("160230", None),
            ("261323", None),
            ("26112", None),
            ("ä1123", None),
        ] {
            assert_eq!(
                Moment::date(text).as_ref().map(Moment::as_str),
                expected,
                "{text}"
            );
        }
        assert_eq!(
            zoned("1701191815+0100").as_deref(),
            Some("2017-01-19T18:15:00+01:00")
        );
        assert_eq!(zoned("1701191815").as_deref(), Some("2017-01-19T18:15:00"));
        assert_eq!(zoned("170119"), None);
        assert_eq!(money("EUR200,"), Some(("EUR", "200".into())));
        assert_eq!(money("400000000,"), None);
    }
}
