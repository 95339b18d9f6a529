//! The records of one partition, in plain files of record batches.
//!
//! ```text
//! journal entry ──► PartitionLog::append (you are here) ──► page cache ──(checkpoint)──► disk
//!                        └──► ReadPlan ──► read_batches ──► fetch answer
//! ```
//!
//! # Invariants
//!
//! - **Not the truth.** The files are written without fsync. What the last snapshot counts is on disk; what is
//!   behind it is written again from the journal, to the same place, when the broker opens.
//! - **Append only.** Bytes below a segment's length never change, so that they are read without a lock.
//! - **Replaced as a whole.** Compaction writes other files and puts them in the place of several segments at once;
//!   a file that takes over a base offset has a generation in its name, so that no name is ever used for two things.
//! - **Never unlinked here.** Segments that fall behind the log start or were replaced are listed, and unlinked once
//!   a snapshot without them is on disk. Until then a crash finds them, as the snapshot before says.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::batch::{BATCH_HEADER_BYTES, Batch};
use crate::shared::now_ms;

/// Bytes between two entries of the sparse index. Higher saves memory, lower saves skipping at the front of a read.
const INDEX_INTERVAL_BYTES: u64 = 16 * 1024;

/// Reads further than this behind the end of a log may wait for the disk.
const COLD_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes read at once when batch headers alone are wanted.
const SCAN_BYTES: usize = 256 * 1024;

/// The files of a partition do not hold what the snapshot says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SegmentError {
    /// The file cannot be opened or read.
    #[error("segment {path:?} cannot be opened")]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The file is shorter than it was when the snapshot was taken.
    #[error("segment {path:?} has {bytes} bytes, the snapshot says {wanted}")]
    Short {
        path: PathBuf,
        bytes: u64,
        wanted: u64,
    },
    /// No batch, or not the expected one, where one must begin.
    #[error("segment {path:?} is damaged at byte {position}")]
    Damaged { path: PathBuf, position: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct IndexEntry {
    /// Offset of the batch that begins at `position`.
    offset: i64,
    position: u64,
    /// Largest timestamp from here to the next entry.
    max_timestamp: i64,
}

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base_offset: i64,
    /// 0 as it was appended; above, a result of compaction.
    pub(crate) generation: u32,
    pub(crate) file: Arc<File>,
    pub(crate) bytes: u64,
    /// Behind the last record. Compaction leaves gaps, so that the next segment may begin above it.
    pub(crate) end_offset: i64,
    index: Vec<IndexEntry>,
    pub(crate) max_timestamp: i64,
    /// When it was begun, by the wall clock, in milliseconds since 1970.
    pub(crate) created_ms: i64,
    /// Written since the last checkpoint.
    dirty: bool,
}

/// How a snapshot names a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentName {
    pub(crate) base_offset: i64,
    pub(crate) generation: u32,
    pub(crate) bytes: u64,
}

/// One partition's segments, oldest first, and the directory they are in.
#[derive(Debug)]
pub(crate) struct PartitionLog {
    dir: PathBuf,
    segment_bytes: u64,
    segments: Vec<Segment>,
    /// The last segment is full, whatever its size.
    roll: bool,
    /// Files to unlink when a snapshot without them is on disk.
    dropped: Vec<PathBuf>,
}

/// Where to read, found under the lock and used without it.
#[derive(Debug, Clone)]
pub(crate) struct ReadPlan {
    file: Arc<File>,
    position: u64,
    end: u64,
    /// Probably not in the page cache: read it where waiting for a disk hurts nobody.
    pub(crate) cold: bool,
}

/// What a checkpoint has to bring to disk.
#[derive(Debug, Default)]
pub(crate) struct DirtyFiles {
    pub(crate) files: Vec<Arc<File>>,
    pub(crate) dirs: Vec<PathBuf>,
    pub(crate) dropped: Vec<PathBuf>,
}

/// The file of a segment.
pub(crate) fn segment_path(dir: &Path, base_offset: i64, generation: u32) -> PathBuf {
    dir.join(match generation {
        0 => format!("{base_offset:020}.log"),
        generation => format!("{base_offset:020}.{generation}.log"),
    })
}

impl Segment {
    /// Counts a batch that was written at the end.
    pub(crate) fn note(&mut self, batch: &Batch) {
        self.end_offset = batch.last_offset() + 1;
        self.max_timestamp = self.max_timestamp.max(batch.max_timestamp);
        match self.index.last_mut() {
            Some(last) if self.bytes - last.position < INDEX_INTERVAL_BYTES => {
                last.max_timestamp = last.max_timestamp.max(batch.max_timestamp);
            }
            _ => self.index.push(IndexEntry {
                offset: batch.base_offset,
                position: self.bytes,
                max_timestamp: batch.max_timestamp,
            }),
        }
        self.bytes += batch.bytes as u64;
    }

    pub(crate) fn create(dir: &Path, base_offset: i64, generation: u32) -> io::Result<Segment> {
        std::fs::create_dir_all(dir)?;
        let path = segment_path(dir, base_offset, generation);
        // Whatever a crash left there is not in the snapshot, and the journal writes it again.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        Ok(Segment {
            base_offset,
            generation,
            file: Arc::new(file),
            bytes: 0,
            end_offset: base_offset,
            index: Vec::new(),
            max_timestamp: -1,
            created_ms: now_ms(),
            dirty: true,
        })
    }

    /// What was written to it is on disk already.
    pub(crate) fn synced(mut self) -> Segment {
        self.dirty = false;
        self
    }

    /// Opens a segment of the snapshot, cuts what is behind its length there and builds its index.
    fn open(dir: &Path, name: SegmentName) -> Result<Segment, SegmentError> {
        let SegmentName {
            base_offset,
            generation,
            bytes,
        } = name;
        let path = segment_path(dir, base_offset, generation);
        let io = |source| SegmentError::Io {
            path: path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        let length = metadata.len();
        let created = metadata.created().or_else(|_| metadata.modified());
        if length < bytes {
            return Err(SegmentError::Short {
                path,
                bytes: length,
                wanted: bytes,
            });
        }
        if length > bytes {
            file.set_len(bytes).map_err(io)?;
        }
        file.seek(SeekFrom::Start(bytes)).map_err(io)?;
        let mut segment = Segment {
            base_offset,
            generation,
            file: Arc::new(file),
            bytes: 0,
            end_offset: base_offset,
            index: Vec::new(),
            max_timestamp: -1,
            created_ms: created.map_or_else(|_| now_ms(), millis_since_1970),
            // The cut itself is not synced.
            dirty: length > bytes,
        };
        let file = Arc::clone(&segment.file);
        let mut offset = base_offset;
        let scanned = scan(&file, 0, bytes, |batch, _| {
            if batch.base_offset < offset {
                return Ok(false);
            }
            offset = batch.last_offset() + 1;
            segment.note(batch);
            Ok(true)
        })
        .map_err(io)?;
        if scanned != bytes {
            return Err(SegmentError::Damaged {
                path,
                position: scanned,
            });
        }
        Ok(segment)
    }
}

fn millis_since_1970(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Calls `each` with the header of every batch in `position..end` and the position it begins at, until it answers
/// `false`. Returns where it stopped: `end`, or the batch that was refused, cut short or no batch.
pub(crate) fn scan(
    file: &File,
    mut position: u64,
    end: u64,
    mut each: impl FnMut(&Batch, u64) -> io::Result<bool>,
) -> io::Result<u64> {
    let mut buffer = vec![0; SCAN_BYTES];
    let mut filled = 0;
    let mut buffer_at = position;
    while position < end {
        let skip = usize::try_from(position - buffer_at).unwrap_or(usize::MAX);
        let inside = skip
            .checked_add(BATCH_HEADER_BYTES)
            .is_some_and(|to| to <= filled);
        if !inside {
            buffer_at = position;
            let wanted = usize::try_from(end - position)
                .unwrap_or(usize::MAX)
                .min(SCAN_BYTES);
            file.read_exact_at(&mut buffer[..wanted], position)?;
            filled = wanted;
            if filled < BATCH_HEADER_BYTES {
                return Ok(position);
            }
        }
        let at = usize::try_from(position - buffer_at).unwrap_or(usize::MAX);
        let Some(batch) = Batch::parse(&buffer[at..filled]) else {
            return Ok(position);
        };
        if batch.bytes as u64 > end - position || !each(&batch, position)? {
            return Ok(position);
        }
        position += batch.bytes as u64;
    }
    Ok(position)
}

impl PartitionLog {
    /// An empty log. Nothing is created on disk before the first append.
    pub(crate) fn new(dir: PathBuf, segment_bytes: u64) -> Self {
        Self {
            dir,
            segment_bytes,
            segments: Vec::new(),
            roll: false,
            dropped: Vec::new(),
        }
    }

    /// Opens the segments that a snapshot lists, oldest first.
    pub(crate) fn open(
        dir: PathBuf,
        segment_bytes: u64,
        segments: &[SegmentName],
    ) -> Result<Self, SegmentError> {
        let segments = segments
            .iter()
            .map(|name| Segment::open(&dir, *name))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            dir,
            segment_bytes,
            segments,
            roll: false,
            dropped: Vec::new(),
        })
    }

    /// The list that [`PartitionLog::open`] takes.
    pub(crate) fn names(&self) -> impl ExactSizeIterator<Item = SegmentName> {
        self.segments.iter().map(|segment| SegmentName {
            base_offset: segment.base_offset,
            generation: segment.generation,
            bytes: segment.bytes,
        })
    }

    /// Oldest first. The last one is written to.
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// From now on segments are of so many bytes.
    pub(crate) fn set_segment_bytes(&mut self, bytes: u64) {
        self.segment_bytes = bytes;
    }

    pub(crate) fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// Lets the next append begin a new segment.
    pub(crate) fn roll(&mut self) {
        self.roll = true;
    }

    /// Puts other segments in the place of `old`, which must be the first ones. `false`: they are not, because the
    /// log has moved on meanwhile; nothing is changed then.
    pub(crate) fn replace(&mut self, old: &[SegmentName], new: Vec<Segment>) -> bool {
        let unchanged = self.names().take(old.len()).eq(old.iter().copied());
        // The one that is written to is never replaced.
        if !unchanged || self.segments.len() <= old.len() {
            return false;
        }
        for segment in self.segments.splice(..old.len(), new) {
            let path = segment_path(&self.dir, segment.base_offset, segment.generation);
            self.dropped.push(path);
        }
        true
    }

    /// Above the generation of every segment.
    pub(crate) fn next_generation(&self) -> u32 {
        let highest = self.segments.iter().map(|segment| segment.generation).max();
        highest.unwrap_or(0).saturating_add(1)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Bytes of all segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Writes a batch, given as the patched `front` and the `rest` behind it, at the end.
    ///
    /// On an error the log must not be used again: part of the batch may be in the file.
    pub(crate) fn append(&mut self, batch: &Batch, front: &[u8], rest: &[u8]) -> io::Result<()> {
        let full = self.segments.last().is_none_or(|segment| {
            let fits = segment.bytes + batch.bytes as u64 <= self.segment_bytes;
            segment.bytes > 0 && (self.roll || !fits)
        });
        if full {
            self.roll = false;
            self.segments
                .push(Segment::create(&self.dir, batch.base_offset, 0)?);
        }
        let Some(segment) = self.segments.last_mut() else {
            return Err(io::Error::other("no segment to write to"));
        };
        let mut file = &*segment.file;
        let written = file.write_vectored(&[IoSlice::new(front), IoSlice::new(rest)])?;
        if written < front.len() {
            file.write_all(&front[written..])?;
            file.write_all(rest)?;
        } else {
            file.write_all(&rest[written - front.len()..])?;
        }
        segment.dirty = true;
        segment.note(batch);
        Ok(())
    }

    /// Where to look for `offset`, or for the first record behind it that compaction has left. `None`: there is
    /// none.
    pub(crate) fn plan(&self, offset: i64) -> Option<ReadPlan> {
        let at = self
            .segments
            .partition_point(|segment| segment.end_offset <= offset);
        let segment = self.segments.get(at)?;
        let entry = segment
            .index
            .partition_point(|entry| entry.offset <= offset)
            .saturating_sub(1);
        Some(segment.plan_at(
            segment.index.get(entry)?.position,
            at + 1 < self.segments.len(),
        ))
    }

    /// Where to look for the first batch from `from` on with a timestamp of at least `timestamp`, one place after
    /// the other.
    pub(crate) fn plans_timestamp(&self, timestamp: i64, from: i64) -> Vec<ReadPlan> {
        let segments = self.segments.iter();
        let plans = segments
            .filter(|segment| segment.end_offset > from && segment.max_timestamp >= timestamp)
            .filter_map(|segment| {
                let mut entries = segment.index.iter();
                let entry = entries.find(|entry| entry.max_timestamp >= timestamp)?;
                Some(segment.plan_at(entry.position, true))
            });
        plans.collect()
    }

    /// Largest timestamp in the log, -1 when it is empty.
    pub(crate) fn max_timestamp(&self) -> i64 {
        self.segments
            .iter()
            .map(|segment| segment.max_timestamp)
            .max()
            .unwrap_or(-1)
    }

    /// Gives up whole segments below `start`. The last one stays, because it is written to, unless `start` is the
    /// `end` of the log.
    pub(crate) fn drop_before(&mut self, start: i64, end: i64) {
        let gone = if start >= end {
            self.segments.len()
        } else {
            let below = self
                .segments
                .partition_point(|segment| segment.base_offset <= start);
            below.saturating_sub(1)
        };
        for segment in self.segments.drain(..gone) {
            let path = segment_path(&self.dir, segment.base_offset, segment.generation);
            self.dropped.push(path);
        }
    }

    /// Whether files wait for a checkpoint that lets them go.
    pub(crate) fn has_dropped(&self) -> bool {
        !self.dropped.is_empty()
    }

    /// Moves what a checkpoint must sync or unlink to `out`.
    pub(crate) fn take_dirty(&mut self, out: &mut DirtyFiles) {
        let before = out.files.len();
        for segment in self.segments.iter_mut().filter(|segment| segment.dirty) {
            segment.dirty = false;
            out.files.push(Arc::clone(&segment.file));
        }
        if out.files.len() > before {
            out.dirs.push(self.dir.clone());
        }
        out.dropped.append(&mut self.dropped);
    }
}

impl Segment {
    fn plan_at(&self, position: u64, older: bool) -> ReadPlan {
        ReadPlan {
            file: Arc::clone(&self.file),
            position,
            end: self.bytes,
            cold: older || self.bytes - position > COLD_BYTES,
        }
    }
}

impl ReadPlan {
    /// Whole batches from the one that holds `offset` on, or from the first behind it where compaction has left a
    /// gap; all below `bound`, not more than `bytes_max` bytes unless the first alone is larger.
    pub(crate) fn read_batches(
        &self,
        offset: i64,
        bound: i64,
        bytes_max: usize,
    ) -> io::Result<Bytes> {
        let bytes_max = bytes_max.max(BATCH_HEADER_BYTES);
        let window = bytes_max.saturating_add(INDEX_INTERVAL_BYTES as usize);
        let mut position = self.position;
        while position < self.end {
            let available = usize::try_from(self.end - position).unwrap_or(usize::MAX);
            let mut buffer = vec![0; window.min(available)];
            self.file.read_exact_at(&mut buffer, position)?;
            let mut from = None;
            let mut at = 0;
            while let Some(batch) = buffer.get(at..).and_then(Batch::parse) {
                if batch.base_offset >= bound {
                    return Ok(
                        from.map_or_else(Bytes::new, |from| Bytes::from(buffer).slice(from..at))
                    );
                }
                let end = at.saturating_add(batch.bytes);
                if from.is_none() && batch.last_offset() >= offset {
                    if end > buffer.len() {
                        return self.read_one(position + at as u64, batch.bytes);
                    }
                    from = Some(at);
                } else if from.is_some_and(|from| end - from > bytes_max || end > buffer.len()) {
                    break;
                }
                at = end;
            }
            if let Some(from) = from {
                return Ok(Bytes::from(buffer).slice(from..at));
            }
            if at == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "no batch where one must be",
                ));
            }
            // Batches below `offset` only: the index stands in front of a large one, or of a gap.
            position += at as u64;
        }
        Ok(Bytes::new())
    }

    fn read_one(&self, position: u64, bytes: usize) -> io::Result<Bytes> {
        if bytes as u64 > self.end - position {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a batch is cut short",
            ));
        }
        let mut buffer = vec![0; bytes];
        self.file.read_exact_at(&mut buffer, position)?;
        Ok(Bytes::from(buffer))
    }

    /// The first batch that reaches from `from` on, below `bound`, with a timestamp of at least `timestamp`, whole.
    pub(crate) fn find_timestamp(
        &self,
        timestamp: i64,
        from: i64,
        bound: i64,
    ) -> io::Result<Option<Bytes>> {
        let mut found = None;
        scan(&self.file, self.position, self.end, |batch, position| {
            if batch.base_offset >= bound {
                return Ok(false);
            }
            let reaches = batch.last_offset() >= from && batch.max_timestamp >= timestamp;
            if reaches && !batch.is_control() {
                found = Some((position, batch.bytes));
                return Ok(false);
            }
            Ok(true)
        })?;
        found
            .map(|(position, bytes)| self.read_one(position, bytes))
            .transpose()
    }
}
