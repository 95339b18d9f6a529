//! One compaction pass over the sealed segments of a partition: at most one record a key is left below its end.
//!
//! Two readings. The first, of what is new since the last pass, remembers the offset of the last record of each key.
//! The second, of everything, copies what is still needed to new files. Memory: a hash and an offset a key, one batch
//! unpacked, and one output buffer.
//!
//! # What is kept (Kafka's documentation, "Log Compaction"; KIP-98 and KIP-534 for transactions)
//!
//! - Offsets never change, and a batch with records left keeps its place, its producer and its sequence.
//! - Records of aborted transactions are dropped, and hide nothing.
//! - A tombstone that is the last of its key is kept until the *horizon* that the first pass writes into its batch:
//!   a reader that began before it must still be told.
//! - A marker goes after its horizon, and only when a whole pass met no batch of its transaction in front of it. Its
//!   entry in the list of aborted transactions goes with it, in the same moment: a list that names a transaction
//!   without an end would hide what its producer wrote later.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::batch::Batch;
use crate::checkpoint::sync_dir;
use crate::partition_log::{Segment, SegmentName, scan, segment_path};
use crate::records::{self, Record, RecordsError, UNPACKED_BYTES_MAX};
use crate::state::partition::Aborted;

/// Bytes of a key's hash that are remembered: two keys share them once in 2^64 tries or so.
const KEY_HASH_BYTES: usize = 16;

/// A pass did not come to its end. Nothing has changed; a later one may.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompactError {
    /// A file cannot be read or written.
    #[error("files of {dir:?} cannot be read or written")]
    Io {
        /// The partition's.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A batch is not what it was.
    #[error("segment at offset {base_offset} in {dir:?} is damaged")]
    Damaged {
        /// The partition's.
        dir: PathBuf,
        /// Of the segment.
        base_offset: i64,
    },
}

/// A segment to read.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    name: SegmentName,
    end_offset: i64,
    created_ms: i64,
    file: Arc<File>,
}

impl Source {
    pub(crate) fn of(segment: &Segment) -> Self {
        Self {
            name: SegmentName {
                base_offset: segment.base_offset,
                generation: segment.generation,
                bytes: segment.bytes,
            },
            end_offset: segment.end_offset,
            created_ms: segment.created_ms,
            file: Arc::clone(&segment.file),
        }
    }
}

/// What a pass is to do. Nothing in it changes while it runs.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) dir: PathBuf,
    /// The first segments of the log, oldest first.
    pub(crate) sources: Vec<Source>,
    /// Of the files it writes.
    pub(crate) generation: u32,
    pub(crate) segment_bytes: u64,
    /// Where the pass before ended.
    pub(crate) cleaned_to: i64,
    /// Behind the last source.
    pub(crate) end: i64,
    /// By producer, and by the offset of their markers.
    pub(crate) aborted: HashMap<i64, Vec<Aborted>>,
    /// Until when tombstones and markers stay that are seen for the first time.
    pub(crate) horizon_ms: i64,
    pub(crate) now_ms: i64,
    /// Most keys that are remembered, give or take those of one batch.
    pub(crate) keys_max: usize,
}

impl Work {
    pub(crate) fn path(&self, segment: &Segment) -> PathBuf {
        segment_path(&self.dir, segment.base_offset, segment.generation)
    }

    fn io(&self, source: io::Error) -> CompactError {
        CompactError::Io {
            dir: self.dir.clone(),
            source,
        }
    }

    /// Whether the batch belongs to a transaction that was aborted.
    fn is_aborted(&self, batch: &Batch) -> bool {
        let Some(aborted) = self.aborted.get(&batch.producer_id) else {
            return false;
        };
        // A producer's transactions follow each other.
        let next = aborted.partition_point(|aborted| aborted.last_offset < batch.base_offset);
        let next = aborted.get(next);
        batch.is_transactional() && next.is_some_and(|next| next.first_offset <= batch.base_offset)
    }
}

/// What a pass has done.
#[derive(Debug)]
pub(crate) struct Pass {
    /// On disk.
    pub(crate) segments: Vec<Segment>,
    pub(crate) replaced: Vec<SegmentName>,
    pub(crate) cleaned_to: i64,
    /// Offsets of the markers that are gone.
    pub(crate) dropped_markers: HashSet<i64>,
}

type Keys = HashMap<[u8; KEY_HASH_BYTES], i64>;

fn hash(key: &[u8]) -> [u8; KEY_HASH_BYTES] {
    let mut short = [0; KEY_HASH_BYTES];
    short.copy_from_slice(&blake3::hash(key).as_bytes()[..KEY_HASH_BYTES]);
    short
}

/// Reads, and writes what is left. `stopped` is asked now and then; `None`: it said yes.
pub(crate) fn run(
    work: &Work,
    stopped: &mut dyn FnMut() -> bool,
) -> Result<Option<Pass>, CompactError> {
    let Some((keys, bound)) = last_offsets(work, stopped)? else {
        return Ok(None);
    };
    let mut writing = Writing {
        work,
        keys,
        bound,
        output: None,
        done: Vec::new(),
        seen: HashSet::new(),
        dropped_markers: HashSet::new(),
    };
    let mut replaced = Vec::new();
    for source in &work.sources {
        if source.name.base_offset >= bound {
            break;
        }
        let finished = each_batch(work, source, stopped, |batch, bytes| {
            writing.batch(batch, bytes)
        });
        match finished {
            Ok(true) => replaced.push(source.name),
            other => {
                writing.give_up();
                return other.map(|_| None);
            }
        }
    }
    writing.finish(replaced).map(Some)
}

/// The offset of the last record of each key from `cleaned_to` on, and the offset up to which that is known.
fn last_offsets(
    work: &Work,
    stopped: &mut dyn FnMut() -> bool,
) -> Result<Option<(Keys, i64)>, CompactError> {
    let mut keys = Keys::new();
    let mut bound = work.end;
    for source in &work.sources {
        if source.end_offset <= work.cleaned_to {
            continue;
        }
        let mut full = false;
        let finished = each_batch(work, source, stopped, |batch, bytes| {
            if full
                || batch.last_offset() < work.cleaned_to
                || batch.is_control()
                || work.is_aborted(batch)
            {
                return Ok(());
            }
            if keys.len() >= work.keys_max {
                full = true;
                bound = bound.min(batch.base_offset);
                return Ok(());
            }
            for_each_key(batch, bytes, |key, offset| {
                keys.insert(hash(key), offset);
            })
        })?;
        if !finished {
            return Ok(None);
        }
        if full {
            break;
        }
    }
    Ok(Some((keys, bound)))
}

/// Calls `each` with every key and its offset. A batch that cannot be looked into has none: it stays as it is.
fn for_each_key(batch: &Batch, bytes: &[u8], mut each: impl FnMut(&[u8], i64)) -> io::Result<()> {
    let Some(unpacked) = readable(batch, bytes) else {
        return Ok(());
    };
    for record in records::records(&unpacked, batch.records).flatten() {
        if let Some(key) = record.key {
            each(key, batch.base_offset + i64::from(record.offset_delta));
        }
    }
    Ok(())
}

/// The records of a batch, all of which can be read; otherwise nothing.
fn readable<'a>(batch: &Batch, bytes: &'a [u8]) -> Option<std::borrow::Cow<'a, [u8]>> {
    let unpacked = records::unpack(batch, bytes, UNPACKED_BYTES_MAX).ok()?;
    let good = records::records(&unpacked, batch.records).all(|record| record.is_ok());
    good.then_some(unpacked)
}

/// Reads a source batch by batch. `false`: stopped.
fn each_batch(
    work: &Work,
    source: &Source,
    stopped: &mut dyn FnMut() -> bool,
    mut each: impl FnMut(&Batch, &[u8]) -> io::Result<()>,
) -> Result<bool, CompactError> {
    let mut interrupted = false;
    let mut buffer = Vec::new();
    let end = scan(&source.file, 0, source.name.bytes, |batch, position| {
        if stopped() {
            interrupted = true;
            return Ok(false);
        }
        buffer.resize(batch.bytes, 0);
        source.file.read_exact_at(&mut buffer, position)?;
        each(batch, &buffer)?;
        Ok(true)
    });
    let end = end.map_err(|error| work.io(error))?;
    if interrupted {
        return Ok(false);
    }
    if end != source.name.bytes {
        return Err(CompactError::Damaged {
            dir: work.dir.clone(),
            base_offset: source.name.base_offset,
        });
    }
    Ok(true)
}

struct Output {
    segment: Segment,
    writer: BufWriter<File>,
}

struct Writing<'a> {
    work: &'a Work,
    keys: Keys,
    /// From here on `keys` knows nothing, and everything stays.
    bound: i64,
    output: Option<Output>,
    done: Vec<Segment>,
    /// Producers with batches since their last marker.
    seen: HashSet<i64>,
    dropped_markers: HashSet<i64>,
}

impl Writing<'_> {
    fn batch(&mut self, batch: &Batch, bytes: &[u8]) -> io::Result<()> {
        if batch.is_control() {
            return self.marker(batch, bytes);
        }
        if batch.is_transactional() {
            self.seen.insert(batch.producer_id);
        }
        if batch.base_offset >= self.bound {
            return self.write(batch, bytes);
        }
        if self.work.is_aborted(batch) {
            return Ok(());
        }
        let Some(unpacked) = readable(batch, bytes) else {
            return self.write(batch, bytes);
        };
        let overdue = batch
            .delete_horizon()
            .is_some_and(|horizon| horizon <= self.work.now_ms);
        let mut kept: Vec<Record<'_>> = Vec::new();
        let mut tombstones = false;
        let read: Result<Vec<Record<'_>>, RecordsError> =
            records::records(&unpacked, batch.records).collect();
        for record in read.map_err(io::Error::other)? {
            let offset = batch.base_offset + i64::from(record.offset_delta);
            if offset < self.bound {
                // Such a topic takes none without a key any more; an old one names nothing that could be looked up.
                let Some(key) = record.key else { continue };
                let last = self.keys.get(&hash(key)).copied();
                if last.is_some_and(|last| offset < last) || (!record.has_value && overdue) {
                    continue;
                }
                tombstones |= !record.has_value;
            }
            kept.push(record);
        }
        let horizon =
            (tombstones && batch.delete_horizon().is_none()).then_some(self.work.horizon_ms);
        if kept.is_empty() {
            return Ok(());
        }
        if horizon.is_none() && kept.len() == usize::try_from(batch.records).unwrap_or_default() {
            return self.write(batch, bytes);
        }
        self.rebuilt(batch, bytes, &kept, horizon)
    }

    fn marker(&mut self, batch: &Batch, bytes: &[u8]) -> io::Result<()> {
        let needed = self.seen.remove(&batch.producer_id);
        match batch.delete_horizon() {
            _ if needed || batch.base_offset >= self.bound => self.write(batch, bytes),
            Some(horizon) if horizon <= self.work.now_ms => {
                self.dropped_markers.insert(batch.base_offset);
                Ok(())
            }
            Some(_) => self.write(batch, bytes),
            None => {
                let kept: Result<Vec<_>, _> = records::records(
                    bytes
                        .get(crate::batch::BATCH_HEADER_BYTES..)
                        .unwrap_or_default(),
                    batch.records,
                )
                .collect();
                let kept = kept.map_err(io::Error::other)?;
                self.rebuilt(batch, bytes, &kept, Some(self.work.horizon_ms))
            }
        }
    }

    fn rebuilt(
        &mut self,
        batch: &Batch,
        bytes: &[u8],
        kept: &[Record<'_>],
        horizon: Option<i64>,
    ) -> io::Result<()> {
        let new: Bytes = records::rebuild(bytes, batch, kept, horizon)?;
        let batch = Batch::parse(&new)
            .ok_or_else(|| io::Error::other("a batch that was rebuilt is none"))?;
        self.write(&batch, &new)
    }

    fn write(&mut self, batch: &Batch, bytes: &[u8]) -> io::Result<()> {
        let full = self.output.as_ref().is_some_and(|output| {
            output.segment.bytes + batch.bytes as u64 > self.work.segment_bytes
        });
        if full {
            self.close()?;
        }
        if self.output.is_none() {
            let segment = Segment::create(&self.work.dir, batch.base_offset, self.work.generation)?;
            let writer = BufWriter::new(segment.file.try_clone()?);
            self.output = Some(Output { segment, writer });
        }
        let Some(output) = &mut self.output else {
            return Err(io::Error::other("no file to write to"));
        };
        output.writer.write_all(bytes)?;
        output.segment.note(batch);
        Ok(())
    }

    /// Brings the output to disk.
    fn close(&mut self) -> io::Result<()> {
        let Some(output) = self.output.take() else {
            return Ok(());
        };
        let file = output
            .writer
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.sync_data()?;
        let mut segment = output.segment.synced();
        // As old as what is in it: how long records may wait is counted from when they came.
        let sources = self.work.sources.iter();
        let within = sources.filter(|source| source.end_offset > segment.base_offset);
        segment.created_ms = within
            .map(|source| source.created_ms)
            .min()
            .unwrap_or(segment.created_ms);
        self.done.push(segment);
        Ok(())
    }

    fn finish(mut self, replaced: Vec<SegmentName>) -> Result<Pass, CompactError> {
        let closed = self.close().and_then(|()| sync_dir(&self.work.dir));
        if let Err(error) = closed {
            let error = self.work.io(error);
            self.give_up();
            return Err(error);
        }
        Ok(Pass {
            segments: self.done,
            replaced,
            cleaned_to: self.bound,
            dropped_markers: self.dropped_markers,
        })
    }

    /// Removes what was written. What cannot be removed is a stranger to the next start.
    fn give_up(self) {
        let open = self.output.map(|output| output.segment);
        for segment in self.done.iter().chain(open.as_ref()) {
            let _stranger = std::fs::remove_file(self.work.path(segment));
        }
    }
}
