//! Compiling conditions: `{ from = "status", is = ["declined"] }` and what joins them.

use super::Compiler;
use super::table::Section;
use crate::condition::Condition;
use crate::plan::SlotId;

/// Most conditions inside of one another.
const DEPTH_MAX: usize = 8;
/// Keys of a condition.
pub(super) const CONDITION_KEYS: &[&str] = &[
    "from", "is", "is_not", "matches", "exists", "all", "any", "not",
];
const TESTS: &[&str] = &["is", "is_not", "matches", "exists"];
const HINT: &str = "a condition is { from = \"status\", is = [\"declined\"] } (or `is_not`, `matches`, `exists = true`), \
                    or { all = [ … ] }, { any = [ … ] }, { not = { … } }";

impl Compiler<'_> {
    /// `[[skip]]`: conditions of records that are no transactions.
    pub(super) fn skips(&mut self, root: &Section<'_>) -> Vec<Condition> {
        self.conditions(root, "skip", 0)
    }

    /// A condition under a key, if there is one.
    pub(super) fn when(&mut self, section: &Section<'_>) -> Option<Condition> {
        let when = section.section(self, "when")?;
        self.record_condition(&when, 0)
    }

    fn conditions(&mut self, section: &Section<'_>, key: &str, depth: usize) -> Vec<Condition> {
        let mut conditions = Vec::new();
        for item in section.items(self, key) {
            match section.item_section(key, item) {
                Some(table) => conditions.extend(self.record_condition(&table, depth)),
                None => self.error(item.span(), &section.key(key), HINT),
            }
        }
        conditions
    }

    /// The mapping's author nests conditions, never the input, and not deeper than [`DEPTH_MAX`].
    fn record_condition(&mut self, section: &Section<'_>, depth: usize) -> Option<Condition> {
        section.only(self, CONDITION_KEYS);
        if depth >= DEPTH_MAX {
            let message = format!("conditions nest more than {DEPTH_MAX} deep");
            self.error(section.span(), &section.key("from"), message);
            return None;
        }
        let joined: Vec<&str> = ["all", "any", "not"]
            .into_iter()
            .filter(|key| section.has(key))
            .collect();
        let tests: Vec<&str> = TESTS
            .iter()
            .copied()
            .filter(|key| section.has(key))
            .collect();
        match (joined.as_slice(), section.has("from"), tests.as_slice()) {
            (["not"], false, []) => {
                let inner = section.section(self, "not")?;
                let inner = self.record_condition(&inner, depth + 1)?;
                Some(Condition::Not(Box::new(inner)))
            }
            ([key], false, []) => {
                let parts = self.conditions(section, key, depth + 1);
                if parts.is_empty() {
                    let message = "a list of at least one condition is expected";
                    self.error(section.span(), &section.key(key), message);
                    return None;
                }
                Some(match *key {
                    "all" => Condition::All(parts),
                    _ => Condition::Any(parts),
                })
            }
            ([], true, [test]) => self.test(section, test),
            _ => {
                self.error(section.span(), &section.key("from"), HINT);
                None
            }
        }
    }

    fn test(&mut self, section: &Section<'_>, test: &str) -> Option<Condition> {
        let key = section.key("from");
        let slots: Vec<SlotId> = section
            .texts(self, "from")
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(path, span)| self.slot(path, span, &key, false))
            .collect();
        let condition = match test {
            "exists" => {
                let wanted = section.flag(self, "exists")?;
                return (!slots.is_empty()).then(|| negated(Condition::Exists { slots }, !wanted));
            }
            "matches" => {
                let pattern = self.pattern(section, "matches")?;
                Condition::Matches {
                    slots: slots.clone(),
                    pattern,
                }
            }
            test => {
                let texts = section.texts(self, test)?;
                let texts = texts.into_iter().map(|(text, _)| text.into()).collect();
                let is = Condition::Is {
                    slots: slots.clone(),
                    texts,
                };
                negated(is, test == "is_not")
            }
        };
        (!slots.is_empty()).then_some(condition)
    }
}

fn negated(condition: Condition, negated: bool) -> Condition {
    if negated {
        Condition::Not(Box::new(condition))
    } else {
        condition
    }
}
