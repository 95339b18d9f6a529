//! Evaluating expressions.

use std::borrow::Cow;
use std::rc::Rc;

use super::value::{NodeRef, Value};
use super::{Ctx, Env, Global};
use crate::error::{Stop, fail, limit};
use crate::number;
use crate::xpath::{Arithmetic, Axis, Expr, Path, Start, Step, Type};

impl Env<'_> {
    pub(crate) fn eval(&self, expr: &Expr, c: &Ctx) -> Result<Value, Stop> {
        Ok(match expr {
            Expr::Local(_) | Expr::Global(_) => self.variable(expr, c)?.clone(),
            Expr::Fail(message) => return Err(fail(&**message)),
            Expr::Text(text) => Value::Text(Rc::from(&**text)),
            _ => match expr.gives() {
                Type::Boolean => Value::Boolean(self.boolean(expr, c)?),
                Type::Number => Value::Number(self.number(expr, c)?),
                Type::Nodes => Value::Nodes(self.nodes(expr, c)?.into()),
                Type::Text => {
                    let mut text = String::new();
                    self.push_string(expr, c, &mut text)?;
                    Value::Text(text.into())
                }
                Type::Unknown => match expr {
                    Expr::Call(_, arguments) => self.system_property(arguments, c)?,
                    _ => return Err(fail("an expression of no type")),
                },
            },
        })
    }

    /// A variable's value; a variable of the stylesheet may have to be evaluated first.
    pub(super) fn variable(&self, expr: &Expr, c: &Ctx) -> Result<&Value, Stop> {
        match expr {
            Expr::Local(slot) => match self.variables.get(c.base + *slot as usize) {
                Some(value) => Ok(value),
                None => Err(fail("a variable is used before it has a value")),
            },
            Expr::Global(number) => match self.globals.get(*number as usize) {
                Some(Global::Set(value)) => Ok(value),
                Some(Global::Unset) => Err(Stop::Needs(*number)),
                _ => {
                    let name = self
                        .sheet
                        .globals
                        .get(*number as usize)
                        .map_or(0, |global| global.name);
                    let shown = self.names.borrow().shown(name);
                    Err(fail(format!(
                        "the value of ${shown} depends on ${shown} itself"
                    )))
                }
            },
            _ => Err(fail("no variable")),
        }
    }

    pub(crate) fn boolean(&self, expr: &Expr, c: &Ctx) -> Result<bool, Stop> {
        Ok(match expr {
            Expr::Or(parts) => {
                for part in parts {
                    if self.boolean(part, c)? {
                        return Ok(true);
                    }
                }
                false
            }
            Expr::And(parts) => {
                for part in parts {
                    if !self.boolean(part, c)? {
                        return Ok(false);
                    }
                }
                true
            }
            Expr::Compare(comparison, pair) => self.compare(*comparison, &pair.0, &pair.1, c)?,
            Expr::Text(text) => !text.is_empty(),
            Expr::Local(_) | Expr::Global(_) => truth(self.variable(expr, c)?),
            Expr::Path(_) | Expr::Union(_) => self.first(expr, c)?.is_some(),
            Expr::Call(function, arguments) => match expr.gives() {
                Type::Boolean => self.call_boolean(*function, arguments, c)?,
                Type::Number => is_true_number(self.number(expr, c)?),
                Type::Nodes => self.first(expr, c)?.is_some(),
                _ => truth(&self.eval_text(expr, c)?),
            },
            _ => is_true_number(self.number(expr, c)?),
        })
    }

    /// Text or unknown, without a loop through `boolean`.
    fn eval_text(&self, expr: &Expr, c: &Ctx) -> Result<Value, Stop> {
        match expr {
            Expr::Fail(message) => Err(fail(&**message)),
            _ => self.eval(expr, c),
        }
    }

    pub(crate) fn number(&self, expr: &Expr, c: &Ctx) -> Result<f64, Stop> {
        Ok(match expr {
            Expr::Number(number) => *number,
            Expr::Negate(inner) => -self.number(inner, c)?,
            Expr::Arithmetic(arithmetic, pair) => {
                let (left, right) = (self.number(&pair.0, c)?, self.number(&pair.1, c)?);
                self.spend(1)?;
                match arithmetic {
                    Arithmetic::Add => left + right,
                    Arithmetic::Subtract => left - right,
                    Arithmetic::Multiply => left * right,
                    Arithmetic::Divide => left / right,
                    Arithmetic::Modulo => left % right,
                }
            }
            Expr::Call(function, arguments) if expr.gives() == Type::Number => {
                self.call_number(*function, arguments, c)?
            }
            Expr::Local(_) | Expr::Global(_) => self.to_number(self.variable(expr, c)?),
            _ => match expr.gives() {
                Type::Boolean => f64::from(u8::from(self.boolean(expr, c)?)),
                Type::Nodes => match self.first(expr, c)? {
                    Some(node) => number::parse(&self.string_value(node)),
                    None => f64::NAN,
                },
                _ => self.to_number(&self.eval(expr, c)?),
            },
        })
    }

    pub(crate) fn to_number(&self, value: &Value) -> f64 {
        match value {
            Value::Boolean(boolean) => f64::from(u8::from(*boolean)),
            Value::Number(number) => *number,
            value => number::parse(&self.text_of(value)),
        }
    }

    /// A value as text.
    pub(crate) fn text_of<'v>(&'v self, value: &'v Value) -> Cow<'v, str> {
        match value {
            Value::Boolean(true) => Cow::Borrowed("true"),
            Value::Boolean(false) => Cow::Borrowed("false"),
            Value::Number(number) => Cow::Owned(number::text(*number)),
            Value::Text(text) | Value::TextFragment(text) => Cow::Borrowed(text),
            Value::Nodes(nodes) => match nodes.first() {
                Some(node) => self.string_value(*node),
                None => Cow::Borrowed(""),
            },
            Value::Fragment(tree) => Cow::Borrowed(tree.value(0)),
        }
    }

    /// An expression as text, borrowed where it stands somewhere.
    pub(crate) fn text<'v>(&'v self, expr: &'v Expr, c: &Ctx) -> Result<Cow<'v, str>, Stop> {
        let text = match expr {
            Expr::Text(text) => Cow::Borrowed(&**text),
            Expr::Local(_) | Expr::Global(_) => self.text_of(self.variable(expr, c)?),
            _ if expr.gives() == Type::Nodes => match self.first(expr, c)? {
                Some(node) => self.string_value(node),
                None => Cow::Borrowed(""),
            },
            _ => {
                let mut text = String::new();
                self.push_string(expr, c, &mut text)?;
                Cow::Owned(text)
            }
        };
        self.spend_bytes(text.len())?;
        Ok(text)
    }

    /// Appends an expression as text.
    pub(crate) fn push_string(&self, expr: &Expr, c: &Ctx, out: &mut String) -> Result<(), Stop> {
        match expr {
            Expr::Text(text) => out.push_str(text),
            Expr::Local(_) | Expr::Global(_) => {
                out.push_str(&self.text_of(self.variable(expr, c)?))
            }
            Expr::Fail(message) => return Err(fail(&**message)),
            _ => match expr.gives() {
                Type::Nodes => {
                    if let Some(node) = self.first(expr, c)? {
                        out.push_str(&self.string_value(node));
                    }
                }
                Type::Boolean => out.push_str(if self.boolean(expr, c)? {
                    "true"
                } else {
                    "false"
                }),
                Type::Number => number::push(self.number(expr, c)?, out),
                Type::Text => match expr {
                    Expr::Call(function, arguments) => {
                        self.call_text(*function, arguments, c, out)?
                    }
                    _ => return Err(fail("no text")),
                },
                Type::Unknown => {
                    let value = self.eval(expr, c)?;
                    out.push_str(&self.text_of(&value));
                }
            },
        }
        self.made(out)
    }

    /// The first node, in document order, of an expression that gives nodes.
    pub(crate) fn first(&self, expr: &Expr, c: &Ctx) -> Result<Option<NodeRef>, Stop> {
        match expr {
            Expr::Path(path) => {
                let is_simple = path.steps.iter().all(|step| {
                    step.predicates.is_empty()
                        && matches!(
                            step.axis,
                            Axis::Child | Axis::Attribute | Axis::Itself | Axis::Parent
                        )
                });
                if is_simple {
                    let start = match &path.start {
                        Start::Context => Some(c.node),
                        Start::Root => Some(c.node.with_node(0)),
                        Start::Filter(Expr::Local(_) | Expr::Global(_), predicates)
                            if predicates.is_empty() =>
                        {
                            None
                        }
                        Start::Filter(..) => None,
                    };
                    if let Some(start) = start {
                        return self.first_below(start, &path.steps);
                    }
                }
                Ok(self.path(path, c)?.first().copied())
            }
            Expr::Local(_) | Expr::Global(_) => {
                Ok(self.as_nodes(self.variable(expr, c)?)?.first().copied())
            }
            _ => Ok(self.nodes(expr, c)?.first().copied()),
        }
    }

    /// The first node by steps that keep document order. Recurses once a step.
    fn first_below(&self, node: NodeRef, steps: &[Step]) -> Result<Option<NodeRef>, Stop> {
        let Some((step, rest)) = steps.split_first() else {
            return Ok(Some(node));
        };
        if node.namespace() == 0 && step.axis == Axis::Child {
            let tree = self.forest.tree(node.document());
            if !matches!(
                tree.kind(node.node()),
                crate::tree::Kind::Root | crate::tree::Kind::Element
            ) {
                return Ok(None);
            }
            let mut child = tree.first_child(node.node());
            while child != crate::tree::NONE {
                self.spend(1)?;
                let one = node.with_node(child);
                if self.passes(one, step.test, crate::tree::Kind::Element)
                    && let Some(found) = self.first_below(one, rest)?
                {
                    return Ok(Some(found));
                }
                child = tree.node(child).next;
            }
            return Ok(None);
        }
        let mut found = Vec::new();
        self.walk(node, step.axis, step.test, &mut found)?;
        for one in found {
            if let Some(found) = self.first_below(one, rest)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    pub(crate) fn as_nodes<'v>(&self, value: &'v Value) -> Result<&'v [NodeRef], Stop> {
        match value {
            Value::Nodes(nodes) => Ok(nodes),
            Value::Fragment(_) | Value::TextFragment(_) => Err(fail(
                "a result tree fragment is no node-set: exsl:node-set(…), with xmlns:exsl=\"http://exslt.org/common\", makes it one",
            )),
            _ => Err(fail(
                "nodes are expected, and the value is a text, a number or true or false",
            )),
        }
    }

    /// The nodes of an expression, in document order, each once.
    pub(crate) fn nodes(&self, expr: &Expr, c: &Ctx) -> Result<Vec<NodeRef>, Stop> {
        match expr {
            Expr::Path(path) => self.path(path, c),
            Expr::Union(parts) => {
                let mut all = Vec::new();
                for part in parts {
                    all.append(&mut self.nodes(part, c)?);
                }
                self.in_order(&mut all)?;
                Ok(all)
            }
            Expr::Local(_) | Expr::Global(_) => {
                let nodes = self.as_nodes(self.variable(expr, c)?)?;
                self.spend(nodes.len() as u64)?;
                Ok(nodes.to_vec())
            }
            Expr::Call(function, arguments) if expr.gives() == Type::Nodes => {
                self.call_nodes(*function, arguments, c)
            }
            Expr::Fail(message) => Err(fail(&**message)),
            _ => Err(fail(
                "nodes are expected, and the value is a text, a number or true or false",
            )),
        }
    }

    /// Sorts nodes into document order and takes doubles out.
    pub(super) fn in_order(&self, nodes: &mut Vec<NodeRef>) -> Result<(), Stop> {
        let count = nodes.len() as u64;
        if nodes.len() > self.limits.set_nodes_max {
            let message = format!("a set has more than {} nodes", self.limits.set_nodes_max);
            return Err(limit("set_nodes_max", message));
        }
        self.spend(count * u64::from(count.max(2).ilog2()))?;
        nodes.sort_unstable();
        nodes.dedup();
        Ok(())
    }

    fn path(&self, path: &Path, c: &Ctx) -> Result<Vec<NodeRef>, Stop> {
        let mut set = match &path.start {
            Start::Context => vec![c.node],
            Start::Root => vec![c.node.with_node(0)],
            Start::Filter(expr, predicates) => {
                let mut set = self.nodes(expr, c)?;
                self.filter(&mut set, predicates, c)?;
                set
            }
        };
        // In document order, none inside of another.
        let mut is_flat = set.len() < 2;
        let mut next = Vec::new();
        for step in &path.steps {
            next.clear();
            let is_single = set.len() == 1;
            for node in &set {
                let from = next.len();
                self.walk(*node, step.axis, step.test, &mut next)?;
                if !step.predicates.is_empty() {
                    if from == 0 {
                        self.filter(&mut next, &step.predicates, c)?;
                    } else {
                        let mut own = next.split_off(from);
                        self.filter(&mut own, &step.predicates, c)?;
                        next.append(&mut own);
                    }
                }
                if next.len() > self.limits.set_nodes_max {
                    let message =
                        format!("a set has more than {} nodes", self.limits.set_nodes_max);
                    return Err(limit("set_nodes_max", message));
                }
            }
            let keeps_flat = matches!(
                step.axis,
                Axis::Child | Axis::Attribute | Axis::Itself | Axis::Namespace
            );
            let keeps_order =
                keeps_flat || matches!(step.axis, Axis::Descendant | Axis::DescendantOrSelf);
            if is_single {
                if step.axis.is_reverse() {
                    next.reverse();
                }
            } else if !(is_flat && keeps_order) {
                self.in_order(&mut next)?;
            }
            let gives_flat =
                keeps_flat || matches!(step.axis, Axis::FollowingSibling | Axis::PrecedingSibling);
            is_flat = next.len() < 2
                || ((is_flat || is_single) && (keeps_flat || (is_single && gives_flat)));
            std::mem::swap(&mut set, &mut next);
        }
        Ok(set)
    }

    /// Keeps the nodes for which all predicates hold; their places are those in the set as it comes in.
    pub(super) fn filter(
        &self,
        set: &mut Vec<NodeRef>,
        predicates: &[Expr],
        c: &Ctx,
    ) -> Result<(), Stop> {
        for predicate in predicates {
            if let Expr::Number(number) = predicate {
                let found = (*number >= 1.0 && number.fract() == 0.0)
                    .then(|| set.get(*number as usize - 1).copied())
                    .flatten();
                set.clear();
                set.extend(found);
                continue;
            }
            let size = set.len();
            let mut kept = 0;
            for at in 0..size {
                self.spend(1)?;
                let inner = Ctx {
                    node: set[at],
                    position: at + 1,
                    size,
                    ..*c
                };
                if self.holds(predicate, &inner)? {
                    set[kept] = set[at];
                    kept += 1;
                }
            }
            set.truncate(kept);
        }
        Ok(())
    }

    /// Whether a predicate holds: a number means the position.
    pub(super) fn holds(&self, predicate: &Expr, c: &Ctx) -> Result<bool, Stop> {
        match predicate.gives() {
            Type::Number => Ok(self.number(predicate, c)? == c.position as f64),
            Type::Unknown => Ok(match self.eval(predicate, c)? {
                Value::Number(number) => number == c.position as f64,
                value => truth(&value),
            }),
            _ => self.boolean(predicate, c),
        }
    }
}

fn is_true_number(number: f64) -> bool {
    number != 0.0 && !number.is_nan()
}

/// A value as true or false. A fragment is always true: its root is there.
pub(super) fn truth(value: &Value) -> bool {
    match value {
        Value::Boolean(boolean) => *boolean,
        Value::Number(number) => is_true_number(*number),
        Value::Text(text) => !text.is_empty(),
        Value::Nodes(nodes) => !nodes.is_empty(),
        Value::TextFragment(_) | Value::Fragment(_) => true,
    }
}
