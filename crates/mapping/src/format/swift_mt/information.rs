//! Field 86, what the bank says about a transaction: free text, or one of three forms that banks use.
//!
//! ```text
//! 166?00GUTSCHRIFT?20EREF+4711?21SVWZ+Rechnung 17?32Beispiel GmbH    code and subfields
//! /EREF/4711//REMI/Rechnung 17/                                      words between slashes
//! ```
//!
//! Lines are wrapped anywhere, so they are put together before the text is cut.

use super::parts::Sink;
use crate::refusal::Refusal;

/// Words of the German banks' form inside of the purpose, with a `+` behind them.
const WORDS: &[&str] = &[
    "EREF", "KREF", "MREF", "CRED", "DEBT", "SVWZ", "ABWA", "ABWE", "IBAN", "COAM", "OAMT", "RREF",
    "BIC",
];

/// Cuts a field 86: `code`, subfields such as `20`, `purpose` (20 to 29 and 60 to 63 put together),
/// `name` (32 and 33), and the words of both forms such as `EREF`.
pub(super) fn cut(sink: &mut Sink<'_, '_, '_>, text: &str) -> Result<(), Refusal> {
    let joined: String = text.lines().collect();
    if joined.starts_with('/') {
        return slash_words(sink, &joined);
    }
    let code = joined.bytes().take_while(u8::is_ascii_digit).count();
    if code != 3 && code != 0 {
        return Ok(());
    }
    let Some(separator) = joined[code..].chars().next() else {
        return sink.put("code", &joined);
    };
    if separator.is_alphanumeric() || separator == ' ' {
        return if code == 3 && separator == ' ' {
            sink.put("code", &joined[..3])
        } else {
            Ok(())
        };
    }
    sink.put("code", &joined[..code])?;
    subfields(sink, &joined[code..], separator)
}

fn subfields(sink: &mut Sink<'_, '_, '_>, text: &str, separator: char) -> Result<(), Refusal> {
    let mut purpose = String::new();
    let mut name = String::new();
    let mut rest = text;
    while let Some((number, value, after)) = subfield(rest, separator) {
        sink.put(number, value.trim())?;
        match number.as_bytes() {
            [b'2', _] | [b'6', b'0'..=b'3'] => purpose.push_str(value),
            b"32" | b"33" => name.push_str(value),
            _ => {}
        }
        rest = after;
    }
    sink.put("purpose", purpose.trim())?;
    sink.put("name", name.trim())?;
    plus_words(sink, &purpose)
}

/// The subfield that a text begins with: its number, its value, and what follows.
fn subfield(text: &str, separator: char) -> Option<(&str, &str, &str)> {
    let rest = text.strip_prefix(separator)?;
    let number = rest.get(..2).filter(|number| is_number(number))?;
    let value = &rest[2..];
    let end = value
        .match_indices(separator)
        .map(|(at, _)| at)
        .find(|at| {
            let after = &value[at + separator.len_utf8()..];
            after.get(..2).is_some_and(is_number)
        })
        .unwrap_or(value.len());
    Some((number, &value[..end], &value[end..]))
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `EREF+4711SVWZ+Rechnung`: each value ends where the next word begins.
fn plus_words(sink: &mut Sink<'_, '_, '_>, purpose: &str) -> Result<(), Refusal> {
    let mut open: Option<(&str, usize)> = None;
    for (plus, _) in purpose.match_indices('+') {
        let Some(word) = WORDS.iter().find(|word| purpose[..plus].ends_with(**word)) else {
            continue;
        };
        if let Some((word_before, start)) = open {
            let end = (plus - word.len()).max(start);
            sink.put(word_before, purpose[start..end].trim())?;
        }
        open = Some((word, plus + 1));
    }
    match open {
        Some((word, start)) => sink.put(word, purpose[start..].trim()),
        None => Ok(()),
    }
}

/// `/EREF/4711//REMI/…`: a word is two to five capitals and digits between slashes.
fn slash_words(sink: &mut Sink<'_, '_, '_>, text: &str) -> Result<(), Refusal> {
    let mut open: Option<(&str, usize)> = None;
    let mut at = 0;
    while let Some(length) = text[at..].find('/') {
        let slash = at + length;
        at = slash + 1;
        let Some(word) = word_at(&text[at..]) else {
            continue;
        };
        if let Some((word_before, start)) = open {
            sink.put(word_before, text[start..slash].trim_end_matches('/').trim())?;
        }
        // What follows directly is the value, even if it looks like a word.
        at += word.len() + 1;
        open = Some((word, at));
    }
    match open {
        Some((word, start)) => sink.put(word, text[start..].trim_end_matches('/').trim()),
        None => Ok(()),
    }
}

fn word_at(text: &str) -> Option<&str> {
    let end = text.find('/')?;
    let word = &text[..end];
    let is_word = (2..=5).contains(&end)
        && word.starts_with(|letter: char| letter.is_ascii_uppercase())
        && word
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    is_word.then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subfields_end_where_the_next_begins() {
        let text = "?00A?B?20x?2?3012";
        let mut all = Vec::new();
        let mut rest = text;
        while let Some((number, value, after)) = subfield(rest, '?') {
            all.push((number, value));
            rest = after;
        }
        assert_eq!(all, [("00", "A?B"), ("20", "x?2"), ("30", "12")]);
        assert_eq!(word_at("EREF/x"), Some("EREF"));
        assert_eq!(word_at("eref/x"), None);
        assert_eq!(word_at("EREFXX/"), None);
    }
}
