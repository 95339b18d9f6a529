//! Numbers of records: zoned, packed, binary and edited, as exact decimal text.
//!
//! No arithmetic but that of whole numbers: digits go from the record to the text, with the point
//! where the PICTURE's `V` has it.

use super::picture::NumberPicture;

/// Where a DISPLAY number has its sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignPlace {
    /// Overpunched on the last digit.
    Trailing,
    /// Overpunched on the first digit.
    Leading,
    /// A character of its own behind the digits.
    TrailingSeparate,
    /// A character of its own in front of the digits.
    LeadingSeparate,
}

/// How the digits are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Storage {
    /// A character a digit.
    Display(SignPlace),
    /// Two's complement (COMP, COMP-4, BINARY, COMP-5).
    Binary {
        little_endian: bool,
        /// COMP-5: all bits count, whatever the PICTURE says.
        native: bool,
    },
    /// Two digits a byte, the last half byte is the sign (COMP-3, PACKED-DECIMAL).
    Packed,
}

/// A numeric field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) picture: NumberPicture,
    pub(crate) storage: Storage,
    /// The PICTURE's `S`, or a SIGN clause.
    pub(crate) signed: bool,
}

/// What stands in a numeric field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// A number, now in the text.
    Number,
    /// Only spaces or low values: nobody wrote a number.
    Blank,
}

impl Number {
    /// Bytes of the field.
    pub(crate) fn bytes(&self) -> usize {
        match self.storage {
            Storage::Display(SignPlace::LeadingSeparate | SignPlace::TrailingSeparate) => {
                self.picture.width + 1
            }
            Storage::Display(_) => self.picture.width,
            Storage::Packed => self.picture.digits as usize / 2 + 1,
            Storage::Binary { .. } => binary_bytes(self.picture.digits),
        }
    }

    /// Whether it may be a date, an account or a code: whole and without sign. Such numbers keep their
    /// leading zeros.
    pub(crate) fn is_code(&self) -> bool {
        !self.signed && self.picture.scale == 0 && !self.picture.edited && !self.picture.point
    }

    /// Reads the field into `out`, which is emptied first. The error says what is wrong with it.
    pub(crate) fn read(
        &self,
        bytes: &[u8],
        ebcdic: bool,
        out: &mut String,
    ) -> Result<Presence, &'static str> {
        out.clear();
        let negative = match self.storage {
            Storage::Binary {
                little_endian,
                native,
            } => {
                // Beyond 9 and 18 digits by far: these bytes are something else. Two bytes are left
                // alone, as databases fill them.
                let first = if little_endian {
                    bytes.last()
                } else {
                    bytes.first()
                };
                let is_full = first.is_some_and(|byte| *byte >= 0x80) && bytes.len() >= 4;
                if is_full && !self.signed && !native {
                    return Err("does not fit its PICTURE; all its bits would count in a COMP-5");
                }
                binary(bytes, little_endian, self.signed, out)?
            }
            _ if is_blank(bytes, ebcdic) => return Ok(Presence::Blank),
            Storage::Packed => self.packed(bytes, out)?,
            Storage::Display(place) => self.display(place, bytes, ebcdic, out)?,
        };
        if negative && !self.signed && !self.picture.edited {
            return Err("has a negative sign, but its PICTURE has no S");
        }
        place_point(out, self.picture.scale, negative);
        Ok(Presence::Number)
    }

    fn packed(&self, bytes: &[u8], out: &mut String) -> Result<bool, &'static str> {
        let Some((last, front)) = bytes.split_last() else {
            return Err("has no bytes");
        };
        let mut push = |half: u8| -> Result<(), &'static str> {
            if half > 9 {
                return Err("is no packed decimal: a half byte is above 9");
            }
            out.push(char::from(b'0' + half));
            Ok(())
        };
        for byte in front {
            push(byte >> 4)?;
            push(byte & 15)?;
        }
        push(last >> 4)?;
        if self.picture.digits.is_multiple_of(2) && out.starts_with('0') {
            out.remove(0);
        }
        if out.len() > self.picture.digits as usize {
            return Err("has more digits than its PICTURE");
        }
        match last & 15 {
            0xa | 0xc | 0xe | 0xf => Ok(false),
            0xb | 0xd => Ok(true),
            _ => Err("is no packed decimal: its last half byte is no sign (A to F)"),
        }
    }

    fn display(
        &self,
        place: SignPlace,
        bytes: &[u8],
        ebcdic: bool,
        out: &mut String,
    ) -> Result<bool, &'static str> {
        if self.picture.edited || self.picture.point {
            return self.edited(place, bytes, ebcdic, out);
        }
        let (sign, digits) = match (place, bytes) {
            (SignPlace::LeadingSeparate, [sign, digits @ ..]) => (Some(*sign), digits),
            (SignPlace::TrailingSeparate, [digits @ .., sign]) => (Some(*sign), digits),
            _ => (None, bytes),
        };
        let mut negative = match sign.map(|byte| class(byte, ebcdic)) {
            None => false,
            Some(Class::Minus) => true,
            Some(Class::Plus | Class::Space) => false,
            Some(_) => return Err("has neither + nor - as its sign"),
        };
        let signed_at = match place {
            SignPlace::Leading => Some(0),
            SignPlace::Trailing => digits.len().checked_sub(1),
            _ => None,
        };
        for (index, byte) in digits.iter().enumerate() {
            match class(*byte, ebcdic) {
                Class::Digit(digit) => out.push(digit),
                // COBOL writes zeros; programs that write spaces in front mean the same.
                Class::Space if out.bytes().all(|digit| digit == b'0') => out.push('0'),
                Class::Overpunched { digit, minus } if signed_at == Some(index) => {
                    out.push(digit);
                    negative = minus;
                }
                _ => return Err("is no zoned number: one of its characters is no digit"),
            }
        }
        Ok(negative)
    }

    /// A number made for people: signs, blanks and grouping around the digits.
    fn edited(
        &self,
        place: SignPlace,
        bytes: &[u8],
        ebcdic: bool,
        out: &mut String,
    ) -> Result<bool, &'static str> {
        const WRONG: &str = "is no number as its PICTURE writes it";
        let (mut negative, bytes) = match credit_debit(bytes, ebcdic) {
            Some(front) if self.picture.edited => (true, front),
            _ => (false, bytes),
        };
        let mut decimals = None;
        let last = bytes.len().saturating_sub(1);
        for (index, byte) in bytes.iter().enumerate() {
            match class(*byte, ebcdic) {
                Class::Digit(digit) => out.push(digit),
                Class::Overpunched { digit, minus }
                    if index == if place == SignPlace::Leading { 0 } else { last } =>
                {
                    out.push(digit);
                    negative = minus;
                }
                Class::Minus => negative = true,
                Class::Space | Class::Plus | Class::Filler => {}
                Class::Point if self.picture.point && decimals.is_none() => {
                    decimals = Some(out.len());
                }
                _ => return Err(WRONG),
            }
        }
        if out.is_empty() {
            return Err(WRONG);
        }
        if self.picture.point {
            let scale = self.picture.scale.max(0) as usize;
            let written = decimals.map_or(0, |at| out.len() - at);
            let Some(missing) = scale.checked_sub(written) else {
                return Err("has more decimal digits than its PICTURE");
            };
            out.extend(std::iter::repeat_n('0', missing));
        }
        if out.len() > self.picture.digits as usize + self.picture.width {
            return Err(WRONG);
        }
        Ok(negative)
    }
}

/// IBM's sizes: 2, 4 and 8 bytes up to 4, 9 and 18 digits; beyond them the fewest that hold the number.
fn binary_bytes(digits: u32) -> usize {
    match digits {
        0..=4 => 2,
        5..=9 => 4,
        10..=18 => 8,
        more => {
            // 10^38 fits i128, as DIGITS_MAX promises.
            let bits = 128 - 10_u128.pow(more.min(38)).leading_zeros() as usize + 1;
            bits.div_ceil(8)
        }
    }
}

fn binary(
    bytes: &[u8],
    little_endian: bool,
    signed: bool,
    out: &mut String,
) -> Result<bool, &'static str> {
    use std::fmt::Write as _;
    if bytes.is_empty() || bytes.len() > 16 {
        return Err("has no or more than 16 binary bytes");
    }
    let first = if little_endian {
        bytes[bytes.len() - 1]
    } else {
        bytes[0]
    };
    let fill = if signed && first >= 0x80 { 0xff } else { 0 };
    let mut wide = [fill; 16];
    for (place, byte) in wide.iter_mut().rev().zip(0..bytes.len()) {
        *place = if little_endian {
            bytes[byte]
        } else {
            bytes[bytes.len() - 1 - byte]
        };
    }
    let (magnitude, negative) = if signed {
        let value = i128::from_be_bytes(wide);
        (value.unsigned_abs(), value < 0)
    } else {
        (u128::from_be_bytes(wide), false)
    };
    // Writing to a string cannot fail.
    let _ = write!(out, "{magnitude}");
    Ok(negative)
}

/// Only spaces, or only low values.
pub(super) fn is_blank(bytes: &[u8], ebcdic: bool) -> bool {
    let space = if ebcdic { 0x40 } else { b' ' };
    bytes.iter().all(|byte| *byte == space) || bytes.iter().all(|byte| *byte == 0)
}

/// What is in front of a `CR` or `DB` at the end.
fn credit_debit(bytes: &[u8], ebcdic: bool) -> Option<&[u8]> {
    let (credit, debit): (&[u8], &[u8]) = if ebcdic {
        (&[0xc3, 0xd9], &[0xc4, 0xc2])
    } else {
        (b"CR", b"DB")
    };
    bytes
        .strip_suffix(credit)
        .or_else(|| bytes.strip_suffix(debit))
}

/// What a character is in a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Digit(char),
    Overpunched {
        digit: char,
        minus: bool,
    },
    Plus,
    Minus,
    Point,
    Space,
    /// Grouping and protection: `,` `*` `$` `/`.
    Filler,
    Other,
}

fn class(byte: u8, ebcdic: bool) -> Class {
    let digit = |value: u8| char::from(b'0' + value);
    let overpunched = |value: u8, minus: bool| Class::Overpunched {
        digit: digit(value),
        minus,
    };
    if ebcdic {
        return match (byte >> 4, byte & 15) {
            (0xf, value @ 0..=9) => Class::Digit(digit(value)),
            (0xa | 0xc | 0xe, value @ 0..=9) => overpunched(value, false),
            (0xb | 0xd, value @ 0..=9) => overpunched(value, true),
            _ => match byte {
                0x4e => Class::Plus,
                0x60 => Class::Minus,
                0x4b => Class::Point,
                0x40 | 0x00 => Class::Space,
                0x6b | 0x5c | 0x5b | 0x61 => Class::Filler,
                _ => Class::Other,
            },
        };
    }
    match byte {
        b'0'..=b'9' => Class::Digit(char::from(byte)),
        b'{' => overpunched(0, false),
        b'A'..=b'I' => overpunched(byte - b'A' + 1, false),
        b'}' => overpunched(0, true),
        b'J'..=b'R' => overpunched(byte - b'J' + 1, true),
        // Micro Focus and GnuCOBOL set a bit of the digit instead.
        b'p'..=b'y' => overpunched(byte - b'p', true),
        b'+' => Class::Plus,
        b'-' => Class::Minus,
        b'.' => Class::Point,
        b' ' | 0 => Class::Space,
        b',' | b'*' | b'$' | b'/' => Class::Filler,
        _ => Class::Other,
    }
}

/// Makes a number of digits: point, sign, no needless zeros in front.
fn place_point(digits: &mut String, scale: i32, negative: bool) {
    let decimals = scale.max(0) as usize;
    if digits.len() <= decimals {
        let missing = decimals + 1 - digits.len();
        digits.insert_str(0, &ZEROS[..missing.min(ZEROS.len())]);
    }
    let needless = digits
        .bytes()
        .take(digits.len() - decimals - 1)
        .take_while(|digit| *digit == b'0')
        .count();
    digits.drain(..needless);
    let zero = digits.bytes().all(|digit| digit == b'0');
    if decimals > 0 {
        digits.insert(digits.len() - decimals, '.');
    }
    if scale < 0 && !zero {
        digits.extend(std::iter::repeat_n('0', scale.unsigned_abs() as usize));
    }
    if negative && !zero {
        digits.insert(0, '-');
    }
}

/// As many zeros as a PICTURE can have places: digits and `P`s are bounded by its limit on digits.
pub(super) const ZEROS: &str =
    "00000000000000000000000000000000000000000000000000000000000000000000000000000000";

#[cfg(test)]
mod tests;
