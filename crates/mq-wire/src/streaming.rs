//! Messages that the queue manager pushes: read ahead and asynchronous consumers.

use bytes::Bytes;

use crate::descriptor::MessageDescriptor;
use crate::error::WireError;
use crate::field::{Reader, Writer, structure};

/// Bits of [`RequestBase::flags`].
pub mod request_flags {
    /// Of a listener: one message at a time under its own unit of work.
    pub const LISTENER: i32 = 0x01;
    /// The request has a selection behind it.
    pub const SELECTION: i32 = 0x10;
}

/// Bits of match options (MQMO_*).
pub mod match_options {
    /// By message identifier.
    pub const MSG_ID: i32 = 0x01;
    /// By correlation identifier.
    pub const CORREL_ID: i32 = 0x02;
    /// By group identifier.
    pub const GROUP_ID: i32 = 0x04;
    /// By sequence number in the group.
    pub const MSG_SEQ_NUMBER: i32 = 0x08;
    /// By offset in the logical message.
    pub const OFFSET: i32 = 0x10;
    /// By message token.
    pub const MSG_TOKEN: i32 = 0x20;
}

structure! {
    /// REQUEST_MSGS without its selection.
    RequestBase {
        /// 1.
        version: i32,
        /// Of the object.
        handle: i32,
        /// Bytes that arrived since the last request.
        received_bytes: i32,
        /// Bytes that may be sent; 1 = one message.
        wanted_bytes: i32,
        /// Longest message; -1 = any.
        message_bytes_max: i32,
        /// MQGMO options.
        get_options: i32,
        /// As in MQGMO.
        wait_interval: i32,
        /// State of the client's queue.
        queue_status: i32,
        /// See [`request_flags`].
        flags: i32,
        /// Global index of the last message that was received.
        last_index: i32,
    }
}

structure! {
    /// The fixed part of a selection.
    SelectionBase {
        /// To be echoed by the messages that are sent for it.
        selection_index: u16,
        /// Version of the message descriptor.
        descriptor_version: u16,
        /// Wanted with MQGMO_CONVERT.
        ccsid: i32,
        /// Wanted with MQGMO_CONVERT.
        encoding: i32,
        /// For matching.
        msg_seq_number: i32,
        /// For matching.
        offset: i32,
        /// See [`match_options`].
        match_options: i32,
    }
}

/// Which messages are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Fixed part.
    pub base: SelectionBase,
    /// With [`match_options::MSG_ID`].
    pub msg_id: Option<[u8; 24]>,
    /// With [`match_options::CORREL_ID`].
    pub correl_id: Option<[u8; 24]>,
    /// With [`match_options::GROUP_ID`].
    pub group_id: Option<[u8; 24]>,
    /// With [`match_options::MSG_TOKEN`].
    pub msg_token: Option<[u8; 16]>,
}

/// REQUEST_MSGS: the client has room for messages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestMessages {
    /// Fixed part.
    pub base: RequestBase,
    /// Which messages, when that changes.
    pub selection: Option<Selection>,
    /// A client may send more than it means.
    pub rest: Bytes,
}

impl RequestMessages {
    pub(crate) fn read(from: &mut Reader) -> Result<Self, WireError> {
        let base = RequestBase::read(from)?;
        let mut selection = None;
        if base.flags & request_flags::SELECTION != 0 {
            let fixed = SelectionBase::read(from)?;
            let wants = |bit| fixed.match_options & bit != 0;
            selection = Some(Selection {
                msg_id: optional(wants(match_options::MSG_ID), from)?,
                correl_id: optional(wants(match_options::CORREL_ID), from)?,
                group_id: optional(wants(match_options::GROUP_ID), from)?,
                msg_token: optional(wants(match_options::MSG_TOKEN), from)?,
                base: fixed,
            });
        }
        Ok(Self {
            base,
            selection,
            rest: from.all(),
        })
    }

    pub(crate) fn write(&self, to: &mut Writer<'_>) {
        self.base.write(to);
        if let Some(selection) = &self.selection {
            selection.base.write(to);
            let ids = [selection.msg_id, selection.correl_id, selection.group_id];
            ids.iter().flatten().for_each(|id| to.put(id));
            if let Some(token) = &selection.msg_token {
                to.put(token);
            }
        }
        to.out.extend_from_slice(&self.rest);
    }
}

fn optional<const N: usize>(there: bool, from: &mut Reader) -> Result<Option<[u8; N]>, WireError> {
    if there {
        from.get("selection").map(Some)
    } else {
        Ok(None)
    }
}

structure! {
    /// What every piece of a pushed message begins with.
    PieceBase {
        /// 1.
        version: i32,
        /// Of the object.
        handle: i32,
        /// Counts from 1 for each handle.
        index: i32,
        /// Counts from 1 for each handle, over all selections.
        global_index: i32,
        /// Bytes of data in this piece, without the descriptor.
        piece_bytes: i32,
        /// Number of the piece, from 0.
        piece: u16,
        /// Echo of the request.
        selection_index: u16,
    }
}

structure! {
    /// What only the first piece has.
    FirstBase {
        /// 0, or why there is less than the whole message.
        reason: i32,
        /// Bytes of the message.
        total_bytes: i32,
        /// Bytes that are sent.
        actual_bytes: i32,
        /// Identifies the message.
        msg_token: [u8; 16],
        /// 0.
        status: u16,
    }
}

/// The first piece's part between [`PieceBase`] and the data.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FirstPiece {
    /// Fixed part.
    pub base: FirstBase,
    /// Where the message was.
    pub resolved_q_name: Bytes,
    /// Version 2.
    pub descriptor: MessageDescriptor,
}

/// ASYNC_MESSAGE: a piece of a pushed message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AsyncMessage {
    /// Of every piece.
    pub base: PieceBase,
    /// Of the first.
    pub first: Option<FirstPiece>,
    /// Data of this piece.
    pub data: Bytes,
}

impl AsyncMessage {
    /// Bytes in front of the data of the first piece, with a queue name of `name_bytes`.
    pub fn head_bytes(name_bytes: usize, descriptor: &MessageDescriptor) -> usize {
        let name = 1 + name_bytes + padding(name_bytes);
        PieceBase::BYTES + FirstBase::BYTES + name + descriptor.bytes()
    }

    /// Bytes in front of the data of the other pieces.
    pub const NEXT_HEAD_BYTES: usize = PieceBase::BYTES;

    pub(crate) fn read(from: &mut Reader) -> Result<Self, WireError> {
        let base = PieceBase::read(from)?;
        let mut first = None;
        if base.piece == 0 {
            let fixed = FirstBase::read(from)?;
            let name = usize::from(from.get::<u8>("ASYNC_MESSAGE.name length")?);
            let resolved_q_name = from.take("ASYNC_MESSAGE.name", name)?;
            from.take("ASYNC_MESSAGE.padding", padding(name))?;
            first = Some(FirstPiece {
                base: fixed,
                resolved_q_name,
                descriptor: MessageDescriptor::read(from)?,
            });
        }
        Ok(Self {
            base,
            first,
            data: from.all(),
        })
    }

    /// Without the data.
    pub(crate) fn write_head(&self, to: &mut Writer<'_>) {
        self.base.write(to);
        if let Some(first) = &self.first {
            first.base.write(to);
            let name = first
                .resolved_q_name
                .get(..255)
                .unwrap_or(&first.resolved_q_name);
            to.put(&(name.len() as u8));
            to.out.extend_from_slice(name);
            to.out.resize(to.out.len() + padding(name.len()), 0);
            first.descriptor.write(to);
        }
    }
}

/// The status, the length and the name together are a multiple of four.
fn padding(name_bytes: usize) -> usize {
    (3 + name_bytes).wrapping_neg() % 4
}
