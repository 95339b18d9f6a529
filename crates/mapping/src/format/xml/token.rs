//! A body cut into tags, texts and references: XML 1.0 (fifth edition) without document type definitions.
//!
//! Our own, because the text is known to be UTF-8: a reader of bytes checks each name and each text again,
//! which was half of what an element took. It is also strict: a document that is not well-formed (production
//! 1 and the constraints below it, but for those about DTDs) is refused, whoever else would read it.
//!
//! # Invariants
//!
//! - Every byte is looked at once, from the left, but for what ends comments, sections and instructions.
//! - What is remembered is bounded: one name for each open element, and the attributes of one tag, at most
//!   `attributes_max`.
//! - Tokens follow each other without a gap: `start..at` of one ends where the next begins.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::refusal::{rule, shown};

/// May stand in a name. Bytes of characters beyond ASCII may; which of them is looked at behind.
const NAME: u8 = 1;
/// May begin a name.
const BEGIN: u8 = 2;
/// White space.
const SPACE: u8 = 4;
/// Ends a run of plain text between tags, or makes it be looked at.
const TEXT: u8 = 8;
/// Ends a run of an attribute's value, or makes it be looked at.
const VALUE: u8 = 16;
/// A character that no document may have, or the first byte of one.
const CONTROL: u8 = 32;

/// White space (2.3, production 3): less than Unicode has.
pub(super) const WHITE_SPACE: [char; 4] = ['\t', '\n', '\r', ' '];

/// What each byte is.
const CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let this = byte as u8;
        classes[byte] = match this {
            b'\t' | b'\n' | b'\r' | b' ' => SPACE,
            0..=0x1f => TEXT | VALUE | CONTROL,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b':' => NAME | BEGIN,
            b'0'..=b'9' | b'-' | b'.' => NAME,
            b'<' | b'&' => TEXT | VALUE,
            b'"' | b'\'' => VALUE,
            b']' => TEXT,
            // U+FFFE and U+FFFF begin with it.
            0xef => NAME | BEGIN | TEXT | VALUE | CONTROL,
            0x80.. => NAME | BEGIN,
            _ => 0,
        };
        byte += 1;
    }
    classes
}

#[inline]
fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// Why a body is no document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    /// A byte of the body.
    pub(super) at: usize,
    pub(super) rule: &'static str,
    pub(super) what: Cow<'static, str>,
}

type Read<T> = Result<T, Malformed>;

fn malformed<T>(at: usize, what: impl Into<Cow<'static, str>>) -> Read<T> {
    Err(Malformed {
        at,
        rule: rule::XML,
        what: what.into(),
    })
}

/// A name and its value as it stands in the body, without the quotes around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attribute<'b> {
    pub(super) name: &'b str,
    value: &'b str,
}

impl<'b> Attribute<'b> {
    /// The value with its references resolved, each white space a space (3.3.3, of attributes without a declaration).
    pub(super) fn value(&self) -> Cow<'b, str> {
        let is_plain = |byte: u8| !matches!(byte, b'&' | b'\t' | b'\n' | b'\r');
        if self.value.bytes().all(is_plain) {
            return Cow::Borrowed(self.value);
        }
        let mut text = String::with_capacity(self.value.len());
        let mut rest = self.value;
        while let Some(at) = rest.find(['&', '\t', '\n', '\r']) {
            let (plain, from) = rest.split_at(at);
            text.push_str(plain);
            let mut length = 1;
            if let Some((name, behind)) =
                from.strip_prefix('&').and_then(|from| from.split_once(';'))
            {
                // It was looked at when the tag was read.
                text.extend(referred(name));
                length = from.len() - behind.len();
            } else {
                text.push(' ');
                // Both together end a line (2.11).
                length += usize::from(from.starts_with("\r\n"));
            }
            rest = &from[length..];
        }
        text.push_str(rest);
        Cow::Owned(text)
    }
}

/// A part of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'b> {
    /// `<name ...>` or `<name .../>`. Its attributes are [`Tokens::attributes`].
    Begin { name: &'b str, is_empty: bool },
    /// `</name>`, of the element that has begun last.
    End,
    /// Characters that stand for themselves.
    Text,
    /// What is in `<![CDATA[` and `]]>`.
    Section(&'b str),
    /// `&name;`: what it stands for.
    Reference(char),
    /// The XML declaration at the beginning, and the encoding it names.
    Declaration(Option<&'b str>),
    /// `<!DOCTYPE`; what follows is not read.
    Doctype,
    /// A comment or a processing instruction.
    Aside,
}

/// Cuts a body into tokens.
#[derive(Debug)]
pub(super) struct Tokens<'b> {
    body: &'b str,
    /// Where the last token begins.
    start: usize,
    /// Where it ends.
    at: usize,
    /// Elements that have begun.
    open: Vec<&'b str>,
    attributes: Vec<Attribute<'b>>,
    attributes_max: usize,
}

impl<'b> Tokens<'b> {
    pub(super) fn new(body: &'b str, attributes_max: usize) -> Self {
        Self {
            body,
            start: 0,
            at: 0,
            open: Vec::with_capacity(16),
            attributes: Vec::new(),
            attributes_max,
        }
    }

    /// Where the last token begins.
    pub(super) fn start(&self) -> usize {
        self.start
    }

    /// Where the last token ends.
    pub(super) fn end(&self) -> usize {
        self.at
    }

    /// The attributes of the last tag, each name once.
    pub(super) fn attributes(&self) -> &[Attribute<'b>] {
        &self.attributes
    }

    /// The next token; `None` at the end. That elements are open still, and that there is one, is for who asks.
    #[inline]
    pub(super) fn next(&mut self) -> Read<Option<Token<'b>>> {
        self.start = self.at;
        match self.byte(self.at) {
            Some(b'<') => self.markup().map(Some),
            Some(b'&') => {
                let (character, end) = self.reference(self.at)?;
                self.at = end;
                Ok(Some(Token::Reference(character)))
            }
            Some(_) => {
                self.at = self.text(self.at)?;
                Ok(Some(Token::Text))
            }
            None => Ok(None),
        }
    }

    #[inline]
    fn byte(&self, at: usize) -> Option<u8> {
        self.body.as_bytes().get(at).copied()
    }

    fn starts(&self, at: usize, with: &str) -> bool {
        self.body.as_bytes()[at..].starts_with(with.as_bytes())
    }

    /// The first byte of a class, or the end.
    #[inline]
    fn until(&self, at: usize, class: u8) -> usize {
        self.until_in(at, self.body.len(), class)
    }

    #[inline]
    fn until_in(&self, at: usize, end: usize, class: u8) -> usize {
        let rest = &self.body.as_bytes()[at..end];
        let found = rest.iter().position(|byte| is(*byte, class));
        at + found.unwrap_or(rest.len())
    }

    #[inline]
    fn spaces(&self, at: usize) -> usize {
        let mut at = at;
        while self.byte(at).is_some_and(|byte| is(byte, SPACE)) {
            at += 1;
        }
        at
    }

    #[inline]
    fn markup(&mut self) -> Read<Token<'b>> {
        match self.byte(self.at + 1) {
            Some(b'/') => self.end_tag(),
            Some(b'!') => self.declared(),
            Some(b'?') => self.instruction(),
            _ => self.tag(),
        }
    }

    /// From `at` to what is no plain text.
    #[inline]
    fn text(&self, mut at: usize) -> Read<usize> {
        loop {
            at = self.until(at, TEXT);
            match self.byte(at) {
                None | Some(b'<' | b'&') => return Ok(at),
                Some(b']') if self.starts(at, "]]>") => {
                    return malformed(
                        at,
                        "]]> in a text, which only ends CDATA; > is written &gt;",
                    );
                }
                Some(b']') => at += 1,
                Some(_) => at = self.allowed(at)?,
            }
        }
    }

    /// Passes over a byte that may begin a character that no document has.
    fn allowed(&self, at: usize) -> Read<usize> {
        match &self.body.as_bytes()[at..] {
            [0xef, 0xbf, 0xbe | 0xbf, ..] => {
                malformed(at, "a character that XML does not allow: U+FFFE or U+FFFF")
            }
            [0xef, ..] => Ok(at + 1),
            [byte, ..] => malformed(
                at,
                format!("a character that XML does not allow: U+{byte:04X}"),
            ),
            [] => Ok(at),
        }
    }

    /// Whether all characters from `at` on are such as XML allows.
    fn all_allowed(&self, mut at: usize, end: usize) -> Read<()> {
        loop {
            at = self.until_in(at, end, CONTROL);
            if at == end {
                return Ok(());
            }
            at = self.allowed(at)?;
        }
    }

    /// The name at `at` (2.3, production 5).
    #[inline]
    fn name(&self, at: usize, of: &'static str) -> Read<&'b str> {
        let bytes = &self.body.as_bytes()[at..];
        let mut seen = 0;
        let mut length = 0;
        while let Some(&byte) = bytes.get(length)
            && is(byte, NAME)
        {
            seen |= byte;
            length += 1;
        }
        let is_begun = bytes.first().is_some_and(|first| is(*first, BEGIN));
        let name = &self.body[at..at + length];
        if is_begun && (seen < 0x80 || is_name(name)) {
            return Ok(name);
        }
        let found = if name.is_empty() {
            self.character(at)
        } else {
            name
        };
        let what = match found {
            "" => format!("the text ends where the name of {of} belongs"),
            found => format!("{} where the name of {of} belongs", shown(found)),
        };
        malformed(at, what)
    }

    /// `<name attribute="value" ...>`
    #[inline]
    fn tag(&mut self) -> Read<Token<'b>> {
        self.attributes.clear();
        let from = self.at + 1;
        let name = match self.byte(from) {
            Some(first) if is(first, BEGIN) => self.name(from, "an element")?,
            _ => return self.no_tag(from),
        };
        let mut at = from + name.len();
        if self.byte(at) == Some(b'>') {
            return Ok(self.begin(name, false, at + 1));
        }
        loop {
            let before = at;
            at = self.spaces(at);
            match self.byte(at) {
                Some(b'>') => return Ok(self.begin(name, false, at + 1)),
                Some(b'/') if self.byte(at + 1) == Some(b'>') => {
                    return Ok(self.begin(name, true, at + 2));
                }
                Some(byte) if before < at && is(byte, BEGIN) => at = self.attribute(at)?,
                Some(_) => {
                    let what = format!(
                        "{} in the tag {}, where white space, > or an attribute belongs",
                        shown(self.character(at)),
                        shown(name)
                    );
                    return malformed(at, what);
                }
                None => {
                    let what = format!(
                        "the text ends inside of the tag {}, before its >",
                        shown(name)
                    );
                    return malformed(self.start, what);
                }
            }
        }
    }

    #[cold]
    fn no_tag<T>(&self, at: usize) -> Read<T> {
        let what = match self.character(at) {
            "" => "the text ends behind a <".to_owned(),
            found => format!(
                "{} behind a <, where a name belongs; a < that is text is written &lt;",
                shown(found)
            ),
        };
        malformed(self.start, what)
    }

    /// The character at `at`; nothing at the end.
    fn character(&self, at: usize) -> &'b str {
        let length = self.body[at..].chars().next().map_or(0, char::len_utf8);
        &self.body[at..at + length]
    }

    #[inline]
    fn begin(&mut self, name: &'b str, is_empty: bool, end: usize) -> Token<'b> {
        self.at = end;
        if !is_empty {
            self.open.push(name);
        }
        Token::Begin { name, is_empty }
    }

    /// `name="value"`; where it ends.
    fn attribute(&mut self, from: usize) -> Read<usize> {
        let name = self.name(from, "an attribute")?;
        let mut at = self.spaces(from + name.len());
        if self.byte(at) != Some(b'=') {
            return malformed(at, format!("no = behind the attribute {}", shown(name)));
        }
        at = self.spaces(at + 1);
        let quote = match self.byte(at) {
            Some(quote @ (b'"' | b'\'')) => quote,
            _ => {
                let what = format!(
                    "the value of the attribute {} is not in quotes",
                    shown(name)
                );
                return malformed(at, what);
            }
        };
        let begun = at + 1;
        at = begun;
        loop {
            at = self.until(at, VALUE);
            match self.byte(at) {
                Some(byte) if byte == quote => break,
                Some(b'"' | b'\'') => at += 1,
                Some(b'<') => {
                    return malformed(
                        at,
                        format!("a < in the attribute {}; it is written &lt;", shown(name)),
                    );
                }
                Some(b'&') => (_, at) = self.reference(at)?,
                Some(_) => at = self.allowed(at)?,
                None => {
                    let what = format!(
                        "the text ends in the value of the attribute {}",
                        shown(name)
                    );
                    return malformed(begun, what);
                }
            }
        }
        if self.attributes.len() >= self.attributes_max {
            return Err(Malformed {
                at: self.start,
                rule: rule::ATTRIBUTES,
                what: format!(
                    "an element has more than {} attributes",
                    self.attributes_max
                )
                .into(),
            });
        }
        if self.attributes.iter().any(|known| known.name == name) {
            return malformed(
                from,
                format!("the attribute {} stands twice in one tag", shown(name)),
            );
        }
        let value = &self.body[begun..at];
        self.attributes.push(Attribute { name, value });
        Ok(at + 1)
    }

    /// `</name>`
    #[inline]
    fn end_tag(&mut self) -> Read<Token<'b>> {
        let from = self.at + 2;
        let Some(begun) = self.open.pop() else {
            return malformed(self.at, "an element ends that has not begun");
        };
        let is_same = self.starts(from, begun);
        if is_same {
            let end = self.spaces(from + begun.len());
            if self.byte(end) == Some(b'>') {
                self.at = end + 1;
                return Ok(Token::End);
            }
        }
        self.no_end_tag(from, begun, is_same)
    }

    #[cold]
    fn no_end_tag<T>(&self, from: usize, begun: &str, is_same: bool) -> Read<T> {
        let is_cut = match is_same {
            true => self.spaces(from + begun.len()) == self.body.len(),
            false => begun.starts_with(&self.body[from..]),
        };
        if is_cut {
            let what = format!(
                "the text ends inside of the end of {}, before its >",
                shown(begun)
            );
            return malformed(self.start, what);
        }
        let name = self.name(from, "an element")?;
        let what = match name == begun {
            true => format!("the end of the element {} has no >", shown(name)),
            false => format!(
                "the end of {} stands where that of {} belongs",
                shown(name),
                shown(begun)
            ),
        };
        malformed(self.start, what)
    }

    /// `<!--`, `<![CDATA[` or `<!DOCTYPE`.
    fn declared(&mut self) -> Read<Token<'b>> {
        let start = self.at;
        if self.starts(start, "<!--") {
            let from = start + 4;
            let Some(length) = self.body[from..].find("--") else {
                return malformed(start, "the text ends inside of a comment");
            };
            let end = from + length;
            if !self.starts(end, "-->") {
                return malformed(end, "-- inside of a comment");
            }
            self.all_allowed(from, end)?;
            self.at = end + 3;
            return Ok(Token::Aside);
        }
        if self.starts(start, "<![CDATA[") {
            let from = start + 9;
            let Some(length) = self.body[from..].find("]]>") else {
                return malformed(start, "the text ends inside of CDATA, before its ]]>");
            };
            let end = from + length;
            self.all_allowed(from, end)?;
            self.at = end + 3;
            return Ok(Token::Section(&self.body[from..end]));
        }
        if self.starts(start, "<!DOCTYPE") {
            self.at = self.body.len();
            return Ok(Token::Doctype);
        }
        malformed(start, "<! that begins no comment, no CDATA and no DOCTYPE")
    }

    /// `<?xml ...?>` or `<?name ...?>`.
    fn instruction(&mut self) -> Read<Token<'b>> {
        let start = self.at;
        let from = start + 2;
        let name = self.name(from, "a processing instruction")?;
        let behind = from + name.len();
        let Some(length) = self.body[behind..].find("?>") else {
            return malformed(
                start,
                "the text ends inside of a processing instruction, before its ?>",
            );
        };
        let content = &self.body[behind..behind + length];
        self.all_allowed(behind, behind + length)?;
        if content.bytes().next().is_some_and(|byte| !is(byte, SPACE)) {
            return malformed(
                behind,
                "no white space behind the name of a processing instruction",
            );
        }
        self.at = behind + length + 2;
        if name == "xml" {
            return match start {
                0 => self.declaration(content).map(Token::Declaration),
                _ => malformed(start, "an XML declaration may stand only at the beginning"),
            };
        }
        if name.eq_ignore_ascii_case("xml") {
            return malformed(
                start,
                "the name of a processing instruction is xml, which is kept for the XML declaration",
            );
        }
        Ok(Token::Aside)
    }

    /// The encoding named by an XML declaration: `version`, `encoding` and `standalone`, in this order (2.8).
    fn declaration(&self, content: &'b str) -> Read<Option<&'b str>> {
        let mut rest = content;
        let mut encoding = None;
        let mut is_versioned = false;
        for key in ["version", "encoding", "standalone"] {
            let Some(value) = pseudo_attribute(&mut rest, key) else {
                continue;
            };
            let is_right = match key {
                "version" => {
                    is_versioned = true;
                    let minor = value.strip_prefix("1.").unwrap_or_default();
                    !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit())
                }
                "encoding" => {
                    encoding = Some(value);
                    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
                    value.starts_with(|first: char| first.is_ascii_alphabetic())
                        && value.bytes().all(is_part)
                }
                _ => matches!(value, "yes" | "no"),
            };
            if !is_right {
                let what = format!("the XML declaration says {key}={}", shown(value));
                return malformed(self.start, what);
            }
        }
        if !is_versioned || !rest.bytes().all(|byte| is(byte, SPACE)) {
            let what = "the XML declaration is not <?xml version=\"1.0\" encoding=\"...\"?>";
            return malformed(self.start, what);
        }
        Ok(encoding)
    }

    /// `&name;` at `from`: the character it stands for, and where it ends.
    fn reference(&self, from: usize) -> Read<(char, usize)> {
        let rest = &self.body[from + 1..];
        let is_part = |byte: &u8| *byte == b'#' || is(*byte, NAME);
        let length = rest.bytes().take_while(|byte| is_part(byte)).count();
        let name = &rest[..length];
        if name.is_empty() || rest.as_bytes().get(length) != Some(&b';') {
            let what = "a & that begins no reference; one that is text is written &amp;";
            return malformed(from, what);
        }
        let end = from + length + 2;
        let Some(character) = referred(name) else {
            return Err(Malformed {
                at: from,
                rule: rule::ENTITY,
                what: format!(
                    "{} is no character reference and none of the five predefined entities",
                    shown(&self.body[from..end])
                )
                .into(),
            });
        };
        Ok((character, end))
    }
}

/// `name="value"` behind white space, if it is the next.
fn pseudo_attribute<'b>(rest: &mut &'b str, name: &str) -> Option<&'b str> {
    let space = |text: &'b str| text.trim_start_matches(WHITE_SPACE);
    let from = space(rest);
    if from.len() == rest.len() {
        return None;
    }
    let from = space(space(from.strip_prefix(name)?).strip_prefix('=')?);
    let quote = from
        .chars()
        .next()
        .filter(|first| matches!(first, '"' | '\''))?;
    let (value, behind) = from[1..].split_once(quote)?;
    *rest = behind;
    Some(value)
}

/// What a reference stands for (4.1, 4.6): a character of the document, by number or by one of five names.
fn referred(name: &str) -> Option<char> {
    let number = |digits: &str, radix: u32| {
        // `+` would be read.
        let is_number = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let number = is_number.then(|| u32::from_str_radix(digits, radix).ok());
        number.flatten().and_then(char::from_u32)
    };
    let Some(of_number) = name.strip_prefix('#') else {
        return predefined(name);
    };
    let character = match of_number.strip_prefix('x') {
        Some(digits) => number(digits, 16)?,
        None => number(of_number, 10)?,
    };
    let is_allowed = !matches!(character, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    is_allowed.then_some(character)
}

/// The five entities that every document has (4.6).
pub(in crate::format) fn predefined(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => return None,
    })
}

/// Whether all characters may stand in a name where they do (2.3, productions 4 and 4a).
#[cold]
fn is_name(text: &str) -> bool {
    let begins = |character: char| {
        matches!(character,
            ':' | 'A'..='Z' | '_' | 'a'..='z' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}'
            | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}' | '\u{200c}' | '\u{200d}' | '\u{2070}'..='\u{218f}'
            | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}'
            | '\u{10000}'..='\u{effff}')
    };
    let goes_on = |character: char| {
        begins(character)
            || matches!(character, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}' | '\u{2040}')
    };
    let mut characters = text.chars();
    characters.next().is_some_and(begins) && characters.all(goes_on)
}
