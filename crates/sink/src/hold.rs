//! Which rows of a new generation wait, and until when: all of this sink's partitions of a results topic change over together.
//!
//! # Invariants
//!
//! - **Pure.** No clock, no I/O.
//! - A partition changes over when each writer's [`Marker`] was read from it, or when another sink has written its rows of the new
//!   generation already (its progress says so).

use std::collections::{BTreeMap, BTreeSet};

use types::Marker;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    /// This sink's partitions, and the newest generation that is shown of each; `None` where nothing is.
    shown: BTreeMap<i32, Option<u32>>,
    open: Option<Open>,
}

/// A generation that is held back.
#[derive(Debug)]
struct Open {
    generation: u32,
    /// Partition and writer.
    seen: BTreeSet<(i32, i32)>,
    writers: Option<i32>,
}

impl Hold {
    /// A partition is this sink's; `shown` is the newest generation of it in the store.
    pub(crate) fn give(&mut self, partition: i32, shown: Option<u32>) {
        self.shown.insert(partition, shown);
    }

    /// It no longer is. Says whether everything that is held back is to be shown now.
    pub(crate) fn take(&mut self, partition: i32) -> bool {
        self.shown.remove(&partition);
        if let Some(open) = &mut self.open {
            open.seen.retain(|(known, _)| *known != partition);
        }
        self.complete()
    }

    /// A row was read: whether it must be held back.
    pub(crate) fn holds(&mut self, partition: i32, generation: u32) -> bool {
        match self.shown.get_mut(&partition) {
            Some(Some(shown)) if generation <= *shown => false,
            Some(Some(_)) => {
                self.begin(generation);
                true
            }
            Some(shown) => {
                *shown = Some(generation);
                false
            }
            None => false,
        }
    }

    /// A marker was read: whether everything that is held back is to be shown now.
    pub(crate) fn marks(&mut self, partition: i32, marker: Marker) -> bool {
        let known = self.shown.get(&partition).copied().flatten();
        if known.is_some_and(|shown| marker.generation <= shown) {
            return false;
        }
        self.begin(marker.generation);
        match &mut self.open {
            Some(open) if open.generation == marker.generation => {
                open.seen.insert((partition, marker.writer));
                open.writers = Some(marker.writers);
            }
            _ => return false,
        }
        self.complete()
    }

    /// Whether something is held back.
    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Shows what is held back, complete or not. Returns the generation.
    pub(crate) fn release(&mut self) -> Option<u32> {
        let generation = self.open.take()?.generation;
        for shown in self.shown.values_mut() {
            *shown = (*shown).max(Some(generation));
        }
        Some(generation)
    }

    /// Partitions of this sink that have changed over, and all there are.
    pub(crate) fn seen(&self) -> (usize, usize) {
        let over = self
            .shown
            .keys()
            .filter(|partition| self.is_over(**partition));
        (over.count(), self.shown.len())
    }

    fn begin(&mut self, generation: u32) {
        if self
            .open
            .as_ref()
            .is_none_or(|open| open.generation < generation)
        {
            self.open = Some(Open {
                generation,
                seen: BTreeSet::new(),
                writers: None,
            });
        }
    }

    fn is_over(&self, partition: i32) -> bool {
        let Some(open) = &self.open else {
            return true;
        };
        let shown = self.shown.get(&partition).copied().flatten();
        if shown.is_some_and(|shown| shown >= open.generation) {
            return true;
        }
        let seen = open
            .seen
            .range((partition, i32::MIN)..=(partition, i32::MAX));
        let seen = i32::try_from(seen.count()).unwrap_or(i32::MAX);
        open.writers.is_some_and(|writers| seen >= writers)
    }

    fn complete(&mut self) -> bool {
        let (over, all) = self.seen();
        self.open.is_some() && over == all && self.release().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker(generation: u32, writer: i32) -> Marker {
        Marker {
            generation,
            writer,
            writers: 2,
        }
    }

    fn hold(partitions: &[(i32, Option<u32>)]) -> Hold {
        let mut hold = Hold::default();
        for (partition, shown) in partitions {
            hold.give(*partition, *shown);
        }
        hold
    }

    #[test]
    fn rows_of_a_new_generation_wait_for_all_writers_on_all_own_partitions() {
        let mut hold = hold(&[(1, Some(3)), (4, Some(3))]);
        assert!(!hold.holds(1, 3), "of the one that is shown");
        assert!(hold.holds(1, 4));
        assert!(!hold.marks(1, marker(4, 0)));
        assert!(!hold.marks(1, marker(4, 0)), "the same again");
        assert!(!hold.marks(4, marker(4, 0)));
        assert!(!hold.marks(1, marker(4, 1)));
        assert!(hold.holds(1, 4));
        assert!(!hold.holds(4, 3), "somebody still counts the old one");
        assert!(!hold.marks(4, marker(3, 1)), "an old marker");
        assert_eq!(hold.seen(), (1, 2));
        assert!(hold.marks(4, marker(4, 1)));
        assert!(!hold.holds(4, 4));
        assert!(!hold.marks(4, marker(4, 1)), "read again");
    }

    #[test]
    fn a_partition_that_shows_nothing_holds_nothing_back() {
        let mut hold = hold(&[(0, None)]);
        assert!(!hold.holds(0, 7));
        assert!(!hold.marks(0, marker(7, 1)), "nothing is held back");
        assert!(hold.holds(0, 8));
    }

    #[test]
    fn a_newer_generation_begins_again() {
        let mut hold = hold(&[(0, Some(1))]);
        assert!(!hold.marks(0, marker(2, 0)));
        assert!(hold.holds(0, 3));
        assert!(!hold.marks(0, marker(2, 1)), "of one that is overtaken");
        assert!(!hold.marks(0, marker(3, 0)));
        assert!(hold.marks(0, marker(3, 1)));
    }

    #[test]
    fn a_partition_that_another_sink_has_written_is_not_waited_for() {
        let mut hold = hold(&[(0, Some(1))]);
        assert!(hold.holds(0, 2));
        hold.give(1, Some(2));
        assert!(!hold.holds(1, 2));
        assert!(!hold.marks(0, marker(2, 0)));
        assert!(hold.marks(0, marker(2, 1)));
    }

    #[test]
    fn the_last_partition_that_was_waited_for_is_taken_away() {
        let mut hold = hold(&[(0, Some(1)), (1, Some(1))]);
        assert!(!hold.marks(0, marker(2, 0)));
        assert!(!hold.marks(0, marker(2, 1)));
        assert!(hold.take(1));
        assert!(!hold.is_open());
        assert!(!hold.take(0), "nothing is held back");
    }
}
