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
    /// MQRC_PUT_INHIBITED. Retrying helps once somebody allows puts again.
    #[error("puts to queue {queue} are inhibited (2051)")]
    PutInhibited {
        /// Which.
        queue: String,
    },
    /// MQRC_GET_INHIBITED. Retrying helps once somebody allows gets again.
    #[error("gets from queue {queue} are inhibited (2016)")]
    GetInhibited {
        /// Which.
        queue: String,
    },
    /// MQRC_OBJECT_IN_USE. Retrying helps once the others have closed it.
    #[error("queue {queue} is in use by somebody else (2042)")]
    InUse {
        /// Which.
        queue: String,
    },
    /// MQRC_PERSISTENT_NOT_ALLOWED.
    #[error("queue {queue} is temporary: persistent messages are not allowed on it (2048)")]
    PersistentNotAllowed {
        /// Which.
        queue: String,
    },
    /// MQRC_OBJECT_ALREADY_EXISTS.
    #[error("there is a queue {queue} already (2100)")]
    Exists {
        /// Which.
        queue: String,
    },
    /// MQRC_Q_NOT_EMPTY: purge it, or delete it with what is on it.
    #[error("queue {queue} holds {depth} messages (2055)")]
    NotEmpty {
        /// Which.
        queue: String,
        /// Messages on it.
        depth: usize,
    },
    /// MQRC_Q_NOT_EMPTY, in its other meaning. Retrying helps once the units of work are over.
    #[error("queue {queue} has {messages} messages in units of work (2055)")]
    Uncommitted {
        /// Which.
        queue: String,
        /// Messages put or got and not committed.
        messages: usize,
    },
    /// MQRC_OBJECT_NAME_ERROR.
    #[error("{name:?} is no name of a queue: 1 to 48 of A-Z a-z 0-9 . / _ % (2152)")]
    Name {
        /// As given.
        name: String,
    },
    /// XAER_NOTA.
    #[error("there is no prepared unit of work {xid:?}")]
    NotPrepared {
        /// Identifier.
        xid: String,
    },
    /// XAER_DUPID.
    #[error("unit of work {xid:?} is prepared already")]
    Prepared {
        /// Identifier.
        xid: String,
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
            Self::PutInhibited { .. } => 2051,
            Self::GetInhibited { .. } => 2016,
            Self::InUse { .. } => 2042,
            Self::PersistentNotAllowed { .. } => 2048,
            Self::Exists { .. } => 2100,
            Self::NotEmpty { .. } | Self::Uncommitted { .. } => 2055,
            Self::Name { .. } => 2152,
            Self::NotPrepared { .. } | Self::Prepared { .. } => 2141,
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
