//! Where what is written goes: the result, a fragment, or a text.

use std::rc::Rc;

use super::value::Value;
use crate::error::{Stop, fail, limit};
use crate::limits::Limits;
use crate::names::{EMPTY, NameId, Names, Sym, XML, XML_NS, XMLNS};
use crate::tree::{Builder, Full, Tree};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Into {
    /// The result, as a tree.
    Result,
    /// The result, of which only text counts.
    TextResult,
    Fragment,
    /// The value of an attribute, a comment, a processing instruction.
    Text,
    /// A message: its markup is left out.
    Message,
}

/// What is written between two points, nested in others.
#[derive(Debug)]
pub(super) struct Sink {
    into: Into,
    /// Text, as long as there is no tree.
    text: String,
    builder: Option<Builder>,
}

/// What was written since the transformation began, over all sinks.
#[derive(Debug, Default)]
pub(super) struct Written {
    nodes: usize,
    bytes: usize,
    /// Where the search for a free prefix goes on.
    prefixes: usize,
}

fn full(_: Full) -> Stop {
    limit(
        "fragment_nodes_max",
        "a tree has more nodes or bytes than can be numbered",
    )
}

impl Sink {
    pub(super) fn new(into: Into) -> Self {
        Self {
            into,
            text: String::new(),
            builder: None,
        }
    }

    /// What was collected, as text.
    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// What was collected, as the value of a variable.
    pub(super) fn into_fragment(self) -> Value {
        match self.builder {
            Some(builder) => Value::Fragment(Rc::new(builder.finish())),
            None => Value::TextFragment(self.text.into()),
        }
    }

    /// What was collected, as a tree.
    pub(super) fn into_tree(self) -> Tree {
        match self.builder {
            Some(builder) => builder.finish(),
            None => Tree::of_text(&self.text),
        }
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self.into, Into::Text | Into::TextResult | Into::Message)
    }

    fn count(
        &self,
        written: &mut Written,
        limits: &Limits,
        nodes: usize,
        bytes: usize,
    ) -> Result<(), Stop> {
        written.nodes += nodes;
        written.bytes += bytes;
        let (name, nodes_max, bytes_max) = match self.into {
            Into::Fragment => (
                "fragment",
                limits.fragment_nodes_max,
                limits.fragment_bytes_max,
            ),
            _ => ("result", limits.result_nodes_max, limits.result_bytes_max),
        };
        if written.nodes > nodes_max {
            let message = format!("result and fragments have more than {nodes_max} nodes");
            return Err(limit(
                if name == "result" {
                    "result_nodes_max"
                } else {
                    "fragment_nodes_max"
                },
                message,
            ));
        }
        if written.bytes > bytes_max {
            let message = format!("result and fragments have more than {bytes_max} bytes of text");
            return Err(limit(
                if name == "result" {
                    "result_bytes_max"
                } else {
                    "fragment_bytes_max"
                },
                message,
            ));
        }
        Ok(())
    }

    /// The tree, begun if there was only text before.
    fn tree(&mut self) -> Result<&mut Builder, Stop> {
        if self.builder.is_none() {
            let mut builder = Builder::new(usize::MAX, usize::MAX);
            builder.text(&self.text, false).map_err(full)?;
            self.text.clear();
            self.builder = Some(builder);
        }
        self.builder.as_mut().ok_or_else(|| fail("no tree"))
    }

    /// Refuses nodes where only text can be; `false` where they are passed over.
    fn takes_nodes(&self, what: &str) -> Result<bool, Stop> {
        match self.into {
            Into::Result | Into::Fragment => Ok(true),
            Into::TextResult | Into::Message => Ok(false),
            Into::Text => Err(fail(format!(
                "{what} stands inside of an attribute, a comment or a processing instruction, where there is only text"
            ))),
        }
    }

    pub(super) fn text(
        &mut self,
        written: &mut Written,
        limits: &Limits,
        text: &str,
        raw: bool,
    ) -> Result<(), Stop> {
        match self.into {
            Into::Text | Into::Message => {
                if self.text.len() + text.len() > limits.text_bytes_max {
                    let message = format!("a text has more than {} bytes", limits.text_bytes_max);
                    return Err(limit("text_bytes_max", message));
                }
                self.text.push_str(text);
                return Ok(());
            }
            _ => self.count(written, limits, 0, text.len())?,
        }
        if self.into == Into::TextResult
            || (self.builder.is_none() && !raw && self.into == Into::Fragment)
        {
            self.text.push_str(text);
            return Ok(());
        }
        self.count(written, limits, 1, 0)?;
        self.tree()?.text(text, raw).map_err(full)
    }

    /// Begins an element with namespace nodes, as far as their prefixes are free; its own comes after them.
    pub(super) fn start(
        &mut self,
        written: &mut Written,
        limits: &Limits,
        (prefix, name, uri): (Sym, NameId, Sym),
        namespaces: &[(Sym, Sym)],
    ) -> Result<(), Stop> {
        if !self.takes_nodes("an element")? {
            return Ok(());
        }
        self.count(written, limits, 1, 0)?;
        let depth_max = limits.depth_max;
        let builder = self.tree()?;
        if builder.depth() >= depth_max {
            let message = format!("the result is nested deeper than {depth_max} levels");
            return Err(limit("depth_max", message));
        }
        builder.start(prefix, name).map_err(full)?;
        for (other, of) in namespaces {
            // The element itself uses the prefix, perhaps for something else.
            if *other != prefix || *of == uri {
                self.declare(written, limits, *other, *of)?;
            }
        }
        let builder = self.tree()?;
        if builder.uri_of(prefix).unwrap_or(EMPTY) != uri {
            builder.declare(prefix, uri).map_err(full)?;
        }
        Ok(())
    }

    /// Gives the innermost element a namespace node that is copied on its own.
    pub(super) fn namespace(
        &mut self,
        written: &mut Written,
        limits: &Limits,
        prefix: Sym,
        uri: Sym,
    ) -> Result<(), Stop> {
        if !self.takes_nodes("a namespace")? || self.tree()?.top_prefix() == prefix {
            return Ok(());
        }
        self.declare(written, limits, prefix, uri)
    }

    fn declare(
        &mut self,
        written: &mut Written,
        limits: &Limits,
        prefix: Sym,
        uri: Sym,
    ) -> Result<(), Stop> {
        let builder = self.tree()?;
        let is_known = builder.declares(prefix) || builder.uri_of(prefix) == Some(uri);
        if prefix == XML || !builder.is_in_start_tag() || is_known {
            return Ok(());
        }
        builder.declare(prefix, uri).map_err(full)?;
        self.count(written, limits, 1, 0)
    }

    pub(super) fn attribute(
        &mut self,
        written: &mut Written,
        limits: &Limits,
        names: &mut Names<'_>,
        (mut prefix, name): (Sym, NameId),
        value: &str,
    ) -> Result<(), Stop> {
        if !self.takes_nodes("an attribute")? {
            return Ok(());
        }
        self.count(written, limits, 1, value.len())?;
        let uri = names.parts(name).0;
        let builder = self.tree()?;
        if !builder.is_in_start_tag() {
            return Err(fail(match builder.depth() {
                0 => "an attribute stands outside of any element",
                _ => "an attribute comes behind a child of its element",
            }));
        }
        if builder.top_attributes() >= ATTRIBUTES_MAX {
            return Err(limit(
                "result_nodes_max",
                format!("an element has more than {ATTRIBUTES_MAX} attributes"),
            ));
        }
        if uri == EMPTY {
            prefix = EMPTY;
        } else if uri == XML_NS {
            prefix = XML;
        } else if prefix == EMPTY
            || prefix == XML
            || prefix == XMLNS
            || builder.uri_of(prefix) != Some(uri)
        {
            let is_free = ![EMPTY, XML, XMLNS].contains(&prefix)
                && !builder.declares(prefix)
                && !builder.uses_prefix(prefix);
            if !is_free {
                prefix = match builder.prefix_of(uri) {
                    Some(known) => known,
                    None => loop {
                        written.prefixes += 1;
                        let free = names.sym(&format!("ns_{}", written.prefixes));
                        if builder.uri_of(free).is_none() {
                            break free;
                        }
                    },
                };
            }
            if builder.uri_of(prefix) != Some(uri) {
                builder.declare(prefix, uri).map_err(full)?;
            }
        }
        builder
            .attribute(prefix, name, value)
            .map(|_| ())
            .map_err(full)
    }

    pub(super) fn end(&mut self) {
        if let Some(builder) = &mut self.builder {
            builder.end();
        }
    }

    pub(super) fn comment(
        &mut self,
        written: &mut Written,
        limits: &Limits,
        text: &str,
    ) -> Result<(), Stop> {
        if !self.takes_nodes("a comment")? {
            return Ok(());
        }
        self.count(written, limits, 1, text.len())?;
        self.tree()?.comment(text).map(|_| ()).map_err(full)
    }

    pub(super) fn pi(
        &mut self,
        written: &mut Written,
        limits: &Limits,
        name: NameId,
        text: &str,
    ) -> Result<(), Stop> {
        if !self.takes_nodes("a processing instruction")? {
            return Ok(());
        }
        self.count(written, limits, 1, text.len())?;
        self.tree()?.pi(name, text).map(|_| ()).map_err(full)
    }
}

/// Most attributes of one element of a result; each new one is compared with those before.
const ATTRIBUTES_MAX: usize = 1_024;
