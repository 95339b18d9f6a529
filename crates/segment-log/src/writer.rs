//! Owns the files: writes blocks, rolls to the next segment, syncs, recycles. Synchronous and
//! single-threaded, so that the simulation can drive it step by step.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crate::block::{self, HEADER_BYTES};
use crate::disk::{Disk, DiskFile};
use crate::recover::{Recovered, SPARE_PREFIX, segment_name};

/// Most files kept to become segments: freed ones, so that a busy log writes no zeros. Each takes a
/// segment's space on disk.
pub(crate) const SPARES_MAX: usize = 4;

/// Shared with the handle, which frees space while the writer writes.
#[derive(Debug)]
pub(crate) struct Segments {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) segment_bytes: u64,
    /// Bases of segments, oldest first; the last one is being written.
    bases: Mutex<Vec<u64>>,
    /// Names of files ready to become segments. Held while one is made, taken or added.
    spares: Mutex<Vec<String>>,
}

/// A name of a spare that none of `taken` has.
fn spare_name(taken: &[String]) -> String {
    let free = (1..=SPARES_MAX).map(|number| format!("{SPARE_PREFIX}{number}"));
    let mut free = free.filter(|name| !taken.contains(name));
    free.next().unwrap_or_else(|| SPARE_PREFIX.to_owned())
}

/// Whether a file is whole, and as long as segments are today.
fn fits(disk: &dyn Disk, name: &str, segment_bytes: u64) -> io::Result<bool> {
    Ok(disk.open(name)?.bytes()? == segment_bytes)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing panics while one of these is held half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Segments {
    /// Takes over the spares of an earlier life; one that is not of this size, perhaps because it
    /// was half made, goes.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        segment_bytes: u64,
        recovered: &Recovered,
    ) -> io::Result<Self> {
        let mut spares = Vec::new();
        for name in &recovered.spares {
            if spares.len() < SPARES_MAX && fits(&*disk, name, segment_bytes)? {
                spares.push(name.clone());
            } else {
                disk.remove(name)?;
            }
        }
        Ok(Self {
            disk,
            segment_bytes,
            bases: Mutex::new(recovered.bases.clone()),
            spares: Mutex::new(spares),
        })
    }

    /// Makes the next file ahead of need unless there is one, so that a roll costs a rename.
    pub(crate) fn prepare_spare(&self, gently: bool) -> io::Result<()> {
        let mut spares = lock(&self.spares);
        if spares.is_empty() {
            let name = spare_name(&spares);
            self.disk.create(&name, self.segment_bytes, gently)?;
            spares.push(name);
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn spares(&self) -> usize {
        lock(&self.spares).len()
    }

    fn take_spare(&self, base: u64) -> io::Result<Box<dyn DiskFile>> {
        self.prepare_spare(false)?;
        let name = segment_name(base);
        let mut spares = lock(&self.spares);
        let spare = spares
            .last()
            .ok_or_else(|| io::Error::other("the spare file is gone"))?;
        self.disk.rename(spare, &name)?;
        spares.pop();
        drop(spares);
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
            let mut spares = lock(&self.spares);
            if spares.len() < SPARES_MAX && fits(&*self.disk, &name, self.segment_bytes)? {
                let spare = spare_name(&spares);
                self.disk.rename(&name, &spare)?;
                spares.push(spare);
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
