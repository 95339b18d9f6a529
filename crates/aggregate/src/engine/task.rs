//! The state of one partition of the input: what its changelog has.

use std::collections::BTreeMap;

use types::{BusinessDay, Counts, Micros};

use super::Published;
use super::rows::{self, NewValue, Rows};
use crate::changelog::{self, Entry};
use crate::classify::Classifier;
use crate::options::{AggregationOptions, Definition};
use crate::record::Identity;

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
}

impl Task {
    pub(crate) fn new(options: &AggregationOptions) -> Self {
        Self {
            classifier: Classifier::new(options),
            rows: Rows::default(),
            added: Vec::new(),
            counts: BTreeMap::new(),
            blocks: BTreeMap::new(),
            definition: None,
            first_kept: None,
        }
    }

    /// Rows held.
    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Applies one record of the changelog.
    pub(crate) fn apply(&mut self, entry: Entry) {
        let Some(entry) = rows::restore(&mut self.rows, entry) else {
            return;
        };
        match entry {
            Entry::Seen(block, seen) => {
                self.blocks.entry(block.day).or_default().push(block.offset);
                self.classifier.seen.extend(seen);
            }
            Entry::SeenGone(block) => {
                if let Some(offsets) = self.blocks.get_mut(&block.day) {
                    offsets.retain(|offset| *offset != block.offset);
                }
            }
            Entry::Counts(day, counts) => drop(self.counts.insert(day, counts)),
            Entry::Clock(partition, clock) => drop(self.classifier.clocks.insert(partition, clock)),
            Entry::Definition(fingerprint, generation) => {
                self.definition = Some((generation, fingerprint));
            }
            _ => {}
        }
    }

    /// Forgets what is no longer kept. Error: the newer generation that the state is of.
    pub(super) fn end_restore(&mut self, definition: &Definition) -> Result<Restored, u32> {
        let ours = definition.generation;
        let is_empty = self.rows.is_empty() && self.classifier.clocks.is_empty();
        match &self.definition {
            None if is_empty => {}
            None => return Ok(Restored::Older { generation: 0 }),
            Some((theirs, _)) if *theirs > ours => return Err(*theirs),
            Some((theirs, fingerprint)) if *theirs == ours => {
                if *fingerprint != definition.fingerprint {
                    return Err(*theirs);
                }
            }
            Some((theirs, _)) => {
                return Ok(Restored::Older {
                    generation: *theirs,
                });
            }
        }
        self.first_kept = self.classifier.first_kept_day();
        if let Some(first) = self.first_kept {
            self.classifier.forget_before(first);
            self.rows.retain(|_, row| row.day >= first);
        }
        Ok(Restored::Current)
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
    pub(super) fn evict(&mut self, partition: i32) -> Vec<Published> {
        let first = self.classifier.first_kept_day();
        let Some(first_day) = first.filter(|_| first > self.first_kept) else {
            return Vec::new();
        };
        self.first_kept = first;
        self.classifier.forget_before(first_day);
        let kept = self.blocks.split_off(&first_day.epoch_days());
        let blocks = std::mem::replace(&mut self.blocks, kept).into_iter();
        let blocks = blocks.flat_map(|(day, offsets)| {
            let offsets = offsets.into_iter();
            offsets.map(move |offset| changelog::seen_key(day, partition, offset))
        });
        let over = self.rows.extract_if(|_, row| row.day < first_day);
        let rows = over.flat_map(|(key, row)| rows::keys_of(&key, &row));
        rows.chain(blocks).map(gone).collect()
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
    pub(super) fn whole(&mut self, partition: i32, old: &Old) -> Vec<(i32, Published)> {
        let mut whole: Vec<Published> = old.changelog_keys.iter().cloned().map(gone).collect();
        let mut by_day = BTreeMap::<i32, Vec<(Identity, u64)>>::new();
        for (identity, seen) in &self.classifier.seen {
            by_day
                .entry(seen.day)
                .or_default()
                .push((*identity, seen.content));
        }
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
        whole.into_iter().map(|entry| (partition, entry)).collect()
    }
}

/// The state of an older definition.
#[derive(Debug, Default)]
pub struct Old {
    rows: Vec<(Box<[u8]>, BusinessDay, u64)>,
    counts: BTreeMap<BusinessDay, Counts>,
    /// Keys of the changelog that hold something.
    changelog_keys: Vec<Vec<u8>>,
}

impl Old {
    pub(super) fn new(task: Task) -> Self {
        // Of those that HAVING hides there is nothing to take away.
        let rows = task.rows.into_iter().filter(|(_, row)| row.visible);
        Self {
            rows: rows
                .map(|(key, row)| (key, row.day, row.sequence))
                .collect(),
            counts: task.counts,
            changelog_keys: Vec::new(),
        }
    }

    /// Marks rows that are among the results: where the new definition hides them they are taken away.
    pub(super) fn show_in(&self, rows: &mut Rows) {
        for (key, ..) in &self.rows {
            if let Some(row) = rows.get_mut(key) {
                row.visible = true;
            }
        }
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
    pub(super) fn rows_gone(&self, task: &Task) -> Vec<(Box<[u8]>, BusinessDay, u64)> {
        let first_kept = task.first_kept;
        let rows = self.rows.iter();
        let gone = rows.filter(|(key, day, _)| {
            first_kept.is_none_or(|first| *day >= first) && !task.rows.contains_key(key)
        });
        gone.cloned().collect()
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
