//! The version of a result row.

use std::fmt;

/// Version of a result row: what decides which of two states of a row is newer (DESIGN §2).
///
/// `generation` rises on any change of engine, SQL, schema or topic; `sequence` is the number of
/// records folded into the row so far. Within a generation equal versions mean equal rows.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Which definition of the aggregation made the row.
    pub generation: u32,
    /// Records folded into the row, late, reversing and hidden ones included.
    pub sequence: u64,
}

impl Version {
    /// Bits of a store's write timestamp that the sequence takes.
    const SEQUENCE_BITS: u32 = 40;

    /// One number that orders versions: `generation·2^40 + sequence`, for stores that compare
    /// timestamps. `None` when the sequence needs more than 40 bits.
    pub fn timestamp(self) -> Option<i64> {
        if self.sequence >> Self::SEQUENCE_BITS != 0 {
            return None;
        }
        let high = i64::from(self.generation).checked_mul(1 << Self::SEQUENCE_BITS)?;
        high.checked_add(i64::try_from(self.sequence).ok()?)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.generation, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_outweighs_any_sequence() {
        let old = Version {
            generation: 1,
            sequence: (1 << 40) - 1,
        };
        let new = Version {
            generation: 2,
            sequence: 0,
        };
        assert!(old < new && old.timestamp() < new.timestamp());
        let too_far = Version {
            generation: 1,
            sequence: 1 << 40,
        };
        assert_eq!(too_far.timestamp(), None);
    }
}
