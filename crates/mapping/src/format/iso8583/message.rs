//! Where the elements of one message stand: MTI, bitmaps, then each element that a bit announces.

use super::encoding::{prefix_bytes, read, read_length};
use super::spec::{Encoding, FieldSpec, LAST};
use super::{Header, Iso8583Plan};
use crate::format::copybook::{CodePage, hex};

/// Why a message cannot be read. Offsets are of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) offset: usize,
    /// Number of the element, if it is one's.
    pub(crate) field: Option<u8>,
    pub(crate) detail: String,
}

/// Where an element stands.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place {
    /// First byte of its prefix.
    pub(crate) begin: usize,
    /// First byte of its value.
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Characters, digits or bytes, as its encoding counts.
    pub(crate) length: usize,
}

/// A message taken apart.
#[derive(Debug)]
pub(crate) struct Message {
    /// Four digits.
    pub(crate) mti: [u8; 4],
    /// Bit 127 is element 1.
    pub(crate) bits: u128,
    places: [Place; LAST as usize + 1],
    /// First byte of the MTI.
    pub(crate) mti_start: usize,
    /// Behind the last element.
    pub(crate) end: usize,
}

impl Message {
    pub(crate) fn has(&self, number: u8) -> bool {
        (1..=LAST).contains(&number) && self.bits >> (LAST - number) & 1 == 1
    }

    pub(crate) fn place(&self, number: u8) -> Option<&Place> {
        self.has(number).then(|| &self.places[usize::from(number)])
    }

    /// Numbers of the elements, in order; without the second bitmap.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u8> + '_ {
        (2..=LAST).filter(|number| self.has(*number))
    }

    /// Text of the MTI.
    pub(crate) fn mti_text(&self) -> &str {
        // Checked to be digits when it was read.
        std::str::from_utf8(&self.mti).unwrap_or_default()
    }
}

impl Default for Message {
    fn default() -> Self {
        Self {
            mti: *b"0000",
            bits: 0,
            places: [Place::default(); LAST as usize + 1],
            mti_start: 0,
            end: 0,
        }
    }
}

/// Takes the message at the front of `bytes` apart, into a buffer that is kept from message to message:
/// what it held before does not matter.
pub(crate) fn parse(plan: &Iso8583Plan, bytes: &[u8], message: &mut Message) -> Result<(), Wrong> {
    let mti_start = match plan.header {
        Header::Bytes(count) => count,
        Header::Tpdu => TPDU_BYTES,
    };
    let mut at = mti_start;
    message.mti_start = mti_start;
    message.mti = mti(plan, bytes, at)?;
    at += plan.mti.bytes(4);
    let mut bits = bitmap(plan, bytes, at)?;
    at += bitmap_bytes(plan);
    message.bits = u128::from(bits) << 64;
    if message.has(1) {
        bits = bitmap(plan, bytes, at)?;
        message.places[1] = Place {
            begin: at,
            start: at,
            end: at + bitmap_bytes(plan),
            length: 8,
        };
        at += bitmap_bytes(plan);
        message.bits |= u128::from(bits);
    }
    if message.has(65) {
        return Err(Wrong {
            offset: at,
            field: Some(65),
            detail: "the message announces a third bitmap (element 65), which is not read"
                .to_owned(),
        });
    }
    // Bit by bit that is set, without element 1, which is the second bitmap.
    let mut left = message.bits & (u128::MAX >> 1);
    while left != 0 {
        let number = left.leading_zeros() as u8 + 1;
        left &= !(1 << (LAST - number));
        let Some(spec) = plan.spec.get(number) else {
            return Err(Wrong {
                offset: at,
                field: Some(number),
                detail: format!(
                    "element {number} is not in the specification: describe it in [iso8583.fields.{number}]"
                ),
            });
        };
        let place = element(spec, bytes, at).map_err(|detail| Wrong {
            offset: at,
            field: Some(number),
            detail: format!("element {number} {detail}"),
        })?;
        at = place.end;
        message.places[usize::from(number)] = place;
    }
    message.end = at;
    Ok(())
}

/// Bytes of a TPDU: identifier, destination, origin.
pub(crate) const TPDU_BYTES: usize = 5;

fn mti(plan: &Iso8583Plan, bytes: &[u8], at: usize) -> Result<[u8; 4], Wrong> {
    let wrong = |detail: String| Wrong {
        offset: at,
        field: None,
        detail,
    };
    let Some(raw) = bytes.get(at..at + plan.mti.bytes(4)) else {
        return Err(wrong("the message ends before its MTI".to_owned()));
    };
    let mut text = String::with_capacity(4);
    let read = read(raw, 4, plan.mti, plan.page, &mut text);
    match (read, text.as_bytes().first_chunk::<4>()) {
        (Ok(()), Some(mti)) if mti.iter().all(u8::is_ascii_digit) => Ok(*mti),
        _ => Err(wrong(format!(
            "a message begins with an MTI of four digits, not with {}",
            shown(raw)
        ))),
    }
}

/// Bytes for an error message: as text where they are one.
fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) => crate::refusal::shown(text),
        _ => hex(bytes),
    }
}

/// Bytes of one bitmap.
pub(crate) fn bitmap_bytes(plan: &Iso8583Plan) -> usize {
    if plan.bitmap == Encoding::Binary {
        8
    } else {
        16
    }
}

fn bitmap(plan: &Iso8583Plan, bytes: &[u8], at: usize) -> Result<u64, Wrong> {
    let wrong = |detail: &str| Wrong {
        offset: at,
        field: None,
        detail: detail.to_owned(),
    };
    let Some(raw) = bytes.get(at..at + bitmap_bytes(plan)) else {
        return Err(wrong("the message ends inside of its bitmap"));
    };
    if let (Encoding::Binary, Some(raw)) = (plan.bitmap, raw.first_chunk::<8>()) {
        return Ok(u64::from_be_bytes(*raw));
    }
    let mut bits = 0_u64;
    for byte in raw {
        let character = if plan.bitmap == Encoding::Ebcdic {
            plan.page.character(*byte)
        } else {
            Some(char::from(*byte))
        };
        let digit = character
            .and_then(|character| character.to_digit(16))
            .ok_or_else(|| wrong("the bitmap is no hexadecimal text; is it binary?"))?;
        bits = bits << 4 | u64::from(digit);
    }
    Ok(bits)
}

/// Where an element stands that begins at `at`.
fn element(spec: &FieldSpec, bytes: &[u8], at: usize) -> Result<Place, String> {
    let start = at + prefix_bytes(spec.prefix, spec.prefix_encoding);
    let length = if spec.prefix == 0 {
        spec.length
    } else {
        let raw = bytes
            .get(at..start)
            .ok_or_else(|| "begins behind the end of the message".to_owned())?;
        let length = read_length(raw, spec.prefix, spec.prefix_encoding)
            .ok_or_else(|| format!("has no length in front of it: {}", shown(raw)))?;
        if length > spec.length {
            return Err(format!(
                "has the length {length}, at most {} are allowed",
                spec.length
            ));
        }
        length
    };
    let end = start + spec.encoding.bytes(length);
    if end > bytes.len() {
        return Err(format!(
            "ends {} bytes behind the end of the message",
            end - bytes.len()
        ));
    }
    Ok(Place {
        begin: at,
        start,
        end,
        length,
    })
}

/// Appends the text of an element as its encoding says.
pub(crate) fn text(
    spec: &FieldSpec,
    page: CodePage,
    bytes: &[u8],
    place: &Place,
    out: &mut String,
) -> Result<(), String> {
    let raw = bytes.get(place.start..place.end).unwrap_or_default();
    read(raw, place.length, spec.encoding, page, out)
}
