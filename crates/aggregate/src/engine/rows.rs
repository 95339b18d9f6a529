//! Rows, their different values, and how they are published.

use std::collections::{BTreeSet, HashMap};

use sql::{Finished, Folded, FoldedRow, Scalar};
use types::BusinessDay;

use super::{Changes, Engine, Published, RowState};
use crate::changelog::{self, Entry};
use crate::spill::{Out, Pair, ScratchError, Shelf};

/// What a row takes of the table at most, which is at least 7/16 full.
const ROW_BYTES: usize = (size_of::<(Box<[u8]>, RowState)>() + 1) * 16 / 7;
/// What one of the different values takes at most, beside its text: nodes of the set are at least half full.
const VALUE_BYTES: usize = 2 * size_of::<Scalar>() + 16;

/// The rows of a partition: those in hand, which are in memory, and those that moved out.
///
/// Whoever changes a row fetches it first, which takes it in hand until the end of the batch at least.
#[derive(Debug)]
pub(super) struct Rows {
    held: HashMap<Box<[u8]>, RowState, foldhash::fast::RandomState>,
    /// Of those in hand, beside the table.
    heap_bytes: usize,
    shelf: Shelf,
}

/// The key of a row, and the day that it is of.
pub(super) type KeyOfDay = (Box<[u8]>, BusinessDay);

/// A value that a count(DISTINCT) of a row had not: it is added to the changelog, and never written again.
#[derive(Debug)]
pub(super) struct NewValue {
    row: Box<[u8]>,
    fold: usize,
    value: Scalar,
}

impl Rows {
    pub(super) fn new(keep_days: Option<u16>) -> Self {
        Self {
            held: HashMap::default(),
            heap_bytes: 0,
            shelf: Shelf::new(keep_days),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.held.len() + self.shelf.away()
    }

    /// In memory, at most.
    pub(super) fn bytes(&self) -> usize {
        self.held.len() * ROW_BYTES + self.heap_bytes + self.shelf.bytes()
    }

    pub(super) fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// Whether the running count of bytes is what counting again gives.
    #[cfg(test)]
    pub(super) fn is_counted_right(&self) -> bool {
        let rows = self.held.iter().map(|(key, row)| heap_bytes(key, row));
        rows.sum::<usize>() == self.heap_bytes
    }

    /// A row in hand.
    pub(super) fn get(&self, key: &[u8]) -> Option<&RowState> {
        self.held.get(key)
    }

    /// Takes a row in hand, if there is one.
    pub(super) fn fetch(
        &mut self,
        key: &[u8],
        day: BusinessDay,
    ) -> Result<Option<&RowState>, ScratchError> {
        if !self.shelf.is_empty() && !self.held.contains_key(key) {
            let found = self.shelf.find(key, Some(day.epoch_days()))?;
            if let Some((place, _, value)) = found {
                self.shelf.note_back(place);
                self.insert(key.into(), row_of(&value)?);
            }
        }
        Ok(self.held.get(key))
    }

    /// Whether there is one.
    pub(super) fn has(&mut self, key: &[u8], day: BusinessDay) -> Result<bool, ScratchError> {
        let is_held = self.held.contains_key(key);
        Ok(is_held || self.shelf.find(key, Some(day.epoch_days()))?.is_some())
    }

    fn insert(&mut self, key: Box<[u8]>, row: RowState) {
        self.heap_bytes += heap_bytes(&key, &row);
        self.held.insert(key, row);
    }

    fn remove(&mut self, key: &[u8]) -> Option<RowState> {
        let row = self.held.remove(key)?;
        self.heap_bytes = self.heap_bytes.saturating_sub(heap_bytes(key, &row));
        Some(row)
    }

    /// Puts a folded row in the place of the one before, which is in hand.
    pub(super) fn take(&mut self, key: Box<[u8]>, next: RowState, added: &mut Vec<NewValue>) {
        note_values(&key, &next, added);
        let Some(row) = self.held.get_mut(&key) else {
            self.insert(key, next);
            return;
        };
        row.sequence = next.sequence;
        (row.partition, row.offset) = (next.partition, next.offset);
        row.recent = true;
        for (value, next) in row.values.iter_mut().zip(next.values) {
            let bytes = if is_set(value) { 0 } else { value_bytes(value) };
            self.heap_bytes += value_bytes(&next);
            self.heap_bytes = self.heap_bytes.saturating_sub(bytes);
            value.take(next);
        }
    }

    /// A row in hand; its values are changed by [`Rows::take`] alone.
    pub(super) fn get_mut(&mut self, key: &[u8]) -> Option<&mut RowState> {
        self.held.get_mut(key)
    }

    /// Keys and days of all rows, in no order.
    pub(super) fn keys(&mut self) -> Result<Vec<KeyOfDay>, ScratchError> {
        let mut keys = Vec::with_capacity(self.len());
        self.each(|key, row| keys.push((key.into(), row.day)))?;
        Ok(keys)
    }

    /// Goes through all rows, in no order.
    pub(super) fn each(
        &mut self,
        mut each: impl FnMut(&[u8], &RowState),
    ) -> Result<(), ScratchError> {
        for (key, row) in &self.held {
            each(key, row);
        }
        let held = &self.held;
        self.shelf.each(&mut |key, _, value| {
            if !held.contains_key(&key) {
                each(&key, &row_of(value)?);
            }
            Ok(())
        })
    }

    /// Hands all rows over: none is left.
    pub(super) fn drain(
        &mut self,
        mut each: impl FnMut(Box<[u8]>, RowState),
    ) -> Result<(), ScratchError> {
        let held = &self.held;
        self.shelf.each(&mut |key, _, value| {
            if !held.contains_key(&key) {
                each(key, row_of(value)?);
            }
            Ok(())
        })?;
        self.shelf.clear();
        self.heap_bytes = 0;
        self.held.drain().for_each(|(key, row)| each(key, row));
        Ok(())
    }

    /// Forgets rows of days before `first`.
    pub(super) fn forget_before(&mut self, first: BusinessDay) -> Result<(), ScratchError> {
        self.drop_before(first, false, |_, _| {})
    }

    /// Forgets rows of days before `first`; hands each over.
    pub(super) fn evict_before(
        &mut self,
        first: BusinessDay,
        gone: impl FnMut(&[u8], &RowState),
    ) -> Result<(), ScratchError> {
        self.drop_before(first, true, gone)
    }

    fn drop_before(
        &mut self,
        first: BusinessDay,
        is_told: bool,
        mut gone: impl FnMut(&[u8], &RowState),
    ) -> Result<(), ScratchError> {
        let held = &self.held;
        let mut on_disk = |key: &[u8], value: &[u8]| {
            let is_away = !held.contains_key(key);
            if is_told && is_away {
                gone(key, &row_of(value)?);
            }
            Ok(is_away)
        };
        let first_day = first.epoch_days();
        self.shelf.drop_before(first_day, is_told, &mut on_disk)?;
        for (key, row) in self.held.extract_if(|_, row| row.day < first) {
            self.heap_bytes = self.heap_bytes.saturating_sub(heap_bytes(&key, &row));
            gone(&key, &row);
        }
        self.held.shrink_to_fit();
        Ok(())
    }

    /// Moves so many bytes out, or all that are there: only rows that no batch has changed since the last time, or any.
    pub(super) fn move_out(
        &mut self,
        out: Out<'_>,
        bytes: usize,
        is_any: bool,
    ) -> Result<(), ScratchError> {
        let mut wanted = bytes;
        let mut is_wanted = |key: &[u8], row: &mut RowState| {
            let is_cold = is_any || !row.recent;
            row.recent = false;
            let is_wanted = wanted > 0 && is_cold;
            if is_wanted {
                wanted = wanted.saturating_sub(ROW_BYTES + heap_bytes(key, row));
            }
            is_wanted
        };
        let mut moved: Vec<(Box<[u8]>, RowState)> = {
            let held = self.held.extract_if(|key, row| is_wanted(key, row));
            held.collect()
        };
        let freed: usize = moved.iter().map(|(key, row)| heap_bytes(key, row)).sum();
        self.heap_bytes = self.heap_bytes.saturating_sub(freed);
        self.held.shrink_to_fit();
        moved.sort_unstable_by(|(a, one), (b, other)| (one.day, a).cmp(&(other.day, b)));
        while let Some((_, first)) = moved.first() {
            let day = first.day;
            let later = moved.split_off(moved.partition_point(|(_, row)| row.day == day));
            let pair = |(key, row): (Box<[u8]>, RowState)| -> Pair {
                (key, changelog::encode_spilled(&row))
            };
            let (count, pairs) = (moved.len(), moved.into_iter().map(pair));
            self.shelf.put(out, day.epoch_days(), count, pairs)?;
            moved = later;
        }
        Ok(())
    }

    /// Applies what is of rows; hands back what is not.
    ///
    /// Of a compacted log a value may come before its row: then the row is one with sequence 0 until it comes.
    pub(super) fn restore(&mut self, entry: Entry) -> Result<Option<Entry>, ScratchError> {
        match entry {
            Entry::Row(key, row) => {
                self.recover(&key)?;
                self.restore_row(key, row);
            }
            Entry::RowGone(key) => {
                self.recover(&key)?;
                self.remove(&key);
            }
            Entry::Value(key, fold, value) => {
                self.recover(&key)?;
                self.restore_value(key, fold, value);
            }
            Entry::ValueGone(key, fold, value) => {
                self.recover(&key)?;
                self.restore_value_gone(&key, fold, &value);
            }
            other => return Ok(Some(other)),
        }
        Ok(None)
    }

    /// Takes a row in hand, and leaves nothing of it elsewhere: its day may change, and with it where it would be.
    fn recover(&mut self, key: &[u8]) -> Result<(), ScratchError> {
        if self.shelf.is_empty() || self.held.contains_key(key) {
            return Ok(());
        }
        if let Some(value) = self.shelf.take(key)? {
            self.insert(key.into(), row_of(&value)?);
        }
        Ok(())
    }

    fn restore_row(&mut self, key: Box<[u8]>, mut row: RowState) {
        let Some(held) = self.held.get_mut(&key) else {
            self.insert(key, row);
            return;
        };
        let before = std::mem::take(&mut held.values);
        self.heap_bytes += plain_bytes(&row.values);
        self.heap_bytes = self.heap_bytes.saturating_sub(plain_bytes(&before));
        for (new, old) in row.values.iter_mut().zip(before) {
            if let (Folded::Distinct(_), Folded::Distinct(_)) = (&*new, &old) {
                *new = old;
            }
        }
        *held = row;
    }

    fn restore_value(&mut self, key: Box<[u8]>, fold: usize, value: Scalar) {
        if !self.held.contains_key(&key) {
            self.insert(key.clone(), RowState::awaited());
        }
        let Some(row) = self.held.get_mut(&key) else {
            return;
        };
        while row.values.len() <= fold {
            self.heap_bytes += size_of::<Folded>();
            row.values.push(Folded::Distinct(BTreeSet::new()));
        }
        if let Some(Folded::Distinct(values)) = row.values.get_mut(fold) {
            let bytes = scalar_bytes(&value);
            if values.insert(value) {
                self.heap_bytes += bytes;
            }
        }
    }

    fn restore_value_gone(&mut self, key: &[u8], fold: usize, value: &Scalar) {
        let Some(row) = self.held.get_mut(key) else {
            return;
        };
        if let Some(Folded::Distinct(values)) = row.values.get_mut(fold)
            && values.remove(value)
        {
            self.heap_bytes = self.heap_bytes.saturating_sub(scalar_bytes(value));
        }
        let is_empty =
            |folded: &Folded| matches!(folded, Folded::Distinct(values) if values.is_empty());
        if row.sequence == 0 && row.values.iter().all(is_empty) {
            self.remove(key);
        }
    }
}

fn row_of(value: &[u8]) -> Result<RowState, ScratchError> {
    changelog::decode_spilled(value).ok_or(ScratchError::Damaged)
}

/// What a row takes beside the table: its key, its values, and what they point to.
fn heap_bytes(key: &[u8], row: &RowState) -> usize {
    let different = row.values.iter().filter(|value| is_set(value));
    key.len() + plain_bytes(&row.values) + different.map(value_bytes).sum::<usize>()
}

/// Values, without the different ones.
fn plain_bytes(values: &[Folded]) -> usize {
    let others = values.iter().filter(|value| !is_set(value));
    size_of_val(values) + others.map(value_bytes).sum::<usize>()
}

fn is_set(value: &Folded) -> bool {
    matches!(value, Folded::Distinct(_))
}

/// What a value points to.
fn value_bytes(value: &Folded) -> usize {
    match value {
        Folded::Min(Some(Scalar::Text(text))) | Folded::Max(Some(Scalar::Text(text))) => text.len(),
        Folded::Distinct(values) => values.iter().map(scalar_bytes).sum(),
        _ => 0,
    }
}

/// One of the different values.
fn scalar_bytes(value: &Scalar) -> usize {
    let text = match value {
        Scalar::Text(text) => text.len(),
        _ => 0,
    };
    VALUE_BYTES + text
}

/// The different values of a row, as new ones.
pub(super) fn note_values(key: &[u8], row: &RowState, added: &mut Vec<NewValue>) {
    for (fold, value) in row.values.iter().enumerate() {
        let Folded::Distinct(values) = value else {
            continue;
        };
        added.extend(values.iter().map(|value| NewValue {
            row: key.into(),
            fold,
            value: value.clone(),
        }));
    }
}

/// Keys of the changelog that hold a row.
pub(super) fn keys_of(key: &[u8], row: &RowState) -> Vec<Vec<u8>> {
    let mut keys = vec![changelog::row_key(key)];
    for (fold, folded) in row.values.iter().enumerate() {
        if let Folded::Distinct(values) = folded {
            let values = values.iter();
            keys.extend(values.map(|value| changelog::value_key(key, fold, value)));
        }
    }
    keys
}

impl RowState {
    /// Of which only different values are known yet.
    fn awaited() -> Self {
        Self {
            day: types::BusinessDay::EPOCH,
            sequence: 0,
            partition: 0,
            offset: 0,
            visible: false,
            recent: false,
            values: Vec::new(),
        }
    }
}

impl Engine {
    /// Publishes the rows with these keys: as changes of results and of the changelog.
    pub(super) fn publish(
        &self,
        partition: i32,
        rows: &mut Rows,
        updated: &[impl AsRef<[u8]>],
        added: &mut Vec<NewValue>,
        changes: &mut Changes,
    ) {
        let keys = updated.iter().map(AsRef::as_ref);
        let keys: Vec<&[u8]> = keys.filter(|key| rows.get(key).is_some()).collect();
        let finished = self.plan.has_finish().then(|| self.finish(rows, &keys));
        if let Some(finished) = &finished {
            changes.failures += finished.failures;
            if changes.failure.is_none() {
                changes.failure.clone_from(&finished.failure);
            }
        }
        for (place, key) in keys.into_iter().enumerate() {
            let Some(row) = rows.get_mut(key) else {
                continue;
            };
            let is_shown = |finished: &Finished| finished.visible.get(place) == Some(&true);
            let visible = finished.as_ref().is_none_or(is_shown);
            let value = match (visible, row.visible) {
                (true, _) => Some(self.result_value(key, row, finished.as_ref(), place)),
                (false, true) => {
                    let at = Some((row.partition, row.offset));
                    Some(self.deleted_value(key, row.day, row.sequence, at))
                }
                (false, false) => None,
            };
            row.visible = visible;
            let entry = Published {
                key: changelog::row_key(key),
                value: Some(changelog::encode_row(row)),
            };
            changes.changelog.push((partition, entry));
            changes.results.extend(value.map(|value| Published {
                key: key.to_vec(),
                value: Some(value),
            }));
        }
        let added = added.drain(..).map(|new| Published {
            key: changelog::value_key(&new.row, new.fold, &new.value),
            value: Some(changelog::encode_value()),
        });
        changes
            .changelog
            .extend(added.map(|entry| (partition, entry)));
    }

    fn finish(&self, rows: &Rows, keys: &[&[u8]]) -> Finished {
        let texts: Vec<Vec<Option<String>>> = keys
            .iter()
            .map(|key| serde_json::from_slice(key).unwrap_or_default())
            .collect();
        let parts: Vec<Vec<Option<&str>>> = texts
            .iter()
            .map(|parts| parts.iter().map(Option::as_deref).collect())
            .collect();
        let folded = keys.iter().zip(&parts).map(|(key, parts)| FoldedRow {
            key: parts,
            values: rows.get(key).map_or(&[][..], |row| &row.values),
        });
        self.plan.finish(&folded.collect::<Vec<_>>())
    }
}
