//! A copybook's text: columns, comments, continuations, words.

use std::borrow::Cow;

use super::parse::Mistake;

/// Most bytes of a copybook.
pub(crate) const BYTES_MAX: usize = 1 << 20;

/// Which columns of a line are code.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Columns {
    /// Fixed if the text looks like it.
    #[default]
    Auto,
    /// 1 to 6 are a number, 7 says what the line is, 8 to 72 are code.
    Fixed,
    /// All are code.
    Free,
}

/// A word, and where in the text it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token<'s> {
    pub(crate) text: Cow<'s, str>,
    pub(crate) offset: usize,
}

/// Cuts a copybook into words. A full stop that ends a sentence is a word of its own.
pub(crate) fn tokens(text: &str, columns: Columns) -> Result<Vec<Token<'_>>, Mistake> {
    if text.len() > BYTES_MAX {
        return Err(Mistake {
            offset: 0,
            message: format!(
                "the copybook has {} bytes, at most {BYTES_MAX} are read",
                text.len()
            ),
        });
    }
    let fixed = match columns {
        Columns::Auto => text.lines().all(looks_fixed),
        Columns::Fixed => true,
        Columns::Free => false,
    };
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        let code = if fixed {
            code_of(line)
        } else {
            Code::free(line)
        };
        if code.continued {
            // The first word goes on where the last one of the line before ended.
            let before = tokens.len();
            words(line, &code, line_start, &mut tokens);
            if before > 0 && before < tokens.len() && tokens[before - 1].text != "." {
                let rest = tokens.remove(before);
                tokens[before - 1].text.to_mut().push_str(&rest.text);
            }
        } else {
            words(line, &code, line_start, &mut tokens);
        }
        line_start += line.len();
    }
    Ok(tokens)
}

/// Byte range of a line that is code.
#[derive(Debug, Clone, Copy)]
struct Code {
    start: usize,
    end: usize,
    continued: bool,
}

impl Code {
    fn free(line: &str) -> Self {
        let end = if line.trim_start().starts_with('*') {
            0
        } else {
            line.len()
        };
        Self {
            start: 0,
            end,
            continued: false,
        }
    }
}

/// Byte at which a column begins; a tab goes to the next column 8n + 1.
fn column_byte(line: &str, column: usize) -> usize {
    let mut at = 1;
    for (byte, character) in line.char_indices() {
        if at >= column {
            return byte;
        }
        at = if character == '\t' {
            at.next_multiple_of(8) + 1
        } else {
            at + 1
        };
    }
    line.len()
}

fn code_of(line: &str) -> Code {
    let (indicator, start, end) = (
        column_byte(line, 7),
        column_byte(line, 8),
        column_byte(line, 73),
    );
    let nothing = Code {
        start: 0,
        end: 0,
        continued: false,
    };
    if line.trim_start().starts_with('*') {
        return nothing;
    }
    match line[indicator..].chars().next() {
        Some('*' | '/' | 'D' | 'd') => nothing,
        Some('-') => Code {
            start,
            end,
            continued: true,
        },
        _ => Code {
            start: start.min(end),
            end,
            continued: false,
        },
    }
}

/// Whether a line can be of the fixed form: its first six columns are blank or a number.
fn looks_fixed(line: &str) -> bool {
    let line = line.trim_end();
    if line.is_empty() || line.trim_start().starts_with('*') {
        return true;
    }
    let head = &line[..column_byte(line, 7)];
    let blank = head.trim().is_empty();
    let numbered = head.len() == 6 && head.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let indicator = line[head.len()..].chars().next().unwrap_or(' ');
    (blank || numbered) && matches!(indicator, ' ' | '\t' | '*' | '/' | '-' | 'D' | 'd')
}

/// Cuts the code of one line into words.
fn words<'s>(line: &'s str, code: &Code, line_start: usize, tokens: &mut Vec<Token<'s>>) {
    let text = &line[code.start..code.end];
    let mut at = 0;
    while let Some(character) = text[at..].chars().next() {
        let rest = &text[at..];
        if character.is_whitespace()
            || ((character == ',' || character == ';') && ends_word(&rest[1..]))
        {
            at += character.len_utf8();
            continue;
        }
        if rest.starts_with("*>") {
            break;
        }
        let offset = line_start + code.start + at;
        let length = if character == '"' || character == '\'' {
            // A literal that goes on in the next line says nothing about bytes either.
            rest[1..]
                .find(character)
                .map_or(rest.len(), |close| close + 2)
        } else {
            rest.find(|other: char| other.is_whitespace())
                .unwrap_or(rest.len())
        };
        let word = &rest[..length];
        let is_literal = character == '"' || character == '\'';
        let bare = if is_literal {
            word
        } else {
            word.trim_end_matches(['.', ',', ';'])
        };
        if !bare.is_empty() {
            tokens.push(Token {
                text: Cow::Borrowed(bare),
                offset,
            });
        }
        if word[bare.len()..].contains('.') {
            tokens.push(Token {
                text: Cow::Borrowed("."),
                offset: offset + bare.len(),
            });
        }
        at += length;
    }
}

fn ends_word(rest: &str) -> bool {
    rest.chars().next().is_none_or(char::is_whitespace)
}
