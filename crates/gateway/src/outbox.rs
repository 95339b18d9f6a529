//! The port to the queue: what the gateway needs of it, in the gateway's words.
//!
//! Ten thousand records of a bulk request share three buffers: messages are ranges, so a batch costs
//! one allocation for the list and none a record.

use std::borrow::Cow;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use types::{Tally, names};

/// Where one message's parts stand in the buffers of its [`Batch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRef {
    /// The message's body, in [`Batch::body`].
    pub body: Range<u32>,
    /// The transaction's id, in [`Batch::names`].
    pub id: Range<u32>,
    /// The transaction's account, in [`Batch::names`]; empty in the quarantine.
    pub account: Range<u32>,
}

/// Why a message is in the quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineReason {
    /// Number of the record in what the sender sent; 0 for a whole request.
    pub record: u64,
    /// Name of the rule that was broken, one of [`mapping::rule::ALL`].
    pub rule: &'static str,
    /// Field that broke it; may be empty.
    pub field: Box<str>,
    /// What is wrong, in a sentence.
    pub detail: Box<str>,
    /// Bytes that were sent; more than the message's body has when that was cut.
    pub original_bytes: usize,
}

/// Messages to put in one unit of work, and what they have in common.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The configured source.
    pub source: Arc<str>,
    /// Gateway clock when the request was read, microseconds since 1970.
    pub received_at: i64,
    /// W3C trace context.
    pub traceparent: Box<str>,
    /// Bodies of all messages.
    pub body: Bytes,
    /// Ids and accounts of all messages, UTF-8.
    pub names: Bytes,
    /// The messages, in the order of the request.
    pub records: Vec<RecordRef>,
    /// In the quarantine one reason a message, otherwise empty.
    pub reasons: Vec<QuarantineReason>,
    /// The gateway's own count of the records, for the queue's ledger: made from what the mapping
    /// answered, not from the messages. In the quarantine without amounts.
    pub tally: Tally,
}

/// Property of a quarantined message: the record's number, 0 for a whole request.
pub const PROPERTY_RECORD: &str = "record";
/// Property of a quarantined message: the rule.
pub const PROPERTY_RULE: &str = "rule";
/// Property of a quarantined message: the field.
pub const PROPERTY_FIELD: &str = "field";
/// Property of a quarantined message: the reason as a sentence.
pub const PROPERTY_DETAIL: &str = "detail";
/// Property of a quarantined message: bytes that were sent.
pub const PROPERTY_ORIGINAL_BYTES: &str = "original_bytes";
/// Property of a quarantined message: `true` when its body was cut.
pub const PROPERTY_TRUNCATED: &str = "truncated";

impl Batch {
    /// Body of a message; shares memory with the batch.
    ///
    /// # Panics
    ///
    /// If there is no such message, like indexing.
    pub fn message_body(&self, index: usize) -> Bytes {
        let range = &self.records[index].body;
        self.body.slice(range.start as usize..range.end as usize)
    }

    /// Id of a message.
    ///
    /// # Panics
    ///
    /// If there is no such message, like indexing.
    pub fn id(&self, index: usize) -> &str {
        self.name(&self.records[index].id)
    }

    /// Account of a message; empty in the quarantine.
    ///
    /// # Panics
    ///
    /// If there is no such message, like indexing.
    pub fn account(&self, index: usize) -> &str {
        self.name(&self.records[index].account)
    }

    fn name(&self, range: &Range<u32>) -> &str {
        let bytes = &self.names[range.start as usize..range.end as usize];
        std::str::from_utf8(bytes).expect("ids and accounts come out of `str`")
    }

    /// Properties of a message: the headers of DESIGN §3, and in the quarantine the reason.
    ///
    /// # Panics
    ///
    /// If there is no such message, like indexing.
    pub fn properties(&self, index: usize) -> Vec<(&'static str, Cow<'_, str>)> {
        let mut properties = vec![
            (names::HEADER_ID, Cow::Borrowed(self.id(index))),
            (names::HEADER_SOURCE, Cow::Borrowed(&*self.source)),
            (names::HEADER_TRACEPARENT, Cow::Borrowed(&*self.traceparent)),
            (
                names::HEADER_RECEIVED_AT,
                Cow::Owned(self.received_at.to_string()),
            ),
        ];
        if let Some(reason) = self.reasons.get(index) {
            let kept = self.records[index].body.len();
            properties.extend([
                (PROPERTY_RECORD, Cow::Owned(reason.record.to_string())),
                (PROPERTY_RULE, Cow::Borrowed(reason.rule)),
                (PROPERTY_FIELD, Cow::Borrowed(&*reason.field)),
                (PROPERTY_DETAIL, Cow::Borrowed(&*reason.detail)),
                (
                    PROPERTY_ORIGINAL_BYTES,
                    Cow::Owned(reason.original_bytes.to_string()),
                ),
            ]);
            if kept < reason.original_bytes {
                properties.push((PROPERTY_TRUNCATED, Cow::Borrowed("true")));
            }
        }
        properties
    }
}

/// Why a batch was not put, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// No room. Nothing was put.
    #[error("queue {queue} is full")]
    Full {
        /// The queue.
        queue: Box<str>,
        /// When it is worth trying again, if the queue knows.
        retry_after: Option<Duration>,
    },
    /// The queue cannot be reached or takes no messages. Nothing was put.
    #[error("queue {queue} is not available: {reason}")]
    Unavailable {
        /// The queue.
        queue: Box<str>,
        /// Why, in the queue's words.
        reason: Box<str>,
    },
    /// The connection was lost during the commit. The batch may or may not have been put.
    #[error("the outcome of the commit to queue {queue} is not known: {reason}")]
    Unknown {
        /// The queue.
        queue: Box<str>,
        /// Why, in the queue's words.
        reason: Box<str>,
    },
}

/// Where a batch is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// In the queue.
    Queue,
    /// On this machine's disk, until the queue manager answers again.
    Spool,
}

/// The durable queues that the gateway puts to.
pub trait Outbox: Send + Sync + 'static {
    /// Puts all messages of the batch to one queue in one unit of work, and returns when that is
    /// committed and forced to disk.
    ///
    /// A batch has 1 to 10,000 messages. `queue` is [`names::QUEUE_TRANSACTIONS`] or
    /// [`names::QUEUE_QUARANTINE`]. Called by many requests at a time: an implementation groups their
    /// commits.
    ///
    /// # Errors
    ///
    /// [`PutError`]; only [`PutError::Unknown`] leaves open whether the messages are there.
    fn put_all(
        &self,
        queue: &'static str,
        batch: Batch,
    ) -> impl Future<Output = Result<Kept, PutError>> + Send;
}

impl<O: Outbox> Outbox for Arc<O> {
    fn put_all(
        &self,
        queue: &'static str,
        batch: Batch,
    ) -> impl Future<Output = Result<Kept, PutError>> + Send {
        O::put_all(self, queue, batch)
    }
}
