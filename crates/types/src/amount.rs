//! Exact amounts: fixed point with five decimal digits, as in both engines.

use std::fmt;

/// Decimal digits behind the point that an [`Amount`] keeps.
pub const SCALE_DIGITS: u32 = 5;
/// Units of an [`Amount`] in one major unit: `10^SCALE_DIGITS`.
pub const SCALE_FACTOR: i128 = 100_000;

/// Digits of a transaction's amount, DECIMAL(23,5).
const AMOUNT_DIGITS_MAX: u32 = 23;
/// Digits of a sum, DECIMAL(33,5).
const SUM_DIGITS_MAX: u32 = 33;
/// Most bytes of text that can be an amount; longer is refused before it is read.
const TEXT_BYTES_MAX: usize = 64;

/// An exact amount in major units with five decimal digits, DECIMAL(33,5).
///
/// One transaction's amount must also satisfy [`Amount::fits_transaction`], DECIMAL(23,5).
/// Never a float; every operation that can leave the range says so.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(i128);

/// Why a text is not an amount. Retrying does not help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Nothing where a number should be.
    #[error("the amount is empty")]
    Empty,
    /// Longer than any amount can be.
    #[error("the amount has {bytes} bytes, at most {TEXT_BYTES_MAX} are allowed")]
    TooLong {
        /// Bytes given.
        bytes: usize,
    },
    /// A character other than a digit, one leading sign and one point.
    #[error(
        "the amount is not a plain decimal number such as -12.50 (no exponent, no grouping, no spaces)"
    )]
    NotDecimal,
    /// More than five significant digits behind the point.
    #[error("the amount has more than {SCALE_DIGITS} decimal digits, rounding it would change it")]
    TooPrecise,
    /// More digits before the point than DECIMAL(23,5) holds.
    #[error("the amount is larger than DECIMAL({AMOUNT_DIGITS_MAX},{SCALE_DIGITS}) can hold")]
    TooLarge,
}

impl Amount {
    /// Zero.
    pub const ZERO: Amount = Amount(0);
    /// Largest magnitude of a sum, in units of 1/100,000.
    pub const SUM_UNITS_MAX: i128 = 10_i128.pow(SUM_DIGITS_MAX) - 1;
    /// Largest magnitude of one transaction's amount, in units of 1/100,000.
    pub const TRANSACTION_UNITS_MAX: i128 = 10_i128.pow(AMOUNT_DIGITS_MAX) - 1;

    /// From units of 1/100,000; `None` outside DECIMAL(33,5).
    pub const fn from_units(units: i128) -> Option<Self> {
        if units > Self::SUM_UNITS_MAX || units < -Self::SUM_UNITS_MAX {
            return None;
        }
        Some(Self(units))
    }

    /// Units of 1/100,000 of the major unit.
    pub const fn units(self) -> i128 {
        self.0
    }

    /// Whether one transaction may carry this amount, DECIMAL(23,5).
    pub const fn fits_transaction(self) -> bool {
        self.0 <= Self::TRANSACTION_UNITS_MAX && self.0 >= -Self::TRANSACTION_UNITS_MAX
    }

    /// Reads a transaction's amount: `-12.50`, `+3`, `.5`, `7.`; no exponent, no grouping.
    ///
    /// # Errors
    ///
    /// [`AmountError`] when the text is no such number, does not fit DECIMAL(23,5), or would
    /// have to be rounded. Zeros behind the fifth digit change nothing and are accepted.
    pub fn parse(text: &str) -> Result<Self, AmountError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(AmountError::TooLong { bytes: text.len() });
        }
        let bytes = text.as_bytes();
        let (negative, digits) = match bytes.first() {
            None => return Err(AmountError::Empty),
            Some(b'-') => (true, &bytes[1..]),
            Some(b'+') => (false, &bytes[1..]),
            Some(_) => (false, bytes),
        };
        let mut units: i128 = 0;
        let mut decimals: Option<u32> = None;
        let mut seen_digit = false;
        for &byte in digits {
            match (byte, decimals) {
                (b'.', None) => decimals = Some(0),
                (b'0'..=b'9', place) => {
                    seen_digit = true;
                    let digit = i128::from(byte - b'0');
                    match place {
                        Some(SCALE_DIGITS) if digit != 0 => return Err(AmountError::TooPrecise),
                        Some(SCALE_DIGITS) => continue,
                        Some(count) => decimals = Some(count + 1),
                        None => {}
                    }
                    units = units * 10 + digit;
                    if units > Self::TRANSACTION_UNITS_MAX {
                        return Err(AmountError::TooLarge);
                    }
                }
                _ => return Err(AmountError::NotDecimal),
            }
        }
        if !seen_digit {
            return Err(AmountError::NotDecimal);
        }
        let missing = SCALE_DIGITS - decimals.unwrap_or(0);
        let units = units * 10_i128.pow(missing);
        if units > Self::TRANSACTION_UNITS_MAX {
            return Err(AmountError::TooLarge);
        }
        Ok(Self(if negative { -units } else { units }))
    }

    /// Sum, or `None` when it leaves DECIMAL(33,5). Money never wraps and never saturates.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).and_then(Self::from_units)
    }

    /// The same magnitude with the other sign.
    #[must_use]
    pub const fn negated(self) -> Self {
        Self(-self.0)
    }

    /// Whether it is below zero.
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Digits behind the point that are not trailing zeros, 0 to 5.
    pub fn decimals(self) -> u32 {
        let mut fraction = (self.0 % SCALE_FACTOR).unsigned_abs();
        let mut digits = if fraction == 0 { 0 } else { SCALE_DIGITS };
        while digits > 0 && fraction.is_multiple_of(10) {
            fraction /= 10;
            digits -= 1;
        }
        digits
    }

    /// Text without trailing zeros, but with at least `digits_min` digits behind the point.
    pub fn display(self, digits_min: u32) -> AmountText {
        AmountText {
            amount: self,
            digits_min: digits_min.min(SCALE_DIGITS),
        }
    }
}

/// At least two digits behind the point: the form used where the currency is not known.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.display(2).fmt(f)
    }
}

/// Lazy text of an [`Amount`], made by [`Amount::display`].
#[derive(Debug, Clone, Copy)]
pub struct AmountText {
    amount: Amount,
    digits_min: u32,
}

impl fmt::Display for AmountText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.amount.0.unsigned_abs();
        let factor = SCALE_FACTOR.unsigned_abs();
        let sign = if self.amount.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}", magnitude / factor)?;
        let digits = self.amount.decimals().max(self.digits_min);
        if digits > 0 {
            let shown = (magnitude % factor) / 10_u128.pow(SCALE_DIGITS - digits);
            write!(f, ".{shown:0width$}", width = digits as usize)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let actual = match Amount::parse(text) {
            Ok(amount) => amount.to_string(),
            Err(error) => format!("{error:?}"),
        };
        assert_eq!(actual, expected, "{text:?}");
    }

    #[test]
    fn plain_decimals_are_exact() {
        check("12.5", "12.50");
        check("-12.50", "-12.50");
        check("+3", "3.00");
        check(".5", "0.50");
        check("7.", "7.00");
        check("0.00001", "0.00001");
        check("-0", "0.00");
        check("0.1000000000", "0.10");
    }

    #[test]
    fn everything_else_is_refused() {
        check("", "Empty");
        check("-", "NotDecimal");
        check(".", "NotDecimal");
        check("1e400", "NotDecimal");
        check("1,000", "NotDecimal");
        check(" 1", "NotDecimal");
        check("--1", "NotDecimal");
        check("1.2.3", "NotDecimal");
        check("NaN", "NotDecimal");
        check("0.000001", "TooPrecise");
        check(&"1".repeat(65), "TooLong { bytes: 65 }");
    }

    #[test]
    fn the_largest_amount_fits_and_the_next_does_not() {
        let largest = format!("{}.99999", "9".repeat(18));
        check(&largest, &largest);
        check(&format!("1{}", "0".repeat(18)), "TooLarge");
        check(&"9".repeat(30), "TooLarge");
    }

    #[test]
    fn a_sum_that_leaves_the_range_is_none() {
        let largest = Amount::from_units(Amount::SUM_UNITS_MAX).expect("the maximum itself");
        assert_eq!(
            largest.checked_add(Amount::from_units(1).expect("one")),
            None
        );
        assert_eq!(largest.checked_add(Amount::ZERO), Some(largest));
    }

    proptest! {
        #[test]
        fn text_and_back(units in -Amount::TRANSACTION_UNITS_MAX..=Amount::TRANSACTION_UNITS_MAX) {
            let amount = Amount::from_units(units).expect("in range");
            prop_assert_eq!(Amount::parse(&amount.to_string()), Ok(amount));
        }
    }
}
