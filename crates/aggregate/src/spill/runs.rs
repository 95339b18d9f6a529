//! Identities that moved out: sorted runs in files that never change.
//!
//! What moves out together becomes a run, written from front to end. Four runs of about one size are merged into one, a piece with each move,
//! so that there are few and no batch waits for a large merge. In memory a run has a filter, which answers nearly all that is new, and the
//! first word of each block, so that a look at the disk reads one block.
//!
//! A tree of pages (as of [`Shelf`](super::Shelf)) is of no use here: identities are hashes, so each of those that move out together goes to
//! a page of its own, which has to be read and written for it.
//!
//! # Invariants
//!
//! - **Files never change.** Which entries were taken out is noted in memory.
//! - **An identity is in one run**, once: whoever puts one has taken out what was there.
//! - **A merge has no effect until it is done**: until then its runs are asked.

use std::collections::BTreeMap;
use std::mem::take;
use std::sync::Arc;

use super::filter::Filter;
use super::{Chapters, Out, ScratchError, ScratchFile};
use crate::classify::Seen;
use crate::record::Identity;

/// An identity of a day.
pub(crate) type Entry = (Identity, Seen);

/// Key, content and day.
const ENTRY_BYTES: usize = 28;
/// Entries of a block, which a look reads: 4,088 bytes.
const BLOCK_ENTRIES: usize = 146;
const BLOCK_BYTES: usize = BLOCK_ENTRIES * ENTRY_BYTES;
/// Blocks that are written, or read for a merge, at once: 32 KiB.
const BLOCKS_AT_ONCE: usize = 8;
/// Runs of about one size that become one.
const RUNS_MERGED: usize = 4;
/// Entries of each size of runs that are merged for one that moves out. With one a merge would end when the next of its size begins.
const PACE: usize = 2;

/// Entries on disk, in chapters of some days.
#[derive(Debug)]
pub(crate) struct Runs {
    days: Chapters,
    /// Entries of days before this one are no longer there.
    first: i32,
    chapters: BTreeMap<i32, Vec<Kept>>,
    merges: Vec<Merge>,
}

/// A run, and what is still in it.
#[derive(Debug)]
struct Kept {
    run: Arc<Run>,
    /// Entries by day, without those that were taken out.
    days: BTreeMap<i32, usize>,
    /// One bit an entry that was taken out, once there is one.
    gone: Vec<u64>,
}

#[derive(Debug)]
struct Run {
    file: Box<dyn ScratchFile>,
    entries: usize,
    /// First word of the first key of each block.
    fences: Vec<u64>,
    filter: Filter,
}

/// A run that is being written.
#[derive(Debug)]
struct Building {
    run: Run,
    days: BTreeMap<i32, usize>,
    buffer: Vec<u8>,
}

/// Runs of a chapter that become one.
#[derive(Debug)]
struct Merge {
    /// The chapter, and the size of the runs: a power of [`RUNS_MERGED`].
    place: (i32, u32),
    inputs: Vec<Cursor>,
    building: Building,
}

/// Goes through a run.
#[derive(Debug)]
struct Cursor {
    run: Arc<Run>,
    gone: Vec<u64>,
    /// The entry that is next.
    at: usize,
    buffer: Vec<u8>,
    /// The entry that the buffer begins with.
    buffered: usize,
}

impl Runs {
    /// For a map that keeps so many days.
    pub(crate) fn new(keep_days: Option<u16>) -> Self {
        Self {
            days: Chapters::new(keep_days),
            first: i32::MIN,
            chapters: BTreeMap::new(),
            merges: Vec::new(),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Kept> {
        self.chapters.values().flatten()
    }

    /// Whether nothing has moved out.
    pub(crate) fn is_empty(&self) -> bool {
        self.chapters.is_empty()
    }

    /// Entries.
    pub(crate) fn len(&self) -> usize {
        self.all().map(|kept| kept.entries(self.first)).sum()
    }

    /// What they take in memory.
    pub(crate) fn bytes(&self) -> usize {
        let kept = self
            .all()
            .map(|kept| kept.run.bytes() + size_of_val(&*kept.gone));
        let merges = self.merges.iter().map(Merge::bytes);
        kept.sum::<usize>() + merges.sum::<usize>()
    }

    /// What of it are filters.
    pub(crate) fn filter_bytes(&self) -> usize {
        self.all().map(|kept| kept.run.filter.bytes()).sum()
    }

    pub(crate) fn disk_bytes(&self) -> u64 {
        let merging = self.merges.iter().map(|merge| merge.building.run.entries);
        let entries = self.all().map(|kept| kept.run.entries).chain(merging);
        (entries.sum::<usize>() * ENTRY_BYTES) as u64
    }

    /// Moves entries of a day here, which are in the order of their keys and not there yet.
    pub(crate) fn put(
        &mut self,
        out: Out<'_>,
        day: i32,
        entries: &[(Identity, u64)],
    ) -> Result<(), ScratchError> {
        let mut building = Building::new(out, entries.len())?;
        for (identity, content) in entries {
            let seen = Seen {
                content: *content,
                day,
            };
            building.push((*identity, seen))?;
        }
        let chapter = self.days.of(day);
        self.chapters
            .entry(chapter)
            .or_default()
            .push(building.finish()?);
        self.merge(out, entries.len())
    }

    /// What an identity was seen with.
    pub(crate) fn find(&self, identity: &Identity) -> Result<Option<Seen>, ScratchError> {
        for kept in self.all() {
            if let Some((_, seen)) = kept.find(identity, self.first)? {
                return Ok(Some(seen));
            }
        }
        Ok(None)
    }

    /// Takes an identity out.
    pub(crate) fn take(&mut self, identity: &Identity) -> Result<Option<Seen>, ScratchError> {
        for kept in self.chapters.values_mut().flatten() {
            if let Some((place, seen)) = kept.find(identity, self.first)? {
                kept.note_gone(place, seen.day);
                // It may have been copied already. They are few and rare: a restore that is given something twice.
                let run = &kept.run;
                self.merges.retain(|merge| !merge.is_of(run));
                return Ok(Some(seen));
            }
        }
        Ok(None)
    }

    /// Drops all.
    pub(crate) fn clear(&mut self) {
        self.chapters.clear();
        self.merges.clear();
    }

    /// Drops entries of days before `first`. Files of which something is left keep it until they are merged.
    pub(crate) fn drop_before(&mut self, first: i32) {
        self.first = first.max(self.first);
        let first = self.first;
        self.chapters.retain(|_, runs| {
            runs.retain(|kept| kept.entries(first) > 0);
            !runs.is_empty()
        });
        let chapters = &self.chapters;
        self.merges
            .retain(|merge| chapters.contains_key(&merge.place.0));
    }

    /// Goes through all entries, in no order.
    pub(crate) fn each(&self, mut each: impl FnMut(Entry)) -> Result<(), ScratchError> {
        for kept in self.all() {
            let mut cursor = Cursor::new(kept);
            while let Some(entry) = cursor.next(self.first)? {
                each(entry);
            }
        }
        Ok(())
    }

    /// Goes on with merges after so many entries were put, each of one size and chapter, and begins those that there is reason to.
    fn merge(&mut self, out: Out<'_>, put: usize) -> Result<(), ScratchError> {
        self.begin_merges(out)?;
        let entries = put.saturating_mul(PACE);
        for mut merge in take(&mut self.merges) {
            match merge.advance(entries, self.first)? {
                true => self.end_merge(merge)?,
                false => self.merges.push(merge),
            }
        }
        Ok(())
    }

    /// Of runs of a size and chapter of which there are enough.
    fn begin_merges(&mut self, out: Out<'_>) -> Result<(), ScratchError> {
        let mut by_size = BTreeMap::<(i32, u32), Vec<&Kept>>::new();
        for (chapter, runs) in &self.chapters {
            // Sizes change as days end: one that is in a merge may have another by now.
            let is_free = |kept: &&Kept| !self.merges.iter().any(|merge| merge.is_of(&kept.run));
            for kept in runs.iter().filter(is_free) {
                let size = kept.entries(self.first).max(1).ilog(RUNS_MERGED);
                by_size.entry((*chapter, size)).or_default().push(kept);
            }
        }
        let is_merged = |place| self.merges.iter().any(|merge| merge.place == place);
        let mut begun = Vec::new();
        for (place, mut runs) in by_size {
            if runs.len() < RUNS_MERGED || is_merged(place) {
                continue;
            }
            runs.truncate(RUNS_MERGED);
            let entries = runs.iter().map(|kept| kept.entries(self.first)).sum();
            begun.push(Merge {
                place,
                inputs: runs.into_iter().map(Cursor::new).collect(),
                building: Building::new(out, entries)?,
            });
        }
        self.merges.extend(begun);
        Ok(())
    }

    /// Puts the merged run in the place of those that it is of.
    fn end_merge(&mut self, merge: Merge) -> Result<(), ScratchError> {
        // It is gone if all its days are over.
        if let Some(runs) = self.chapters.get_mut(&merge.place.0) {
            runs.retain(|kept| !merge.is_of(&kept.run));
            runs.push(merge.building.finish()?);
        }
        self.drop_before(self.first);
        Ok(())
    }
}

impl Kept {
    /// Entries of days from `first` on.
    fn entries(&self, first: i32) -> usize {
        self.days.range(first..).map(|(_, entries)| entries).sum()
    }

    /// The place of an identity, and what it was seen with.
    fn find(&self, identity: &Identity, first: i32) -> Result<Option<(usize, Seen)>, ScratchError> {
        let found = self.run.find(identity)?;
        Ok(found.filter(|(place, seen)| seen.day >= first && !is_set(&self.gone, *place)))
    }

    fn note_gone(&mut self, place: usize, day: i32) {
        if self.gone.is_empty() {
            self.gone = vec![0; self.run.entries.div_ceil(64)];
        }
        if let Some(word) = self.gone.get_mut(place / 64) {
            *word |= 1 << (place % 64);
        }
        if let Some(entries) = self.days.get_mut(&day) {
            *entries = entries.saturating_sub(1);
        }
    }
}

fn is_set(bits: &[u64], place: usize) -> bool {
    let word = bits.get(place / 64);
    word.is_some_and(|word| word >> (place % 64) & 1 == 1)
}

impl Run {
    fn bytes(&self) -> usize {
        self.filter.bytes() + size_of_val(&*self.fences)
    }

    /// Reads at most one block, but where the first word of a key is that of another.
    fn find(&self, identity: &Identity) -> Result<Option<(usize, Seen)>, ScratchError> {
        let word = identity[0];
        if !self.filter.may_have(word) {
            return Ok(None);
        }
        // In the last block that begins with less, or in those behind it that begin with the same.
        let mut block = self
            .fences
            .partition_point(|fence| *fence < word)
            .saturating_sub(1);
        while self.fences.get(block).is_some_and(|fence| *fence <= word) {
            let mut bytes = [0; BLOCK_BYTES];
            let begin = block * BLOCK_ENTRIES;
            let entries = BLOCK_ENTRIES.min(self.entries - begin);
            let (bytes, _) = bytes.split_at_mut(entries * ENTRY_BYTES);
            self.file.read_at(bytes, (begin * ENTRY_BYTES) as u64)?;
            let (entries, _) = bytes.as_chunks();
            if let Ok(place) = entries.binary_search_by_key(identity, |entry| decode(entry).0) {
                let (_, seen) = decode(&entries[place]);
                return Ok(Some((begin + place, seen)));
            }
            block += 1;
        }
        Ok(None)
    }
}

impl Building {
    /// For so many entries.
    fn new(out: Out<'_>, entries: usize) -> Result<Self, ScratchError> {
        Ok(Self {
            run: Run {
                file: out.scratch.file()?,
                entries: 0,
                fences: Vec::with_capacity(entries.div_ceil(BLOCK_ENTRIES)),
                filter: match out.filters_may_grow {
                    true => Filter::for_entries(entries),
                    false => Filter::small(entries),
                },
            },
            days: BTreeMap::new(),
            buffer: Vec::with_capacity(BLOCKS_AT_ONCE * BLOCK_BYTES),
        })
    }

    /// Adds the next one in the order of the keys.
    fn push(&mut self, entry: Entry) -> Result<(), ScratchError> {
        let (identity, seen) = entry;
        if self.run.entries.is_multiple_of(BLOCK_ENTRIES) {
            self.run.fences.push(identity[0]);
        }
        self.run.filter.insert(identity[0]);
        self.run.entries += 1;
        *self.days.entry(seen.day).or_default() += 1;
        self.buffer.extend_from_slice(&encode(&entry));
        if self.buffer.len() >= BLOCKS_AT_ONCE * BLOCK_BYTES {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), ScratchError> {
        self.run.file.append(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<Kept, ScratchError> {
        if !self.buffer.is_empty() {
            self.write()?;
        }
        Ok(Kept {
            run: Arc::new(self.run),
            days: self.days,
            gone: Vec::new(),
        })
    }
}

impl Merge {
    fn is_of(&self, run: &Arc<Run>) -> bool {
        let mut inputs = self.inputs.iter();
        inputs.any(|input| Arc::ptr_eq(&input.run, run))
    }

    fn bytes(&self) -> usize {
        let gone = self.inputs.iter().map(|input| size_of_val(&*input.gone));
        let buffers = (RUNS_MERGED + 1) * BLOCKS_AT_ONCE * BLOCK_BYTES;
        buffers + gone.sum::<usize>() + self.building.run.bytes()
    }

    /// Goes on by so many entries; whether it is at its end.
    fn advance(&mut self, entries: usize, first: i32) -> Result<bool, ScratchError> {
        for _ in 0..entries {
            let mut least: Option<(usize, Entry)> = None;
            for (index, input) in self.inputs.iter_mut().enumerate() {
                if let Some(entry) = input.peek(first)?
                    && least.is_none_or(|(_, least)| entry.0 < least.0)
                {
                    least = Some((index, entry));
                }
            }
            let Some((index, entry)) = least else {
                return Ok(true);
            };
            self.building.push(entry)?;
            self.inputs[index].at += 1;
        }
        Ok(false)
    }
}

impl Cursor {
    fn new(kept: &Kept) -> Self {
        Self {
            run: Arc::clone(&kept.run),
            gone: kept.gone.clone(),
            at: 0,
            buffer: Vec::new(),
            buffered: 0,
        }
    }

    /// The next entry, which stays the next.
    fn peek(&mut self, first: i32) -> Result<Option<Entry>, ScratchError> {
        while self.at < self.run.entries {
            let entry = self.read()?;
            if entry.1.day >= first && !is_set(&self.gone, self.at) {
                return Ok(Some(entry));
            }
            self.at += 1;
        }
        Ok(None)
    }

    fn next(&mut self, first: i32) -> Result<Option<Entry>, ScratchError> {
        let entry = self.peek(first)?;
        self.at += 1;
        Ok(entry)
    }

    /// The entry at the place.
    fn read(&mut self) -> Result<Entry, ScratchError> {
        let place = self.at - self.buffered;
        let (entries, _) = self.buffer.as_chunks();
        if let Some(entry) = entries.get(place) {
            return Ok(decode(entry));
        }
        let entries = (self.run.entries - self.at).min(BLOCKS_AT_ONCE * BLOCK_ENTRIES);
        self.buffer.resize(entries * ENTRY_BYTES, 0);
        self.run
            .file
            .read_at(&mut self.buffer, (self.at * ENTRY_BYTES) as u64)?;
        self.buffered = self.at;
        let (entries, _) = self.buffer.as_chunks();
        entries.first().map(decode).ok_or(ScratchError::Damaged)
    }
}

fn encode(([low, high], seen): &Entry) -> [u8; ENTRY_BYTES] {
    let mut bytes = [0; ENTRY_BYTES];
    bytes[..8].copy_from_slice(&low.to_le_bytes());
    bytes[8..16].copy_from_slice(&high.to_le_bytes());
    bytes[16..24].copy_from_slice(&seen.content.to_le_bytes());
    bytes[24..].copy_from_slice(&seen.day.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; ENTRY_BYTES]) -> Entry {
    let word = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[at..at + 8]);
        u64::from_le_bytes(word)
    };
    let mut day = [0; 4];
    day.copy_from_slice(&bytes[24..]);
    let seen = Seen {
        content: word(16),
        day: i32::from_le_bytes(day),
    };
    ([word(0), word(8)], seen)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::Ordering::Relaxed;

    use super::super::testing;
    use super::*;
    use crate::record::identity_hash;

    /// An identity, and what it is put with.
    fn entry(number: u64) -> (Identity, u64) {
        (identity_hash("runs", &number.to_string()), number)
    }

    fn sorted(numbers: impl Iterator<Item = u64>) -> Vec<(Identity, u64)> {
        let mut entries: Vec<_> = numbers.map(entry).collect();
        entries.sort_unstable();
        entries
    }

    fn all_of(runs: &Runs) -> BTreeMap<Identity, Seen> {
        let mut all = BTreeMap::new();
        let each = |(identity, seen)| {
            let before = all.insert(identity, seen);
            assert_eq!(before, None, "{identity:?} is there twice");
        };
        runs.each(each).expect("reads");
        assert_eq!(all.len(), runs.len());
        all
    }

    fn runs_of(runs: &Runs) -> Vec<usize> {
        runs.all().map(|kept| kept.run.entries).collect()
    }

    #[test]
    fn what_was_put_is_found_and_nothing_else() {
        let (spill, _) = testing::spill(1 << 30, i64::MAX);
        let mut runs = Runs::new(Some(2));
        assert!(runs.is_empty());
        // At, below and above the ends of blocks, and of what is written at once.
        let counts = [1, 145, 146, 147, 292, 1_167, 1_168, 1_169, 20_000];
        let mut first = 0;
        for (day, count) in (20..).zip(counts) {
            runs.put(spill.out(0), day, &sorted(first..first + count))
                .expect("writes");
            for number in (first..first + count).step_by(7) {
                let (identity, content) = entry(number);
                let found = runs.find(&identity).expect("reads");
                assert_eq!(found, Some(Seen { content, day }), "{number} of {count}");
            }
            first += count;
        }
        assert_eq!(runs.len() as u64, first);
        assert_eq!(runs.disk_bytes(), first * 28);
        for number in first..first + 20_000 {
            assert_eq!(runs.find(&entry(number).0).expect("reads"), None);
        }
        assert_eq!(all_of(&runs).len() as u64, first);
    }

    /// Hashes do not, but nothing else may be lost if they do.
    #[test]
    fn keys_that_begin_with_the_same_word_are_found_in_whichever_block() {
        let (spill, _) = testing::spill(1 << 30, i64::MAX);
        let mut runs = Runs::new(None);
        let of = |word: u64, count: u64| (0..count).map(move |low| ([word, low * 2], low));
        let entries: Vec<_> = of(1, 100).chain(of(5, 500)).chain(of(9, 92)).collect();
        runs.put(spill.out(0), 3, &entries).expect("writes");
        for (identity, content) in &entries {
            let found = runs.find(identity).expect("reads").expect("it is there");
            assert_eq!(found.content, *content);
            let [word, low] = *identity;
            assert_eq!(runs.find(&[word, low + 1]).expect("reads"), None);
        }
        for word in [0, 4, 8, 10] {
            assert_eq!(runs.find(&[word, 0]).expect("reads"), None);
        }
    }

    #[test]
    fn where_memory_is_short_filters_are_small_and_nothing_is_lost() {
        let (spill, calls) = testing::spill(1 << 30, i64::MAX);
        let mut runs = Runs::new(None);
        let full = spill.out(spill.memory_bytes_max);
        runs.put(full, 3, &sorted(0..10_000)).expect("writes");
        assert_eq!(runs.filter_bytes(), 5_056, "4 bits an entry");
        assert!(
            (0..10_000).all(|number| runs.find(&entry(number).0).is_ok_and(|seen| seen.is_some()))
        );
        let before = calls.load(Relaxed);
        for number in 10_000..20_000 {
            assert_eq!(runs.find(&entry(number).0).expect("reads"), None);
        }
        let read = before - calls.load(Relaxed);
        assert!(
            (1_000..2_500).contains(&read),
            "{read} of 10,000 were looked for on disk"
        );
    }

    #[test]
    fn runs_of_a_size_become_one_and_few_are_left() {
        let (spill, _) = testing::spill(1 << 30, i64::MAX);
        let mut runs = Runs::new(Some(2));
        let mut most = 0;
        for step in 0..1_000 {
            runs.put(spill.out(0), 20, &sorted(step * 100..(step + 1) * 100))
                .expect("writes");
            most = most.max(runs_of(&runs).len());
        }
        assert_eq!(runs.len(), 100_000);
        // 100 entries 1,000 times are five sizes: four each may be in a merge, while three more come.
        assert!((8..=35).contains(&most), "{most} runs");
        let all = all_of(&runs);
        assert!((0..100_000).all(|number| all.contains_key(&entry(number).0)));
    }

    #[test]
    fn each_move_merges_no_more_than_its_share() {
        let (spill, calls) = testing::spill(1 << 30, i64::MAX);
        let mut runs = Runs::new(Some(2));
        let mut most = 0;
        for step in 0..300 {
            let before = calls.load(Relaxed);
            runs.put(spill.out(0), 20, &sorted(step * 1_000..(step + 1) * 1_000))
                .expect("writes");
            most = most.max(before - calls.load(Relaxed));
        }
        // Each of the four sizes merges 2,000, which are read and written in pieces of 1,168; each of its four runs begins with one.
        assert!(most < 48, "{most} calls in one move, of 300,000 entries");
    }

    #[test]
    fn days_that_are_over_are_gone_at_once_and_their_files_when_they_can_be() {
        let (spill, _) = testing::spill(1 << 30, i64::MAX);
        // Chapters of two days.
        let mut runs = Runs::new(Some(16));
        for day in 0..6 {
            let first = u64::try_from(day).expect("small") * 1_000;
            runs.put(spill.out(0), day, &sorted(first..first + 1_000))
                .expect("writes");
        }
        assert_eq!(runs_of(&runs).len(), 6);
        runs.drop_before(3);
        assert_eq!(runs.len(), 3_000);
        assert_eq!(runs_of(&runs).len(), 3);
        assert_eq!(runs.find(&entry(2_999).0).expect("reads"), None);
        assert!(runs.find(&entry(3_000).0).expect("reads").is_some());
        // Runs of several days: what is over does not come back when they are merged.
        let mut runs = Runs::new(Some(16));
        for step in 0..8 {
            let first = step * 50;
            let day = i32::try_from(step % 2).expect("small");
            runs.put(spill.out(0), day, &sorted(first..first + 50))
                .expect("writes");
        }
        assert!(
            runs_of(&runs).iter().any(|entries| *entries > 50),
            "{:?}",
            runs_of(&runs)
        );
        runs.drop_before(1);
        assert_eq!(all_of(&runs).len(), 200);
        for step in 8..40 {
            runs.put(spill.out(0), 1, &sorted(step * 50..(step + 1) * 50))
                .expect("writes");
        }
        assert_eq!(all_of(&runs).len(), 200 + 32 * 50);
        runs.drop_before(2);
        assert!(runs.is_empty());
        assert_eq!((runs.len(), runs.disk_bytes()), (0, 0));
    }

    /// Against a map, with all that may happen in any order; `each` and `find` agree with it after every step.
    #[test]
    fn any_order_of_moves_takes_and_days_gives_what_a_map_gives() {
        for seed in 1..200_u64 {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut below = |limit: u64| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % limit
            };
            let (spill, _) = testing::spill(1 << 30, i64::MAX);
            let keep =
                [None, Some(1), Some(2), Some(20)][usize::try_from(below(4)).expect("small")];
            let (mut runs, mut map) = (Runs::new(keep), BTreeMap::new());
            let (mut number, mut first) = (0, 0);
            for _ in 0..60 {
                match below(10) {
                    0 if !map.is_empty() => {
                        first += i32::try_from(below(2)).expect("small");
                        runs.drop_before(first);
                        map.retain(|_, seen: &mut Seen| seen.day >= first);
                    }
                    1 | 2 => {
                        for _ in 0..below(20) {
                            let (identity, _) = entry(below(number + 1));
                            assert_eq!(
                                runs.take(&identity).expect("reads"),
                                map.remove(&identity),
                                "seed {seed}"
                            );
                        }
                    }
                    _ => {
                        let day = first + i32::try_from(below(3)).expect("small");
                        let count = 1 + below(400);
                        let again = (0..below(3)).map(|_| below(number + 1));
                        // What is put again has been taken out before.
                        let again: Vec<u64> = again
                            .filter(|number| !map.contains_key(&entry(*number).0))
                            .collect();
                        let mut entries = sorted((number..number + count).chain(again));
                        entries.dedup();
                        number += count;
                        runs.put(spill.out(0), day, &entries).expect("writes");
                        map.extend(entries.iter().map(|(identity, content)| {
                            (
                                *identity,
                                Seen {
                                    content: *content,
                                    day,
                                },
                            )
                        }));
                    }
                }
                assert_eq!(runs.len(), map.len(), "seed {seed}");
                for _ in 0..20 {
                    let (identity, _) = entry(below(number + 50));
                    assert_eq!(
                        runs.find(&identity).expect("reads"),
                        map.get(&identity).copied(),
                        "seed {seed}"
                    );
                }
            }
            assert_eq!(all_of(&runs), map, "seed {seed}");
        }
    }
}
