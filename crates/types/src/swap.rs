//! How readers of a results topic go from one generation to the next at once.
//!
//! A changed definition counts the kept days anew, partition after partition. Each writer ends its part with a marker on every
//! partition of the results topic. Readers hold the rows of the new generation back until they have read the markers of all
//! writers on all partitions, and then show all of it.
//!
//! # Invariants
//!
//! - **Never frozen.** What is held back is shown after [`HOLD_TIME_MAX`] or above [`HELD_ROWS_MAX`], complete or not.
//! - **Only against something.** A reader that has not seen an older generation holds nothing back.

use std::collections::BTreeSet;
use std::time::Duration;

/// Longest time that rows are held back.
pub const HOLD_TIME_MAX: Duration = Duration::from_secs(600);
/// Most rows that are held back.
pub const HELD_ROWS_MAX: usize = 1_000_000;

/// A writer has published all rows of a generation that are its.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Marker {
    /// The generation.
    pub generation: u32,
    /// The writer: a partition of what is counted.
    pub writer: i32,
    /// How many writers there are.
    pub writers: i32,
}

impl Marker {
    /// Key of its record: an object, where a row's is an array.
    pub fn key(&self) -> String {
        format!("{{\"marker\":[{},{}]}}", self.generation, self.writer)
    }

    /// Value of its record.
    pub fn value(&self) -> String {
        format!(
            "{{\"marker\":[{},{}],\"of\":{}}}",
            self.generation, self.writer, self.writers
        )
    }

    /// Whether a record of a results topic is a marker and no row.
    pub fn is_key(key: &[u8]) -> bool {
        key.first() == Some(&b'{')
    }

    /// Reads a record; `None` when it is none, or not understood.
    pub fn parse(key: &[u8], value: &[u8]) -> Option<Self> {
        if !Self::is_key(key) {
            return None;
        }
        let text = std::str::from_utf8(value).ok()?;
        let rest = text.strip_prefix("{\"marker\":[")?;
        let (both, of) = rest.split_once("],\"of\":")?;
        let (generation, writer) = both.split_once(',')?;
        Some(Self {
            generation: generation.parse().ok()?,
            writer: writer.parse().ok()?,
            writers: of.strip_suffix('}')?.parse().ok()?,
        })
    }
}

/// Where a reader of one results topic is between two generations.
#[derive(Debug, Clone)]
pub struct Swap {
    /// Partitions of the results topic.
    partitions: usize,
    /// Newest generation that is shown; `None` before anything is.
    shown: Option<u32>,
    next: Option<Next>,
}

#[derive(Debug, Clone)]
struct Next {
    generation: u32,
    /// Partition of the results topic, and writer.
    seen: BTreeSet<(i32, i32)>,
    writers: Option<i32>,
}

impl Swap {
    /// `shown` is the generation of what the reader has already, from the store.
    pub fn new(partitions: usize, shown: Option<u32>) -> Self {
        Self {
            partitions,
            shown,
            next: None,
        }
    }

    /// A row was read: whether it must be held back.
    pub fn holds(&mut self, generation: u32) -> bool {
        let Some(shown) = self.shown else {
            self.show(generation);
            return false;
        };
        if generation <= shown {
            return false;
        }
        self.begin(generation);
        true
    }

    /// A marker was read from a partition of the results topic: whether everything that is held back is to be shown now.
    pub fn completes(&mut self, partition: i32, marker: Marker) -> bool {
        if self.shown.is_some_and(|shown| marker.generation <= shown) {
            return false;
        }
        self.begin(marker.generation);
        let Some(next) = &mut self.next else {
            return false;
        };
        if next.generation > marker.generation {
            return false;
        }
        next.seen.insert((partition, marker.writer));
        next.writers = Some(marker.writers);
        let (seen, all) = self.seen();
        if seen < all {
            return false;
        }
        self.release();
        true
    }

    /// Whether there is a newer generation than the one that is shown.
    pub fn is_open(&self) -> bool {
        self.next.is_some()
    }

    /// Shows what is held back, complete or not. Returns the generation.
    pub fn release(&mut self) -> Option<u32> {
        let generation = self.next.take()?.generation;
        self.show(generation);
        Some(generation)
    }

    /// Markers that were read of the generation that is held back, and how many there will be; the latter is 0 while nobody has
    /// said so.
    pub fn seen(&self) -> (usize, usize) {
        let Some(next) = &self.next else {
            return (0, 0);
        };
        let writers = usize::try_from(next.writers.unwrap_or(0)).unwrap_or(0);
        let known = next.seen.iter().filter(|(partition, _)| {
            usize::try_from(*partition).is_ok_and(|partition| partition < self.partitions)
        });
        (known.count(), writers * self.partitions)
    }

    fn begin(&mut self, generation: u32) {
        if self
            .next
            .as_ref()
            .is_none_or(|next| next.generation < generation)
        {
            self.next = Some(Next {
                generation,
                seen: BTreeSet::new(),
                writers: None,
            });
        }
    }

    fn show(&mut self, generation: u32) {
        self.shown = Some(generation);
        if self
            .next
            .as_ref()
            .is_some_and(|next| next.generation <= generation)
        {
            self.next = None;
        }
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

    #[test]
    fn rows_of_a_new_generation_wait_for_all_writers_on_all_partitions() {
        let mut swap = Swap::new(2, Some(3));
        assert!(!swap.holds(3), "of the one that is shown");
        assert!(swap.holds(4));
        assert!(!swap.completes(0, marker(4, 0)));
        assert!(!swap.completes(0, marker(4, 0)), "the same again");
        assert!(!swap.completes(1, marker(4, 0)));
        assert!(!swap.completes(0, marker(4, 1)));
        assert!(swap.holds(4));
        assert!(!swap.holds(3), "somebody still counts the old one");
        assert!(!swap.completes(1, marker(3, 1)), "an old marker");
        assert_eq!(swap.seen(), (3, 4));
        assert!(swap.completes(1, marker(4, 1)));
        assert!(!swap.holds(4));
        assert!(!swap.completes(1, marker(4, 1)), "read again");
    }

    #[test]
    fn a_reader_that_shows_nothing_holds_nothing_back() {
        let mut swap = Swap::new(1, None);
        assert!(!swap.completes(0, marker(7, 0)));
        assert!(!swap.holds(7));
        assert!(!swap.completes(0, marker(7, 1)), "nothing is held back");
        assert!(swap.holds(8));
    }

    #[test]
    fn a_still_newer_generation_begins_anew() {
        let mut swap = Swap::new(1, Some(1));
        assert!(swap.holds(2));
        assert!(!swap.completes(0, marker(2, 0)));
        assert!(swap.holds(3));
        assert!(!swap.completes(0, marker(2, 1)), "of one that was given up");
        assert!(!swap.completes(0, marker(3, 0)));
        assert!(swap.holds(2), "it goes with the newer one");
        assert!(swap.completes(0, marker(3, 1)));
        assert!(!swap.holds(2));
    }

    #[test]
    fn what_is_incomplete_can_be_shown() {
        let mut swap = Swap::new(1, Some(1));
        assert_eq!(swap.release(), None);
        assert!(swap.holds(2));
        assert_eq!(swap.release(), Some(2));
        assert!(!swap.holds(2));
    }

    #[test]
    fn markers_are_told_from_rows_and_read_back() {
        let marker = Marker {
            generation: 2,
            writer: 11,
            writers: 12,
        };
        let (key, value) = (marker.key(), marker.value());
        assert_eq!(key, r#"{"marker":[2,11]}"#);
        assert_eq!(value, r#"{"marker":[2,11],"of":12}"#);
        assert_eq!(
            Marker::parse(key.as_bytes(), value.as_bytes()),
            Some(marker)
        );
        assert_eq!(Marker::parse(br#"["2026-11-23"]"#, value.as_bytes()), None);
        for cut in 0..value.len() {
            let cut = &value.as_bytes()[..cut];
            assert_eq!(Marker::parse(key.as_bytes(), cut), None);
        }
    }
}
