//! The first half of a batch: every record is read and judged, and the columns of those that count are gathered.
//!
//! Nearly all the time of a large batch goes here. The partitions know nothing of each other, so they are judged side by side.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::thread;

use sql::{InputBatch, InputKind};
use types::{BusinessDay, Counts, Micros, report};

use super::task::{NewIdentities, Task};
use super::{Engine, Input, Source};
use crate::classify::{Class, Reason, Seen};
use crate::record::{Parsed, Room, Said};
use crate::spill::ScratchError;

/// Fewest records in a batch whose partitions are judged side by side: about 5 ms of work, a hundred times what threads cost.
const SIDE_BY_SIDE_RECORDS_MIN: usize = 5_000;

/// A record that is to be added.
pub(super) struct Accepted<'a> {
    pub(super) input: Input<'a>,
    pub(super) day: BusinessDay,
    pub(super) class: Class,
}

/// A partition's records of a batch, judged; its state has their identities, clock and counts already.
pub(super) struct Judged<'a> {
    pub(super) partition: i32,
    pub(super) task: Task,
    /// The stream clock of before.
    pub(super) clock_before: Option<Micros>,
    /// What the SQL reads of the records that are to be added.
    pub(super) columns: InputBatch,
    pub(super) accepted: Vec<Accepted<'a>>,
    /// Days whose counts changed.
    pub(super) touched: BTreeSet<BusinessDay>,
    pub(super) identities: NewIdentities,
    /// Partition and offset of records that are set aside, and why.
    pub(super) quarantined: Vec<(i32, i64, Reason)>,
    pub(super) duplicates: u64,
    /// Oldest time of receipt.
    pub(super) received_at: Option<Micros>,
    /// Offset of the last record.
    pub(super) last: Option<i64>,
    /// Why it was not judged to the end: nothing of it may be added.
    pub(super) failed: Option<ScratchError>,
}

impl Judged<'_> {
    fn count(&mut self, run: Option<(BusinessDay, Counts)>) {
        if let Some((day, counts)) = run.filter(|(day, _)| !self.task.keeps_counts_of(*day)) {
            self.touched.insert(day);
            let all = self.task.counts.entry(day).or_default();
            all.counted += counts.counted;
            all.reversing += counts.reversing;
            all.duplicate += counts.duplicate;
            all.late_corrected += counts.late_corrected;
            all.quarantined += counts.quarantined;
        }
    }
}

/// A partition, its state, and its records of a batch.
pub(super) type Part<'a> = (i32, Task, Vec<Input<'a>>);

impl Engine {
    /// Judges the records of each partition; in the order of the partitions. Large batches are judged on all cores, which blocks
    /// until they are.
    pub(super) fn judge_all<'a>(&self, parts: Vec<Part<'a>>) -> Vec<Judged<'a>> {
        let records: usize = parts.iter().map(|(_, _, inputs)| inputs.len()).sum();
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = cores.min(parts.len());
        if threads < 2 || records < SIDE_BY_SIDE_RECORDS_MIN {
            let parts = parts.into_iter();
            return parts.map(|part| self.judge(part)).collect();
        }
        let waiting = Mutex::new(parts.into_iter());
        let next = || {
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.next()
        };
        let work = || {
            let mut done = Vec::new();
            while let Some(part) = next() {
                done.push(self.judge(part));
            }
            done
        };
        let mut judged = thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut judged = work();
            for other in others {
                match other.join() {
                    Ok(done) => judged.extend(done),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            judged
        });
        judged.sort_by_key(|one| one.partition);
        judged
    }

    fn judge<'a>(&self, (partition, task, inputs): Part<'a>) -> Judged<'a> {
        let mut judged = Judged {
            partition,
            clock_before: task.clock(partition),
            task,
            columns: self.plan.new_batch(),
            accepted: Vec::with_capacity(inputs.len()),
            touched: BTreeSet::new(),
            identities: NewIdentities::new(),
            quarantined: Vec::new(),
            duplicates: 0,
            received_at: None,
            last: inputs.last().map(|input| input.offset),
            failed: None,
        };
        let mut room = Room::default();
        // One record after the other is of the same day.
        let mut run: Option<(BusinessDay, Counts)> = None;
        for input in &inputs {
            let (day, class) = match self.judge_one(input, &mut judged, &mut room) {
                Ok(verdict) => verdict,
                Err(error) => {
                    judged.failed = Some(error);
                    break;
                }
            };
            if run.is_none_or(|(of, _)| of != day) {
                judged.count(run.take());
            }
            let (_, counts) = run.get_or_insert((day, Counts::default()));
            *count_of(counts, &class) += 1;
            match class {
                Class::Duplicate => judged.duplicates += 1,
                Class::Quarantined(reason) => {
                    judged
                        .quarantined
                        .push((input.partition, input.offset, reason));
                }
                _ => {}
            }
        }
        judged.count(run);
        judged
    }

    fn judge_one<'a>(
        &self,
        input: &Input<'a>,
        judged: &mut Judged<'a>,
        room: &mut Room<'a>,
    ) -> Result<(BusinessDay, Class), ScratchError> {
        let classifier = &mut judged.task.classifier;
        let parsed = match self.options.input.read_in(input.value, room) {
            Ok(parsed) => parsed,
            Err(error) => {
                let reason = Reason::Unreadable(report(&error));
                let day = classifier.day_of(input.appended_at);
                return Ok((day, Class::Quarantined(reason)));
            }
        };
        let received = parsed.received_at.unwrap_or(input.appended_at);
        let oldest = judged.received_at.get_or_insert(received);
        *oldest = received.min(*oldest);
        let (day, class, identity) =
            classifier.judge(input.partition, input.appended_at, &parsed)?;
        if let Some((identity, Seen { content, day: seen })) = identity {
            let block = judged
                .identities
                .entry(seen)
                .or_insert_with(|| (input.offset, Vec::new()));
            block.1.push((identity, content));
            push(&self.columns, &mut judged.columns, &parsed, input, day);
            judged.accepted.push(Accepted {
                input: *input,
                day,
                class: class.clone(),
            });
        }
        room.take_back(parsed);
        Ok((day, class))
    }
}

pub(super) fn count_of<'a>(counts: &'a mut Counts, class: &Class) -> &'a mut u64 {
    match class {
        Class::Counted => &mut counts.counted,
        Class::Reversing => &mut counts.reversing,
        Class::Duplicate => &mut counts.duplicate,
        Class::LateCorrected => &mut counts.late_corrected,
        Class::Quarantined(_) => &mut counts.quarantined,
    }
}

/// The columns of a record.
pub(super) fn push(
    columns: &[Source],
    batch: &mut InputBatch,
    parsed: &Parsed<'_, '_>,
    input: &Input<'_>,
    day: BusinessDay,
) {
    let schema = parsed.schema();
    for (index, source) in columns.iter().enumerate() {
        let Source::Column(place, kind) = *source else {
            batch.push_date(index, Some(day.epoch_days()));
            continue;
        };
        match (parsed.said(place), kind) {
            (Some(Said::Text(text)), _) => batch.push_text(index, Some(text)),
            (Some(Said::Decimal(amount)), _) => batch.push_amount(index, Some(*amount)),
            (Some(Said::Integer(number)), _) => batch.push_integer(index, Some(*number)),
            (Some(Said::Instant(at)), _) => batch.push_timestamp(index, Some(*at)),
            (Some(Said::Date(days)), _) => batch.push_date(index, Some(*days)),
            (None, InputKind::Text) if Some(place) == schema.source => {
                batch.push_text(index, Some(""));
            }
            (None, InputKind::Text) => batch.push_text(index, None),
            (None, InputKind::Amount) => batch.push_amount(index, None),
            (None, InputKind::Integer) => batch.push_integer(index, None),
            (None, InputKind::Timestamp) if Some(place) == schema.received_at => {
                batch.push_timestamp(index, Some(input.appended_at));
            }
            (None, InputKind::Timestamp) => batch.push_timestamp(index, None),
            (None, InputKind::Date) => batch.push_date(index, None),
        }
    }
    batch.end_record();
}
