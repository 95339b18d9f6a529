//! Rows, their different values, and how they are published.

use std::collections::HashMap;

use sql::{Finished, Folded, FoldedRow, Scalar};

use super::{Changes, Engine, Published, RowState};
use crate::changelog::{self, Entry};

pub(super) type Rows = HashMap<Box<[u8]>, RowState, foldhash::fast::RandomState>;

/// A value that a count(DISTINCT) of a row had not: it is added to the changelog, and never written again.
#[derive(Debug)]
pub(super) struct NewValue {
    row: Box<[u8]>,
    fold: usize,
    value: Scalar,
}

/// Applies what is of rows; hands back what is not.
///
/// Of a compacted log a value may come before its row: then the row is one with sequence 0 until it comes.
pub(super) fn restore(rows: &mut Rows, entry: Entry) -> Option<Entry> {
    match entry {
        Entry::Row(key, mut row) => {
            let before = rows.remove(&key);
            let before = before.map(|before| before.values).unwrap_or_default();
            for (new, old) in row.values.iter_mut().zip(before) {
                if let (Folded::Distinct(_), Folded::Distinct(_)) = (&*new, &old) {
                    *new = old;
                }
            }
            rows.insert(key, row);
        }
        Entry::RowGone(key) => drop(rows.remove(&key)),
        Entry::Value(key, fold, value) => {
            let row = rows.entry(key).or_insert_with(RowState::awaited);
            while row.values.len() <= fold {
                row.values
                    .push(Folded::Distinct(std::collections::BTreeSet::new()));
            }
            if let Some(Folded::Distinct(values)) = row.values.get_mut(fold) {
                values.insert(value);
            }
        }
        Entry::ValueGone(key, fold, value) => {
            let row = rows.get_mut(&key)?;
            if let Some(Folded::Distinct(values)) = row.values.get_mut(fold) {
                values.remove(&value);
            }
            let is_empty =
                |folded: &Folded| matches!(folded, Folded::Distinct(values) if values.is_empty());
            if row.sequence == 0 && row.values.iter().all(is_empty) {
                rows.remove(&key);
            }
        }
        other => return Some(other),
    }
    None
}

/// Puts a folded row in the place of the one before.
pub(super) fn take(rows: &mut Rows, key: Box<[u8]>, next: RowState, added: &mut Vec<NewValue>) {
    note_values(&key, &next, added);
    match rows.get_mut(&key) {
        None => drop(rows.insert(key, next)),
        Some(row) => {
            row.sequence = next.sequence;
            (row.partition, row.offset) = (next.partition, next.offset);
            for (value, next) in row.values.iter_mut().zip(next.values) {
                value.take(next);
            }
        }
    }
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
        let keys: Vec<&[u8]> = keys.filter(|key| rows.contains_key(*key)).collect();
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
            values: rows.get(*key).map_or(&[][..], |row| &row.values),
        });
        self.plan.finish(&folded.collect::<Vec<_>>())
    }
}
