//! The handle: append from anywhere, one thread that flushes, waiters that are told.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::warn;

use crate::Position;
use crate::block::{self, HEADER_BYTES, RECORD_HEADER_BYTES};
use crate::disk::{Disk, FileDisk};
use crate::error::{LogError, OpenError, ReplayError};
use crate::recover::{RecoverError, Recovered, recover};
use crate::writer::{Segments, Writer};

/// A block is closed when its records reach this many bytes.
const BLOCK_BYTES_TARGET: usize = 1 << 20;
/// Most blocks kept to be used again, each of up to twice [`BLOCK_BYTES_TARGET`].
const FREE_BLOCKS_MAX: usize = 4;
/// When this much of a segment is used the next file is made, in the background.
const SPARE_AT_PERCENT: u64 = 50;
/// From this many appends in one flush the log counts as busy.
const BUSY_APPENDS: usize = 2;

/// Takes each record at opening: the position behind it, and its bytes.
pub type Replay<'a> = dyn FnMut(Position, &[u8]) -> Result<(), ReplayError> + 'a;

/// How a log is laid out on disk.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Bytes of one preallocated file. Larger means fewer rolls, and space is freed in larger
    /// steps. Must hold at least one record of the largest size. Default 64 MiB.
    pub segment_bytes: u64,
    /// Largest record, in bytes. Default 16 MiB.
    pub record_bytes_max: u32,
    /// Least time from one flush to the next while the log is busy, that is while a flush carries
    /// several appends. Longer means fewer syncs, which cost processor time too, and as much more
    /// latency; an appender that is alone never waits. Default 0.
    pub busy_interval: Duration,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            record_bytes_max: 16 << 20,
            busy_interval: Duration::ZERO,
        }
    }
}

/// A durable, append-only log. Cloning gives another handle to the same log.
#[derive(Debug, Clone)]
pub struct Log {
    shared: Arc<Shared>,
    progress: watch::Receiver<Progress>,
}

#[derive(Debug)]
struct Shared {
    pending: Mutex<Pending>,
    wake: Condvar,
    segments: Arc<Segments>,
    record_bytes_max: u32,
    busy_interval: Duration,
    torn_bytes: u64,
    /// Its lock keeps other processes out; given back when the flush thread ends.
    lock_file: File,
}

#[derive(Debug)]
struct Pending {
    blocks: Vec<Vec<u8>>,
    /// Empty blocks to be used again: their memory is in the process already.
    free: Vec<Vec<u8>>,
    /// Records in `blocks`.
    appends: usize,
    /// Somebody waits for `blocks`, or they are many.
    wanted: bool,
    end: u64,
    closing: bool,
    failed: Option<Arc<io::Error>>,
}

#[derive(Debug, Clone)]
struct Progress {
    durable: Position,
    failed: Option<Arc<io::Error>>,
    closed: bool,
}

impl Log {
    /// Opens or creates the log in `dir` and replays every record in order.
    ///
    /// `replay` gets the position behind each record and its bytes. A half-written, never
    /// acknowledged tail is dropped.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: in use, disk error, a corrupt middle, or the error of `replay`.
    pub fn open(
        dir: &Path,
        options: LogOptions,
        replay: &mut Replay<'_>,
    ) -> Result<Log, OpenError> {
        let io_error = |what| {
            move |source| OpenError::Io {
                what,
                dir: dir.to_owned(),
                source,
            }
        };
        fs::create_dir_all(dir).map_err(io_error("create the directory"))?;
        let lock_file = File::create(dir.join("lock")).map_err(io_error("create the lock file"))?;
        lock_file.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => OpenError::InUse {
                dir: dir.to_owned(),
            },
            fs::TryLockError::Error(source) => io_error("lock the lock file")(source),
        })?;
        let disk: Arc<dyn Disk> = Arc::new(FileDisk::new(dir));
        let recovered = recover(&*disk, &mut |end, record| replay(Position(end), record))
            .map_err(|error| open_error(dir, error))?;
        if recovered.torn_bytes > 0 {
            warn!(dir = %dir.display(), torn_bytes = recovered.torn_bytes,
                "the last flush had not finished when the process ended; its records were never acknowledged and are dropped");
        }
        Self::start(disk, options, recovered, lock_file).map_err(io_error("create a segment"))
    }

    fn start(
        disk: Arc<dyn Disk>,
        options: LogOptions,
        recovered: Recovered,
        lock_file: File,
    ) -> io::Result<Log> {
        let record_room = u64::from(options.record_bytes_max) + RECORD_HEADER_BYTES as u64;
        // A block may hold nearly a target's worth before a largest record is added to it.
        let segment_bytes_min = record_room + (BLOCK_BYTES_TARGET + HEADER_BYTES) as u64;
        let segment_bytes = options.segment_bytes.max(segment_bytes_min);
        let torn_bytes = recovered.torn_bytes;
        let segments = Arc::new(Segments::new(disk, segment_bytes, &recovered)?);
        let writer = Writer::new(Arc::clone(&segments), recovered)?;
        let end = writer.end();
        let (progress_sender, progress) = watch::channel(Progress {
            durable: Position(end),
            failed: None,
            closed: false,
        });
        let shared = Arc::new(Shared {
            pending: Mutex::new(Pending {
                blocks: Vec::new(),
                free: Vec::new(),
                appends: 0,
                wanted: false,
                end,
                closing: false,
                failed: None,
            }),
            wake: Condvar::new(),
            segments,
            record_bytes_max: options.record_bytes_max,
            busy_interval: options.busy_interval,
            torn_bytes,
            lock_file,
        });
        let flusher = Arc::clone(&shared);
        thread::Builder::new()
            .name("log-flush".to_owned())
            .spawn(move || flush_loop(&flusher, writer, &progress_sender))?;
        Ok(Log { shared, progress })
    }

    /// Appends one record, the concatenation of `parts`; returns the position behind it.
    ///
    /// Never waits for the disk; the flush begins at once. Records become durable in order, each one
    /// whole or not at all. The memory held until the flush is the caller's to bound: by waiting for
    /// [`Log::durable`] before taking in more.
    ///
    /// # Errors
    ///
    /// [`LogError::RecordTooLarge`], or the log has failed or is closed.
    pub fn append(&self, parts: &[&[u8]]) -> Result<Position, LogError> {
        self.push(parts, true)
    }

    /// [`Log::append`] for a record that nobody waits for yet: it is flushed with the next one that
    /// is waited for, when [`Log::durable`] or [`Log::flush`] asks for it, or when much has gathered.
    ///
    /// # Errors
    ///
    /// As [`Log::append`].
    pub fn append_lazily(&self, parts: &[&[u8]]) -> Result<Position, LogError> {
        self.push(parts, false)
    }

    /// Begins to flush what was appended. Does not wait.
    pub fn flush(&self) {
        self.shared.want(&mut self.shared.lock());
    }

    fn push(&self, parts: &[&[u8]], wanted: bool) -> Result<Position, LogError> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        let length = u32::try_from(bytes)
            .ok()
            .filter(|length| *length <= self.shared.record_bytes_max)
            .ok_or(LogError::RecordTooLarge {
                bytes,
                bytes_max: self.shared.record_bytes_max,
            })?;
        let mut pending = self.shared.lock();
        if let Some(source) = &pending.failed {
            let source = Arc::clone(source);
            return Err(LogError::Failed { source });
        }
        if pending.closing {
            return Err(LogError::Closed);
        }
        let full = pending
            .blocks
            .last()
            .is_none_or(|block| block.len() >= BLOCK_BYTES_TARGET);
        if full {
            let block = match pending.free.pop() {
                Some(block) => block,
                None => block::new_block((bytes + RECORD_HEADER_BYTES).max(4096)),
            };
            pending.blocks.push(block);
        }
        if let Some(block) = pending.blocks.last_mut() {
            block::push_record(block, parts, length);
        }
        pending.appends += 1;
        pending.end += (RECORD_HEADER_BYTES + bytes) as u64;
        // A full block is not worth waiting with: its sync would only delay the next one's.
        if wanted || pending.blocks.len() > 1 {
            self.shared.want(&mut pending);
        }
        Ok(Position(pending.end))
    }

    /// Waits until everything up to `position` is on disk.
    ///
    /// Cancel safety: dropping the future changes nothing.
    ///
    /// # Errors
    ///
    /// [`LogError::Failed`]: whether the records are on disk is unknown. [`LogError::Closed`] when
    /// the log was closed before it got there.
    pub async fn durable(&self, position: Position) -> Result<(), LogError> {
        let mut progress = self.progress.clone();
        if progress.borrow().durable < position {
            self.flush();
        }
        let state = progress
            .wait_for(|state| state.durable >= position || state.failed.is_some() || state.closed)
            .await
            .map_err(|_| LogError::Closed)?;
        if state.durable >= position {
            return Ok(());
        }
        Err(match &state.failed {
            Some(source) => LogError::Failed {
                source: Arc::clone(source),
            },
            None => LogError::Closed,
        })
    }

    /// Position up to which everything is on disk.
    pub fn durable_position(&self) -> Position {
        self.progress.borrow().durable
    }

    /// A receiver that changes whenever more is durable (or the log fails): for loops that act on
    /// everything up to [`Log::durable_position`].
    pub fn changes(&self) -> Changes {
        Changes(self.progress.clone())
    }

    /// Position behind the last appended record, durable or not.
    pub fn end(&self) -> Position {
        Position(self.shared.lock().end)
    }

    /// Bytes of records between the oldest kept segment and the end.
    pub fn size_bytes(&self) -> u64 {
        let end = self.end().0;
        end - self.shared.segments.oldest().unwrap_or(end)
    }

    /// Bytes of a half-written flush that opening dropped.
    pub fn torn_bytes(&self) -> u64 {
        self.shared.torn_bytes
    }

    /// Frees whole segments that hold only records before `position`.
    ///
    /// # Errors
    ///
    /// [`LogError::Failed`] with the disk's error; the log itself goes on.
    pub fn truncate_before(&self, position: Position) -> Result<(), LogError> {
        let result = self.shared.segments.truncate_before(position.0);
        result.map_err(|error| LogError::Failed {
            source: Arc::new(error),
        })
    }

    /// Flushes what was appended and stops; later appends answer [`LogError::Closed`].
    ///
    /// # Errors
    ///
    /// As [`Log::durable`].
    pub async fn close(self) -> Result<(), LogError> {
        let end = {
            let mut pending = self.shared.lock();
            pending.closing = true;
            Position(pending.end)
        };
        self.shared.wake.notify_one();
        self.durable(end).await?;
        let mut progress = self.progress.clone();
        let closed = progress.wait_for(|state| state.closed || state.failed.is_some());
        closed.await.map_err(|_| LogError::Closed).map(drop)
    }
}

/// Tells when more of a log is durable; made by [`Log::changes`].
#[derive(Debug, Clone)]
pub struct Changes(watch::Receiver<Progress>);

impl Changes {
    /// Waits for the next change and returns the durable position; `None` when the log has failed
    /// or was closed. Cancel safe.
    pub async fn next(&mut self) -> Option<Position> {
        self.0.changed().await.ok()?;
        let state = self.0.borrow_and_update();
        (state.failed.is_none() && !state.closed).then_some(state.durable)
    }
}

impl Shared {
    /// Wakes the flush thread if there is something to flush.
    fn want(&self, pending: &mut Pending) {
        if !pending.blocks.is_empty() && !pending.wanted {
            pending.wanted = true;
            self.wake.notify_one();
        }
    }

    /// Lets the directory be opened again.
    fn release(&self) {
        if let Err(error) = self.lock_file.unlock() {
            warn!(error = %error, "cannot unlock the log directory");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        // Nothing panics while the lock is held with `Pending` half changed.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // The flush thread holds the other reference: the last handle lets it end.
        if Arc::strong_count(&self.shared) <= 2 {
            self.shared.lock().closing = true;
            self.shared.wake.notify_one();
        }
    }
}

fn flush_loop(shared: &Shared, mut writer: Writer, progress: &watch::Sender<Progress>) {
    let mut spare_made_for = None;
    let (mut begun, mut busy) = (Instant::now(), false);
    loop {
        let (mut blocks, appends) = {
            let mut pending = shared.lock();
            while !pending.wanted && !pending.closing {
                pending = shared
                    .wake
                    .wait(pending)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            let rest = shared.busy_interval.saturating_sub(begun.elapsed());
            if busy && !rest.is_zero() && !pending.closing {
                drop(pending);
                thread::sleep(rest);
                pending = shared.lock();
            }
            pending.wanted = false;
            (
                std::mem::take(&mut pending.blocks),
                std::mem::take(&mut pending.appends),
            )
        };
        begun = Instant::now();
        busy = appends >= BUSY_APPENDS;
        if blocks.is_empty() {
            shared.release();
            progress.send_modify(|state| state.closed = true);
            return;
        }
        match writer.flush(&mut blocks) {
            Ok(durable) => {
                progress.send_modify(|state| state.durable = Position(durable));
                reuse(&mut shared.lock().free, blocks);
            }
            Err(error) => {
                let error = Arc::new(error);
                shared.lock().failed = Some(Arc::clone(&error));
                shared.release();
                tracing::error!(error = %error, "the log stops: a write or sync failed");
                progress.send_modify(|state| state.failed = Some(error));
                return;
            }
        }
        let current = shared.segments.newest();
        if writer.used_percent() >= SPARE_AT_PERCENT && spare_made_for != current {
            spare_made_for = current;
            make_spare(shared);
        }
    }
}

/// Keeps a few written blocks, unless a record larger than usual made them large.
fn reuse(free: &mut Vec<Vec<u8>>, written: Vec<Vec<u8>>) {
    for mut block in written {
        if free.len() < FREE_BLOCKS_MAX && block.capacity() <= 2 * BLOCK_BYTES_TARGET {
            block.truncate(HEADER_BYTES);
            free.push(block);
        }
    }
}

/// In a thread of its own: writing a whole file of zeros would hold up the acknowledgements.
fn make_spare(shared: &Shared) {
    let segments = Arc::clone(&shared.segments);
    let spawned = thread::Builder::new()
        .name("log-spare".to_owned())
        .spawn(move || {
            if let Err(error) = segments.prepare_spare(true) {
                warn!(error = %error, "cannot make the next log file ahead of need");
            }
        });
    if let Err(error) = spawned {
        warn!(error = %error, "cannot start a thread to make the next log file");
    }
}

fn open_error(dir: &Path, error: RecoverError) -> OpenError {
    match error {
        RecoverError::Io(what, source) => OpenError::Io {
            what,
            dir: dir.to_owned(),
            source,
        },
        RecoverError::Corrupt {
            position,
            file,
            offset,
            detail,
        } => OpenError::Corrupt {
            position,
            file,
            offset,
            detail,
        },
        RecoverError::Replay(position, source) => OpenError::Replay { position, source },
    }
}

#[cfg(test)]
mod tests;
