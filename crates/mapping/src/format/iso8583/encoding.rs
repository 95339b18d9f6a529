//! Characters, digits and lengths in the encodings that messages use, both ways.

use super::spec::{Encoding, FieldSpec};
use crate::format::copybook::CodePage;

/// Appends the text of an element: `length` characters or digits, or bytes as hexadecimal digits.
///
/// The error says what the bytes are not.
pub(crate) fn read(
    bytes: &[u8],
    length: usize,
    encoding: Encoding,
    page: CodePage,
    out: &mut String,
) -> Result<(), String> {
    match encoding {
        Encoding::Ascii => characters(bytes, CodePage::named("latin-1"), out),
        Encoding::Ebcdic => characters(bytes, page, out),
        Encoding::Bcd | Encoding::BcdLeft => digits(bytes, length, encoding == Encoding::Bcd, out),
        Encoding::Binary => {
            for byte in bytes {
                push_hex(*byte, out);
            }
            Ok(())
        }
        Encoding::Hex => {
            if !bytes.iter().all(u8::is_ascii_hexdigit) {
                return Err("is no hexadecimal text".to_owned());
            }
            out.extend(
                bytes
                    .iter()
                    .map(|byte| char::from(byte.to_ascii_uppercase())),
            );
            Ok(())
        }
    }
}

fn characters(bytes: &[u8], page: CodePage, out: &mut String) -> Result<(), String> {
    // Nearly every element is plain ASCII, which needs no table.
    let plain = |byte: &u8| (0x20..0x7f).contains(byte);
    if !page.ebcdic
        && bytes.iter().all(plain)
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        out.push_str(text);
        return Ok(());
    }
    page.read(bytes, out)
        .map_err(|byte| format!("has the byte {byte:02X}, which is no character"))
}

/// Packed digits. Track data has `D` for `=` and `F` as filler, so hexadecimal digits are kept.
fn digits(bytes: &[u8], length: usize, right: bool, out: &mut String) -> Result<(), String> {
    let halves = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let skipped = usize::from(right && length % 2 == 1);
    for half in halves.skip(skipped).take(length) {
        out.push(match half {
            0..=9 => char::from(b'0' + half),
            0xd => '=',
            _ => return Err(format!("has the half byte {half:X}, which is no digit")),
        });
    }
    Ok(())
}

pub(crate) fn push_hex(byte: u8, out: &mut String) {
    for half in [byte >> 4, byte & 15] {
        out.push(
            char::from_digit(u32::from(half), 16)
                .unwrap_or('0')
                .to_ascii_uppercase(),
        );
    }
}

/// The number in a length prefix; `None` if it is none.
pub(crate) fn read_length(bytes: &[u8], digits: usize, encoding: Encoding) -> Option<usize> {
    let decimal = |sum: usize, digit: u8| (digit <= 9).then(|| sum * 10 + usize::from(digit));
    match encoding {
        Encoding::Ascii => bytes
            .iter()
            .try_fold(0, |sum, byte| decimal(sum, byte.wrapping_sub(b'0'))),
        Encoding::Ebcdic => bytes
            .iter()
            .try_fold(0, |sum, byte| decimal(sum, byte.wrapping_sub(0xf0))),
        Encoding::Bcd | Encoding::BcdLeft => {
            let skipped = usize::from(encoding == Encoding::Bcd && digits % 2 == 1);
            bytes
                .iter()
                .flat_map(|byte| [byte >> 4, byte & 15])
                .skip(skipped)
                .take(digits)
                .try_fold(0, decimal)
        }
        Encoding::Binary => Some(
            bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
        ),
        Encoding::Hex => {
            let text = std::str::from_utf8(bytes).ok()?;
            let plain = text.bytes().all(|byte| byte.is_ascii_hexdigit());
            plain
                .then(|| usize::from_str_radix(text, 16).ok())
                .flatten()
        }
    }
}

/// Bytes of a length prefix. Binary: one byte for `L` and `LL`, two for more; hexadecimal text: two
/// characters for each of these bytes.
pub(crate) fn prefix_bytes(digits: usize, encoding: Encoding) -> usize {
    match encoding {
        Encoding::Ascii | Encoding::Ebcdic => digits,
        Encoding::Bcd | Encoding::BcdLeft => digits.div_ceil(2),
        Encoding::Binary => digits.div_ceil(2),
        Encoding::Hex => 2 * digits.div_ceil(2),
    }
}

fn write_length(length: usize, digits: usize, encoding: Encoding, out: &mut Vec<u8>) {
    match encoding {
        Encoding::Ascii => out.extend(format!("{length:0digits$}").bytes()),
        Encoding::Ebcdic => {
            out.extend(
                format!("{length:0digits$}")
                    .bytes()
                    .map(|byte| byte - b'0' + 0xf0),
            );
        }
        Encoding::Bcd => pack(&format!("{length:0digits$}"), true, out),
        Encoding::BcdLeft => pack(&format!("{length:0digits$}"), false, out),
        Encoding::Binary => {
            let bytes = length.to_be_bytes();
            out.extend_from_slice(&bytes[bytes.len() - digits.div_ceil(2)..]);
        }
        Encoding::Hex => {
            let width = 2 * digits.div_ceil(2);
            out.extend(format!("{length:0width$X}").bytes());
        }
    }
}

/// Two digits a byte.
fn pack(digits: &str, right: bool, out: &mut Vec<u8>) {
    let mut halves: Vec<u8> = digits.bytes().map(|byte| byte & 15).collect();
    if halves.len() % 2 == 1 {
        halves.insert(if right { 0 } else { halves.len() }, 0);
    }
    out.extend(halves.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]));
}

/// Writes an element with its prefix. The error says why the text does not fit.
pub(crate) fn write(
    text: &str,
    spec: &FieldSpec,
    page: CodePage,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let mut bytes = Vec::with_capacity(text.len());
    let is_hex = text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let length = match spec.encoding {
        Encoding::Ascii if text.is_ascii() => {
            bytes.extend_from_slice(text.as_bytes());
            text.len()
        }
        Encoding::Ebcdic => {
            for character in text.chars() {
                let byte = (0..=255).find(|byte| page.character(*byte) == Some(character));
                bytes.push(byte.ok_or_else(|| format!("{character:?} is not in the code page"))?);
            }
            bytes.len()
        }
        Encoding::Bcd | Encoding::BcdLeft if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            pack(text, spec.encoding == Encoding::Bcd, &mut bytes);
            text.len()
        }
        Encoding::Binary if is_hex => {
            for at in (0..text.len()).step_by(2) {
                bytes.push(u8::from_str_radix(&text[at..at + 2], 16).unwrap_or_default());
            }
            bytes.len()
        }
        Encoding::Hex if is_hex => {
            bytes.extend(text.bytes().map(|byte| byte.to_ascii_uppercase()));
            text.len() / 2
        }
        _ => return Err("cannot be written in the encoding of its element".to_owned()),
    };
    if length > spec.length || (spec.prefix == 0 && length != spec.length) {
        return Err(format!(
            "has the length {length}, its element has {}",
            spec.length
        ));
    }
    if spec.prefix > 0 {
        write_length(length, spec.prefix, spec.prefix_encoding, out);
    }
    out.extend_from_slice(&bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::iso8583::spec::Content;

    const ALL: [Encoding; 6] = [
        Encoding::Ascii,
        Encoding::Ebcdic,
        Encoding::Bcd,
        Encoding::BcdLeft,
        Encoding::Binary,
        Encoding::Hex,
    ];

    #[test]
    fn lengths_are_read_as_they_are_written() {
        for encoding in ALL {
            for digits in 1..=4 {
                let most = if encoding == Encoding::Binary || encoding == Encoding::Hex {
                    255
                } else {
                    10_usize.pow(digits as u32) - 1
                };
                for length in [0, 1, 7, most] {
                    let mut bytes = Vec::new();
                    write_length(length, digits, encoding, &mut bytes);
                    assert_eq!(
                        bytes.len(),
                        prefix_bytes(digits, encoding),
                        "{encoding:?} {digits}"
                    );
                    assert_eq!(
                        read_length(&bytes, digits, encoding),
                        Some(length),
                        "{encoding:?} {digits}"
                    );
                }
            }
        }
    }

    #[test]
    fn texts_are_read_as_they_are_written() {
        let page = CodePage::named("cp037");
        for encoding in ALL {
            for text in ["1234", "123456"] {
                let length = match encoding {
                    Encoding::Binary | Encoding::Hex => text.len() / 2,
                    _ => text.len(),
                };
                for prefix in 0..=3 {
                    let spec = FieldSpec {
                        length,
                        prefix,
                        prefix_encoding: encoding,
                        encoding,
                        content: Content::Plain,
                    };
                    let mut bytes = Vec::new();
                    write(text, &spec, page, &mut bytes).expect("fits");
                    let front = prefix_bytes(prefix, encoding);
                    let mut read_back = String::new();
                    read(&bytes[front..], length, encoding, page, &mut read_back)
                        .expect("readable");
                    assert_eq!(read_back, text, "{encoding:?}");
                }
            }
        }
    }

    #[test]
    fn odd_digits_stand_left_or_right() {
        let page = CodePage::named("cp037");
        let read = |bytes: &[u8], length, encoding| {
            let mut text = String::new();
            read(bytes, length, encoding, page, &mut text).map(|()| text)
        };
        assert_eq!(read(&[0x01, 0x23], 3, Encoding::Bcd), Ok("123".to_owned()));
        assert_eq!(
            read(&[0x12, 0x3f], 3, Encoding::BcdLeft),
            Ok("123".to_owned())
        );
        assert_eq!(read(&[0x12, 0xd3], 4, Encoding::Bcd), Ok("12=3".to_owned()));
        assert_eq!(
            read(&[0x1c], 2, Encoding::Bcd),
            Err("has the half byte C, which is no digit".to_owned())
        );
        assert_eq!(read_length(&[0x00, 0x80], 3, Encoding::BcdLeft), Some(8));
        assert_eq!(read_length(&[0x00, 0x80], 3, Encoding::Bcd), Some(80));
        assert_eq!(read_length(b"0x", 2, Encoding::Ascii), None);
        assert_eq!(read_length(b"+1", 2, Encoding::Hex), None);
    }
}
