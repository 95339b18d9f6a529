//! Values on the wire: texts of an answer as PostgreSQL writes them, and parameters as they come.

use bytes::{BufMut as _, BytesMut};
use pgwire::api::Type;
use sql::{AnswerKind, Parameter, ParameterType};

/// Days from 1970-01-01 to 2000-01-01, from which PostgreSQL counts.
const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;
/// Digits of one place of a binary numeric.
const PLACE_DIGITS: usize = 4;
/// Sign of a negative numeric.
const NEGATIVE: u16 = 0x4000;
/// Most digits of a numeric that is read.
const NUMERIC_DIGITS_MAX: usize = 200;

/// A value does not have the form that its type asks for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is not understood as {kind}")]
pub(super) struct Malformed {
    what: String,
    kind: String,
}

fn malformed(what: &str, kind: &str) -> Malformed {
    Malformed {
        what: format!("{what:?}"),
        kind: kind.to_owned(),
    }
}

/// PostgreSQL's type of a column.
pub(super) fn type_of(kind: AnswerKind) -> Type {
    match kind {
        AnswerKind::Text => Type::TEXT,
        AnswerKind::Bool => Type::BOOL,
        AnswerKind::Int4 => Type::INT4,
        AnswerKind::Int8 => Type::INT8,
        AnswerKind::Decimal => Type::NUMERIC,
        AnswerKind::Float => Type::FLOAT8,
        AnswerKind::Date => Type::DATE,
        AnswerKind::Timestamp => Type::TIMESTAMP,
        AnswerKind::TimestampUtc => Type::TIMESTAMPTZ,
    }
}

/// Bytes of a value of a type; -1 where they differ.
pub(super) fn size_of(kind: AnswerKind) -> i16 {
    match kind {
        AnswerKind::Bool => 1,
        AnswerKind::Int4 | AnswerKind::Date => 4,
        AnswerKind::Int8 | AnswerKind::Float | AnswerKind::Timestamp | AnswerKind::TimestampUtc => {
            8
        }
        AnswerKind::Text | AnswerKind::Decimal => -1,
    }
}

/// PostgreSQL's type of a parameter that a client has not said the type of.
pub(super) fn parameter_type(kind: ParameterType) -> Type {
    match kind {
        ParameterType::Text => Type::TEXT,
        ParameterType::Int => Type::INT8,
        ParameterType::Decimal => Type::NUMERIC,
        ParameterType::Float => Type::FLOAT8,
        ParameterType::Bool => Type::BOOL,
        ParameterType::Date => Type::DATE,
        ParameterType::Timestamp => Type::TIMESTAMP,
    }
}

/// What a parameter of PostgreSQL's type is to us; `None`: not said.
pub(super) fn kind_of(given: &Type) -> Option<ParameterType> {
    Some(match *given {
        Type::UNKNOWN => return None,
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => ParameterType::Int,
        Type::NUMERIC => ParameterType::Decimal,
        Type::FLOAT4 | Type::FLOAT8 => ParameterType::Float,
        Type::BOOL => ParameterType::Bool,
        Type::DATE => ParameterType::Date,
        Type::TIMESTAMP | Type::TIMESTAMPTZ => ParameterType::Timestamp,
        _ => ParameterType::Text,
    })
}

/// Appends a value with its length.
pub(super) fn put(
    row: &mut BytesMut,
    kind: AnswerKind,
    text: Option<&str>,
    is_binary: bool,
) -> Result<(), Malformed> {
    let Some(text) = text else {
        row.put_i32(-1);
        return Ok(());
    };
    let begin = row.len();
    row.put_i32(0);
    match is_binary {
        true => put_binary(row, kind, text)?,
        false => row.put_slice(as_text(kind, text).as_bytes()),
    }
    let length = row.len() - begin - 4;
    let length = i32::try_from(length).map_err(|_| malformed("a value", "that long"))?;
    row[begin..begin + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

fn as_text(kind: AnswerKind, text: &str) -> std::borrow::Cow<'_, str> {
    match kind {
        AnswerKind::Bool if text == "true" => "t".into(),
        AnswerKind::Bool => "f".into(),
        AnswerKind::Timestamp => text.replacen('T', " ", 1).into(),
        AnswerKind::TimestampUtc => {
            let text = text.replacen('T', " ", 1);
            format!("{}+00", text.trim_end_matches('Z')).into()
        }
        _ => text.into(),
    }
}

fn put_binary(row: &mut BytesMut, kind: AnswerKind, text: &str) -> Result<(), Malformed> {
    let wrong = |kind| move |()| malformed(text, kind);
    match kind {
        AnswerKind::Text => row.put_slice(text.as_bytes()),
        AnswerKind::Bool => row.put_u8(u8::from(text == "true")),
        AnswerKind::Int4 => row.put_i32(text.parse().map_err(drop).map_err(wrong("int4"))?),
        AnswerKind::Int8 => row.put_i64(text.parse().map_err(drop).map_err(wrong("int8"))?),
        AnswerKind::Float => row.put_f64(text.parse().map_err(drop).map_err(wrong("float8"))?),
        AnswerKind::Date => {
            let day: types::BusinessDay = text.parse().map_err(drop).map_err(wrong("date"))?;
            row.put_i32(day.epoch_days() - EPOCH_DAYS);
        }
        AnswerKind::Timestamp | AnswerKind::TimestampUtc => {
            let micros = micros(text.trim_end_matches('Z')).ok_or(());
            row.put_i64(micros.map_err(wrong("timestamp"))? - EPOCH_MICROS);
        }
        AnswerKind::Decimal => put_numeric(row, text).ok_or(()).map_err(wrong("numeric"))?,
    }
    Ok(())
}

/// Microseconds since 1970 of `2026-11-23T10:15:00.123456`.
fn micros(text: &str) -> Option<i64> {
    let (day, time) = text.split_once('T')?;
    let day: types::BusinessDay = day.parse().ok()?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut seconds = 0_i64;
    for part in time.split(':') {
        seconds = seconds * 60 + part.parse::<i64>().ok()?;
    }
    let fraction: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    let seconds = i64::from(day.epoch_days()) * 86_400 + seconds;
    seconds.checked_mul(1_000_000)?.checked_add(fraction)
}

/// Places of four digits, from the largest: as many as are not zero at both ends.
fn put_numeric(row: &mut BytesMut, text: &str) -> Option<()> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (NEGATIVE, digits),
        None => (0, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let lead = whole.len().next_multiple_of(PLACE_DIGITS) - whole.len();
    let tail = fraction.len().next_multiple_of(PLACE_DIGITS) - fraction.len();
    let padded = format!("{}{whole}{fraction}{}", "0".repeat(lead), "0".repeat(tail));
    let mut places = Vec::with_capacity(padded.len() / PLACE_DIGITS);
    for place in padded.as_bytes().chunks(PLACE_DIGITS) {
        places.push(std::str::from_utf8(place).ok()?.parse::<i16>().ok()?);
    }
    let mut weight = i16::try_from((lead + whole.len()) / PLACE_DIGITS).ok()? - 1;
    let zeros = places.iter().take_while(|place| **place == 0).count();
    weight -= i16::try_from(zeros).ok()?;
    let mut places = &places[zeros..];
    while let [rest @ .., 0] = places {
        places = rest;
    }
    if places.is_empty() {
        weight = 0;
    }
    row.put_i16(i16::try_from(places.len()).ok()?);
    row.put_i16(weight);
    row.put_u16(if places.is_empty() { 0 } else { sign });
    row.put_u16(u16::try_from(fraction.len()).ok()?);
    places.iter().for_each(|place| row.put_i16(*place));
    Some(())
}

/// A parameter, from how its client writes it.
pub(super) fn parameter(
    given: &Type,
    bytes: Option<&[u8]>,
    is_binary: bool,
) -> Result<Parameter, Malformed> {
    let kind = kind_of(given).unwrap_or(ParameterType::Text);
    let Some(bytes) = bytes else {
        return Ok(Parameter { kind, text: None });
    };
    let text = match is_binary {
        true => binary_text(given, bytes)
            .ok_or_else(|| malformed("a binary parameter", given.name()))?,
        false => {
            let text = std::str::from_utf8(bytes);
            text.map_err(|_| malformed("a parameter", "UTF-8"))?
                .to_owned()
        }
    };
    let text = plain_text(kind, &text).ok_or_else(|| malformed(&text, given.name()))?;
    Ok(Parameter {
        kind,
        text: Some(text),
    })
}

/// A text that is of its type, in the form in which it becomes a part of a query.
fn plain_text(kind: ParameterType, text: &str) -> Option<String> {
    let trimmed = text.trim();
    match kind {
        ParameterType::Int => Some(trimmed.parse::<i64>().ok()?.to_string()),
        ParameterType::Decimal => is_decimal(trimmed).then(|| trimmed.to_owned()),
        ParameterType::Bool => match trimmed.to_lowercase().as_str() {
            "t" | "true" | "y" | "yes" | "on" | "1" => Some("true".to_owned()),
            "f" | "false" | "n" | "no" | "off" | "0" => Some("false".to_owned()),
            _ => None,
        },
        _ => Some(text.to_owned()),
    }
}

fn is_decimal(text: &str) -> bool {
    let digits = text.trim_start_matches(['-', '+']);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    text.len() - digits.len() <= 1
        && text.len() <= NUMERIC_DIGITS_MAX
        && all(whole)
        && all(fraction)
        && !(whole.is_empty() && fraction.is_empty())
}

fn binary_text(given: &Type, bytes: &[u8]) -> Option<String> {
    Some(match *given {
        Type::INT2 => i16::from_be_bytes(bytes.try_into().ok()?).to_string(),
        Type::INT4 => i32::from_be_bytes(bytes.try_into().ok()?).to_string(),
        Type::INT8 => i64::from_be_bytes(bytes.try_into().ok()?).to_string(),
        Type::OID => u32::from_be_bytes(bytes.try_into().ok()?).to_string(),
        Type::FLOAT4 => f32::from_be_bytes(bytes.try_into().ok()?).to_string(),
        Type::FLOAT8 => f64::from_be_bytes(bytes.try_into().ok()?).to_string(),
        Type::BOOL => (bytes.first()? != &0).to_string(),
        Type::DATE => {
            let days = i32::from_be_bytes(bytes.try_into().ok()?).checked_add(EPOCH_DAYS)?;
            types::BusinessDay::from_epoch_days(days)?.to_string()
        }
        Type::TIMESTAMP | Type::TIMESTAMPTZ => {
            let micros = i64::from_be_bytes(bytes.try_into().ok()?).checked_add(EPOCH_MICROS)?;
            timestamp_text(micros)?
        }
        Type::NUMERIC => numeric_text(bytes)?,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => {
            std::str::from_utf8(bytes).ok()?.to_owned()
        }
        _ => return None,
    })
}

fn timestamp_text(micros: i64) -> Option<String> {
    const DAY: i64 = 86_400_000_000;
    let day = types::BusinessDay::from_epoch_days(i32::try_from(micros.div_euclid(DAY)).ok()?)?;
    let of_day = micros.rem_euclid(DAY);
    let (seconds, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    Some(format!(
        "{day} {hours:02}:{minutes:02}:{seconds:02}.{fraction:06}"
    ))
}

/// `None` of what is no number, and of one with too many digits.
fn numeric_text(bytes: &[u8]) -> Option<String> {
    let mut numbers = bytes
        .chunks_exact(2)
        .map(|pair| i16::from_be_bytes([pair[0], pair[1]]));
    let count = usize::try_from(numbers.next()?).ok()?;
    let weight = i32::from(numbers.next()?);
    let sign = numbers.next()?.cast_unsigned();
    let scale = usize::try_from(numbers.next()?).ok()?;
    let places: Vec<i16> = numbers.collect();
    let is_sane = places.len() == count
        && places.iter().all(|place| (0..10_000).contains(place))
        && (sign == 0 || sign == NEGATIVE)
        && scale <= NUMERIC_DIGITS_MAX
        && usize::try_from(weight.unsigned_abs()).ok()? * PLACE_DIGITS <= NUMERIC_DIGITS_MAX;
    if !is_sane {
        return None;
    }
    let place = |power: i32| {
        let index = usize::try_from(weight - power).ok();
        index
            .and_then(|index| places.get(index))
            .copied()
            .unwrap_or(0)
    };
    let mut text = String::new();
    for power in (0..=weight.max(0)).rev() {
        text += &format!("{:04}", place(power));
    }
    let mut text = text.trim_start_matches('0').to_owned();
    if text.is_empty() {
        text.push('0');
    }
    if scale > 0 {
        let mut fraction = String::new();
        let mut power = -1;
        while fraction.len() < scale {
            fraction += &format!("{:04}", place(power));
            power -= 1;
        }
        text = format!("{text}.{}", &fraction[..scale]);
    }
    Some(if sign == NEGATIVE {
        format!("-{text}")
    } else {
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(kind: AnswerKind, text: &str) -> Vec<u8> {
        let mut row = BytesMut::new();
        put(&mut row, kind, Some(text), true).expect("is of its type");
        let length = i32::from_be_bytes(row[..4].try_into().expect("four"));
        assert_eq!(usize::try_from(length).expect("small"), row.len() - 4);
        row[4..].to_vec()
    }

    #[test]
    fn numerics_are_places_of_four_digits() {
        for (text, expected) in [
            ("0.00", &[0, 0, 0, 2][..]),
            ("12.50", &[2, 0, 0, 2, 12, 5_000]),
            ("-12.50", &[2, 0, 0x4000, 2, 12, 5_000]),
            ("10000", &[1, 1, 0, 0, 1]),
            (
                "123456789.12345",
                &[5, 2, 0, 5, 1, 2_345, 6_789, 1_234, 5_000],
            ),
            ("0.00001", &[1, -2, 0, 5, 1_000]),
        ] {
            let bytes = binary(AnswerKind::Decimal, text);
            let numbers: Vec<i16> = bytes
                .chunks(2)
                .map(|pair| i16::from_be_bytes([pair[0], pair[1]]))
                .collect();
            assert_eq!(numbers, expected, "{text}");
        }
    }

    #[test]
    fn values_come_back_as_they_went() {
        let again = |kind, given: Type, text: &str| {
            let bytes = binary(kind, text);
            let back = parameter(&given, Some(&bytes), true).expect("reads");
            assert_eq!(back.text.as_deref(), Some(text));
        };
        for text in [
            "0.00",
            "0",
            "12.50",
            "-12.50",
            "0.00001",
            "-9999999999999999999999999999.99999",
            "10000",
            "100000000.1",
            "99999999999999999999999999999999999999",
        ] {
            again(AnswerKind::Decimal, Type::NUMERIC, text);
        }
        for text in ["0", "-1", "9223372036854775807"] {
            again(AnswerKind::Int8, Type::INT8, text);
        }
        again(AnswerKind::Int4, Type::INT4, "-2147483648");
        again(AnswerKind::Date, Type::DATE, "2026-11-23");
        again(AnswerKind::Date, Type::DATE, "1999-12-31");
        again(AnswerKind::Text, Type::TEXT, "Željka '");
        again(AnswerKind::Bool, Type::BOOL, "true");
        again(AnswerKind::Bool, Type::BOOL, "false");
        let bytes = binary(AnswerKind::Timestamp, "1999-12-31T23:59:59.5");
        assert_eq!(bytes, (-500_000_i64).to_be_bytes());
        let back = parameter(&Type::TIMESTAMP, Some(&bytes), true).expect("reads");
        assert_eq!(back.text.as_deref(), Some("1999-12-31 23:59:59.500000"));
    }

    #[test]
    fn texts_are_as_postgresql_writes_them() {
        for (kind, text, expected) in [
            (AnswerKind::Bool, "true", "t"),
            (AnswerKind::Bool, "false", "f"),
            (AnswerKind::Decimal, "12.50", "12.50"),
            (
                AnswerKind::Timestamp,
                "2026-11-23T10:15:00.5",
                "2026-11-23 10:15:00.5",
            ),
            (
                AnswerKind::TimestampUtc,
                "2026-11-23T10:15:00Z",
                "2026-11-23 10:15:00+00",
            ),
        ] {
            let mut row = BytesMut::new();
            put(&mut row, kind, Some(text), false).expect("is of its type");
            assert_eq!(&row[4..], expected.as_bytes());
        }
        let mut row = BytesMut::new();
        put(&mut row, AnswerKind::Text, None, true).expect("null");
        assert_eq!(row[..], (-1_i32).to_be_bytes());
    }

    #[test]
    fn malformed_parameters_are_refused() {
        for (given, bytes, is_binary) in [
            (Type::INT8, &b"12"[..], true),
            (Type::INT8, b"x", false),
            (Type::NUMERIC, b"1e5", false),
            (Type::NUMERIC, b"NaN", false),
            (Type::NUMERIC, b"", false),
            (Type::NUMERIC, b"--1", false),
            (Type::BOOL, b"maybe", false),
            (Type::TEXT, b"\xff", false),
            (Type::NUMERIC, &[0, 9, 0, 0, 0, 0, 0, 0], true),
            (Type::NUMERIC, &[0, 1, 0, 0, 0, 0, 0, 0, 0x7f, 0xff], true),
            (Type::NUMERIC, &[0, 0, 0x7f, 0xff, 0, 0, 0, 0], true),
            (Type::NUMERIC, &[0, 0, 0, 0, 0xc0, 0, 0, 0], true),
            (Type::INT4_ARRAY, &[0, 0, 0, 0], true),
        ] {
            assert!(
                parameter(&given, Some(bytes), is_binary).is_err(),
                "{given} {bytes:?}"
            );
        }
    }
}
