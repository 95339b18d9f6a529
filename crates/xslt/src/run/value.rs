//! Values of expressions, and the documents that nodes are in.

use std::cell::OnceCell;
use std::rc::Rc;

use crate::tree::{Kind, Tree};

/// A node of one of the documents of a transformation. Compares in document order.
///
/// Namespace nodes are not in a tree: they are numbers from 1 beside their element, so that they come
/// behind it and before its attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeRef(u64);

impl NodeRef {
    pub(crate) fn new(document: u16, node: u32) -> Self {
        Self(u64::from(document) << 48 | u64::from(node) << 16)
    }

    pub(crate) fn document(self) -> u16 {
        (self.0 >> 48) as u16
    }

    pub(crate) fn node(self) -> u32 {
        (self.0 >> 16) as u32
    }

    /// Number of a namespace node, from 1; 0 for others.
    pub(crate) fn namespace(self) -> u16 {
        self.0 as u16
    }

    pub(crate) fn with_node(self, node: u32) -> Self {
        Self::new(self.document(), node)
    }

    pub(crate) fn with_namespace(self, number: u16) -> Self {
        Self(self.0 & !0xffff | u64::from(number))
    }
}

/// What an expression gives. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Boolean(bool),
    Number(f64),
    Text(Rc<str>),
    /// In document order, each once.
    Nodes(Rc<[NodeRef]>),
    /// A fragment that has only text.
    TextFragment(Rc<str>),
    /// A fragment with elements, of which this is the tree.
    Fragment(Rc<Tree>),
}

/// Most documents of a transformation: the number of one has 16 bits.
pub(crate) const DOCUMENTS_MAX: usize = 256 * 256;

type Slots<T> = Box<[OnceCell<T>]>;

/// The documents of a transformation: the one that is transformed, then fragments that became nodes.
/// It only grows, so that texts in it can be borrowed while it does.
#[derive(Debug)]
pub(crate) struct Forest {
    first: Rc<Tree>,
    rows: OnceCell<Slots<Slots<Rc<Tree>>>>,
    count: std::cell::Cell<usize>,
}

fn slots<T>() -> Slots<T> {
    (0..256).map(|_| OnceCell::new()).collect()
}

impl Forest {
    pub(crate) fn new(first: Rc<Tree>) -> Self {
        Self {
            first,
            rows: OnceCell::new(),
            count: std::cell::Cell::new(1),
        }
    }

    /// Adds a document; `None` if there are [`DOCUMENTS_MAX`].
    pub(crate) fn add(&self, tree: Rc<Tree>) -> Option<u16> {
        let at = self.count.get();
        if at >= DOCUMENTS_MAX {
            return None;
        }
        let rows = self.rows.get_or_init(slots);
        let row = rows.get(at / 256)?.get_or_init(slots);
        row.get(at % 256)?.set(tree).ok()?;
        self.count.set(at + 1);
        Some(at as u16)
    }

    pub(crate) fn tree(&self, document: u16) -> &Tree {
        if document == 0 {
            return &self.first;
        }
        let at = usize::from(document);
        let row = self.rows.get().and_then(|rows| rows.get(at / 256)?.get());
        let tree = row.and_then(|row| row.get(at % 256)?.get());
        // Only numbers that `add` gave are asked for.
        tree.unwrap_or(&self.first)
    }

    pub(crate) fn kind(&self, node: NodeRef) -> Kind {
        match node.namespace() {
            0 => self.tree(node.document()).kind(node.node()),
            _ => Kind::Namespace,
        }
    }
}
