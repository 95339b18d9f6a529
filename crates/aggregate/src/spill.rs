//! State that is more than the memory it may take: maps of which a part lies in scratch files on disk, rows in tables ([`Shelf`]),
//! identities in sorted runs ([`Runs`]).
//!
//! The changelog is the truth, and the files are scratch: nothing in them is forced to disk, outlives its process or is read by another.
//! The engine knows them as [`Scratch`] alone; [`Spill::open`] gives it a directory.
//!
//! # Invariants
//!
//! - **No file, no cost.** Until something has moved out a map is the hash map that it was.
//! - **Memory wins.** An entry that is in memory too is out of date on disk.
//! - **A filter is asked before the disk**: what is new costs no read. Its bytes, and what else a file takes in memory, count as state.
//! - **A failure ends the life of the engine**, which is restored from the changelog: there is never a total without a row's past.

mod directory;
mod filter;
mod runs;
mod shelf;
mod sqlite;

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

pub(crate) use runs::Runs;
pub(crate) use shelf::Shelf;

/// Where state goes that is more than the memory it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpillOptions {
    /// A directory for this aggregation alone; what is in it is deleted. Several processes may share it.
    pub directory: PathBuf,
    /// Most bytes of rows and identities in memory, by the engine's own estimate, which counts tables of the allocator as
    /// empty as they can be. A batch may exceed it until its end.
    pub memory_bytes_max: usize,
}

/// A scratch file failed: the disk is full, or the directory is not usable. What it held is in the changelog, so beginning again
/// helps when the disk does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScratchError {
    /// The file or its directory.
    #[error("cannot {doing} a scratch file in {}", place.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// The directory.
        place: PathBuf,
        /// From SQLite or the operating system.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// It was read, but is not what was written.
    #[error("a scratch file gave back what was never written to it")]
    Damaged,
}

/// Most chapters of a map whose kept days are limited, but for days that are still to come: each has files, which go with its days.
const CHAPTERS: u16 = 8;

/// Which days share files.
#[derive(Debug, Clone, Copy)]
struct Chapters {
    days: i32,
}

impl Chapters {
    /// For a map that keeps so many days.
    fn new(keep_days: Option<u16>) -> Self {
        let days = keep_days.map_or(i32::MAX, |days| i32::from(days.div_ceil(CHAPTERS)));
        Self { days: days.max(1) }
    }

    fn of(self, day: i32) -> i32 {
        day.div_euclid(self.days)
    }
}

/// A key and its value.
pub(crate) type Pair = (Box<[u8]>, Vec<u8>);

/// Makes tables and files.
pub(crate) trait Scratch: fmt::Debug + Send + Sync {
    /// A new one, which is gone when it is dropped.
    fn table(&self) -> Result<Box<dyn Table>, ScratchError>;
    /// As [`Scratch::table`].
    fn file(&self) -> Result<Box<dyn ScratchFile>, ScratchError>;
}

/// Bytes on disk.
pub(crate) trait ScratchFile: fmt::Debug + Send + Sync {
    /// Adds bytes at the end.
    fn append(&mut self, bytes: &[u8]) -> Result<(), ScratchError>;
    /// Reads what was appended at an offset; an error where it is less than `bytes`.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), ScratchError>;
}

/// Values by key, on disk.
pub(crate) trait Table: fmt::Debug + Send {
    /// Puts pairs, the later one of a key in place of the earlier. Much cheaper in the order of the keys.
    fn put(&mut self, pairs: &mut dyn Iterator<Item = Pair>) -> Result<(), ScratchError>;
    /// The value of a key.
    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, ScratchError>;
    /// Takes keys out.
    fn remove(&mut self, keys: &[Box<[u8]>]) -> Result<(), ScratchError>;
    /// The first pairs behind a key, or of all, in the order of the keys; none at the end.
    fn page(&mut self, after: Option<&[u8]>) -> Result<Vec<Pair>, ScratchError>;
    /// Goes through all keys.
    fn each_key(&mut self, each: &mut dyn FnMut(&[u8])) -> Result<(), ScratchError>;
    /// Bytes on disk after the last [`Table::put`].
    fn disk_bytes(&self) -> u64;
}

/// Takes what is more than the memory it may take.
#[derive(Debug, Clone)]
pub struct Spill {
    pub(crate) memory_bytes_max: usize,
    pub(crate) scratch: Arc<dyn Scratch>,
}

impl Spill {
    /// With files in the directory. What an earlier process left there is deleted.
    ///
    /// # Errors
    ///
    /// [`ScratchError`] when the directory cannot be made or cleared.
    pub fn open(options: &SpillOptions) -> Result<Self, ScratchError> {
        Ok(Self {
            memory_bytes_max: options.memory_bytes_max,
            scratch: Arc::new(directory::Directory::open(&options.directory)?),
        })
    }

    /// For one of two that share the memory.
    #[must_use]
    pub fn half(&self) -> Self {
        Self {
            memory_bytes_max: self.memory_bytes_max / 2,
            scratch: Arc::clone(&self.scratch),
        }
    }

    /// How many bytes are more than may be when so many are held.
    pub(crate) fn excess(&self, held: usize) -> usize {
        held.saturating_sub(self.memory_bytes_max)
    }

    /// How many more than have to move out when some have, of at most `most`: so many that it is not soon again.
    pub(crate) fn beyond(&self, most: usize) -> usize {
        (self.memory_bytes_max / 8).min(most)
    }

    /// With the filters at so many bytes.
    pub(crate) fn out(&self, filter_bytes: usize) -> Out<'_> {
        Out {
            scratch: self.scratch.as_ref(),
            filters_may_grow: filter_bytes < self.memory_bytes_max / FILTERS_SHARE,
        }
    }
}

/// The filters have all their bits up to this part of the memory. With still more entries they let more pass, and the disk is asked more often.
const FILTERS_SHARE: usize = 4;

/// The way out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Out<'a> {
    scratch: &'a dyn Scratch,
    filters_may_grow: bool,
}

#[cfg(test)]
pub(crate) mod testing {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

    use super::*;

    /// Tables in memory, which fail when so many calls are used up.
    #[derive(Debug)]
    pub(crate) struct Failing(Arc<AtomicI64>);

    /// With the calls that are left.
    pub(crate) fn spill(memory_bytes_max: usize, calls: i64) -> (Spill, Arc<AtomicI64>) {
        let calls = Arc::new(AtomicI64::new(calls));
        let spill = Spill {
            memory_bytes_max,
            scratch: Arc::new(Failing(Arc::clone(&calls))),
        };
        (spill, calls)
    }

    fn call(calls: &AtomicI64) -> Result<(), ScratchError> {
        if calls.fetch_sub(1, Relaxed) > 0 {
            return Ok(());
        }
        Err(ScratchError::File {
            doing: "write",
            place: PathBuf::from("/full"),
            source: "no space left on device".into(),
        })
    }

    #[derive(Debug)]
    struct InMemory(Arc<AtomicI64>, BTreeMap<Box<[u8]>, Vec<u8>>);

    impl Scratch for Failing {
        fn table(&self) -> Result<Box<dyn Table>, ScratchError> {
            call(&self.0)?;
            Ok(Box::new(InMemory(Arc::clone(&self.0), BTreeMap::new())))
        }
        fn file(&self) -> Result<Box<dyn ScratchFile>, ScratchError> {
            call(&self.0)?;
            Ok(Box::new(Bytes(Arc::clone(&self.0), Vec::new())))
        }
    }

    #[derive(Debug)]
    struct Bytes(Arc<AtomicI64>, Vec<u8>);

    impl ScratchFile for Bytes {
        fn append(&mut self, bytes: &[u8]) -> Result<(), ScratchError> {
            call(&self.0)?;
            self.1.extend_from_slice(bytes);
            Ok(())
        }
        fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), ScratchError> {
            call(&self.0)?;
            let from = usize::try_from(offset).expect("small");
            bytes.copy_from_slice(&self.1[from..from + bytes.len()]);
            Ok(())
        }
    }

    impl Table for InMemory {
        fn put(&mut self, pairs: &mut dyn Iterator<Item = Pair>) -> Result<(), ScratchError> {
            call(&self.0)?;
            self.1.extend(pairs);
            Ok(())
        }
        fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, ScratchError> {
            call(&self.0)?;
            Ok(self.1.get(key).cloned())
        }
        fn remove(&mut self, keys: &[Box<[u8]>]) -> Result<(), ScratchError> {
            call(&self.0)?;
            self.1.retain(|key, _| !keys.contains(key));
            Ok(())
        }
        fn page(&mut self, after: Option<&[u8]>) -> Result<Vec<Pair>, ScratchError> {
            call(&self.0)?;
            let behind = |key: &[u8]| after.is_none_or(|after| key > after);
            let pairs = self.1.iter().filter(|(key, _)| behind(key)).take(3);
            Ok(pairs
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect())
        }
        fn each_key(&mut self, each: &mut dyn FnMut(&[u8])) -> Result<(), ScratchError> {
            call(&self.0)?;
            self.1.keys().for_each(|key| each(key));
            Ok(())
        }
        fn disk_bytes(&self) -> u64 {
            0
        }
    }
}
