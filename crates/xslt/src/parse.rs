//! XML text to a [`Tree`].
//!
//! # Invariants
//!
//! - A DOCTYPE is refused, so no entity can be declared: there are the five of XML and character references.
//! - No recursion; nodes, bytes and depth are bounded by what the caller says.

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use crate::error::Fault;
use crate::names::{EMPTY, NO_NAME, Names, Sym, XML, XML_NS, XML_URI, XMLNS};
use crate::tree::{Builder, Full, Tree};

/// What is wrong with a text, and where.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) offset: usize,
    pub(crate) message: String,
    pub(crate) why: Why,
}

/// Of which kind it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// The text itself.
    Fault(Fault),
    /// A field of [`Bounds`].
    Nodes,
    Bytes,
    Depth,
}

/// Most attributes of an element, declarations included; looking for doubles compares each with each.
const ATTRIBUTES_MAX: usize = 256;
/// Most namespace declarations in scope; each prefix is looked for among them.
const NAMESPACES_MAX: usize = 1_024;

/// How much is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) nodes_max: usize,
    pub(crate) bytes_max: usize,
    pub(crate) depth_max: usize,
}

/// Whether whitespace directly in an element of this name is dropped.
pub(crate) type Strip<'a> = &'a dyn Fn(&Names<'_>, u32) -> bool;

struct Parser<'a, 'n> {
    names: &'a mut Names<'n>,
    builder: Builder,
    bounds: Bounds,
    strip: Option<Strip<'a>>,
    /// Whether each open element keeps its whitespace by `xml:space`.
    preserve: Vec<bool>,
    /// Name tests of `xml:space`.
    space: u32,
    keeps_offsets: bool,
    roots: usize,
    scratch: Vec<(Sym, Sym, String, usize)>,
}

/// Whether a character may stand in XML 1.0.
pub(crate) fn is_char(c: char) -> bool {
    !matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

pub(crate) fn is_space(text: &str) -> bool {
    text.bytes()
        .all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
}

/// Whether a text is a name without colons.
pub(crate) fn is_ncname(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(is_name_start) && chars.all(is_name_char)
}

pub(crate) fn is_name_start(c: char) -> bool {
    matches!(c, 'A'..='Z' | 'a'..='z' | '_' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}'
        | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}'
        | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}'
        | '\u{10000}'..='\u{effff}')
}

pub(crate) fn is_name_char(c: char) -> bool {
    is_name_start(c)
        || matches!(c, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}

/// Reads a document.
pub(crate) fn parse(
    text: &str,
    names: &mut Names<'_>,
    bounds: Bounds,
    strip: Option<Strip<'_>>,
    keeps_offsets: bool,
) -> Result<Tree, Broken> {
    if text.len() > bounds.bytes_max {
        return Err(Broken {
            offset: 0,
            message: format!(
                "it has {} bytes, at most {} are read",
                text.len(),
                bounds.bytes_max
            ),
            why: Why::Bytes,
        });
    }
    let skipped = if text.starts_with('\u{feff}') { 3 } else { 0 };
    let text = &text[skipped..];
    let local = names.sym("space");
    let space = names.name(XML_NS, local);
    let mut parser = Parser {
        names,
        // Texts of a document are never longer than the document.
        builder: Builder::new(bounds.nodes_max, usize::MAX),
        bounds,
        strip,
        preserve: Vec::new(),
        space,
        keeps_offsets,
        roots: 0,
        scratch: Vec::new(),
    };
    let read = parser.read(text);
    read.map_err(|broken| Broken {
        offset: broken.offset + skipped,
        ..broken
    })?;
    Ok(parser.builder.finish())
}

fn broken(offset: usize, message: impl Into<String>) -> Broken {
    Broken {
        offset,
        message: message.into(),
        why: Why::Fault(Fault::Xml),
    }
}

impl Parser<'_, '_> {
    fn read(&mut self, text: &str) -> Result<(), Broken> {
        let mut reader = Reader::from_str(text);
        reader.config_mut().check_end_names = true;
        loop {
            let start = reader.buffer_position() as usize;
            let event = reader.read_event().map_err(|error| {
                broken(
                    reader.error_position() as usize,
                    format!("it is not well-formed: {error}"),
                )
            })?;
            match event {
                Event::Start(element) => self.open(&element, start)?,
                Event::Empty(element) => {
                    self.open(&element, start)?;
                    self.close();
                }
                Event::End(_) => {
                    self.end_text();
                    self.close();
                }
                Event::Text(data) => self.text(&data.xml10_content(), start)?,
                Event::CData(data) => {
                    if self.builder.depth() == 0 {
                        return Err(broken(start, "there is text outside of the root element"));
                    }
                    self.text(&data.xml10_content(), start)?;
                }
                Event::GeneralRef(reference) => {
                    let c = match reference.resolve_char_ref() {
                        Ok(Some(c)) if is_char(c) => c,
                        Ok(None) => match &*reference {
                            "amp" => '&',
                            "lt" => '<',
                            "gt" => '>',
                            "quot" => '"',
                            "apos" => '\'',
                            other => {
                                let message = format!(
                                    "the entity &{other}; is not declared; only amp, lt, gt, quot and apos are known"
                                );
                                return Err(broken(start, message));
                            }
                        },
                        _ => {
                            return Err(broken(
                                start,
                                "a reference to a character that XML does not allow",
                            ));
                        }
                    };
                    if self.builder.depth() == 0 {
                        return Err(broken(start, "there is text outside of the root element"));
                    }
                    let mut buffer = [0; 4];
                    self.text(c.encode_utf8(&mut buffer), start)?;
                }
                Event::Comment(data) => {
                    self.end_text();
                    let content = data.xml10_content();
                    let added = self.builder.comment(&content);
                    self.added(added, start)?;
                }
                Event::PI(data) => {
                    self.end_text();
                    let target = data.target();
                    if !is_ncname(target) || target.eq_ignore_ascii_case("xml") {
                        return Err(broken(
                            start,
                            format!("a processing instruction named {target:?}"),
                        ));
                    }
                    let local = self.names.sym(target);
                    let name = self.names.name(EMPTY, local);
                    let content = data.content().trim_start_matches([' ', '\t', '\r', '\n']);
                    let added = self.builder.pi(name, content);
                    self.added(added, start)?;
                }
                Event::DocType(_) => {
                    return Err(Broken {
                        why: Why::Fault(Fault::Doctype),
                        ..broken(
                            start,
                            "it has a DOCTYPE; document type definitions are never read",
                        )
                    });
                }
                Event::Decl(declaration) => {
                    if start != 0 {
                        return Err(broken(
                            start,
                            "an XML declaration may stand only at the beginning",
                        ));
                    }
                    if let Some(Ok(encoding)) = declaration.encoding()
                        && !["utf-8", "utf8", "us-ascii", "ascii"]
                            .contains(&encoding.to_ascii_lowercase().as_str())
                    {
                        return Err(broken(
                            start,
                            format!("the encoding is {encoding:?}, only UTF-8 is read"),
                        ));
                    }
                }
                Event::Eof => break,
            }
        }
        if self.builder.depth() > 0 {
            return Err(broken(text.len(), "it ends inside of an element"));
        }
        if self.roots == 0 {
            return Err(broken(text.len(), "there is no element in it"));
        }
        Ok(())
    }

    fn added(&mut self, added: Result<u32, Full>, offset: usize) -> Result<u32, Broken> {
        let node = added.map_err(|_| Broken {
            offset,
            message: format!("it has more than {} nodes", self.bounds.nodes_max),
            why: Why::Nodes,
        })?;
        if self.keeps_offsets {
            self.builder.mark(offset);
        }
        Ok(node)
    }

    fn text(&mut self, text: &str, offset: usize) -> Result<(), Broken> {
        if self.builder.depth() == 0 {
            return match is_space(text) {
                true => Ok(()),
                false => Err(broken(offset, "there is text outside of the root element")),
            };
        }
        if text.bytes().any(|byte| byte < b' ' || byte == 0xef)
            && let Some(wrong) = text.chars().find(|c| !is_char(*c))
        {
            let message = format!(
                "the character U+{:04X} is not allowed in XML",
                u32::from(wrong)
            );
            return Err(broken(offset, message));
        }
        let added = self.builder.text(text, false).map(|()| 0);
        self.added(added, offset).map(|_| ())
    }

    /// Drops the text that has just ended if it is whitespace that is stripped.
    fn end_text(&mut self) {
        let Some(strip) = self.strip else { return };
        if self.preserve.last().is_some_and(|preserve| *preserve) {
            return;
        }
        let Some(text) = self.builder.last_text() else {
            return;
        };
        if is_space(text) {
            let tree = self.builder.tree();
            let parent = match tree.nodes.last() {
                Some(node) => node.parent,
                None => return,
            };
            if strip(self.names, tree.node(parent).name) {
                self.builder.drop_last_text();
            }
        }
    }

    fn close(&mut self) {
        self.builder.end();
        self.preserve.pop();
    }

    fn open(&mut self, element: &BytesStart<'_>, start: usize) -> Result<(), Broken> {
        self.end_text();
        if self.builder.depth() == 0 {
            self.roots += 1;
            if self.roots > 1 {
                return Err(broken(start, "there is a second root element"));
            }
        }
        if self.builder.depth() >= self.bounds.depth_max {
            return Err(Broken {
                offset: start,
                message: format!("it is nested deeper than {} levels", self.bounds.depth_max),
                why: Why::Depth,
            });
        }
        let name = element.name();
        let (prefix, local) = self.qname(name.as_ref(), start)?;
        // The name comes once the declarations are known.
        let added = self.builder.start(prefix, NO_NAME);
        let node = self.added(added, start)?;
        let mut keeps = self.preserve.last().is_some_and(|preserve| *preserve);
        let mut attributes = std::mem::take(&mut self.scratch);
        attributes.clear();
        if !element.attributes_raw().is_empty() {
            self.attributes(element, start, &mut attributes)?;
        }
        let Some(uri) = self
            .builder
            .uri_of(prefix)
            .or((prefix == EMPTY).then_some(EMPTY))
        else {
            let message = format!("the prefix {:?} is not declared", self.names.text(prefix));
            return Err(broken(start, message));
        };
        let id = self.names.name(uri, local);
        self.builder.rename(node, id);
        for (prefix, local, value, offset) in &attributes {
            let uri = match *prefix {
                EMPTY => EMPTY,
                prefix => match self.builder.uri_of(prefix) {
                    Some(uri) => uri,
                    None => {
                        let message =
                            format!("the prefix {:?} is not declared", self.names.text(prefix));
                        return Err(broken(*offset, message));
                    }
                },
            };
            let name = self.names.name(uri, *local);
            let before = self.builder.tree().nodes.len();
            let added = self.builder.attribute(*prefix, name, value);
            self.added(added, *offset)?;
            if self.builder.tree().nodes.len() == before {
                let message = format!("the attribute {:?} stands twice", self.names.shown(name));
                return Err(broken(*offset, message));
            }
            if name == self.space {
                keeps = value == "preserve";
            }
        }
        self.scratch = attributes;
        self.preserve.push(keeps);
        Ok(())
    }

    /// Declares namespaces and collects the other attributes.
    fn attributes(
        &mut self,
        element: &BytesStart<'_>,
        start: usize,
        attributes: &mut Vec<(Sym, Sym, String, usize)>,
    ) -> Result<(), Broken> {
        // The element is a slice of the text; `<` stands before it.
        let from = element.as_ptr() as usize;
        for (count, attribute) in element.attributes().enumerate() {
            if count >= ATTRIBUTES_MAX {
                return Err(broken(
                    start,
                    format!("an element has more than {ATTRIBUTES_MAX} attributes"),
                ));
            }
            let attribute = attribute
                .map_err(|error| broken(start, format!("it is not well-formed: {error}")))?;
            let key = attribute.key.as_ref();
            let offset = start + 1 + (attribute.value.as_ptr() as usize).wrapping_sub(from);
            let value = attribute
                .normalized_value(XmlVersion::Explicit1_0)
                .map_err(|error| broken(offset, format!("it is not well-formed: {error}")))?;
            if attribute.value.contains('<') || value.chars().any(|c| !is_char(c)) {
                return Err(broken(
                    offset,
                    format!("a character in {key} that XML does not allow there"),
                ));
            }
            let prefix = match key.strip_prefix("xmlns") {
                Some("") => Some(EMPTY),
                Some(rest) if rest.starts_with(':') => {
                    let prefix = &rest[1..];
                    if !is_ncname(prefix) || value.is_empty() {
                        return Err(broken(
                            offset,
                            format!("{key}={value:?} declares no namespace"),
                        ));
                    }
                    Some(self.names.sym(prefix))
                }
                _ => None,
            };
            if let Some(prefix) = prefix {
                if prefix == XMLNS || (prefix == XML) != (value == XML_URI) {
                    return Err(broken(
                        offset,
                        format!("{key}={value:?}: xml and xmlns cannot be declared anew"),
                    ));
                }
                if prefix == XML {
                    continue;
                }
                if self.builder.declares(prefix) {
                    return Err(broken(offset, format!("{key} stands twice")));
                }
                if self.builder.scope_len() >= NAMESPACES_MAX {
                    return Err(broken(
                        offset,
                        format!("more than {NAMESPACES_MAX} namespaces are declared at once"),
                    ));
                }
                let uri = self.names.sym(&value);
                let added = self.builder.declare(prefix, uri).map(|()| 0);
                self.added(added, offset)?;
                continue;
            }
            let (prefix, local) = self.qname(key, offset)?;
            attributes.push((prefix, local, value.into_owned(), offset));
        }
        Ok(())
    }

    fn qname(&mut self, name: &str, offset: usize) -> Result<(Sym, Sym), Broken> {
        let (prefix, local) = name.split_once(':').unwrap_or(("", name));
        if !is_ncname(local) || (!is_ncname(prefix) && prefix.len() + local.len() != name.len()) {
            return Err(broken(offset, format!("{name:?} is no name")));
        }
        Ok((self.names.sym(prefix), self.names.sym(local)))
    }
}
