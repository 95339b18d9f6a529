//! What can go wrong, and whether trying again helps.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mq_wire::{WireError, status_code};

use crate::options::Host;
use crate::reason::Reason;

/// A call, or the connection, failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No socket to the host. Retrying helps when it is there again.
    #[error("cannot connect to {host}")]
    Connect {
        /// Which.
        host: Host,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// The host did not answer in time. Retrying helps when it is less busy.
    #[error("{host} did not answer within {seconds} s")]
    ConnectTime {
        /// Which.
        host: Host,
        /// How long was waited.
        seconds: u64,
    },
    /// No queue manager is named.
    #[error("no host is configured")]
    NoHost,
    /// TLS was not agreed on: certificate, host name or cipher. Retrying the same does not help.
    #[error("no TLS with {host}")]
    Tls {
        /// Which.
        host: Host,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// The other side ended the channel with a status.
    #[error("the queue manager ended the channel: {}", status(*.code))]
    Status {
        /// As received.
        code: i32,
    },
    /// What came is not the protocol. Retrying does not help.
    #[error("the other side does not speak IBM MQ's channel protocol")]
    Wire(#[from] WireError),
    /// A reply is not what was asked for.
    #[error("the queue manager answered {call} with something else")]
    Reply {
        /// Which call.
        call: &'static str,
    },
    /// The connection is gone; what was not committed is backed out. Retrying needs a new connection.
    #[error("the connection to the queue manager broke during {call}")]
    Broken {
        /// Which call.
        call: &'static str,
        /// Why, where it is known.
        #[source]
        source: Option<Arc<io::Error>>,
    },
    /// Nothing was heard in time; the session is ended.
    #[error("{call} was not answered within {after:?}")]
    Silence {
        /// Which call.
        call: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// An earlier call of the session was dropped before its reply came.
    #[error("{call} in a session with an unanswered call: it has to be begun anew")]
    Abandoned {
        /// Which call.
        call: &'static str,
    },
    /// Both sides cannot agree on how to speak.
    #[error("no agreement with the queue manager: {what}")]
    Negotiation {
        /// On what.
        what: String,
    },
    /// The queue manager refused a call.
    #[error("{call} of {object:?} failed with reason {reason}")]
    Call {
        /// Which call.
        call: &'static str,
        /// Queue or queue manager; empty where there is none.
        object: String,
        /// Why.
        reason: Reason,
    },
    /// Asynchronous puts failed; what was put in the unit of work must be backed out.
    #[error("{failed} of {puts} puts to {object:?} failed, the first with reason {reason}")]
    AsyncPuts {
        /// To which queue.
        object: String,
        /// All of them.
        puts: usize,
        /// Those that failed.
        failed: usize,
        /// Of the first.
        reason: Reason,
    },
}

impl ClientError {
    /// Reason code of the MQI; 2009 for a connection that is gone, `None` where there is none.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Call { reason, .. } | Self::AsyncPuts { reason, .. } => Some(*reason),
            Self::Broken { .. } | Self::Silence { .. } => Some(Reason::CONNECTION_BROKEN),
            _ => None,
        }
    }

    /// Whether the session can go on: the queue manager answered, even if it refused.
    pub fn session_is_usable(&self) -> bool {
        match self {
            // Of no use for anything any more.
            Self::Call { reason, .. } => !matches!(reason.0, 2009 | 2018 | 2059 | 2161 | 2162),
            Self::AsyncPuts { .. } => true,
            _ => false,
        }
    }

    /// Whether trying again, on a new connection, may help without changing anything here.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::ConnectTime { .. }
            | Self::Broken { .. }
            | Self::Silence { .. }
            | Self::Abandoned { .. } => true,
            Self::Status { code } => matches!(
                *code,
                status_code::QUEUE_MANAGER_UNAVAILABLE
                    | status_code::TERMINATING
                    | status_code::CHANNEL_UNAVAILABLE
            ),
            Self::Call { reason, .. } | Self::AsyncPuts { reason, .. } => reason.is_transient(),
            Self::Wire(_)
            | Self::Reply { .. }
            | Self::Tls { .. }
            | Self::NoHost
            | Self::Negotiation { .. } => false,
        }
    }

    /// Whether a commit, or a put outside of a unit of work, may have happened all the same.
    pub fn outcome_is_unknown(&self) -> bool {
        match self {
            Self::Broken { .. } | Self::Silence { .. } | Self::Wire(_) | Self::Reply { .. } => true,
            // The channel ended while the answer was awaited.
            Self::Status { .. } => true,
            Self::Call { reason, .. } => {
                matches!(
                    reason.0,
                    2009 | 2123 | 2124 | 2195 | 2161 | 2162 | 2059 | 2548
                )
            }
            _ => false,
        }
    }
}

fn status(code: i32) -> String {
    let text = match code {
        status_code::UNKNOWN_CHANNEL => "there is no channel of this name",
        0x02 => "the channel is of another type",
        status_code::QUEUE_MANAGER_UNAVAILABLE => "the queue manager is not available",
        status_code::TERMINATING => "it is ending",
        0x08 => "time ran out",
        0x0a..=0x10 => "it did not understand what was sent",
        status_code::SECURITY => "not authorised",
        status_code::CHANNEL_UNAVAILABLE => {
            "the channel is not available: stopped, or too many connections"
        }
        0x17 => "an exit closed the channel",
        0x18 => "the TLS cipher does not fit the channel",
        status_code::PEER_NAME => "the certificate's name does not fit the channel",
        0x1a => "a client certificate is needed",
        0x20 => "it is a standby",
        _ => return format!("status {code:#04x}"),
    };
    format!("{text} (status {code:#04x})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_to_do_next() {
        let unknown = ClientError::Broken {
            call: "MQCMIT",
            source: None,
        };
        assert!(unknown.outcome_is_unknown() && unknown.is_transient());
        assert!(!unknown.session_is_usable());
        let full = ClientError::Call {
            call: "MQPUT",
            object: "Q".to_owned(),
            reason: Reason::Q_FULL,
        };
        assert!(!full.outcome_is_unknown() && full.is_transient() && full.session_is_usable());
        assert_eq!(
            full.to_string(),
            "MQPUT of \"Q\" failed with reason 2053 (the queue is full)"
        );
        let refused = ClientError::Status { code: 1 };
        assert!(!refused.is_transient());
        assert_eq!(
            refused.to_string(),
            "the queue manager ended the channel: there is no channel of this name (status 0x01)"
        );
    }
}
