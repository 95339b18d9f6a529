//! The rows of the days in view, and who needs which of them.
//!
//! # Where this sits
//!
//! ```text
//! store ─scan─┐
//!             ├─▶ view (you are here) ─▶ snapshots and streams
//! topic ──────┘
//! ```
//!
//! # Invariants
//!
//! - **Pure.** No I/O, no clock, no locks.
//! - **A row is replaced only by a newer version of itself**, so replays and torn scans are harmless.
//! - **Every row is indexed by the place of its last change.** What a client at a position lacks is
//!   what was last changed at or behind it: no history is kept, however long it was away.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use types::{BusinessDay, Version};

use crate::cell::{Cells, Schema};
use crate::row::Change;
use crate::totals::Totals;

/// The rows of the days in view. See the module.
#[derive(Debug)]
pub struct View {
    epoch: String,
    rows: HashMap<Arc<str>, Row, foldhash::fast::RandomState>,
    /// For each partition, rows by the offset of their last change.
    by_change: Vec<BTreeSet<(i64, Arc<str>)>>,
    /// Next offset of each partition.
    position: Vec<i64>,
    today: BusinessDay,
    oldest: BusinessDay,
    schema: Schema,
    /// Sums over the rows of each day.
    totals: BTreeMap<BusinessDay, Totals>,
    /// Rises with every row that is replaced.
    changed: u64,
    /// What it was at the last one of each day.
    changes: BTreeMap<BusinessDay, u64>,
}

#[derive(Debug)]
pub(crate) struct Row {
    day: BusinessDay,
    version: Version,
    deleted: bool,
    /// `None`: a partition the topic does not have; then the row is in snapshots only.
    changed_at: Option<(usize, i64)>,
    pub(crate) json: Arc<str>,
    pub(crate) cells: Cells,
}

impl View {
    /// Empty view of the days from `oldest` on; `today` is shown unless another one is asked for.
    pub fn new(schema: Schema, today: BusinessDay, oldest: BusinessDay) -> Self {
        Self {
            epoch: String::new(),
            rows: HashMap::default(),
            by_change: Vec::new(),
            position: Vec::new(),
            today,
            oldest,
            schema,
            totals: BTreeMap::new(),
            changed: 0,
            changes: BTreeMap::new(),
        }
    }

    /// Begins a hand-off from the log `epoch`. Rows of another log are forgotten; those of the same
    /// one stay, as their versions still count. Returns whether the log is another one.
    pub fn begin(&mut self, epoch: &str, partitions: usize) -> bool {
        let other = self.epoch != epoch || self.position.len() != partitions;
        if other {
            epoch.clone_into(&mut self.epoch);
            self.rows.clear();
            self.totals.clear();
            self.changed += 1;
            let changed = self.changed;
            self.changes.values_mut().for_each(|day| *day = changed);
            self.by_change = vec![BTreeSet::new(); partitions];
            self.position = vec![0; partitions];
        }
        other
    }

    /// Says that everything below these offsets has been applied. Never goes back.
    pub fn reach(&mut self, offsets: impl IntoIterator<Item = (usize, i64)>) {
        for (partition, next) in offsets {
            if let Some(position) = self.position.get_mut(partition) {
                *position = next.max(*position);
            }
        }
    }

    /// Replaces the row if this is newer and of a day in view; says whether it did.
    ///
    /// Does not move the position: rows of a scan come ahead of it. See [`View::reach`].
    pub fn apply(&mut self, change: Change) -> bool {
        if change.day < self.oldest_day() {
            return false;
        }
        let partition = usize::try_from(change.partition).ok();
        let changed_at = partition
            .filter(|partition| *partition < self.by_change.len())
            .map(|partition| (partition, change.offset));
        let day = change.day;
        let row = Row {
            day,
            version: change.version,
            deleted: change.deleted,
            changed_at,
            json: change.json,
            cells: change.cells,
        };
        let known = self.rows.get(&change.key);
        if known.is_some_and(|known| known.version >= row.version) {
            return false;
        }
        let totals = self.totals.entry(day).or_default();
        if !row.deleted {
            totals.add(&self.schema, &row.cells);
        }
        let old = self.rows.insert(Arc::clone(&change.key), row);
        if let Some(old) = old.as_ref().filter(|old| !old.deleted)
            && let Some(totals) = self.totals.get_mut(&old.day)
        {
            totals.remove(&self.schema, &old.cells);
        }
        self.changed += 1;
        self.changes.insert(day, self.changed);
        let old = old.and_then(|old| old.changed_at);
        if let Some((partition, offset)) = old {
            self.by_change[partition].remove(&(offset, Arc::clone(&change.key)));
        }
        if let Some((partition, offset)) = changed_at {
            self.by_change[partition].insert((offset, change.key));
        }
        true
    }

    /// Makes this day today. Days before `oldest` leave the view. Says whether the day is another.
    ///
    /// With an earlier `oldest` than before, rows of the days between must be applied before anybody
    /// looks.
    pub fn set_today(&mut self, today: BusinessDay, oldest: BusinessDay) -> bool {
        if today == self.today {
            return false;
        }
        (self.today, self.oldest) = (today, oldest);
        self.totals.retain(|day, _| *day >= oldest);
        self.changes.retain(|day, _| *day >= oldest);
        let by_change = &mut self.by_change;
        self.rows.retain(|key, row| {
            let keep = row.day >= oldest;
            if let (false, Some((partition, offset))) = (keep, row.changed_at) {
                by_change[partition].remove(&(offset, Arc::clone(key)));
            }
            keep
        });
        true
    }

    /// Today.
    pub fn today(&self) -> BusinessDay {
        self.today
    }

    /// Rows of earlier days are not in view.
    pub fn oldest_day(&self) -> BusinessDay {
        self.oldest
    }

    /// Whether the rows of a day are kept here.
    pub fn holds(&self, day: BusinessDay) -> bool {
        day >= self.oldest_day()
    }

    /// The log the rows come from.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Next offset of each partition.
    pub fn position(&self) -> &[i64] {
        &self.position
    }

    /// Where a client stands that was at `offsets` and has been given what it lacked: never behind
    /// where it was, even if this replica is.
    pub fn advanced(&self, offsets: &[i64]) -> Vec<i64> {
        let pairs = self.position.iter().zip(offsets);
        pairs.map(|(ours, theirs)| *ours.max(theirs)).collect()
    }

    /// JSON of every row of the day that is not deleted.
    pub fn rows(&self, day: BusinessDay) -> impl Iterator<Item = &str> {
        self.present(day).map(|(_, row)| &*row.json)
    }

    /// Every row of the day that is not deleted, with its key.
    pub(crate) fn present(&self, day: BusinessDay) -> impl Iterator<Item = (&Arc<str>, &Row)> {
        let rows = self.rows.iter();
        rows.filter(move |(_, row)| row.day == day && !row.deleted)
    }

    /// The row of a key, unless it is deleted or of another day.
    pub(crate) fn row(&self, key: &str, day: BusinessDay) -> Option<&Row> {
        let row = self.rows.get(key)?;
        (row.day == day && !row.deleted).then_some(row)
    }

    /// JSON of those rows, deleted ones too, that were last changed at or behind `offsets`.
    pub(crate) fn changed_since<'a>(
        &'a self,
        keys: impl Iterator<Item = &'a Arc<str>>,
        offsets: &'a [i64],
        day: BusinessDay,
    ) -> impl Iterator<Item = &'a str> {
        let changed = move |row: &&Row| {
            let (partition, offset) = row.changed_at?;
            (row.day == day && offset >= *offsets.get(partition)?).then_some(())
        };
        keys.filter_map(|key| self.rows.get(key))
            .filter(move |row| changed(row).is_some())
            .map(|row| &*row.json)
    }

    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Sums over the rows of the day; `None` without any.
    pub(crate) fn totals(&self, day: BusinessDay) -> Option<&Totals> {
        self.totals.get(&day)
    }

    /// Days with sums.
    pub(crate) fn days(&self) -> impl Iterator<Item = BusinessDay> {
        self.totals.keys().copied()
    }

    /// A number that rises whenever a row of the day is replaced.
    pub fn changes(&self, day: BusinessDay) -> u64 {
        self.changes.get(&day).copied().unwrap_or_default()
    }

    /// JSON of every row of the day, deleted ones too, that was last changed at or behind `offsets`
    /// (one a partition): what a client at that position lacks.
    pub fn rows_since(&self, offsets: &[i64], day: BusinessDay) -> impl Iterator<Item = &str> {
        let nothing: Arc<str> = "".into();
        let changed = self.by_change.iter().zip(offsets);
        changed
            .flat_map(move |(changed, from)| changed.range((*from, Arc::clone(&nothing))..))
            .filter_map(|(_, key)| self.rows.get(key))
            .filter(move |row| row.day == day)
            .map(|row| &*row.json)
    }

    /// Rows of all days in view, deleted ones too.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}
