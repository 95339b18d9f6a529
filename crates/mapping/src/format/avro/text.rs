//! Bytes of a datum: numbers, lengths, and texts of values.

use std::fmt::Write as _;

use super::schema::Logical;
use crate::format::moments::{push_day, push_instant, push_time};

/// Most bytes of a decimal's number behind equal bytes of its sign: what an `i128` holds.
const DECIMAL_BYTES_MAX: usize = 16;
const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Bytes of data that are read front to back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'d> {
    pub(crate) bytes: &'d [u8],
    pub(crate) at: usize,
}

/// The data ends too early or is none.
pub(crate) type Broken = &'static str;

const SHORT: Broken = "the data ends inside of a value; is the schema the one it was written with?";

impl<'d> Input<'d> {
    pub(crate) fn new(bytes: &'d [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'d [u8], Broken> {
        let end = self.at.checked_add(count).ok_or(SHORT)?;
        let taken = self.bytes.get(self.at..end).ok_or(SHORT)?;
        self.at = end;
        Ok(taken)
    }

    /// A zigzag varint.
    pub(crate) fn long(&mut self) -> Result<i64, Broken> {
        let mut value = 0_u64;
        for index in 0..10 {
            let byte = *self.bytes.get(self.at).ok_or(SHORT)?;
            self.at += 1;
            let part = u64::from(byte & 0x7f);
            if index == 9 && part > 1 {
                break;
            }
            value |= part << (7 * index);
            if byte & 0x80 == 0 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err("a number has more than 64 bits; is the schema the one it was written with?")
    }

    /// Bytes with their length in front.
    pub(crate) fn counted(&mut self) -> Result<&'d [u8], Broken> {
        let length = usize::try_from(self.long()?)
            .map_err(|_| "a length is negative; is the schema the one it was written with?")?;
        self.take(length)
    }
}

/// A whole number, or what it stands for. The error follows the field's path.
pub(crate) fn push_number(text: &mut String, number: i64, logical: Logical) -> Result<(), Broken> {
    let day = |text: &mut String| push_day(text, number).ok_or("is no day of the years 1 to 9999");
    let time = |text: &mut String, per_second: i64| {
        let of_day = number.div_euclid(per_second);
        if !(0..86_400).contains(&of_day) {
            return Err("is no time of a day");
        }
        let nanos = number.rem_euclid(per_second) * (NANOS_PER_SECOND / per_second);
        push_time(text, of_day, nanos as u32);
        Ok(())
    };
    match logical {
        Logical::Date => day(text),
        Logical::TimeMillis => time(text, 1_000),
        Logical::TimeMicros => time(text, 1_000_000),
        Logical::Timestamp {
            per_second,
            is_local,
        } => {
            let nanos = number.rem_euclid(per_second) * (NANOS_PER_SECOND / per_second);
            push_instant(text, number.div_euclid(per_second), nanos as u32, is_local)
                .ok_or("is no instant of the years 1 to 9999")
        }
        Logical::None | Logical::Decimal(_) | Logical::Uuid => {
            // Writing to a String cannot fail.
            let _ = write!(text, "{number}");
            Ok(())
        }
    }
}

/// A decimal: a number in two's complement, the highest byte first.
pub(crate) fn push_decimal(text: &mut String, bytes: &[u8], scale: u32) -> Result<(), Broken> {
    let is_negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let fill = if is_negative { 0xff } else { 0 };
    let mut digits = bytes;
    while let [first, rest @ ..] = digits
        && digits.len() > DECIMAL_BYTES_MAX
        && *first == fill
    {
        digits = rest;
    }
    let mut whole = [fill; DECIMAL_BYTES_MAX];
    let kept = DECIMAL_BYTES_MAX.checked_sub(digits.len());
    let Some(place) = kept.and_then(|kept| whole.get_mut(kept..)) else {
        return Err("has more than 38 digits");
    };
    place.copy_from_slice(digits);
    let number = i128::from_be_bytes(whole);
    if (number < 0) != is_negative {
        return Err("has more than 38 digits");
    }
    if number < 0 {
        text.push('-');
    }
    let scale = scale as usize;
    let digits = format!("{:0width$}", number.unsigned_abs(), width = scale + 1);
    let (units, fraction) = digits.split_at(digits.len() - scale);
    text.push_str(units);
    if scale > 0 {
        text.push('.');
        text.push_str(fraction);
    }
    Ok(())
}

/// Sixteen bytes as a UUID is written.
pub(crate) fn push_uuid(text: &mut String, bytes: &[u8]) {
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals() {
        let check = |bytes: &[u8], scale, expected: Option<&str>| {
            let mut text = String::new();
            let made = push_decimal(&mut text, bytes, scale).map(|()| text);
            assert_eq!(made.ok().as_deref(), expected, "{bytes:?}");
        };
        check(&[], 2, Some("0.00"));
        check(&[0x04, 0xe2], 2, Some("12.50"));
        check(&[0xff], 2, Some("-0.01"));
        check(&[0xff; 40], 0, Some("-1"));
        check(&[0x00; 40], 0, Some("0"));
        let most = "170141183460469231731687303715884105727";
        let mut bytes = [0xff; 16];
        bytes[0] = 0x7f;
        check(&bytes, 0, Some(most));
        // One bit more: the sign would be lost.
        check(&[&[0][..], &[0xff; 16]].concat(), 0, None);
        check(&[&[1][..], &[0; 16]].concat(), 0, None);
        check(&[0x80], 5, Some("-0.00128"));
    }

    #[test]
    fn numbers_stand_for_times() {
        let check = |number, logical, expected: Option<&str>| {
            let mut text = String::new();
            let made = push_number(&mut text, number, logical).map(|()| text);
            assert_eq!(made.ok().as_deref(), expected);
        };
        let micros = Logical::Timestamp {
            per_second: 1_000_000,
            is_local: false,
        };
        let local = Logical::Timestamp {
            per_second: 1_000,
            is_local: true,
        };
        check(20_780, Logical::Date, Some("2026-11-23"));
        check(-1, micros, Some("1969-12-31T23:59:59.999999Z"));
        check(1_795_435_200_001, local, Some("2026-11-23T12:00:00.001"));
        check(i64::MIN, micros, None);
        check(86_399_999, Logical::TimeMillis, Some("23:59:59.999"));
        check(86_400_000, Logical::TimeMillis, None);
        check(-1, Logical::TimeMicros, None);
        check(-5, Logical::None, Some("-5"));
    }
}
