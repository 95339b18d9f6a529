//! SWIFT MT: FIN messages in their blocks, and the bare text of statements as banks hand them out.
//!
//! ```text
//! {1:F01…}{2:I103…N}{3:{121:…}}{4:⏎:20:REF⏎:32A:261123EUR12,50⏎-}{5:{CHK:…}}      FIN
//! ABNANL2A⏎940⏎ABNANL2A⏎:20:REF⏎:25:517852257⏎…⏎:62F:C261123EUR8,⏎-⏎               bare
//! ```
//!
//! A body holds any number of messages. What stands around them (header lines of a bank, `$` of an
//! RJE file, control characters of a DOS-PCC file) is no field and passed over. Lines end with LF, CR
//! or both.
//!
//! # Invariants
//!
//! - A block 4 that is not closed is refused: the message may lack its end.
//! - A message of a type that the source does not list is refused, never skipped.
//! - A field is handed over as it stands, without its tag; `parts` cuts those that have a grammar.
//!
//! Sources: SWIFT Standards, category 1, 2 and 9 ("General Field Definitions"); for what banks do, the
//! samples in `tests/data`.

mod information;
mod parts;
mod party;
mod statement;
mod values;

use crate::plan::ROOT;
use crate::record::{Assembler, Value};
use crate::refusal::{Refusal, rule};
use parts::NON_SWIFT;
pub(crate) use parts::{Grammar, grammar, is_tag};

/// Which fields of which messages make a record.
#[derive(Debug)]
pub(crate) struct MtPlan {
    /// Accepted message types, such as `103`.
    pub(crate) types: Vec<Box<str>>,
    /// `None`: the message is the record.
    pub(crate) record: Option<RecordFields>,
}

/// The fields of a record inside of a message.
#[derive(Debug)]
pub(crate) struct RecordFields {
    /// The field that a record begins with.
    pub(crate) first: Box<str>,
    /// Those that may follow; empty: all up to the next record or the end of the message.
    pub(crate) more: Vec<Box<str>>,
}

/// Where in the body the decoder is.
struct Decoder<'p> {
    plan: &'p MtPlan,
    /// A message has begun and not ended.
    is_open: bool,
    /// The open message is the network's acknowledgement and no message of anybody's.
    is_service: bool,
    messages: u64,
    /// BIC of block 1.
    own_bic: Option<(usize, usize)>,
    /// Where the last field ended.
    end: usize,
}

/// Decodes SWIFT MT messages.
pub(crate) fn decode(records: &mut Assembler<'_, '_>, plan: &MtPlan) -> Result<(), Refusal> {
    let mut decoder = Decoder {
        plan,
        is_open: false,
        is_service: false,
        messages: 0,
        own_bic: None,
        end: 0,
    };
    let body = records.body;
    let mut at = 0;
    while let Some(found) = next_start(body, at) {
        at = match found {
            Start::Block(at) => decoder.block(records, at)?,
            Start::Field(at) => decoder.fields(records, at, false)?,
        };
    }
    decoder.close_message(records)?;
    if decoder.messages == 0 {
        let detail =
            "there is no SWIFT message: neither a block such as {1:F01… nor a line such as :20:…";
        return Err(records.refuse(body.len(), None, rule::SWIFT_MT, detail));
    }
    Ok(())
}

/// What begins next in the body.
enum Start {
    Block(usize),
    Field(usize),
}

/// Finds the next block, or line that begins with a tag; `from` counts as the beginning of a line.
///
/// Looks at each byte once, so that a body of many blocks in one line costs no more than another.
fn next_start(body: &str, from: usize) -> Option<Start> {
    let mut at = from;
    let mut is_line_start = true;
    loop {
        if is_line_start && tag_at(&body[at..]).is_some_and(|(tag, _)| tag != NON_SWIFT) {
            return Some(Start::Field(at));
        }
        let found = at + memchr::memchr3(b'{', b'\r', b'\n', &body.as_bytes()[at..])?;
        is_line_start = body.as_bytes()[found] != b'{';
        if !is_line_start && is_block(body, found) {
            return Some(Start::Block(found));
        }
        at = found + 1;
    }
}

/// Whether a block begins here: `{1:` to `{5:` or `{S:`.
fn is_block(body: &str, at: usize) -> bool {
    let bytes = body.as_bytes().get(at + 1..at + 3);
    matches!(bytes, Some([b'1'..=b'5' | b'S', b':']))
}

/// Whether a line begins a message in blocks, perhaps behind something else.
fn has_block_1(line: &str) -> bool {
    line.contains("{1:")
}

fn line_end(body: &str, at: usize) -> usize {
    memchr::memchr2(b'\r', b'\n', &body.as_bytes()[at..]).map_or(body.len(), |length| at + length)
}

fn after_line_end(body: &str, end: usize) -> usize {
    match body.as_bytes().get(end..) {
        Some([b'\r', b'\n', ..]) => end + 2,
        Some([_, ..]) => end + 1,
        _ => end,
    }
}

/// The tag that a line begins with, and where its text begins: `:61:` → `61`, 4.
fn tag_at(line: &str) -> Option<(&str, usize)> {
    let rest = line.strip_prefix(':')?;
    let length = if rest.as_bytes().get(2) == Some(&b':') {
        2
    } else if rest.as_bytes().get(3) == Some(&b':') {
        3
    } else {
        return None;
    };
    let tag = rest.get(..length)?;
    is_tag(tag).then_some((tag, length + 2))
}

/// Whether a line ends the text of a bare message: `-`, `-}`, or `-` and what a bank's program adds.
fn ends_bare_text(line: &str) -> bool {
    let Some(rest) = line.strip_prefix('-') else {
        // Rabobank begins each statement with the line `:940:`.
        let number = line
            .strip_prefix(':')
            .and_then(|rest| rest.strip_suffix(':'));
        return number.is_some_and(|number| {
            number.len() == 3 && number.bytes().all(|byte| byte.is_ascii_digit())
        });
    };
    let rest =
        rest.trim_matches(|character: char| character.is_whitespace() || character.is_control());
    rest.is_empty() || rest.starts_with('}') || rest == "XXX"
}

impl Decoder<'_> {
    /// Reads the block that begins at `start`; answers where it ends.
    fn block(&mut self, records: &mut Assembler<'_, '_>, start: usize) -> Result<usize, Refusal> {
        let body = records.body;
        let text = start + 3;
        let name = &body[start + 1..start + 2];
        if name == "1" {
            self.close_message(records)?;
        }
        if name == "4" && !body[text..].trim_start().starts_with('{') {
            self.open_message(records, start)?;
            let end = line_end(body, text);
            let first = match tag_at(&body[text..end]) {
                Some(_) => text,
                None => after_line_end(body, end),
            };
            return self.fields(records, first, true);
        }
        let Some(end) = closing_brace(body, text) else {
            let detail = format!("the text ends inside of block {name}");
            return Err(records.refuse(body.len(), None, rule::SWIFT_MT, detail));
        };
        let content = &body[text..end];
        match name {
            "1" => self.block_1(records, start, text, content)?,
            _ if self.is_service => self.acknowledgement(records, start, content)?,
            _ => {
                self.open_message(records, start)?;
                if name == "2" {
                    self.message_type(records, start, content)?;
                }
                self.value(records, name, text, end)?;
            }
        }
        self.end = end + 1;
        Ok(end + 1)
    }

    fn block_1(
        &mut self,
        records: &mut Assembler<'_, '_>,
        start: usize,
        text: usize,
        content: &str,
    ) -> Result<(), Refusal> {
        // Service 01 is a message between users; 21 is the network's answer to one.
        self.is_service = content.get(1..3).is_some_and(|service| service != "01");
        if self.is_service {
            return Ok(());
        }
        self.open_message(records, start)?;
        self.own_bic = content.get(3..15).map(|_| (text + 3, text + 15));
        self.value(records, "1", text, text + content.len())
    }

    /// The network's answer: what it rejected must not count.
    fn acknowledgement(
        &mut self,
        records: &mut Assembler<'_, '_>,
        start: usize,
        content: &str,
    ) -> Result<(), Refusal> {
        if content.contains("{451:1}") {
            let detail = "the network rejected this message (451:1), so it moves no money";
            return Err(records.refuse(start, Some("451"), rule::SWIFT_MT, detail));
        }
        Ok(())
    }

    fn message_type(
        &self,
        records: &mut Assembler<'_, '_>,
        start: usize,
        content: &str,
    ) -> Result<(), Refusal> {
        let found = content.get(1..4).unwrap_or_default();
        if self.plan.types.iter().any(|known| **known == *found) {
            return Ok(());
        }
        let detail = format!(
            "the message is an MT{}, this source reads MT{}",
            found.escape_debug(),
            self.plan.types.join(", MT")
        );
        Err(records.refuse(start, None, rule::MESSAGE_TYPE, detail))
    }

    /// Reads fields from the beginning of a line to the end of the message's text; answers where
    /// that is. `in_block`: the text must end with `-}`.
    fn fields(
        &mut self,
        records: &mut Assembler<'_, '_>,
        start: usize,
        in_block: bool,
    ) -> Result<usize, Refusal> {
        let body = records.body;
        let mut at = start;
        // Where the open field's tag, its text and what is known to belong to it are.
        let mut open: Option<(usize, usize)> = None;
        while at < body.len() {
            let end = line_end(body, at);
            let line = &body[at..end];
            if let Some((_, length)) = tag_at(line) {
                self.finish_field(records, open, at, in_block)?;
                open = Some((at, at + length));
            } else if in_block && line.starts_with("-}") {
                self.finish_field(records, open, at, in_block)?;
                if self.plan.record.is_some() {
                    self.close_record(records)?;
                }
                self.end = at + 2;
                return Ok(self.end);
            } else if !in_block && (ends_bare_text(line) || has_block_1(line)) {
                self.finish_field(records, open, at, in_block)?;
                self.close_message(records)?;
                let is_end = line.starts_with(['-', ':']);
                return Ok(if is_end {
                    after_line_end(body, end)
                } else {
                    at
                });
            }
            at = after_line_end(body, end);
        }
        if in_block {
            let detail = "the text ends inside of block 4, which a line with -} closes";
            return Err(records.refuse(body.len(), None, rule::SWIFT_MT, detail));
        }
        self.finish_field(records, open, body.len(), in_block)?;
        Ok(body.len())
    }

    /// The field that began with its tag at `open.0` ends before `limit`.
    fn finish_field(
        &mut self,
        records: &mut Assembler<'_, '_>,
        open: Option<(usize, usize)>,
        limit: usize,
        in_block: bool,
    ) -> Result<(), Refusal> {
        let Some((start, text)) = open else {
            return Ok(());
        };
        let body = records.body;
        let tag = &body[start + 1..text - 1];
        let end = text + body[text..limit].trim_end().len();
        if !in_block && tag == "20" {
            self.close_message(records)?;
        }
        self.open_message(records, start)?;
        if let Some(record) = &self.plan.record {
            if *record.first == *tag {
                self.close_record(records)?;
                records.begin_record(start)?;
            } else if !record.more.is_empty() && !record.more.iter().any(|more| **more == *tag) {
                self.close_record(records)?;
            }
        }
        self.value(records, tag, text, end)?;
        self.end = end;
        Ok(())
    }

    fn open_message(
        &mut self,
        records: &mut Assembler<'_, '_>,
        start: usize,
    ) -> Result<(), Refusal> {
        if self.is_open {
            return Ok(());
        }
        self.is_open = true;
        self.is_service = false;
        self.messages += 1;
        if self.plan.record.is_some() {
            records.open_scope(0);
            return Ok(());
        }
        records.begin_record(start)
    }

    fn close_message(&mut self, records: &mut Assembler<'_, '_>) -> Result<(), Refusal> {
        self.close_record(records)?;
        self.is_open = false;
        self.own_bic = None;
        Ok(())
    }

    fn close_record(&self, records: &mut Assembler<'_, '_>) -> Result<(), Refusal> {
        if records.in_record() {
            records.end_record(self.end)?;
        }
        Ok(())
    }

    /// Hands a field or block over, whole and in its parts, as far as the mapping reads them.
    fn value(
        &self,
        records: &mut Assembler<'_, '_>,
        name: &str,
        start: usize,
        end: usize,
    ) -> Result<(), Refusal> {
        let parent = if records.in_record() {
            records.plan.record
        } else {
            ROOT
        };
        if name == "2" {
            self.parties(records, parent, start, end)?;
        }
        let Some(node) = records.plan.child(parent, name) else {
            return Ok(());
        };
        let body = records.body;
        // Lines end alike for whoever looks into the text.
        let normalised;
        let mut text = &body[start..end];
        let is_plain = !text.contains('\r');
        if !is_plain {
            normalised = text.replace("\r\n", "\n").replace('\r', "\n");
            text = &normalised;
        }
        let plan = &records.plan.nodes[usize::from(node)];
        if let Some(slot) = plan.slot {
            let value = if is_plain {
                Value::Body(start, end)
            } else {
                Value::Unescaped(text)
            };
            records.value(slot, value, start)?;
        }
        if plan.children.is_empty() {
            return Ok(());
        }
        let mut sink = parts::Sink::new(records, node, start);
        parts::cut(&mut sink, name, text, end == body.len())
    }

    /// Who sent the message to whom: block 1 names this side, block 2 the other.
    fn parties(
        &self,
        records: &mut Assembler<'_, '_>,
        parent: u16,
        start: usize,
        end: usize,
    ) -> Result<(), Refusal> {
        let body = records.body;
        let own = self.own_bic.map(|(start, end)| &body[start..end]);
        let block = &body[start..end];
        let other = parts::other_terminal(block);
        let (sender, receiver) = if block.starts_with('O') {
            (other, own)
        } else {
            (own, other)
        };
        let mut sink = parts::Sink::new(records, parent, start);
        for (name, terminal) in [("sender", sender), ("receiver", receiver)] {
            if let Some(terminal) = terminal {
                sink.put(name, &parts::bic_of_terminal(terminal))?;
            }
        }
        Ok(())
    }
}

/// Where the block that the text at `start` is inside of is closed.
fn closing_brace(body: &str, start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for at in memchr::memchr2_iter(b'{', b'}', &body.as_bytes()[start..]) {
        if body.as_bytes()[start + at] == b'{' {
            depth += 1;
        } else if depth == 0 {
            return Some(start + at);
        } else {
            depth -= 1;
        }
    }
    None
}
