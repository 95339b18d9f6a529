//! Names as numbers: prefixes, namespaces and local names are kept once, so that a name test compares two numbers.
//!
//! A stylesheet has a [`Table`] of its own that never changes; what a document brings beside it goes into
//! the [`Names`] of the transformation.

use std::collections::HashMap;

/// A text that is kept once: a prefix, a namespace, a local name.
pub(crate) type Sym = u32;
/// A namespace with a local name.
pub(crate) type NameId = u32;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// The empty text: no prefix, no namespace.
pub(crate) const EMPTY: Sym = 0;
/// The prefix `xml`.
pub(crate) const XML: Sym = 1;
/// What `xml` stands for.
pub(crate) const XML_NS: Sym = 2;
/// The prefix `xmlns`, which declares and is never used.
pub(crate) const XMLNS: Sym = 3;
/// The name that has neither namespace nor local name: that of texts and comments.
pub(crate) const NO_NAME: NameId = 0;

pub(crate) const XML_URI: &str = "http://www.w3.org/XML/1998/namespace";

/// Texts and names by number.
#[derive(Debug, Default)]
pub(crate) struct Table {
    texts: Vec<Box<str>>,
    text_ids: Map<Box<str>, Sym>,
    names: Vec<(Sym, Sym)>,
    name_ids: Map<(Sym, Sym), NameId>,
}

/// A table that does not change, and what came beside it.
#[derive(Debug)]
pub(crate) struct Names<'b> {
    base: &'b Table,
    own: Table,
}

impl<'b> Names<'b> {
    pub(crate) fn new(base: &'b Table) -> Self {
        Self {
            base,
            own: Table::default(),
        }
    }

    /// Gives an empty table the texts and names that have numbers above.
    pub(crate) fn prime(&mut self) {
        for text in ["", "xml", XML_URI, "xmlns"] {
            self.sym(text);
        }
        self.name(EMPTY, EMPTY);
    }

    /// What came beside the table. The numbers are right only where that table was empty.
    pub(crate) fn into_own(self) -> Table {
        self.own
    }

    pub(crate) fn sym(&mut self, text: &str) -> Sym {
        if let Some(&id) = self.base.text_ids.get(text) {
            return id;
        }
        if let Some(&id) = self.own.text_ids.get(text) {
            return id;
        }
        let id = (self.base.texts.len() + self.own.texts.len()) as Sym;
        self.own.texts.push(text.into());
        self.own.text_ids.insert(text.into(), id);
        id
    }

    pub(crate) fn name(&mut self, uri: Sym, local: Sym) -> NameId {
        let key = (uri, local);
        if let Some(&id) = self.base.name_ids.get(&key) {
            return id;
        }
        if let Some(&id) = self.own.name_ids.get(&key) {
            return id;
        }
        let id = (self.base.names.len() + self.own.names.len()) as NameId;
        self.own.names.push(key);
        self.own.name_ids.insert(key, id);
        id
    }

    pub(crate) fn text(&self, sym: Sym) -> &str {
        let (at, known) = (sym as usize, self.base.texts.len());
        let text = match at < known {
            true => self.base.texts.get(at),
            false => self.own.texts.get(at - known),
        };
        text.map_or("", |text| text)
    }

    /// Namespace and local name.
    pub(crate) fn parts(&self, name: NameId) -> (Sym, Sym) {
        let (at, known) = (name as usize, self.base.names.len());
        let parts = match at < known {
            true => self.base.names.get(at),
            false => self.own.names.get(at - known),
        };
        parts.copied().unwrap_or((EMPTY, EMPTY))
    }

    pub(crate) fn local(&self, name: NameId) -> &str {
        self.text(self.parts(name).1)
    }

    pub(crate) fn uri(&self, name: NameId) -> &str {
        self.text(self.parts(name).0)
    }

    /// As people write it in messages: `{namespace}local` or `local`.
    pub(crate) fn shown(&self, name: NameId) -> String {
        match self.uri(name) {
            "" => self.local(name).to_owned(),
            uri => format!("{{{uri}}}{}", self.local(name)),
        }
    }
}
