//! How each record was read: which path gave which field through which steps, and where a refusal is.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::ops::Range;

use crate::fields::source_of;
use crate::plan::{IdPart, Piece, Plan, SlotId, Source, TextRule};
use crate::record::{Observed, Verdict};
use crate::refusal::shown;
use crate::values::{Place, Values};
use crate::{Context, Limits, Mapping, RecordOutcome};

/// Characters shown of a line, around the place in question.
const LINE_CHARS: usize = 100;
/// Lines shown of what a stylesheet writes.
const TRANSFORMED_LINES: usize = 40;
/// Names of fields are filled up to this width.
const NAME_WIDTH: usize = 14;

/// Explains a body, record by record, in text for people. Where bodies are bytes, their records are
/// shown first as [`Mapping::show`] shows them.
pub fn explain(mapping: &Mapping, body: &[u8], arrival: i64) -> String {
    let text = RefCell::new(String::new());
    let last = RefCell::new(None);
    let limits = Limits::default();
    let document;
    let body = match mapping.transformed(body, &limits) {
        None => body,
        Some(Err(refusal)) => {
            let at = refusal.offset as usize;
            return format!(
                "the document is refused: {refusal}\n{}",
                underlined(body, at..at, "")
            );
        }
        Some(Ok(written)) => {
            document = written;
            push(&text, &transformed(&document));
            &document
        }
    };
    let mut number = 0;
    let shown = mapping.show(body, &limits, &mut |json| {
        number += 1;
        push(&text, &format!("message {number} of the file: {json}\n"));
    });
    if let Some(Err(refusal)) = &shown {
        push(
            &text,
            &format!("the file cannot be read to its end: {refusal}\n"),
        );
    }
    let mut context = Context {
        received_at: arrival,
        idempotency_key: Some("example"),
        first_record: 1,
        lines: false,
        new_id: &mut || "made-up".to_owned(),
    };
    let mut observer = |observed: &Observed<'_>| {
        last.replace(Some(observed.number));
        push(&text, &record(observed));
    };
    // What the observer does not see: a record given up in the middle of its text.
    let mut sink = |outcome: RecordOutcome| {
        if let RecordOutcome::Refused(refused) = outcome
            && refused.refusal.record != *last.borrow()
        {
            let refusal = &refused.refusal;
            push(&text, &format!("\n{refusal}\n"));
            let at = refusal.offset as usize;
            push(&text, &underlined(body, at..at, ""));
        }
    };
    let result = mapping.run_document(
        body,
        &mut context,
        &limits,
        (&mut Vec::new(), &mut sink),
        Some(&mut observer),
    );
    match result {
        Ok(counts) => push(
            &text,
            &format!(
                "\n{} records, {} of them passed over\n",
                counts.records, counts.passed_over
            ),
        ),
        Err(refusal) => {
            push(&text, &format!("\nthe document is refused: {refusal}\n"));
            if shown.is_none() {
                let at = refusal.offset as usize;
                push(&text, &underlined(body, at..at, ""));
            }
        }
    }
    text.into_inner()
}

/// The begin of what a stylesheet wrote.
fn transformed(document: &[u8]) -> String {
    let text = String::from_utf8_lossy(document);
    let mut shown = format!(
        "the stylesheet writes {} bytes, to which lines and positions below belong:\n",
        document.len()
    );
    for line in text.lines().take(TRANSFORMED_LINES) {
        let line: String = line.chars().take(LINE_CHARS).collect();
        shown.push_str("    ");
        shown.push_str(&line);
        shown.push('\n');
    }
    if text.lines().count() > TRANSFORMED_LINES {
        shown.push_str("    …\n");
    }
    shown
}

fn push(text: &RefCell<String>, more: &str) {
    text.borrow_mut().push_str(more);
}

fn record(observed: &Observed<'_>) -> String {
    let verdict = match &observed.verdict {
        Verdict::PassedOver if observed.by_script => "passed over: the script gives null",
        Verdict::PassedOver => "passed over: a [[skip]] holds",
        Verdict::Translated(_) => "translated",
        Verdict::Refused(..) => "refused",
    };
    let mut text = format!(
        "\nrecord {}, line {}: {verdict}\n",
        observed.number, observed.line
    );
    if matches!(observed.verdict, Verdict::PassedOver) {
        return text;
    }
    text.push_str(&identity(observed));
    for (index, transaction) in observed.rules.transactions.iter().enumerate() {
        if observed.rules.transactions.len() > 1 {
            let is_made = transaction
                .when
                .as_ref()
                .is_none_or(|when| when.holds(observed.values));
            let name = match &transaction.suffix {
                Some(suffix) => format!("id + \"/{suffix}\""),
                None => "the record's id".to_owned(),
            };
            let what = if is_made {
                ""
            } else {
                ": its `when` does not hold"
            };
            let _ = writeln!(text, "  transaction {}, {name}{what}", index + 1);
            if !is_made {
                continue;
            }
        }
        for rule in transaction.fields.texts() {
            let _ = writeln!(
                text,
                "  {:<NAME_WIDTH$} {}",
                rule.name,
                trace(rule, observed.values, observed.plan)
            );
        }
    }
    if let Some(script) = &observed.rules.script {
        let _ = writeln!(text, "  then the script {}", script.program.name);
    }
    match &observed.verdict {
        Verdict::PassedOver => {}
        Verdict::Translated(objects) => {
            for object in objects {
                let _ = writeln!(text, "  gives {}", String::from_utf8_lossy(object));
            }
        }
        Verdict::Refused(problem, offset) => {
            let _ = writeln!(text, "  {} ({})", problem.detail, problem.rule);
            let place = problem
                .field
                .as_deref()
                .and_then(|field| place_of(field, observed))
                .unwrap_or(*offset..*offset);
            if !observed.values.body.is_empty() {
                text.push_str(&underlined(observed.values.body.as_bytes(), place, ""));
            }
        }
    }
    text
}

/// Where in the text the value of a field, or of a path, stands.
fn place_of(field: &str, observed: &Observed<'_>) -> Option<Range<usize>> {
    let of_field = observed
        .rules
        .transactions
        .iter()
        .flat_map(|transaction| transaction.fields.texts())
        .filter(|rule| *rule.name == *field)
        .flat_map(|rule| slots(source_of(rule, observed.values).map(|(source, _)| source)));
    let of_path = (0..)
        .zip(&observed.plan.slots)
        .filter(|(_, slot)| *slot.path == *field)
        .map(|(slot, _)| slot);
    of_field.chain(of_path).find_map(|slot| {
        match observed.values.slots.get(usize::from(slot))?.place {
            Place::Body(start, end) if start < end => Some(start as usize..end as usize),
            _ => None,
        }
    })
}

fn slots(source: Option<&Source>) -> Vec<SlotId> {
    match source {
        Some(Source::FirstOf(slots)) => slots.clone(),
        Some(Source::Template(pieces)) => pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Slot(slot) => Some(*slot),
                Piece::Text(_) => None,
            })
            .collect(),
        Some(Source::Const(_)) | None => Vec::new(),
    }
}

fn identity(observed: &Observed<'_>) -> String {
    let parts = &observed.rules.identity.natural;
    let mut text = format!("  {:<NAME_WIDTH$} ", "id");
    if parts.is_empty() {
        text.push_str("no [identity]: made of the Idempotency-Key and the record's number\n");
        return text;
    }
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            text.push_str(" / ");
        }
        text.push_str(&match part {
            IdPart::Number => "@number".to_owned(),
            IdPart::NumberInParent => "@number-in-parent".to_owned(),
            IdPart::FirstOf(slots) => first_of(slots, observed.values, observed.plan).0,
        });
    }
    text.push('\n');
    text
}

/// `path "text"` of the slot that counts, or the paths that hold nothing.
fn first_of(slots: &[SlotId], values: &Values<'_>, plan: &Plan) -> (String, Option<String>) {
    match values.first_of(slots) {
        Some((slot, text)) => (
            format!("{} {}", path(plan, slot), shown(text)),
            Some(text.to_owned()),
        ),
        None => {
            let paths: Vec<&str> = slots.iter().map(|slot| path(plan, *slot)).collect();
            (format!("nothing at {}", paths.join(", ")), None)
        }
    }
}

fn path(plan: &Plan, slot: SlotId) -> &str {
    plan.slots
        .get(usize::from(slot))
        .map_or("", |slot| &slot.path)
}

/// From where a field's text comes, and what each step makes of it.
fn trace(rule: &TextRule, values: &Values<'_>, plan: &Plan) -> String {
    if let Some(when) = &rule.when
        && !when.holds(values)
    {
        return "left out: its `when` does not hold".to_owned();
    }
    let Some((source, case_steps)) = source_of(rule, values) else {
        let why = match rule.cases.as_slice() {
            [] => "nothing: the script may give it",
            _ => "no case holds",
        };
        return with_default(why.to_owned(), rule);
    };
    let (mut text, value) = match source {
        Source::Const(value) => (format!("const {}", shown(value)), Some(value.to_string())),
        Source::FirstOf(slots) => first_of(slots, values, plan),
        Source::Template(pieces) => template(pieces, values, plan),
    };
    let Some(mut value) = value else {
        return with_default(text, rule);
    };
    for step in case_steps.iter().chain(&rule.steps) {
        match step.apply(&rule.name, &mut value) {
            Ok(()) => {
                let _ = write!(text, " > {} {}", step.name(), shown(&value));
            }
            Err(_) => {
                let _ = write!(text, " > {} fails", step.name());
                return text;
            }
        }
    }
    if value.is_empty() {
        return with_default(text, rule);
    }
    text
}

fn template(pieces: &[Piece], values: &Values<'_>, plan: &Plan) -> (String, Option<String>) {
    let mut value = Some(String::new());
    let mut text = "template".to_owned();
    for piece in pieces {
        let more = match piece {
            Piece::Text(more) => Some(&**more),
            Piece::Slot(slot) => {
                let found = values.get(*slot);
                let what = found.map_or("nothing".to_owned(), shown);
                let _ = write!(text, " {{{}}} {what}", path(plan, *slot));
                found
            }
        };
        value = value.zip(more).map(|(value, more)| value + more);
    }
    (text, value)
}

fn with_default(text: String, rule: &TextRule) -> String {
    match &rule.default {
        Some(default) => format!("{text}, so the default {}", shown(default)),
        None if rule.optional => format!("{text}, so it is left out"),
        None => text,
    }
}

/// The line of a place, with marks below it.
pub(super) fn underlined(body: &[u8], place: Range<usize>, indent: &str) -> String {
    let start = place.start.min(body.len());
    let ends_line = |byte: &u8| matches!(byte, b'\n' | b'\r');
    let line_start = body[..start]
        .iter()
        .rposition(ends_line)
        .map_or(0, |at| at + 1);
    let line_end = body[start..]
        .iter()
        .position(ends_line)
        .map_or(body.len(), |at| start + at);
    let plain = |bytes: &[u8]| -> Vec<char> {
        let show = |c: char| if c.is_control() { ' ' } else { c };
        String::from_utf8_lossy(bytes).chars().map(show).collect()
    };
    let before = plain(&body[line_start..start]);
    let marked = plain(&body[start..place.end.clamp(start, line_end)]);
    let line = plain(&body[line_start..line_end]);
    // Of a long line a part that begins somewhat in front of the place.
    let skipped = if before.len() + marked.len() > LINE_CHARS {
        before.len().saturating_sub(LINE_CHARS / 2)
    } else {
        0
    };
    let shown: String = line.iter().skip(skipped).take(LINE_CHARS).collect();
    let width = marked.len().clamp(1, LINE_CHARS / 2);
    format!(
        "{indent}    | {shown}\n{indent}    | {}{}\n",
        " ".repeat(before.len() - skipped),
        "^".repeat(width)
    )
}
