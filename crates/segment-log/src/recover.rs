//! Reads a log back: finds its end, repairs a torn tail, refuses a corrupt middle.

use std::io;

use crate::block::{self, HEADER_BYTES, Header, RECORD_HEADER_BYTES};
use crate::disk::{Disk, DiskFile};
use crate::error::ReplayError;

/// File name of the segment whose first record begins at `base`.
pub(crate) fn segment_name(base: u64) -> String {
    format!("{base:020}.log")
}

/// File names of spares begin with it: files that are to become segments.
pub(crate) const SPARE_PREFIX: &str = "spare";

fn segment_base(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    (digits.len() == 20).then(|| digits.parse().ok()).flatten()
}

/// Why recovery ended early; the caller adds the directory.
#[derive(Debug)]
pub(crate) enum RecoverError {
    Io(&'static str, io::Error),
    Corrupt {
        position: u64,
        file: String,
        offset: u64,
        detail: String,
    },
    Replay(u64, ReplayError),
}

/// Where writing goes on.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// Bases of the segments that hold records, oldest first; the last one is written to.
    pub(crate) bases: Vec<u64>,
    /// The last segment, open, and the byte behind its last whole block.
    pub(crate) tail: Option<(Box<dyn DiskFile>, u64)>,
    /// Position behind the last record.
    pub(crate) end: u64,
    /// Highest epoch seen.
    pub(crate) epoch: u32,
    /// Names of files that are to become segments, whole or half made.
    pub(crate) spares: Vec<String>,
    /// Bytes of an unacknowledged, half-written flush that were dropped.
    pub(crate) torn_bytes: u64,
}

type Replay<'a> = &'a mut dyn FnMut(u64, &[u8]) -> Result<(), ReplayError>;

/// Replays every record in order and says where the log ends.
pub(crate) fn recover(disk: &dyn Disk, replay: Replay<'_>) -> Result<Recovered, RecoverError> {
    let names = disk.list().map_err(|e| RecoverError::Io("list files", e))?;
    let mut bases: Vec<u64> = names.iter().filter_map(|name| segment_base(name)).collect();
    bases.sort_unstable();
    let mut state = Recovered {
        end: bases.first().copied().unwrap_or(0),
        tail: None,
        epoch: 0,
        torn_bytes: 0,
        bases,
        spares: names
            .into_iter()
            .filter(|name| name.starts_with(SPARE_PREFIX))
            .collect(),
    };
    for index in 0..state.bases.len() {
        let base = state.bases[index];
        if base != state.end {
            // The writer syncs a segment before it begins the next one, so the gap was durable.
            let previous = state
                .bases
                .get(index.wrapping_sub(1))
                .copied()
                .unwrap_or(base);
            return Err(RecoverError::Corrupt {
                position: state.end,
                file: segment_name(previous),
                offset: 0,
                detail: format!("the next segment begins at position {base}"),
            });
        }
        let last = index + 1 == state.bases.len();
        read_segment(disk, &mut state, base, last, replay)?;
    }
    Ok(state)
}

fn read_segment(
    disk: &dyn Disk,
    state: &mut Recovered,
    base: u64,
    last: bool,
    replay: Replay<'_>,
) -> Result<(), RecoverError> {
    let name = segment_name(base);
    let file = disk
        .open(&name)
        .map_err(|e| RecoverError::Io("open a segment", e))?;
    let read = |error| RecoverError::Io("read a segment", error);
    let mut content = Content::new(&*file).map_err(read)?;
    let mut offset = 0;
    while let Some(header) = content.header(offset).map_err(read)? {
        // Leftovers of an earlier life of this file, or of a tail that was repaired before.
        if header.base != state.end || header.epoch < state.epoch {
            break;
        }
        let Some(payload) = content.payload(offset, &header).map_err(read)? else {
            break;
        };
        replay_block(payload, state.end, replay)?;
        state.epoch = header.epoch;
        state.end += payload.len() as u64;
        offset += (HEADER_BYTES + payload.len()) as u64;
    }
    if last {
        check_tail(&name, &mut content, offset, state)?;
        // What was read may be in the page cache only; whoever reads it now may rely on it.
        file.sync()
            .map_err(|e| RecoverError::Io("sync the last segment", e))?;
        state.tail = Some((file, offset));
    }
    Ok(())
}

/// How much of a file is in memory at a time, or one block if that is larger. Small in tests, so that
/// blocks lie across its ends.
const WINDOW_BYTES: usize = if cfg!(test) { 256 } else { 1 << 20 };

/// A file, of which a window is in memory: a start must not take as long as it takes to read, and find
/// memory for, all the room that is not used yet.
struct Content<'f> {
    file: &'f dyn DiskFile,
    bytes: u64,
    /// Where in the file the window begins.
    from: u64,
    window: Vec<u8>,
}

impl<'f> Content<'f> {
    fn new(file: &'f dyn DiskFile) -> io::Result<Self> {
        Ok(Self {
            bytes: file.bytes()?,
            file,
            from: 0,
            window: Vec::new(),
        })
    }

    /// `bytes` from `offset` on; `None` when the file ends before.
    fn get(&mut self, offset: u64, bytes: usize) -> io::Result<Option<&[u8]>> {
        let left = self.bytes.saturating_sub(offset);
        if (bytes as u64) > left {
            return Ok(None);
        }
        let skip = offset.checked_sub(self.from);
        let skip = skip.and_then(|skip| usize::try_from(skip).ok());
        let skip = skip.filter(|skip| {
            skip.checked_add(bytes)
                .is_some_and(|end| end <= self.window.len())
        });
        if let Some(skip) = skip {
            return Ok(Some(&self.window[skip..skip + bytes]));
        }
        let filled = usize::try_from(left).unwrap_or(usize::MAX);
        self.window.resize(filled.min(WINDOW_BYTES.max(bytes)), 0);
        self.from = offset;
        self.file.read_at(offset, &mut self.window)?;
        Ok(Some(&self.window[..bytes]))
    }

    fn header(&mut self, offset: u64) -> io::Result<Option<Header>> {
        Ok(self.get(offset, HEADER_BYTES)?.and_then(block::header))
    }

    /// What the block at `offset` holds, if it is whole.
    fn payload(&mut self, offset: u64, header: &Header) -> io::Result<Option<&[u8]>> {
        let bytes = HEADER_BYTES.saturating_add(header.payload_bytes as usize);
        let block = self.get(offset, bytes)?;
        Ok(block.and_then(block::whole).map(|(_, payload)| payload))
    }

    /// First place at or behind `offset` where a header might begin.
    fn find_magic(&mut self, mut offset: u64) -> io::Result<Option<u64>> {
        // What is in memory already is looked at before more is read: leftovers may be many.
        while self.get(offset, block::MAGIC_BYTES)?.is_some() {
            let skip = usize::try_from(offset - self.from).unwrap_or(usize::MAX);
            let seen = self.window.get(skip..).unwrap_or_default();
            if let Some(found) = block::find_magic(seen) {
                return Ok(Some(offset + found as u64));
            }
            // One that begins in the last bytes is seen whole in the next window.
            offset += (seen.len() - (block::MAGIC_BYTES - 1)) as u64;
        }
        Ok(None)
    }
}

fn replay_block(payload: &[u8], base: u64, replay: Replay<'_>) -> Result<(), RecoverError> {
    let mut rest = payload;
    while let Some((length, tail)) = rest.split_first_chunk::<RECORD_HEADER_BYTES>() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some((record, behind)) = tail.split_at_checked(length) else {
            // The checksum was right, so this was written so: our own bug, not the disk's.
            let cause = ReplayError::new("a record is longer than its block");
            return Err(RecoverError::Replay(base, cause));
        };
        rest = behind;
        let end = base + (payload.len() - rest.len()) as u64;
        replay(end, record).map_err(|cause| RecoverError::Replay(end, cause))?;
    }
    Ok(())
}

/// Decides between torn and corrupt: a later block written when the log was already durable
/// beyond our end proves that something acknowledged is missing here.
fn check_tail(
    name: &str,
    content: &mut Content<'_>,
    offset: u64,
    state: &mut Recovered,
) -> Result<(), RecoverError> {
    let read = |error| RecoverError::Io("read a segment", error);
    let mut at = offset;
    while let Some(found) = content.find_magic(at).map_err(read)? {
        let candidate = content.header(found).map_err(read)?;
        // Leftovers are sorted out by their header, before their checksum is computed.
        let candidate =
            candidate.filter(|header| header.base >= state.end && header.epoch >= state.epoch);
        let payload = match &candidate {
            Some(header) => content.payload(found, header).map_err(read)?,
            None => None,
        };
        if let (Some(header), Some(payload)) = (candidate, payload) {
            if header.durable > state.end {
                return Err(RecoverError::Corrupt {
                    position: state.end,
                    file: name.to_owned(),
                    offset,
                    detail: format!("a whole block follows at byte {found}"),
                });
            }
            state.torn_bytes += payload.len() as u64;
        } else if found == offset {
            state.torn_bytes += 1;
        }
        at = found + 1;
    }
    Ok(())
}
