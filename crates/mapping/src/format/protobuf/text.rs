//! Texts of values: scalars, and the messages of Google's own types that stand for one value.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::descriptor::{Descriptor, Kind, Scalar};
use super::wire::{self, Raw, Wrong, field};
use crate::format::moments::{push_day, push_instant};

/// A type whose messages are one value for a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WellKnown {
    /// `google.protobuf.Timestamp`: ISO 8601 in UTC.
    Timestamp,
    /// `google.type.Money`: units and nanos as one decimal number.
    Money,
    /// `google.type.Decimal`: its text.
    Decimal,
    /// `google.type.Date`: ISO 8601.
    Date,
    /// `google.protobuf.StringValue` and its like.
    Wrapper(Scalar),
}

impl WellKnown {
    pub(crate) fn named(name: &str) -> Option<Self> {
        let wrapped = match name {
            "google.protobuf.Timestamp" => return Some(Self::Timestamp),
            "google.type.Money" => return Some(Self::Money),
            "google.type.Decimal" => return Some(Self::Decimal),
            "google.type.Date" => return Some(Self::Date),
            "google.protobuf.StringValue" => Scalar::String,
            "google.protobuf.BytesValue" => Scalar::Bytes,
            "google.protobuf.BoolValue" => Scalar::Bool,
            "google.protobuf.Int32Value" => Scalar::Int32,
            "google.protobuf.Int64Value" => Scalar::Int64,
            "google.protobuf.UInt32Value" => Scalar::UInt32,
            "google.protobuf.UInt64Value" => Scalar::UInt64,
            _ => return None,
        };
        Some(Self::Wrapper(wrapped))
    }
}

/// Most nanoseconds, and most billionths of a unit of money.
const NANOS_MAX: i64 = 999_999_999;

/// Appends the text of a value of its declared type.
pub(crate) fn push_value(
    descriptor: &Descriptor,
    kind: Kind,
    raw: Raw,
    body: &[u8],
    text: &mut String,
    offset: usize,
) -> Result<(), Wrong> {
    match (kind, raw) {
        (Kind::Scalar(scalar), raw) => push_scalar(scalar, raw, body, text, offset),
        (Kind::Enum(id), Raw::Varint(number)) => {
            // Negative ones have ten bytes, of which the lower four count.
            let number = number as i32;
            let values = descriptor.enums.get(id).map(|kind| kind.values.as_slice());
            let mut values = values.unwrap_or_default().iter();
            match values.find(|(known, _)| *known == number) {
                Some((_, name)) => text.push_str(name),
                // Newer than the descriptor: JSON has the number too.
                None => number_text(text, number),
            }
            Ok(())
        }
        (_, raw) => Err(mismatch(offset, raw)),
    }
}

fn number_text(text: &mut String, number: impl std::fmt::Display) {
    // Writing to a String cannot fail.
    let _ = write!(text, "{number}");
}

fn mismatch(offset: usize, raw: Raw) -> Wrong {
    let detail = format!(
        "has {}, which is not how the descriptor's type is written: is the descriptor of this message?",
        raw.name()
    );
    Wrong::new(offset, detail)
}

fn push_scalar(
    scalar: Scalar,
    raw: Raw,
    body: &[u8],
    text: &mut String,
    offset: usize,
) -> Result<(), Wrong> {
    let zigzag = |number: u64| (number >> 1) as i64 ^ -((number & 1) as i64);
    match (scalar, raw) {
        (Scalar::Int64, Raw::Varint(number)) => number_text(text, number as i64),
        (Scalar::UInt64, Raw::Varint(number)) => number_text(text, number),
        (Scalar::Int32, Raw::Varint(number)) => {
            let number = i32::try_from(number as i64).map_err(|_| too_large(offset))?;
            number_text(text, number);
        }
        (Scalar::UInt32, Raw::Varint(number)) => {
            let number = u32::try_from(number).map_err(|_| too_large(offset))?;
            number_text(text, number);
        }
        (Scalar::SInt64, Raw::Varint(number)) => number_text(text, zigzag(number)),
        (Scalar::SInt32, Raw::Varint(number)) => {
            let number = i32::try_from(zigzag(number)).map_err(|_| too_large(offset))?;
            number_text(text, number);
        }
        (Scalar::Bool, Raw::Varint(number)) => {
            text.push_str(if number == 0 { "false" } else { "true" });
        }
        (Scalar::Fixed64, Raw::Fixed64(number)) => number_text(text, number),
        (Scalar::SFixed64, Raw::Fixed64(number)) => number_text(text, number as i64),
        (Scalar::Fixed32, Raw::Fixed32(number)) => number_text(text, number),
        (Scalar::SFixed32, Raw::Fixed32(number)) => number_text(text, number as i32),
        (Scalar::String, Raw::Bytes(start, end)) => {
            let bytes = body.get(start..end).unwrap_or_default();
            match std::str::from_utf8(bytes) {
                Ok(valid) => text.push_str(valid),
                Err(error) => {
                    let at = start + error.valid_up_to();
                    return Err(Wrong::new(at, "is a text that is not UTF-8"));
                }
            }
        }
        (Scalar::Bytes, Raw::Bytes(start, end)) => {
            STANDARD.encode_string(body.get(start..end).unwrap_or_default(), text);
        }
        // Refused when the mapping is compiled.
        (Scalar::Double | Scalar::Float, _) => {
            return Err(Wrong::new(offset, "is a floating-point number"));
        }
        (_, raw) => return Err(mismatch(offset, raw)),
    }
    Ok(())
}

fn too_large(offset: usize) -> Wrong {
    Wrong::new(offset, "has more than the 32 bits of its type")
}

/// Appends one number of a packed field; `at` goes behind it.
pub(crate) fn packed(
    kind: Kind,
    body: &[u8],
    at: &mut usize,
    end: usize,
) -> Result<Option<Raw>, Wrong> {
    let raw = match kind {
        Kind::Enum(_)
        | Kind::Scalar(
            Scalar::Int64
            | Scalar::UInt64
            | Scalar::Int32
            | Scalar::UInt32
            | Scalar::SInt32
            | Scalar::SInt64
            | Scalar::Bool,
        ) => Raw::Varint(wire::varint(body, at, end)?),
        Kind::Scalar(Scalar::Fixed64 | Scalar::SFixed64) => {
            Raw::Fixed64(wire::fixed64(body, at, end)?)
        }
        Kind::Scalar(Scalar::Fixed32 | Scalar::SFixed32) => {
            Raw::Fixed32(wire::fixed32(body, at, end)?)
        }
        _ => return Ok(None),
    };
    Ok(Some(raw))
}

/// The numbers that the message of a well-known type has in its fields 1 to 3, and its text.
#[derive(Debug, Default)]
struct Parts {
    numbers: [i64; 4],
    text: Option<(usize, usize)>,
}

/// Appends the text of a message of a well-known type.
pub(crate) fn push_well_known(
    kind: WellKnown,
    body: &[u8],
    (start, end): (usize, usize),
    text: &mut String,
) -> Result<(), Wrong> {
    if let WellKnown::Wrapper(scalar) = kind {
        return push_wrapped(scalar, body, (start, end), text);
    }
    let mut parts = Parts::default();
    let mut at = start;
    while at < end {
        match field(body, &mut at, end)? {
            (number @ 1..=3, Raw::Varint(value)) => parts.numbers[number as usize] = value as i64,
            (1, Raw::Bytes(start, end)) => parts.text = Some((start, end)),
            _ => {}
        }
    }
    let [_, first, second, third] = parts.numbers;
    match kind {
        WellKnown::Timestamp => u32::try_from(second)
            .ok()
            .filter(|nanos| i64::from(*nanos) <= NANOS_MAX)
            .and_then(|nanos| push_instant(text, first, nanos, false))
            .ok_or_else(|| Wrong::new(start, "is no instant of the years 1 to 9999")),
        WellKnown::Money => push_money(text, second, third).ok_or_else(|| {
            Wrong::new(
                start,
                "has units and nanos of different signs, or nanos beyond 999999999",
            )
        }),
        WellKnown::Decimal => {
            let (from, to) = parts.text.unwrap_or((start, start));
            push_scalar(Scalar::String, Raw::Bytes(from, to), body, text, start)
        }
        WellKnown::Date | WellKnown::Wrapper(_) => push_date(text, first, second, third)
            .ok_or_else(|| Wrong::new(start, "is no whole date: year, month and day are needed")),
    }
}

/// Units and nanos have the same sign or one of them is zero.
fn push_money(text: &mut String, units: i64, nanos: i64) -> Option<()> {
    let opposed = units > 0 && nanos < 0 || units < 0 && nanos > 0;
    if opposed || !(-NANOS_MAX..=NANOS_MAX).contains(&nanos) {
        return None;
    }
    if units < 0 || nanos < 0 {
        text.push('-');
    }
    number_text(text, units.unsigned_abs());
    if nanos != 0 {
        let digits = format!("{:09}", nanos.unsigned_abs());
        text.push('.');
        text.push_str(digits.trim_end_matches('0'));
    }
    Some(())
}

fn push_date(text: &mut String, year: i64, month: i64, day: i64) -> Option<()> {
    let narrow = |number: i64| i8::try_from(number).ok();
    let year = i16::try_from(year).ok().filter(|year| *year > 0)?;
    let date = jiff::civil::Date::new(year, narrow(month)?, narrow(day)?).ok()?;
    let first = jiff::civil::Date::constant(1970, 1, 1);
    push_day(text, i64::from(first.until(date).ok()?.get_days()))
}

fn push_wrapped(
    scalar: Scalar,
    body: &[u8],
    (start, end): (usize, usize),
    text: &mut String,
) -> Result<(), Wrong> {
    let before = text.len();
    // A wrapper says that there is a value: one of its default is empty.
    match scalar {
        Scalar::String | Scalar::Bytes => {}
        Scalar::Bool => text.push_str("false"),
        _ => text.push('0'),
    }
    let mut at = start;
    while at < end {
        let offset = at;
        if let (1, raw) = field(body, &mut at, end)? {
            text.truncate(before);
            push_scalar(scalar, raw, body, text, offset)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money() {
        let check = |units, nanos, expected: Option<&str>| {
            let mut text = String::new();
            let made = push_money(&mut text, units, nanos).map(|()| text);
            assert_eq!(made.as_deref(), expected, "{units} {nanos}");
        };
        check(12, 500_000_000, Some("12.5"));
        check(0, -10_000_000, Some("-0.01"));
        check(-1, -750_000_000, Some("-1.75"));
        check(0, 0, Some("0"));
        check(i64::MIN, 0, Some("-9223372036854775808"));
        check(1, -1, None);
        check(-1, 1, None);
        check(0, 1_000_000_000, None);
        check(0, 999_999_999, Some("0.999999999"));
    }

    #[test]
    fn dates_are_whole() {
        let check = |year, month, day, expected: Option<&str>| {
            let mut text = String::new();
            let made = push_date(&mut text, year, month, day).map(|()| text);
            assert_eq!(made.as_deref(), expected);
        };
        check(2026, 11, 23, Some("2026-11-23"));
        check(2026, 11, 0, None);
        check(2026, 2, 29, None);
        check(0, 2, 1, None);
        check(i64::MAX, 2, 1, None);
    }
}
