//! Regular expressions of mappings: without backtracking, so the time is linear in the text, and bounded.
//!
//! Syntax and guarantees are those of the crate `regex`.

use regex::{Regex, RegexBuilder};

/// Most characters of a pattern.
const PATTERN_CHARS_MAX: usize = 1_000;
/// Most bytes of a compiled pattern: bounds memory, and the time for each byte of the text.
const PROGRAM_BYTES_MAX: usize = 256 << 10;
/// Most bytes of what a thread remembers of states it has met.
const CACHE_BYTES_MAX: usize = 256 << 10;

/// Compiles a pattern; the error says what is wrong, with the place below it.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    let chars = pattern.chars().count();
    if chars > PATTERN_CHARS_MAX {
        return Err(format!(
            "the pattern has {chars} characters, at most {PATTERN_CHARS_MAX} are allowed"
        ));
    }
    RegexBuilder::new(pattern)
        .size_limit(PROGRAM_BYTES_MAX)
        .dfa_size_limit(CACHE_BYTES_MAX)
        .build()
        .map_err(|error| match error {
            regex::Error::Syntax(text) => syntax(&text),
            _ => format!(
                "the pattern needs more than {PROGRAM_BYTES_MAX} bytes once it is compiled: repeat less, or write \
                 [0-9] for \\d and [A-Za-z] for \\w"
            ),
        })
}

/// `regex` tells a syntax error in lines: a title, the pattern with a mark below it, `error: …`.
fn syntax(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().skip(1).collect();
    let what = lines
        .pop()
        .and_then(|line| line.strip_prefix("error: "))
        .unwrap_or("this is no pattern");
    let mut message = format!("the pattern is wrong: {what}");
    for line in lines {
        message.push_str("\n  | ");
        message.push_str(line.strip_prefix("    ").unwrap_or(line));
    }
    message
}

/// What a replacement refers to with `$1`, `${1}` or `$name` and the pattern does not have.
pub(crate) fn unknown_group(pattern: &Regex, with: &str) -> Option<String> {
    let mut rest = with;
    while let Some(at) = rest.find('$') {
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix('$') {
            rest = behind;
            continue;
        }
        let name = match rest.strip_prefix('{') {
            Some(braced) => braced.split('}').next().unwrap_or_default(),
            None => {
                let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
                &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())]
            }
        };
        let known = match name.parse::<usize>() {
            Ok(number) => number < pattern.captures_len(),
            Err(_) => pattern.capture_names().flatten().any(|known| known == name),
        };
        if !known {
            return Some(name.to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replacement_names_groups_that_are_there() {
        let pattern = compile("(?P<year>[0-9]{4})-([0-9]{2})").expect("a pattern");
        for (with, expected) in [
            ("$2/$year $$3 ${1}", None),
            ("$3", Some("3")),
            ("$1st", Some("1st")),
            ("${month}", Some("month")),
            ("$", Some("")),
        ] {
            assert_eq!(unknown_group(&pattern, with).as_deref(), expected, "{with}");
        }
    }

    #[test]
    fn limits_hold_exactly() {
        assert!(compile(&"a".repeat(PATTERN_CHARS_MAX)).is_ok());
        let error = compile(&"a".repeat(PATTERN_CHARS_MAX + 1)).expect_err("too long");
        assert!(error.contains("1001 characters"), "{error}");
        let error = compile("(a{500}){500}").expect_err("too large");
        assert!(error.contains("262144 bytes"), "{error}");
    }
}
