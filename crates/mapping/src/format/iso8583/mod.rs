//! ISO 8583: card messages of an MTI, bitmaps and numbered data elements.
//!
//! `spec` is the table of elements, `encoding` what their bytes mean, `message` finds them in a message,
//! `frame` the messages in a body. `reply` builds the answer to a request, `json` shows a message.
//!
//! Invariants: an element's place follows from the bitmap and the table alone, so a message whose
//! elements do not end where it ends is refused; what the mapping does not read is never looked at, so
//! card data that is not mapped goes nowhere.

mod encoding;
mod frame;
mod json;
mod message;
mod reply;
mod spec;
mod tlv;

use crate::format::copybook::CodePage;
use crate::plan::{SlotId, SlotPlan};
use crate::record::{Assembler, Value};
use crate::refusal::{Problem, Refusal, rule};

pub(crate) use frame::Framing;
pub(crate) use json::show;
pub(crate) use reply::reply;
pub(crate) use spec::{Content, Encoding, FieldSpec, LAST, LENGTH_MAX, Spec};
pub(crate) use tlv::tag_of;

use frame::Frames;
use message::{Message, Wrong};

/// What stands in front of an MTI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// This many bytes, which a reply repeats.
    Bytes(usize),
    /// Identifier, destination, origin: a reply swaps the last two.
    Tpdu,
}

/// How the messages of a source are read.
#[derive(Debug)]
pub(crate) struct Iso8583Plan {
    pub(crate) spec: Spec,
    pub(crate) mti: Encoding,
    pub(crate) bitmap: Encoding,
    pub(crate) page: CodePage,
    pub(crate) header: Header,
    pub(crate) framing: Framing,
    /// MTIs of messages that are no transactions; `x` stands for any digit.
    pub(crate) skip: Vec<Box<str>>,
    /// Elements that a reply repeats.
    pub(crate) echo: Vec<u8>,
    /// For each slot what is read, in the order of the elements.
    pub(crate) reads: Vec<(Path, SlotId)>,
}

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Path {
    /// 0 for the MTI.
    pub(crate) field: u8,
    pub(crate) part: Part,
}

/// What of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Whole,
    /// Characters from and to.
    Between(usize, usize),
    Tag(u32),
}

impl Iso8583Plan {
    /// Settles which elements go to which slot.
    pub(crate) fn bind(&mut self, slots: &[SlotPlan]) {
        let mut reads: Vec<(Path, SlotId)> = slots
            .iter()
            .enumerate()
            .filter_map(|(slot, plan)| Some((path(&self.spec, &plan.path).ok()?, slot as SlotId)))
            .collect();
        reads.sort();
        self.reads = reads;
    }

    fn is_skipped(&self, mti: &[u8; 4]) -> bool {
        let fits = |pattern: &str| {
            pattern.len() == 4
                && pattern
                    .bytes()
                    .zip(mti)
                    .all(|(wanted, digit)| wanted == b'x' || wanted == *digit)
        };
        self.skip.iter().any(|pattern| fits(pattern))
    }
}

/// What a path names; the error says what would be right.
pub(crate) fn path(spec: &Spec, text: &str) -> Result<Path, String> {
    let (number, part) = match text.split_once('/') {
        Some((number, part)) => (number, Some(part)),
        None => (text, None),
    };
    let field = match number {
        "mti" => 0,
        _ => number
            .parse::<u8>()
            .ok()
            .filter(|field| (2..=LAST).contains(field))
            .ok_or_else(|| {
                format!("{text:?} is no path: \"mti\", an element such as \"4\", a part such as \"3/1\" or a tag such as \"55/9F26\"")
            })?,
    };
    let mti = Content::Parts(vec![1; 4]);
    let content = if field == 0 {
        &mti
    } else {
        &spec.get(field)
            .ok_or_else(|| {
                format!("element {field} is not in the specification: describe it in [iso8583.fields.{field}]")
            })?
            .content
    };
    let Some(part) = part else {
        return Ok(Path {
            field,
            part: Part::Whole,
        });
    };
    let part = match content {
        Content::Plain => {
            return Err(format!(
                "element {field} has no parts: give their lengths in [iso8583.fields.{field}] parts = […], or \"tlv\""
            ));
        }
        Content::Tlv => {
            Part::Tag(tag_of(part).ok_or_else(|| {
                format!("{part:?} is no tag in hexadecimal digits such as \"9F26\"")
            })?)
        }
        Content::Parts(lengths) => {
            let index = part
                .parse::<usize>()
                .ok()
                .filter(|index| (1..=lengths.len()).contains(index))
                .ok_or_else(|| format!("{number} has the parts 1 to {}", lengths.len()))?;
            let start = lengths[..index - 1].iter().sum();
            Part::Between(start, start + lengths[index - 1])
        }
    };
    Ok(Path { field, part })
}

/// Decodes a body of messages.
pub(crate) fn decode(
    records: &mut Assembler<'_, '_>,
    plan: &Iso8583Plan,
    body: &[u8],
) -> Result<(), Refusal> {
    let mut frames = Frames::new(plan.framing, body);
    let mut texts = Texts::default();
    let mut message = Message::default();
    loop {
        let (start, end) = match frames.next() {
            Ok(Some(range)) => range,
            Ok(None) => return Ok(()),
            Err((offset, detail)) => {
                return Err(records.refuse(offset, None, rule::FRAMING, detail));
            }
        };
        let bytes = &body[start..end];
        let parsed = message::parse(plan, bytes, &mut message);
        match parsed.and_then(|()| whole(plan, bytes, &message)) {
            Ok(()) => {
                let end = start + message.end;
                frames.ended(end);
                if plan.is_skipped(&message.mti) {
                    records.pass_over(start)?;
                } else {
                    texts.translate(records, plan, bytes, &message, start)?;
                }
            }
            Err(wrong) => {
                let offset = start + wrong.offset.min(bytes.len());
                let field = wrong.field.map(|field| field.to_string());
                if plan.framing == Framing::None {
                    // Without a length nobody knows where the next message begins.
                    return Err(records.refuse(
                        offset,
                        field.as_deref(),
                        rule::ISO8583,
                        wrong.detail,
                    ));
                }
                records.begin_record(start)?;
                let problem = Problem {
                    field: field.map(Into::into),
                    rule: rule::ISO8583,
                    detail: wrong.detail,
                };
                records.spoil(offset, problem)?;
                records.end_record(end)?;
            }
        }
    }
}

/// Whether the message ends where its frame ends.
fn whole(plan: &Iso8583Plan, bytes: &[u8], message: &Message) -> Result<(), Wrong> {
    if plan.framing == Framing::None || message.end == bytes.len() {
        return Ok(());
    }
    Err(Wrong {
        offset: message.end,
        field: None,
        detail: format!(
            "bytes behind the last element: {}; a length or an encoding of the specification is wrong",
            bytes.len() - message.end
        ),
    })
}

/// Buffers of texts, kept from message to message.
#[derive(Debug, Default)]
struct Texts {
    text: String,
    /// Element whose text is in the buffer.
    field: Option<u8>,
}

impl Texts {
    fn translate(
        &mut self,
        records: &mut Assembler<'_, '_>,
        plan: &Iso8583Plan,
        bytes: &[u8],
        message: &Message,
        base: usize,
    ) -> Result<(), Refusal> {
        records.begin_record(base)?;
        self.field = None;
        for (path, slot) in &plan.reads {
            let offset = base + message.place(path.field).map_or(0, |place| place.start);
            let read = self.read(plan, bytes, message, *path);
            match read {
                Ok(Some(text)) => records.value(*slot, Value::Unescaped(text), offset)?,
                Ok(None) => {}
                Err(detail) => {
                    let name = path.field.to_string();
                    let detail = format!("element {name} {detail}");
                    records.spoil(offset, Problem::new(&name, rule::ISO8583, detail))?;
                }
            }
        }
        records.end_record(base + message.end)
    }

    /// The text that a path names, without spaces at its ends.
    fn read(
        &mut self,
        plan: &Iso8583Plan,
        bytes: &[u8],
        message: &Message,
        path: Path,
    ) -> Result<Option<&str>, String> {
        if self.field != Some(path.field) {
            self.text.clear();
            self.field = None;
            if path.field == 0 {
                self.text.push_str(message.mti_text());
            } else {
                let (Some(spec), Some(place)) =
                    (plan.spec.get(path.field), message.place(path.field))
                else {
                    return Ok(None);
                };
                message::text(spec, plan.page, bytes, place, &mut self.text)?;
            }
            self.field = Some(path.field);
        }
        let text = match path.part {
            Part::Whole => self.text.as_str(),
            Part::Between(start, end) => characters(&self.text, start, end),
            Part::Tag(tag) => {
                let found = self.tag(plan, bytes, message, path.field, tag)?;
                return Ok(found.then_some(self.text.as_str()));
            }
        };
        Ok(Some(text.trim_matches(' ')))
    }

    /// Puts the value of a tag into the buffer, as hexadecimal digits.
    fn tag(
        &mut self,
        plan: &Iso8583Plan,
        bytes: &[u8],
        message: &Message,
        field: u8,
        tag: u32,
    ) -> Result<bool, String> {
        let (Some(spec), Some(place)) = (plan.spec.get(field), message.place(field)) else {
            return Ok(false);
        };
        let raw = bytes.get(place.start..place.end).unwrap_or_default();
        let is_bytes = spec.encoding == Encoding::Binary;
        let unpacked = if is_bytes {
            None
        } else {
            Some(from_hex(&self.text)?)
        };
        let found = tlv::find(unpacked.as_deref().unwrap_or(raw), tag)?;
        self.field = None;
        self.text.clear();
        for byte in found.unwrap_or_default() {
            encoding::push_hex(*byte, &mut self.text);
        }
        Ok(found.is_some())
    }
}

/// Bytes of a text of hexadecimal digits.
fn from_hex(text: &str) -> Result<Vec<u8>, String> {
    let halves: Option<Vec<u8>> = text
        .chars()
        .map(|digit| digit.to_digit(16).map(|half| half as u8))
        .collect();
    match halves {
        Some(halves) if halves.len().is_multiple_of(2) => Ok(halves
            .chunks_exact(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect()),
        _ => Err("is no TLV in hexadecimal digits; is it binary?".to_owned()),
    }
}

/// Characters from and to; fewer where the text is shorter.
fn characters(text: &str, start: usize, end: usize) -> &str {
    let place = |wanted: usize| {
        let mut places = text.char_indices().map(|(byte, _)| byte);
        places.nth(wanted).unwrap_or(text.len())
    };
    &text[place(start)..place(end)]
}
