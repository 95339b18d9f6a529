//! Where messages come from: a queue of this process, or of a queue manager elsewhere.
//!
//! Invariants, for both: what [`Reader::get_batch`] gave is in one unit of work until
//! [`Reader::commit`]; a reader that is dropped has backed it out; a message that comes again has the
//! same identity.

mod mq;
mod queue;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mq_client::ClientError;
use mq_wire::{Chars, MessageDescriptor, date_and_time};
use queue_manager::{Descriptor, MsgId, Properties, QueueError};

pub use mq::MqSource;
pub use queue::QueueSource;

use crate::claim::Identity;
use crate::data::{self, Data, Opened};

/// A message on its way to Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// Names it among all messages of its queue.
    pub identity: Identity,
    /// MQMD.MsgId.
    pub msg_id: MsgId,
    /// When it was put, microseconds since 1970.
    pub put_time: i64,
    /// How often it was got before and came back (MQMD.BackoutCount). A hint only.
    pub backout_count: u32,
    /// MQMD.
    pub descriptor: Head,
    /// Beside the body; those of a client lie in front of it, in an MQRFH2.
    pub properties: Properties,
    /// All bytes behind MQMD.
    pub body: Bytes,
}

/// MQMD as the two kinds of queue managers give it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// Of this process: shared with other messages.
    Own {
        /// What many messages have in common.
        shared: Arc<Descriptor>,
        /// MQMD.CorrelId.
        correl_id: MsgId,
        /// 0 to 9.
        priority: u8,
    },
    /// As it came.
    Wire(Box<MessageDescriptor>),
}

impl Incoming {
    /// MQMD, version 2.
    pub fn descriptor(&self) -> MessageDescriptor {
        let (shared, correl_id, priority) = match &self.descriptor {
            Head::Wire(descriptor) => return (**descriptor).clone(),
            Head::Own {
                shared,
                correl_id,
                priority,
            } => (shared, correl_id, priority),
        };
        let (put_date, put_time) = date_and_time(self.put_time);
        MessageDescriptor {
            report: shared.report,
            msg_type: shared.msg_type,
            expiry: -1,
            feedback: shared.feedback,
            encoding: shared.encoding,
            ccsid: shared.ccsid,
            format: Chars(shared.format),
            priority: i32::from(*priority),
            persistence: i32::from(shared.persistent),
            msg_id: self.msg_id.0,
            correl_id: correl_id.0,
            backout_count: i32::try_from(self.backout_count).unwrap_or(i32::MAX),
            reply_to_q: Chars(shared.reply_to_q),
            reply_to_q_mgr: Chars(shared.reply_to_q_mgr),
            user_identifier: Chars(shared.user_identifier),
            accounting_token: shared.accounting_token,
            appl_identity_data: Chars(shared.appl_identity_data),
            put_appl_type: shared.put_appl_type,
            put_appl_name: Chars(shared.put_appl_name),
            put_date: Chars(put_date),
            put_time: Chars(put_time),
            appl_origin_data: Chars(shared.appl_origin_data),
            group_id: shared.group_id,
            msg_seq_number: shared.msg_seq_number,
            offset: shared.offset,
            msg_flags: shared.msg_flags,
            original_length: shared.original_length,
            ..MessageDescriptor::initial()
        }
    }

    /// The application data without headers: as UTF-8 where it is `text` and says its character set, or else as it came.
    pub fn data(&self, text: bool) -> Bytes {
        match text {
            true => self.opened().bytes,
            false => data::without_headers(self.described()).1.bytes,
        }
    }

    /// The application data without headers, as UTF-8 where it is text, and the properties.
    pub(crate) fn opened(&self) -> Opened {
        data::open(self.described())
    }

    fn described(&self) -> Data {
        let (format, encoding, ccsid) = match &self.descriptor {
            Head::Own { shared, .. } => (shared.format, shared.encoding, shared.ccsid),
            Head::Wire(md) => (md.format.0, md.encoding, md.ccsid),
        };
        Data {
            format,
            encoding,
            ccsid,
            bytes: self.body.clone(),
        }
    }
}

/// The queue failed. Always worth trying again: a queue manager comes back, rights are given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// That of this process.
    #[error("the queue failed")]
    Queue(#[from] QueueError),
    /// That of a queue manager elsewhere.
    #[error("the queue manager failed")]
    Mq(#[from] ClientError),
}

impl SourceError {
    /// Whether it is for ever: the queue manager of this process has stopped.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Queue(QueueError::Stopped { .. }))
    }
}

/// A queue to read.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// Begins to read, with no message got.
    ///
    /// # Errors
    ///
    /// [`SourceError`]: there is no connection, or no such queue.
    async fn begin(&self, queue: &str) -> Result<Box<dyn Reader>, SourceError>;
}

/// How a batch is gathered.
#[derive(Debug, Clone)]
pub struct BatchLimits {
    /// Most messages.
    pub messages_max: usize,
    /// About the most bytes of bodies.
    pub bytes_max: usize,
    /// How long a first message is waited for, about.
    pub first_wait: Duration,
    /// How long each further one is waited for.
    pub next_wait: Duration,
    /// Longest time that a batch is gathered from the first message on; `None` = as the source likes.
    pub gather_max: Option<Duration>,
}

impl Default for BatchLimits {
    /// 10,000 messages, 8 MiB; nothing is waited for but the first.
    fn default() -> Self {
        Self {
            messages_max: 10_000,
            bytes_max: 8 << 20,
            first_wait: Duration::from_millis(100),
            next_wait: Duration::ZERO,
            gather_max: None,
        }
    }
}

/// One unit of work after the other. Not cancel safe: a call that is dropped may have got messages,
/// and the reader must be dropped too.
#[async_trait]
pub trait Reader: Send {
    /// Gets what is there within the limits. The first message comes whatever its size.
    ///
    /// # Errors
    ///
    /// [`SourceError`]: the reader is to be dropped.
    async fn get_batch(&mut self, limits: &BatchLimits) -> Result<Vec<Incoming>, SourceError>;

    /// Takes what was got off the queue for good.
    ///
    /// # Errors
    ///
    /// [`SourceError`]: whether it was taken off may be unknown; if not, it comes again.
    async fn commit(&mut self) -> Result<(), SourceError>;

    /// Puts a message that was got to another queue, as it is, in the same unit of work.
    ///
    /// # Errors
    ///
    /// [`SourceError`]: no such queue, or it is full; the reader is to be dropped.
    async fn put(&mut self, queue: &str, message: &Incoming) -> Result<(), SourceError>;
}
