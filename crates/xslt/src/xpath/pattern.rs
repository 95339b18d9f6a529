//! Patterns (section 5.2 of XSLT 1.0): the part of XPath that says whether a node is meant.

use super::lexer::Mistake;
use super::parser::{Scope, parse};
use super::{Axis, Expr, Function, Path, Start, Test};

/// One of the alternatives that `|` divides.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) start: PatternStart,
    /// From the last to the first.
    pub(crate) steps: Box<[PatternStep]>,
}

#[derive(Debug)]
pub(crate) enum PatternStart {
    /// Anywhere.
    Anywhere,
    /// At the root; with no steps the root itself.
    Root,
    /// `id('…')` or `key('…', '…')`.
    Nodes(Expr),
}

#[derive(Debug)]
pub(crate) struct PatternStep {
    pub(crate) is_attribute: bool,
    pub(crate) test: Test,
    pub(crate) predicates: Box<[Expr]>,
    /// Whether what stands before it may be any ancestor, not only the parent.
    pub(crate) by_ancestor: bool,
    /// Whether its predicates ask for the place among its siblings.
    pub(crate) is_positional: bool,
}

impl Pattern {
    /// Priority that a rule has by its pattern.
    pub(crate) fn priority(&self) -> f64 {
        match (&self.start, &*self.steps) {
            (PatternStart::Anywhere, [step]) if step.predicates.is_empty() && !step.by_ancestor => {
                match step.test {
                    Test::Name(_) | Test::Pi(_) => 0.0,
                    Test::Namespace(_) => -0.25,
                    _ => -0.5,
                }
            }
            (PatternStart::Root, []) => -0.5,
            _ => 0.5,
        }
    }
}

/// Parses a pattern: its alternatives.
pub(crate) fn pattern(text: &str, scope: &mut dyn Scope) -> Result<Vec<Pattern>, Mistake> {
    let wrong = |message: &str| Mistake {
        at: 0,
        message: message.to_owned(),
    };
    let parts = match parse(text, scope, true)? {
        Expr::Union(parts) => parts.into_vec(),
        one => vec![one],
    };
    let mut patterns = Vec::with_capacity(parts.len());
    for part in parts {
        let path = match part {
            Expr::Path(path) => *path,
            call @ Expr::Call(Function::Id | Function::Key, _) => Path {
                start: Start::Filter(call, Box::default()),
                steps: Box::default(),
            },
            _ => {
                return Err(wrong(
                    "a pattern is a path of names, such as Document/Stmt or @Ccy",
                ));
            }
        };
        let start = match path.start {
            Start::Context => PatternStart::Anywhere,
            Start::Root => PatternStart::Root,
            Start::Filter(call, predicates) => {
                let is_literal = match &call {
                    Expr::Call(Function::Id | Function::Key, arguments) => arguments
                        .iter()
                        .all(|argument| matches!(argument, Expr::Text(_))),
                    _ => false,
                };
                if !is_literal || !predicates.is_empty() {
                    return Err(wrong(
                        "a pattern begins with a name, /, // or key('name', 'value')",
                    ));
                }
                PatternStart::Nodes(call)
            }
        };
        let mut steps: Vec<PatternStep> = Vec::new();
        let mut by_ancestor = false;
        for step in path.steps {
            let is_any = step.axis == Axis::DescendantOrSelf
                && step.test == Test::Node
                && step.predicates.is_empty();
            if is_any {
                by_ancestor = true;
                continue;
            }
            if !matches!(step.axis, Axis::Child | Axis::Attribute) {
                return Err(wrong(
                    "a pattern has only the axes child and attribute, and //",
                ));
            }
            steps.push(PatternStep {
                is_attribute: step.axis == Axis::Attribute,
                is_positional: step.predicates.iter().any(Expr::is_positional),
                test: step.test,
                predicates: step.predicates,
                by_ancestor: std::mem::take(&mut by_ancestor),
            });
        }
        if by_ancestor {
            return Err(wrong("there is no step behind //"));
        }
        // `//name` at the beginning means the same as `name`, except for its priority.
        steps.reverse();
        patterns.push(Pattern {
            start,
            steps: steps.into(),
        });
    }
    Ok(patterns)
}
