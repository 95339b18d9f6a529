//! Comparisons (section 3.4 of XPath 1.0): of sets it is enough that one node compares.

use std::borrow::Cow;

use super::eval::truth;
use super::value::Value;
use super::{Ctx, Env};
use crate::error::Stop;
use crate::number;
use crate::xpath::{Comparison, Expr, Type};

fn numbers(comparison: Comparison, left: f64, right: f64) -> bool {
    match comparison {
        Comparison::Equal => left == right,
        Comparison::NotEqual => left != right,
        Comparison::Less => left < right,
        Comparison::LessEqual => left <= right,
        Comparison::Greater => left > right,
        Comparison::GreaterEqual => left >= right,
    }
}

fn turned(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Less => Comparison::Greater,
        Comparison::LessEqual => Comparison::GreaterEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterEqual => Comparison::LessEqual,
        same => same,
    }
}

fn is_equality(comparison: Comparison) -> bool {
    matches!(comparison, Comparison::Equal | Comparison::NotEqual)
}

fn is_set(value: &Value) -> bool {
    matches!(
        value,
        Value::Nodes(_) | Value::Fragment(_) | Value::TextFragment(_)
    )
}

impl Env<'_> {
    pub(super) fn compare(
        &self,
        comparison: Comparison,
        left: &Expr,
        right: &Expr,
        c: &Ctx,
    ) -> Result<bool, Stop> {
        let types = (left.gives(), right.gives());
        match types {
            // The usual ones, without values in between.
            (Type::Number, Type::Number) => {
                return Ok(numbers(
                    comparison,
                    self.number(left, c)?,
                    self.number(right, c)?,
                ));
            }
            (Type::Text, Type::Text) if is_equality(comparison) => {
                let is_same = self.text(left, c)? == self.text(right, c)?;
                return Ok(is_same == (comparison == Comparison::Equal));
            }
            (Type::Nodes, Type::Text)
                if is_equality(comparison) && matches!(right, Expr::Text(_)) =>
            {
                let wanted = self.text(right, c)?;
                for node in self.nodes(left, c)? {
                    let value = self.string_value(node);
                    self.spend_bytes(value.len().min(wanted.len()))?;
                    if (value == wanted) == (comparison == Comparison::Equal) {
                        return Ok(true);
                    }
                }
                return Ok(false);
            }
            _ => {}
        }
        let (left, right) = (self.eval(left, c)?, self.eval(right, c)?);
        match (is_set(&left), is_set(&right)) {
            (true, true) => self.compare_sets(comparison, &left, &right),
            (true, false) => self.compare_set(comparison, &left, &right),
            (false, true) => self.compare_set(turned(comparison), &right, &left),
            (false, false) => Ok(self.compare_plain(comparison, &left, &right)),
        }
    }

    fn compare_plain(&self, comparison: Comparison, left: &Value, right: &Value) -> bool {
        if is_equality(comparison) {
            let is_same = match (left, right) {
                (Value::Boolean(_), _) | (_, Value::Boolean(_)) => truth(left) == truth(right),
                (Value::Number(_), _) | (_, Value::Number(_)) => {
                    self.to_number(left) == self.to_number(right)
                }
                _ => self.text_of(left) == self.text_of(right),
            };
            return is_same == (comparison == Comparison::Equal);
        }
        numbers(comparison, self.to_number(left), self.to_number(right))
    }

    fn compare_set(
        &self,
        comparison: Comparison,
        set: &Value,
        other: &Value,
    ) -> Result<bool, Stop> {
        if let Value::Boolean(_) = other {
            let set = Value::Boolean(truth(set));
            return Ok(self.compare_plain(comparison, &set, other));
        }
        let is_by_number = matches!(other, Value::Number(_)) || !is_equality(comparison);
        let number = if is_by_number {
            self.to_number(other)
        } else {
            0.0
        };
        for text in self.texts(set)? {
            self.spend(1)?;
            let holds = match is_by_number {
                true => numbers(comparison, number::parse(&text), number),
                false => (text == self.text_of(other)) == (comparison == Comparison::Equal),
            };
            if holds {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn compare_sets(
        &self,
        comparison: Comparison,
        left: &Value,
        right: &Value,
    ) -> Result<bool, Stop> {
        let (left, right) = (self.texts(left)?, self.texts(right)?);
        if is_equality(comparison) {
            for left in &left {
                self.spend(right.len() as u64)?;
                for right in &right {
                    if left.len() == right.len() {
                        self.spend_bytes(left.len())?;
                    }
                    if (left == right) == (comparison == Comparison::Equal) {
                        return Ok(true);
                    }
                }
            }
            return Ok(false);
        }
        let right: Vec<f64> = right.iter().map(|text| number::parse(text)).collect();
        for left in &left {
            self.spend(right.len() as u64)?;
            let left = number::parse(left);
            if right.iter().any(|right| numbers(comparison, left, *right)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// String-values of a set's nodes; a fragment is a set of its root.
    fn texts<'v>(&'v self, value: &'v Value) -> Result<Vec<Cow<'v, str>>, Stop> {
        let Value::Nodes(nodes) = value else {
            return Ok(vec![self.text_of(value)]);
        };
        let texts: Vec<Cow<'v, str>> = nodes.iter().map(|node| self.string_value(*node)).collect();
        self.spend(texts.len() as u64)?;
        self.spend_bytes(texts.iter().map(|text| text.len()).sum())?;
        Ok(texts)
    }
}
