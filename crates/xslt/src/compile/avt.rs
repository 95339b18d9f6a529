//! Attribute value templates: `{expression}` in an attribute, `{{` and `}}` for the brackets themselves.

use super::{At, Compiled, Compiler};
use crate::program::{Avt, Part};
use crate::xpath::lexer::Mistake;

impl Compiler<'_> {
    pub(super) fn avt(&mut self, attribute: At, text: &str) -> Compiled<Avt> {
        let mut parts: Vec<Part> = Vec::new();
        let mut plain = String::new();
        let mut at = 0;
        while let Some(found) = text[at..].find(['{', '}']) {
            plain.push_str(&text[at..at + found]);
            at += found;
            let rest = &text[at..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                plain.push_str(&rest[..1]);
                at += 2;
                continue;
            }
            let mistake = |message: &str| Mistake {
                at,
                message: message.to_owned(),
            };
            if rest.starts_with('}') {
                let mistake = mistake("} stands without {; }} means the bracket itself");
                return Err(self.wrong_in(attribute, mistake, text));
            }
            let Some(length) = expression_length(&rest[1..]) else {
                let mistake = mistake("{ has no }; {{ means the bracket itself");
                return Err(self.wrong_in(attribute, mistake, text));
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain).into()));
            }
            let expr = self.expr(attribute, &rest[1..=length])?;
            parts.push(Part::Expr(expr));
            at += length + 2;
        }
        plain.push_str(&text[at..]);
        if parts.is_empty() {
            return Ok(Avt::Text(plain.into()));
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain.into()));
        }
        Ok(Avt::Parts(parts.into()))
    }

    /// An attribute that may be missing.
    pub(super) fn avt_of(&mut self, at: At, name: &str) -> Compiled<Option<Avt>> {
        match self.attribute(at, name) {
            Some((attribute, text)) => Ok(Some(self.avt(attribute, &text)?)),
            None => Ok(None),
        }
    }
}

/// Bytes up to the bracket that ends an expression; brackets in quotes are text.
fn expression_length(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '}') => return Some(at),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    None
}
