//! Messages: what applications put, and what they get.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// 24 bytes that identify a message (MQMD.MsgId).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MsgId(pub [u8; 24]);

impl MsgId {
    /// As IBM's queue managers make it: `AMQ `, twelve characters of the name, eight unique bytes.
    pub(crate) fn new(queue_manager: &str, sequence: u64) -> Self {
        let mut id = [b' '; 24];
        id[..4].copy_from_slice(b"AMQ ");
        for (to, from) in id[4..16].iter_mut().zip(queue_manager.bytes()) {
            *to = from;
        }
        id[16..].copy_from_slice(&sequence.to_be_bytes());
        Self(id)
    }
}

/// Hexadecimal, as MQ's tools print it.
impl fmt::Display for MsgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for MsgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MsgId({self})")
    }
}

/// Named text values that travel with a message.
///
/// Those that all messages of a batch share are kept once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties {
    /// Same for the whole batch.
    pub shared: Arc<Vec<(String, String)>>,
    /// Of this message alone, by convention the property `id`; empty = none.
    pub id: Bytes,
    /// What the putter says the message is about, so that a getter need not look into the body; empty
    /// = not said. In memory only: after a restart it is empty.
    pub key: Bytes,
}

impl Properties {
    /// A shared property's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.shared.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// A message to put. Persistent.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// 0 to 9; higher is got first. Default queue priority is 0.
    pub priority: u8,
    /// See [`Properties`].
    pub properties: Properties,
    /// The application data.
    pub body: Bytes,
}

/// A message on a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Unique within the queue manager for ever.
    pub msg_id: MsgId,
    /// Order of arrival within the queue manager.
    pub sequence: u64,
    /// When it was put, microseconds since 1970.
    pub put_time: i64,
    /// 0 to 9.
    pub priority: u8,
    /// How often a unit of work that had got it was backed out. Survives a clean stop and, unless
    /// the process died at once afterwards, a crash.
    pub backout_count: u32,
    /// See [`Properties`].
    pub properties: Properties,
    /// The application data.
    pub body: Bytes,
}
