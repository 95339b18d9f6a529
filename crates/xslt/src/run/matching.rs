//! Which template rule is meant for a node.

use super::value::NodeRef;
use super::{Ctx, Env};
use crate::error::Stop;
use crate::program::{Mode, Rule};
use crate::tree::{Kind, NONE};
use crate::xpath::pattern::{Pattern, PatternStart, PatternStep};

impl Env<'_> {
    /// The best rule for a node: its number among the rules. `below` takes only those of precedences in this range,
    /// for `apply-imports`.
    pub(super) fn rule(
        &self,
        node: NodeRef,
        mode: Mode,
        below: Option<(u32, u32)>,
        c: &Ctx,
    ) -> Result<Option<&Rule>, Stop> {
        let kind = match self.kind(node) {
            Kind::Raw => Kind::Text,
            kind => kind,
        };
        let index = &self.sheet.index;
        let name = match kind {
            Kind::Element | Kind::Attribute | Kind::Pi => {
                self.forest.tree(node.document()).node(node.node()).name
            }
            Kind::Namespace => return Ok(None),
            _ => 0,
        };
        let candidates = index
            .by_name
            .get(&(mode, kind, name))
            .or_else(|| index.by_kind.get(&(mode, kind)));
        let Some(candidates) = candidates else {
            return Ok(None);
        };
        let c = Ctx {
            node,
            position: 1,
            size: 1,
            current: node,
            base: c.base,
        };
        for number in candidates {
            let Some(rule) = self.sheet.rules.get(*number as usize) else {
                continue;
            };
            if below.is_some_and(|(from, to)| rule.precedence < from || rule.precedence >= to) {
                continue;
            }
            if self.matches(&rule.pattern, node, &c)? {
                return Ok(Some(rule));
            }
        }
        Ok(None)
    }

    pub(super) fn matches_any(
        &self,
        patterns: &[Pattern],
        node: NodeRef,
        c: &Ctx,
    ) -> Result<bool, Stop> {
        for pattern in patterns {
            if self.matches(pattern, node, c)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn matches(&self, pattern: &Pattern, node: NodeRef, c: &Ctx) -> Result<bool, Stop> {
        self.spend(1)?;
        match pattern.steps.is_empty() {
            true => self.begins(&pattern.start, node, c),
            false => self.matches_steps(pattern, 0, node, c),
        }
    }

    fn begins(&self, start: &PatternStart, node: NodeRef, c: &Ctx) -> Result<bool, Stop> {
        Ok(match start {
            PatternStart::Anywhere => true,
            PatternStart::Root => self.kind(node) == Kind::Root,
            PatternStart::Nodes(expr) => self.nodes(expr, c)?.binary_search(&node).is_ok(),
        })
    }

    /// Whether a node matches the step of this number and its ancestors those before. Recurses once a step.
    fn matches_steps(
        &self,
        pattern: &Pattern,
        at: usize,
        node: NodeRef,
        c: &Ctx,
    ) -> Result<bool, Stop> {
        let Some(step) = pattern.steps.get(at) else {
            return self.begins(&pattern.start, node, c);
        };
        if !self.matches_step(step, node, c)? {
            return Ok(false);
        }
        let is_last = at + 1 == pattern.steps.len();
        if is_last && matches!(pattern.start, PatternStart::Anywhere) {
            return Ok(true);
        }
        let tree = self.forest.tree(node.document());
        let mut parent = tree.node(node.node()).parent;
        while parent != NONE {
            self.spend(1)?;
            if self.matches_steps(pattern, at + 1, node.with_node(parent), c)? {
                return Ok(true);
            }
            if !step.by_ancestor {
                break;
            }
            parent = tree.node(parent).parent;
        }
        Ok(false)
    }

    fn matches_step(&self, step: &PatternStep, node: NodeRef, c: &Ctx) -> Result<bool, Stop> {
        if node.namespace() != 0 {
            return Ok(false);
        }
        let tree = self.forest.tree(node.document());
        let found = tree.node(node.node());
        let principal = if step.is_attribute {
            Kind::Attribute
        } else {
            Kind::Element
        };
        let is_on_axis = match step.is_attribute {
            true => found.kind == Kind::Attribute,
            false => !matches!(found.kind, Kind::Attribute | Kind::Root),
        };
        if !is_on_axis || !self.passes(node, step.test, principal) {
            return Ok(false);
        }
        if step.predicates.is_empty() {
            return Ok(true);
        }
        if !step.is_positional {
            let inner = Ctx { node, ..*c };
            for predicate in &step.predicates {
                if !self.holds(predicate, &inner)? {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        let axis = if step.is_attribute {
            crate::xpath::Axis::Attribute
        } else {
            crate::xpath::Axis::Child
        };
        let mut siblings = Vec::new();
        self.walk(node.with_node(found.parent), axis, step.test, &mut siblings)?;
        self.filter(&mut siblings, &step.predicates, c)?;
        Ok(siblings.contains(&node))
    }
}
