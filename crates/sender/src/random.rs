//! Chance by seed: the same seed makes the same traffic on every machine.
//!
//! SplitMix64 (Steele, Lea, Flood 2014): one multiplication chain a number, and any number of the
//! sequence can be made without those before it.

/// A generator of 64-bit numbers. Not for secrets.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Mixes a number so that neighbours have nothing in common.
pub(crate) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(mix(seed ^ STEP))
    }

    /// A generator of its own for the `index`th thing of a seed.
    pub(crate) fn of(seed: u64, index: u64) -> Self {
        Self(mix(mix(seed ^ STEP) ^ index.wrapping_mul(STEP)))
    }

    /// Seeded by the clock, for what must differ between runs.
    pub(crate) fn from_clock() -> Self {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Self::new(u64::from(now.subsec_nanos()) ^ now.as_secs().rotate_left(32))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number below `bound`; 0 where the bound is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// One of a list that is not empty.
    pub(crate) fn pick<'l, T>(&mut self, list: &'l [T]) -> &'l T {
        debug_assert!(!list.is_empty());
        let index = usize::try_from(self.below(list.len() as u64)).unwrap_or(0);
        &list[index]
    }

    /// True `numerator` times out of `denominator`.
    pub(crate) fn one_in(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_sequence_and_bounds_hold() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            (0..1_000).map(|_| random.below(10)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        for number in 0..10 {
            let count = draw(7).iter().filter(|drawn| **drawn == number).count();
            assert!((60..140).contains(&count), "{number} came {count} times");
        }
        assert_eq!(Random::new(1).below(0), 0);
    }
}
