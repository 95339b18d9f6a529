//! Messages: what applications put, and what they get.

use std::fmt;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;

/// 24 bytes that identify a message (MQMD.MsgId).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MsgId(pub [u8; 24]);

impl MsgId {
    /// All zeros (MQMI_NONE, MQCI_NONE).
    pub const NONE: Self = Self([0; 24]);

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

    /// One that is made before the message has a sequence: no sequence reaches the bit that marks
    /// it, and no epoch is used by two lives of a queue manager. The counter is little-endian,
    /// because clients that reserve identifiers count there.
    pub(crate) fn of_epoch(queue_manager: &str, epoch: u32, counter: u32) -> Self {
        let mut id = Self::new(queue_manager, 0);
        id.0[16..20].copy_from_slice(&(epoch | 1 << 31).to_be_bytes());
        id.0[20..].copy_from_slice(&counter.to_le_bytes());
        id
    }

    /// Hexadecimal digits, in ASCII.
    pub(crate) fn hexadecimal(&self) -> [u8; 48] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut digits = [0; 48];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        digits
    }
}

/// Hexadecimal, as MQ's tools print it.
impl fmt::Display for MsgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.hexadecimal();
        f.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Properties {
    /// Same for the whole batch.
    pub shared: Arc<Vec<(String, String)>>,
    /// Of this message alone, by convention the property `id`; empty = none.
    pub id: Bytes,
    /// What the putter says the message is about, so that a getter need not look into the body; empty
    /// = not said. In memory only: after a restart it is empty.
    pub key: Bytes,
}

impl Default for Properties {
    fn default() -> Self {
        // Nearly every message of another program's has none: they share the empty list.
        static NONE: LazyLock<Arc<Vec<(String, String)>>> = LazyLock::new(Arc::default);
        Self {
            shared: Arc::clone(&NONE),
            id: Bytes::new(),
            key: Bytes::new(),
        }
    }
}

impl Properties {
    /// A shared property's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.shared.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What goes with a message besides its identity: MQMD's fields that are often the same for all
/// messages of a putter, and therefore shared.
///
/// Text is in ISO 8859-1, padded with blanks, as MQMD has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Survives a restart. A message that is not persistent never touches the disk.
    pub persistent: bool,
    /// MQRO_*.
    pub report: i32,
    /// MQMT_*.
    pub msg_type: i32,
    /// MQFB_*.
    pub feedback: i32,
    /// Of the numbers in the body.
    pub encoding: i32,
    /// Character set of the body.
    pub ccsid: i32,
    /// What the body is.
    pub format: [u8; 8],
    /// Where replies go.
    pub reply_to_q: [u8; 48],
    /// Its queue manager.
    pub reply_to_q_mgr: [u8; 48],
    /// Who put it.
    pub user_identifier: [u8; 12],
    /// Identity context.
    pub accounting_token: [u8; 32],
    /// Identity context.
    pub appl_identity_data: [u8; 32],
    /// MQAT_*.
    pub put_appl_type: i32,
    /// Program that put it.
    pub put_appl_name: [u8; 28],
    /// Origin context.
    pub appl_origin_data: [u8; 4],
    /// Group; zeros = none.
    pub group_id: [u8; 24],
    /// Place in the group, from 1.
    pub msg_seq_number: i32,
    /// Of a segment.
    pub offset: i32,
    /// MQMF_*.
    pub msg_flags: i32,
    /// -1 = undefined.
    pub original_length: i32,
}

impl Default for Descriptor {
    /// A persistent datagram of UTF-8 text (MQSTR), put by Daybook.
    fn default() -> Self {
        Self {
            persistent: true,
            report: 0,
            msg_type: 8,
            feedback: 0,
            encoding: 546,
            ccsid: 1208,
            format: *b"MQSTR   ",
            reply_to_q: [b' '; 48],
            reply_to_q_mgr: [b' '; 48],
            user_identifier: *b"daybook     ",
            accounting_token: [0; 32],
            appl_identity_data: [b' '; 32],
            put_appl_type: 6,
            put_appl_name: *b"daybook                     ",
            appl_origin_data: [b' '; 4],
            group_id: [0; 24],
            msg_seq_number: 1,
            offset: 0,
            msg_flags: 0,
            original_length: -1,
        }
    }
}

impl Descriptor {
    /// [`Descriptor::default`], one for all.
    pub fn shared() -> Arc<Self> {
        static SHARED: LazyLock<Arc<Descriptor>> = LazyLock::new(Arc::default);
        Arc::clone(&SHARED)
    }
}

/// A message to put.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// As the putter wants it; `None` = the queue manager makes one.
    pub msg_id: Option<MsgId>,
    /// Refers to another message; zeros = none.
    pub correl_id: MsgId,
    /// 0 to 9; higher is got first. Default queue priority is 0.
    pub priority: u8,
    /// When it expires, microseconds since 1970; `None` = never. It is then never got.
    pub expires_at: Option<i64>,
    /// When it may be got at the earliest, microseconds since 1970; `None` = at once.
    pub available_at: Option<i64>,
    /// When it was put by its context, microseconds since 1970; `None` = now.
    pub put_time: Option<i64>,
    /// See [`Descriptor`].
    pub descriptor: Arc<Descriptor>,
    /// See [`Properties`].
    pub properties: Properties,
    /// The application data.
    pub body: Bytes,
}

impl Default for NewMessage {
    fn default() -> Self {
        Self {
            msg_id: None,
            correl_id: MsgId::NONE,
            priority: 0,
            expires_at: None,
            available_at: None,
            put_time: None,
            descriptor: Descriptor::shared(),
            properties: Properties::default(),
            body: Bytes::new(),
        }
    }
}

impl NewMessage {
    /// As it will look on a queue, with a sequence that no message has: for conditions that are asked
    /// before it is put.
    pub fn preview(&self) -> Message {
        Message {
            msg_id: self.msg_id.unwrap_or(MsgId::NONE),
            correl_id: self.correl_id,
            sequence: u64::MAX,
            put_time: self.put_time.unwrap_or_else(crate::manager::now_micros),
            priority: self.priority,
            backout_count: 0,
            expires_at: self.expires_at,
            available_at: self.available_at,
            descriptor: Arc::clone(&self.descriptor),
            properties: self.properties.clone(),
            body: self.body.clone(),
        }
    }
}

/// A message on a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Unique within the queue manager for ever, unless the putter chose it.
    pub msg_id: MsgId,
    /// Refers to another message; zeros = none.
    pub correl_id: MsgId,
    /// Order of arrival within the queue manager.
    pub sequence: u64,
    /// When it was put, microseconds since 1970.
    pub put_time: i64,
    /// 0 to 9.
    pub priority: u8,
    /// How often a unit of work that had got it was backed out. Survives a clean stop and, unless
    /// the process died at once afterwards, a crash.
    pub backout_count: u32,
    /// See [`NewMessage`].
    pub expires_at: Option<i64>,
    /// See [`NewMessage`].
    pub available_at: Option<i64>,
    /// See [`Descriptor`].
    pub descriptor: Arc<Descriptor>,
    /// See [`Properties`].
    pub properties: Properties,
    /// The application data.
    pub body: Bytes,
}

impl Message {
    /// Whether its time is over.
    pub fn is_expired(&self, now: i64) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}
