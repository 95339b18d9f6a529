//! Owns the files: writes blocks, rolls to the next segment, syncs, recycles. Synchronous and
//! single-threaded, so that the simulation can drive it step by step.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crate::block::{self, HEADER_BYTES};
use crate::disk::{Disk, DiskFile};
use crate::recover::{Recovered, segment_name};

/// A file ready to become the next segment.
const SPARE: &str = "spare";

/// Shared with the handle, which frees space while the writer writes.
#[derive(Debug)]
pub(crate) struct Segments {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) segment_bytes: u64,
    /// Bases of segments, oldest first; the last one is being written.
    bases: Mutex<Vec<u64>>,
    /// Held while the spare file is made, taken or replaced.
    spare: Mutex<Spare>,
}

#[derive(Debug, PartialEq, Eq)]
enum Spare {
    Missing,
    Ready,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing panics while one of these is held half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Segments {
    pub(crate) fn new(disk: Arc<dyn Disk>, segment_bytes: u64, bases: Vec<u64>) -> Self {
        Self {
            disk,
            segment_bytes,
            bases: Mutex::new(bases),
            spare: Mutex::new(Spare::Missing),
        }
    }

    /// Makes the next file ahead of need, so that a roll costs a rename.
    pub(crate) fn prepare_spare(&self, gently: bool) -> io::Result<()> {
        let mut spare = lock(&self.spare);
        if *spare == Spare::Missing {
            self.disk.create(SPARE, self.segment_bytes, gently)?;
            *spare = Spare::Ready;
        }
        Ok(())
    }

    fn take_spare(&self, base: u64) -> io::Result<Box<dyn DiskFile>> {
        self.prepare_spare(false)?;
        let name = segment_name(base);
        let mut spare = lock(&self.spare);
        self.disk.rename(SPARE, &name)?;
        *spare = Spare::Missing;
        drop(spare);
        lock(&self.bases).push(base);
        self.disk.open(&name)
    }

    /// Frees the segments that hold nothing at or behind `position`. The last one always stays.
    pub(crate) fn truncate_before(&self, position: u64) -> io::Result<()> {
        loop {
            let oldest = {
                let mut bases = lock(&self.bases);
                if bases.len() < 2 || bases[1] > position {
                    return Ok(());
                }
                bases.remove(0)
            };
            let name = segment_name(oldest);
            let mut spare = lock(&self.spare);
            if *spare == Spare::Missing {
                self.disk.rename(&name, SPARE)?;
                *spare = Spare::Ready;
            } else {
                self.disk.remove(&name)?;
            }
        }
    }

    /// Base of the segment that is being written.
    pub(crate) fn newest(&self) -> Option<u64> {
        lock(&self.bases).last().copied()
    }

    /// Base of the oldest kept segment.
    pub(crate) fn oldest(&self) -> Option<u64> {
        lock(&self.bases).first().copied()
    }
}

/// Writes blocks in order.
#[derive(Debug)]
pub(crate) struct Writer {
    segments: Arc<Segments>,
    file: Box<dyn DiskFile>,
    offset: u64,
    end: u64,
    durable: u64,
    epoch: u32,
}

impl Writer {
    /// Goes on behind what was recovered; begins the first segment of an empty log.
    pub(crate) fn new(segments: Arc<Segments>, recovered: Recovered) -> io::Result<Self> {
        let (file, offset) = match recovered.tail {
            Some(tail) => tail,
            None => (segments.take_spare(recovered.end)?, 0),
        };
        Ok(Self {
            segments,
            file,
            offset,
            end: recovered.end,
            durable: recovered.end,
            epoch: recovered.epoch + 1,
        })
    }

    /// Writes the blocks and syncs once. Returns the position up to which all is durable.
    ///
    /// An error leaves the log's state unknown: the caller must not call again.
    pub(crate) fn flush(&mut self, blocks: &mut [Vec<u8>]) -> io::Result<u64> {
        for block in blocks {
            let payload_bytes = (block.len() - HEADER_BYTES) as u64;
            if self.offset + block.len() as u64 > self.file.bytes()? {
                self.roll()?;
            }
            block::seal(block, self.epoch, self.end, self.durable);
            self.file.write_at(self.offset, block)?;
            self.offset += block.len() as u64;
            self.end += payload_bytes;
        }
        self.file.sync()?;
        self.durable = self.end;
        Ok(self.durable)
    }

    fn roll(&mut self) -> io::Result<()> {
        // Recovery relies on it: a segment exists only when the one before it is durable.
        self.file.sync()?;
        self.durable = self.end;
        self.file = self.segments.take_spare(self.end)?;
        self.offset = 0;
        Ok(())
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Share of the current segment that is used, in percent.
    pub(crate) fn used_percent(&self) -> u64 {
        self.offset * 100 / self.segments.segment_bytes.max(1)
    }
}
