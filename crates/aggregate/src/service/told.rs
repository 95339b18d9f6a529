//! What readers were told of the counts: only what has changed since is sent.
//!
//! # Invariants
//!
//! - **Told is what was committed.** Counts that went into a transaction which was aborted are due again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use types::{BusinessDay, Counts};

/// Counts are told at most this often; the changelog has them with every batch.
const COUNTS_INTERVAL: Duration = Duration::from_millis(200);

/// By partition of the input and day.
pub(super) type CountsNow = BTreeMap<(i32, BusinessDay), Counts>;

/// See the module.
#[derive(Debug)]
pub(super) struct Told {
    counts: CountsNow,
    at: Instant,
}

impl Told {
    /// Nothing yet.
    pub(super) fn new(at: Instant) -> Self {
        Self {
            counts: CountsNow::new(),
            at,
        }
    }

    /// All counts, if some are to be told.
    pub(super) fn due(
        &self,
        now: impl Iterator<Item = ((i32, BusinessDay), Counts)>,
        at: Instant,
    ) -> Option<CountsNow> {
        if at.saturating_duration_since(self.at) < COUNTS_INTERVAL {
            return None;
        }
        let now: CountsNow = now.collect();
        let is_due = self.changed(&now).next().is_some();
        is_due.then_some(now)
    }

    /// Those of them that were told otherwise, or not at all.
    pub(super) fn changed<'n>(
        &self,
        now: &'n CountsNow,
    ) -> impl Iterator<Item = (&'n (i32, BusinessDay), &'n Counts)> {
        now.iter()
            .filter(|(of, counts)| self.counts.get(*of) != Some(*counts))
    }

    /// A transaction with these was committed.
    pub(super) fn commit(&mut self, now: CountsNow, at: Instant) {
        (self.counts, self.at) = (now, at);
    }

    /// A partition is another process's.
    pub(super) fn forget(&mut self, partition: i32) {
        self.counts.retain(|(of, _), _| *of != partition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_due_until_they_are_committed() {
        let counted = |counted| Counts {
            counted,
            ..Counts::default()
        };
        let of = |partition| (partition, BusinessDay::EPOCH);
        let begin = Instant::now();
        let later = begin + COUNTS_INTERVAL;
        let mut told = Told::new(begin);
        let now = [(of(0), counted(1)), (of(1), counted(5))];
        assert_eq!(told.due(now.into_iter(), begin), None, "not so soon");
        let due = told.due(now.into_iter(), later);
        assert_eq!(due, Some(now.into_iter().collect()));
        // The transaction that had them was aborted.
        let due = told.due(now.into_iter(), later).expect("due again");
        told.commit(due, later);
        let at = later + COUNTS_INTERVAL;
        assert_eq!(told.due(now.into_iter(), at), None, "nothing has changed");
        let now = [(of(0), counted(1)), (of(1), counted(6))];
        let due = told.due(now.into_iter(), at).expect("one has");
        let changed: Vec<_> = told.changed(&due).collect();
        assert_eq!(changed, [(&of(1), &counted(6))]);
        told.commit(due, at);
        told.forget(0);
        let at = at + COUNTS_INTERVAL;
        let due = told.due(now.into_iter(), at).expect("it is ours again");
        assert_eq!(told.changed(&due).count(), 1);
    }
}
