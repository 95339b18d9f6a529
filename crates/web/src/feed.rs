//! What the view needs of the log and the store: the hand-off, in blocking calls.

use std::time::Duration;

use types::BusinessDay;

use crate::error::FeedError;
use crate::row::Change;

/// Where an aggregation's rows come from. Implemented over the store and Kafka ([`crate::KafkaFeed`]),
/// and by a channel in tests. Lives on a thread of its own.
///
/// Contract, without which rows are lost: [`Feed::begin`] reads the store's progress **before** it
/// scans, and [`Feed::poll`] then hands over every record from that progress on.
pub trait Feed: Send {
    /// Begins, or begins again: hands over the stored rows of these days.
    ///
    /// # Errors
    ///
    /// [`FeedError`]; it is then called again, after a while.
    fn begin(
        &mut self,
        days: &[BusinessDay],
        each: &mut dyn FnMut(Change),
    ) -> Result<Beginning, FeedError>;

    /// Waits at most `wait` for records, then adds those there are to the batch.
    ///
    /// # Errors
    ///
    /// [`FeedError`]; what the batch holds already still counts. Then it must begin again.
    fn poll(&mut self, wait: Duration, batch: &mut Batch) -> Result<(), FeedError>;
}

/// Where a hand-off begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beginning {
    /// Names the log: letters and digits. Positions of another one are worth nothing.
    pub epoch: String,
    /// The store's progress: first offset of each partition that will be handed over.
    pub offsets: Vec<i64>,
    /// End of each partition now: reaching it is being caught up.
    pub ends: Vec<i64>,
}

/// What a poll brought.
#[derive(Debug, Default)]
pub struct Batch {
    /// Changes in the order of their partition.
    pub changes: Vec<Change>,
    /// Next offset of each partition that moved.
    pub reached: Vec<(usize, i64)>,
    /// Records that are no results. They are counted and passed over.
    pub unreadable: u64,
    /// Whether every partition has been read to its end.
    pub at_end: bool,
    /// Records that wait in the log, where that is known.
    pub lag: Option<i64>,
    /// Why nothing can be read at the moment, if so: what is shown may be out of date.
    pub trouble: Option<String>,
}

impl Batch {
    pub(crate) fn clear(&mut self) {
        self.changes.clear();
        self.reached.clear();
        self.unreadable = 0;
        self.at_end = false;
        self.lag = None;
        self.trouble = None;
    }
}
