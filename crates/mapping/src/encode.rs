//! Writing canonical JSON straight into a byte buffer.

use types::{Amount, SCALE_DIGITS, SCALE_FACTOR};

/// What a byte needs inside a JSON string: 0 nothing, 1 `\u00xx`, else the letter behind `\`.
const ESCAPE: [u8; 256] = {
    let mut table = [0_u8; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = 1;
        byte += 1;
    }
    table[b'\n' as usize] = b'n';
    table[b'\r' as usize] = b'r';
    table[b'\t' as usize] = b't';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[0x7f] = 1;
    table
};

/// Writes the inside of a JSON string; returns whether anything had to be escaped.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut written = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        let escape = ESCAPE[usize::from(byte)];
        if escape == 0 {
            continue;
        }
        out.extend_from_slice(&bytes[written..index]);
        written = index + 1;
        if escape == 1 {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        } else {
            out.extend_from_slice(&[b'\\', escape]);
        }
    }
    out.extend_from_slice(&bytes[written..]);
    written != 0
}

/// Writes an amount without trailing zeros but with at least `digits_min` digits behind the point.
///
/// The same text as [`Amount::display`], without the formatting machinery; a test compares them.
pub(crate) fn write_amount(out: &mut Vec<u8>, amount: Amount, digits_min: u32) {
    if amount.is_negative() {
        out.push(b'-');
    }
    let magnitude = amount.units().unsigned_abs();
    let scale = SCALE_FACTOR.unsigned_abs();
    let mut buffer = [0_u8; 40];
    let mut start = buffer.len();
    // Nearly every amount fits 64 bits, whose division is many times faster than that of 128.
    let (major, minor) = match u64::try_from(magnitude) {
        Ok(small) => (u128::from(small / scale as u64), small % scale as u64),
        Err(_) => (magnitude / scale, (magnitude % scale) as u64),
    };
    if let Ok(mut small) = u64::try_from(major) {
        loop {
            start -= 1;
            buffer[start] = b'0' + (small % 10) as u8;
            small /= 10;
            if small == 0 {
                break;
            }
        }
    } else {
        let mut large = major;
        while large > 0 {
            start -= 1;
            buffer[start] = b'0' + (large % 10) as u8;
            large /= 10;
        }
    }
    out.extend_from_slice(&buffer[start..]);
    let mut fraction = [b'0'; SCALE_DIGITS as usize];
    let mut rest = minor;
    let mut shown = digits_min.min(SCALE_DIGITS) as usize;
    for (index, place) in fraction.iter_mut().enumerate().rev() {
        *place = b'0' + (rest % 10) as u8;
        if *place != b'0' {
            shown = shown.max(index + 1);
        }
        rest /= 10;
    }
    if shown > 0 {
        out.push(b'.');
        out.extend_from_slice(&fraction[..shown]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn string(text: &str) -> String {
        let mut out = Vec::new();
        write_string(&mut out, text);
        String::from_utf8(out).expect("still UTF-8")
    }

    #[test]
    fn strings_are_escaped_where_they_must_be() {
        assert_eq!(string("plain ß €"), "plain ß €");
        assert_eq!(
            string("a\"b\\c\nd\u{1}\u{7f}"),
            "a\\\"b\\\\c\\nd\\u0001\\u007f"
        );
        assert!(!write_string(&mut Vec::new(), "plain"));
        assert!(write_string(&mut Vec::new(), "\"plain"));
    }

    proptest! {
        #[test]
        fn every_string_is_read_back(text: String) {
            let json = format!("\"{}\"", string(&text));
            prop_assert_eq!(serde_json::from_str::<String>(&json).expect("JSON"), text);
        }

        #[test]
        fn amounts_are_written_as_types_shows_them(
            units in -Amount::TRANSACTION_UNITS_MAX..=Amount::TRANSACTION_UNITS_MAX,
            small in -10_000_000_000_i128..10_000_000_000,
            digits in 0_u32..7,
        ) {
            for units in [units, small, small * 100_000] {
                let amount = Amount::from_units(units).expect("in range");
                let mut out = Vec::new();
                write_amount(&mut out, amount, digits);
                prop_assert_eq!(String::from_utf8(out).expect("ASCII"), amount.display(digits).to_string());
            }
        }
    }
}
