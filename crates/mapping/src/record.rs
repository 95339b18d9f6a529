//! From path events to translated records: what all formats share.
//!
//! A decoder announces scopes, records and values; [`Assembler`] keeps the values in slots, and at
//! the end of a record makes the canonical JSON from them or says why not.
//!
//! # Invariants
//!
//! - A record is either translated whole or refused; `out` never keeps half a record.
//! - A value is read from the body where it stands; it is copied only when it had to be unescaped.
//! - The first problem of a record is the one reported; the rest of the record is skipped.

use std::ops::Range;

use crate::charset::Positions;
use crate::control::Tally;
use crate::encode::write_string;
use crate::fields::{
    append, identifier, repeated, required, text_of, unsigned_amount, write_booked_at, write_extra,
    write_money, write_ranged,
};
use crate::identity::{IdentityKind, key_id, push_natural_part, push_number};
use crate::plan::{IdPart, Plan, Rules, SlotId, TransactionRule};
use crate::refusal::{Problem, Refusal, rule};
use crate::script::OVERRUNS_MAX;
use crate::time::received_at_text;
pub(crate) use crate::values::Value;
use crate::values::{Place, Slot, Values};
use crate::{Context, Counts, Limits, RecordOutcome, Refused, Translated};

#[derive(Debug, Clone, Copy, Default)]
struct Scope {
    /// Records that have ended in the open element of this level.
    records: u64,
}

/// Line numbers of increasing offsets, each byte of the body looked at once.
#[derive(Debug)]
struct Lines {
    offset: usize,
    line: u64,
    /// What ends a line, once somebody asks: CR where the body has no LF.
    end: Option<u8>,
}

/// A record at its end, for people who ask how it was read.
pub(crate) struct Observed<'o> {
    pub(crate) number: u64,
    pub(crate) line: u64,
    pub(crate) values: &'o Values<'o>,
    pub(crate) plan: &'o Plan,
    pub(crate) rules: &'o Rules,
    pub(crate) verdict: Verdict<'o>,
    /// It is the script that decided.
    pub(crate) by_script: bool,
}

/// What became of an observed record.
pub(crate) enum Verdict<'o> {
    PassedOver,
    /// The canonical objects.
    Translated(Vec<&'o [u8]>),
    /// With the place in the text that was read.
    Refused(&'o Problem, usize),
}

/// Told of each record at its end.
pub(crate) type Observer<'o> = dyn FnMut(&Observed<'_>) + 'o;

/// Turns path events into translated or refused records.
pub(crate) struct Assembler<'a, 'b> {
    pub(crate) plan: &'a Plan,
    pub(crate) limits: &'a Limits,
    pub(crate) body: &'b str,
    rules: &'a Rules,
    source: &'a str,
    context: &'a mut Context<'b>,
    out: &'a mut Vec<u8>,
    sink: &'a mut dyn FnMut(RecordOutcome),
    values: Values<'b>,
    scopes: Vec<Scope>,
    positions: Positions,
    record_start: Option<usize>,
    problem: Option<(Problem, usize)>,
    records: u64,
    passed_over: u64,
    /// Records whose script ran out of time.
    overruns: u32,
    /// One for each control total.
    tallies: Vec<Tally>,
    /// The first control total that differs; the document is refused once it was read.
    difference: Option<Refusal>,
    lines: Lines,
    received_at: String,
    out_start: usize,
    id: String,
    /// Transactions of the current record.
    made: Vec<Translated>,
    observer: Option<&'a mut Observer<'b>>,
    /// Transactions so far.
    translated: usize,
    scratch: String,
}

impl std::fmt::Debug for Assembler<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Assembler")
            .field("records", &self.records)
            .field("values", &self.values)
            .finish_non_exhaustive()
    }
}

/// What a decoder works for: everything that is not the format's.
pub(crate) struct Job<'a, 'b> {
    pub(crate) plan: &'a Plan,
    pub(crate) rules: &'a Rules,
    pub(crate) source: &'a str,
    pub(crate) limits: &'a Limits,
    pub(crate) body: &'b str,
    pub(crate) positions: Positions,
    pub(crate) context: &'a mut Context<'b>,
    pub(crate) out: &'a mut Vec<u8>,
    pub(crate) sink: &'a mut dyn FnMut(RecordOutcome),
    pub(crate) observer: Option<&'a mut Observer<'b>>,
}

impl<'a, 'b> Assembler<'a, 'b> {
    pub(crate) fn new(job: Job<'a, 'b>) -> Self {
        let received_at = received_at_text(job.context.received_at);
        Self {
            plan: job.plan,
            limits: job.limits,
            body: job.body,
            rules: job.rules,
            source: job.source,
            values: Values {
                body: job.body,
                slots: vec![Slot::default(); job.plan.slots.len()],
                record_text: String::new(),
                kept_text: String::new(),
                given: None,
            },
            scopes: vec![Scope::default(); usize::from(job.plan.scopes)],
            positions: job.positions,
            record_start: None,
            problem: None,
            records: 0,
            passed_over: 0,
            overruns: 0,
            tallies: vec![Tally::default(); job.rules.controls.len()],
            difference: None,
            lines: Lines {
                offset: 0,
                line: 1,
                end: None,
            },
            received_at,
            out_start: job.out.len(),
            id: String::with_capacity(128),
            made: Vec::new(),
            observer: job.observer,
            translated: 0,
            scratch: String::with_capacity(64),
            context: job.context,
            out: job.out,
            sink: job.sink,
        }
    }

    /// Records begun so far, and how many of them were passed over.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            records: self.records,
            passed_over: self.passed_over,
        }
    }

    /// Whether a record has begun and not ended.
    pub(crate) fn in_record(&self) -> bool {
        self.record_start.is_some()
    }

    /// Whether the record can no longer be translated, so that reading its values is no use.
    pub(crate) fn has_problem(&self) -> bool {
        self.problem.is_some()
    }

    /// An element (object) around the records begins: what an earlier one said is forgotten.
    pub(crate) fn open_scope(&mut self, level: u8) {
        self.compare_totals(level);
        self.scopes[usize::from(level)] = Scope::default();
        for (slot, plan) in self.values.slots.iter_mut().zip(&self.plan.slots) {
            if plan.scope.is_some_and(|scope| scope >= level) {
                *slot = Slot::default();
            }
        }
        if level == 0 {
            self.values.kept_text.clear();
        }
    }

    /// The document is over. An error refuses it: a control total differs.
    pub(crate) fn end_document(&mut self) -> Result<(), Refusal> {
        self.compare_totals(0);
        self.difference.take().map_or(Ok(()), Err)
    }

    /// The elements of a level and those in them are over: what they said of their records must be right.
    fn compare_totals(&mut self, level: u8) {
        let rules = self.rules;
        for (index, control) in rules.controls.iter().enumerate() {
            if control.scope < level {
                continue;
            }
            let tally = std::mem::take(&mut self.tallies[index]);
            if self.difference.is_none()
                && let Some(found) = tally.compare(control, &self.values)
            {
                let path = self.slot_path(found.slot);
                let refusal =
                    self.refuse(found.offset, Some(path), rule::CONTROL_TOTAL, found.detail);
                self.difference = Some(refusal);
            }
        }
    }

    /// Adds the record that ends to the totals of the elements around it.
    fn add_to_totals(&mut self) {
        let controls = &self.rules.controls;
        if controls.is_empty() {
            return;
        }
        let amount = controls
            .iter()
            .any(|control| control.sum.is_some())
            .then(|| {
                let transaction = self.rules.transactions.get(self.rules.controlled)?;
                unsigned_amount(&transaction.fields, &self.values, &mut self.scratch).ok()
            })
            .flatten();
        for tally in &mut self.tallies {
            tally.add(amount);
        }
    }

    /// Whether a value belongs to an element around the records.
    pub(crate) fn is_inherited(&self, slot: SlotId) -> bool {
        self.plan.slots[usize::from(slot)].scope.is_some()
    }

    /// An element around the records begins that replaces only some of what the one before it said:
    /// those values are forgotten one by one.
    pub(crate) fn begin_parent(&mut self) {
        self.scopes.fill(Scope::default());
    }

    /// An inherited value is no longer said.
    pub(crate) fn forget(&mut self, slot: SlotId) {
        self.values.slots[usize::from(slot)] = Slot::default();
    }

    /// A record begins. An error ends the document.
    pub(crate) fn begin_record(&mut self, offset: usize) -> Result<(), Refusal> {
        debug_assert!(self.record_start.is_none(), "records do not nest");
        if self.records as usize >= self.limits.records_max {
            let detail = format!(
                "the request has more than {} records: send it in several requests",
                self.limits.records_max
            );
            return Err(self.refuse(offset, None, rule::RECORDS, detail));
        }
        self.records += 1;
        self.record_start = Some(offset);
        self.values.record_text.clear();
        for (slot, plan) in self.values.slots.iter_mut().zip(&self.plan.slots) {
            if plan.scope.is_none() {
                *slot = Slot::default();
            }
        }
        Ok(())
    }

    /// A message begins and ends that the format knows to be no transaction. It has a number, as those of
    /// `[[skip]]` have, and a body of nothing else is not empty. An error ends the document.
    pub(crate) fn pass_over(&mut self, offset: usize) -> Result<(), Refusal> {
        self.begin_record(offset)?;
        self.record_start = None;
        self.passed_over += 1;
        self.observe(offset, None, true);
        Ok(())
    }

    /// A mapped value. An error ends the document; what only spoils the record is remembered.
    pub(crate) fn value(
        &mut self,
        slot: SlotId,
        value: Value<'_>,
        offset: usize,
    ) -> Result<(), Refusal> {
        let plan = &self.plan.slots[usize::from(slot)];
        let length = match value {
            Value::Body(start, end) => end - start,
            Value::Unescaped(text) => text.len(),
        };
        if length > self.limits.field_bytes_max {
            let detail = format!(
                "{} has {length} bytes, at most {} are read",
                plan.path, self.limits.field_bytes_max
            );
            return self.spoil(offset, Problem::new(&plan.path, rule::FIELD_BYTES, detail));
        }
        if let Some(level) = plan.scope
            && !plan.is_total
            && self.scopes[usize::from(level)].records > 0
        {
            let detail = format!(
                "{} stands behind records that inherit it; it must come before them",
                plan.path
            );
            return Err(self.refuse(offset, Some(&plan.path), rule::LATE_FIELD, detail));
        }
        for (tally, control) in self.tallies.iter_mut().zip(&self.rules.controls) {
            tally.met(control, slot, offset);
        }
        let state = &mut self.values.slots[usize::from(slot)];
        if !matches!(state.place, Place::Absent) {
            state.repeated = true;
            return Ok(());
        }
        state.place = match value {
            // Positions fit: the body's length was checked against POSITION_MAX.
            Value::Body(start, end) => Place::Body(start as u32, end as u32),
            Value::Unescaped(text) if plan.scope.is_some() => {
                let start = self.values.kept_text.len() as u32;
                self.values.kept_text.push_str(text);
                Place::Kept(start, start + text.len() as u32)
            }
            Value::Unescaped(text) => {
                let start = self.values.record_text.len() as u32;
                self.values.record_text.push_str(text);
                Place::Record(start, start + text.len() as u32)
            }
        };
        Ok(())
    }

    /// Something is wrong with the current record, or with the document when none is open.
    pub(crate) fn spoil(&mut self, offset: usize, problem: Problem) -> Result<(), Refusal> {
        if self.record_start.is_none() {
            let Problem {
                field,
                rule,
                detail,
            } = problem;
            return Err(self.refuse(offset, field.as_deref(), rule, detail));
        }
        if self.problem.is_none() {
            self.problem = Some((problem, offset));
        }
        Ok(())
    }

    /// Path a node stands for, for messages: the path of a slot at or below it.
    pub(crate) fn slot_path(&self, slot: SlotId) -> &'a str {
        &self.plan.slots[usize::from(slot)].path
    }

    /// A refusal of the whole document.
    pub(crate) fn refuse(
        &mut self,
        offset: usize,
        field: Option<&str>,
        rule: &'static str,
        detail: impl Into<String>,
    ) -> Refusal {
        let record = self.record_start.map(|_| self.number());
        Refusal {
            record,
            line: self.line(offset),
            offset: self.positions.in_body(self.body, offset) as u64,
            field: field.map(Into::into),
            rule,
            detail: detail.into(),
        }
    }

    /// Gives up the open record after a syntax error behind which reading can go on.
    pub(crate) fn abandon_record(&mut self, refusal: Refusal, end: usize) {
        let start = self.record_start.take().unwrap_or(end);
        self.problem = None;
        self.emit_refused(refusal, start, end);
    }

    /// The record ends: it is translated or refused. An error ends the document.
    pub(crate) fn end_record(&mut self, end: usize) -> Result<(), Refusal> {
        let start = self.record_start.take().unwrap_or(end);
        for scope in &mut self.scopes {
            scope.records += 1;
        }
        self.values.given = None;
        self.add_to_totals();
        let before = self.out.len();
        let problem = match self.problem.take() {
            Some(problem) => Some(problem),
            None => match self.is_passed_over() {
                Ok(false) => None,
                Ok(true) => {
                    self.passed_over += 1;
                    self.observe(start, None, true);
                    return Ok(());
                }
                Err(problem) => Some((problem, start)),
            },
        };
        let result = match problem {
            Some((problem, offset)) => Err((problem, offset)),
            None => self.translate_all().map_err(|problem| (problem, start)),
        };
        let refused = result.as_ref().err();
        let is_dropped = matches!(result, Ok(false));
        self.observe(
            start,
            refused.map(|(problem, at)| (problem, *at)),
            is_dropped,
        );
        match result {
            Ok(false) => self.passed_over += 1,
            Ok(true) => {
                if self.out.len() - self.out_start > self.limits.output_bytes_max {
                    let detail = format!(
                        "the translated records have more than {} bytes: send fewer in a request",
                        self.limits.output_bytes_max
                    );
                    return Err(self.refuse(start, None, rule::OUTPUT_BYTES, detail));
                }
                self.translated += self.made.len();
                if self.translated > self.limits.records_max {
                    let detail = format!(
                        "the request's records make more than {} transactions: send it in several requests",
                        self.limits.records_max
                    );
                    return Err(self.refuse(start, None, rule::RECORDS, detail));
                }
                let (record, original) = (self.number(), self.original(start, end));
                for mut translated in self.made.drain(..) {
                    translated.record = record;
                    translated.original = original.clone();
                    (self.sink)(RecordOutcome::Translated(translated));
                }
            }
            Err((problem, offset)) => {
                self.out.truncate(before);
                let refusal = Refusal {
                    record: Some(self.number()),
                    line: self.line(offset),
                    offset: self.positions.in_body(self.body, offset) as u64,
                    field: problem.field,
                    rule: problem.rule,
                    detail: problem.detail,
                };
                let is_late = refusal.rule == rule::SCRIPT_TIME;
                self.emit_refused(refusal, start, end);
                self.overruns += u32::from(is_late);
                if self.overruns > OVERRUNS_MAX {
                    let detail = format!(
                        "the script runs out of time in more than {OVERRUNS_MAX} records of the body"
                    );
                    return Err(self.refuse(start, None, rule::SCRIPT_TIME, detail));
                }
            }
        }
        Ok(())
    }

    /// Tells the observer, if there is one, what becomes of the record.
    fn observe(&mut self, start: usize, refused: Option<(&Problem, usize)>, passed_over: bool) {
        let Some(observer) = self.observer.take() else {
            return;
        };
        let line = self.line(refused.map_or(start, |(_, offset)| offset));
        let json = |made: &Translated| {
            let range = made.json.start as usize..made.json.end as usize;
            self.out.get(range).unwrap_or_default()
        };
        let verdict = match refused {
            Some((problem, offset)) => Verdict::Refused(problem, offset),
            None if passed_over => Verdict::PassedOver,
            None => Verdict::Translated(self.made.iter().map(json).collect()),
        };
        // A [[skip]] is looked at before the script has run.
        let by_script = passed_over
            && self.rules.script.is_some()
            && self.is_passed_over().is_ok_and(|skipped| !skipped);
        observer(&Observed {
            number: self.number(),
            line,
            values: &self.values,
            plan: self.plan,
            rules: self.rules,
            verdict,
            by_script,
        });
        self.observer = Some(observer);
    }

    fn emit_refused(&mut self, refusal: Refusal, start: usize, end: usize) {
        let original = self.original(start, end);
        (self.sink)(RecordOutcome::Refused(Refused { refusal, original }));
    }

    fn original(&mut self, start: usize, end: usize) -> Range<u32> {
        let start = self.positions.in_body(self.body, start) as u32;
        start..self.positions.in_body(self.body, end) as u32
    }

    /// Number of the current or last record.
    pub(crate) fn number(&self) -> u64 {
        self.context
            .first_record
            .saturating_add(self.records.saturating_sub(1))
    }

    /// Whether the body is UTF-16.
    pub(crate) fn is_wide(&self) -> bool {
        self.positions.is_wide()
    }

    fn line(&mut self, offset: usize) -> u64 {
        let offset = offset.min(self.body.len());
        let body = self.body.as_bytes();
        let end = *self.lines.end.get_or_insert_with(|| {
            let has_line_feed = memchr::memchr(b'\n', body).is_some();
            if has_line_feed { b'\n' } else { b'\r' }
        });
        // Refusals come in the order of the body but for the start of a record that ended badly.
        if offset < self.lines.offset {
            let back = &body[offset..self.lines.offset];
            return self.lines.line - memchr::memchr_iter(end, back).count() as u64;
        }
        let between = &body[self.lines.offset..offset];
        self.lines.line += memchr::memchr_iter(end, between).count() as u64;
        self.lines.offset = offset;
        self.lines.line
    }

    /// Whether the mapping says that the record is no transaction.
    fn is_passed_over(&self) -> Result<bool, Problem> {
        for condition in &self.rules.skips {
            if let Some(slot) = condition.ambiguous(&self.values) {
                return Err(repeated("skip", slot, self.plan));
            }
            if condition.holds(&self.values) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Writes all transactions of the record to `out`, and remembers them in `made`. Whether there is one: the
    /// script may pass over all that there would be.
    fn translate_all(&mut self) -> Result<bool, Problem> {
        self.made.clear();
        let mut is_dropped = false;
        let kind = self.make_id()?;
        let id_length = self.id.len();
        for transaction in &self.rules.transactions {
            if let Some(when) = &transaction.when
                && !when.holds(&self.values)
            {
                continue;
            }
            self.id.truncate(id_length);
            if let Some(suffix) = &transaction.suffix {
                self.id.push('/');
                self.id.push_str(suffix);
            }
            identifier("id", &self.id, self.limits)?;
            if !self.run_script(transaction)? {
                is_dropped = true;
                continue;
            }
            let translated = self.translate(transaction, kind)?;
            self.made.push(translated);
        }
        if self.made.is_empty() && is_dropped {
            return Ok(false);
        }
        if self.made.is_empty() {
            return Err(Problem {
                field: None,
                rule: rule::NO_TRANSACTION,
                detail: "no [[transaction]] of the mapping is made of this record; if it is none, say so in a [[skip]]"
                    .to_owned(),
            });
        }
        Ok(true)
    }

    /// Has the script, if there is one, make the fields' texts; whether there is a transaction.
    fn run_script(&mut self, transaction: &TransactionRule) -> Result<bool, Problem> {
        let Some(script) = &self.rules.script else {
            return Ok(true);
        };
        self.values.given = None;
        let record = (self.plan, &self.values);
        let given = script.run(transaction, record, &mut self.scratch, self.limits)?;
        self.values.given = given;
        Ok(self.values.given.is_some())
    }

    /// Writes one transaction to `out`. On an error `out` may hold a part of it.
    fn translate(
        &mut self,
        transaction: &TransactionRule,
        identity: IdentityKind,
    ) -> Result<Translated, Problem> {
        let Self {
            values,
            out,
            scratch,
            limits,
            ..
        } = self;
        let (fields, limits) = (&transaction.fields, *limits);
        let json_start = out.len();
        out.extend_from_slice(b"{\"id\":\"");
        let id = write_ranged(out, &self.id);
        out.extend_from_slice(b"\",\"source\":\"");
        out.extend_from_slice(self.source.as_bytes());
        out.extend_from_slice(b"\",\"account\":\"");
        let account_text = required(&fields.account, values, scratch)?;
        identifier("account", account_text, limits)?;
        let account = write_ranged(out, account_text);
        let account_copy = account.is_none().then(|| account_text.to_owned());
        out.extend_from_slice(b"\",\"amount\":\"");
        let amount = write_money(out, fields, values, scratch)?;
        out.extend_from_slice(b"\",\"booked_at\":\"");
        write_booked_at(out, fields, values, scratch, self.context.received_at)?;
        out.extend_from_slice(b"\",\"received_at\":\"");
        out.extend_from_slice(self.received_at.as_bytes());
        out.push(b'"');
        if let Some(reverses) = &fields.reverses
            && let Some(text) = text_of(reverses, values, scratch)?
        {
            identifier("reverses", text, limits)?;
            out.extend_from_slice(b",\"reverses\":\"");
            write_string(out, text);
            out.push(b'"');
        }
        for extra in &fields.extras {
            write_extra(out, extra, values, scratch, self.context.received_at)?;
        }
        out.push(b'}');
        let json_end = out.len();
        if json_end - json_start > limits.record_bytes_max {
            let detail = format!(
                "the translated record has {} bytes, at most {} are allowed",
                json_end - json_start,
                limits.record_bytes_max
            );
            return Err(Problem {
                field: None,
                rule: rule::RECORD_BYTES,
                detail,
            });
        }
        // An id or account that had to be escaped is written once more as it is, behind the JSON.
        let id = id.unwrap_or_else(|| append(out, &self.id));
        let account =
            account.unwrap_or_else(|| append(out, account_copy.as_deref().unwrap_or_default()));
        Ok(Translated {
            record: 0,
            json: json_start as u32..json_end as u32,
            id,
            account,
            amount,
            original: 0..0,
            identity,
        })
    }

    /// Puts the record's id into `self.id`.
    fn make_id(&mut self) -> Result<IdentityKind, Problem> {
        self.id.clear();
        let kind = if self.natural_id()? {
            IdentityKind::Natural
        } else if self.rules.identity.required {
            let detail = "the record has no id, and this source requires one";
            return Err(Problem::new("id", rule::MISSING, detail));
        } else if let Some(key) = self.context.idempotency_key {
            self.id = key_id(key, self.number());
            IdentityKind::Key
        } else {
            self.id = (self.context.new_id)();
            IdentityKind::Generated
        };
        Ok(kind)
    }

    /// Whether the record has all parts of its natural id, which is then in `self.id`.
    fn natural_id(&mut self) -> Result<bool, Problem> {
        let Self {
            rules,
            values,
            id,
            scopes,
            records,
            ..
        } = self;
        let rule = &rules.identity;
        if rule.natural.is_empty() {
            return Ok(false);
        }
        let is_composite = rule.natural.len() > 1
            || rules
                .transactions
                .iter()
                .any(|transaction| transaction.suffix.is_some());
        for (index, part) in rule.natural.iter().enumerate() {
            let is_first = index == 0;
            match part {
                IdPart::Number => push_number(id, *records, is_first),
                IdPart::NumberInParent => {
                    push_number(
                        id,
                        scopes.last().map_or(*records, |scope| scope.records),
                        is_first,
                    );
                }
                IdPart::FirstOf(slots) => {
                    let found = slots.iter().find_map(|slot| {
                        let text = values.get(*slot)?;
                        let absent = rule.never.iter().any(|never| **never == *text);
                        (!absent).then_some((*slot, text))
                    });
                    let Some((slot, text)) = found else {
                        id.clear();
                        return Ok(false);
                    };
                    if values.repeated(slot) {
                        return Err(repeated("id", slot, self.plan));
                    }
                    push_natural_part(id, text, is_first, is_composite);
                }
            }
        }
        Ok(true)
    }
}
