//! Which message a get or browse wants, and where a browse cursor stands.

use std::fmt;
use std::sync::Arc;

use crate::message::{Message, MsgId};

/// A condition on a whole message, for instance a JMS selector.
pub type Condition = Arc<dyn Fn(&Message) -> bool + Send + Sync>;

/// What a message must match (MQMO_*); nothing set = any.
#[derive(Clone, Default)]
pub struct Selection {
    /// Message identifier.
    pub msg_id: Option<MsgId>,
    /// Correlation identifier.
    pub correl_id: Option<MsgId>,
    /// Group.
    pub group_id: Option<[u8; 24]>,
    /// Place in the group.
    pub msg_seq_number: Option<i32>,
    /// Offset of a segment.
    pub offset: Option<i32>,
    /// One message by its sequence (MQGMO.MsgToken).
    pub sequence: Option<u64>,
    /// Anything else. Called under the queue manager's lock: it must be quick and must not call
    /// back.
    pub condition: Option<Condition>,
}

impl fmt::Debug for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selection")
            .field("msg_id", &self.msg_id)
            .field("correl_id", &self.correl_id)
            .field("condition", &self.condition.is_some())
            .finish_non_exhaustive()
    }
}

impl Selection {
    /// Whether any message matches.
    pub fn is_any(&self) -> bool {
        let Self {
            msg_id,
            correl_id,
            group_id,
            msg_seq_number,
            offset,
            sequence,
            condition,
        } = self;
        msg_id.is_none()
            && correl_id.is_none()
            && group_id.is_none()
            && msg_seq_number.is_none()
            && offset.is_none()
            && sequence.is_none()
            && condition.is_none()
    }

    /// Whether `message` matches.
    pub fn matches(&self, message: &Message) -> bool {
        let descriptor = &message.descriptor;
        self.msg_id.is_none_or(|id| id == message.msg_id)
            && self.correl_id.is_none_or(|id| id == message.correl_id)
            && self.group_id.is_none_or(|id| id == descriptor.group_id)
            && self
                .msg_seq_number
                .is_none_or(|number| number == descriptor.msg_seq_number)
            && self.offset.is_none_or(|offset| offset == descriptor.offset)
            && self
                .sequence
                .is_none_or(|sequence| sequence == message.sequence)
            && self
                .condition
                .as_ref()
                .is_none_or(|condition| condition(message))
    }
}

/// Where a browse cursor stands: at a message, whether or not that is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    pub(crate) priority: std::cmp::Reverse<u8>,
    pub(crate) sequence: u64,
}

impl Cursor {
    /// At a message.
    pub fn at(message: &Message) -> Self {
        Self {
            priority: std::cmp::Reverse(message.priority),
            sequence: message.sequence,
        }
    }

    /// The message's sequence, for [`Selection::sequence`].
    pub fn sequence(&self) -> u64 {
        self.sequence
    }
}

/// What a get found.
#[derive(Debug)]
pub enum Found {
    /// It was taken.
    Got(Box<Message>),
    /// One matches but was not accepted, and stays.
    Refused(Box<Message>),
    /// None matches.
    Nothing,
}
