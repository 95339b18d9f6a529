//! Numbers of JSON as digits: compared exactly, of any length.

use std::cmp::Ordering;
use std::fmt;

/// Most digits of an exponent that counts; a longer one is beyond everything that is compared with it.
const EXPONENT_DIGITS_MAX: usize = 9;

/// Sign, digits without zeros around them, and where the point stands: `0.d1d2d3… × 10^point`. No digits: zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Number {
    negative: bool,
    digits: Box<[u8]>,
    point: i64,
}

impl Number {
    /// Of a well-formed number of JSON; `None` where its exponent is too long.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent = exponent.strip_prefix('+').unwrap_or(exponent);
        if exponent.len() > EXPONENT_DIGITS_MAX {
            return None;
        }
        let exponent: i64 = exponent.parse().ok()?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let leading = all.iter().take_while(|digit| **digit == b'0').count();
        let trailing = all.iter().rev().take_while(|digit| **digit == b'0').count();
        if leading == all.len() {
            return Some(Self {
                negative: false,
                digits: Box::default(),
                point: 0,
            });
        }
        let digits = all.get(leading..all.len() - trailing)?;
        let point = i64::try_from(whole.len()).ok()? - i64::try_from(leading).ok()? + exponent;
        Some(Self {
            negative,
            digits: digits.into(),
            point,
        })
    }

    /// Digits behind the point that are not zero at the end.
    pub(super) fn decimals(&self) -> i64 {
        let digits = i64::try_from(self.digits.len()).unwrap_or(i64::MAX);
        (digits - self.point).max(0)
    }

    /// `n` where the number is 10^-n.
    pub(super) fn power_of_ten(&self) -> Option<i64> {
        (!self.negative && *self.digits == *b"1").then(|| 1 - self.point)
    }

    fn magnitude(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => {
                let points = self.point.cmp(&other.point);
                points.then_with(|| self.digits.cmp(&other.digits))
            }
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = String::from_utf8_lossy(&self.digits);
        let sign = if self.negative { "-" } else { "" };
        match usize::try_from(self.point) {
            _ if digits.is_empty() => f.write_str("0"),
            Ok(0) => write!(f, "{sign}0.{digits}"),
            Ok(point) if point <= 30 && digits.len() > point => {
                let (whole, fraction) = digits.split_at(point);
                write!(f, "{sign}{whole}.{fraction}")
            }
            Ok(point) if point <= 30 => write!(f, "{sign}{digits:0<point$}"),
            _ => write!(f, "{sign}0.{digits}e{}", self.point),
        }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.magnitude(other),
            (true, true) => other.magnitude(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn numbers_are_ordered_by_what_they_are() {
        let ordered = [
            "-1e3",
            "-999.99",
            "-10",
            "-1.5",
            "-0.001",
            "0",
            "1e-7",
            "0.1",
            "0.10001",
            "1",
            "9.99",
            "10",
            "1234567890123456789012345678901",
            "1e40",
        ];
        for (index, left) in ordered.iter().enumerate() {
            for (other, right) in ordered.iter().enumerate() {
                assert_eq!(
                    number(left).cmp(&number(right)),
                    index.cmp(&other),
                    "{left} {right}"
                );
            }
        }
        for same in ["12.50", "12.5", "1.25e1", "125E-1", "0.125e+2"] {
            assert_eq!(number(same), number("12.5"), "{same}");
        }
        assert_eq!(number("-0.0"), number("0"));
        for text in ["0", "12.5", "-0.5", "100", "7"] {
            assert_eq!(number(text).to_string(), text);
        }
        assert_eq!(number("5e40").to_string(), "0.5e41");
        assert_eq!(Number::parse("1e1234567890"), None);
    }

    #[test]
    fn digits_behind_the_point_are_counted() {
        for (text, decimals) in [
            ("1", 0),
            ("1.50", 1),
            ("1.505", 3),
            ("100", 0),
            ("1e-4", 4),
            ("0", 0),
            ("12.5e1", 0),
        ] {
            assert_eq!(number(text).decimals(), decimals, "{text}");
        }
        assert_eq!(number("0.01").power_of_ten(), Some(2));
        assert_eq!(number("1").power_of_ten(), Some(0));
        assert_eq!(number("0.05").power_of_ten(), None);
    }

    proptest! {
        #[test]
        fn integers_compare_as_integers(left: i64, right: i64) {
            prop_assert_eq!(number(&left.to_string()).cmp(&number(&right.to_string())), left.cmp(&right));
        }
    }
}
