//! Identities of the kept days: in memory, and those that moved out on disk.
//!
//! Those in memory are in shards, which move out whole: what a move takes depends on what moves, not on what stays. Which ones are away
//! matters little: what is new is answered by the filters, wherever the others are.

use std::collections::{BTreeMap, HashMap};

use crate::classify::Seen;
use crate::record::Identity;
use crate::spill::{Out, Runs, ScratchError};

/// What one takes at most: its 32 bytes and one of the table, which is at least 7/16 full.
pub(crate) const IDENTITY_BYTES: usize = (size_of::<(Identity, Seen)>() + 1) * 16 / 7;

/// A move takes this part of what is in memory, or some of them.
const SHARDS: usize = 64;

type Shard = HashMap<Identity, Seen, foldhash::fast::RandomState>;

/// Each is in one place: one that moved out never changes, so it need not come back.
#[derive(Debug)]
pub(crate) struct Identities {
    shards: Vec<Shard>,
    /// In all shards.
    held: usize,
    /// The shard that moves out next.
    next: usize,
    away: Runs,
}

impl Identities {
    pub(crate) fn new(keep_days: Option<u16>) -> Self {
        Self {
            shards: vec![Shard::default(); SHARDS],
            held: 0,
            next: 0,
            away: Runs::new(keep_days),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.held + self.away.len()
    }

    /// In memory, at most.
    pub(crate) fn bytes(&self) -> usize {
        self.held * IDENTITY_BYTES + self.away.bytes()
    }

    /// Those that moved out.
    pub(crate) fn away(&self) -> &Runs {
        &self.away
    }

    pub(crate) fn find(&self, identity: &Identity) -> Result<Option<Seen>, ScratchError> {
        match self.shards[shard_of(identity)].get(identity) {
            Some(seen) => Ok(Some(*seen)),
            None => self.away.find(identity),
        }
    }

    /// One that is not away.
    pub(crate) fn insert(&mut self, identity: Identity, seen: Seen) {
        let before = self.shards[shard_of(&identity)].insert(identity, seen);
        self.held += usize::from(before.is_none());
    }

    /// As the changelog has them: also again, and then the later one is right.
    pub(crate) fn restore(&mut self, seen: Vec<(Identity, Seen)>) -> Result<(), ScratchError> {
        for (identity, seen) in seen {
            if !self.away.is_empty() {
                self.away.take(&identity)?;
            }
            self.insert(identity, seen);
        }
        Ok(())
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.shards.fill_with(Shard::default);
        self.held = 0;
        self.away.clear();
    }

    /// Forgets those of days before `first`.
    pub(crate) fn forget_before(&mut self, first: i32) {
        for shard in &mut self.shards {
            shard.retain(|_, seen| seen.day >= first);
            shard.shrink_to_fit();
        }
        self.held = self.shards.iter().map(Shard::len).sum();
        self.away.drop_before(first);
    }

    /// Goes through all, in no order.
    pub(crate) fn each(&self, mut each: impl FnMut(Identity, Seen)) -> Result<(), ScratchError> {
        for (identity, seen) in self.shards.iter().flatten() {
            each(*identity, *seen);
        }
        self.away.each(|(identity, seen)| each(identity, seen))
    }

    /// Moves so many bytes out, or somewhat more, or all that are there.
    pub(crate) fn move_out(&mut self, out: Out<'_>, bytes: usize) -> Result<(), ScratchError> {
        let wanted = bytes.div_ceil(IDENTITY_BYTES).min(self.held);
        let mut by_day = BTreeMap::<i32, Vec<(Identity, u64)>>::new();
        let mut moved = 0;
        while moved < wanted {
            let shard = std::mem::take(&mut self.shards[self.next]);
            self.next = (self.next + 1) % SHARDS;
            moved += shard.len();
            for (identity, seen) in shard {
                let of_day = by_day.entry(seen.day).or_default();
                of_day.push((identity, seen.content));
            }
        }
        self.held -= moved;
        for (day, mut entries) in by_day {
            entries.sort_unstable();
            self.away.put(out, day, &entries)?;
        }
        Ok(())
    }
}

/// By other bits than those that runs are sorted by: each shard has keys of the whole range.
fn shard_of([_, low]: &Identity) -> usize {
    (*low % SHARDS as u64) as usize
}
