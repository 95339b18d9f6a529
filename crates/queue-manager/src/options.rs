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

/// A local queue and its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueDefinition {
    /// Name, at most 48 characters.
    pub name: String,
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
            depth_max: 1_000_000,
            bytes_max: 256 << 20,
            message_bytes_max: 4 << 20,
        }
    }
}
