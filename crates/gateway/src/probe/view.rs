//! An input as it is shown: as text or in hexadecimal digits, masked, and cut.

use std::fmt::Write as _;

use mapping::Format;

use super::mask::{self, ASCII, DIGITS, Digits, EBCDIC};

/// Bytes of a text that are no text, a thousand, from which on it is shown in hexadecimal digits.
const ODD_MAX: usize = 50;
/// Bytes of one line in hexadecimal digits.
const LINE_BYTES: usize = 32;

/// An input, masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Input {
    /// Its length, before it was cut.
    pub(crate) bytes: usize,
    pub(crate) is_cut: bool,
    pub(crate) encoding: &'static str,
    pub(crate) shown: Shown,
}

/// How an input is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    Text(String),
    Hex(String),
    /// Not at all, for numbers could not be found in it; says why.
    Not(&'static str),
}

impl Shown {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Text(text) | Self::Hex(text) => text.len(),
            Self::Not(_) => 0,
        }
    }
}

/// The first `bytes_max` bytes of a body.
pub(crate) fn input(body: &[u8], format: Format, bytes_max: usize) -> Input {
    // A number that the cut goes through is masked before it is cut.
    let seen = body
        .get(..bytes_max.saturating_add(mask::LENGTH_MAX))
        .unwrap_or(body);
    let encoding = match seen {
        seen if seen.is_ascii() => "ASCII",
        seen if is_utf8(seen) => "UTF-8",
        _ => "another",
    };
    let shown = match hidden(seen, format) {
        Some(reason) => Shown::Not(reason),
        None if is_text(seen) => Shown::Text(text(seen, Digits::of(format), bytes_max)),
        None => Shown::Hex(hex(seen, bytes_max)),
    };
    Input {
        bytes: body.len(),
        is_cut: body.len() > bytes_max,
        encoding,
        shown,
    }
}

/// Why numbers could not be found.
fn hidden(seen: &[u8], format: Format) -> Option<&'static str> {
    let has = |what: &[u8]| seen.windows(what.len()).any(|window| window == what);
    match format {
        Format::Protobuf | Format::Avro => {
            return Some("it holds numbers in binary, which are not masked");
        }
        Format::Copybook | Format::Iso8583 => {}
        _ if seen.contains(&0) => return Some("it is UTF-16 or binary, which is not masked"),
        _ => {}
    }
    if has_escapes(seen) {
        return Some("it writes characters of ASCII as escapes, which are not masked");
    }
    has(b"data_base64").then_some("it holds base64, which is not masked")
}

/// Whether a printable character of ASCII is written as JSON's `\u0034` or XML's `&#52;`: it may be one of a number.
fn has_escapes(seen: &[u8]) -> bool {
    let starts = (0..seen.len()).filter_map(|at| seen.get(at..));
    let mut escaped = starts.filter_map(|rest| match rest {
        [b'\\', b'u', b'0', b'0', half, ..] => Some(matches!(half, b'2'..=b'7')),
        [b'&', b'#', b'x' | b'X', digits @ ..] => Some(is_ascii(digits, 16)),
        [b'&', b'#', digits @ ..] => Some(is_ascii(digits, 10)),
        _ => None,
    });
    escaped.any(|is_escaped| is_escaped)
}

fn is_ascii(digits: &[u8], radix: u32) -> bool {
    let values = digits
        .iter()
        .map_while(|digit| char::from(*digit).to_digit(radix));
    let value = values.fold(0_u32, |sum, digit| {
        sum.saturating_mul(radix).saturating_add(digit)
    });
    (1..0x80).contains(&value)
}

/// UTF-8, the last character perhaps cut.
fn is_utf8(seen: &[u8]) -> bool {
    match std::str::from_utf8(seen) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    }
}

/// UTF-8 or a code page that contains ASCII, and few controls.
fn is_text(seen: &[u8]) -> bool {
    let is_utf8 = is_utf8(seen);
    let is_odd = |byte: &&u8| match **byte {
        b'\t' | b'\n' | b'\r' => false,
        0x80.. => !is_utf8,
        byte => byte.is_ascii_control(),
    };
    seen.iter().filter(is_odd).count() * 1_000 <= seen.len() * ODD_MAX
}

fn text(seen: &[u8], digits: Digits, bytes_max: usize) -> String {
    let mut bytes = seen.to_vec();
    mask::mask(&mut bytes, &ASCII, digits);
    let mut end = bytes_max.min(bytes.len());
    // Not within a character.
    while end > 0 && is_utf8(seen) && bytes.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end -= 1;
    }
    bytes.truncate(end);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Masked as ASCII, as EBCDIC and as packed digits; masked halves of bytes are stars.
fn hex(seen: &[u8], bytes_max: usize) -> String {
    let is_masked = |alphabet| {
        let mut bytes = seen.to_vec();
        mask::mask(&mut bytes, alphabet, Digits::Adjoin);
        bytes
    };
    let (ascii, ebcdic) = (is_masked(&ASCII), is_masked(&EBCDIC));
    let halves = seen.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    let mut packed: Vec<u8> = halves.collect();
    mask::mask(&mut packed, &DIGITS, Digits::Adjoin);
    let mut text = String::with_capacity(2 * bytes_max.min(seen.len()));
    for (index, byte) in seen.iter().take(bytes_max).enumerate() {
        if index > 0 && index % LINE_BYTES == 0 {
            text.push('\n');
        }
        let is_masked = ascii.get(index) != Some(byte) || ebcdic.get(index) != Some(byte);
        for half in [2 * index, 2 * index + 1] {
            match packed.get(half) {
                // Writing to a string cannot fail.
                Some(half) if *half <= 0xf && !is_masked => drop(write!(text, "{half:x}")),
                _ => text.push('*'),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAN: &str = "4111111111111111";

    #[test]
    fn a_cut_does_not_show_a_part_of_a_number() {
        let body = format!(
            "{{\"a\":\"x\",\"pan\":\"{PAN}\",\"b\":\"{}\"}}",
            "y".repeat(100)
        );
        let whole = input(body.as_bytes(), Format::Json, 1_000);
        assert_eq!(
            whole.shown,
            Shown::Text(body.replace(PAN, "411111******1111"))
        );
        assert!(!whole.is_cut);
        for cut in 0..body.len() {
            let Input {
                shown: Shown::Text(text),
                is_cut,
                ..
            } = input(body.as_bytes(), Format::Json, cut)
            else {
                panic!("a text");
            };
            assert!(
                is_cut && body.replace(PAN, "411111******1111").starts_with(&text),
                "{text}"
            );
            assert_eq!(text.len(), cut);
        }
    }

    #[test]
    fn characters_are_not_cut_through() {
        let shown = input("žžž".as_bytes(), Format::Csv, 3).shown;
        assert_eq!(shown, Shown::Text("ž".to_owned()));
        let latin = input(
            b"name;Jo\xe3o;12.50;and more of it so that it is text",
            Format::Csv,
            9,
        );
        assert_eq!(latin.shown, Shown::Text("name;Jo\u{fffd}o".to_owned()));
    }

    #[test]
    fn binary_is_shown_in_hexadecimal_digits_with_its_numbers_masked() {
        let packed = [
            0x00, 0x41, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0xff, 0xfe,
        ];
        let Shown::Hex(shown) = input(&packed, Format::Copybook, 100).shown else {
            panic!("hexadecimal digits");
        };
        assert_eq!(shown.len(), 22);
        assert!(!shown.contains("111111111"), "{shown}");
        let ebcdic: Vec<u8> = PAN.bytes().map(|digit| digit - b'0' + 0xf0).collect();
        assert_eq!(
            input(&ebcdic, Format::Copybook, 100).shown,
            Shown::Hex("f4f1f1f1f1f1************f1f1f1f1".to_owned())
        );
    }

    #[test]
    fn what_cannot_be_masked_is_left_out() {
        for (body, format) in [
            (&b"{\"a\":\"\\u0034\"}"[..], Format::Json),
            (b"<a>&#52;</a>", Format::Xml),
            (b"<a>&#x0034;</a>", Format::Xml),
            (b"\0<\0a\0>", Format::Xml),
            (b"[{\"data_base64\":\"NDEx\"}]", Format::Json),
            (b"text", Format::Protobuf),
            (b"text", Format::Avro),
        ] {
            let shown = input(body, format, 100).shown;
            assert!(matches!(shown, Shown::Not(_)), "{shown:?}");
        }
        for (body, format) in [
            (&b"{\"a\":\"Jos\\u00e9 \\u017e\"}"[..], Format::Json),
            (b"<a>Jos&#233; &#x17e; & # x</a>", Format::Xml),
        ] {
            let shown = input(body, format, 100).shown;
            assert!(matches!(shown, Shown::Text(_)), "{shown:?}");
        }
    }
}
