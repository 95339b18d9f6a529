//! How much state there is, and which of it moves out when it is more than the memory it may take.

use std::ops::AddAssign;

use super::rows::Rows;
use crate::classify::Classifier;
use crate::identities::Identities;
use crate::spill::{ScratchError, Spill};

/// How much state there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StateSize {
    /// Rows, wherever they are.
    pub rows: usize,
    /// Identities, wherever they are.
    pub identities: usize,
    /// Rows that are on disk alone.
    pub rows_spilled: usize,
    /// Identities that are on disk alone.
    pub identities_spilled: usize,
    /// Bytes in memory, at most; as [`SpillOptions::memory_bytes_max`](crate::SpillOptions) counts them.
    pub memory_bytes: usize,
    /// Bytes on disk.
    pub disk_bytes: u64,
}

impl AddAssign for StateSize {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.identities += other.identities;
        self.rows_spilled += other.rows_spilled;
        self.identities_spilled += other.identities_spilled;
        self.memory_bytes += other.memory_bytes;
        self.disk_bytes += other.disk_bytes;
    }
}

/// The state of one partition that can move out.
pub(super) struct Held<'a> {
    pub(super) rows: &'a mut Rows,
    pub(super) classifier: &'a mut Classifier,
}

/// Bytes in memory, at most.
pub(super) fn bytes_of(rows: &Rows, identities: &Identities) -> usize {
    rows.bytes() + identities.bytes()
}

pub(super) fn size_of_state(rows: &Rows, identities: &Identities) -> StateSize {
    StateSize {
        rows: rows.len(),
        identities: identities.len(),
        rows_spilled: rows.shelf().away(),
        identities_spilled: identities.away().len(),
        memory_bytes: bytes_of(rows, identities),
        disk_bytes: rows.shelf().disk_bytes() + identities.away().disk_bytes(),
    }
}

/// What moves out, in this order. That of an identity is nearly always answered by the filter, but a row that a batch changes must be
/// read again.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Identities,
    /// Those that no batch has changed since the last time.
    ColdRows,
    Rows,
}

impl Held<'_> {
    fn bytes(&self) -> usize {
        bytes_of(self.rows, &self.classifier.seen)
    }

    fn filter_bytes(&self) -> usize {
        self.rows.shelf().filter_bytes() + self.classifier.seen.away().filter_bytes()
    }

    /// What could move out.
    fn movable_bytes(&self, kind: Kind) -> usize {
        match kind {
            Kind::Identities => self.classifier.seen.bytes() - self.classifier.seen.away().bytes(),
            Kind::ColdRows | Kind::Rows => self.rows.bytes() - self.rows.shelf().bytes(),
        }
    }
}

/// Bytes of rows that move out beyond what has to. The more, the fewer pages of their tables are written twice, but the batch waits.
const ROWS_AT_ONCE_BYTES: usize = 64 << 20;
/// As [`ROWS_AT_ONCE_BYTES`], of identities, which costs the same however few they are: about a tenth of a second.
const IDENTITIES_AT_ONCE_BYTES: usize = 16 << 20;

/// Moves state out until it takes no more memory than it may, or nothing is left that could.
pub(super) fn settle(held: &mut [Held<'_>], spill: &Spill) -> Result<(), ScratchError> {
    loop {
        for kind in [Kind::Identities, Kind::ColdRows, Kind::Rows] {
            let excess = spill.excess(held.iter().map(Held::bytes).sum());
            if excess == 0 {
                return Ok(());
            }
            let at_once = match kind {
                Kind::Identities => IDENTITIES_AT_ONCE_BYTES,
                Kind::ColdRows | Kind::Rows => ROWS_AT_ONCE_BYTES,
            };
            move_out(held, spill, kind, excess + spill.beyond(at_once))?;
        }
        // Tables that were made may take more than what moved there.
        let movable =
            |held: &Held<'_>| held.movable_bytes(Kind::Identities) + held.movable_bytes(Kind::Rows);
        if held.iter().all(|held| movable(held) == 0) {
            return Ok(());
        }
    }
}

/// Of each partition in proportion to what it has.
fn move_out(
    held: &mut [Held<'_>],
    spill: &Spill,
    kind: Kind,
    bytes: usize,
) -> Result<(), ScratchError> {
    let movable: usize = held.iter().map(|held| held.movable_bytes(kind)).sum();
    for index in 0..held.len() {
        let filter_bytes = held.iter().map(Held::filter_bytes).sum();
        let Some(one) = held.get_mut(index) else {
            continue;
        };
        let share = one.movable_bytes(kind) as u128 * bytes as u128;
        let share = share.div_ceil(movable.max(1) as u128);
        let share = usize::try_from(share).unwrap_or(usize::MAX);
        if share == 0 {
            continue;
        }
        let out = spill.out(filter_bytes);
        match kind {
            Kind::Identities => one.classifier.seen.move_out(out, share)?,
            Kind::ColdRows => one.rows.move_out(out, share, false)?,
            Kind::Rows => one.rows.move_out(out, share, true)?,
        }
    }
    Ok(())
}
