//! Numbers of the MQI that applications use (IBM MQ documentation, "Constants" and "Reason codes").

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

/// Options of MQOPEN (MQOO_*).
pub mod open {
    /// Get; the queue says whether others may too.
    pub const INPUT_AS_Q_DEF: i32 = 0x1;
    /// Get, as others may.
    pub const INPUT_SHARED: i32 = 0x2;
    /// Get, and nobody else may.
    pub const INPUT_EXCLUSIVE: i32 = 0x4;
    /// Look without taking.
    pub const BROWSE: i32 = 0x8;
    /// Put.
    pub const OUTPUT: i32 = 0x10;
    /// Ask for attributes.
    pub const INQUIRE: i32 = 0x20;
    /// Change attributes.
    pub const SET: i32 = 0x40;
    /// Say who a message is from and when it was put.
    pub const SET_ALL_CONTEXT: i32 = 0x800;
    /// Fail when the queue manager is quiescing.
    pub const FAIL_IF_QUIESCING: i32 = 0x2000;
}

/// Options of MQCLOSE (MQCO_*).
pub mod close {
    /// The queue stays.
    pub const NONE: i32 = 0;
    /// A dynamic queue goes, if it is empty.
    pub const DELETE: i32 = 1;
    /// A dynamic queue goes, with what is on it.
    pub const DELETE_PURGE: i32 = 2;
}

/// Options of MQPUT (MQPMO_*).
pub mod put {
    /// In the unit of work.
    pub const SYNCPOINT: i32 = 0x2;
    /// At once.
    pub const NO_SYNCPOINT: i32 = 0x4;
    /// The queue manager makes a message identifier.
    pub const NEW_MSG_ID: i32 = 0x40;
    /// The descriptor says who and when; the queue is open with the same option.
    pub const SET_ALL_CONTEXT: i32 = 0x800;
    /// Fail when the queue manager is quiescing.
    pub const FAIL_IF_QUIESCING: i32 = 0x2000;
    /// No reply.
    pub const ASYNC_RESPONSE: i32 = 0x1_0000;
    /// A reply, whatever the queue says.
    pub const SYNC_RESPONSE: i32 = 0x2_0000;
}

/// Options of MQGET (MQGMO_*).
pub mod get {
    /// Wait for a message.
    pub const WAIT: i32 = 0x1;
    /// In the unit of work.
    pub const SYNCPOINT: i32 = 0x2;
    /// At once.
    pub const NO_SYNCPOINT: i32 = 0x4;
    /// Look at the first message.
    pub const BROWSE_FIRST: i32 = 0x10;
    /// Look at the next message.
    pub const BROWSE_NEXT: i32 = 0x20;
    /// Take the message that was browsed last.
    pub const MSG_UNDER_CURSOR: i32 = 0x100;
    /// Fail when the queue manager is quiescing.
    pub const FAIL_IF_QUIESCING: i32 = 0x2000;
    /// Properties come as an MQRFH2 in front of the data.
    pub const PROPERTIES_FORCE_MQRFH2: i32 = 0x0200_0000;
}

/// Selectors of MQINQ (MQIA_*, MQCA_*).
pub mod attribute {
    /// Messages on the queue.
    pub const CURRENT_Q_DEPTH: i32 = 3;
    /// Most messages.
    pub const MAX_Q_DEPTH: i32 = 15;
    /// Longest message in bytes.
    pub const MAX_MSG_LENGTH: i32 = 13;
    /// Handles that get.
    pub const OPEN_INPUT_COUNT: i32 = 17;
    /// Handles that put.
    pub const OPEN_OUTPUT_COUNT: i32 = 18;
    /// Backouts after which a message should be set aside.
    pub const BACKOUT_THRESHOLD: i32 = 22;
    /// Where it should go then; 48 characters.
    pub const BACKOUT_REQ_Q_NAME: i32 = 2019;
    /// The queue manager's name; 48 characters.
    pub const Q_MGR_NAME: i32 = 2015;
    /// The queue manager's unique name; 48 characters.
    pub const Q_MGR_IDENTIFIER: i32 = 2032;
}
