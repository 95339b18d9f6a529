//! One datum after the other: walks the types and the path trie side by side.
//!
//! Avro has no lengths to skip by, so every value is read, mapped or not. Invariants: one stack, bounded by
//! `depth_max`; the number of values is bounded by the number of bytes, for a few bytes can announce any
//! number of values that have none.

use std::collections::HashMap;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::schema::{Logical, Schema, Type, TypeId};
use super::text::{Broken, Input, push_decimal, push_number, push_uuid};
use crate::plan::{NodeId, ROOT, SlotId};
use crate::record::{Assembler, Value};
use crate::refusal::{Problem, Refusal, rule};

/// A value at this node is read and not told.
const SKIP: NodeId = NodeId::MAX;
/// Most values: so many for each byte of data, and so many beside.
const VALUES_PER_BYTE_MAX: usize = 8;
const VALUES_FREE: usize = 1 << 16;

/// A value that has begun.
enum Frame {
    Record {
        kind: TypeId,
        /// Nodes of its fields; `None` where all are skipped.
        nodes: Option<Rc<[NodeId]>>,
        next: usize,
        is_record: bool,
    },
    /// An array's or a map's items.
    Items {
        items: TypeId,
        node: NodeId,
        is_map: bool,
        left: u64,
    },
}

/// Where a value stands in the body: values of a compressed block at the block.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Base {
    /// The data begins here.
    At(usize),
    /// The data was inflated from this range.
    Within(usize, usize),
}

impl Base {
    fn start(self, at: usize) -> usize {
        match self {
            Self::At(start) => start + at,
            Self::Within(start, _) => start,
        }
    }

    fn end(self, at: usize) -> usize {
        match self {
            Self::At(start) => start + at,
            Self::Within(_, end) => end,
        }
    }
}

/// Reads data of one schema.
pub(crate) struct Reader<'s> {
    schema: &'s Schema,
    frames: Vec<Frame>,
    /// Nodes of the fields of a record type at a node of the trie.
    bound: HashMap<(TypeId, NodeId), Rc<[NodeId]>>,
    text: String,
    /// Values that may still be read.
    values_left: usize,
}

impl<'s> Reader<'s> {
    pub(crate) fn new(schema: &'s Schema) -> Self {
        Self {
            schema,
            frames: Vec::with_capacity(8),
            bound: HashMap::new(),
            text: String::new(),
            values_left: VALUES_FREE,
        }
    }

    /// Data of so many bytes follows.
    pub(crate) fn expect(&mut self, bytes: usize) {
        self.values_left += bytes.saturating_mul(VALUES_PER_BYTE_MAX);
    }

    /// Reads one datum.
    pub(crate) fn datum(
        &mut self,
        records: &mut Assembler<'_, '_>,
        input: &mut Input<'_>,
        base: Base,
    ) -> Result<(), Refusal> {
        self.frames.clear();
        if let Some(level) = records.plan.nodes[usize::from(ROOT)].scope {
            records.open_scope(level);
        }
        self.value(records, input, base, (0, ROOT))?;
        while let Some(frame) = self.frames.last_mut() {
            let next = match frame {
                Frame::Record {
                    kind,
                    nodes,
                    next,
                    is_record,
                } => {
                    let Type::Record(fields, _) = self.schema.get(*kind) else {
                        break;
                    };
                    let index = *next;
                    *next += 1;
                    let node = nodes.as_ref().and_then(|nodes| nodes.get(index));
                    let node = node.copied().unwrap_or(SKIP);
                    match fields.get(index) {
                        Some((_, field)) => Some((*field, node)),
                        None => {
                            let ends = *is_record;
                            self.frames.pop();
                            if ends {
                                records.end_record(base.end(input.at))?;
                            }
                            None
                        }
                    }
                }
                Frame::Items {
                    items,
                    node,
                    is_map,
                    left,
                } => {
                    let place = base.start(input.at);
                    if *left == 0 {
                        match block(input) {
                            Ok(count) => *left = count,
                            Err(broken) => return Err(refuse(records, place, broken)),
                        }
                    }
                    if *left == 0 {
                        self.frames.pop();
                        None
                    } else {
                        *left -= 1;
                        let (items, mut inner) = (*items, *node);
                        if *is_map {
                            let key = input.counted();
                            let key = key.map_err(|broken| refuse(records, place, broken))?;
                            inner = key_node(records, inner, key);
                        }
                        Some((items, inner))
                    }
                }
            };
            if let Some(next) = next {
                self.value(records, input, base, next)?;
            }
        }
        Ok(())
    }

    /// Reads a value, or begins one that has others in it.
    fn value(
        &mut self,
        records: &mut Assembler<'_, '_>,
        input: &mut Input<'_>,
        base: Base,
        (mut kind, node): (TypeId, NodeId),
    ) -> Result<(), Refusal> {
        let offset = base.start(input.at);
        loop {
            self.values_left = match self.values_left.checked_sub(1) {
                Some(left) => left,
                None => {
                    let detail = "the data has more values than bytes allow";
                    return Err(refuse(records, offset, detail));
                }
            };
            match self.schema.get(kind) {
                Type::Union(branches) => {
                    let index = input.long();
                    let index = index.map_err(|broken| refuse(records, offset, broken))?;
                    let branch = usize::try_from(index).ok().and_then(|at| branches.get(at));
                    let Some(branch) = branch else {
                        let detail = format!(
                            "{index} is no branch of a union of {}; is the schema the one it was written with?",
                            branches.len()
                        );
                        return Err(refuse(records, offset, &detail));
                    };
                    kind = *branch;
                }
                Type::Record(fields, _) => {
                    let nodes = self.nodes_of(records, kind, node, fields);
                    return self.begin(records, node, offset, nodes, kind);
                }
                Type::Array(items) | Type::Map(items) => {
                    let is_map = matches!(self.schema.get(kind), Type::Map(_));
                    let frame = Frame::Items {
                        items: *items,
                        node,
                        is_map,
                        left: 0,
                    };
                    return self.push(records, frame, offset);
                }
                _ => return self.scalar(records, input, offset, (kind, node)),
            }
        }
    }

    fn push(
        &mut self,
        records: &mut Assembler<'_, '_>,
        frame: Frame,
        offset: usize,
    ) -> Result<(), Refusal> {
        if self.frames.len() >= records.limits.depth_max {
            let detail = format!("nested deeper than {} levels", records.limits.depth_max);
            return Err(records.refuse(offset, None, rule::DEPTH, detail));
        }
        self.frames.push(frame);
        Ok(())
    }

    fn begin(
        &mut self,
        records: &mut Assembler<'_, '_>,
        node: NodeId,
        offset: usize,
        nodes: Option<Rc<[NodeId]>>,
        kind: TypeId,
    ) -> Result<(), Refusal> {
        let is_record = node == records.plan.record;
        self.push(
            records,
            Frame::Record {
                kind,
                nodes,
                next: 0,
                is_record,
            },
            offset,
        )?;
        if is_record {
            records.begin_record(offset)?;
        } else if node != SKIP
            && node != ROOT
            && let Some(level) = records.plan.nodes[usize::from(node)].scope
        {
            records.open_scope(level);
        }
        Ok(())
    }

    /// The nodes of a record's fields, looked up once for each place of the trie.
    fn nodes_of(
        &mut self,
        records: &Assembler<'_, '_>,
        kind: TypeId,
        node: NodeId,
        fields: &[(Box<str>, TypeId)],
    ) -> Option<Rc<[NodeId]>> {
        if node == SKIP {
            return None;
        }
        let bound = self.bound.entry((kind, node)).or_insert_with(|| {
            let child = |name: &str| records.plan.child(node, name).unwrap_or(SKIP);
            fields.iter().map(|(name, _)| child(name)).collect()
        });
        Some(Rc::clone(bound))
    }

    fn scalar(
        &mut self,
        records: &mut Assembler<'_, '_>,
        input: &mut Input<'_>,
        offset: usize,
        (kind, node): (TypeId, NodeId),
    ) -> Result<(), Refusal> {
        let kind = self.schema.get(kind);
        let slot = (node != SKIP)
            .then(|| records.plan.nodes[usize::from(node)].slot)
            .flatten();
        let Some(slot) = slot else {
            return skip(kind, input).map_err(|broken| refuse(records, offset, broken));
        };
        if matches!(kind, Type::Null) {
            return Ok(());
        }
        self.text.clear();
        let read = read(kind, input, &mut self.text);
        match read.map_err(|broken| refuse(records, offset, broken))? {
            Ok(()) => records.value(slot, Value::Unescaped(&self.text), offset),
            Err(wrong) => spoil(records, slot, offset, wrong),
        }
    }
}

fn spoil(
    records: &mut Assembler<'_, '_>,
    slot: SlotId,
    offset: usize,
    wrong: &str,
) -> Result<(), Refusal> {
    let path = records.slot_path(slot);
    let detail = format!("{path} {wrong}");
    records.spoil(offset, Problem::new(path, rule::AVRO, detail))
}

fn refuse(records: &mut Assembler<'_, '_>, offset: usize, detail: &str) -> Refusal {
    records.refuse(offset, None, rule::AVRO, detail)
}

/// The number of items in the next block of an array or map; 0 at its end.
fn block(input: &mut Input<'_>) -> Result<u64, Broken> {
    let count = input.long()?;
    if count < 0 {
        // A negative one is followed by the block's bytes, which are not needed.
        input.long()?;
    }
    Ok(count.unsigned_abs())
}

/// The node of a map's value.
fn key_node(records: &Assembler<'_, '_>, node: NodeId, key: &[u8]) -> NodeId {
    let key = std::str::from_utf8(key).ok().filter(|_| node != SKIP);
    key.and_then(|key| records.plan.child(node, key))
        .unwrap_or(SKIP)
}

fn skip(kind: &Type, input: &mut Input<'_>) -> Result<(), Broken> {
    match kind {
        Type::Boolean => input.take(1).map(drop),
        Type::Int(_) | Type::Long(_) | Type::Enum(..) => input.long().map(drop),
        Type::Float => input.take(4).map(drop),
        Type::Double => input.take(8).map(drop),
        Type::Bytes(_) | Type::Text => input.counted().map(drop),
        Type::Fixed(size, ..) => input.take(*size).map(drop),
        _ => Ok(()),
    }
}

/// Reads a value and appends its text. The inner error says what is wrong with the value alone.
fn read(
    kind: &Type,
    input: &mut Input<'_>,
    text: &mut String,
) -> Result<Result<(), Broken>, Broken> {
    Ok(match kind {
        Type::Boolean => match input.take(1)? {
            [0] => text_of(text, "false"),
            [1] => text_of(text, "true"),
            _ => Err("is neither true nor false"),
        },
        Type::Int(logical) => match i32::try_from(input.long()?) {
            Ok(number) => push_number(text, i64::from(number), *logical),
            Err(_) => Err("has more than the 32 bits of its type"),
        },
        Type::Long(logical) => push_number(text, input.long()?, *logical),
        Type::Enum(symbols, _) => {
            let index = usize::try_from(input.long()?).ok();
            match index.and_then(|index| symbols.get(index)) {
                Some(symbol) => text_of(text, symbol),
                None => Err("is no symbol of its enum"),
            }
        }
        Type::Text => match std::str::from_utf8(input.counted()?) {
            Ok(valid) => text_of(text, valid),
            Err(_) => Err("is a text that is not UTF-8"),
        },
        Type::Bytes(logical) => push_bytes(text, input.counted()?, *logical),
        Type::Fixed(size, logical, _) => push_bytes(text, input.take(*size)?, *logical),
        Type::Float | Type::Double => {
            skip(kind, input)?;
            Err(
                "is a floating-point number in the schema that it was written with, which is not exact",
            )
        }
        _ => Ok(()),
    })
}

fn text_of(text: &mut String, read: &str) -> Result<(), Broken> {
    text.push_str(read);
    Ok(())
}

fn push_bytes(text: &mut String, bytes: &[u8], logical: Logical) -> Result<(), Broken> {
    match logical {
        Logical::Decimal(scale) => push_decimal(text, bytes, scale),
        Logical::Uuid => {
            push_uuid(text, bytes);
            Ok(())
        }
        _ => {
            STANDARD.encode_string(bytes, text);
            Ok(())
        }
    }
}
