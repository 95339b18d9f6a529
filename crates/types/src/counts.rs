//! What became of a day's records.

/// What became of the records of one day (DESIGN §2): the five counts add up to the input.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Added to their own, current day.
    pub counted: u64,
    /// Added, and take an earlier transaction back.
    pub reversing: u64,
    /// Known already; not added.
    pub duplicate: u64,
    /// Added to an earlier day that is still kept.
    pub late_corrected: u64,
    /// Set aside with a reason; not added.
    pub quarantined: u64,
}

impl Counts {
    /// Sum of the five.
    pub fn total(self) -> u64 {
        self.added() + self.duplicate + self.quarantined
    }

    /// Those that are in the totals.
    pub fn added(self) -> u64 {
        self.counted + self.reversing + self.late_corrected
    }
}
