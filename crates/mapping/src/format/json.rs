//! JSON: one object, an array of objects, objects one after the other (NDJSON).
//!
//! A pull parser of our own, because a general one hands out numbers as floats, lets duplicate keys
//! pass and does not say where a record stands. A property test compares what it accepts with
//! `serde_json`.
//!
//! Arrays are transparent: each element of an array stands for the array's own path. So an array at
//! the record path is many records, and an array of texts is a repeated value.

use std::hash::BuildHasher as _;

use crate::json_schema::JsonSchema;
use crate::plan::{NodeId, ROOT};
use crate::record::{Assembler, Value};
use crate::refusal::{Problem, Refusal, rule, shown};

/// A value at this node is skipped.
const SKIP: NodeId = NodeId::MAX;

/// An object or array that has begun.
#[derive(Debug, Clone, Copy)]
struct Frame {
    node: NodeId,
    is_object: bool,
    is_record: bool,
    /// Where this object's keys begin in `keys`.
    keys_start: u32,
}

/// What follows in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// A value for this node.
    Value(NodeId),
    /// The value just read is complete.
    After,
}

/// Decodes a body of JSON objects.
///
/// `lines`: the sender says that each line is one object, so that a line that is not well-formed is
/// one refused record and not the end of the request.
///
/// `schema`: what each record is held against once it has been read.
pub(crate) fn decode(
    records: &mut Assembler<'_, '_>,
    schema: Option<&JsonSchema>,
    lines: bool,
) -> Result<(), Refusal> {
    let mut parser = Parser {
        schema,
        record_start: 0,
        text: records.body,
        bytes: records.body.as_bytes(),
        at: 0,
        frames: Vec::with_capacity(16),
        keys: Vec::with_capacity(32),
        hasher: foldhash::fast::RandomState::default(),
        unescaped: String::new(),
    };
    if !lines {
        return parser.documents(records);
    }
    let body = records.body;
    let mut start = 0;
    while start < body.len() {
        let end =
            memchr::memchr(b'\n', &body.as_bytes()[start..]).map_or(body.len(), |at| start + at);
        // The parser sees no further than the line, so that a broken one does not swallow the next.
        parser.text = &body[..end];
        parser.bytes = parser.text.as_bytes();
        parser.at = start;
        if let Err(refusal) = parser.documents(records) {
            if !is_syntax(refusal.rule) {
                return Err(refusal);
            }
            if !records.in_record() {
                records.begin_record(start)?;
            }
            let record = Some(records.number());
            records.abandon_record(Refusal { record, ..refusal }, end);
            parser.frames.clear();
            parser.keys.clear();
        }
        start = end + 1;
    }
    Ok(())
}

/// Rules that spoil one line of NDJSON, not the request.
fn is_syntax(name: &str) -> bool {
    [
        rule::JSON,
        rule::DEPTH,
        rule::KEYS,
        rule::NAME_BYTES,
        rule::TYPE,
    ]
    .contains(&name)
}

struct Parser<'b> {
    schema: Option<&'b JsonSchema>,
    /// Where the record begins that is being read.
    record_start: usize,
    text: &'b str,
    bytes: &'b [u8],
    at: usize,
    frames: Vec<Frame>,
    /// Hashes of the keys of the open objects that the mapping reads from.
    keys: Vec<u64>,
    /// Seeded by chance, so that nobody can prepare keys that collide.
    hasher: foldhash::fast::RandomState,
    unescaped: String,
}

/// A string as it stands between its quotes.
#[derive(Debug, Clone, Copy)]
struct Token {
    start: usize,
    end: usize,
    escaped: bool,
}

impl Parser<'_> {
    /// Reads values to the end of the text.
    fn documents(&mut self, records: &mut Assembler<'_, '_>) -> Result<(), Refusal> {
        self.skip_space();
        while self.at < self.bytes.len() {
            self.document(records)?;
            self.skip_space();
        }
        Ok(())
    }

    /// Reads one value, whatever is nested in it.
    fn document(&mut self, records: &mut Assembler<'_, '_>) -> Result<(), Refusal> {
        let mut next = Next::Value(ROOT);
        loop {
            next = match next {
                Next::Value(node) => self.value(records, node)?,
                Next::After => match self.frames.last().copied() {
                    None => return Ok(()),
                    Some(frame) => self.after(records, frame)?,
                },
            };
        }
    }

    fn value(&mut self, records: &mut Assembler<'_, '_>, node: NodeId) -> Result<Next, Refusal> {
        self.skip_space();
        let start = self.at;
        match self.bytes.get(start) {
            Some(b'{') => self.open_object(records, node),
            Some(b'[') => {
                self.open(records, node, false)?;
                self.skip_space();
                if self.bytes.get(self.at) == Some(&b']') {
                    return self.close(records);
                }
                Ok(Next::Value(node))
            }
            Some(b'"') => {
                let token = self.string(records)?;
                self.scalar(records, node, token, start)?;
                Ok(Next::After)
            }
            Some(b'-' | b'0'..=b'9') => {
                let token = self.number(records)?;
                self.scalar(records, node, token, start)?;
                Ok(Next::After)
            }
            Some(b't') => self.word(records, node, "true"),
            Some(b'f') => self.word(records, node, "false"),
            Some(b'n') => self.word(records, node, "null"),
            Some(_) => Err(self.syntax(records, "a value is expected here")),
            None => Err(self.syntax(records, "the text ends where a value is expected")),
        }
    }

    fn open(
        &mut self,
        records: &mut Assembler<'_, '_>,
        node: NodeId,
        is_object: bool,
    ) -> Result<(), Refusal> {
        if self.frames.len() >= records.limits.depth_max {
            let detail = format!("nested deeper than {} levels", records.limits.depth_max);
            return Err(records.refuse(self.at, None, rule::DEPTH, detail));
        }
        let is_record = is_object && node == records.plan.record;
        self.frames.push(Frame {
            node,
            is_object,
            is_record,
            keys_start: self.keys.len() as u32,
        });
        if is_record {
            self.record_start = self.at;
            records.begin_record(self.at)?;
        } else if node != SKIP {
            let plan = &records.plan.nodes[usize::from(node)];
            if let Some(slot) = plan.slot
                && is_object
                && plan.children.is_empty()
            {
                let path = records.slot_path(slot);
                let detail = format!("{path} is an object, a text or number is expected");
                records.spoil(self.at, Problem::new(path, rule::TYPE, detail))?;
            }
        }
        self.at += 1;
        Ok(())
    }

    fn open_object(
        &mut self,
        records: &mut Assembler<'_, '_>,
        node: NodeId,
    ) -> Result<Next, Refusal> {
        if node != SKIP
            && let Some(level) = records.plan.nodes[usize::from(node)].scope
        {
            records.open_scope(level);
        }
        self.open(records, node, true)?;
        self.skip_space();
        if self.bytes.get(self.at) == Some(&b'}') {
            return self.close(records);
        }
        self.key(records, node)
    }

    /// Reads a key and its colon; answers the node that its value belongs to.
    fn key(&mut self, records: &mut Assembler<'_, '_>, node: NodeId) -> Result<Next, Refusal> {
        self.skip_space();
        let start = self.at;
        if self.bytes.get(start) != Some(&b'"') {
            return Err(self.syntax(records, "a key in double quotes is expected here"));
        }
        let token = self.string(records)?;
        if token.end - token.start > records.limits.name_bytes_max {
            let detail = format!(
                "a key has more than {} bytes",
                records.limits.name_bytes_max
            );
            return Err(records.refuse(start, None, rule::NAME_BYTES, detail));
        }
        let child = if node == SKIP {
            SKIP
        } else {
            self.child(records, node, token, start)?
        };
        self.skip_space();
        if self.bytes.get(self.at) != Some(&b':') {
            return Err(self.syntax(records, "a colon is expected here"));
        }
        self.at += 1;
        Ok(Next::Value(child))
    }

    /// Looks a key up in the trie and refuses it if the object has had it already.
    fn child(
        &mut self,
        records: &mut Assembler<'_, '_>,
        node: NodeId,
        token: Token,
        offset: usize,
    ) -> Result<NodeId, Refusal> {
        let raw = &self.text[token.start..token.end];
        let name = if token.escaped {
            self.unescaped.clear();
            if unescape(raw, &mut self.unescaped).is_none() {
                return Err(self.bad_escape(records, offset));
            }
            self.unescaped.as_str()
        } else {
            raw
        };
        let hash = self.hasher.hash_one(name);
        let start = self
            .frames
            .last()
            .map_or(0, |frame| frame.keys_start as usize);
        let siblings = &self.keys[start..];
        if siblings.contains(&hash) {
            let detail = format!("the key {} stands twice in one object", shown(name));
            let problem = Problem::new(name, rule::DUPLICATE_KEY, detail);
            records.spoil(offset, problem)?;
        }
        if siblings.len() >= records.limits.keys_max {
            let detail = format!("an object has more than {} keys", records.limits.keys_max);
            return Err(records.refuse(offset, None, rule::KEYS, detail));
        }
        self.keys.push(hash);
        Ok(records.plan.child(node, name).unwrap_or(SKIP))
    }

    fn close(&mut self, records: &mut Assembler<'_, '_>) -> Result<Next, Refusal> {
        self.at += 1;
        if let Some(frame) = self.frames.pop() {
            self.keys.truncate(frame.keys_start as usize);
            if frame.is_record {
                self.validate(records)?;
                records.end_record(self.at)?;
            }
        }
        Ok(Next::After)
    }

    /// Holds the record that ends here against the schema, if it is otherwise well.
    fn validate(&self, records: &mut Assembler<'_, '_>) -> Result<(), Refusal> {
        let Some(schema) = self.schema.filter(|_| !records.has_problem()) else {
            return Ok(());
        };
        let Err(violation) = schema.check(&self.text[self.record_start..self.at]) else {
            return Ok(());
        };
        let offset = self.record_start + violation.offset;
        let problem = Problem {
            field: (!violation.pointer.is_empty()).then(|| violation.pointer.into()),
            rule: rule::SCHEMA,
            detail: violation.detail,
        };
        records.spoil(offset, problem)
    }

    /// Behind a value inside of an object or array: a comma and more, or the end.
    fn after(&mut self, records: &mut Assembler<'_, '_>, frame: Frame) -> Result<Next, Refusal> {
        self.skip_space();
        match (self.bytes.get(self.at), frame.is_object) {
            (Some(b','), true) => {
                self.at += 1;
                self.key(records, frame.node)
            }
            (Some(b','), false) => {
                self.at += 1;
                Ok(Next::Value(frame.node))
            }
            (Some(b'}'), true) | (Some(b']'), false) => self.close(records),
            (_, true) => Err(self.syntax(records, "a comma or } is expected here")),
            (_, false) => Err(self.syntax(records, "a comma or ] is expected here")),
        }
    }

    /// A text or number for a node.
    fn scalar(
        &mut self,
        records: &mut Assembler<'_, '_>,
        node: NodeId,
        token: Token,
        offset: usize,
    ) -> Result<(), Refusal> {
        if node == SKIP || records.has_problem() && records.in_record() {
            // Also what nobody reads must be well-formed.
            if token.escaped && unescape_check(&self.text[token.start..token.end]).is_none() {
                return Err(self.bad_escape(records, offset));
            }
            return Ok(());
        }
        let Some(slot) = records.plan.nodes[usize::from(node)].slot else {
            return self.misplaced(records, node, offset);
        };
        if !token.escaped {
            return records.value(slot, Value::Body(token.start, token.end), offset);
        }
        self.unescaped.clear();
        if unescape(&self.text[token.start..token.end], &mut self.unescaped).is_none() {
            return Err(self.bad_escape(records, offset));
        }
        let text = std::mem::take(&mut self.unescaped);
        let result = records.value(slot, Value::Unescaped(&text), offset);
        self.unescaped = text;
        result
    }

    /// A text or number where the mapping expects an object.
    fn misplaced(
        &mut self,
        records: &mut Assembler<'_, '_>,
        node: NodeId,
        offset: usize,
    ) -> Result<(), Refusal> {
        if records.in_record() {
            // Its fields are simply missing; whether that matters the field's rule says.
            return Ok(());
        }
        if node == records.plan.record {
            let detail = "a record must be a JSON object";
            return Err(records.refuse(offset, None, rule::TYPE, detail));
        }
        Ok(())
    }

    fn word(
        &mut self,
        records: &mut Assembler<'_, '_>,
        node: NodeId,
        word: &str,
    ) -> Result<Next, Refusal> {
        let start = self.at;
        if !self.bytes[start..].starts_with(word.as_bytes()) {
            return Err(self.syntax(records, "a value is expected here"));
        }
        self.at += word.len();
        let token = Token {
            start,
            end: self.at,
            escaped: false,
        };
        if word == "null" {
            if node != SKIP && records.plan.nodes[usize::from(node)].slot.is_none() {
                self.misplaced(records, node, start)?;
            }
        } else {
            self.scalar(records, node, token, start)?;
        }
        Ok(Next::After)
    }

    /// Reads a string up to its closing quote without looking into its escapes.
    fn string(&mut self, records: &mut Assembler<'_, '_>) -> Result<Token, Refusal> {
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            match self.bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at += 2;
                }
                Some(0..=0x1f) => {
                    self.at = at;
                    return Err(
                        self.syntax(records, "a control character in a string must be escaped")
                    );
                }
                Some(_) => at += 1,
                None => {
                    self.at = self.bytes.len();
                    return Err(self.syntax(records, "a string has no closing quote"));
                }
            }
        }
        self.at = at + 1;
        Ok(Token {
            start,
            end: at,
            escaped,
        })
    }

    /// Reads a number as text: its value is never a float.
    fn number(&mut self, records: &mut Assembler<'_, '_>) -> Result<Token, Refusal> {
        let start = self.at;
        let mut at = start;
        let digits = |mut at: usize| {
            let from = at;
            while self.bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            (at, at > from)
        };
        if self.bytes[at] == b'-' {
            at += 1;
        }
        let mut valid = true;
        if self.bytes.get(at) == Some(&b'0') {
            at += 1;
        } else {
            (at, valid) = digits(at);
        }
        if valid && self.bytes.get(at) == Some(&b'.') {
            (at, valid) = digits(at + 1);
        }
        if valid && matches!(self.bytes.get(at), Some(b'e' | b'E')) {
            at += 1;
            if matches!(self.bytes.get(at), Some(b'+' | b'-')) {
                at += 1;
            }
            (at, valid) = digits(at);
        }
        self.at = at;
        if !valid || self.bytes.get(at).is_some_and(u8::is_ascii_digit) {
            return Err(self.syntax(records, "this is no JSON number"));
        }
        Ok(Token {
            start,
            end: at,
            escaped: false,
        })
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    fn syntax(&self, records: &mut Assembler<'_, '_>, detail: &str) -> Refusal {
        records.refuse(self.at, None, rule::JSON, detail)
    }

    fn bad_escape(&self, records: &mut Assembler<'_, '_>, offset: usize) -> Refusal {
        let detail = "a string has an escape that is none, or half of a surrogate pair";
        records.refuse(offset, None, rule::JSON, detail)
    }
}

/// Appends the text that a string with escapes stands for; `None` if an escape is malformed.
fn unescape(raw: &str, text: &mut String) -> Option<()> {
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let (character, after) = escape(&rest[at + 1..])?;
        text.push(character);
        rest = after;
    }
    text.push_str(rest);
    Some(())
}

/// Checks the escapes of a string without keeping its text.
fn unescape_check(raw: &str) -> Option<()> {
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        (_, rest) = escape(&rest[at + 1..])?;
    }
    Some(())
}

/// Reads what follows a backslash.
fn escape(text: &str) -> Option<(char, &str)> {
    let letter = text.chars().next()?;
    let rest = &text[letter.len_utf8()..];
    let character = match letter {
        '"' | '\\' | '/' => letter,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let (unit, rest) = code_unit(rest)?;
            return match unit {
                0xd800..=0xdbff => {
                    let (low, rest) = code_unit(rest.strip_prefix("\\u")?)?;
                    if !(0xdc00..=0xdfff).contains(&low) {
                        return None;
                    }
                    let code = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                    Some((char::from_u32(code)?, rest))
                }
                _ => Some((char::from_u32(unit)?, rest)),
            };
        }
        _ => return None,
    };
    Some((character, rest))
}

fn code_unit(text: &str) -> Option<(u32, &str)> {
    let digits = text.get(..4)?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    Some((u32::from_str_radix(digits, 16).ok()?, &text[4..]))
}
