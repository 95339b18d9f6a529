//! Simple types: built-in ones and their facets.
//!
//! Source: XML Schema 1.0 part 2. Numbers are compared digit by digit (`crate::number`), never as floats.

use std::cmp::Ordering;

use regex::Regex;

use crate::number::Number;

/// What a value is built in as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BuiltIn {
    /// Any text.
    Text,
    Boolean,
    Decimal,
    /// A whole number, with the least and the most that its name stands for.
    Integer(Option<&'static str>, Option<&'static str>),
    Date,
    DateTime,
    Time,
    GYear,
    GYearMonth,
    GMonthDay,
    Base64,
    Hex,
}

/// What happens to white space before a value is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    Preserve,
    Replace,
    Collapse,
}

/// A simple type with everything that it inherits.
#[derive(Debug, Clone)]
pub(crate) struct SimpleType {
    pub(crate) built_in: BuiltIn,
    pub(crate) space: Space,
    /// One of each group must fit: the groups are those of the types it is derived from.
    pub(crate) patterns: Vec<Vec<(Box<str>, Regex)>>,
    pub(crate) enumeration: Option<Vec<Box<str>>>,
    pub(crate) min_length: Option<usize>,
    pub(crate) max_length: Option<usize>,
    pub(crate) total_digits: Option<usize>,
    pub(crate) fraction_digits: Option<usize>,
    /// Smallest and largest number, and whether it may be that number itself.
    pub(crate) min: Option<(Box<str>, bool)>,
    pub(crate) max: Option<(Box<str>, bool)>,
}

impl SimpleType {
    pub(crate) fn new(built_in: BuiltIn, space: Space) -> Self {
        Self {
            built_in,
            space,
            patterns: Vec::new(),
            enumeration: None,
            min_length: None,
            max_length: None,
            total_digits: None,
            fraction_digits: None,
            min: None,
            max: None,
        }
    }

    /// A built-in type of XML Schema that is in the subset.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let whole = BuiltIn::Integer;
        let (built_in, space) = match name {
            "string" => (BuiltIn::Text, Space::Preserve),
            "normalizedString" => (BuiltIn::Text, Space::Replace),
            "token" | "anyURI" => (BuiltIn::Text, Space::Collapse),
            "boolean" => (BuiltIn::Boolean, Space::Collapse),
            "decimal" => (BuiltIn::Decimal, Space::Collapse),
            "integer" => (whole(None, None), Space::Collapse),
            "nonNegativeInteger" => (whole(Some("0"), None), Space::Collapse),
            "positiveInteger" => (whole(Some("1"), None), Space::Collapse),
            "long" => (
                whole(Some("-9223372036854775808"), Some("9223372036854775807")),
                Space::Collapse,
            ),
            "int" => (
                whole(Some("-2147483648"), Some("2147483647")),
                Space::Collapse,
            ),
            "short" => (whole(Some("-32768"), Some("32767")), Space::Collapse),
            "unsignedInt" => (whole(Some("0"), Some("4294967295")), Space::Collapse),
            "date" => (BuiltIn::Date, Space::Collapse),
            "dateTime" => (BuiltIn::DateTime, Space::Collapse),
            "time" => (BuiltIn::Time, Space::Collapse),
            "gYear" => (BuiltIn::GYear, Space::Collapse),
            "gYearMonth" => (BuiltIn::GYearMonth, Space::Collapse),
            "gMonthDay" => (BuiltIn::GMonthDay, Space::Collapse),
            "base64Binary" => (BuiltIn::Base64, Space::Collapse),
            "hexBinary" => (BuiltIn::Hex, Space::Collapse),
            _ => return None,
        };
        Some(Self::new(built_in, space))
    }

    /// Whether numbers of the type can be compared.
    pub(crate) fn is_number(&self) -> bool {
        matches!(self.built_in, BuiltIn::Decimal | BuiltIn::Integer(..))
    }

    /// Whether a text is a value of the type; the error says what it must be. `scratch` is a buffer.
    pub(crate) fn check(&self, raw: &str, scratch: &mut String) -> Result<(), String> {
        let text = spaced(raw, self.space, scratch);
        self.lexical(text)?;
        for group in &self.patterns {
            if !group.iter().any(|(_, pattern)| pattern.is_match(text)) {
                let shown: Vec<&str> = group.iter().map(|(shown, _)| &**shown).collect();
                return Err(format!("must fit the pattern {}", shown.join(" or ")));
            }
        }
        if let Some(known) = &self.enumeration
            && !known.iter().any(|known| **known == *text)
        {
            const SHOWN_MAX: usize = 12;
            let shown: Vec<&str> = known.iter().take(SHOWN_MAX).map(|one| &**one).collect();
            let more = if known.len() > SHOWN_MAX { ", …" } else { "" };
            return Err(format!("must be one of {}{more}", shown.join(", ")));
        }
        self.lengths(text)?;
        if self.is_number() {
            self.number(text)?;
        }
        Ok(())
    }

    fn lexical(&self, text: &str) -> Result<(), String> {
        let is_one = match self.built_in {
            BuiltIn::Text => true,
            BuiltIn::Boolean => matches!(text, "true" | "false" | "1" | "0"),
            BuiltIn::Decimal => Number::decimal(text).is_some(),
            BuiltIn::Integer(..) => !text.contains('.') && Number::decimal(text).is_some(),
            BuiltIn::Date => zoned(text, 10).is_some_and(date),
            BuiltIn::DateTime => is_xsd_date_time(text),
            BuiltIn::Time => zoned(text, 8).is_some_and(time),
            BuiltIn::GYear => zoned(text, 4).is_some_and(year),
            BuiltIn::GYearMonth => zoned(text, 7).is_some_and(|text| {
                text.rsplit_once('-')
                    .is_some_and(|(of, month)| year(of) && two(month, 1, 12).is_some())
            }),
            BuiltIn::GMonthDay => zoned(text, 7).is_some_and(|text| {
                text.strip_prefix("--")
                    .is_some_and(|rest| date(&format!("2000-{rest}")))
            }),
            BuiltIn::Base64 => base64_bytes(text).is_some(),
            BuiltIn::Hex => {
                text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
            }
        };
        if is_one {
            return Ok(());
        }
        Err(match self.built_in {
            BuiltIn::Text => "must be a text",
            BuiltIn::Boolean => "must be true, false, 1 or 0",
            BuiltIn::Decimal => "must be a decimal number such as 12.50",
            BuiltIn::Integer(..) => "must be a whole number",
            BuiltIn::Date => "must be a date such as 2026-11-23",
            BuiltIn::DateTime => "must be a date and time such as 2026-11-23T10:15:00",
            BuiltIn::Time => "must be a time such as 10:15:00",
            BuiltIn::GYear => "must be a year such as 2026",
            BuiltIn::GYearMonth => "must be a month such as 2026-11",
            BuiltIn::GMonthDay => "must be a day such as --11-23",
            BuiltIn::Base64 => "must be base64",
            BuiltIn::Hex => "must be pairs of hexadecimal digits",
        }
        .to_owned())
    }

    fn lengths(&self, text: &str) -> Result<(), String> {
        if self.min_length.is_none() && self.max_length.is_none() {
            return Ok(());
        }
        let length = match self.built_in {
            BuiltIn::Base64 => base64_bytes(text).unwrap_or(0),
            BuiltIn::Hex => text.len() / 2,
            _ => text.chars().count(),
        };
        if let Some(min) = self.min_length.filter(|min| length < *min) {
            return Err(format!("must have at least {min} characters, not {length}"));
        }
        if let Some(max) = self.max_length.filter(|max| length > *max) {
            return Err(format!("must have at most {max} characters, not {length}"));
        }
        Ok(())
    }

    fn number(&self, text: &str) -> Result<(), String> {
        let Some(number) = Number::decimal(text) else {
            return Ok(());
        };
        let is_more =
            |digits: i64, max: usize| usize::try_from(digits).is_ok_and(|digits| digits > max);
        let digits = (number.whole_digits() + number.decimals()).max(1);
        if let Some(max) = self.total_digits.filter(|max| is_more(digits, *max)) {
            return Err(format!("must have at most {max} digits, not {digits}"));
        }
        let digits = number.decimals();
        if let Some(max) = self.fraction_digits.filter(|max| is_more(digits, *max)) {
            return Err(format!(
                "must have at most {max} digits behind the point, not {digits}"
            ));
        }
        let (own_min, own_max) = match self.built_in {
            BuiltIn::Integer(min, max) => (min, max),
            _ => (None, None),
        };
        let own = |limit: Option<&'static str>| limit.map(|limit| (limit, true));
        for limit in [own(own_min), given(&self.min)] {
            within(number, limit, Ordering::Less, ["at least", "more than"])?;
        }
        for limit in [own(own_max), given(&self.max)] {
            within(number, limit, Ordering::Greater, ["at most", "less than"])?;
        }
        Ok(())
    }
}

fn given(limit: &Option<(Box<str>, bool)>) -> Option<(&str, bool)> {
    limit
        .as_ref()
        .map(|(text, inclusive)| (&**text, *inclusive))
}

/// Whether a number is on the right side of a limit, or is it where it may be.
fn within(
    number: Number<'_>,
    limit: Option<(&str, bool)>,
    wrong: Ordering,
    words: [&str; 2],
) -> Result<(), String> {
    let Some((limit, inclusive)) = limit else {
        return Ok(());
    };
    let order = Number::decimal(limit).map(|limit| number.cmp(&limit));
    if order == Some(wrong) || order == Some(Ordering::Equal) && !inclusive {
        let word = if inclusive { words[0] } else { words[1] };
        return Err(format!("must be {word} {limit}"));
    }
    Ok(())
}

/// A text with its white space as the type wants it.
fn spaced<'t>(raw: &'t str, space: Space, scratch: &'t mut String) -> &'t str {
    let is_space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r');
    match space {
        Space::Preserve => raw,
        Space::Replace => {
            if !raw.contains(['\t', '\n', '\r']) {
                return raw;
            }
            scratch.clear();
            scratch.extend(raw.chars().map(|c| if is_space(c) { ' ' } else { c }));
            scratch
        }
        Space::Collapse => {
            let trimmed = raw.trim_matches(is_space);
            if !trimmed.contains(is_space) {
                return trimmed;
            }
            scratch.clear();
            for word in trimmed.split(is_space).filter(|word| !word.is_empty()) {
                if !scratch.is_empty() {
                    scratch.push(' ');
                }
                scratch.push_str(word);
            }
            scratch
        }
    }
}

/// Whether a text is an `xs:dateTime` (XML Schema part 2, 3.2.7), without white space around it.
pub fn is_xsd_date_time(text: &str) -> bool {
    let parts = text.split_once('T');
    parts.is_some_and(|(day, rest)| date(day) && zoned(rest, 8).is_some_and(time))
}

/// The text in front of a time zone, which must be one; `shortest` characters at least.
fn zoned(text: &str, shortest: usize) -> Option<&str> {
    if let Some(rest) = text.strip_suffix('Z') {
        return Some(rest);
    }
    let Some(at) = text.len().checked_sub(6).filter(|at| *at >= shortest) else {
        return Some(text);
    };
    let (rest, zone) = (text.get(..at)?, text.get(at..)?);
    let Some(zone) = zone
        .strip_prefix(['+', '-'])
        .filter(|zone| zone.contains(':'))
    else {
        return Some(text);
    };
    let (hours, minutes) = zone.split_once(':')?;
    let (hours, minutes) = (two(hours, 0, 14)?, two(minutes, 0, 59)?);
    (hours < 14 || minutes == 0).then_some(rest)
}

fn two(text: &str, min: u32, max: u32) -> Option<u32> {
    let is_two = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_two)?;
    (min..=max).contains(&number).then_some(number)
}

fn year(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.len() >= 4
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits.len() == 4 || !digits.starts_with('0'))
        && digits.bytes().any(|byte| byte != b'0')
}

fn date(text: &str) -> bool {
    let mut parts = text.rsplitn(3, '-');
    let (Some(day), Some(month), Some(of)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let (Some(month), true) = (two(month, 1, 12), year(of)) else {
        return false;
    };
    // The last digits of a year say whether it is a leap year.
    let end = of.get(of.len().saturating_sub(4)..).unwrap_or_default();
    let number: u32 = end.parse().unwrap_or(0);
    let is_leap =
        number.is_multiple_of(4) && !number.is_multiple_of(100) || number.is_multiple_of(400);
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    two(day, 1, days).is_some()
}

fn time(text: &str) -> bool {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let is_fraction =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !fraction.is_none_or(is_fraction) {
        return false;
    }
    let mut parts = whole.split(':');
    let mut part = |max| parts.next().and_then(|text| two(text, 0, max));
    let (hour, minute, second) = (part(24), part(59), part(59));
    let (Some(hour), Some(minute), Some(second), None) = (hour, minute, second, parts.next())
    else {
        return false;
    };
    let is_zero = fraction.is_none_or(|text| text.bytes().all(|byte| byte == b'0'));
    hour < 24 || minute + second == 0 && is_zero
}

/// Number of bytes that a text in base64 has; single spaces may stand anywhere in it.
fn base64_bytes(text: &str) -> Option<usize> {
    let (mut digits, mut padding) = (0_usize, 0_usize);
    for byte in text.bytes() {
        match byte {
            b' ' => {}
            b'=' => padding += 1,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if padding == 0 => digits += 1,
            _ => return None,
        }
    }
    let whole = (digits + padding).is_multiple_of(4) && padding <= 2;
    whole.then_some(digits * 3 / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, good: &[&str], bad: &[&str]) {
        let kind = SimpleType::named(name).expect("a type");
        let fits = |text: &str| kind.check(text, &mut String::new()).is_ok();
        for text in good {
            assert!(fits(text), "{name} {text:?}");
        }
        for text in bad {
            assert!(!fits(text), "{name} {text:?}");
        }
    }

    #[test]
    fn built_in_types() {
        check("boolean", &["true", " 0 "], &["", "TRUE", "2"]);
        check(
            "decimal",
            &["1", "-1.", ".5", "+00.10", " 1\n"],
            &["", ".", "1e3", "1,0", "- 1", "--1", "١"],
        );
        check(
            "int",
            &["2147483647", "-2147483648"],
            &["2147483648", "1.0"],
        );
        check("positiveInteger", &["1", "+1"], &["0", "-1"]);
        check(
            "date",
            &[
                "2024-02-29",
                "2026-11-23Z",
                "2026-11-23+14:00",
                "12026-01-01",
                "-0001-01-01",
            ],
            &[
                "2026-02-29",
                "0000-01-01",
                "2026-1-01",
                "2026-11-23+14:01",
                "26-01-01",
                "02026-01-01",
                "2026-11-31",
            ],
        );
        check(
            "dateTime",
            &[
                "2026-11-23T10:15:00",
                "2026-11-23T24:00:00.0Z",
                "2026-11-23T10:15:00.123-05:30",
            ],
            &[
                "2026-11-23",
                "2026-11-23T24:00:01",
                "2026-11-23T10:15",
                "2026-11-23T10:15:60",
                "2026-11-23 10:15:00",
                "2026-11-23T10:15:00.",
            ],
        );
        check("time", &["23:59:59.9Z"], &["23:59", "25:00:00"]);
        check("gYearMonth", &["2026-11", "2026-11Z"], &["2026-13", "2026"]);
        check("gYear", &["2026", "2026+01:00"], &["202", "20x6"]);
        check("gMonthDay", &["--02-29"], &["--02-30", "02-01"]);
        check(
            "base64Binary",
            &["", "Zg==", "Zm9v YmFy"],
            &["Z", "Zg=", "=Zg=", "Z-=="],
        );
        check("hexBinary", &["", "0aFF"], &["0", "0g"]);
    }
}
