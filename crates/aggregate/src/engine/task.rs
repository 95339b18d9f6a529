//! The state of one partition of the input: what its changelog has.

use std::collections::BTreeMap;

use types::{BusinessDay, Counts, Micros};

use super::Published;
use super::held::{Held, bytes_of};
use super::rows::{NewValue, Rows, keys_of};
use crate::changelog::{self, Entry, Rewind};
use crate::classify::Classifier;
use crate::options::{AggregationOptions, Definition};
use crate::record::Identity;
use crate::spill::ScratchError;

/// Identities that were new in a batch, by their day: the offset of the first one, and each with its content.
pub(super) type NewIdentities = BTreeMap<i32, (i64, Vec<(Identity, u64)>)>;

/// Most identities in one record of the changelog: 24 bytes each, well below the megabyte that a topic of Kafka takes by default.
pub(super) const IDENTITIES_A_BLOCK: usize = 10_000;

/// How restoring a partition ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// The state is this definition's, or there is none yet.
    Current,
    /// It is an older definition's, and must be built anew from the log.
    Older {
        /// Which generation it is of.
        generation: u32,
    },
}

/// What the changelog of a partition of the input says.
#[derive(Debug)]
pub(crate) struct Task {
    pub(super) classifier: Classifier,
    pub(super) rows: Rows,
    /// Different values that the batch brought.
    pub(super) added: Vec<NewValue>,
    pub(super) counts: BTreeMap<BusinessDay, Counts>,
    /// Blocks of identities in the changelog, by day.
    blocks: BTreeMap<i32, Vec<i64>>,
    /// What the changelog says the state is of.
    definition: Option<(u32, String)>,
    first_kept: Option<BusinessDay>,
    /// The input is being read again.
    pub(super) rewind: Option<Rewind>,
}

impl Task {
    pub(crate) fn new(options: &AggregationOptions) -> Self {
        Self {
            classifier: Classifier::new(options),
            rows: Rows::new(options.keep_days),
            added: Vec::new(),
            counts: BTreeMap::new(),
            blocks: BTreeMap::new(),
            definition: None,
            first_kept: None,
            rewind: None,
        }
    }

    /// Rows held.
    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Bytes in memory, at most.
    pub(super) fn bytes(&self) -> usize {
        bytes_of(&self.rows, &self.classifier.seen)
    }

    /// What can move out.
    pub(super) fn held(&mut self) -> Held<'_> {
        Held {
            rows: &mut self.rows,
            classifier: &mut self.classifier,
        }
    }

    /// Applies an entry of the changelog. It fails only where some of the state has moved out, which the engine does alone.
    pub(crate) fn apply(&mut self, entry: Entry) -> Result<(), ScratchError> {
        let Some(entry) = self.rows.restore(entry)? else {
            return Ok(());
        };
        match entry {
            Entry::Seen(block, seen) => {
                self.blocks.entry(block.day).or_default().push(block.offset);
                self.classifier.seen.restore(seen)?;
            }
            Entry::SeenGone(block) => {
                if let Some(offsets) = self.blocks.get_mut(&block.day) {
                    offsets.retain(|offset| *offset != block.offset);
                }
            }
            Entry::Counts(day, counts) => drop(self.counts.insert(day, counts)),
            Entry::Clock(partition, clock) => drop(self.classifier.clocks.insert(partition, clock)),
            // Whatever was there before is gone, with keys that say no more than that.
            Entry::Rewind(rewind) => {
                self.classifier.seen.clear();
                self.classifier.clocks.clear();
                self.blocks.clear();
                self.counts
                    .retain(|day, _| day.epoch_days() < rewind.first_day);
                self.rewind = Some(rewind);
            }
            Entry::RewindGone => self.rewind = None,
            Entry::Definition(fingerprint, generation) => {
                self.definition = Some((generation, fingerprint));
            }
            _ => {}
        }
        Ok(())
    }

    /// Forgets what is no longer kept. Inner error: the newer generation that the state is of.
    pub(super) fn end_restore(
        &mut self,
        definition: &Definition,
    ) -> Result<Result<Restored, u32>, ScratchError> {
        let ours = definition.generation;
        let is_empty = self.rows.len() == 0 && self.classifier.clocks.is_empty();
        match &self.definition {
            None if is_empty => {}
            None => return Ok(Ok(Restored::Older { generation: 0 })),
            Some((theirs, _)) if *theirs > ours => return Ok(Err(*theirs)),
            Some((theirs, fingerprint)) if *theirs == ours => {
                if *fingerprint != definition.fingerprint {
                    return Ok(Err(*theirs));
                }
            }
            Some((theirs, _)) => {
                return Ok(Ok(Restored::Older {
                    generation: *theirs,
                }));
            }
        }
        self.first_kept = self.classifier.first_kept_day();
        if let Some(first) = self.first_kept {
            self.classifier.forget_before(first);
            self.rows.forget_before(first)?;
        }
        Ok(Ok(Restored::Current))
    }

    /// The stream clock.
    pub(super) fn clock(&self, partition: i32) -> Option<Micros> {
        self.classifier.clocks.get(&partition).copied()
    }

    /// The record that says what the state is of, if the changelog does not say it yet.
    pub(super) fn define(&mut self, definition: &Definition) -> Option<Published> {
        let now = (definition.generation, definition.fingerprint.clone());
        if self.definition.as_ref() == Some(&now) {
            return None;
        }
        self.definition = Some(now);
        Some(Published {
            key: changelog::definition_key(),
            value: Some(changelog::encode_definition(
                &definition.fingerprint,
                definition.generation,
            )),
        })
    }

    /// Forgets days that are no longer kept; returns what takes them out of the changelog. Results stay in their topic and
    /// in the store.
    pub(super) fn evict(&mut self, partition: i32) -> Result<Vec<Published>, ScratchError> {
        let first = self.classifier.first_kept_day();
        let Some(first_day) = first.filter(|_| first > self.first_kept) else {
            return Ok(Vec::new());
        };
        self.first_kept = first;
        self.classifier.forget_before(first_day);
        let kept = self.blocks.split_off(&first_day.epoch_days());
        let blocks = std::mem::replace(&mut self.blocks, kept).into_iter();
        let blocks = blocks.flat_map(|(day, offsets)| {
            let offsets = offsets.into_iter();
            offsets.map(move |offset| changelog::seen_key(day, partition, offset))
        });
        let mut over = Vec::new();
        self.rows.evict_before(first_day, |key, row| {
            over.extend(keys_of(key, row).into_iter().map(gone));
        })?;
        over.extend(blocks.map(gone));
        Ok(over)
    }

    /// Records of the changelog for what a batch changed beside its rows.
    pub(super) fn changed(
        &mut self,
        partition: i32,
        identities: NewIdentities,
        days: impl Iterator<Item = BusinessDay>,
        clock: Option<Micros>,
    ) -> Vec<Published> {
        let mut changed = Vec::new();
        for (day, (offset, identities)) in identities {
            let blocks = self.blocks.entry(day).or_default();
            // Below the offset of any later batch: there are fewer blocks than records.
            for (number, identities) in (offset..).zip(identities.chunks(IDENTITIES_A_BLOCK)) {
                blocks.push(number);
                changed.push(seen_block(partition, day, number, identities));
            }
        }
        for day in days {
            let counts = self.counts.get(&day).copied().unwrap_or_default();
            changed.push(counts_entry(day, &counts));
        }
        changed.extend(clock.map(|clock| clock_entry(partition, clock)));
        changed
    }

    /// The input is to be read again; days that are not counted anew keep their counts. Returns what the changelog is told.
    pub(super) fn begin_rewind(&mut self, old: &Old, rewind: Rewind) -> Published {
        self.rewind = Some(rewind);
        let kept = old.counts.iter();
        let kept = kept.filter(|(day, _)| day.epoch_days() < rewind.first_day);
        self.counts
            .extend(kept.map(|(day, counts)| (*day, *counts)));
        Published {
            key: changelog::rewind_key(),
            value: Some(changelog::encode_rewind(&rewind)),
        }
    }

    /// Ends it, if all up to the `next` offset has been read again.
    pub(super) fn end_rewind(&mut self, next: i64) -> Option<Published> {
        self.rewind.filter(|rewind| next >= rewind.until)?;
        self.rewind = None;
        Some(gone(changelog::rewind_key()))
    }

    /// Whether a day's counts are those of before.
    pub(super) fn keeps_counts_of(&self, day: BusinessDay) -> bool {
        self.rewind
            .is_some_and(|rewind| day.epoch_days() < rewind.first_day)
    }

    /// Counts of days that a rebuild did not read from their beginning stay what they were.
    pub(super) fn keep_counts_of(&mut self, old: &Old) {
        let Some(first_kept) = self.classifier.first_kept_day() else {
            return;
        };
        self.counts.retain(|day, _| *day >= first_kept);
        let before = old.counts.range(..first_kept);
        self.counts
            .extend(before.map(|(day, counts)| (*day, *counts)));
    }

    /// The whole state as records of the changelog but for rows and definition, behind records that take the old one away.
    pub(super) fn whole(
        &mut self,
        partition: i32,
        old: &Old,
    ) -> Result<Vec<(i32, Published)>, ScratchError> {
        let mut whole: Vec<Published> = old.changelog_keys.iter().cloned().map(gone).collect();
        let mut by_day = BTreeMap::<i32, Vec<(Identity, u64)>>::new();
        self.classifier.seen.each(|identity, seen| {
            let of_day = by_day.entry(seen.day).or_default();
            of_day.push((identity, seen.content));
        })?;
        // Numbers below any offset that is still to come: there are no more blocks than records were read.
        let mut number = 0;
        self.blocks.clear();
        for (day, mut identities) in by_day {
            identities.sort_unstable();
            for block in identities.chunks(IDENTITIES_A_BLOCK) {
                self.blocks.entry(day).or_default().push(number);
                whole.push(seen_block(partition, day, number, block));
                number += 1;
            }
        }
        whole.extend(
            self.counts
                .iter()
                .map(|(day, counts)| counts_entry(*day, counts)),
        );
        whole.extend(
            self.clock(partition)
                .map(|clock| clock_entry(partition, clock)),
        );
        Ok(whole.into_iter().map(|entry| (partition, entry)).collect())
    }
}

/// A row that is among the results: key, day and sequence.
pub(super) type Shown = (Box<[u8]>, BusinessDay, u64);

/// The state of an older definition.
#[derive(Debug, Default)]
pub struct Old {
    rows: Vec<Shown>,
    counts: BTreeMap<BusinessDay, Counts>,
    /// Keys of the changelog that hold something.
    changelog_keys: Vec<Vec<u8>>,
}

impl Old {
    pub(super) fn new(mut task: Task) -> Result<Self, ScratchError> {
        let mut rows = Vec::new();
        task.rows.each(|key, row| {
            // Of those that HAVING hides there is nothing to take away.
            if row.visible {
                rows.push((key.into(), row.day, row.sequence));
            }
        })?;
        Ok(Self {
            rows,
            counts: task.counts,
            changelog_keys: Vec::new(),
        })
    }

    /// Rows that it had among the results.
    pub(super) fn shown(&self) -> &[Shown] {
        &self.rows
    }

    /// Rows that it had among the results.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// A key of the changelog that holds something; the definition's is written anew.
    pub fn note_key(&mut self, key: &[u8]) {
        if key != changelog::definition_key() {
            self.changelog_keys.push(key.to_vec());
        }
    }

    /// Rows that the new state has not, of days that it has been built for.
    pub(super) fn rows_gone(&self, task: &mut Task) -> Result<Vec<Shown>, ScratchError> {
        let first_kept = task.first_kept;
        let mut gone = Vec::new();
        for (key, day, sequence) in &self.rows {
            let is_kept = first_kept.is_none_or(|first| *day >= first);
            if is_kept && !task.rows.has(key, *day)? {
                gone.push((key.clone(), *day, *sequence));
            }
        }
        Ok(gone)
    }
}

fn seen_block(partition: i32, day: i32, offset: i64, identities: &[(Identity, u64)]) -> Published {
    Published {
        key: changelog::seen_key(day, partition, offset),
        value: Some(changelog::encode_seen(day, identities)),
    }
}

fn counts_entry(day: BusinessDay, counts: &Counts) -> Published {
    Published {
        key: changelog::counts_key(day),
        value: Some(changelog::encode_counts(counts)),
    }
}

fn clock_entry(partition: i32, clock: Micros) -> Published {
    Published {
        key: changelog::clock_key(partition),
        value: Some(changelog::encode_clock(clock)),
    }
}

fn gone(key: Vec<u8>) -> Published {
    Published { key, value: None }
}
