//! XML: elements and attributes by local name under the namespaces that the source accepts.
//!
//! # Invariants
//!
//! - A DOCTYPE is refused, so no entity can be declared; only the five predefined entities and
//!   character references are read. Nothing outside of the body is ever looked up.
//! - No recursion: one stack of frames, bounded by `depth_max`.
//! - Where the source accepts envelopes, those of [`ENVELOPES`] around the document are passed through,
//!   and what else is in them (headers) is skipped. An envelope without a document is refused.
//! - A document whose root has elements, but not the one that the records are inside of, is refused, also
//!   where a document without records is accepted: other versions may have them elsewhere.
//! - An element in a namespace that is not accepted is skipped with everything inside; a document
//!   whose root is in such a namespace is refused.

mod token;
mod validation;

use std::borrow::Cow;

use crate::charset::xml_named;
use crate::plan::{NodeId, Plan, ROOT, SlotId, XmlPlan, same_name};
use crate::record::{Assembler, Value};
use crate::refusal::{Refusal, rule, shown};
use crate::xsd::{Namespace, Validator};
pub(super) use token::predefined;
use token::{Attribute, Malformed, Token, Tokens, WHITE_SPACE};

/// An element at this node is skipped.
const SKIP: NodeId = NodeId::MAX;

/// Elements that documents are sent in, by local name in any namespace, small letters or not: SOAP 1.1
/// and 1.2, the wrappers around ISO 20022's business application header, SWIFT's Alliance and InterAct,
/// and business files (head.002).
///
/// A list, and not any element: a document inside of a fault or a rejection is none to be counted.
const ENVELOPES: &[&str] = &[
    "Envelope",
    "Body",
    "BizMsgEnvlp",
    "BizMsg",
    "RequestPayload",
    "Message",
    "DataPDU",
    "ExchangeRequest",
    "HandleRequest",
    "Request",
    "Xchg",
    "Pyld",
    "BizData",
];

/// The begin of an element.
#[derive(Debug, Clone, Copy)]
struct Tag<'b, 't> {
    name: &'b str,
    attributes: &'t [Attribute<'b>],
}

/// An element that has begun.
#[derive(Debug, Clone, Copy)]
struct Frame {
    /// [`ROOT`] for an envelope.
    node: NodeId,
    slot: Option<SlotId>,
    is_record: bool,
    /// Number of namespace bindings outside of this element.
    bindings: u32,
}

/// A namespace declaration in force.
#[derive(Debug)]
struct Binding {
    prefix: Box<str>,
    accepted: bool,
    /// What it is to the schemas.
    namespace: Namespace,
}

/// The text of the innermost mapped element, while it is being read.
#[derive(Debug, Default)]
struct Text {
    /// Range of the body, while the text is one piece of it.
    body: Option<(usize, usize)>,
    /// The text itself, once it is not.
    joined: String,
    is_joined: bool,
    offset: usize,
}

struct Decoder<'n> {
    plan: &'n XmlPlan,
    frames: Vec<Frame>,
    bindings: Vec<Binding>,
    text: Text,
    roots: usize,
    /// Documents found in envelopes.
    enveloped: usize,
    /// The root is an envelope.
    is_enveloped: bool,
    /// Where the source names schemas.
    validator: Option<Validator<'n>>,
    /// The document's node, and the one in it that the records are inside of, where they are.
    way: Option<(NodeId, NodeId)>,
    /// An element of the second has begun.
    is_on_way: bool,
    /// Name and place of an element that stands where the second is expected.
    astray: Option<(String, usize)>,
}

/// Decodes an XML document.
pub(crate) fn decode(records: &mut Assembler<'_, '_>, plan: &XmlPlan) -> Result<(), Refusal> {
    let body = records.body;
    // One has been taken off; the parser would take off another one and count from behind it.
    if body.starts_with('\u{feff}') {
        let detail = "a second byte order mark; there is at most one, at the begin";
        return Err(records.refuse(0, None, rule::XML, detail));
    }
    let mut tokens = Tokens::new(body, records.limits.attributes_max);
    let mut decoder = Decoder {
        plan,
        frames: Vec::with_capacity(16),
        bindings: Vec::new(),
        text: Text::default(),
        roots: 0,
        enveloped: 0,
        is_enveloped: false,
        validator: plan.schemas.as_ref().map(Validator::new),
        way: way(records.plan),
        is_on_way: false,
        astray: None,
    };
    records.open_scope(0);
    loop {
        let token = match tokens.next() {
            Ok(Some(token)) => token,
            Ok(None) => break,
            Err(Malformed { at, rule, what }) => return Err(records.refuse(at, None, rule, what)),
        };
        let (start, end) = (tokens.start(), tokens.end());
        match token {
            Token::Begin { name, is_empty } => {
                let attributes = tokens.attributes();
                decoder.open(records, Tag { name, attributes }, start)?;
                if is_empty {
                    decoder.close(records, end)?;
                }
            }
            Token::End => decoder.close(records, end)?,
            Token::Text => decoder.text(records, start, end)?,
            Token::Section(text) => {
                decoder.outside(records, start, false)?;
                let text = line_ends(text);
                decoder.validate_text(records, start, &text)?;
                decoder.push(records, &text, start)?;
            }
            Token::Reference(character) => decoder.reference(records, character, start)?,
            Token::Doctype => {
                let detail = "the document has a DOCTYPE; document type definitions are never read";
                return Err(records.refuse(start, None, rule::DOCTYPE, detail));
            }
            Token::Declaration(encoding) => declared(records, encoding, start)?,
            Token::Aside => {}
        }
    }
    let end = body.len();
    if !decoder.frames.is_empty() {
        return Err(records.refuse(end, None, rule::XML, "the text ends inside of an element"));
    }
    if decoder.roots == 0 {
        return Err(records.refuse(end, None, rule::XML, "there is no element in the document"));
    }
    if decoder.is_enveloped && decoder.enveloped == 0 {
        let detail = "there is no document of this source in the envelope";
        return Err(records.refuse(end, None, rule::NAMESPACE, detail));
    }
    if let Some((name, at)) = decoder.astray
        && !decoder.is_on_way
    {
        let detail = format!(
            "the document has {} where this source has the element with its records",
            shown(&name)
        );
        return Err(records.refuse(at, None, rule::XML, detail));
    }
    Ok(())
}

/// The document's node, and its child that the records are inside of, where it is not a record itself.
fn way(plan: &Plan) -> Option<(NodeId, NodeId)> {
    let inner = |node: NodeId| {
        let children = plan.nodes[usize::from(node)].children.iter();
        let mut nodes = children.map(|(_, child)| *child);
        nodes.find(|child| plan.nodes[usize::from(*child)].scope.is_some())
    };
    let document = inner(ROOT)?;
    Some((document, inner(document)?))
}

/// The XML declaration must name a character set that is read: the text is UTF-8 by now.
fn declared(
    records: &mut Assembler<'_, '_>,
    encoding: Option<&str>,
    start: usize,
) -> Result<(), Refusal> {
    let Some(encoding) = encoding else {
        return Ok(());
    };
    if xml_named(encoding).is_some_and(|charset| !charset.is_wide() || records.is_wide()) {
        return Ok(());
    }
    let detail = format!(
        "the encoding is {}, read are UTF-8, UTF-16, ISO-8859-1, -2, -15, windows-1250 and -1252",
        shown(encoding)
    );
    Err(records.refuse(start, None, rule::ENCODING, detail))
}

/// Line ends are one character before anything else (XML 1.0, 2.11).
fn line_ends(text: &str) -> Cow<'_, str> {
    match text.contains('\r') {
        true => Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")),
        false => Cow::Borrowed(text),
    }
}

/// Hands a text over that is not a piece of the body. Empty is absent: `<Id/>` says nothing.
fn text_value(
    records: &mut Assembler<'_, '_>,
    slot: SlotId,
    text: &str,
    offset: usize,
) -> Result<(), Refusal> {
    if text.is_empty() {
        return Ok(());
    }
    records.value(slot, Value::Unescaped(text), offset)
}

impl Decoder<'_> {
    fn open(
        &mut self,
        records: &mut Assembler<'_, '_>,
        tag: Tag<'_, '_>,
        start: usize,
    ) -> Result<(), Refusal> {
        if self.frames.len() >= records.limits.depth_max {
            let detail = format!("nested deeper than {} levels", records.limits.depth_max);
            return Err(records.refuse(start, None, rule::DEPTH, detail));
        }
        name_bytes(records, tag.name, start)?;
        let bindings = self.bindings.len() as u32;
        let has_attributes = !tag.attributes.is_empty();
        if has_attributes {
            self.declarations(records, tag, start)?;
        }
        let (local, prefix) = split_name(tag.name);
        let parent = match self.frames.last() {
            Some(frame) => frame.node,
            None if self.roots == 0 => ROOT,
            None => {
                return Err(records.refuse(
                    start,
                    None,
                    rule::XML,
                    "there is a second root element",
                ));
            }
        };
        let is_root = self.frames.is_empty();
        let mut node = SKIP;
        if parent == ROOT && (is_root || self.is_enveloped) {
            node = self.document(records, tag, (local, prefix), start)?;
        } else if parent != SKIP && self.accepts(prefix) {
            node = records.plan.child(parent, local).unwrap_or(SKIP);
        }
        if let Some((document, way)) = self.way
            && parent == document
        {
            if node == way {
                self.is_on_way = true;
            } else if self.astray.is_none() {
                self.astray = Some((local.to_owned(), start));
            }
        }
        if is_root {
            self.roots += 1;
        }
        if self.validator.is_some() {
            let is_document = parent == ROOT && node != ROOT && (is_root || node != SKIP);
            self.validate_open(records, tag, (local, prefix), start, is_document)?;
        }
        let mut frame = Frame {
            node,
            slot: None,
            is_record: false,
            bindings,
        };
        if node != SKIP && node != ROOT {
            self.enter(records, &mut frame, start)?;
            if has_attributes && records.plan.nodes[usize::from(node)].has_attributes {
                self.attributes(records, tag, node, start)?;
            }
        }
        self.frames.push(frame);
        Ok(())
    }

    /// The node of the root, or of an element inside of an envelope: [`ROOT`] if it is an envelope.
    fn document(
        &mut self,
        records: &mut Assembler<'_, '_>,
        tag: Tag<'_, '_>,
        (local, prefix): (&str, &str),
        start: usize,
    ) -> Result<NodeId, Refusal> {
        let is_root = self.frames.is_empty();
        let known = records.plan.child(ROOT, local);
        if self.accepts(prefix) && (known.is_some() || is_root && !self.is_envelope(local)) {
            if let (Some(_), false) = (known, is_root) {
                // What an earlier document of the envelope said is forgotten.
                records.open_scope(0);
                self.enveloped += 1;
            }
            return Ok(known.unwrap_or(SKIP));
        }
        if self.is_envelope(local) {
            self.is_enveloped = true;
            return Ok(ROOT);
        }
        if is_root || known.is_some() {
            return Err(self.foreign(records, tag, start));
        }
        Ok(SKIP)
    }

    fn is_envelope(&self, local: &str) -> bool {
        let mut known = ENVELOPES.iter();
        self.plan.envelope && known.any(|known| known.eq_ignore_ascii_case(local))
    }

    /// An element that the mapping knows begins.
    fn enter(
        &mut self,
        records: &mut Assembler<'_, '_>,
        frame: &mut Frame,
        start: usize,
    ) -> Result<(), Refusal> {
        let plan = records.plan;
        let node = &plan.nodes[usize::from(frame.node)];
        if frame.node == plan.record {
            frame.is_record = true;
            records.begin_record(start)?;
        } else if let Some(level) = node.scope {
            records.open_scope(level);
        }
        frame.slot = node.slot;
        // An element between two pieces of text ends the first: mixed content is not a value.
        self.text.clear(start);
        Ok(())
    }

    fn close(&mut self, records: &mut Assembler<'_, '_>, end: usize) -> Result<(), Refusal> {
        self.validate_close(records, end)?;
        let Some(frame) = self.frames.pop() else {
            return Err(records.refuse(end, None, rule::XML, "an element ends that has not begun"));
        };
        self.bindings.truncate(frame.bindings as usize);
        if let Some(slot) = frame.slot {
            self.store(records, slot)?;
        }
        if frame.is_record {
            records.end_record(end)?;
        }
        if frame.node != SKIP {
            self.text.clear(end);
        }
        Ok(())
    }

    /// Hands the collected text over, without white space around it.
    fn store(&mut self, records: &mut Assembler<'_, '_>, slot: SlotId) -> Result<(), Refusal> {
        let offset = self.text.offset;
        if self.text.is_joined {
            return text_value(records, slot, self.text.joined.trim(), offset);
        }
        let Some((start, end)) = self.text.body else {
            return Ok(());
        };
        let raw = &records.body[start..end];
        if let Cow::Owned(text) = line_ends(raw) {
            return text_value(records, slot, text.trim(), offset);
        }
        let start = start + (raw.len() - raw.trim_start().len());
        let text = raw.trim();
        if text.is_empty() {
            return Ok(());
        }
        records.value(slot, Value::Body(start, start + text.len()), offset)
    }

    fn collects(&self) -> bool {
        self.frames.last().is_some_and(|frame| frame.slot.is_some())
    }

    /// Text outside of the root element must be white space.
    fn outside(
        &mut self,
        records: &mut Assembler<'_, '_>,
        start: usize,
        is_space: bool,
    ) -> Result<(), Refusal> {
        if self.frames.is_empty() && !is_space {
            return Err(records.refuse(
                start,
                None,
                rule::XML,
                "there is text outside of the root element",
            ));
        }
        Ok(())
    }

    fn text(
        &mut self,
        records: &mut Assembler<'_, '_>,
        start: usize,
        end: usize,
    ) -> Result<(), Refusal> {
        let body = records.body;
        if self.frames.is_empty() {
            let rest = body[start..end].trim_start_matches(WHITE_SPACE);
            let at = end - rest.len();
            return self.outside(records, at, at == end);
        }
        self.validate_text(records, start, &body[start..end])?;
        if !self.collects() {
            return Ok(());
        }
        if self.text.body.is_none() && !self.text.is_joined {
            self.text.body = Some((start, end));
            self.text.offset = start;
            return Ok(());
        }
        self.push(records, &line_ends(&body[start..end]), start)
    }

    /// Adds a piece that does not follow directly in the body.
    fn push(
        &mut self,
        records: &mut Assembler<'_, '_>,
        piece: &str,
        start: usize,
    ) -> Result<(), Refusal> {
        if !self.collects() {
            return Ok(());
        }
        if !self.text.is_joined {
            self.text.is_joined = true;
            self.text.joined.clear();
            match self.text.body.take() {
                Some((from, to)) => {
                    let first = line_ends(&records.body[from..to]);
                    self.text.joined.push_str(&first);
                }
                None => self.text.offset = start,
            }
        }
        // One piece more than the limit is enough to be refused later.
        if self.text.joined.len() <= records.limits.field_bytes_max {
            self.text.joined.push_str(piece);
        }
        Ok(())
    }

    fn reference(
        &mut self,
        records: &mut Assembler<'_, '_>,
        character: char,
        start: usize,
    ) -> Result<(), Refusal> {
        self.outside(records, start, false)?;
        let mut buffer = [0; 4];
        let text = character.encode_utf8(&mut buffer);
        self.validate_text(records, start, text)?;
        self.push(records, text, start)
    }

    /// Looks at all attributes of an element, and remembers namespace declarations.
    fn declarations(
        &mut self,
        records: &mut Assembler<'_, '_>,
        tag: Tag<'_, '_>,
        start: usize,
    ) -> Result<(), Refusal> {
        for attribute in tag.attributes {
            name_bytes(records, attribute.name, start)?;
            let prefix = match attribute.name.strip_prefix("xmlns") {
                Some("") => "",
                Some(rest) if rest.starts_with(':') => &rest[1..],
                _ => continue,
            };
            let uri = attribute.value();
            self.bindings.push(Binding {
                prefix: prefix.into(),
                accepted: self.plan.namespaces.accept(&uri),
                namespace: self.plan.namespace(&uri),
            });
        }
        Ok(())
    }

    /// Hands the mapped attributes over.
    fn attributes(
        &mut self,
        records: &mut Assembler<'_, '_>,
        tag: Tag<'_, '_>,
        node: NodeId,
        start: usize,
    ) -> Result<(), Refusal> {
        for attribute in tag.attributes {
            let (local, _) = split_name(attribute.name);
            let Some(child) = records.plan.attribute(node, local) else {
                continue;
            };
            let Some(slot) = records.plan.nodes[usize::from(child)].slot else {
                continue;
            };
            records.value(slot, Value::Unescaped(&attribute.value()), start)?;
        }
        Ok(())
    }

    /// Whether names with this prefix are in an accepted namespace here.
    fn accepts(&self, prefix: &str) -> bool {
        self.bindings
            .iter()
            .rev()
            .find(|binding| same_name(&binding.prefix, prefix))
            .map_or_else(
                || self.plan.namespaces.accept(""),
                |binding| binding.accepted,
            )
    }

    fn foreign(&self, records: &mut Assembler<'_, '_>, tag: Tag<'_, '_>, start: usize) -> Refusal {
        let mut attributes = tag.attributes.iter();
        let declared = attributes.find(|attribute| attribute.name.starts_with("xmlns"));
        let declared = declared.map(|attribute| shown_uri(&attribute.value()));
        let accepted: Vec<&str> = self
            .plan
            .namespaces
            .0
            .iter()
            .map(|pattern| &**pattern)
            .collect();
        let detail = format!(
            "the document {} is in the namespace {}, this source accepts {}",
            shown(tag.name),
            declared.unwrap_or_else(|| "none".to_owned()),
            accepted.join(" and ")
        );
        records.refuse(start, None, rule::NAMESPACE, detail)
    }
}

fn shown_uri(uri: &str) -> String {
    let short: String = uri.chars().take(120).flat_map(char::escape_debug).collect();
    format!("\"{short}\"")
}

fn name_bytes(records: &mut Assembler<'_, '_>, name: &str, start: usize) -> Result<(), Refusal> {
    if name.len() > records.limits.name_bytes_max {
        let detail = format!(
            "a name has more than {} bytes",
            records.limits.name_bytes_max
        );
        return Err(records.refuse(start, None, rule::NAME_BYTES, detail));
    }
    Ok(())
}

/// Local name and prefix. Names are short: a loop beats a search.
fn split_name(name: &str) -> (&str, &str) {
    match name.bytes().position(|byte| byte == b':') {
        Some(colon) => (&name[colon + 1..], &name[..colon]),
        None => (name, ""),
    }
}

impl Text {
    fn clear(&mut self, offset: usize) {
        self.body = None;
        self.is_joined = false;
        self.offset = offset;
    }
}
