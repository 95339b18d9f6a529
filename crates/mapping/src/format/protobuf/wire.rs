//! The wire format of protobuf: tags, varints and lengths.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>. Invariant: nothing outside of the range
//! that is asked for is read, and every call goes forward.

/// What is wrong with bytes, and where.
#[derive(Debug)]
pub(crate) struct Wrong {
    /// In the bytes that were read.
    pub(crate) offset: usize,
    pub(crate) detail: String,
}

impl Wrong {
    pub(crate) fn new(offset: usize, detail: impl Into<String>) -> Self {
        Self {
            offset,
            detail: detail.into(),
        }
    }
}

/// A field's value before its type is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Raw {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    /// A text, bytes, a message or packed numbers: from and to.
    Bytes(usize, usize),
}

impl Raw {
    /// The wire type's name, for messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Varint(_) => "a varint",
            Self::Fixed64(_) => "eight bytes",
            Self::Fixed32(_) => "four bytes",
            Self::Bytes(..) => "bytes with a length",
        }
    }
}

/// Largest number of a field.
const NUMBER_MAX: u64 = (1 << 29) - 1;
/// Most bytes of a varint.
const VARINT_BYTES_MAX: usize = 10;

/// A varint; `at` goes behind it.
pub(crate) fn varint(bytes: &[u8], at: &mut usize, end: usize) -> Result<u64, Wrong> {
    let start = *at;
    let mut value = 0_u64;
    for index in 0..VARINT_BYTES_MAX {
        let Some(byte) = bytes.get(*at).filter(|_| *at < end) else {
            return Err(Wrong::new(start, "a number ends behind its message"));
        };
        *at += 1;
        let part = u64::from(byte & 0x7f);
        if index + 1 == VARINT_BYTES_MAX && part > 1 {
            break;
        }
        value |= part << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Wrong::new(start, "a varint has more than 64 bits"))
}

/// The number of the next field and its value; `at` goes behind it.
pub(crate) fn field(bytes: &[u8], at: &mut usize, end: usize) -> Result<(u32, Raw), Wrong> {
    let start = *at;
    let tag = varint(bytes, at, end)?;
    let number = tag >> 3;
    if !(1..=NUMBER_MAX).contains(&number) {
        let detail = format!("{number} is no number of a field; is this a protobuf message?");
        return Err(Wrong::new(start, detail));
    }
    let raw = match tag & 7 {
        0 => Raw::Varint(varint(bytes, at, end)?),
        1 => Raw::Fixed64(fixed64(bytes, at, end)?),
        2 => {
            let (from, to) = delimited(bytes, at, end)?;
            Raw::Bytes(from, to)
        }
        5 => Raw::Fixed32(fixed32(bytes, at, end)?),
        3 | 4 => {
            let detail = format!("field {number} is a group, which is not read");
            return Err(Wrong::new(start, detail));
        }
        kind => {
            let detail = format!("field {number} has the unknown wire type {kind}");
            return Err(Wrong::new(start, detail));
        }
    };
    Ok((number as u32, raw))
}

/// A length and the range it tells; `at` goes behind it.
pub(crate) fn delimited(bytes: &[u8], at: &mut usize, end: usize) -> Result<(usize, usize), Wrong> {
    let start = *at;
    let length = varint(bytes, at, end)?;
    let from = *at;
    let left = end.saturating_sub(from);
    match usize::try_from(length)
        .ok()
        .filter(|length| *length <= left)
    {
        Some(length) => {
            *at = from + length;
            Ok((from, from + length))
        }
        None => {
            let detail = format!("{length} bytes are announced and {left} are left");
            Err(Wrong::new(start, detail))
        }
    }
}

/// Eight bytes, the lowest first.
pub(crate) fn fixed64(bytes: &[u8], at: &mut usize, end: usize) -> Result<u64, Wrong> {
    let low = fixed32(bytes, at, end)?;
    let high = fixed32(bytes, at, end)?;
    Ok(u64::from(low) | u64::from(high) << 32)
}

/// Four bytes, the lowest first.
pub(crate) fn fixed32(bytes: &[u8], at: &mut usize, end: usize) -> Result<u32, Wrong> {
    let start = *at;
    let four = bytes
        .get(start..start.saturating_add(4))
        .filter(|_| start + 4 <= end)
        .and_then(|four| <[u8; 4]>::try_from(four).ok());
    let Some(four) = four else {
        return Err(Wrong::new(start, "a number ends behind its message"));
    };
    *at = start + 4;
    Ok(u32::from_le_bytes(four))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_have_at_most_64_bits() {
        let read = |bytes: &[u8]| varint(bytes, &mut 0, bytes.len()).ok();
        assert_eq!(read(&[0x96, 0x01]), Some(150));
        let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(read(&most), Some(u64::MAX));
        let more = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(read(&more), None);
        assert_eq!(read(&[0x80; 11]), None);
        assert_eq!(read(&[0x80]), None);
    }

    #[test]
    fn lengths_end_inside() {
        let read = |bytes: &[u8]| delimited(bytes, &mut 0, bytes.len()).ok();
        assert_eq!(read(&[2, 7, 7]), Some((1, 3)));
        assert_eq!(read(&[3, 7, 7]), None);
        let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(read(&most), None);
    }
}
