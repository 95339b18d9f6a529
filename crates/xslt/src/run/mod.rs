//! Applying a stylesheet: what expressions are evaluated in ([`Env`]), and the machine that runs instructions.

mod axes;
mod compare;
mod eval;
mod functions;
mod keys;
mod machine;
mod matching;
mod numbering;
mod sink;
mod sorting;
pub(crate) mod value;

pub(crate) use machine::transform;

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use crate::error::{Stop, limit};
use crate::limits::Limits;
use crate::names::Names;
use crate::program::Sheet;
use crate::tree::Kind;
use keys::Keys;
use value::{Forest, NodeRef, Value};

/// Bytes of text that cost as much as one step.
const STEP_BYTES: usize = 16;

/// Where an expression is evaluated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ctx {
    pub(crate) node: NodeRef,
    pub(crate) position: usize,
    pub(crate) size: usize,
    /// `current()`
    pub(crate) current: NodeRef,
    /// Where the template's variables begin.
    pub(crate) base: usize,
}

/// A variable of the stylesheet.
#[derive(Debug)]
pub(crate) enum Global {
    Unset,
    Running,
    Set(Value),
}

/// All that expressions read. Nothing that an expression does can be seen from outside, so that one that
/// stopped can be evaluated again.
#[derive(Debug)]
pub(crate) struct Env<'s> {
    pub(crate) sheet: &'s Sheet,
    pub(crate) limits: &'s Limits,
    pub(crate) forest: Forest,
    pub(crate) names: RefCell<Names<'s>>,
    steps: Cell<u64>,
    pub(crate) variables: Vec<Value>,
    pub(crate) globals: Vec<Global>,
    keys: Keys,
    /// Documents of fragments that were made nodes, by where the fragment is in memory.
    node_sets: RefCell<HashMap<usize, (Value, u16)>>,
    /// The stylesheet as a document, once it was asked for.
    own: Cell<Option<u16>>,
}

impl<'s> Env<'s> {
    pub(crate) fn new(
        sheet: &'s Sheet,
        limits: &'s Limits,
        names: Names<'s>,
        document: Rc<crate::tree::Tree>,
    ) -> Self {
        Self {
            sheet,
            limits,
            forest: Forest::new(document),
            names: RefCell::new(names),
            steps: Cell::new(0),
            variables: Vec::new(),
            globals: sheet.globals.iter().map(|_| Global::Unset).collect(),
            keys: Keys::default(),
            node_sets: RefCell::default(),
            own: Cell::new(None),
        }
    }

    /// Counts steps.
    pub(crate) fn spend(&self, steps: u64) -> Result<(), Stop> {
        let sum = self.steps.get().saturating_add(steps);
        self.steps.set(sum);
        if sum > self.limits.steps_max {
            let message = format!("it takes more than {} steps", self.limits.steps_max);
            return Err(limit("steps_max", message));
        }
        Ok(())
    }

    /// Counts text that is read or made.
    pub(crate) fn spend_bytes(&self, bytes: usize) -> Result<(), Stop> {
        self.spend((bytes / STEP_BYTES) as u64)
    }

    /// Checks the length of a text that was made, and counts it.
    pub(crate) fn made(&self, text: &str) -> Result<(), Stop> {
        if text.len() > self.limits.text_bytes_max {
            let message = format!("a text has more than {} bytes", self.limits.text_bytes_max);
            return Err(limit("text_bytes_max", message));
        }
        self.spend_bytes(text.len())
    }

    /// String-value of a node.
    pub(crate) fn string_value(&self, node: NodeRef) -> Cow<'_, str> {
        if node.namespace() != 0 {
            let uri = self.namespace_of(node).map_or(0, |(_, uri)| uri);
            return Cow::Owned(self.names.borrow().text(uri).to_owned());
        }
        Cow::Borrowed(self.forest.tree(node.document()).value(node.node()))
    }

    pub(crate) fn kind(&self, node: NodeRef) -> Kind {
        self.forest.kind(node)
    }
}
