//! Why the queue manager refuses a call (IBM MQ documentation, "API completion and reason codes").

use std::fmt;

/// A reason code with its name, for those that a user of this crate is likely to meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reason(pub i32);

#[allow(missing_docs)]
impl Reason {
    pub const BACKED_OUT: Self = Self(2003);
    pub const CONNECTION_BROKEN: Self = Self(2009);
    pub const GET_INHIBITED: Self = Self(2016);
    pub const MSG_TOO_BIG_FOR_Q: Self = Self(2030);
    pub const NO_MSG_AVAILABLE: Self = Self(2033);
    pub const NOT_AUTHORIZED: Self = Self(2035);
    pub const OBJECT_IN_USE: Self = Self(2042);
    pub const PUT_INHIBITED: Self = Self(2051);
    pub const Q_FULL: Self = Self(2053);
    pub const Q_MGR_NAME_ERROR: Self = Self(2058);
    pub const Q_MGR_NOT_AVAILABLE: Self = Self(2059);
    pub const TRUNCATED_MSG_ACCEPTED: Self = Self(2079);
    pub const TRUNCATED_MSG_FAILED: Self = Self(2080);
    pub const UNKNOWN_OBJECT_NAME: Self = Self(2085);
    pub const Q_MGR_QUIESCING: Self = Self(2161);
    pub const Q_MGR_STOPPING: Self = Self(2162);
    pub const MSG_TOO_BIG_FOR_CHANNEL: Self = Self(2218);
    pub const SYNCPOINT_LIMIT_REACHED: Self = Self(2024);

    /// What it means, and where there is one, what to do.
    pub fn text(self) -> &'static str {
        match self.0 {
            2003 => "backed out",
            2009 => "connection broken",
            2016 => "gets are inhibited on the queue",
            2024 => "the unit of work holds as many messages as it may (MAXUMSGS)",
            2030 => "the message is longer than the queue's MAXMSGL",
            2033 => "no message available",
            2035 => "not authorised: look at user, password, channel rules and permissions",
            2042 => "the object is in use",
            2051 => "puts are inhibited on the queue",
            2053 => "the queue is full",
            2058 => "the queue manager has another name",
            2059 => "the queue manager is not available",
            2079 => "the message was cut",
            2080 => "the message is longer than the buffer",
            2082 => "the alias's queue does not exist",
            2085 => "there is no object of this name",
            2087 => "there is no route to this queue manager",
            2161 => "the queue manager is quiescing",
            2162 => "the queue manager is stopping",
            2195 => "unexpected error in the queue manager",
            2218 => "the message is longer than the channel's MAXMSGL",
            2537 => "the channel is not available",
            2538 => "the host is not available",
            2539 => "the channel's configuration does not fit",
            2540 => "there is no channel of this name",
            _ => "see the reason code in IBM MQ's documentation",
        }
    }

    /// Whether the same call may succeed later, nothing being changed here.
    pub fn is_transient(self) -> bool {
        matches!(
            self.0,
            2003 | 2009
                | 2016
                | 2017
                | 2024
                | 2025
                | 2042
                | 2051
                | 2053
                | 2056
                | 2059
                | 2071
                | 2102
                | 2161
                | 2162
                | 2192
                | 2195
                | 2202
                | 2203
                | 2537
                | 2538
                | 2548
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0, self.text())
    }
}
