//! Identities of the kept days: in memory, and those that moved out on disk.

use std::collections::HashMap;

use crate::classify::Seen;
use crate::record::Identity;
use crate::spill::{Out, Pair, ScratchError, Shelf};

/// What one takes at most: its 32 bytes and one of the table, which is at least 7/16 full.
pub(crate) const IDENTITY_BYTES: usize = (size_of::<(Identity, Seen)>() + 1) * 16 / 7;

/// Each is in one place: one that moved out never changes, so it need not come back.
#[derive(Debug)]
pub(crate) struct Identities {
    held: HashMap<Identity, Seen, foldhash::fast::RandomState>,
    shelf: Shelf,
}

impl Identities {
    pub(crate) fn new(keep_days: Option<u16>) -> Self {
        Self {
            held: HashMap::default(),
            shelf: Shelf::new(keep_days),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len() + self.shelf.away()
    }

    /// In memory, at most.
    pub(crate) fn bytes(&self) -> usize {
        self.held.len() * IDENTITY_BYTES + self.shelf.bytes()
    }

    pub(crate) fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    pub(crate) fn find(&mut self, identity: &Identity) -> Result<Option<Seen>, ScratchError> {
        match self.held.get(identity) {
            Some(seen) => Ok(Some(*seen)),
            None if self.shelf.is_empty() => Ok(None),
            None => {
                let found = self.shelf.find(&key_of(*identity), None)?;
                found
                    .map(|(_, day, content)| seen_of(day, &content))
                    .transpose()
            }
        }
    }

    /// One that was not there.
    pub(crate) fn insert(&mut self, identity: Identity, seen: Seen) {
        self.held.insert(identity, seen);
    }

    /// As the changelog has them: also again, and then the later one is right.
    pub(crate) fn restore(&mut self, seen: Vec<(Identity, Seen)>) -> Result<(), ScratchError> {
        if !self.shelf.is_empty() {
            for (identity, _) in &seen {
                self.shelf.take(&key_of(*identity))?;
            }
        }
        self.held.extend(seen);
        Ok(())
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.held.clear();
        self.shelf.clear();
    }

    /// Forgets those of days before `first`.
    pub(crate) fn forget_before(&mut self, first: i32) -> Result<(), ScratchError> {
        self.held.retain(|_, seen| seen.day >= first);
        self.held.shrink_to_fit();
        self.shelf.drop_before(first, false, &mut |_, _| Ok(true))
    }

    /// Goes through all, in no order.
    pub(crate) fn each(
        &mut self,
        mut each: impl FnMut(Identity, Seen),
    ) -> Result<(), ScratchError> {
        for (identity, seen) in &self.held {
            each(*identity, *seen);
        }
        self.shelf.each(&mut |key, day, content| {
            each(identity_of(&key)?, seen_of(day, content)?);
            Ok(())
        })
    }

    /// Moves so many bytes out, or all that are there: those of the oldest day first.
    pub(crate) fn move_out(&mut self, out: Out<'_>, bytes: usize) -> Result<(), ScratchError> {
        let mut wanted = bytes.div_ceil(IDENTITY_BYTES);
        while wanted > 0 {
            let Some(oldest) = self.held.values().map(|seen| seen.day).min() else {
                break;
            };
            let moved = self.held.extract_if(|_, seen| seen.day == oldest);
            let moved = moved.take(wanted);
            let mut moved: Vec<([u8; 16], u64)> = moved
                .map(|(identity, seen)| (key_of(identity), seen.content))
                .collect();
            wanted -= moved.len();
            moved.sort_unstable();
            let pair = |(key, content): ([u8; 16], u64)| -> Pair {
                (Box::new(key), content.to_le_bytes().to_vec())
            };
            let count = moved.len();
            self.shelf
                .put(out, oldest, count, moved.into_iter().map(pair))?;
        }
        self.held.shrink_to_fit();
        Ok(())
    }
}

fn key_of([low, high]: Identity) -> [u8; 16] {
    let mut key = [0; 16];
    let (first, second) = key.split_at_mut(8);
    first.copy_from_slice(&low.to_be_bytes());
    second.copy_from_slice(&high.to_be_bytes());
    key
}

fn identity_of(key: &[u8]) -> Result<Identity, ScratchError> {
    match key.as_chunks::<8>() {
        ([low, high], []) => Ok([low, high].map(|word| u64::from_be_bytes(*word))),
        _ => Err(ScratchError::Damaged),
    }
}

fn seen_of(day: i32, content: &[u8]) -> Result<Seen, ScratchError> {
    let content = content.try_into().map_err(|_| ScratchError::Damaged)?;
    Ok(Seen {
        content: u64::from_le_bytes(content),
        day,
    })
}
