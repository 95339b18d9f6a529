//! Decimal numbers as their digits: compared exactly, of any length, without a copy. For schemas, of XML and of JSON.

use std::cmp::Ordering;
use std::fmt;

/// Most digits of an exponent; a number with a longer one is not read.
const EXPONENT_DIGITS_MAX: usize = 9;

/// A number, without the zeros that say nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number<'t> {
    is_negative: bool,
    /// Digits in front of the point, from the first that is not zero.
    whole: &'t str,
    /// Digits behind it, to the last that is not zero.
    fraction: &'t str,
    /// Places that the point is moved to the right.
    exponent: i64,
}

impl<'t> Number<'t> {
    /// `12.50`, `+1`, `-.5`, `3.`: a decimal of XML Schema (part 2, 3.2.3).
    pub(crate) fn decimal(text: &'t str) -> Option<Self> {
        let is_negative = text.starts_with('-');
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        Some(Self {
            is_negative,
            whole: whole.trim_start_matches('0'),
            fraction: fraction.trim_end_matches('0'),
            exponent: 0,
        })
    }

    /// The same with an exponent, as JSON has it.
    pub(crate) fn json(text: &'t str) -> Option<Self> {
        let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else {
            return Self::decimal(text);
        };
        let digits = exponent.strip_prefix('+').unwrap_or(exponent);
        if digits.trim_start_matches('-').len() > EXPONENT_DIGITS_MAX {
            return None;
        }
        Some(Self {
            exponent: digits.parse().ok()?,
            ..Self::decimal(mantissa)?
        })
    }

    /// From the first that is not zero to the last.
    fn digits(self) -> impl Iterator<Item = u8> {
        let (whole, fraction) = match (self.whole.is_empty(), self.fraction.is_empty()) {
            (true, _) => ("", self.fraction.trim_start_matches('0')),
            (_, true) => (self.whole.trim_end_matches('0'), ""),
            _ => (self.whole, self.fraction),
        };
        whole.bytes().chain(fraction.bytes())
    }

    /// Where the point is: in front of the first of the digits at 0, behind it at 1.
    fn point(self) -> i64 {
        let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
        let zeros = length(self.fraction) - length(self.fraction.trim_start_matches('0'));
        match self.whole.is_empty() {
            true => self.exponent - zeros,
            false => self.exponent + length(self.whole),
        }
    }

    fn is_zero(self) -> bool {
        self.whole.is_empty() && self.fraction.is_empty()
    }

    /// Digits in front of the point, without zeros at their begin.
    pub(crate) fn whole_digits(self) -> i64 {
        if self.is_zero() {
            0
        } else {
            self.point().max(0)
        }
    }

    /// Digits behind the point, without zeros at their end.
    pub(crate) fn decimals(self) -> i64 {
        let digits = i64::try_from(self.digits().count()).unwrap_or(i64::MAX);
        if self.is_zero() {
            0
        } else {
            (digits - self.point()).max(0)
        }
    }

    /// `n` where the number is 10^-n.
    pub(crate) fn power_of_ten(self) -> Option<i64> {
        (!self.is_negative && self.digits().eq([b'1'])).then(|| 1 - self.point())
    }

    fn sign(self) -> i8 {
        match (self.is_zero(), self.is_negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }
}

impl Ord for Number<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let signs = self.sign().cmp(&other.sign());
        if signs.is_ne() || self.is_zero() {
            return signs;
        }
        let points = self.point().cmp(&other.point());
        // The first of the digits is none of zero, and neither is the last: texts of them compare as fractions do.
        let size = points.then_with(|| self.digits().cmp(other.digits()));
        if self.is_negative {
            size.reverse()
        } else {
            size
        }
    }
}

impl PartialOrd for Number<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Number<'_> {}

/// As it was written, but for zeros that say nothing.
impl fmt::Display for Number<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.sign() < 0 { "-" } else { "" };
        let whole = if self.whole.is_empty() {
            "0"
        } else {
            self.whole
        };
        write!(f, "{sign}{whole}")?;
        if !self.fraction.is_empty() {
            write!(f, ".{}", self.fraction)?;
        }
        match self.exponent {
            0 => Ok(()),
            exponent => write!(f, "e{exponent}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> Number<'_> {
        Number::json(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn numbers_are_ordered_by_what_they_are() {
        let ordered = [
            "-1e3",
            "-999.99",
            "-10",
            "-1.5",
            "-0.1",
            "-0.09",
            "-0.001",
            "0",
            "1e-7",
            "0.09",
            "0.1",
            "0.10001",
            "1",
            "1.49999999999999999999",
            "1.5",
            "9",
            "9.99",
            "10",
            "1234567890123456789012345678901",
            "1e40",
        ];
        for (index, left) in ordered.iter().enumerate() {
            for (other, right) in ordered.iter().enumerate() {
                let order = number(left).cmp(&number(right));
                assert_eq!(order, index.cmp(&other), "{left} {right}");
            }
        }
        for same in ["12.50", "012.5", "1.25e1", "125E-1", "0.125e+2", "+12.5"] {
            assert_eq!(number(same), number("12.5"), "{same}");
        }
        for zero in ["-0.0", "0e5", "00", "+0."] {
            assert_eq!(number(zero), number("0"), "{zero}");
        }
        assert!(Number::json("1e1234567890").is_none());
        assert!(Number::json("1e-1234567890").is_none());
        for text in ["", ".", "1e3", "1,0", "- 1", "--1", "١", "1.2.3"] {
            assert!(Number::decimal(text).is_none(), "{text}");
        }
    }

    #[test]
    fn digits_around_the_point_are_counted() {
        for (text, whole, decimals) in [
            ("1", 1, 0),
            ("001.50", 1, 1),
            ("1.505", 1, 3),
            ("100", 3, 0),
            ("0.001", 0, 3),
            ("1e-4", 0, 4),
            ("0", 0, 0),
            ("0.00", 0, 0),
            ("12.5e1", 3, 0),
            ("1e2", 3, 0),
        ] {
            let number = number(text);
            assert_eq!(
                (number.whole_digits(), number.decimals()),
                (whole, decimals),
                "{text}"
            );
        }
        for (text, power) in [
            ("0.01", Some(2)),
            ("1", Some(0)),
            ("10", Some(-1)),
            ("1e-3", Some(3)),
            ("0.05", None),
            ("-0.1", None),
            ("0", None),
        ] {
            assert_eq!(number(text).power_of_ten(), power, "{text}");
        }
    }

    #[test]
    fn numbers_are_shown_as_written() {
        for (text, shown) in [
            ("0", "0"),
            ("-0.0", "0"),
            ("012.50", "12.5"),
            (".5", "0.5"),
            ("-100", "-100"),
            ("5e40", "5e40"),
        ] {
            assert_eq!(number(text).to_string(), shown);
        }
    }

    proptest! {
        #[test]
        fn integers_compare_as_integers(left: i64, right: i64, zeros in 0_usize..4) {
            let left_text = format!("{left}.{}", "0".repeat(zeros));
            let right_text = right.to_string();
            prop_assert_eq!(number(&left_text).cmp(&number(&right_text)), left.cmp(&right));
        }

        #[test]
        fn fractions_compare_as_integers_of_one_scale(left in -1_000_000_i64..1_000_000, right in -1_000_000_i64..1_000_000, exponent in 0_u32..7) {
            let shown = |units: i64| {
                let (sign, units) = (if units < 0 { "-" } else { "" }, units.unsigned_abs());
                format!("{sign}{}.{:04}", units / 10_000, units % 10_000)
            };
            let scaled = format!("{right}e-{exponent}");
            let same_scale = left * 10_i64.pow(exponent);
            let order = number(&format!("{left}e0")).cmp(&number(&scaled));
            prop_assert_eq!(order, same_scale.cmp(&right));
            let (left_text, right_text) = (shown(left), shown(right));
            prop_assert_eq!(number(&left_text).cmp(&number(&right_text)), left.cmp(&right));
        }
    }
}
