//! Limits and definitions.

use std::path::PathBuf;

/// How a queue manager is set up.
#[derive(Debug, Clone)]
pub struct QueueManagerOptions {
    /// Name, at most 48 characters; its first 12 are part of every message identifier.
    pub name: String,
    /// Directory of the log.
    pub dir: PathBuf,
    /// Queues that exist from the start.
    pub queues: Vec<QueueDefinition>,
    /// Most messages, put and got together, in one unit of work (MAXUMSGS). Default 10,000.
    pub uncommitted_messages_max: usize,
    /// Most bytes of bodies that one unit of work may put. Default 24 MiB.
    pub uncommitted_bytes_max: usize,
    /// Bytes of log above which space is reclaimed by writing the remaining messages anew.
    /// Default 256 MiB.
    pub log_bytes_target: u64,
}

impl QueueManagerOptions {
    /// Defaults for a laptop, with no queues yet.
    pub fn new(name: &str, dir: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            dir,
            queues: Vec::new(),
            uncommitted_messages_max: 10_000,
            uncommitted_bytes_max: 24 << 20,
            log_bytes_target: 256 << 20,
        }
    }
}

/// A local or model queue: its attributes and limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueDefinition {
    /// Name, at most 48 characters.
    pub name: String,
    /// What it is for, at most 64 characters (DESCR).
    pub description: String,
    /// A model: opening it makes a temporary queue with its attributes (QMODEL, DEFTYPE(TEMPDYN)).
    pub model: bool,
    /// Nobody may put (PUT(DISABLED)).
    pub put_inhibited: bool,
    /// Nobody may get (GET(DISABLED)).
    pub get_inhibited: bool,
    /// Of messages whose putter leaves it to the queue (DEFPRTY), 0 to 9.
    pub default_priority: u8,
    /// Of messages whose putter leaves it to the queue (DEFPSIST).
    pub default_persistent: bool,
    /// Backouts after which an application should set a message aside (BOTHRESH); 0 = never.
    pub backout_threshold: u32,
    /// Where it should go then (BOQNAME).
    pub backout_queue: String,
    /// Most messages on the queue (MAXDEPTH).
    pub depth_max: usize,
    /// Most bytes of bodies on the queue. They are kept in memory.
    pub bytes_max: usize,
    /// Most bytes of one message (MAXMSGL).
    pub message_bytes_max: usize,
}

impl QueueDefinition {
    /// A queue with the defaults: 1,000,000 messages, 256 MiB, 4 MiB a message.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            description: String::new(),
            model: false,
            put_inhibited: false,
            get_inhibited: false,
            default_priority: 0,
            default_persistent: true,
            backout_threshold: 0,
            backout_queue: String::new(),
            depth_max: 1_000_000,
            bytes_max: 256 << 20,
            message_bytes_max: 4 << 20,
        }
    }
}
