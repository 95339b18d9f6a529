//! Says of most keys that are not in a table that they are not, without asking it: a Bloom filter in blocks of a cache line.

const BLOCK_BITS: usize = 512;
/// A new filter has so many bits an entry: 0.6 % of what is not there passes.
const BITS_AN_ENTRY: usize = 12;
/// With fewer it is made anew, twice as large: 7 % pass.
const BITS_AN_ENTRY_MIN: usize = 6;
/// Of a small one: 25 % pass.
const BITS_AN_ENTRY_SMALL: usize = 4;
/// Bits that an entry sets.
const PROBES: u32 = 6;

#[derive(Debug)]
pub(super) struct Filter {
    blocks: Vec<[u64; 8]>,
    /// Entries that set a bit, which is nearly all that were different.
    entries: usize,
}

impl Filter {
    /// Empty, for so many entries.
    pub(super) fn for_entries(entries: usize) -> Self {
        Self::with_bits(entries, BITS_AN_ENTRY)
    }

    /// Empty, for so many entries where memory is short.
    pub(super) fn small(entries: usize) -> Self {
        Self::with_bits(entries, BITS_AN_ENTRY_SMALL)
    }

    fn with_bits(entries: usize, bits_an_entry: usize) -> Self {
        let blocks = (entries * bits_an_entry).div_ceil(BLOCK_BITS).max(1);
        Self {
            blocks: vec![[0; 8]; blocks],
            entries: 0,
        }
    }

    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    pub(super) fn bytes(&self) -> usize {
        self.blocks.len() * BLOCK_BITS / 8
    }

    /// Whether so many more would be too many.
    pub(super) fn is_full_with(&self, more: usize) -> bool {
        (self.entries + more) * BITS_AN_ENTRY_MIN > self.blocks.len() * BLOCK_BITS
    }

    pub(super) fn insert(&mut self, hash: u64) {
        let (block, bits) = self.place(hash);
        let Some(block) = self.blocks.get_mut(block) else {
            return;
        };
        let mut is_new = false;
        for bit in bits {
            let (word, mask) = (bit / 64, 1 << (bit % 64));
            is_new |= block[word] & mask == 0;
            block[word] |= mask;
        }
        self.entries += usize::from(is_new);
    }

    /// `false`: it is not there.
    pub(super) fn may_have(&self, hash: u64) -> bool {
        let (block, mut bits) = self.place(hash);
        let block = self.blocks.get(block);
        block.is_some_and(|block| bits.all(|bit| block[bit / 64] >> (bit % 64) & 1 == 1))
    }

    /// The block, and which of its bits.
    fn place(&self, hash: u64) -> (usize, impl Iterator<Item = usize> + use<>) {
        let block = (u128::from(hash) * self.blocks.len() as u128) >> 64;
        let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let bits = (0..PROBES).map(move |probe| (mixed >> (9 * probe)) as usize % BLOCK_BITS);
        (block as usize, bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u64) -> u64 {
        rapidhash::v3::rapidhash_v3(&number.to_le_bytes())
    }

    #[test]
    fn what_is_there_passes_and_of_the_rest_as_much_as_is_said() {
        for (per_mille, filled) in [(6, 100_000), (70, 200_000)] {
            let mut filter = Filter::for_entries(100_000);
            assert_eq!(filter.bytes(), 150_016);
            (0..filled).for_each(|number| filter.insert(hash(number)));
            assert!((0..filled).all(|number| filter.may_have(hash(number))));
            let passed = (filled..filled + 100_000).filter(|number| filter.may_have(hash(*number)));
            let passed = passed.count() / 100;
            assert!(
                passed <= per_mille,
                "{passed} of 1,000 pass, not {per_mille}"
            );
            let known = filter.entries() as u64;
            assert!((filled * 97 / 100..=filled).contains(&known), "{known}");
        }
    }

    #[test]
    fn it_is_full_with_twice_the_entries_that_it_was_made_for() {
        let filter = Filter::for_entries(512);
        assert!(!filter.is_full_with(1_024));
        assert!(filter.is_full_with(1_025));
    }
}
