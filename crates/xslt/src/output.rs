//! A result's tree as XML text.

use crate::error::{Stop, limit};
use crate::names::{EMPTY, Names};
use crate::program::OutputRules;
use crate::tree::{Kind, Tree};

/// Writes a result; what is written is what libxslt writes, byte for byte.
pub(crate) fn xml(
    tree: &Tree,
    names: &Names<'_>,
    rules: &OutputRules,
    bytes_max: usize,
) -> Result<String, Stop> {
    let mut out = String::new();
    if tree.nodes.len() < 2 {
        return Ok(out);
    }
    if !rules.omits_declaration {
        out.push_str("<?xml version=\"1.0\"");
        if rules.has_encoding {
            out.push_str(" encoding=\"UTF-8\"");
        }
        match rules.standalone {
            Some(true) => out.push_str(" standalone=\"yes\""),
            Some(false) => out.push_str(" standalone=\"no\""),
            None => {}
        }
        out.push_str("?>\n");
    }
    let mut writer = Writer {
        tree,
        names,
        rules,
        out,
        bytes_max,
        open: Vec::new(),
    };
    writer.write()?;
    let mut out = writer.out;
    if !rules.is_dense {
        out.push('\n');
    }
    if out.len() > bytes_max {
        return Err(too_long(bytes_max));
    }
    Ok(out)
}

fn too_long(bytes_max: usize) -> Stop {
    limit(
        "result_bytes_max",
        format!("the result has more than {bytes_max} bytes"),
    )
}

struct Writer<'t, 'n> {
    tree: &'t Tree,
    names: &'t Names<'n>,
    rules: &'t OutputRules,
    out: String,
    bytes_max: usize,
    /// Elements that are open, each with whether what is inside stands on lines of its own.
    open: Vec<(u32, bool)>,
}

impl Writer<'_, '_> {
    fn write(&mut self) -> Result<(), Stop> {
        if let Some(root) = self
            .tree
            .children(0)
            .find(|child| self.tree.kind(*child) == Kind::Element)
        {
            self.doctype(root);
        }
        for at in 1..self.tree.nodes.len() as u32 {
            while let Some((element, _)) = self.open.last()
                && self.tree.node(*element).end <= at
            {
                self.close();
            }
            if self.out.len() > self.bytes_max {
                return Err(too_long(self.bytes_max));
            }
            let node = self.tree.node(at);
            match node.kind {
                Kind::Root | Kind::Attribute | Kind::Namespace => continue,
                Kind::Element => {
                    self.indent();
                    self.start(at);
                    continue;
                }
                Kind::Text => self.text(at),
                Kind::Raw => self.out.push_str(self.tree.value(at)),
                Kind::Comment => {
                    self.indent();
                    self.out.push_str("<!--");
                    self.out.push_str(self.tree.value(at));
                    self.out.push_str("-->");
                }
                Kind::Pi => {
                    self.indent();
                    self.out.push_str("<?");
                    self.out.push_str(self.names.local(node.name));
                    let value = self.tree.value(at);
                    if !value.is_empty() {
                        self.out.push(' ');
                        self.out.push_str(value);
                    }
                    self.out.push_str("?>");
                }
            }
            self.end_line(at);
        }
        while !self.open.is_empty() {
            self.close();
        }
        Ok(())
    }

    fn doctype(&mut self, root: u32) {
        let Some(system) = &self.rules.doctype_system else {
            return;
        };
        self.out.push_str("<!DOCTYPE ");
        self.name(root);
        if let Some(public) = &self.rules.doctype_public {
            self.out.push_str(&format!(" PUBLIC \"{public}\""));
        } else {
            self.out.push_str(" SYSTEM");
        }
        self.out.push_str(&format!(" \"{system}\">\n"));
    }

    /// Whether what is inside of the innermost element stands on lines of its own.
    fn is_formatted(&self) -> bool {
        self.open
            .last()
            .is_some_and(|(_, is_formatted)| *is_formatted)
    }

    fn indent(&mut self) {
        if self.is_formatted() {
            for _ in 0..self.open.len().min(50) {
                self.out.push_str("  ");
            }
        }
    }

    fn end_line(&mut self, at: u32) {
        let is_comment_before = self.open.is_empty()
            && self.tree.kind(at) == Kind::Comment
            && self.tree.node(at).next != crate::tree::NONE;
        if self.is_formatted() || (is_comment_before && !self.rules.is_dense) {
            self.out.push('\n');
        }
    }

    fn name(&mut self, at: u32) {
        let node = self.tree.node(at);
        if node.prefix != EMPTY {
            self.out.push_str(self.names.text(node.prefix));
            self.out.push(':');
        }
        self.out.push_str(self.names.local(node.name));
    }

    fn start(&mut self, at: u32) {
        self.out.push('<');
        self.name(at);
        for declaration in self.tree.declarations(at) {
            self.out.push_str(" xmlns");
            if declaration.prefix != EMPTY {
                self.out.push(':');
                self.out.push_str(self.names.text(declaration.prefix));
            }
            self.out.push_str("=\"");
            escape_attribute(self.names.text(declaration.uri), &mut self.out);
            self.out.push('"');
        }
        for attribute in self.tree.attributes(at) {
            self.out.push(' ');
            self.name(attribute);
            self.out.push_str("=\"");
            escape_attribute(self.tree.value(attribute), &mut self.out);
            self.out.push('"');
        }
        if self.tree.first_child(at) == crate::tree::NONE {
            self.out.push_str("/>");
            self.end_line(at);
            return;
        }
        self.out.push('>');
        let is_outer = self.rules.indents && (self.open.is_empty() || self.is_formatted());
        let is_formatted = is_outer
            && !self
                .tree
                .children(at)
                .any(|child| self.tree.kind(child).is_text());
        if is_formatted {
            self.out.push('\n');
        }
        self.open.push((at, is_formatted));
    }

    fn close(&mut self) {
        let Some((element, was_formatted)) = self.open.pop() else {
            return;
        };
        if was_formatted {
            for _ in 0..self.open.len().min(50) {
                self.out.push_str("  ");
            }
        }
        self.out.push_str("</");
        self.name(element);
        self.out.push('>');
        self.end_line(element);
    }

    fn text(&mut self, at: u32) {
        let text = self.tree.value(at);
        let parent = self.tree.node(self.tree.node(at).parent).name;
        if self.rules.cdata.contains(&parent) {
            self.out.push_str("<![CDATA[");
            self.out.push_str(&text.replace("]]>", "]]]]><![CDATA[>"));
            self.out.push_str("]]>");
            return;
        }
        escape_text(text, &mut self.out);
    }
}

/// Copies `text`, with what `by` says for single bytes.
fn escape(text: &str, out: &mut String, by: impl Fn(u8) -> Option<&'static str>) {
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if let Some(escaped) = by(byte) {
            out.push_str(&text[from..at]);
            out.push_str(escaped);
            from = at + 1;
        }
    }
    out.push_str(&text[from..]);
}

fn escape_text(text: &str, out: &mut String) {
    escape(text, out, |byte| match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'\r' => Some("&#13;"),
        _ => None,
    });
}

fn escape_attribute(text: &str, out: &mut String) {
    escape(text, out, |byte| match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'"' => Some("&quot;"),
        b'\n' => Some("&#10;"),
        b'\r' => Some("&#13;"),
        b'\t' => Some("&#9;"),
        _ => None,
    });
}
