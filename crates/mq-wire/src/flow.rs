//! Bodies: what a whole message of the protocol says.

use bytes::{Bytes, BytesMut};

use crate::call::Api;
use crate::connection::{Credentials, InitialData, Notification, SocketAction, Status, UserId};
use crate::error::WireError;
use crate::field::{Reader, Writer};
use crate::header::{Header, SegmentType, TSH_BYTES};
use crate::stream::{Segment, write_message};
use crate::streaming::{AsyncMessage, RequestMessages};
use crate::text::TextCode;
use crate::xa::Xa;

/// The body of a message of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flow {
    /// INITIAL_DATA.
    InitialData(Box<InitialData>),
    /// USERID_DATA.
    UserId(Box<UserId>),
    /// CONAUTH_INFO.
    Credentials(Box<Credentials>),
    /// STATUS; without a body it is the client's goodbye on a socket that is not shared.
    Status(Option<Status>),
    /// HEARTBEAT.
    Heartbeat,
    /// SOCKET_ACTION.
    SocketAction(SocketAction),
    /// NOTIFICATION.
    Notification(Notification),
    /// REQUEST_MSGS.
    RequestMessages(Box<RequestMessages>),
    /// ASYNC_MESSAGE.
    AsyncMessage(Box<AsyncMessage>),
    /// MQI calls and their replies.
    Api(Api),
    /// XA calls and their replies.
    Xa(Xa),
    /// A type that clients do not use.
    Other(Bytes),
}

impl Flow {
    /// Reads the body of a whole message (see [`crate::Assembler`]).
    ///
    /// # Errors
    ///
    /// [`WireError`]: it is cut, or a structure is not what it must be.
    pub fn read(segment: Segment) -> Result<Self, WireError> {
        let Segment { header, body } = segment;
        let text = TextCode::of(header.ccsid)?;
        let mut reader = Reader::new(body, header.order, text);
        let from = &mut reader;
        let flow = match header.segment_type {
            SegmentType::INITIAL_DATA => Self::InitialData(Box::new(InitialData::read(from)?)),
            SegmentType::USERID_DATA => Self::UserId(Box::new(UserId::read(from)?)),
            SegmentType::CONAUTH_INFO => Self::Credentials(Box::new(Credentials::read(from)?)),
            SegmentType::STATUS if from.rest.is_empty() => Self::Status(None),
            SegmentType::STATUS => Self::Status(Some(Status::read(from)?)),
            SegmentType::HEARTBEAT => Self::Heartbeat,
            SegmentType::SOCKET_ACTION => Self::SocketAction(SocketAction::read(from)?),
            SegmentType::NOTIFICATION => Self::Notification(Notification::read(from)?),
            SegmentType::REQUEST_MSGS => {
                Self::RequestMessages(Box::new(RequestMessages::read(from)?))
            }
            SegmentType::ASYNC_MESSAGE => Self::AsyncMessage(Box::new(AsyncMessage::read(from)?)),
            SegmentType(0x81..=0x9f) => Self::Api(Api::read(header.segment_type, from)?),
            SegmentType(0xa1..=0xbf) => Self::Xa(Xa::read(header.segment_type, from)?),
            _ => Self::Other(from.all()),
        };
        Ok(flow)
    }

    /// Writes header and body, in as many segments as it takes; numbers and text as the header
    /// says. Replies to MQI and XA calls get their length filled in when it is 0.
    ///
    /// # Errors
    ///
    /// [`WireError::Ccsid`]: the header's character set is not known.
    pub fn write(
        &self,
        header: Header,
        segment_bytes_max: u32,
        out: &mut BytesMut,
    ) -> Result<(), WireError> {
        let mut head = BytesMut::with_capacity(1024);
        let mut to = Writer::new(&mut head, header.order, TextCode::of(header.ccsid)?);
        let mut data: &[u8] = &[];
        match self {
            Self::InitialData(body) => body.write(&mut to),
            Self::UserId(body) => body.write(&mut to),
            Self::Credentials(body) => body.write(&mut to),
            Self::Status(None) => {}
            Self::Status(Some(body)) => body.write(&mut to),
            Self::Heartbeat => {}
            Self::SocketAction(body) => body.write(&mut to),
            Self::Notification(body) => body.write(&mut to),
            Self::RequestMessages(body) => body.write(&mut to),
            Self::AsyncMessage(body) => {
                body.write_head(&mut to);
                data = &body.data;
            }
            Self::Api(body) => {
                body.write_head(&mut to);
                data = body.data();
            }
            Self::Xa(body) => body.write(&mut to),
            Self::Other(body) => data = body,
        }
        // A reply's length counts a plain header and the body, also behind the longer header.
        let length = u32::try_from(TSH_BYTES + head.len() + data.len()).unwrap_or(u32::MAX);
        if header.segment_type.is_reply()
            && let Some(field) = head.get_mut(..4)
            && *field == [0; 4]
        {
            field.copy_from_slice(&length.to_be_bytes());
        }
        if header.segment_type.is_mqi() {
            write_message(header, &head, data, segment_bytes_max, out);
        } else {
            header.write(head.len() + data.len(), out);
            out.extend_from_slice(&head);
            out.extend_from_slice(data);
        }
        Ok(())
    }
}
