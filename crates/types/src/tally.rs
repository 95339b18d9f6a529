//! What went past a point of the path, in three numbers that do not depend on its order.

use crate::{Amount, Micros};

const MICROS_A_MINUTE: i64 = 60_000_000;

/// How many transactions went past, the sum of their amounts, and the sum of their ids' hashes.
///
/// Two points with equal tallies had, but for a chance of 2⁻⁶⁴, the same transactions. The units of
/// different currencies are added up all the same: this is a check, not a total.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Transactions.
    pub count: u64,
    /// Sum of the amounts in 1/100,000 of the major unit, modulo 2¹²⁸.
    pub units: i128,
    /// Sum of [`id_hash`], modulo 2⁶⁴.
    pub ids: u64,
}

impl Tally {
    /// Adds one transaction. Where the amount is not known `None`, at both points that are compared.
    pub fn add(&mut self, id: &[u8], amount: Option<Amount>) {
        self.merge(&Self {
            count: 1,
            units: amount.map_or(0, Amount::units),
            ids: id_hash(id),
        });
    }

    /// Adds what another tally counted.
    pub const fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.units = self.units.wrapping_add(other.units);
        self.ids = self.ids.wrapping_add(other.ids);
    }

    /// What this one has more than `other`; where it has less the numbers have wrapped.
    #[must_use]
    pub const fn minus(&self, other: &Self) -> Self {
        Self {
            count: self.count.wrapping_sub(other.count),
            units: self.units.wrapping_sub(other.units),
            ids: self.ids.wrapping_sub(other.ids),
        }
    }
}

/// FNV-1a with 64 bits, then the finalizer of MurmurHash3.
///
/// Without the second step hashes of ids that differ in their last digit alone differ by that digit,
/// so that sums of different ids are often equal.
pub fn id_hash(id: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in id {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// The minute an instant is in, counted from 1970 in UTC.
pub const fn minute_of(at: Micros) -> i64 {
    at.div_euclid(MICROS_A_MINUTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(ids: &[&str]) -> Tally {
        let mut tally = Tally::default();
        for id in ids {
            tally.add(id.as_bytes(), Amount::from_units(150_000));
        }
        tally
    }

    #[test]
    fn order_does_not_matter_and_everything_else_does() {
        assert_eq!(tally(&["a", "b", "c"]), tally(&["c", "a", "b"]));
        assert_ne!(tally(&["a", "b"]), tally(&["a", "c"]));
        assert_ne!(tally(&["a"]), tally(&["a", "a"]));
        // With FNV-1a alone these are equal.
        assert_ne!(tally(&["t0", "t1"]).ids, tally(&["t2", "t7"]).ids);
        let rest = tally(&["a", "b", "c"]).minus(&tally(&["a", "c"]));
        assert_eq!(rest, tally(&["b"]));
    }

    #[test]
    fn hashes_stay_as_they_are_because_logs_hold_them() {
        assert_eq!(id_hash(b""), 0xefd0_1f60_ba99_2926);
        assert_eq!(id_hash(b"t-1"), 0xfbf2_759c_b7ae_29c1);
    }

    #[test]
    fn minutes_go_on_before_1970() {
        assert_eq!(minute_of(0), 0);
        assert_eq!(minute_of(59_999_999), 0);
        assert_eq!(minute_of(60_000_000), 1);
        assert_eq!(minute_of(-1), -1);
    }
}
