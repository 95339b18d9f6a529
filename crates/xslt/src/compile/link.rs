//! The order of template rules, and finding them by what they can match.

use super::Compiler;
use crate::names::NameId;
use crate::program::{Map, Mode};
use crate::tree::Kind;
use crate::xpath::Test;
use crate::xpath::pattern::{Pattern, PatternStart};

impl Compiler<'_> {
    pub(super) fn link(&mut self) {
        let rules = std::mem::take(&mut self.sheet.rules);
        let mut rules: Vec<_> = rules.into_iter().enumerate().collect();
        // Of those that match the highest precedence wins, then the highest priority, then the last one.
        rules.sort_by(|(left_at, left), (right_at, right)| {
            right
                .precedence
                .cmp(&left.precedence)
                .then(right.priority.total_cmp(&left.priority))
                .then(right_at.cmp(left_at))
        });
        self.sheet.rules = rules.into_iter().map(|(_, rule)| rule).collect();
        let mut strip = std::mem::take(&mut self.sheet.strip);
        strip.reverse();
        strip.sort_by_key(|rule| {
            let rank = match rule.test {
                Test::Name(_) => 0,
                Test::Namespace(_) => 1,
                _ => 2,
            };
            (std::cmp::Reverse(rule.precedence), rank)
        });
        self.sheet.strip = strip;
        self.index();
    }

    fn index(&mut self) {
        let mut by_name: Map<(Mode, Kind, NameId), Vec<u32>> = Map::default();
        let mut by_kind: Map<(Mode, Kind), Vec<u32>> = Map::default();
        for (number, rule) in self.sheet.rules.iter().enumerate() {
            let number = number as u32;
            match named(&rule.pattern) {
                Some((kind, name)) => by_name
                    .entry((rule.mode, kind, name))
                    .or_default()
                    .push(number),
                None => {
                    for kind in kinds(&rule.pattern) {
                        by_kind.entry((rule.mode, *kind)).or_default().push(number);
                    }
                }
            }
        }
        for ((mode, kind, name), mut numbers) in by_name {
            numbers.extend(by_kind.get(&(mode, kind)).into_iter().flatten());
            numbers.sort_unstable();
            self.sheet
                .index
                .by_name
                .insert((mode, kind, name), numbers.into());
        }
        for (key, numbers) in by_kind {
            self.sheet.index.by_kind.insert(key, numbers.into());
        }
    }
}

/// Kind and name of the only nodes that a pattern can match.
fn named(pattern: &Pattern) -> Option<(Kind, NameId)> {
    let step = pattern.steps.first()?;
    match (step.test, step.is_attribute) {
        (Test::Name(name), true) => Some((Kind::Attribute, name)),
        (Test::Name(name), false) => Some((Kind::Element, name)),
        (Test::Pi(name), false) => Some((Kind::Pi, name)),
        _ => None,
    }
}

fn kinds(pattern: &Pattern) -> &'static [Kind] {
    let Some(step) = pattern.steps.first() else {
        return match pattern.start {
            PatternStart::Root => &[Kind::Root],
            _ => &[
                Kind::Root,
                Kind::Element,
                Kind::Attribute,
                Kind::Text,
                Kind::Comment,
                Kind::Pi,
            ],
        };
    };
    if step.is_attribute {
        return match step.test {
            Test::Any | Test::Namespace(_) | Test::Node => &[Kind::Attribute],
            _ => &[],
        };
    }
    match step.test {
        Test::Any | Test::Namespace(_) | Test::Name(_) => &[Kind::Element],
        Test::Text => &[Kind::Text],
        Test::Comment => &[Kind::Comment],
        Test::AnyPi | Test::Pi(_) => &[Kind::Pi],
        Test::Node => &[Kind::Element, Kind::Text, Kind::Comment, Kind::Pi],
    }
}
