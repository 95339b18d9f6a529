//! Building the path trie and its slots.

use std::collections::HashMap;

use super::table::nearest;
use crate::plan::{Node, NodeId, Plan, ROOT, SlotId, SlotPlan};

/// Paths of one mapping while it is being compiled.
#[derive(Debug, Default)]
pub(crate) struct TrieBuilder {
    nodes: Vec<Node>,
    records: Vec<String>,
    slots: Vec<SlotPlan>,
    required: Vec<bool>,
    by_path: HashMap<String, SlotId>,
}

/// A finished trie, and for each slot whether some field cannot do without it.
#[derive(Debug)]
pub(crate) struct Built {
    nodes: Vec<Node>,
    record: NodeId,
    scopes: u8,
    pub(crate) slots: Vec<SlotPlan>,
    pub(crate) required: Vec<bool>,
}

impl Built {
    pub(crate) fn into_plan(self) -> Plan {
        Plan {
            nodes: self.nodes,
            record: self.record,
            slots: self.slots,
            scopes: self.scopes,
        }
    }
}

/// Most nodes of a trie; ids are 16 bits wide and the last one means "skip".
const NODES_MAX: usize = 4_096;

/// In a step `~1` stands for `/` and `~0` for `~`, as in JSON Pointer (RFC 6901).
pub(crate) fn unescape_step(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

impl TrieBuilder {
    /// Names the path of the records, from the top.
    pub(crate) fn set_records(&mut self, steps: Vec<String>) {
        self.records = steps;
        self.record_node();
    }

    pub(crate) fn has_records(&self) -> bool {
        !self.records.is_empty()
    }

    /// Whether the slot's column must be there.
    pub(crate) fn require(&mut self, slot: SlotId) {
        self.required[usize::from(slot)] = true;
    }

    fn record_node(&mut self) -> NodeId {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let mut node = ROOT;
        for index in 0..self.records.len() {
            // Record paths have a handful of steps; the limit on depth is far below 255.
            self.nodes[usize::from(node)].scope = Some(index.min(254) as u8);
            let step = self.records[index].clone();
            node = self.step(node, &step);
        }
        node
    }

    fn step(&mut self, node: NodeId, name: &str) -> NodeId {
        let known = &self.nodes[usize::from(node)].children;
        if let Some((_, child)) = known.iter().find(|(known, _)| **known == *name) {
            return *child;
        }
        let child = self.nodes.len() as NodeId;
        self.nodes.push(Node::default());
        let parent = &mut self.nodes[usize::from(node)];
        parent.children.push((name.into(), child));
        parent.has_attributes |= name.starts_with('@');
        child
    }

    /// The slot of a path in JSON or XML; the error says what would be right.
    pub(crate) fn path(&mut self, path: &str, is_xml: bool) -> Result<SlotId, String> {
        if let Some(slot) = self.by_path.get(path) {
            self.slots[usize::from(*slot)].is_total = false;
            return Ok(*slot);
        }
        let record = self.record_node();
        let (text, absolute) = match path.strip_prefix('/') {
            Some(rest) => (rest, true),
            None => (path, false),
        };
        let steps: Vec<String> = text.split('/').map(unescape_step).collect();
        if steps
            .iter()
            .any(|step| step.is_empty() || step == "@" || step == "." || step == "..")
        {
            return Err(format!("{path:?} is no path such as \"Amt/InstdAmt\""));
        }
        let attribute = steps.iter().position(|step| step.starts_with('@'));
        if is_xml && attribute.is_some_and(|at| at + 1 != steps.len()) {
            return Err(format!("in {path:?} an attribute must be the last step"));
        }
        if self.nodes.len() + steps.len() > NODES_MAX {
            return Err(format!("the mapping reads more than {NODES_MAX} paths"));
        }
        let (start, scope) = if absolute {
            (ROOT, Some(self.scope_of(path, &steps)?))
        } else {
            (record, None)
        };
        let mut node = start;
        for step in &steps {
            node = self.step(node, step);
        }
        let slot = self.add_slot(path, scope);
        self.nodes[usize::from(node)].slot = Some(slot);
        Ok(slot)
    }

    /// The slot of a total that stands around the records, and the level of its element.
    pub(crate) fn control_path(
        &mut self,
        path: &str,
        is_xml: bool,
    ) -> Result<(SlotId, u8), String> {
        let known = self.by_path.get(path).copied();
        let slot = match known {
            Some(slot) => slot,
            None => self.path(path, is_xml)?,
        };
        let plan = &mut self.slots[usize::from(slot)];
        plan.is_total |= known.is_none();
        match plan.scope {
            Some(scope) => Ok((slot, scope)),
            None => Err(format!("{path:?} does not stand around the records")),
        }
    }

    /// Level of the enclosing element that a path from the top belongs to.
    fn scope_of(&self, path: &str, steps: &[String]) -> Result<u8, String> {
        if self.records.is_empty() {
            return Err(format!(
                "{path:?} begins at the top of the document, but each document is a record here: write it without the first /"
            ));
        }
        let common = steps
            .iter()
            .zip(&self.records)
            .take_while(|(a, b)| a == b)
            .count();
        if common == self.records.len() {
            let inside: Vec<&str> = steps[common..].iter().map(String::as_str).collect();
            return Err(format!(
                "{path:?} is inside of the record: write it as \"{}\"",
                inside.join("/")
            ));
        }
        if common == steps.len() {
            return Err(format!(
                "{path:?} is an element around the records and has no text of its own"
            ));
        }
        Ok(common.min(254) as u8)
    }

    /// The slot of a column.
    pub(crate) fn column(&mut self, name: &str, columns: &[Box<str>]) -> Result<SlotId, String> {
        if let Some(slot) = self.by_path.get(name) {
            return Ok(*slot);
        }
        self.record_node();
        if let Some(number) = name.strip_prefix('#') {
            if number
                .parse::<usize>()
                .is_ok_and(|number| (1..=1_024).contains(&number))
            {
                return Ok(self.add_slot(name, None));
            }
            return Err(format!("{name:?} is no column number such as \"#1\""));
        }
        if !columns.is_empty() && !columns.iter().any(|known| **known == *name) {
            let known: Vec<&str> = columns.iter().map(|name| &**name).collect();
            let hint = match nearest(name, &known) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => format!("the columns are {}", known.join(", ")),
            };
            return Err(format!("there is no column {name:?}; {hint}"));
        }
        Ok(self.add_slot(name, None))
    }

    /// The slot of a value that the decoder finds without the trie.
    pub(crate) fn named(&mut self, path: &str, scope: Option<u8>) -> SlotId {
        match self.by_path.get(path) {
            Some(slot) => *slot,
            None => self.add_slot(path, scope),
        }
    }

    fn add_slot(&mut self, path: &str, scope: Option<u8>) -> SlotId {
        let slot = self.slots.len() as SlotId;
        self.slots.push(SlotPlan {
            path: path.into(),
            scope,
            is_total: false,
        });
        self.required.push(false);
        self.by_path.insert(path.to_owned(), slot);
        slot
    }

    pub(crate) fn finish(mut self) -> Built {
        let record = self.record_node();
        Built {
            record,
            scopes: self.records.len().min(255) as u8,
            nodes: self.nodes,
            slots: self.slots,
            required: self.required,
        }
    }
}
