//! From a stream of bytes to whole messages, and back.
//!
//! ```text
//! bytes ──[SegmentReader]──▶ segments ──[Assembler]──▶ flows (header + whole body)
//! ```
//!
//! Invariants: nothing is allocated for what a length merely promises; a body never grows above its
//! limit; what [`write_message`] cuts, [`Assembler`] joins to the same bytes.

use std::collections::HashMap;

use bytes::{Buf, Bytes, BytesMut};

use crate::error::WireError;
use crate::header::{Header, TSH_BYTES, flags, header_bytes};

/// Longest segment before anything was negotiated, in bytes; also the longest that we offer.
pub const SEGMENT_BYTES_DEFAULT: u32 = 32_766;
/// Longest segment that may be negotiated, in bytes.
pub const SEGMENT_BYTES_MAX: u32 = 1 << 20;
/// Shortest segment that may be negotiated: no header and structures are cut.
pub const SEGMENT_BYTES_MIN: u32 = 4_096;
/// Bytes of headers and structures beside the data of a message.
pub const OVERHEAD_BYTES_MAX: usize = 64 << 10;
/// Conversations with an unfinished long message at a time, on one socket.
pub const UNFINISHED_MAX: usize = 1_024;

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its header.
    pub header: Header,
    /// What follows the header; shares the read buffer's memory.
    pub body: Bytes,
}

/// Cuts a stream of bytes into segments.
#[derive(Debug)]
pub struct SegmentReader {
    segment_bytes_max: u32,
}

impl SegmentReader {
    /// Accepts segments up to `segment_bytes_max`.
    pub fn new(segment_bytes_max: u32) -> Self {
        Self { segment_bytes_max }
    }

    /// Bytes needed in front of `buffer` until [`SegmentReader::next`] has a segment, as far as it
    /// is known: a hint for the size of the read buffer, at most the limit.
    pub fn wanted(&self, buffer: &[u8]) -> usize {
        let length = buffer.get(4..8).and_then(|bytes| bytes.try_into().ok());
        let length = length.map_or(TSH_BYTES as u32, u32::from_be_bytes);
        (length.min(self.segment_bytes_max) as usize).saturating_sub(buffer.len())
    }

    /// Takes the next segment off `buffer`; `None` when it is not whole yet.
    ///
    /// # Errors
    ///
    /// [`WireError`]: the stream is no MQ protocol or a segment is too long. The connection is of
    /// no use afterwards.
    pub fn next(&self, buffer: &mut BytesMut) -> Result<Option<Segment>, WireError> {
        let Some(min) = header_bytes(buffer)? else {
            return Ok(None);
        };
        let Some(length) = buffer.get(4..8).and_then(|bytes| bytes.try_into().ok()) else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(length);
        let min = min as u32;
        if length < min || length > self.segment_bytes_max {
            return Err(WireError::SegmentLength {
                length,
                min,
                max: self.segment_bytes_max,
            });
        }
        if buffer.len() < length as usize {
            return Ok(None);
        }
        let header = Header::read(buffer)?;
        let mut body = buffer.split_to(length as usize).freeze();
        body.advance(header.bytes());
        Ok(Some(Segment { header, body }))
    }
}

/// Joins the pieces of long messages, a conversation at a time.
#[derive(Debug)]
pub struct Assembler {
    body_bytes_max: usize,
    unfinished: HashMap<u32, (Header, BytesMut)>,
}

impl Assembler {
    /// Joins up to messages of `message_bytes_max` bytes of data.
    pub fn new(message_bytes_max: usize) -> Self {
        Self {
            body_bytes_max: message_bytes_max.saturating_add(OVERHEAD_BYTES_MAX),
            unfinished: HashMap::new(),
        }
    }

    /// Takes a segment; gives the message that it completes.
    ///
    /// ASYNC_MESSAGE has its own way of being cut and passes as it is.
    ///
    /// # Errors
    ///
    /// [`WireError`]: pieces out of order, or the whole is too long.
    pub fn push(&mut self, segment: Segment) -> Result<Option<Segment>, WireError> {
        let Segment { header, body } = segment;
        if !header.segment_type.is_mqi() {
            return Ok(Some(Segment { header, body }));
        }
        let out_of_order = WireError::OutOfOrder {
            segment_type: header.segment_type.0,
        };
        let id = header
            .conversation()
            .map_or(0, |conversation| conversation.id);
        let first = header.flags & flags::FIRST != 0;
        let last = header.flags & flags::LAST != 0;
        if first && self.unfinished.contains_key(&id) {
            return Err(out_of_order);
        }
        if first && last {
            return Ok(Some(Segment { header, body }));
        }
        if first {
            if self.unfinished.len() >= UNFINISHED_MAX {
                return Err(WireError::Limit {
                    what: "conversations with an unfinished message",
                    value: self.unfinished.len() as i64 + 1,
                    max: UNFINISHED_MAX,
                });
            }
            self.unfinished
                .insert(id, (header, BytesMut::from(&body[..])));
            return Ok(None);
        }
        let Some((begun, bytes)) = self.unfinished.get_mut(&id) else {
            return Err(out_of_order);
        };
        if begun.segment_type != header.segment_type {
            return Err(out_of_order);
        }
        if bytes.len() + body.len() > self.body_bytes_max {
            return Err(WireError::Limit {
                what: "bytes of a message with its structures",
                value: (bytes.len() + body.len()) as i64,
                max: self.body_bytes_max,
            });
        }
        bytes.extend_from_slice(&body);
        if !last {
            return Ok(None);
        }
        let Some((mut header, bytes)) = self.unfinished.remove(&id) else {
            return Err(out_of_order);
        };
        header.flags |= flags::LAST;
        Ok(Some(Segment {
            header,
            body: bytes.freeze(),
        }))
    }

    /// Forgets what a conversation that ended has begun.
    pub fn forget(&mut self, conversation: u32) {
        self.unfinished.remove(&conversation);
    }
}

/// Writes `head` and `data` as one message, in as many segments as it takes.
///
/// `header.flags` other than FIRST and LAST go on every piece.
pub fn write_message(
    header: Header,
    head: &[u8],
    data: &[u8],
    segment_bytes_max: u32,
    out: &mut BytesMut,
) {
    let room = (segment_bytes_max.max(SEGMENT_BYTES_MIN) as usize) - header.bytes();
    let total = head.len() + data.len();
    let flags = header.flags & !flags::WHOLE;
    if total <= room {
        header.with_flags(flags | flags::WHOLE).write(total, out);
        out.extend_from_slice(head);
        out.extend_from_slice(data);
        return;
    }
    let mut written = 0;
    out.reserve(total + total.div_ceil(room) * header.bytes());
    while written < total {
        let piece = room.min(total - written);
        let first = if written == 0 { flags::FIRST } else { 0 };
        let last = if written + piece == total {
            flags::LAST
        } else {
            0
        };
        header.with_flags(flags | first | last).write(piece, out);
        let end = written + piece;
        let from_head = head.get(written.min(head.len())..end.min(head.len()));
        out.extend_from_slice(from_head.unwrap_or_default());
        let begin = written.saturating_sub(head.len());
        let from_data = data.get(begin..end.saturating_sub(head.len()));
        out.extend_from_slice(from_data.unwrap_or_default());
        written = end;
    }
}
