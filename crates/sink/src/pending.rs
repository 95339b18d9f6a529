//! What was read of one results topic and not written yet: of each row its newest state alone.
//!
//! # Invariants
//!
//! - **Progress never passes what is held back** ([`Hold`]): a sink that begins again reads it again, with the markers.
//! - **Only of partitions that are this sink's**: of one that is taken away nothing stays.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use tracing::warn;
use types::{HELD_ROWS_MAX, HOLD_TIME_MAX, Marker, Version};

use crate::hold::Hold;

/// The newest state of a row, as it was read.
#[derive(Debug)]
pub(crate) struct Newest {
    pub(crate) version: Version,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) value: Vec<u8>,
}

type Rows = HashMap<Box<[u8]>, Newest>;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) newest: Rows,
    /// Next offsets, when `newest` is written.
    pub(crate) progress: HashMap<i32, i64>,
    /// Next offsets that the store has acknowledged.
    pub(crate) written: BTreeMap<i32, i64>,
    /// Oldest of the records.
    pub(crate) received: Option<i64>,
    pub(crate) records: u64,
    hold: Hold,
    held: Rows,
    held_progress: HashMap<i32, i64>,
    since: Option<Instant>,
}

impl Pending {
    /// A partition is this sink's: its progress in the store, and the newest generation there.
    pub(crate) fn give(&mut self, partition: i32, written: Option<i64>, shown: Option<u32>) {
        self.hold.give(partition, shown);
        if let Some(written) = written {
            self.written.insert(partition, written);
        }
    }

    /// It is another's from now on, who reads again what was not written.
    pub(crate) fn take(&mut self, partition: i32) {
        self.newest.retain(|_, row| row.partition != partition);
        self.held.retain(|_, row| row.partition != partition);
        self.progress.remove(&partition);
        self.held_progress.remove(&partition);
        self.written.remove(&partition);
        if self.hold.take(partition) {
            self.show();
        }
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.records == 0 && self.newest.is_empty()
    }

    /// Forgets what was written; what is held back stays.
    pub(crate) fn clear(&mut self) {
        self.newest.clear();
        self.progress.clear();
        (self.received, self.records) = (None, 0);
    }

    /// A record was read, whatever it is. After it was added.
    pub(crate) fn reach(&mut self, partition: i32, offset: i64) {
        self.records += 1;
        match self.hold.is_open() {
            true => {
                self.since.get_or_insert_with(Instant::now);
                self.held_progress.insert(partition, offset + 1);
            }
            false => drop(self.progress.insert(partition, offset + 1)),
        }
    }

    pub(crate) fn put(
        &mut self,
        key: &[u8],
        version: Version,
        partition: i32,
        offset: i64,
        value: &[u8],
    ) {
        let rows = match self.hold.holds(partition, version.generation) {
            true => &mut self.held,
            false => &mut self.newest,
        };
        match rows.get_mut(key) {
            Some(known) if known.version >= version => {}
            Some(known) => {
                (known.version, known.partition, known.offset) = (version, partition, offset);
                known.value.clear();
                known.value.extend_from_slice(value);
            }
            None => {
                let newest = Newest {
                    version,
                    partition,
                    offset,
                    value: value.to_vec(),
                };
                rows.insert(key.into(), newest);
            }
        }
    }

    /// A writer has published all rows of a generation that are its.
    pub(crate) fn mark(&mut self, partition: i32, marker: Marker) {
        if self.hold.marks(partition, marker) {
            self.show();
        }
    }

    /// Shows what has been held back for too long, or is too much.
    pub(crate) fn show_overdue(&mut self, table: &str) {
        let too_long = self
            .since
            .is_some_and(|since| since.elapsed() > HOLD_TIME_MAX);
        if !too_long && self.held.len() <= HELD_ROWS_MAX {
            return;
        }
        let (seen, all) = self.hold.seen();
        if let Some(generation) = self.hold.release() {
            warn!(
                table,
                generation, seen, all, "writes a new generation that is not complete"
            );
        }
        self.show();
    }

    /// What is held back is to be written, all at once.
    fn show(&mut self) {
        self.since = None;
        for (key, held) in self.held.drain() {
            let known = self.newest.get(&key);
            if known.is_none_or(|known| known.version < held.version) {
                self.newest.insert(key, held);
            }
        }
        self.progress.extend(self.held_progress.drain());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(generation: u32, sequence: u64) -> Version {
        Version {
            generation,
            sequence,
        }
    }

    /// Of one partition.
    fn pending(shown: Option<u32>) -> Pending {
        let mut pending = Pending::default();
        pending.give(0, None, shown);
        pending
    }

    #[test]
    fn of_each_row_the_newest_version_is_kept_in_whatever_order_it_came() {
        let mut pending = pending(None);
        pending.put(b"a", version(1, 2), 0, 10, b"two");
        pending.put(b"a", version(1, 1), 0, 11, b"one");
        pending.put(b"b", version(1, 1), 0, 12, b"other");
        pending.put(b"a", version(1, 3), 0, 13, b"three");
        let newest = &pending.newest[b"a".as_slice()];
        assert_eq!(newest.value, b"three");
        assert_eq!((newest.version, newest.offset), (version(1, 3), 13));
        assert_eq!(pending.newest.len(), 2);
    }

    #[test]
    fn a_new_generation_is_written_as_a_whole_and_progress_waits_for_it() {
        let marker = |writer| Marker {
            generation: 2,
            writer,
            writers: 2,
        };
        let mut pending = pending(Some(1));
        pending.put(b"a", version(1, 5), 0, 10, b"old");
        pending.reach(0, 10);
        pending.put(b"a", version(2, 4), 0, 11, b"new");
        pending.reach(0, 11);
        pending.mark(0, marker(0));
        pending.reach(0, 12);
        assert_eq!(pending.newest[b"a".as_slice()].value, b"old");
        assert_eq!(pending.progress[&0], 11);
        // Written, and the rest goes on to wait.
        pending.clear();
        pending.put(b"b", version(2, 1), 0, 13, b"other");
        pending.reach(0, 13);
        assert_eq!((pending.newest.len(), pending.progress.len()), (0, 0));
        pending.mark(0, marker(1));
        pending.reach(0, 14);
        assert_eq!(pending.newest[b"a".as_slice()].value, b"new");
        assert_eq!(pending.newest.len(), 2);
        assert_eq!(pending.progress[&0], 15);
        assert_eq!(pending.since, None);
    }

    #[test]
    fn a_marker_without_rows_holds_the_progress_too() {
        let marker = Marker {
            generation: 2,
            writer: 0,
            writers: 2,
        };
        let mut pending = pending(Some(1));
        pending.mark(0, marker);
        pending.reach(0, 7);
        assert!(pending.progress.is_empty(), "it is read again");
    }

    #[test]
    fn of_a_partition_that_is_taken_away_nothing_stays() {
        let mut pending = pending(Some(1));
        pending.give(1, Some(7), Some(1));
        pending.put(b"a", version(1, 5), 0, 10, b"ours");
        pending.reach(0, 10);
        pending.put(b"b", version(1, 5), 1, 7, b"theirs");
        pending.reach(1, 7);
        pending.put(b"c", version(2, 1), 1, 8, b"theirs, held back");
        pending.reach(1, 8);
        pending.put(b"d", version(2, 1), 0, 11, b"ours, held back");
        pending.reach(0, 11);
        pending.take(1);
        assert_eq!(
            pending.newest.keys().map(|key| &**key).collect::<Vec<_>>(),
            [b"a"]
        );
        assert_eq!(pending.progress, HashMap::from([(0, 11)]));
        assert!(pending.written.is_empty());
        pending.show_overdue("t");
        assert_eq!(pending.newest.len(), 1, "still held back");
        let marker = Marker {
            generation: 2,
            writer: 0,
            writers: 1,
        };
        pending.mark(0, marker);
        pending.reach(0, 12);
        assert_eq!(pending.newest.len(), 2);
        assert_eq!(pending.progress, HashMap::from([(0, 13)]));
    }

    #[test]
    fn at_the_limit_everything_is_written() {
        let mut pending = pending(Some(1));
        for number in 0..HELD_ROWS_MAX {
            pending.put(&number.to_le_bytes(), version(2, 1), 0, 0, b"");
        }
        pending.reach(0, 9);
        pending.show_overdue("t");
        assert_eq!(pending.newest.len(), 0);
        pending.put(b"one more", version(2, 1), 0, 0, b"");
        pending.show_overdue("t");
        assert_eq!(pending.newest.len(), HELD_ROWS_MAX + 1);
        assert_eq!(pending.progress[&0], 10);
    }
}
