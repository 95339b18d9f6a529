//! The XML of a schema as a tree in one table, with line numbers.
//!
//! Schemas belong to the mapping, not to what senders write, and are bounded all the same.

use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

/// Most bytes of a schema.
pub(super) const SCHEMA_BYTES_MAX: usize = 4 << 20;
/// Deepest nesting of a schema's elements; what reads them recurses no deeper.
const DEPTH_MAX: usize = 64;
pub(super) const XSD: &str = "http://www.w3.org/2001/XMLSchema";

/// An element of a schema.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Local name.
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) children: Vec<usize>,
    pub(super) line: usize,
}

/// What is wrong with a schema, and in which line.
#[derive(Debug)]
pub(crate) struct Mistake {
    pub(crate) line: usize,
    pub(crate) message: String,
}

impl Node {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut attributes = self.attributes.iter();
        let found = attributes.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn wrong(&self, message: impl Into<String>) -> Mistake {
        Mistake {
            line: self.line,
            message: message.into(),
        }
    }

    /// Refuses attributes that are not among the known ones.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Mistake> {
        for (name, _) in &self.attributes {
            if !known.contains(&name.as_str()) && name != "id" && !name.starts_with("xmlns") {
                return Err(self.wrong(format!("{name} of {} is not read", self.name)));
            }
        }
        Ok(())
    }
}

/// Reads a schema's elements; the first is `schema`. Annotations are left out.
pub(super) fn read(text: &str) -> Result<Vec<Node>, Mistake> {
    let line_of = |at: usize| {
        text.as_bytes()
            .iter()
            .take(at)
            .filter(|byte| **byte == b'\n')
            .count()
            + 1
    };
    if text.len() > SCHEMA_BYTES_MAX {
        let message = format!(
            "it has {} bytes, at most {SCHEMA_BYTES_MAX} are read",
            text.len()
        );
        return Err(Mistake { line: 1, message });
    }
    let mut reader = Reader::from_str(text);
    let mut nodes: Vec<Node> = Vec::new();
    // Open elements; `None` within an annotation.
    let mut open: Vec<Option<usize>> = Vec::new();
    let (mut line, mut counted) = (1, 0);
    loop {
        let at = reader.buffer_position() as usize;
        let event = reader.read_event().map_err(|error| Mistake {
            line: line_of(reader.error_position() as usize),
            message: format!("it is not well-formed: {error}"),
        })?;
        line += text.as_bytes()[counted..at]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        counted = at;
        let (element, is_empty) = match event {
            Event::Start(element) => (element, false),
            Event::Empty(element) => (element, true),
            Event::End(_) => {
                open.pop();
                continue;
            }
            Event::DocType(_) => {
                let message = "it has a DOCTYPE, which is never read".to_owned();
                return Err(Mistake { line, message });
            }
            Event::Eof => break,
            _ => continue,
        };
        let hidden = open.last().is_some_and(Option::is_none);
        let node = if hidden || element.local_name().as_ref() == "annotation" {
            None
        } else {
            let node = node(&element, line)?;
            nodes.push(node);
            let id = nodes.len() - 1;
            if let Some(Some(parent)) = open.last()
                && let Some(parent) = nodes.get_mut(*parent)
            {
                parent.children.push(id);
            }
            Some(id)
        };
        if open.len() >= DEPTH_MAX {
            let message = format!("it is nested deeper than {DEPTH_MAX} levels");
            return Err(Mistake { line, message });
        }
        if !is_empty {
            open.push(node);
        }
    }
    match nodes.first() {
        Some(root) if root.name == "schema" && open.is_empty() => Ok(nodes),
        _ => Err(Mistake {
            line: 1,
            message: "it is no XML Schema: it does not begin with a schema element, or ends early"
                .to_owned(),
        }),
    }
}

fn node(element: &BytesStart<'_>, line: usize) -> Result<Node, Mistake> {
    let mut node = Node {
        name: element.local_name().as_ref().to_owned(),
        line,
        ..Node::default()
    };
    for attribute in element.attributes() {
        let attribute =
            attribute.map_err(|error| node.wrong(format!("it is not well-formed: {error}")))?;
        let value = attribute
            .normalized_value(quick_xml::XmlVersion::Explicit1_0)
            .map_err(|error| node.wrong(format!("it is not well-formed: {error}")))?;
        let key = attribute.key.as_ref().to_owned();
        node.attributes.push((key, value.into_owned()));
    }
    Ok(node)
}
