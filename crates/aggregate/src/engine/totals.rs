//! The second stage: rows whose records are in several partitions of the input. Parts in, results out.
//!
//! Each partition of the input publishes what a batch adds to a row; all parts of a row come to one partition of the topic
//! of parts, where they are folded. Parts are absolute in nothing but themselves, so each is folded once: input offset,
//! row and result are one transaction, as in the first stage.

use std::collections::{BTreeMap, BTreeSet};

use types::{BusinessDay, Micros};

use super::held::{Held, StateSize, bytes_of, settle, size_of_state};
use super::rows::{NewValue, Rows, keys_of};
use super::{Changes, Engine, EngineError, Published, Reason, RowState, entry_of, scratch_failed};
use crate::changelog::{self, Entry};
use crate::classify::Classifier;
use crate::options::{AggregationOptions, EngineKind};
use crate::spill::{ScratchError, Spill};

/// A record of the topic of parts.
#[derive(Debug, Clone, Copy)]
pub struct PartInput<'a> {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// The row's key.
    pub key: &'a [u8],
    /// What is added to it.
    pub value: &'a [u8],
}

/// Rows of the partitions of the topic of parts that are this process's.
#[derive(Debug)]
pub struct Totals {
    options: AggregationOptions,
    tasks: BTreeMap<i32, TotalsTask>,
    /// Where rows go that are too much for memory.
    spill: Option<Spill>,
}

/// What the changelog of a partition of the topic of parts says.
#[derive(Debug)]
pub(crate) struct TotalsTask {
    rows: Rows,
    /// Different values that the batch brought.
    added: Vec<NewValue>,
    /// Its clocks are those of the partitions of the input, as their parts said.
    classifier: Classifier,
    first_kept: Option<BusinessDay>,
    /// Partitions of the input whose parts of this generation have all been folded.
    complete: BTreeSet<i32>,
}

impl TotalsTask {
    pub(crate) fn new(options: &AggregationOptions) -> Self {
        Self {
            rows: Rows::new(options.keep_days),
            added: Vec::new(),
            classifier: Classifier::new(options),
            first_kept: None,
            complete: BTreeSet::new(),
        }
    }

    /// Rows held.
    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Bytes in memory, at most.
    fn bytes(&self) -> usize {
        bytes_of(&self.rows, &self.classifier.seen)
    }

    /// What can move out.
    fn held(&mut self) -> Held<'_> {
        Held {
            rows: &mut self.rows,
            classifier: &mut self.classifier,
        }
    }

    /// Applies one record of the changelog. It fails only where some of the state has moved out, which [`Totals`] does alone.
    pub(crate) fn apply(&mut self, entry: Entry) -> Result<(), ScratchError> {
        match self.rows.restore(entry)? {
            Some(Entry::Clock(of, clock)) => drop(self.classifier.clocks.insert(of, clock)),
            Some(Entry::Complete(of)) => drop(self.complete.insert(of)),
            _ => {}
        }
        Ok(())
    }
}

impl Totals {
    /// Without any partition yet.
    pub fn new(options: &AggregationOptions) -> Self {
        Self {
            options: options.clone(),
            tasks: BTreeMap::new(),
            spill: None,
        }
    }

    /// As [`Engine::spill_to`].
    pub fn spill_to(&mut self, spill: Spill) {
        self.spill = Some(spill);
    }

    #[cfg(test)]
    pub(super) fn all_rows(&self) -> impl Iterator<Item = &Rows> {
        self.tasks.values().map(|task| &task.rows)
    }

    /// How much state there is.
    pub fn size(&self) -> StateSize {
        let mut size = StateSize::default();
        for task in self.tasks.values() {
            size += size_of_state(&task.rows, &task.classifier.seen);
        }
        size
    }

    /// Rows held.
    pub fn rows(&self) -> usize {
        self.tasks.values().map(|task| task.rows.len()).sum()
    }

    /// Begins to restore a partition; what it had of it is forgotten.
    pub fn begin_restore(&mut self, partition: i32) {
        self.adopt(partition, TotalsTask::new(&self.options));
    }

    /// Begins to restore a partition from what was read of its changelog already.
    pub(crate) fn adopt(&mut self, partition: i32, task: TotalsTask) {
        self.tasks.insert(partition, task);
    }

    /// Forgets a partition: it is another process's.
    pub fn give_up(&mut self, partition: i32) {
        self.tasks.remove(&partition);
    }

    /// Applies one record of a partition's changelog.
    ///
    /// # Errors
    ///
    /// [`EngineError::Changelog`], [`EngineError::Scratch`].
    pub fn restore(
        &mut self,
        partition: i32,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), EngineError> {
        let entry = entry_of(&self.options, key, value)?;
        if let Some(task) = self.tasks.get_mut(&partition) {
            let applied = task.apply(entry);
            applied.map_err(|source| scratch_failed(&self.options, source))?;
        }
        self.settle()
    }

    fn settle(&mut self) -> Result<(), EngineError> {
        let Some(spill) = &self.spill else {
            return Ok(());
        };
        if spill.excess(self.tasks.values().map(TotalsTask::bytes).sum()) == 0 {
            return Ok(());
        }
        let held = self.tasks.values_mut().map(TotalsTask::held);
        let settled = settle(&mut held.collect::<Vec<_>>(), spill);
        settled.map_err(|source| scratch_failed(&self.options, source))
    }

    /// Results that take all rows away, which a newer generation counts anew.
    pub(crate) fn deletions(&mut self, engine: &Engine) -> Result<Vec<Published>, EngineError> {
        let mut deleted = Vec::new();
        for task in self.tasks.values_mut() {
            let done = task.rows.each(|key, row| {
                if row.visible {
                    deleted.push(Published {
                        key: key.to_vec(),
                        value: Some(engine.deleted_value(key, row.day, 0, None)),
                    });
                }
            });
            done.map_err(|source| scratch_failed(&self.options, source))?;
        }
        Ok(deleted)
    }

    /// Folds parts. The changes are already part of the state: if they cannot be committed, it must be dropped and restored.
    /// What cannot be folded is in [`Changes::quarantined`], with the part's own partition and offset.
    ///
    /// # Errors
    ///
    /// [`EngineError::Scratch`].
    pub fn process(
        &mut self,
        engine: &Engine,
        batch: &[PartInput<'_>],
    ) -> Result<Changes, EngineError> {
        let mut changes = Changes::default();
        let mut touched = BTreeMap::<i32, BTreeSet<&[u8]>>::new();
        let mut clocks = BTreeMap::new();
        for input in batch {
            if let Some(complete) = changelog::decode_complete(input.key, input.value) {
                self.note_complete(input.partition, complete, &mut changes);
                continue;
            }
            let folded = self.fold(input, &mut clocks);
            match folded.map_err(|source| scratch_failed(&self.options, source))? {
                Ok(false) => {}
                Ok(true) => drop(
                    touched
                        .entry(input.partition)
                        .or_default()
                        .insert(input.key),
                ),
                Err(reason) => {
                    changes
                        .quarantined
                        .push((input.partition, input.offset, reason));
                }
            }
        }
        for (partition, keys) in touched {
            let keys: Vec<&[u8]> = keys.into_iter().collect();
            if let Some(task) = self.tasks.get_mut(&partition) {
                engine.publish(
                    partition,
                    &mut task.rows,
                    &keys,
                    &mut task.added,
                    &mut changes,
                );
            }
        }
        for ((partition, of), clock) in clocks {
            let entry = Published {
                key: changelog::clock_key(of),
                value: Some(changelog::encode_clock(clock)),
            };
            changes.changelog.push((partition, entry));
        }
        let evicted = self.evict(&mut changes);
        evicted.map_err(|source| scratch_failed(&self.options, source))?;
        self.settle()?;
        Ok(changes)
    }

    /// A partition of the input has published all its parts; when all of them have, this one has all its rows.
    fn note_complete(&mut self, partition: i32, (of, all): (i32, i32), changes: &mut Changes) {
        let Some(task) = self.tasks.get_mut(&partition) else {
            return;
        };
        if !task.complete.insert(of) {
            return;
        }
        let entry = Published {
            key: changelog::complete_key(of),
            value: Some(changelog::encode_value()),
        };
        changes.changelog.push((partition, entry));
        if i32::try_from(task.complete.len()) == Ok(all) {
            changes.completes.push(partition);
        }
    }

    /// Whether it changed the row. Inner error: why the part cannot be folded.
    fn fold(
        &mut self,
        input: &PartInput<'_>,
        clocks: &mut BTreeMap<(i32, i32), Micros>,
    ) -> Result<Result<bool, Reason>, ScratchError> {
        let task = self.tasks.get_mut(&input.partition);
        let (Some((clock, part)), Some(task)) = (changelog::decode_part(input.value), task) else {
            let reason = "not a part of a total".to_owned();
            return Ok(Err(Reason::Unreadable(reason)));
        };
        // A partition of the input that was days behind the others: the row is gone, and would begin at nothing.
        if task.first_kept.is_some_and(|first| part.day < first) {
            return Ok(Err(Reason::TooLate));
        }
        let known = task.classifier.clocks.entry(part.partition);
        let known = known.or_insert(clock);
        if clock >= *known {
            *known = clock;
            clocks.insert((input.partition, part.partition), clock);
        }
        let mut next = RowState {
            recent: true,
            ..part
        };
        if let Some(row) = task.rows.fetch(input.key, next.day)? {
            if self.options.engine == EngineKind::Spark {
                // Spark says what the row is, and may say it again.
                if next.sequence <= row.sequence {
                    return Ok(Ok(false));
                }
                task.rows.take(input.key.into(), next, &mut task.added);
                return Ok(Ok(true));
            }
            let pairs = row.values.iter().zip(&next.values);
            let values: Result<Vec<_>, _> = pairs.map(|(old, new)| old.checked_fold(new)).collect();
            match values {
                Ok(values) => next.values = values,
                Err(error) => return Ok(Err(Reason::NotComputable(error.to_string()))),
            }
            next.sequence += row.sequence;
        }
        task.rows.take(input.key.into(), next, &mut task.added);
        Ok(Ok(true))
    }

    /// Forgets days that no partition of the input keeps.
    fn evict(&mut self, changes: &mut Changes) -> Result<(), ScratchError> {
        for (partition, task) in &mut self.tasks {
            let first = task.classifier.first_kept_day();
            let Some(first_day) = first.filter(|_| first > task.first_kept) else {
                continue;
            };
            task.first_kept = first;
            task.rows.evict_before(first_day, |key, row| {
                let gone = keys_of(key, row).into_iter();
                let gone = gone.map(|key| (*partition, Published { key, value: None }));
                changes.changelog.extend(gone);
            })?;
        }
        Ok(())
    }
}
