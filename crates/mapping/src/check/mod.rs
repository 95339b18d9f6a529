//! Checks of a field's text: check digits of well-known numbers, patterns, lists, lengths.
//!
//! A refusal says what is wrong and what would be right, but never shows the whole number: it goes to
//! logs and answers that are not meant to hold account and card numbers.

mod numbers;

pub use numbers::{iban_length, luhn_sum};

use regex::Regex;
use types::currency_digits;

use crate::refusal::{Problem, rule, shown};

/// What a text must be.
#[derive(Debug)]
pub(crate) enum Check {
    /// An account number, ISO 13616.
    Iban,
    /// A bank's code, ISO 9362.
    Bic,
    /// A Croatian person's or company's number, ISO 7064 MOD 11,10.
    Oib,
    /// A card's number, ISO/IEC 7812: the Luhn formula.
    Luhn,
    /// A legal entity's code, ISO 17442.
    Lei,
    /// An alphabetic currency code, ISO 4217.
    Currency,
    /// A pattern fits the whole text. As written, and compiled with anchors.
    Pattern(Box<str>, Regex),
    /// One of some texts.
    In(Vec<Box<str>>),
    /// So many ASCII digits and nothing else.
    Digits { min: usize, max: usize },
    /// So many characters.
    Length { min: usize, max: usize },
}

impl Check {
    /// The names under which a mapping asks for the checks without arguments.
    pub(crate) const NAMES: [&'static str; 6] = ["iban", "bic", "oib", "luhn", "lei", "currency"];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "iban" => Self::Iban,
            "bic" => Self::Bic,
            "oib" => Self::Oib,
            "luhn" => Self::Luhn,
            "lei" => Self::Lei,
            "currency" => Self::Currency,
            _ => return None,
        })
    }

    /// Refuses a text that is not what it must be.
    pub(crate) fn test(&self, field: &str, text: &str) -> Result<(), Problem> {
        let (rule, result) = match self {
            Self::Iban => (rule::IBAN, numbers::iban(text)),
            Self::Bic => (rule::BIC, numbers::bic(text)),
            Self::Oib => (rule::OIB, numbers::oib(text)),
            Self::Luhn => (rule::LUHN, numbers::luhn(text)),
            Self::Lei => (rule::LEI, numbers::lei(text)),
            Self::Currency => (rule::CURRENCY, currency(text)),
            Self::Pattern(written, pattern) => (rule::PATTERN, fits(written, pattern, text)),
            Self::In(texts) => (rule::CHOICE, one_of(texts, text)),
            Self::Digits { min, max } => (rule::DIGITS, digits(*min, *max, text)),
            Self::Length { min, max } => (rule::LENGTH, length(*min, *max, text)),
        };
        result.map_err(|detail| Problem::new(field, rule, detail))
    }
}

fn currency(text: &str) -> Result<(), String> {
    match currency_digits(text) {
        Some(_) => Ok(()),
        None => Err(format!(
            "{} is no ISO 4217 currency code such as EUR",
            shown(text)
        )),
    }
}

fn fits(written: &str, pattern: &Regex, text: &str) -> Result<(), String> {
    if pattern.is_match(text) {
        return Ok(());
    }
    Err(format!(
        "{} does not fit the pattern {written} from its first to its last character",
        hint(text)
    ))
}

fn one_of(texts: &[Box<str>], text: &str) -> Result<(), String> {
    if texts.iter().any(|known| **known == *text) {
        return Ok(());
    }
    Err(format!("{} is none of {}", shown(text), texts.join(", ")))
}

fn digits(min: usize, max: usize, text: &str) -> Result<(), String> {
    if let Some((place, wrong)) = text
        .chars()
        .enumerate()
        .find(|(_, character)| !character.is_ascii_digit())
    {
        return Err(format!(
            "{} has {wrong:?} in place {}, only digits are allowed",
            hint(text),
            place + 1
        ));
    }
    in_range(min, max, text.len(), "digits", text)
}

fn length(min: usize, max: usize, text: &str) -> Result<(), String> {
    in_range(min, max, text.chars().count(), "characters", text)
}

fn in_range(min: usize, max: usize, count: usize, what: &str, text: &str) -> Result<(), String> {
    if (min..=max).contains(&count) {
        return Ok(());
    }
    let right = match (min, max) {
        _ if min == max => format!("{min} are"),
        (_, usize::MAX) => format!("at least {min} are"),
        (0, _) => format!("at most {max} are"),
        _ => format!("{min} to {max} are"),
    };
    Err(format!(
        "{} has {count} {what}, {right} expected",
        hint(text)
    ))
}

/// Enough of a number to find it again, and not the number.
pub(crate) fn hint(text: &str) -> String {
    const LONG_CHARS: usize = 12;
    const SHORT_CHARS: usize = 4;
    let count = text.chars().count();
    let front = if count > LONG_CHARS { 4 } else { 0 };
    let back = if count > SHORT_CHARS { 2 } else { 0 };
    let escaped = |part: &mut dyn Iterator<Item = char>| -> String {
        part.flat_map(char::escape_debug).collect()
    };
    let front = escaped(&mut text.chars().take(front));
    let back = escaped(&mut text.chars().skip(count - back));
    format!("\"{front}…{back}\"")
}
