//! The closed set of text functions a field can go through, in the order the mapping lists them.

use regex::Regex;

use crate::currency;
use crate::keys::HashKey;
use crate::refusal::{Problem, rule, shown};

/// One text function.
#[derive(Debug)]
pub(crate) enum Step {
    /// Without white space at both ends.
    Trim,
    /// In upper case.
    Upper,
    /// In lower case.
    Lower,
    /// BLAKE3 of the text, 32 hexadecimal digits: a pseudonym that stays the same.
    Hash,
    /// The same with a key: who does not have it cannot try which text it was.
    KeyedHash(HashKey),
    /// The first six and last four characters of a card's number, `*` for those between.
    Mask,
    /// The alphabetic code of a numeric ISO 4217 code: `978` is `EUR`. An alphabetic one stays.
    Currency,
    /// `length` characters from the `start`-th, from 0; fewer when the text is shorter.
    Substring { start: usize, length: usize },
    /// The text beside it in a table.
    Lookup {
        table: Vec<(Box<str>, Box<str>)>,
        otherwise: Option<Box<str>>,
    },
    /// A group of the first place where a pattern is found; nothing where it is not.
    Extract { pattern: Regex, group: usize },
    /// With another text in every place where a pattern is found.
    Replace { pattern: Regex, with: Box<str> },
}

/// Most bytes of a text after a replacement.
const REPLACED_BYTES_MAX: usize = 64 << 10;

impl Step {
    /// Its name in mappings.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Trim => "trim",
            Self::Upper => "upper",
            Self::Lower => "lower",
            Self::Hash | Self::KeyedHash(_) => "hash",
            Self::Mask => "mask",
            Self::Currency => "currency",
            Self::Substring { .. } => "substring",
            Self::Lookup { .. } => "lookup",
            Self::Extract { .. } => "extract",
            Self::Replace { .. } => "replace",
        }
    }

    /// Applies the function in place. `field` is for the message only.
    pub(crate) fn apply(&self, field: &str, text: &mut String) -> Result<(), Problem> {
        match self {
            Self::Trim => {
                let kept = text.trim();
                if kept.len() != text.len() {
                    *text = kept.to_owned();
                }
            }
            Self::Upper => *text = text.to_uppercase(),
            Self::Lower => *text = text.to_lowercase(),
            Self::Hash => *text = hash_text(text.as_bytes()),
            Self::KeyedHash(key) => *text = key.hash(text),
            Self::Mask => *text = masked(text),
            Self::Currency => {
                if text.bytes().all(|byte| byte.is_ascii_alphabetic()) {
                    return Ok(());
                }
                let Some(code) = currency::alphabetic(text) else {
                    let detail = format!("{} is no numeric ISO 4217 code such as 978", shown(text));
                    return Err(Problem::new(field, rule::CURRENCY, detail));
                };
                text.clear();
                text.push_str(code);
            }
            Self::Substring { start, length } => {
                *text = text.chars().skip(*start).take(*length).collect();
            }
            Self::Lookup { table, otherwise } => {
                let found = table.iter().find(|(from, _)| **from == **text);
                match found.map(|(_, to)| to).or(otherwise.as_ref()) {
                    Some(to) => {
                        text.clear();
                        text.push_str(to);
                    }
                    None => {
                        let known: Vec<&str> = table.iter().map(|(from, _)| &**from).collect();
                        let detail = format!(
                            "{} is not in the lookup table, which knows {}",
                            shown(text),
                            known.join(", ")
                        );
                        return Err(Problem::new(field, rule::LOOKUP, detail));
                    }
                }
            }
            Self::Extract { pattern, group } => {
                let found = pattern
                    .captures(text)
                    .and_then(|captures| captures.get(*group))
                    .map(|found| found.as_str().to_owned());
                *text = found.unwrap_or_default();
            }
            Self::Replace { pattern, with } => return replace(field, text, pattern, with),
        }
        Ok(())
    }
}

fn replace(field: &str, text: &mut String, pattern: &Regex, with: &str) -> Result<(), Problem> {
    let mut replaced = String::with_capacity(text.len());
    let mut end = 0;
    for captures in pattern.captures_iter(text) {
        let Some(found) = captures.get(0) else {
            continue;
        };
        replaced.push_str(&text[end..found.start()]);
        captures.expand(with, &mut replaced);
        end = found.end();
        if replaced.len() > REPLACED_BYTES_MAX {
            break;
        }
    }
    replaced.push_str(&text[end..]);
    if replaced.len() > REPLACED_BYTES_MAX {
        let detail =
            format!("the text would have more than {REPLACED_BYTES_MAX} bytes after a replacement");
        return Err(Problem::new(field, rule::FIELD_BYTES, detail));
    }
    *text = replaced;
    Ok(())
}

/// What PCI DSS lets people see of a card's number; of a text of up to ten characters the last four.
fn masked(text: &str) -> String {
    let count = text.chars().count();
    let front = if count > 10 { 6 } else { 0 };
    let back = count.saturating_sub(4).max(front);
    text.chars()
        .enumerate()
        .map(|(index, character)| {
            if (front..back).contains(&index) {
                '*'
            } else {
                character
            }
        })
        .collect()
}

/// BLAKE3 cut to 128 bits, in 32 hexadecimal digits.
pub(crate) fn hash_text(bytes: &[u8]) -> String {
    let mut hex = blake3::hash(bytes).to_hex();
    hex.truncate(32);
    hex.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(step: &Step, text: &str, expected: &str) {
        let mut actual = text.to_owned();
        let result = step.apply("field", &mut actual);
        let actual = result.map_or_else(|problem| problem.detail, |()| actual);
        assert_eq!(actual, expected);
    }

    #[test]
    fn functions_change_text() {
        check(&Step::Trim, " \t a b \n", "a b");
        check(&Step::Upper, "straße", "STRASSE");
        check(&Step::Lower, "ABC", "abc");
        check(&Step::Mask, "4111111111111111", "411111******1111");
        check(&Step::Mask, "12345678901", "123456*8901");
        check(&Step::Mask, "1234567890", "******7890");
        check(&Step::Mask, "123", "123");
        check(&Step::Currency, "978", "EUR");
        check(&Step::Currency, "EUR", "EUR");
        check(
            &Step::Currency,
            "999",
            "\"999\" is no numeric ISO 4217 code such as 978",
        );
        check(
            &Step::Substring {
                start: 1,
                length: 2,
            },
            "äöüß",
            "öü",
        );
        check(
            &Step::Substring {
                start: 9,
                length: 2,
            },
            "abc",
            "",
        );
        check(
            &Step::Hash,
            "4111111111111111",
            &hash_text(b"4111111111111111"),
        );
    }

    #[test]
    fn a_lookup_without_else_refuses_the_unknown() {
        let mut step = Step::Lookup {
            table: vec![("1".into(), "EUR".into()), ("2".into(), "USD".into())],
            otherwise: None,
        };
        check(&step, "2", "USD");
        check(
            &step,
            "3",
            "\"3\" is not in the lookup table, which knows 1, 2",
        );
        if let Step::Lookup { otherwise, .. } = &mut step {
            *otherwise = Some("CHF".into());
        }
        check(&step, "3", "CHF");
    }
}
