//! Tokens of XPath 1.0 (section 3.7 of its recommendation).

use crate::parse::{is_name_char, is_name_start};

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token<'t> {
    Number(f64),
    Literal(&'t str),
    /// `$name`
    Variable(&'t str),
    /// A name, with its prefix if it has one.
    Name(&'t str),
    /// `prefix:*`
    PrefixAny(&'t str),
    /// `*` as a name test.
    Any,
    /// `and`, `or`, `mod`, `div` and `*` between two expressions, and all other signs.
    Sign(&'static str),
}

/// A mistake, at a byte of the expression.
#[derive(Debug)]
pub(crate) struct Mistake {
    pub(crate) at: usize,
    pub(crate) message: String,
}

/// Cuts an expression into tokens, each with where it begins.
pub(crate) fn tokens(text: &str) -> Result<Vec<(usize, Token<'_>)>, Mistake> {
    const SIGNS: &[&str] = &[
        "::", "..", "//", "!=", "<=", ">=", "(", ")", "[", "]", ".", "@", ",", "/", "|", "+", "-",
        "=", "<", ">",
    ];
    let mut found: Vec<(usize, Token<'_>)> = Vec::new();
    let mut at = 0;
    loop {
        at += text[at..].len() - text[at..].trim_start_matches([' ', '\t', '\r', '\n']).len();
        let rest = &text[at..];
        let Some(first) = rest.chars().next() else {
            return Ok(found);
        };
        let second = rest.as_bytes().get(1).copied().unwrap_or(0);
        let wrong = |message: String| Mistake { at, message };
        let (token, length) = if first == '"' || first == '\'' {
            let Some(end) = rest[1..].find(first) else {
                return Err(wrong(format!(
                    "the text that begins with {first} has no end"
                )));
            };
            (Token::Literal(&rest[1..=end]), end + 2)
        } else if first.is_ascii_digit() || (first == '.' && second.is_ascii_digit()) {
            let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
            let mut length = digits(rest);
            if rest[length..].starts_with('.') {
                length += 1 + digits(&rest[length + 1..]);
            }
            let number = rest[..length]
                .parse()
                .map_err(|_| wrong(format!("{:?} is no number", &rest[..length])))?;
            (Token::Number(number), length)
        } else if first == '$' {
            let spaces =
                rest[1..].len() - rest[1..].trim_start_matches([' ', '\t', '\r', '\n']).len();
            let length = name_length(&rest[1 + spaces..], true);
            if length == 0 {
                return Err(wrong("there is no name behind $".to_owned()));
            }
            let end = 1 + spaces + length;
            (Token::Variable(&rest[1 + spaces..end]), end)
        } else if first == '*' {
            match is_operand_before(found.last().map(|(_, token)| token)) {
                true => (Token::Sign("*"), 1),
                false => (Token::Any, 1),
            }
        } else if is_name_start(first) {
            let length = name_length(rest, true);
            let name = &rest[..length];
            let operator = ["and", "or", "mod", "div"]
                .into_iter()
                .find(|known| *known == name);
            if let Some(operator) = operator
                && is_operand_before(found.last().map(|(_, token)| token))
            {
                (Token::Sign(operator), length)
            } else if rest[length..].starts_with(":*") && !name.contains(':') {
                (Token::PrefixAny(name), length + 2)
            } else {
                (Token::Name(name), length)
            }
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (Token::Sign(sign), sign.len())
        } else {
            return Err(wrong(format!("{first:?} has no meaning in an expression")));
        };
        found.push((at, token));
        at += length;
    }
}

/// Whether what comes next is an operator: an operand stands before it.
fn is_operand_before(previous: Option<&Token<'_>>) -> bool {
    match previous {
        None => false,
        Some(Token::Sign(sign)) => matches!(*sign, ")" | "]" | "." | ".."),
        Some(_) => true,
    }
}

/// Bytes of the name at the front, with one prefix.
fn name_length(text: &str, with_prefix: bool) -> usize {
    let mut chars = text.char_indices();
    match chars.next() {
        Some((_, first)) if is_name_start(first) => {}
        _ => return 0,
    }
    let length = chars
        .find(|(_, c)| !is_name_char(*c))
        .map_or(text.len(), |(at, _)| at);
    if with_prefix && let Some(rest) = text[length..].strip_prefix(':') {
        let local = name_length(rest, false);
        if local > 0 {
            return length + 1 + local;
        }
    }
    length
}
