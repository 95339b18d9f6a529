//! `key()`: tables of a document's nodes by value, made when they are first asked for.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use super::value::{NodeRef, Value};
use super::{Ctx, Env};
use crate::error::{Stop, fail};
use crate::xpath::{Expr, Type};

/// Deepest nesting of keys that are made from other keys.
const KEYS_DEPTH_MAX: usize = 16;
/// What an entry of a table costs, for its memory.
const ENTRY_STEPS: u64 = 8;

type Entries = HashMap<Box<str>, Vec<NodeRef>, foldhash::fast::RandomState>;

#[derive(Debug, Default)]
pub(super) struct Keys {
    tables: RefCell<HashMap<(u16, String), Rc<Entries>>>,
    depth: Cell<usize>,
}

impl Env<'_> {
    pub(super) fn key(&self, name: &str, value: &Expr, c: &Ctx) -> Result<Vec<NodeRef>, Stop> {
        let table = self.table(name, c)?;
        let mut found: Vec<NodeRef> = Vec::new();
        let mut look_up = |text: &str| -> Result<(), Stop> {
            let nodes = table.get(text).map_or(&[][..], |nodes| nodes);
            found.extend_from_slice(nodes);
            self.spend(1 + nodes.len() as u64)
        };
        match value.gives() {
            Type::Nodes => {
                for node in self.nodes(value, c)? {
                    look_up(&self.string_value(node))?;
                }
            }
            Type::Unknown => match self.eval(value, c)? {
                Value::Nodes(nodes) => {
                    for node in nodes.iter() {
                        look_up(&self.string_value(*node))?;
                    }
                }
                value => look_up(&self.text_of(&value))?,
            },
            _ => look_up(&self.text(value, c)?)?,
        }
        self.in_order(&mut found)?;
        Ok(found)
    }

    fn table(&self, name: &str, c: &Ctx) -> Result<Rc<Entries>, Stop> {
        let document = c.node.document();
        let id = (document, name.to_owned());
        if let Some(table) = self.keys.tables.borrow().get(&id) {
            return Ok(Rc::clone(table));
        }
        let Some(keys) = self.sheet.keys.get(name) else {
            return Err(fail(format!("there is no xsl:key of the name {name:?}")));
        };
        let depth = self.keys.depth.get() + 1;
        if depth > KEYS_DEPTH_MAX {
            return Err(fail(format!(
                "the key {name:?} is made from keys that are made from keys, {KEYS_DEPTH_MAX} deep or in a circle"
            )));
        }
        self.keys.depth.set(depth);
        let mut entries = Entries::default();
        let nodes = self.forest.tree(document).nodes.len() as u32;
        for key in keys {
            for at in 0..nodes {
                let node = NodeRef::new(document, at);
                let inner = Ctx {
                    node,
                    position: 1,
                    size: 1,
                    current: node,
                    base: c.base,
                };
                self.spend(1)?;
                if self.matches_any(&key.patterns, node, &inner)? {
                    self.enter(&mut entries, &key.value, node, &inner)?;
                }
            }
        }
        for nodes in entries.values_mut() {
            self.in_order(nodes)?;
        }
        self.keys.depth.set(depth - 1);
        let table = Rc::new(entries);
        self.keys.tables.borrow_mut().insert(id, Rc::clone(&table));
        Ok(table)
    }

    fn enter(
        &self,
        entries: &mut Entries,
        value: &Expr,
        node: NodeRef,
        c: &Ctx,
    ) -> Result<(), Stop> {
        let mut enter = |text: &str| -> Result<(), Stop> {
            self.spend(ENTRY_STEPS)?;
            self.spend(text.len() as u64)?;
            match entries.get_mut(text) {
                Some(nodes) => nodes.push(node),
                None => {
                    entries.insert(text.into(), vec![node]);
                }
            }
            Ok(())
        };
        match value.gives() {
            Type::Nodes => {
                for one in self.nodes(value, c)? {
                    enter(&self.string_value(one))?;
                }
                Ok(())
            }
            _ => enter(&self.text(value, c)?),
        }
    }
}
