//! The header in front of every segment.

use bytes::{Buf, BufMut, BytesMut};

use crate::error::WireError;
use crate::field::ByteOrder;

/// Bytes of a header without conversation (`TSH `, `TSHC`).
pub const TSH_BYTES: usize = 28;
/// Bytes of a header with conversation (`TSHM`).
pub const TSHM_BYTES: usize = 36;

/// Control flags of a segment.
pub mod flags {
    /// The sender waits for a reply with the same request id.
    pub const CONFIRM: u8 = 0x01;
    /// Something is wrong; see the STATUS in the body.
    pub const ERROR: u8 = 0x02;
    /// The sender would like the channel to end.
    pub const REQUEST_CLOSE: u8 = 0x04;
    /// The sender ends the channel.
    pub const CLOSE: u8 = 0x08;
    /// First piece of a message.
    pub const FIRST: u8 = 0x10;
    /// Last piece of a message.
    pub const LAST: u8 = 0x20;
    /// The only piece.
    pub const WHOLE: u8 = FIRST | LAST;
}

/// What a segment is. Numbers as on the wire; a reply to an MQI or XA call is the call plus 0x10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentType(pub u8);

#[allow(missing_docs)]
impl SegmentType {
    pub const INITIAL_DATA: Self = Self(0x01);
    pub const STATUS: Self = Self(0x05);
    pub const USERID_DATA: Self = Self(0x08);
    pub const HEARTBEAT: Self = Self(0x09);
    pub const CONAUTH_INFO: Self = Self(0x0a);
    pub const SOCKET_ACTION: Self = Self(0x0c);
    pub const ASYNC_MESSAGE: Self = Self(0x0d);
    pub const REQUEST_MSGS: Self = Self(0x0e);
    pub const NOTIFICATION: Self = Self(0x0f);
    pub const MQCONN: Self = Self(0x81);
    pub const MQDISC: Self = Self(0x82);
    pub const MQOPEN: Self = Self(0x83);
    pub const MQCLOSE: Self = Self(0x84);
    pub const MQGET: Self = Self(0x85);
    pub const MQPUT: Self = Self(0x86);
    pub const MQPUT1: Self = Self(0x87);
    pub const MQSET: Self = Self(0x88);
    pub const MQINQ: Self = Self(0x89);
    pub const MQCMIT: Self = Self(0x8a);
    pub const MQBACK: Self = Self(0x8b);
    pub const SPI: Self = Self(0x8c);
    pub const MQSTAT: Self = Self(0x8d);
    pub const MQSUB: Self = Self(0x8e);
    pub const MQSUBRQ: Self = Self(0x8f);
    pub const XA_START: Self = Self(0xa1);
    pub const XA_END: Self = Self(0xa2);
    pub const XA_OPEN: Self = Self(0xa3);
    pub const XA_CLOSE: Self = Self(0xa4);
    pub const XA_PREPARE: Self = Self(0xa5);
    pub const XA_COMMIT: Self = Self(0xa6);
    pub const XA_ROLLBACK: Self = Self(0xa7);
    pub const XA_FORGET: Self = Self(0xa8);
    pub const XA_RECOVER: Self = Self(0xa9);
    pub const XA_COMPLETE: Self = Self(0xaa);

    /// The type of the reply to this call.
    #[must_use]
    pub fn reply(self) -> Self {
        Self(self.0 | 0x10)
    }

    /// The call without the difference between request and reply.
    #[must_use]
    pub fn call(self) -> Self {
        Self(self.0 & !0x10)
    }

    /// Whether this is a reply to an MQI or XA call.
    pub fn is_reply(self) -> bool {
        self.is_mqi() && self.0 & 0x10 != 0
    }

    /// Whether long bodies of this type are cut into pieces.
    pub fn is_mqi(self) -> bool {
        self.0 >= 0x80
    }
}

/// The header of a segment, without its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whom it is for.
    pub kind: HeaderKind,
    /// Of the numbers in header and body.
    pub order: ByteOrder,
    /// What the body is.
    pub segment_type: SegmentType,
    /// See [`flags`].
    pub flags: u8,
    /// Compression; 0.
    pub flags2: u8,
    /// Logical unit of work; zeros.
    pub luw_id: [u8; 8],
    /// Encoding of the sender's machine (0x111 or 0x222); informational.
    pub encoding: u32,
    /// Character set of the text fields.
    pub ccsid: u16,
    /// Zeros.
    pub reserved: u16,
}

/// The three kinds of headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HeaderKind {
    /// `TSH `: the start, and everything when conversations do not share the socket.
    Plain,
    /// `TSHC`: about a shared socket as a whole (heartbeats, conversations that begin and end).
    Control,
    /// `TSHM`: of one conversation.
    Of(Conversation),
}

/// Which of the conversations on a socket, and which request of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Conversation {
    /// Odd numbers from 1.
    pub id: u32,
    /// 0 for MQI calls, 1 for what nobody asked for, from 3 for what waits for its reply.
    pub request: u32,
}

impl Header {
    /// A little-endian header in ISO 8859-1 for a whole message.
    pub fn new(segment_type: SegmentType, kind: HeaderKind) -> Self {
        Self {
            kind,
            order: ByteOrder::Little,
            segment_type,
            flags: flags::WHOLE,
            flags2: 0,
            luw_id: [0; 8],
            encoding: 0x222,
            ccsid: 819,
            reserved: 0,
        }
    }

    /// The same with other flags.
    #[must_use]
    pub fn with_flags(self, flags: u8) -> Self {
        Self { flags, ..self }
    }

    /// Conversation and request on a shared socket.
    pub fn conversation(&self) -> Option<Conversation> {
        match self.kind {
            HeaderKind::Of(conversation) => Some(conversation),
            HeaderKind::Plain | HeaderKind::Control => None,
        }
    }

    /// Bytes of this header.
    pub fn bytes(&self) -> usize {
        match self.kind {
            HeaderKind::Of(_) => TSHM_BYTES,
            HeaderKind::Plain | HeaderKind::Control => TSH_BYTES,
        }
    }

    /// Writes the header of a segment with a body of `body_bytes`.
    pub fn write(&self, body_bytes: usize, out: &mut BytesMut) {
        let length = u32::try_from(self.bytes() + body_bytes).unwrap_or(u32::MAX);
        // The identifier shows an EBCDIC peer.
        let code = crate::text::TextCode::of(self.ccsid).unwrap_or_default();
        let mut id = *match self.kind {
            HeaderKind::Plain => b"TSH ",
            HeaderKind::Control => b"TSHC",
            HeaderKind::Of(_) => b"TSHM",
        };
        code.latin1_to_wire(&mut id);
        out.put_slice(&id);
        out.put_u32(length);
        if let HeaderKind::Of(conversation) = self.kind {
            out.put_u32(conversation.id);
            out.put_u32(conversation.request);
        }
        out.put_u8(match self.order {
            ByteOrder::Big => 1,
            ByteOrder::Little => 2,
        });
        out.put_slice(&[self.segment_type.0, self.flags, self.flags2]);
        out.put_slice(&self.luw_id);
        match self.order {
            ByteOrder::Big => {
                out.put_u32(self.encoding);
                out.put_u16(self.ccsid);
                out.put_u16(self.reserved);
            }
            ByteOrder::Little => {
                out.put_u32_le(self.encoding);
                out.put_u16_le(self.ccsid);
                out.put_u16_le(self.reserved);
            }
        }
    }

    /// Reads the header of a segment; `bytes` begins with it and holds at least
    /// [`TSH_BYTES`] and, after `TSHM`, [`TSHM_BYTES`] (see [`header_bytes`]).
    pub(crate) fn read(mut bytes: &[u8]) -> Result<Self, WireError> {
        let cut = |need: usize, have: usize| WireError::Cut {
            what: "segment header",
            need: need.saturating_sub(have),
            have,
        };
        let length = header_bytes(bytes)?.ok_or_else(|| cut(TSH_BYTES, bytes.len()))?;
        if bytes.len() < length {
            return Err(cut(length, bytes.len()));
        }
        let control = matches!(bytes.get(3), Some(b'C' | 0xc3));
        bytes.advance(8);
        let kind = if length == TSHM_BYTES {
            HeaderKind::Of(Conversation {
                id: bytes.get_u32(),
                request: bytes.get_u32(),
            })
        } else if control {
            HeaderKind::Control
        } else {
            HeaderKind::Plain
        };
        let order = match bytes.get_u8() {
            1 => ByteOrder::Big,
            2 => ByteOrder::Little,
            found => return Err(WireError::ByteOrder { found }),
        };
        let segment_type = SegmentType(bytes.get_u8());
        let (flags, flags2) = (bytes.get_u8(), bytes.get_u8());
        let mut luw_id = [0; 8];
        bytes.copy_to_slice(&mut luw_id);
        let (encoding, ccsid, reserved) = match order {
            ByteOrder::Big => (bytes.get_u32(), bytes.get_u16(), bytes.get_u16()),
            ByteOrder::Little => (bytes.get_u32_le(), bytes.get_u16_le(), bytes.get_u16_le()),
        };
        Ok(Self {
            kind,
            order,
            segment_type,
            flags,
            flags2,
            luw_id,
            encoding,
            ccsid,
            reserved,
        })
    }
}

/// Bytes of the header that begins here; `None` while fewer than four are known.
pub(crate) fn header_bytes(bytes: &[u8]) -> Result<Option<usize>, WireError> {
    let Some(id) = bytes.get(..4) else {
        return Ok(None);
    };
    match id {
        b"TSH " | b"TSHC" | [0xe3, 0xe2, 0xc8, 0x40 | 0xc3] => Ok(Some(TSH_BYTES)),
        b"TSHM" | [0xe3, 0xe2, 0xc8, 0xd4] => Ok(Some(TSHM_BYTES)),
        _ => Err(WireError::NotMq {
            found: id.try_into().unwrap_or_default(),
        }),
    }
}
