//! Reads a log back: finds its end, repairs a torn tail, refuses a corrupt middle.

use std::io;

use crate::block::{self, HEADER_BYTES, RECORD_HEADER_BYTES};
use crate::disk::{Disk, DiskFile};
use crate::error::ReplayError;

/// File name of the segment whose first record begins at `base`.
pub(crate) fn segment_name(base: u64) -> String {
    format!("{base:020}.log")
}

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
    let content = file
        .read_all()
        .map_err(|e| RecoverError::Io("read a segment", e))?;
    let mut offset = 0;
    while let Some((header, payload)) = content.get(offset..).and_then(block::whole) {
        // Leftovers of an earlier life of this file, or of a tail that was repaired before.
        if header.base != state.end || header.epoch < state.epoch {
            break;
        }
        replay_block(payload, state.end, replay)?;
        state.epoch = header.epoch;
        state.end += payload.len() as u64;
        offset += HEADER_BYTES + payload.len();
    }
    if last {
        check_tail(&name, &content, offset, state)?;
        // What was read may be in the page cache only; whoever reads it now may rely on it.
        file.sync()
            .map_err(|e| RecoverError::Io("sync the last segment", e))?;
        state.tail = Some((file, offset as u64));
    }
    Ok(())
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
    content: &[u8],
    offset: usize,
    state: &mut Recovered,
) -> Result<(), RecoverError> {
    let mut at = offset;
    while let Some(found) = block::find_magic(content, at) {
        let candidate = content.get(found..).and_then(block::whole);
        if let Some((header, payload)) = candidate
            && header.base >= state.end
            && header.epoch >= state.epoch
        {
            if header.durable > state.end {
                return Err(RecoverError::Corrupt {
                    position: state.end,
                    file: name.to_owned(),
                    offset: offset as u64,
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
