//! Patterns of XML Schema as regular expressions of the crate `regex`.
//!
//! The languages nearly agree; what differs is translated, and what cannot be is refused.

use regex::Regex;

/// Compiles a pattern, which fits from the first to the last character.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    let translated = translate(pattern)?;
    crate::pattern::compile(&format!(r"\A(?:{translated})\z"))
}

fn translate(pattern: &str) -> Result<String, String> {
    let refused = |what: &str| Err(format!("the pattern {pattern:?} has {what}"));
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut in_class = false;
    let mut chars = pattern.chars().peekable();
    let mut before = '\0';
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        match c {
            '\\' => {
                let Some(escaped) = chars.next() else {
                    return refused("a \\ at its end");
                };
                match escaped {
                    's' if in_class => out.push_str(r" \t\n\r"),
                    's' => out.push_str(r"[ \t\n\r]"),
                    'd' => out.push_str(r"\d"),
                    'w' if !in_class => out.push_str(r"[^\p{P}\p{Z}\p{C}]"),
                    'W' if !in_class => out.push_str(r"[\p{P}\p{Z}\p{C}]"),
                    'S' if !in_class => out.push_str(r"[^ \t\n\r]"),
                    'D' => out.push_str(r"\D"),
                    'p' | 'P' => {
                        let rest: String = chars.clone().take(3).collect();
                        if rest.starts_with("{Is") {
                            return refused("a block of characters (\\p{Is…}), which is not read");
                        }
                        out.push('\\');
                        out.push(escaped);
                    }
                    'n' | 'r' | 't' | '\\' | '|' | '.' | '?' | '*' | '+' | '(' | ')' | '{'
                    | '}' | '-' | '[' | ']' | '^' => {
                        out.push('\\');
                        out.push(escaped);
                    }
                    other => return refused(&format!("\\{other}, which is not read")),
                }
                before = '\\';
                continue;
            }
            '[' if in_class && before == '-' => {
                return refused("a class that is taken from another (-[), which is not read");
            }
            '[' if in_class => return refused("a [ within a class"),
            '[' => {
                in_class = true;
                out.push('[');
                if next == Some('^') {
                    chars.next();
                    out.push('^');
                }
            }
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' | '^' if in_class => {
                out.push('\\');
                out.push(c);
            }
            // At an end of a class it stands for itself.
            '-' if in_class && (before == '[' || next == Some(']')) => out.push_str(r"\-"),
            '^' | '$' if !in_class => {
                out.push('\\');
                out.push(c);
            }
            '.' if !in_class => out.push_str(r"[^\n\r]"),
            '?' if !in_class && matches!(before, '(' | '?' | '*' | '+' | '}' | '|' | '\0') => {
                return refused("a ? that repeats nothing");
            }
            '*' | '+' if !in_class && matches!(before, '?' | '*' | '+' | '}') => {
                return refused("a repetition of a repetition");
            }
            other => out.push(other),
        }
        before = c;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::compile;

    #[test]
    fn patterns_fit_as_a_whole() {
        let check = |pattern: &str, good: &[&str], bad: &[&str]| {
            let compiled = compile(pattern).expect("a pattern");
            for text in good {
                assert!(compiled.is_match(text), "{pattern} {text:?}");
            }
            for text in bad {
                assert!(!compiled.is_match(text), "{pattern} {text:?}");
            }
        };
        check("[A-Z]{3,3}", &["EUR"], &["EURO", "EUR\n", "eur"]);
        check(r"\+[0-9]{1,3}-[0-9()+\-]{1,30}", &["+385-(1)"], &["385-1"]);
        check("a|b", &["a", "b"], &["ab", "xa"]);
        check("^a$", &["^a$"], &["a"]);
        check("a.b", &["a-b"], &["a\nb", "a\rb"]);
        check("[&&-]", &["&", "-"], &["x"]);
        check(r"\w+\s\S", &["aé 1"], &["a-b 1"]);
        check("", &[""], &["a"]);
    }

    #[test]
    fn what_is_not_read_is_refused() {
        for pattern in [
            r"\i\c*",
            "[a-z-[aeiou]]",
            r"\p{IsBasicLatin}",
            "a+?",
            "(?i)a",
            "a\\",
        ] {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
    }
}
