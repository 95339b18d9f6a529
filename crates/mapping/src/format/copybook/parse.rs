//! Reading a copybook: from text to items.
//!
//! What COBOL compilers accept in a record description is read; clauses that say nothing about bytes
//! (VALUE, INDEXED BY, level 88) are skipped. Every mistake is told with its place in the text.

use super::layout::{ITEMS_MAX, Layout, RECORD_BYTES_MAX};
use super::picture::{self, Picture};
use super::source::{self, Columns, Token};

/// How a copybook is read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    pub(crate) columns: Columns,
    /// Tables DEPENDING ON take only as many bytes as they have elements.
    pub(crate) short_tables: bool,
    /// COMP-5 is little endian.
    pub(crate) comp5_little: bool,
}

/// A mistake and where in the copybook's text it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) offset: usize,
    pub(crate) message: String,
}

/// Reads a copybook; every mistake of it otherwise.
pub(crate) fn parse(text: &str, options: &Options) -> Result<Layout, Vec<Mistake>> {
    let tokens = source::tokens(text, options.columns).map_err(|mistake| vec![mistake])?;
    let mut parser = Parser {
        options,
        entries: Vec::new(),
        mistakes: Vec::new(),
    };
    for sentence in tokens.split(|token| token.text == ".") {
        parser.sentence(sentence);
    }
    let items = parser.items();
    if parser.mistakes.is_empty() && items.is_empty() {
        parser.mistake(
            0,
            "the copybook describes no field such as `05 AMOUNT PIC S9(9)V99.`",
        );
    }
    if !parser.mistakes.is_empty() {
        return Err(parser.mistakes);
    }
    Layout::new(items, options.short_tables).map_err(|item| {
        let message = format!("the record is longer than {RECORD_BYTES_MAX} bytes");
        parser.mistake(parser.entries[item].offset, message);
        parser.mistakes
    })
}

/// USAGE as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usage {
    Display,
    Binary,
    Native,
    Packed,
    Single,
    Double,
    /// Index and pointers: bytes without meaning for others.
    Opaque(usize),
}

/// A data description entry before its place is known.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) offset: usize,
    pub(super) level: u8,
    pub(super) name: String,
    pub(super) redefines: Option<(String, usize)>,
    pub(super) picture: Option<(Picture, usize)>,
    pub(super) usage: Option<Usage>,
    /// Place of the sign, and whether it is separate.
    pub(super) sign: Option<(bool, bool)>,
    pub(super) occurs: Option<(usize, usize)>,
    pub(super) depending: Option<(String, usize)>,
    /// Where a SYNC stands.
    pub(super) sync: Option<usize>,
}

pub(super) struct Parser<'o> {
    pub(super) options: &'o Options,
    pub(super) entries: Vec<Entry>,
    pub(super) mistakes: Vec<Mistake>,
}

/// The tokens of one sentence that are not read yet.
struct Rest<'t, 's> {
    tokens: &'t [Token<'s>],
    at: usize,
}

impl<'t, 's> Rest<'t, 's> {
    fn peek(&self) -> &str {
        self.tokens.get(self.at).map_or("", |token| &token.text)
    }

    fn is(&self, word: &str) -> bool {
        self.peek().eq_ignore_ascii_case(word)
    }

    /// Skips a word that may be left out.
    fn skip(&mut self, word: &str) {
        if self.is(word) {
            self.at += 1;
        }
    }

    fn next(&mut self) -> Option<&'t Token<'s>> {
        let token = self.tokens.get(self.at)?;
        self.at += 1;
        Some(token)
    }

    fn offset(&self) -> usize {
        let token = self.tokens.get(self.at).or_else(|| self.tokens.last());
        token.map_or(0, |token| token.offset)
    }
}

/// Words that begin a clause, so that they end what stands before.
const CLAUSES: &[&str] = &[
    "REDEFINES",
    "PIC",
    "PICTURE",
    "USAGE",
    "SIGN",
    "OCCURS",
    "VALUE",
    "VALUES",
    "JUST",
    "JUSTIFIED",
    "SYNC",
    "SYNCHRONIZED",
    "BLANK",
    "EXTERNAL",
    "GLOBAL",
    "DISPLAY",
    "COMP",
    "COMP-3",
    "BINARY",
    "COMP-4",
    "COMP-5",
    "COMP-1",
    "COMP-2",
    "PACKED-DECIMAL",
    "INDEXED",
    "ASCENDING",
    "DESCENDING",
    "LEADING",
    "TRAILING",
];

fn is_clause(word: &str) -> bool {
    CLAUSES.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// Names are compared in upper case, with hyphens.
pub(crate) fn canonical(name: &str) -> String {
    name.to_ascii_uppercase().replace('_', "-")
}

impl Parser<'_> {
    pub(super) fn mistake(&mut self, offset: usize, message: impl Into<String>) {
        self.mistakes.push(Mistake {
            offset,
            message: message.into(),
        });
    }

    fn sentence(&mut self, tokens: &[Token<'_>]) {
        let mut rest = Rest { tokens, at: 0 };
        while ["EJECT", "SKIP1", "SKIP2", "SKIP3"]
            .iter()
            .any(|word| rest.is(word))
        {
            rest.at += 1;
        }
        let Some(first) = rest.next() else {
            return;
        };
        let Ok(level) = first.text.parse::<u8>() else {
            let hint = if first.text.eq_ignore_ascii_case("COPY") {
                "COPY is not followed: paste the other copybook here"
            } else {
                "a level number such as 05 is expected; is a full stop missing or one too many?"
            };
            self.mistake(first.offset, hint);
            return;
        };
        match level {
            // Conditions, renamings and constants have no bytes.
            88 | 66 | 78 => return,
            1..=49 | 77 => {}
            _ => {
                self.mistake(
                    first.offset,
                    format!("{level} is no level: 01 to 49, 66, 77, 78, 88 are"),
                );
                return;
            }
        }
        let mut entry = Entry {
            offset: first.offset,
            level: if level == 77 { 1 } else { level },
            ..Entry::default()
        };
        entry.name = if rest.peek().is_empty() || is_clause(rest.peek()) {
            "FILLER".to_owned()
        } else {
            canonical(
                &rest
                    .next()
                    .map_or_else(String::new, |token| token.text.to_string()),
            )
        };
        while rest.at < tokens.len() {
            if !self.clause(&mut rest, &mut entry) {
                return;
            }
        }
        if self.entries.len() == ITEMS_MAX {
            self.mistake(
                entry.offset,
                format!("the copybook has more than {ITEMS_MAX} fields"),
            );
        }
        self.entries.push(entry);
    }

    /// Reads one clause; whether the sentence can be read on.
    fn clause(&mut self, rest: &mut Rest<'_, '_>, entry: &mut Entry) -> bool {
        let Some(token) = rest.next() else {
            return false;
        };
        match token.text.to_ascii_uppercase().as_str() {
            "REDEFINES" => {
                let offset = rest.offset();
                entry.redefines = rest.next().map(|name| (canonical(&name.text), offset));
            }
            "PIC" | "PICTURE" => {
                rest.skip("IS");
                let offset = rest.offset();
                let text = rest.next().map_or("", |token| &*token.text);
                match picture::parse(text) {
                    Ok(picture) => entry.picture = Some((picture, offset)),
                    Err(message) => {
                        // Said once, and not again as a field without a PIC.
                        entry.picture = Some((Picture::Text(1), offset));
                        self.mistake(offset, message);
                    }
                }
            }
            "USAGE" => {
                rest.skip("IS");
                let offset = rest.offset();
                let word = rest.next().map_or("", |token| &*token.text);
                match usage(word) {
                    Some(usage) => entry.usage = Some(usage),
                    None => self.mistake(offset, unknown_usage(word)),
                }
            }
            "SIGN" => {
                rest.skip("IS");
                let leading = rest.is("LEADING");
                if !leading && !rest.is("TRAILING") {
                    self.mistake(rest.offset(), "behind SIGN stands LEADING or TRAILING");
                    return false;
                }
                rest.at += 1;
                entry.sign = Some((leading, separate(rest)));
            }
            word @ ("LEADING" | "TRAILING") => {
                entry.sign = Some((word == "LEADING", separate(rest)));
            }
            "OCCURS" => return self.occurs(rest, entry),
            "VALUE" | "VALUES" => {
                while !rest.peek().is_empty() && !is_clause(rest.peek()) {
                    rest.at += 1;
                }
            }
            "JUST" | "JUSTIFIED" => rest.skip("RIGHT"),
            "SYNC" | "SYNCHRONIZED" => {
                entry.sync = Some(token.offset);
                rest.skip("LEFT");
                rest.skip("RIGHT");
            }
            "BLANK" => {
                rest.skip("WHEN");
                rest.at += 1;
            }
            "EXTERNAL" | "GLOBAL" => {}
            word => match usage(word) {
                Some(usage) => entry.usage = Some(usage),
                None => {
                    let message = format!(
                        "{word} is no clause of a record description; is a full stop missing in front of it?"
                    );
                    self.mistake(token.offset, message);
                    return false;
                }
            },
        }
        true
    }

    fn occurs(&mut self, rest: &mut Rest<'_, '_>, entry: &mut Entry) -> bool {
        let offset = rest.offset();
        let number = |rest: &mut Rest<'_, '_>| {
            rest.next()
                .and_then(|token| token.text.parse::<usize>().ok())
        };
        let Some(first) = number(rest) else {
            self.mistake(
                offset,
                "behind OCCURS stands a number, as in OCCURS 1 TO 80 TIMES",
            );
            return false;
        };
        let (mut min, mut max) = (first, first);
        if rest.is("TO") {
            rest.at += 1;
            let Some(second) = number(rest) else {
                self.mistake(offset, "behind OCCURS … TO stands a number");
                return false;
            };
            max = second;
        }
        rest.skip("TIMES");
        loop {
            if rest.is("DEPENDING") {
                rest.at += 1;
                rest.skip("ON");
                let offset = rest.offset();
                entry.depending = rest.next().map(|name| (canonical(&name.text), offset));
            } else if rest.is("ASCENDING") || rest.is("DESCENDING") || rest.is("INDEXED") {
                rest.at += 1;
                while !rest.peek().is_empty() && !is_clause(rest.peek()) && !rest.is("DEPENDING") {
                    rest.at += 1;
                }
            } else {
                break;
            }
        }
        // `OCCURS 80 DEPENDING ON` has no least number.
        if entry.depending.is_some() && min == max {
            min = 0;
        }
        if max == 0 || min > max {
            self.mistake(
                offset,
                "a table has at least one element, and not more at the least than at the most",
            );
            return false;
        }
        entry.occurs = Some((min, max));
        true
    }
}

fn separate(rest: &mut Rest<'_, '_>) -> bool {
    let separate = rest.is("SEPARATE");
    if separate {
        rest.at += 1;
        rest.skip("CHARACTER");
    }
    separate
}

fn usage(word: &str) -> Option<Usage> {
    let upper = word.to_ascii_uppercase();
    let short = upper.replace("COMPUTATIONAL", "COMP");
    Some(match short.as_str() {
        "DISPLAY" | "DISPLAY-1" | "NATIONAL" => Usage::Display,
        "COMP" | "COMP-0" | "COMP-4" | "BINARY" => Usage::Binary,
        "COMP-5" => Usage::Native,
        "COMP-3" | "PACKED-DECIMAL" => Usage::Packed,
        "COMP-1" => Usage::Single,
        "COMP-2" => Usage::Double,
        "INDEX" | "POINTER" => Usage::Opaque(4),
        _ => return None,
    })
}

fn unknown_usage(word: &str) -> String {
    format!(
        "USAGE {word} is not read; DISPLAY, COMP, COMP-1 to COMP-5, BINARY and PACKED-DECIMAL are"
    )
}

#[cfg(test)]
mod tests;
