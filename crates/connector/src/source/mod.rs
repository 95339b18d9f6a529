//! Where messages come from: a queue of this process, or of a queue manager elsewhere.
//!
//! Invariants, for both: what [`Reader::get_batch`] gave is in one unit of work until
//! [`Reader::commit`]; a reader that is dropped has backed it out; a message that comes again has the
//! same identity.

mod mq;
mod queue;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mq_client::ClientError;
use queue_manager::{MsgId, Properties, QueueError};

pub use mq::MqSource;
pub use queue::QueueSource;

use crate::claim::Identity;

/// A message on its way to Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// Names it among all messages of its queue.
    pub identity: Identity,
    /// MQMD.MsgId.
    pub msg_id: MsgId,
    /// When it was put, microseconds since 1970.
    pub put_time: i64,
    /// From beside the body, or from its MQRFH2.
    pub properties: Properties,
    /// The application data without headers; text in UTF-8, where its character set is known.
    pub body: Bytes,
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

/// One unit of work after the other. Not cancel safe: a call that is dropped may have got messages,
/// and the reader must be dropped too.
#[async_trait]
pub trait Reader: Send {
    /// Gets what is there, at most `count_max` messages and about `bytes_max` bytes of bodies; waits
    /// about `wait` for a first one. The first one comes whatever its size.
    ///
    /// # Errors
    ///
    /// [`SourceError`]: the reader is to be dropped.
    async fn get_batch(
        &mut self,
        wait: Duration,
        count_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Incoming>, SourceError>;

    /// Takes what was got off the queue for good.
    ///
    /// # Errors
    ///
    /// [`SourceError`]: whether it was taken off may be unknown; if not, it comes again.
    async fn commit(&mut self) -> Result<(), SourceError>;
}
