//! Protobuf: messages of a type that a descriptor describes.
//!
//! `descriptor` reads the types, `wire` the bytes, `text` makes texts of values. When a mapping is compiled
//! its paths are looked up in the types once: decoding knows for each node of the path trie which numbers
//! of fields lead on, and skips all others by their length alone.
//!
//! Invariants: one stack of frames, bounded by `depth_max`, so that messages within messages cannot exhaust
//! the program's own; no float is ever read; a message is never read beyond its length.

mod descriptor;
mod text;
mod wire;

use crate::plan::{NodeId, Plan, ROOT, SlotId};
use crate::record::{Assembler, Value};
use crate::refusal::{Problem, Refusal, rule};

pub(crate) use descriptor::{Descriptor, Kind, MessageId, Scalar};
pub(crate) use text::WellKnown;

use wire::{Raw, Wrong};

/// Most fields of one message, repeated ones counted each time (rule `keys`).
const FIELDS_MAX: usize = 1 << 16;

/// How messages are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// The body is one message.
    One,
    /// In front of each message its length, as a varint.
    Delimited,
}

/// How the messages of a source are read.
#[derive(Debug)]
pub(crate) struct ProtobufPlan {
    pub(crate) descriptor: Descriptor,
    pub(crate) message: MessageId,
    pub(crate) framing: Framing,
    /// For each node of the trie what is read below it.
    nodes: Vec<NodeReads>,
}

#[derive(Debug, Default)]
struct NodeReads {
    /// By number, in order.
    reads: Vec<Read>,
    /// For a map: its entries' values by key.
    map: Option<Box<MapReads>>,
}

#[derive(Debug)]
struct MapReads {
    key: Kind,
    entries: Vec<(Box<str>, Read)>,
}

/// What becomes of a field.
#[derive(Debug, Clone, Copy)]
struct Read {
    number: u32,
    node: NodeId,
    kind: Kind,
    /// Where its text goes, if it has one.
    slot: Option<SlotId>,
    well_known: Option<WellKnown>,
    /// The node reads fields of the message, or it is the record.
    enters: bool,
    is_map: bool,
}

impl ProtobufPlan {
    pub(crate) fn new(descriptor: Descriptor, message: MessageId, framing: Framing) -> Self {
        Self {
            descriptor,
            message,
            framing,
            nodes: Vec::new(),
        }
    }

    /// Settles which fields lead to which node.
    pub(crate) fn bind(&mut self, plan: &Plan) {
        self.nodes.clear();
        self.nodes.resize_with(plan.nodes.len(), NodeReads::default);
        let mut open = vec![(ROOT, self.message)];
        while let Some((node, message)) = open.pop() {
            let Some(message) = self.descriptor.messages.get(message) else {
                continue;
            };
            let mut reads = Vec::new();
            for (name, child) in &plan.nodes[usize::from(node)].children {
                let Some(field) = message.field(name) else {
                    continue;
                };
                let read = self.read(plan, *child, field.number, field.kind);
                if read.is_map
                    && let Kind::Message(entry) = field.kind
                {
                    let map = self.map(plan, *child, entry, &mut open);
                    self.nodes[usize::from(*child)].map = map;
                } else if let (true, Kind::Message(inner)) = (read.enters, field.kind) {
                    open.push((*child, inner));
                }
                reads.push(read);
            }
            reads.sort_by_key(|read| read.number);
            self.nodes[usize::from(node)].reads = reads;
        }
    }

    fn read(&self, plan: &Plan, node: NodeId, number: u32, kind: Kind) -> Read {
        let message = match kind {
            Kind::Message(id) => self.descriptor.messages.get(id),
            _ => None,
        };
        let known = &plan.nodes[usize::from(node)];
        Read {
            number,
            node,
            kind,
            slot: known.slot,
            well_known: message.and_then(|message| WellKnown::named(&message.name)),
            enters: message.is_some() && (!known.children.is_empty() || node == plan.record),
            is_map: message.is_some_and(|message| message.is_map_entry),
        }
    }

    fn map(
        &self,
        plan: &Plan,
        node: NodeId,
        entry: MessageId,
        open: &mut Vec<(NodeId, MessageId)>,
    ) -> Option<Box<MapReads>> {
        let fields = &self.descriptor.messages.get(entry)?.fields;
        let of = |number| fields.iter().find(|field| field.number == number);
        let (key, value) = (of(1)?, of(2)?);
        let mut entries = Vec::new();
        for (name, child) in &plan.nodes[usize::from(node)].children {
            let read = self.read(plan, *child, 2, value.kind);
            if let (true, Kind::Message(inner)) = (read.enters, value.kind) {
                open.push((*child, inner));
            }
            entries.push((name.clone(), read));
        }
        let key = key.kind;
        Some(Box::new(MapReads { key, entries }))
    }
}

/// Decodes a body of one message or several.
pub(crate) fn decode(
    records: &mut Assembler<'_, '_>,
    plan: &ProtobufPlan,
    body: &[u8],
) -> Result<(), Refusal> {
    if body.is_empty() {
        return Ok(());
    }
    let mut decoder = Decoder {
        plan,
        body,
        frames: Vec::with_capacity(8),
        text: String::new(),
    };
    if plan.framing == Framing::One {
        return match decoder.message(records, 0, 0, body.len()) {
            Ok(()) => Ok(()),
            Err(Stop::Document(refusal)) => Err(refusal),
            Err(Stop::Message(problem, offset)) => Err(records.refuse(
                offset,
                problem.field.as_deref(),
                problem.rule,
                problem.detail,
            )),
        };
    }
    let mut at = 0;
    while at < body.len() {
        let start = at;
        let (from, to) = wire::delimited(body, &mut at, body.len()).map_err(|wrong| {
            let detail = format!("in front of a message: {}", wrong.detail);
            records.refuse(wrong.offset, None, rule::FRAMING, detail)
        })?;
        match decoder.message(records, start, from, to) {
            Ok(()) => {}
            Err(Stop::Document(refusal)) => return Err(refusal),
            // Where the message is the record the next one's beginning is known.
            Err(Stop::Message(problem, offset)) if records.plan.record == ROOT => {
                records.spoil(offset, problem)?;
                records.end_record(to)?;
            }
            Err(Stop::Message(problem, offset)) => {
                let field = problem.field.as_deref();
                return Err(records.refuse(offset, field, problem.rule, problem.detail));
            }
        }
    }
    Ok(())
}

/// Why reading a message ends early.
enum Stop {
    Document(Refusal),
    /// The message is broken here.
    Message(Problem, usize),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Document(refusal)
    }
}

impl From<Wrong> for Stop {
    fn from(wrong: Wrong) -> Self {
        let problem = Problem {
            field: None,
            rule: rule::PROTOBUF,
            detail: wrong.detail,
        };
        Self::Message(problem, wrong.offset)
    }
}

/// A message that has begun.
#[derive(Debug, Clone, Copy)]
struct Frame {
    node: NodeId,
    at: usize,
    end: usize,
    fields: usize,
    is_record: bool,
}

struct Decoder<'p, 'b> {
    plan: &'p ProtobufPlan,
    body: &'b [u8],
    frames: Vec<Frame>,
    text: String,
}

impl Decoder<'_, '_> {
    /// Reads a message, whatever is nested in it. `start` is where its record begins.
    fn message(
        &mut self,
        records: &mut Assembler<'_, '_>,
        start: usize,
        from: usize,
        to: usize,
    ) -> Result<(), Stop> {
        self.frames.clear();
        self.enter(records, ROOT, start, (from, to))?;
        let plan = self.plan;
        while let Some(frame) = self.frames.last_mut() {
            if frame.at >= frame.end {
                let (end, is_record) = (frame.end, frame.is_record);
                self.frames.pop();
                if is_record {
                    records.end_record(end)?;
                }
                continue;
            }
            let offset = frame.at;
            frame.fields += 1;
            if frame.fields > FIELDS_MAX {
                let detail = format!("a message has more than {FIELDS_MAX} fields");
                let problem = Problem {
                    field: None,
                    rule: rule::KEYS,
                    detail,
                };
                return Err(Stop::Message(problem, offset));
            }
            let (number, raw) = wire::field(self.body, &mut frame.at, frame.end)?;
            let reads = &plan.nodes[usize::from(frame.node)].reads;
            if let Ok(index) = reads.binary_search_by_key(&number, |read| read.number) {
                self.field(records, &reads[index], raw, offset)?;
            }
        }
        Ok(())
    }

    fn enter(
        &mut self,
        records: &mut Assembler<'_, '_>,
        node: NodeId,
        start: usize,
        (at, end): (usize, usize),
    ) -> Result<(), Stop> {
        if self.frames.len() >= records.limits.depth_max {
            let problem = Problem {
                field: None,
                rule: rule::DEPTH,
                detail: format!("nested deeper than {} levels", records.limits.depth_max),
            };
            return Err(Stop::Message(problem, start));
        }
        let is_record = node == records.plan.record;
        if is_record {
            records.begin_record(start)?;
        } else if let Some(level) = records.plan.nodes[usize::from(node)].scope {
            records.open_scope(level);
        }
        self.frames.push(Frame {
            node,
            at,
            end,
            fields: 0,
            is_record,
        });
        Ok(())
    }

    fn field(
        &mut self,
        records: &mut Assembler<'_, '_>,
        read: &Read,
        raw: Raw,
        offset: usize,
    ) -> Result<(), Stop> {
        let Raw::Bytes(start, end) = raw else {
            return self.scalar(records, read, raw, offset);
        };
        if read.is_map {
            return self.map_entry(records, read, (start, end), offset);
        }
        if let (Some(slot), Some(known)) = (read.slot, read.well_known) {
            self.text.clear();
            let made = text::push_well_known(known, self.body, (start, end), &mut self.text);
            self.store(records, slot, made, start)?;
        }
        if read.enters {
            return self.enter(records, read.node, offset, (start, end));
        }
        if read.well_known.is_some() {
            return Ok(());
        }
        let mut at = start;
        while at < end {
            let place = at;
            match text::packed(read.kind, self.body, &mut at, end)? {
                Some(raw) => self.scalar(records, read, raw, place)?,
                None => return self.scalar(records, read, raw, offset),
            }
        }
        if start == end {
            // An empty text; of numbers there is none.
            let mut at = start;
            if let Ok(None) = text::packed(read.kind, self.body, &mut at, end) {
                return self.scalar(records, read, raw, offset);
            }
        }
        Ok(())
    }

    fn scalar(
        &mut self,
        records: &mut Assembler<'_, '_>,
        read: &Read,
        raw: Raw,
        offset: usize,
    ) -> Result<(), Stop> {
        let Some(slot) = read.slot else {
            // The record or a message, and no message stands there.
            return Err(Wrong::new(offset, "a number stands where the descriptor has a message; is the descriptor of this message?").into());
        };
        self.text.clear();
        let descriptor = &self.plan.descriptor;
        let made = text::push_value(
            descriptor,
            read.kind,
            raw,
            self.body,
            &mut self.text,
            offset,
        );
        self.store(records, slot, made, offset)
    }

    /// Hands the text over that was made, or says what is wrong with the field.
    fn store(
        &mut self,
        records: &mut Assembler<'_, '_>,
        slot: SlotId,
        made: Result<(), Wrong>,
        offset: usize,
    ) -> Result<(), Stop> {
        match made {
            Ok(()) => records.value(slot, Value::Unescaped(&self.text), offset)?,
            Err(wrong) => {
                let path = records.slot_path(slot);
                let detail = format!("{path} {}", wrong.detail);
                records.spoil(wrong.offset, Problem::new(path, rule::PROTOBUF, detail))?;
            }
        }
        Ok(())
    }

    /// Key and value of a map's entry; the key may stand behind the value.
    fn map_entry(
        &mut self,
        records: &mut Assembler<'_, '_>,
        read: &Read,
        (start, end): (usize, usize),
        offset: usize,
    ) -> Result<(), Stop> {
        let plan = self.plan;
        let Some(map) = &plan.nodes[usize::from(read.node)].map else {
            return Ok(());
        };
        let (mut key, mut value) = (None, None);
        let mut at = start;
        while at < end {
            let place = at;
            match wire::field(self.body, &mut at, end)? {
                (1, raw) => key = Some((raw, place)),
                (2, raw) => value = Some((raw, place)),
                _ => {}
            }
        }
        self.text.clear();
        match key {
            Some((raw, place)) => {
                let text = &mut self.text;
                text::push_value(&plan.descriptor, map.key, raw, self.body, text, place)?;
            }
            None => self.text.push_str(empty_key(map.key)),
        }
        let found = map
            .entries
            .iter()
            .find(|(name, _)| **name == *self.text.as_str());
        match (found, value) {
            (Some((_, read)), Some((raw, place))) => {
                debug_assert!(!read.is_map, "a map's values are no maps");
                self.field(records, read, raw, place.max(offset))
            }
            _ => Ok(()),
        }
    }
}

/// The text of a key that is not written because it is its type's default.
fn empty_key(kind: Kind) -> &'static str {
    match kind {
        Kind::Scalar(Scalar::String) => "",
        Kind::Scalar(Scalar::Bool) => "false",
        _ => "0",
    }
}
