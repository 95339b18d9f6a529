//! Conditions over a record's values: which records are no transactions, and which rule a field follows.
//!
//! Compiled from the tables `{ from = …, is = … }` of a mapping. They nest only as deep as the mapping
//! writes them, which [`crate::compile`] bounds; input decides nothing but the answer.

use regex::Regex;

use crate::plan::SlotId;
use crate::values::Values;

/// A question that a record's values answer.
#[derive(Debug)]
pub(crate) enum Condition {
    /// The first text of these slots is one of some.
    Is {
        slots: Vec<SlotId>,
        texts: Vec<Box<str>>,
    },
    /// The pattern is found in the first text of these slots.
    Matches { slots: Vec<SlotId>, pattern: Regex },
    /// One of these slots holds a text.
    Exists { slots: Vec<SlotId> },
    /// None of them is wrong.
    All(Vec<Condition>),
    /// One of them is right.
    Any(Vec<Condition>),
    /// The other one is wrong.
    Not(Box<Condition>),
}

impl Condition {
    /// Whether it is true of a record. No text is like none: it is not one of any, and no pattern is in it.
    pub(crate) fn holds(&self, values: &Values<'_>) -> bool {
        match self {
            Self::Is { slots, texts } => values
                .first_of(slots)
                .is_some_and(|(_, text)| texts.iter().any(|known| **known == *text)),
            Self::Matches { slots, pattern } => values
                .first_of(slots)
                .is_some_and(|(_, text)| pattern.is_match(text)),
            Self::Exists { slots } => values.first_of(slots).is_some(),
            Self::All(parts) => parts.iter().all(|part| part.holds(values)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(values)),
            Self::Not(part) => !part.holds(values),
        }
    }

    /// A slot of it that holds more than one text, so that the answer depends on which one counts.
    pub(crate) fn ambiguous(&self, values: &Values<'_>) -> Option<SlotId> {
        match self {
            Self::Is { slots, .. } | Self::Matches { slots, .. } => {
                let (slot, _) = values.first_of(slots)?;
                values.repeated(slot).then_some(slot)
            }
            Self::Exists { .. } => None,
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().find_map(|part| part.ambiguous(values))
            }
            Self::Not(part) => part.ambiguous(values),
        }
    }
}
