//! The start of a socket: INITIAL_DATA, renegotiation, who we are.
//!
//! Invariant: what was agreed is never more than either side offered.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use mq_wire::{
    Assembler, Chars, Conversation, Credentials, Flow, Header, HeaderKind, Id102, Id208, IdBase,
    InitialData, SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, Segment,
    SegmentReader, SegmentType, UserId, UserIdBase, flags, status_code,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::error::ClientError;
use crate::options::ClientOptions;

/// FAP level that we offer: from level 11 on passwords are protected in a way that is not published.
const FAP_LEVEL: u8 = 10;
/// 20 MQREQUEST, 04 split messages, 02 conversion: as IBM's client.
const CAPABILITIES1: u8 = 0x26;
/// 40 SPI, 10 XA, 01 distribution lists: as IBM's client.
const CAPABILITIES2: u8 = 0x51;
/// Exchanges of INITIAL_DATA after which we give up.
const ROUNDS_MAX: usize = 4;
/// Before the agreement nothing longer is expected.
const READ_BYTES: usize = 4 << 10;

/// What both sides will keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) segment_bytes_max: u32,
    pub(crate) message_bytes_max: u32,
    pub(crate) heartbeat_seconds: u32,
    /// 0: the socket is one conversation with plain headers.
    pub(crate) conversations_max: u32,
}

impl Agreed {
    /// Header of a call of a conversation.
    pub(crate) fn kind(&self, id: u32, request: u32) -> HeaderKind {
        match self.conversations_max {
            0 => HeaderKind::Plain,
            _ => HeaderKind::Of(Conversation { id, request }),
        }
    }

    /// Header of what concerns the whole socket.
    pub(crate) fn control(&self) -> HeaderKind {
        match self.conversations_max {
            0 => HeaderKind::Plain,
            _ => HeaderKind::Control,
        }
    }
}

/// A socket that is ready for MQCONN.
pub(crate) struct Started<S> {
    pub(crate) stream: S,
    pub(crate) agreed: Agreed,
    pub(crate) segments: SegmentReader,
    pub(crate) assembler: Assembler,
    /// Read and not yet used.
    pub(crate) buffer: BytesMut,
}

struct Talk<S> {
    stream: S,
    segments: SegmentReader,
    assembler: Assembler,
    buffer: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    async fn send(&mut self, header: Header, flow: &Flow) -> Result<(), ClientError> {
        let mut out = BytesMut::with_capacity(512);
        flow.write(header, SEGMENT_BYTES_DEFAULT, &mut out)?;
        let written = self.stream.write_all(&out).await;
        written.map_err(|source| broken(Some(source)))
    }

    async fn receive(&mut self) -> Result<Segment, ClientError> {
        loop {
            if let Some(segment) = self.segments.next(&mut self.buffer)?
                && let Some(message) = self.assembler.push(segment)?
            {
                return Ok(message);
            }
            let read = self.stream.read_buf(&mut self.buffer).await;
            match read {
                Ok(0) => return Err(broken(None)),
                Ok(_) => {}
                Err(source) => return Err(broken(Some(source))),
            }
        }
    }

    /// INITIAL_DATA of the other side, or why there is none.
    async fn identity(&mut self) -> Result<(Header, InitialData), ClientError> {
        let message = self.receive().await?;
        let header = message.header;
        match Flow::read(message)? {
            Flow::InitialData(theirs) => Ok((header, *theirs)),
            Flow::Status(Some(status)) => Err(ClientError::Status { code: status.code }),
            _ => Err(ClientError::Reply {
                call: "INITIAL_DATA",
            }),
        }
    }
}

fn broken(source: Option<std::io::Error>) -> ClientError {
    ClientError::Broken {
        call: "the start of the channel",
        source: source.map(Arc::new),
    }
}

/// Agrees with the other side and says who we are.
pub(crate) async fn start<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    options: &ClientOptions,
) -> Result<Started<S>, ClientError> {
    let mut talk = Talk {
        stream,
        segments: SegmentReader::new(SEGMENT_BYTES_DEFAULT),
        assembler: Assembler::new(0),
        buffer: BytesMut::with_capacity(READ_BYTES),
    };
    let mut ours = identity(options);
    let mut kind = HeaderKind::Plain;
    let mut rounds = 0;
    let agreed = loop {
        rounds += 1;
        if rounds > ROUNDS_MAX {
            return Err(ClientError::Negotiation {
                what: format!("it refused what it had asked for, {ROUNDS_MAX} times"),
            });
        }
        let header = Header::new(SegmentType::INITIAL_DATA, kind);
        let header = header.with_flags(flags::CONFIRM | flags::WHOLE);
        talk.send(header, &Flow::InitialData(Box::new(ours.clone())))
            .await?;
        let (header, theirs) = talk.identity().await?;
        let agreed = agree(&ours, &theirs)?;
        if header.flags & flags::ERROR == 0 {
            break agreed;
        }
        // It did not take what we offered: we offer what it says.
        adopt(&mut ours, &theirs, agreed);
        kind = agreed.kind(1, 0);
    };
    let kind = agreed.kind(1, 0);
    let user = UserId {
        base: UserIdBase {
            user: Chars::new(&options.user),
            password: Chars::BLANK,
        },
        long_user: Some(Chars::new(&options.user)),
        // Security identifier: none.
        rest: Bytes::from_static(&[0; 40]),
    };
    talk.send(
        Header::new(SegmentType::USERID_DATA, kind),
        &Flow::UserId(Box::new(user)),
    )
    .await?;
    if let Some(password) = &options.password {
        let credentials = Credentials::new(&options.user, password.clear());
        talk.send(
            Header::new(SegmentType::CONAUTH_INFO, kind),
            &Flow::Credentials(Box::new(credentials)),
        )
        .await?;
        match Flow::read(talk.receive().await?)? {
            Flow::Status(Some(status)) if status.code == status_code::OK => {}
            Flow::Status(Some(status)) => return Err(ClientError::Status { code: status.code }),
            _ => {
                return Err(ClientError::Reply {
                    call: "CONAUTH_INFO",
                });
            }
        }
    }
    Ok(Started {
        stream: talk.stream,
        agreed,
        segments: SegmentReader::new(agreed.segment_bytes_max),
        assembler: Assembler::new(agreed.message_bytes_max as usize),
        buffer: talk.buffer,
    })
}

fn identity(options: &ClientOptions) -> InitialData {
    let mut compression = [0xff; 16];
    compression[0] = 0;
    InitialData {
        base: IdBase {
            fap_level: FAP_LEVEL,
            capabilities1: CAPABILITIES1,
            segment_bytes_max: SEGMENT_BYTES_DEFAULT,
            message_bytes_max: options.message_bytes_max,
            channel_name: Chars::new(&options.channel),
            ..IdBase::default()
        },
        level4: Some(Id102 {
            capabilities2: CAPABILITIES2,
            extended_capabilities2: 0,
            ccsid: 819,
            queue_manager: Chars::new(&options.queue_manager),
            heartbeat_seconds: options.heartbeat_seconds,
            rest_bytes: u16::try_from(Id208::BYTES).unwrap_or(0),
        }),
        level9: Some(Id208 {
            header_compression: [0, 0xff],
            message_compression: compression,
            conversations_max: options.conversations_max,
            process_id: std::process::id(),
            thread_id: 1,
            trace_id: 1,
            // As a C client: there is no code for a client of somebody else's.
            product_id: Chars::new("MQCC09040000"),
            ..Id208::default()
        }),
        ..InitialData::default()
    }
}

fn agree(ours: &InitialData, theirs: &InitialData) -> Result<Agreed, ClientError> {
    let segment = ours
        .base
        .segment_bytes_max
        .min(theirs.base.segment_bytes_max);
    if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&segment) {
        return Err(ClientError::Negotiation {
            what: format!(
                "segments of {segment} bytes: {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX} are supported"
            ),
        });
    }
    let beats = |data: &InitialData| {
        data.level4
            .as_ref()
            .map_or(0, |part| part.heartbeat_seconds)
    };
    let shared = |data: &InitialData| {
        data.level9
            .as_ref()
            .map_or(0, |part| part.conversations_max)
    };
    Ok(Agreed {
        segment_bytes_max: segment,
        message_bytes_max: ours
            .base
            .message_bytes_max
            .min(theirs.base.message_bytes_max),
        heartbeat_seconds: beats(ours).max(beats(theirs)),
        conversations_max: shared(ours).min(shared(theirs)),
    })
}

fn adopt(ours: &mut InitialData, theirs: &InitialData, agreed: Agreed) {
    ours.base.fap_level = ours.base.fap_level.min(theirs.base.fap_level);
    ours.base.segment_bytes_max = agreed.segment_bytes_max;
    ours.base.message_bytes_max = agreed.message_bytes_max;
    ours.base.batch_messages_max = theirs.base.batch_messages_max;
    ours.base.sequence_wrap = theirs.base.sequence_wrap;
    if let Some(part) = &mut ours.level4 {
        part.heartbeat_seconds = agreed.heartbeat_seconds;
        if let Some(theirs) = &theirs.level4 {
            part.queue_manager = theirs.queue_manager;
        }
    }
    if let Some(part) = &mut ours.level9 {
        part.conversations_max = agreed.conversations_max;
        if let Some(theirs) = &theirs.level9 {
            part.queue_manager_id = theirs.queue_manager_id;
        }
    }
}
