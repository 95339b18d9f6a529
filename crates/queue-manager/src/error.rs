//! Errors, with MQ's reason codes.

use segment_log::{LogError, OpenError};

/// A call of an application failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// MQRC_UNKNOWN_OBJECT_NAME.
    #[error("there is no queue {queue:?} (2085)")]
    UnknownQueue {
        /// As asked for.
        queue: String,
    },
    /// MQRC_Q_FULL. Retrying helps once messages were taken off.
    #[error("queue {queue} is full: {depth} messages, {bytes} bytes (2053)")]
    QueueFull {
        /// Which.
        queue: String,
        /// Messages on it.
        depth: usize,
        /// Bytes of their bodies.
        bytes: usize,
    },
    /// MQRC_MSG_TOO_BIG_FOR_Q.
    #[error("a message of {bytes} bytes is larger than message_bytes_max = {bytes_max} (2030)")]
    MessageTooBig {
        /// Of the message.
        bytes: usize,
        /// The queue's limit.
        bytes_max: usize,
    },
    /// MQRC_SYNCPOINT_LIMIT_REACHED: commit what is in hand.
    #[error("the unit of work would hold {messages} messages and {bytes} bytes of puts (2024)")]
    SyncpointLimit {
        /// Messages including the one refused.
        messages: usize,
        /// Bytes including the ones refused.
        bytes: usize,
    },
    /// The log failed or was closed. Whether a commit in flight is on disk is unknown
    /// (MQRC_CALL_INTERRUPTED); the queue manager must be started anew.
    #[error(
        "the queue manager has stopped; whether the unit of work was committed is unknown (2549)"
    )]
    Stopped {
        /// Of the log, where it is known.
        #[source]
        source: Option<LogError>,
    },
}

impl QueueError {
    /// MQ's reason code.
    pub fn reason(&self) -> u32 {
        match self {
            Self::UnknownQueue { .. } => 2085,
            Self::QueueFull { .. } => 2053,
            Self::MessageTooBig { .. } => 2030,
            Self::SyncpointLimit { .. } => 2024,
            Self::Stopped { .. } => 2549,
        }
    }
}

/// The queue manager could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Its log could not be opened.
    #[error("cannot open the queue manager's log")]
    Log(#[from] OpenError),
    /// Its log could not be written.
    #[error("cannot write the queue manager's log")]
    Write(#[from] LogError),
    /// A name is empty, too long, or has characters that MQ does not allow.
    #[error("{name:?} is no name of a queue or queue manager: 1 to 48 of A-Z a-z 0-9 . / _ %")]
    Name {
        /// As given.
        name: String,
    },
}
