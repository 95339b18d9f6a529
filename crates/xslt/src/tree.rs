//! Documents and fragments as one table of nodes in document order.
//!
//! # Invariants
//!
//! - The number of a node is its place in document order; attributes stand directly behind their
//!   element, before its children. What is inside of a node is `node + 1 .. end`.
//! - All text of a tree is one string, so that the string-value of an element is a slice of it.
//! - Nothing recurses, neither building nor reading.

use crate::names::{EMPTY, NO_NAME, NameId, Sym, XML, XML_NS};

/// No node.
pub(crate) const NONE: u32 = u32::MAX;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Root,
    Element,
    Attribute,
    Text,
    /// Text that is written without escaping (`disable-output-escaping`).
    Raw,
    Comment,
    Pi,
    Namespace,
}

impl Kind {
    pub(crate) fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::Raw)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// It declares namespaces.
    pub(crate) declares: bool,
    pub(crate) prefix: Sym,
    pub(crate) name: NameId,
    pub(crate) parent: u32,
    pub(crate) previous: u32,
    pub(crate) next: u32,
    /// Behind the last node inside.
    pub(crate) end: u32,
    /// Where its string-value is, in `text` or `other`.
    from: u32,
    to: u32,
}

/// `xmlns:prefix="uri"` of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Declaration {
    element: u32,
    pub(crate) prefix: Sym,
    pub(crate) uri: Sym,
}

/// A document or a fragment of a result.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
    /// Texts, in document order.
    text: String,
    /// Values of attributes, comments and processing instructions.
    other: String,
    declarations: Vec<Declaration>,
    /// Where each node began in what was parsed; empty where nobody asks.
    pub(crate) offsets: Vec<u32>,
}

impl Tree {
    /// A root with one text, or with nothing.
    pub(crate) fn of_text(text: &str) -> Self {
        let mut builder = Builder::new(usize::MAX, usize::MAX);
        // Without limits nothing is refused.
        let _ = builder.text(text, false);
        builder.finish()
    }

    pub(crate) fn node(&self, at: u32) -> &Node {
        &self.nodes[at as usize]
    }

    pub(crate) fn kind(&self, at: u32) -> Kind {
        self.node(at).kind
    }

    /// Its string-value.
    pub(crate) fn value(&self, at: u32) -> &str {
        let node = self.node(at);
        let range = node.from as usize..node.to as usize;
        match node.kind {
            Kind::Attribute | Kind::Comment | Kind::Pi => &self.other[range],
            _ => &self.text[range],
        }
    }

    /// Attributes of an element.
    pub(crate) fn attributes(&self, at: u32) -> impl Iterator<Item = u32> + '_ {
        let end = self.node(at).end;
        (at + 1..end).take_while(|at| self.kind(*at) == Kind::Attribute)
    }

    pub(crate) fn first_child(&self, at: u32) -> u32 {
        let node = self.node(at);
        let mut child = at + 1;
        if node.kind == Kind::Element {
            while child < node.end && self.kind(child) == Kind::Attribute {
                child += 1;
            }
        }
        match child < node.end {
            true => child,
            false => NONE,
        }
    }

    pub(crate) fn children(&self, at: u32) -> impl Iterator<Item = u32> + '_ {
        let mut child = self.first_child(at);
        std::iter::from_fn(move || {
            let current = child;
            if current == NONE {
                return None;
            }
            child = self.node(current).next;
            Some(current)
        })
    }

    pub(crate) fn attribute(&self, at: u32, name: NameId) -> Option<&str> {
        let found = self
            .attributes(at)
            .find(|attribute| self.node(*attribute).name == name)?;
        Some(self.value(found))
    }

    /// Declarations of an element itself, in the order in which they stand.
    pub(crate) fn declarations(&self, at: u32) -> &[Declaration] {
        if !self.node(at).declares {
            return &[];
        }
        let from = self.declarations.partition_point(|one| one.element < at);
        let to = self.declarations.partition_point(|one| one.element <= at);
        &self.declarations[from..to]
    }

    /// Namespaces in scope of an element, the nearest first, without what is undeclared; `xml` is the first of all.
    pub(crate) fn in_scope(&self, at: u32) -> Vec<(Sym, Sym)> {
        let mut found: Vec<(Sym, Sym)> = vec![(XML, XML_NS)];
        let mut element = at;
        while element != NONE {
            for one in self.declarations(element) {
                if !found.iter().any(|(prefix, _)| *prefix == one.prefix) {
                    found.push((one.prefix, one.uri));
                }
            }
            element = self.node(element).parent;
        }
        found.retain(|(_, uri)| *uri != EMPTY);
        found
    }

    /// What a prefix stands for at an element; the empty one stands for nothing where it is not declared.
    pub(crate) fn uri_of(&self, at: u32, prefix: Sym) -> Option<Sym> {
        if prefix == XML {
            return Some(XML_NS);
        }
        let mut element = at;
        while element != NONE {
            let mut declarations = self.declarations(element).iter();
            if let Some(found) = declarations.find(|one| one.prefix == prefix) {
                return (found.uri != EMPTY || prefix == EMPTY).then_some(found.uri);
            }
            element = self.node(element).parent;
        }
        (prefix == EMPTY).then_some(EMPTY)
    }
}

/// Why a tree does not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    Nodes,
    Bytes,
}

/// Builds a tree, front to back.
#[derive(Debug)]
pub(crate) struct Builder {
    tree: Tree,
    /// Elements that have begun, with the last child of each; the root is the first.
    open: Vec<Open>,
    /// Namespaces in scope.
    scope: Vec<(Sym, Sym)>,
    nodes_max: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Open {
    node: u32,
    last: u32,
    /// Length of `scope` outside of it.
    scope: usize,
}

impl Builder {
    pub(crate) fn new(nodes_max: usize, bytes_max: usize) -> Self {
        let mut builder = Self {
            tree: Tree::default(),
            open: Vec::with_capacity(8),
            scope: Vec::new(),
            // Positions are 32 bits wide.
            nodes_max: nodes_max.min(u32::MAX as usize - 1),
            bytes_max: bytes_max.min(u32::MAX as usize - 1),
        };
        builder.tree.nodes.push(Node {
            kind: Kind::Root,
            declares: false,
            prefix: EMPTY,
            name: NO_NAME,
            parent: NONE,
            previous: NONE,
            next: NONE,
            end: 1,
            from: 0,
            to: 0,
        });
        builder.open.push(Open {
            node: 0,
            last: NONE,
            scope: 0,
        });
        builder
    }

    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Elements that are open, the root not counted.
    pub(crate) fn depth(&self) -> usize {
        self.open.len() - 1
    }

    fn top(&self) -> &Open {
        // The root is never closed.
        &self.open[self.open.len() - 1]
    }

    fn push(
        &mut self,
        kind: Kind,
        (prefix, name): (Sym, NameId),
        from: usize,
    ) -> Result<u32, Full> {
        let id = self.tree.nodes.len();
        if id >= self.nodes_max {
            return Err(Full::Nodes);
        }
        let bytes = self.tree.text.len() + self.tree.other.len();
        if bytes > self.bytes_max {
            return Err(Full::Bytes);
        }
        let to = match kind {
            Kind::Attribute | Kind::Comment | Kind::Pi => self.tree.other.len(),
            _ => self.tree.text.len(),
        };
        let (parent, last) = (self.top().node, self.top().last);
        let id = id as u32;
        let is_child = kind != Kind::Attribute;
        self.tree.nodes.push(Node {
            kind,
            declares: false,
            prefix,
            name,
            parent,
            previous: if is_child { last } else { NONE },
            next: NONE,
            end: id + 1,
            from: from as u32,
            to: to as u32,
        });
        if is_child {
            if last != NONE {
                self.tree.nodes[last as usize].next = id;
            }
            let at = self.open.len() - 1;
            self.open[at].last = id;
        }
        Ok(id)
    }

    pub(crate) fn start(&mut self, prefix: Sym, name: NameId) -> Result<u32, Full> {
        let node = self.push(Kind::Element, (prefix, name), self.tree.text.len())?;
        let scope = self.scope.len();
        self.open.push(Open {
            node,
            last: NONE,
            scope,
        });
        Ok(node)
    }

    /// How many namespace declarations are in scope.
    pub(crate) fn scope_len(&self) -> usize {
        self.scope.len()
    }

    /// Names an element that was begun before its namespace was known.
    pub(crate) fn rename(&mut self, node: u32, name: NameId) {
        self.tree.nodes[node as usize].name = name;
    }

    pub(crate) fn end(&mut self) {
        if self.open.len() > 1
            && let Some(open) = self.open.pop()
        {
            self.close(open.node);
            self.scope.truncate(open.scope);
        }
    }

    fn close(&mut self, node: u32) {
        let end = self.tree.nodes.len() as u32;
        let to = self.tree.text.len() as u32;
        let node = &mut self.tree.nodes[node as usize];
        (node.end, node.to) = (end, to);
    }

    /// Whether the innermost element can still be given attributes and namespaces.
    pub(crate) fn is_in_start_tag(&self) -> bool {
        self.open.len() > 1 && self.top().last == NONE
    }

    /// What a prefix stands for where the next node will be.
    pub(crate) fn uri_of(&self, prefix: Sym) -> Option<Sym> {
        if prefix == XML {
            return Some(XML_NS);
        }
        let found = self.scope.iter().rev().find(|(known, _)| *known == prefix);
        found.map(|(_, uri)| *uri)
    }

    /// A prefix, not the empty one, for a namespace where the next node will be.
    pub(crate) fn prefix_of(&self, uri: Sym) -> Option<Sym> {
        if uri == XML_NS {
            return Some(XML);
        }
        let mut found = self.scope.iter().rev().filter(|(_, known)| *known == uri);
        found
            .find(|(prefix, _)| *prefix != EMPTY && self.uri_of(*prefix) == Some(uri))
            .map(|(prefix, _)| *prefix)
    }

    /// Whether the innermost element itself declares the prefix.
    pub(crate) fn declares(&self, prefix: Sym) -> bool {
        let own = &self.scope[self.top().scope..];
        own.iter().any(|(known, _)| *known == prefix)
    }

    /// Prefix of the innermost element.
    pub(crate) fn top_prefix(&self) -> Sym {
        self.tree.node(self.top().node).prefix
    }

    /// How many attributes the innermost element, whose start tag is open, has so far.
    pub(crate) fn top_attributes(&self) -> usize {
        self.tree.nodes.len() - 1 - self.top().node as usize
    }

    /// Whether the innermost element, whose start tag is open, or one of its attributes has the prefix.
    pub(crate) fn uses_prefix(&self, prefix: Sym) -> bool {
        let own = &self.tree.nodes[self.top().node as usize..];
        own.iter().any(|node| node.prefix == prefix)
    }

    /// Declares a prefix on the innermost element, whose start tag is open.
    pub(crate) fn declare(&mut self, prefix: Sym, uri: Sym) -> Result<(), Full> {
        if self.tree.declarations.len() >= self.nodes_max {
            return Err(Full::Nodes);
        }
        let element = self.top().node;
        self.tree.nodes[element as usize].declares = true;
        self.tree.declarations.push(Declaration {
            element,
            prefix,
            uri,
        });
        self.scope.push((prefix, uri));
        Ok(())
    }

    /// An attribute of the innermost element; one of the same name is replaced where it stands.
    pub(crate) fn attribute(
        &mut self,
        prefix: Sym,
        name: NameId,
        value: &str,
    ) -> Result<u32, Full> {
        let from = self.tree.other.len();
        self.tree.other.push_str(value);
        let element = self.top().node;
        let known = self
            .tree
            .nodes
            .iter()
            .enumerate()
            .skip(element as usize + 1)
            .find(|(_, node)| node.name == name);
        if let Some((at, _)) = known {
            let to = self.tree.other.len() as u32;
            let node = &mut self.tree.nodes[at];
            (node.from, node.to) = (from as u32, to);
            return Ok(at as u32);
        }
        self.push(Kind::Attribute, (prefix, name), from)
    }

    /// Appends text; a text directly behind another one becomes part of it.
    pub(crate) fn text(&mut self, text: &str, raw: bool) -> Result<(), Full> {
        if text.is_empty() {
            return Ok(());
        }
        let kind = if raw { Kind::Raw } else { Kind::Text };
        let from = self.tree.text.len();
        if from + text.len() > self.bytes_max {
            return Err(Full::Bytes);
        }
        self.tree.text.push_str(text);
        let last = self.top().last;
        if last != NONE && self.tree.nodes[last as usize].kind == kind {
            self.tree.nodes[last as usize].to = self.tree.text.len() as u32;
            return Ok(());
        }
        self.push(kind, (EMPTY, NO_NAME), from).map(|_| ())
    }

    /// The text that was appended last, if nothing came behind it.
    pub(crate) fn last_text(&self) -> Option<&str> {
        let last = self.top().last;
        (last != NONE && self.tree.kind(last).is_text()).then(|| self.tree.value(last))
    }

    /// Takes that text back.
    pub(crate) fn drop_last_text(&mut self) {
        if self.last_text().is_none() {
            return;
        }
        if let Some(node) = self.tree.nodes.pop() {
            self.tree.text.truncate(node.from as usize);
            self.tree.offsets.truncate(self.tree.nodes.len());
            let at = self.open.len() - 1;
            self.open[at].last = node.previous;
            if node.previous != NONE {
                self.tree.nodes[node.previous as usize].next = NONE;
            }
        }
    }

    pub(crate) fn comment(&mut self, text: &str) -> Result<u32, Full> {
        let from = self.tree.other.len();
        self.tree.other.push_str(text);
        self.push(Kind::Comment, (EMPTY, NO_NAME), from)
    }

    pub(crate) fn pi(&mut self, name: NameId, text: &str) -> Result<u32, Full> {
        let from = self.tree.other.len();
        self.tree.other.push_str(text);
        self.push(Kind::Pi, (EMPTY, name), from)
    }

    /// Keeps where the last node began in what is parsed.
    pub(crate) fn mark(&mut self, offset: usize) {
        let nodes = self.tree.nodes.len();
        self.tree.offsets.resize(nodes, offset as u32);
    }

    pub(crate) fn finish(mut self) -> Tree {
        while self.open.len() > 1 {
            self.end();
        }
        self.close(0);
        self.tree
    }
}
