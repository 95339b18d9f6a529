//! What OFX writes in its texts: times, amounts, entities.

use crate::format::xml::predefined;

/// Dates and amounts as everybody writes them; `None` where the text is that already.
pub(super) fn made_of(name: &str, text: &str) -> Option<String> {
    let bytes = name.as_bytes();
    if bytes.len() > 2 && bytes[..2].eq_ignore_ascii_case(b"DT") {
        return iso_time(text);
    }
    if bytes.len() < 3 || !bytes[bytes.len() - 3..].eq_ignore_ascii_case(b"AMT") {
        return None;
    }
    let comma = text.find(',')?;
    let is_decimal =
        !text.contains('.') && text.len() - comma != 4 && text.rfind(',') == Some(comma);
    is_decimal.then(|| text.replace(',', "."))
}

/// `YYYYMMDD[hhmmss[.xxx]][[±h[.f][:zone]]]` as ISO 8601; `None` if it is no such time.
fn iso_time(text: &str) -> Option<String> {
    let (local, zone) = match text.split_once('[') {
        Some((local, zone)) => (local.trim_end(), Some(zone.strip_suffix(']')?)),
        None => (text, None),
    };
    let (digits, fraction) = local.split_once('.').unwrap_or((local, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(digits) || !is_digits(fraction) {
        return None;
    }
    let part = |from: usize, to: usize| digits.get(from..to);
    let mut iso = format!("{}-{}-{}", part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let seconds = match digits.len() {
        8 => return Some(iso),
        12 => "00",
        14 => part(12, 14)?,
        _ => return None,
    };
    iso.push_str(&format!("T{}:{}:{seconds}", part(8, 10)?, part(10, 12)?));
    if !fraction.is_empty() {
        iso.push('.');
        iso.push_str(fraction);
    }
    if let Some(zone) = zone {
        iso.push_str(&iso_offset(zone)?);
    }
    Some(iso)
}

/// `-5:EST`, `+5.5`, `0:GMT` as `-05:00`, `+05:30`, `+00:00`. A fraction is of an hour, or minutes if
/// it has two digits that cannot be one (`-3.30`).
fn iso_offset(zone: &str) -> Option<String> {
    let number = zone.split(':').next()?.trim();
    let (sign, number) = match number.strip_prefix('-') {
        Some(number) => ('-', number),
        None => ('+', number.strip_prefix('+').unwrap_or(number)),
    };
    let (hours, fraction) = number.split_once('.').unwrap_or((number, ""));
    let hours: u32 = hours.parse().ok().filter(|hours| *hours <= 14)?;
    let minutes = match fraction {
        "" | "0" | "00" => 0,
        "5" | "50" | "30" => 30,
        "25" | "15" => 15,
        "75" | "45" => 45,
        _ => return None,
    };
    Some(format!("{sign}{hours:02}:{minutes:02}"))
}

/// Appends a text with its entities resolved and its line ends normalised.
pub(super) fn unescape(text: &str, into: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find(['&', '\r']) {
        into.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix('\r') {
            into.push('\n');
            rest = after.strip_prefix('\n').unwrap_or(after);
            continue;
        }
        match entity(rest) {
            Some((character, after)) => {
                into.push(character);
                rest = after;
            }
            None => {
                into.push('&');
                rest = &rest[1..];
            }
        }
    }
    into.push_str(rest);
}

/// The entity that a text begins with, and what follows it.
fn entity(text: &str) -> Option<(char, &str)> {
    const NAME_BYTES_MAX: usize = 10;
    let end = text
        .bytes()
        .take(NAME_BYTES_MAX)
        .position(|byte| byte == b';')?;
    let name = &text[1..end];
    let character = match name.strip_prefix('#') {
        None if name == "nbsp" => ' ',
        None => predefined(name)?,
        Some(number) => {
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    };
    Some((character, &text[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_become_iso() {
        for (text, expected) in [
            ("20090401", Some("2009-04-01")),
            ("20090401122017", Some("2009-04-01T12:20:17")),
            ("200904011220", Some("2009-04-01T12:20:00")),
            (
                "20090401122017.000[-5:EST]",
                Some("2009-04-01T12:20:17.000-05:00"),
            ),
            (
                "20090401122017[+5.5:IST]",
                Some("2009-04-01T12:20:17+05:30"),
            ),
            (
                "20090401122017[-3.30:NST]",
                Some("2009-04-01T12:20:17-03:30"),
            ),
            ("20090401122017 [0:GMT]", Some("2009-04-01T12:20:17+00:00")),
            ("20090401122017[15]", None),
            ("2009-04-01", None),
            ("200904", None),
            ("", None),
        ] {
            assert_eq!(iso_time(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn amounts_and_entities() {
        assert_eq!(made_of("TRNAMT", "-12,50").as_deref(), Some("-12.50"));
        assert_eq!(made_of("TRNAMT", "1,000"), None);
        assert_eq!(made_of("TRNAMT", "1,000.50"), None);
        assert_eq!(made_of("NAME", "1,5"), None);
        let mut text = String::new();
        unescape("a &amp; b&nbsp;&#65;&#x42; AT&T &unknown; &", &mut text);
        assert_eq!(text, "a & b AB AT&T &unknown; &");
    }
}
