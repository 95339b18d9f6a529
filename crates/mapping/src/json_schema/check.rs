//! Holding a record against a schema.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::read::escape;
use super::tree::{self, Tree, Value};
use super::{Bound, Constant, DEPTH_MAX, JsonSchema, Kind, Node, Range, STEPS_MAX, Violation};
use crate::number::Number;
use crate::refusal::shown;

impl JsonSchema {
    /// Whether a record's text is right; the first thing that is not.
    pub(crate) fn check(&self, text: &str) -> Result<(), Violation> {
        let too_deep = || Violation {
            pointer: String::new(),
            offset: 0,
            detail: format!(
                "it is nested deeper than {DEPTH_MAX} levels, which a schema is not held against"
            ),
        };
        let tree = tree::read(text).ok_or_else(too_deep)?;
        let mut check = Check {
            schema: self,
            steps: 0,
            path: Vec::new(),
        };
        check.value(self.root, &tree, 0)
    }
}

struct Check<'c> {
    schema: &'c JsonSchema,
    steps: usize,
    /// The way to the value.
    path: Vec<Part<'c>>,
}

enum Part<'c> {
    Name(&'c str),
    Index(usize),
}

impl<'c> Check<'c> {
    fn wrong(&self, tree: &Tree<'_>, detail: impl Into<String>) -> Violation {
        let path = self.path.iter().map(|part| match part {
            Part::Name(name) => format!("/{}", escape(name)),
            Part::Index(index) => format!("/{index}"),
        });
        Violation {
            pointer: path.collect(),
            offset: tree.offset,
            detail: detail.into(),
        }
    }

    fn value(&mut self, schema: usize, tree: &'c Tree<'_>, depth: usize) -> Result<(), Violation> {
        self.steps += 1;
        if self.steps > STEPS_MAX || depth > DEPTH_MAX {
            return Err(self.wrong(tree, "the schema asks more of it than can be looked at"));
        }
        let Some(node) = self.schema.nodes.get(schema) else {
            return Ok(());
        };
        if node.never {
            return Err(self.wrong(tree, "nothing is allowed here"));
        }
        self.kind(node, tree)?;
        match &tree.value {
            Value::Text(text) => self.text(node, tree, text)?,
            Value::Number(text) => self.number(node, tree, text)?,
            Value::Array(items) => self.array(node, tree, items, depth)?,
            Value::Object(members) => self.object(node, tree, members, depth)?,
            Value::Null | Value::Bool(_) => {}
        }
        self.combined(node, tree, depth)
    }

    fn kind(&self, node: &Node, tree: &Tree<'_>) -> Result<(), Violation> {
        let kind = kind_of(tree);
        if node.kinds != 0 && node.kinds & kind == 0 {
            let (found, expected) = (Kind::names(kind & !Kind::INTEGER), Kind::names(node.kinds));
            return Err(self.wrong(
                tree,
                format!("it is of the type {found}, {expected} is expected"),
            ));
        }
        if node.allowed.is_empty() || node.allowed.iter().any(|allowed| allowed.is(tree)) {
            return Ok(());
        }
        let allowed: Vec<String> = node.allowed.iter().take(10).map(shown_constant).collect();
        let more = if node.allowed.len() > allowed.len() {
            ", …"
        } else {
            ""
        };
        Err(self.wrong(
            tree,
            format!(
                "it is none of the values that are allowed: {}{more}",
                allowed.join(", ")
            ),
        ))
    }

    fn text(&self, node: &Node, tree: &Tree<'_>, text: &str) -> Result<(), Violation> {
        self.count(node.lengths, tree, "characters", || text.chars().count())?;
        match &node.pattern {
            Some(pattern) if !pattern.is_match(text) => Err(self.wrong(
                tree,
                format!(
                    "{} does not fit the pattern {}",
                    shown(text),
                    pattern.as_str()
                ),
            )),
            _ => Ok(()),
        }
    }

    fn count(
        &self,
        allowed: Range,
        tree: &Tree<'_>,
        of: &str,
        count: impl Fn() -> usize,
    ) -> Result<(), Violation> {
        if allowed.least == 0 && allowed.most.is_none() || allowed.has(count()) {
            return Ok(());
        }
        let bounds = match allowed.most {
            Some(most) => format!("{} to {most}", allowed.least),
            None => format!("{} or more", allowed.least),
        };
        Err(self.wrong(
            tree,
            format!("it has {} {of}, {bounds} are allowed", count()),
        ))
    }

    fn number(&self, node: &Node, tree: &Tree<'_>, text: &str) -> Result<(), Violation> {
        if node.least.is_empty() && node.most.is_empty() && node.decimals.is_none() {
            return Ok(());
        }
        let Some(number) = Number::json(text) else {
            return Err(self.wrong(tree, "its exponent is too long"));
        };
        let breaks = |bound: &Bound, wrong: Ordering| {
            // It was one when the schema was compiled.
            let order = Number::json(&bound.number).map(|bound| number.cmp(&bound));
            order.is_some_and(|order| order == wrong || bound.exclusive && order.is_eq())
        };
        for (bounds, wrong, side) in [
            (&node.least, Ordering::Less, "less"),
            (&node.most, Ordering::Greater, "more"),
        ] {
            if bounds.iter().any(|bound| breaks(bound, wrong)) {
                let detail = format!("{} is {side} than is allowed", shown(text));
                return Err(self.wrong(tree, detail));
            }
        }
        match node.decimals {
            Some(decimals) if number.decimals() > decimals => {
                let detail = format!(
                    "{} has more than {decimals} digits behind the point",
                    shown(text)
                );
                Err(self.wrong(tree, detail))
            }
            _ => Ok(()),
        }
    }

    fn array(
        &mut self,
        node: &Node,
        tree: &Tree<'_>,
        items: &'c [Tree<'_>],
        depth: usize,
    ) -> Result<(), Violation> {
        self.count(node.item_count, tree, "items", || items.len())?;
        let Some(schema) = node.items else {
            return Ok(());
        };
        for (index, item) in items.iter().enumerate() {
            self.path.push(Part::Index(index));
            self.value(schema, item, depth + 1)?;
            self.path.pop();
        }
        Ok(())
    }

    fn object(
        &mut self,
        node: &Node,
        tree: &Tree<'_>,
        members: &'c [(Cow<'_, str>, Tree<'_>)],
        depth: usize,
    ) -> Result<(), Violation> {
        self.count(node.property_count, tree, "members", || members.len())?;
        for name in &node.required {
            if !members.iter().any(|(known, _)| **known == **name) {
                return Err(self.wrong(tree, format!("{name} is missing")));
            }
        }
        for (name, member) in members {
            let named = node.properties.iter().find(|(known, _)| **known == **name);
            let Some(schema) = named.map(|(_, schema)| *schema).or(node.others) else {
                continue;
            };
            self.path.push(Part::Name(name));
            if named.is_none() && self.schema.nodes.get(schema).is_some_and(|node| node.never) {
                return Err(self.wrong(member, "no member of this name is allowed"));
            }
            self.value(schema, member, depth + 1)?;
            self.path.pop();
        }
        Ok(())
    }

    fn combined(&mut self, node: &Node, tree: &'c Tree<'_>, depth: usize) -> Result<(), Violation> {
        for schema in &node.all {
            self.value(*schema, tree, depth + 1)?;
        }
        if !node.any.is_empty() && self.fitting(&node.any, tree, depth, 1)? == 0 {
            return Err(self.wrong(tree, "it fits none of the schemas of anyOf"));
        }
        if !node.one.is_empty() {
            let fitting = self.fitting(&node.one, tree, depth, 2)?;
            if fitting != 1 {
                let how_many = if fitting == 0 {
                    "none"
                } else {
                    "more than one"
                };
                return Err(self.wrong(tree, format!("it fits {how_many} of the schemas of oneOf")));
            }
        }
        match node.not {
            Some(schema) if self.fitting(&[schema], tree, depth, 1)? == 1 => {
                Err(self.wrong(tree, "it fits what it must not fit (not)"))
            }
            _ => Ok(()),
        }
    }

    /// How many of the schemas it fits, up to `enough`.
    fn fitting(
        &mut self,
        schemas: &[usize],
        tree: &'c Tree<'_>,
        depth: usize,
        enough: usize,
    ) -> Result<usize, Violation> {
        let mut fitting = 0;
        for schema in schemas {
            let length = self.path.len();
            let outcome = self.value(*schema, tree, depth + 1);
            self.path.truncate(length);
            // What could not be looked at is no answer.
            if self.steps > STEPS_MAX || depth >= DEPTH_MAX {
                return Err(self.wrong(tree, "the schema asks more of it than can be looked at"));
            }
            fitting += usize::from(outcome.is_ok());
            if fitting >= enough {
                break;
            }
        }
        Ok(fitting)
    }
}

fn kind_of(tree: &Tree<'_>) -> u8 {
    match &tree.value {
        Value::Null => Kind::NULL,
        Value::Bool(_) => Kind::BOOLEAN,
        Value::Text(_) => Kind::STRING,
        Value::Array(_) => Kind::ARRAY,
        Value::Object(_) => Kind::OBJECT,
        Value::Number(text) => match Number::json(text) {
            Some(number) if number.decimals() == 0 => Kind::NUMBER | Kind::INTEGER,
            _ => Kind::NUMBER,
        },
    }
}

impl Constant {
    fn is(&self, tree: &Tree<'_>) -> bool {
        match (self, &tree.value) {
            (Self::Null, Value::Null) => true,
            (Self::Bool(known), Value::Bool(value)) => known == value,
            (Self::Text(known), Value::Text(text)) => **known == **text,
            (Self::Number(known), Value::Number(text)) => {
                let known = Number::json(known);
                known.is_some() && known == Number::json(text)
            }
            _ => false,
        }
    }
}

fn shown_constant(constant: &Constant) -> String {
    match constant {
        Constant::Null => "null".to_owned(),
        Constant::Bool(value) => value.to_string(),
        Constant::Number(number) => number.to_string(),
        Constant::Text(text) => shown(text),
    }
}
