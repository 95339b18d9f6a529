//! OFX: Open Financial Exchange, 1.x in SGML and 2.x in XML, with one reader for both.
//!
//! ```text
//! OFXHEADER:100 …                                   1.x: header lines, then SGML
//! <OFX><STMTTRN><TRNAMT>-6.60<FITID>1<NAME>AT&T</STMTTRN></OFX>
//! <?xml …?><?OFX OFXHEADER="200" …?><OFX>…          2.x
//! ```
//!
//! In SGML an element with text needs no end tag: it ends where the next tag begins. So an element
//! that has text is never one that others are inside of. A transaction whose end tag is missing ends where
//! the next one begins.
//!
//! # What is made of texts
//!
//! - Elements whose names begin with `DT` are handed over as ISO 8601: `20090401122017.000[-5:EST]` is
//!   `2009-04-01T12:20:17.000-05:00` (OFX 2.2, 3.2.8.2).
//! - In elements whose names end with `AMT` a decimal comma becomes a point (OFX 2.2, 3.2.9.1 allows
//!   both), unless three digits follow it: that may be a thousands separator.
//! - An `&` that begins no entity is itself: banks write `AT&T`.
//!
//! # Invariants
//!
//! - No recursion: one stack of elements, bounded by `depth_max`.
//! - An answer of errors (SEVERITY is ERROR) without any transaction is refused: nothing says that there was none.
//! - A DOCTYPE is refused. An end tag without its element, or a text that ends inside of `<OFX>`, ends
//!   the document.

mod text;

use crate::plan::{NodeId, Plan, ROOT, SlotId};
use crate::record::{Assembler, Value};
use crate::refusal::{Refusal, rule, shown};
use text::{made_of, unescape};

/// An element at this node is skipped.
const SKIP: NodeId = NodeId::MAX;

/// Elements that hold a text, never others: banks write them empty and without an end tag.
const LEAVES: &[&str] = &[
    "MEMO",
    "NAME",
    "CHECKNUM",
    "REFNUM",
    "SIC",
    "PAYEEID",
    "SRVRTID",
    "CORRECTFITID",
    "BRANCHID",
    "ACCTKEY",
    "ORG",
    "FID",
    "MESSAGE",
    "EXTDNAME",
];

/// What a source does not read.
#[derive(Debug, Default)]
pub(crate) struct OfxPlan {
    /// Elements that refuse the document, because there are transactions in them.
    pub(crate) refuse: Vec<Box<str>>,
}

/// An element that has begun.
#[derive(Debug, Clone, Copy)]
struct Frame {
    /// Its name in the body.
    name: (usize, usize),
    node: NodeId,
    slot: Option<SlotId>,
    is_record: bool,
    /// Where its text begins.
    text: usize,
    /// It has had a text or an element inside.
    is_filled: bool,
}

struct Decoder<'b> {
    plan: &'b OfxPlan,
    body: &'b str,
    frames: Vec<Frame>,
    roots: usize,
    unescaped: String,
    /// Text of the last CODE: what a SEVERITY behind it is about.
    code: (usize, usize),
    /// Code and place of the first answer that is an error.
    error: Option<((usize, usize), usize)>,
}

/// Decodes an OFX document.
pub(crate) fn decode(records: &mut Assembler<'_, '_>, plan: &OfxPlan) -> Result<(), Refusal> {
    let body = records.body;
    let mut decoder = Decoder {
        plan,
        body,
        frames: Vec::with_capacity(16),
        roots: 0,
        unescaped: String::new(),
        code: (0, 0),
        error: None,
    };
    if records.plan.scopes > 0 {
        records.open_scope(0);
    }
    let mut at = next_tag(body, 0);
    while at < body.len() {
        at = decoder.tag(records, at)?;
        let next = next_tag(body, at);
        decoder.text(records, at, next)?;
        at = next;
    }
    if let Some(frame) = decoder.frames.first() {
        let detail = format!("the text ends inside of <{}>", decoder.name(frame));
        return Err(records.refuse(body.len(), None, rule::OFX, detail));
    }
    if decoder.roots == 0 {
        let detail = "there is no element <OFX> in the document";
        return Err(records.refuse(body.len(), None, rule::OFX, detail));
    }
    if let Some((code, at)) = decoder.error
        && records.counts().records == 0
    {
        let code = shown(&body[code.0..code.1]);
        let detail =
            format!("the server answers with an error (code {code}), not with a statement");
        return Err(records.refuse(at, None, rule::OFX, detail));
    }
    Ok(())
}

/// Where the next tag begins: a `<` before a letter, `/`, `!` or `?`.
fn next_tag(body: &str, from: usize) -> usize {
    let bytes = body.as_bytes();
    memchr::memchr_iter(b'<', &bytes[from..])
        .map(|at| from + at)
        .find(|at| {
            bytes.get(at + 1).is_some_and(|byte| {
                byte.is_ascii_alphabetic() || matches!(byte, b'/' | b'!' | b'?')
            })
        })
        .unwrap_or(body.len())
}

impl Decoder<'_> {
    fn name(&self, frame: &Frame) -> String {
        let name = &self.body[frame.name.0..frame.name.1];
        name.chars().flat_map(char::escape_debug).collect()
    }

    /// Reads the tag at `start`; answers where it ends.
    fn tag(&mut self, records: &mut Assembler<'_, '_>, start: usize) -> Result<usize, Refusal> {
        let rest = &self.body[start..];
        for (open, close) in [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>")] {
            if let Some(inside) = rest.strip_prefix(open) {
                let length = inside.find(close).ok_or_else(|| {
                    let detail = format!("{open} is not closed by {close}");
                    records.refuse(start, None, rule::OFX, detail)
                })?;
                let end = start + open.len() + length;
                if open == "<![CDATA[" {
                    self.character_data(records, start + open.len(), end)?;
                }
                return Ok(end + close.len());
            }
        }
        if rest.starts_with("<!") {
            let detail = "the document has a DOCTYPE; document type definitions are never read";
            return Err(records.refuse(start, None, rule::DOCTYPE, detail));
        }
        let Some(length) = memchr::memchr(b'>', rest.as_bytes()) else {
            return Err(records.refuse(start, None, rule::OFX, "a tag has no > behind it"));
        };
        let end = start + length;
        let is_end = rest.starts_with("</");
        let first = start + 1 + usize::from(is_end);
        let inside = &self.body[first..end];
        let name = inside
            .split(|character: char| character.is_whitespace() || character == '/')
            .next()
            .unwrap_or_default();
        if name.len() > records.limits.name_bytes_max {
            let detail = format!(
                "a name has more than {} bytes",
                records.limits.name_bytes_max
            );
            return Err(records.refuse(start, None, rule::NAME_BYTES, detail));
        }
        if is_end {
            self.end_tag(records, name, start, end + 1)?;
        } else {
            self.open(records, (first, first + name.len()), start, end + 1)?;
            if inside.ends_with('/') {
                self.close(records, end + 1)?;
            }
        }
        Ok(end + 1)
    }

    /// An element begins; those that hold a text end here.
    fn open(
        &mut self,
        records: &mut Assembler<'_, '_>,
        name: (usize, usize),
        start: usize,
        text: usize,
    ) -> Result<(), Refusal> {
        while self
            .frames
            .last()
            .is_some_and(|frame| self.is_leaf(records.plan, frame))
        {
            self.close(records, start)?;
        }
        // No aggregate is inside of one of its name: the end tag of the record before is missing.
        let is_same = |frame: &Frame| {
            frame.is_record
                && self.body[frame.name.0..frame.name.1]
                    .eq_ignore_ascii_case(&self.body[name.0..name.1])
        };
        if let Some(index) = self.frames.iter().rposition(is_same) {
            while self.frames.len() > index {
                self.close(records, start)?;
            }
        }
        if self.frames.len() >= records.limits.depth_max {
            let detail = format!("nested deeper than {} levels", records.limits.depth_max);
            return Err(records.refuse(start, None, rule::DEPTH, detail));
        }
        let parent = match self.frames.last() {
            Some(frame) => frame.node,
            None if self.roots == 0 => {
                self.roots += 1;
                ROOT
            }
            None => {
                let detail = "there is a second element behind <OFX>";
                return Err(records.refuse(start, None, rule::OFX, detail));
            }
        };
        let shown_name = &self.body[name.0..name.1];
        if self.frames.is_empty() && !shown_name.eq_ignore_ascii_case("OFX") {
            let detail = format!("the document is {}, <OFX> is expected", shown(shown_name));
            return Err(records.refuse(start, None, rule::OFX, detail));
        }
        let mut unread = self.plan.refuse.iter();
        if let Some(name) = unread.find(|name| name.eq_ignore_ascii_case(shown_name)) {
            let detail = format!("the document has <{name}>, which this source does not read");
            return Err(records.refuse(start, Some(name), rule::UNSUPPORTED, detail));
        }
        let mut frame = Frame {
            name,
            node: child(records.plan, parent, shown_name),
            slot: None,
            is_record: false,
            text,
            is_filled: false,
        };
        if frame.node != SKIP {
            let node = &records.plan.nodes[usize::from(frame.node)];
            frame.slot = node.slot;
            if frame.node == records.plan.record {
                frame.is_record = true;
                records.begin_record(start)?;
            } else if let Some(level) = node.scope {
                records.open_scope(level);
            }
        }
        self.frames.push(frame);
        Ok(())
    }

    /// Whether nothing can be inside of an element but a text.
    fn is_leaf(&self, plan: &Plan, frame: &Frame) -> bool {
        if frame.is_filled {
            return true;
        }
        let is_mapped_leaf = frame.node != SKIP && !frame.is_record && {
            let node = &plan.nodes[usize::from(frame.node)];
            node.slot.is_some() && node.children.is_empty()
        };
        let name = &self.body[frame.name.0..frame.name.1];
        is_mapped_leaf || LEAVES.iter().any(|leaf| name.eq_ignore_ascii_case(leaf))
    }

    /// An element ends, and with it those inside that had no end tag.
    fn end_tag(
        &mut self,
        records: &mut Assembler<'_, '_>,
        name: &str,
        start: usize,
        end: usize,
    ) -> Result<(), Refusal> {
        let same = |frame: &Frame| self.body[frame.name.0..frame.name.1].eq_ignore_ascii_case(name);
        let Some(index) = self.frames.iter().rposition(same) else {
            let detail = format!(
                "</{}> ends an element that has not begun",
                name.escape_debug()
            );
            return Err(records.refuse(start, None, rule::OFX, detail));
        };
        while self.frames.len() > index + 1 {
            self.close(records, start)?;
        }
        self.close(records, end)
    }

    fn close(&mut self, records: &mut Assembler<'_, '_>, end: usize) -> Result<(), Refusal> {
        match self.frames.pop() {
            Some(frame) if frame.is_record => records.end_record(end),
            _ => Ok(()),
        }
    }

    /// The text between two tags.
    fn text(
        &mut self,
        records: &mut Assembler<'_, '_>,
        start: usize,
        end: usize,
    ) -> Result<(), Refusal> {
        let raw = &self.body[start..end];
        let text = raw.trim();
        if text.is_empty() {
            return Ok(());
        }
        let Some(frame) = self.frames.last_mut() else {
            let detail = "there is text outside of <OFX>";
            return Err(records.refuse(start, None, rule::OFX, detail));
        };
        if frame.text != start {
            // Behind an element inside of it: not a value.
            return Ok(());
        }
        frame.is_filled = true;
        let (frame, offset) = (*frame, start + raw.len() - raw.trim_start().len());
        match &self.body[frame.name.0..frame.name.1] {
            name if name.eq_ignore_ascii_case("CODE") => self.code = (offset, offset + text.len()),
            name if name.eq_ignore_ascii_case("SEVERITY") && text == "ERROR" => {
                self.error = self.error.or(Some((self.code, offset)));
            }
            _ => {}
        }
        let Some(slot) = frame.slot else {
            return Ok(());
        };
        let is_plain = !text.contains(['&', '\r', '\n']);
        if !is_plain {
            self.unescaped.clear();
            unescape(text, &mut self.unescaped);
        }
        let text = if is_plain { text } else { &self.unescaped };
        let name = &self.body[frame.name.0..frame.name.1];
        if let Some(made) = made_of(name, text) {
            return records.value(slot, Value::Unescaped(&made), offset);
        }
        if is_plain {
            return records.value(slot, Value::Body(offset, offset + text.len()), offset);
        }
        records.value(slot, Value::Unescaped(text), offset)
    }

    /// A text in CDATA.
    fn character_data(
        &mut self,
        records: &mut Assembler<'_, '_>,
        start: usize,
        end: usize,
    ) -> Result<(), Refusal> {
        let text = self.body[start..end].trim();
        let Some(frame) = self.frames.last_mut() else {
            let detail = "there is text outside of <OFX>";
            return Err(records.refuse(start, None, rule::OFX, detail));
        };
        frame.is_filled = true;
        match frame.slot {
            Some(slot) if !text.is_empty() => records.value(slot, Value::Unescaped(text), start),
            _ => Ok(()),
        }
    }
}

/// The node of an element: by its name, else the one that stands for any name.
fn child(plan: &Plan, parent: NodeId, name: &str) -> NodeId {
    if parent == SKIP {
        return SKIP;
    }
    let children = &plan.nodes[usize::from(parent)].children;
    let named = children
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name));
    named
        .or_else(|| children.iter().find(|(known, _)| **known == *"*"))
        .map_or(SKIP, |(_, child)| *child)
}
