//! The JavaScript of a mapping: what is left over where its own language ends.
//!
//! ```text
//! values of a record ──► fields' texts ──► transaction(record, document) ──► texts ──► checks ──► JSON
//! ```
//!
//! [`Program`] is a script and its limits; `engine` runs it; [`Given`] holds what it gave, which stands in the place
//! of the fields' texts from there on, so that it is checked as they are.
//!
//! # Invariants
//!
//! - **Pure.** A script sees the record's texts and nothing else: no clock, no chance, no files, and nothing of the
//!   record before. Its outermost statements run anew for every record; what they share is frozen.
//! - **Bounded.** Time, memory and stack of a call have limits; a call that reaches one refuses its record, never
//!   the process, and the next record is as good as any.
//! - **No floats.** What a script gives is text; numbers are refused.

#[cfg(not(feature = "script"))]
mod absent;
#[cfg(feature = "script")]
mod engine;

#[cfg(not(feature = "script"))]
pub(crate) use absent::{call, check};
#[cfg(feature = "script")]
pub(crate) use engine::{call, check};

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Limits;
use crate::fields::{repeated, unchecked_text_of};
use crate::plan::{Fields, Plan, SlotId, TransactionRule};
use crate::refusal::{Problem, rule};
use crate::values::Values;

/// Most bytes of a script's text.
pub(crate) const SOURCE_BYTES_MAX: usize = 256 << 10;
/// Most records of one body whose script may run out of time; with one more the body is refused, for a request of
/// 10,000 records would otherwise hold a thread for minutes.
pub(crate) const OVERRUNS_MAX: u32 = 20;

/// What one call of a script may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScriptLimits {
    /// Most memory of the thread's engine, with what it needs for itself, in bytes (`script-memory`). 16 MiB.
    pub(crate) memory_bytes_max: usize,
    /// Time of a call after which it is stopped, in milliseconds of the thread on a processor (`script-time`). 50.
    pub(crate) time_ms_max: u64,
    /// Most stack, in bytes (`script-memory`). 256 KiB.
    pub(crate) stack_bytes_max: usize,
}

impl Default for ScriptLimits {
    fn default() -> Self {
        Self {
            memory_bytes_max: 16 << 20,
            time_ms_max: 50,
            stack_bytes_max: 256 << 10,
        }
    }
}

/// A script's text and how it may run.
#[derive(Debug)]
pub(crate) struct Program {
    /// Tells the programs of this process apart: engines keep what they compiled.
    pub(crate) id: u64,
    /// File of the text, for messages.
    pub(crate) name: Box<str>,
    /// Lines of the file in front of the text.
    pub(crate) lines_before: usize,
    pub(crate) text: Box<str>,
    pub(crate) limits: ScriptLimits,
}

impl Program {
    pub(crate) fn new(name: &str, lines_before: usize, text: &str, limits: ScriptLimits) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            name: name.into(),
            lines_before,
            text: text.into(),
            limits,
        }
    }
}

/// A mistake of a script's text.
#[derive(Debug)]
pub(crate) struct Mistake {
    /// In the file, from 1.
    pub(crate) line: usize,
    /// In characters, from 1.
    pub(crate) column: usize,
    pub(crate) message: String,
}

/// What a call is made with.
#[derive(Debug)]
pub(crate) struct Call<'c> {
    /// The fields that have a text.
    pub(crate) record: Vec<(&'c str, String)>,
    /// The inputs that have one.
    pub(crate) document: Vec<(&'c str, &'c str)>,
    /// Which transaction of the record, where it makes several.
    pub(crate) suffix: Option<&'c str>,
}

/// The texts that a script gave, by field.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Given(pub(crate) Vec<(Box<str>, Box<str>)>);

impl Given {
    /// A field's text; `None` when there is none or it is empty.
    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| **name == *field);
        found
            .map(|(_, text)| &**text)
            .filter(|text| !text.is_empty())
    }
}

/// The script step of a mapping.
#[derive(Debug)]
pub(crate) struct ScriptPlan {
    pub(crate) program: Program,
    /// What of the document beside the fields the script sees.
    pub(crate) inputs: Vec<(Box<str>, SlotId)>,
}

impl ScriptPlan {
    /// What the script makes of one transaction; `None`: it passes it over.
    pub(crate) fn run(
        &self,
        transaction: &TransactionRule,
        (plan, values): (&Plan, &Values<'_>),
        scratch: &mut String,
        limits: &Limits,
    ) -> Result<Option<Given>, Problem> {
        let fields = &transaction.fields;
        let mut record = Vec::new();
        for rule in fields.texts() {
            if let Some(text) = unchecked_text_of(rule, values, scratch)? {
                record.push((&*rule.name, text.to_owned()));
            }
        }
        let mut document = Vec::new();
        for (name, slot) in &self.inputs {
            if values.repeated(*slot) {
                return Err(repeated(name, *slot, plan));
            }
            document.extend(values.get(*slot).map(|text| (&**name, text)));
        }
        let suffix = transaction.suffix.as_deref();
        let call_with = Call {
            record,
            document,
            suffix,
        };
        let Some(given) = call(&self.program, &call_with)? else {
            return Ok(None);
        };
        for (name, text) in &given.0 {
            acceptable(fields, name, text, limits)?;
        }
        Ok(Some(given))
    }
}

/// Whether a script may give this text for this field; whether the text is right for it is checked later.
fn acceptable(fields: &Fields, name: &str, text: &str, limits: &Limits) -> Result<(), Problem> {
    if !fields.texts().any(|rule| *rule.name == *name) {
        let known: Vec<&str> = fields.texts().map(|rule| &*rule.name).collect();
        let detail = format!(
            "the script gives a field that the mapping does not know; known are {}, and others are named by `gives` of [script]",
            known.join(", ")
        );
        return Err(Problem::new(&clipped(name), rule::SCRIPT, detail));
    }
    if text.len() > limits.field_bytes_max {
        let detail = format!(
            "the script gives {} bytes, at most {} are read",
            text.len(),
            limits.field_bytes_max
        );
        return Err(Problem::new(name, rule::FIELD_BYTES, detail));
    }
    Ok(())
}

/// The beginning of a text that a script made, on one line, for messages.
pub(crate) fn clipped(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut short: String = text.chars().take(CHARS_MAX).map(plain).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}
