//! What can go wrong with a log.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// The log could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The disk refused an operation. Retrying helps if the cause goes away.
    #[error("cannot {what} in the log directory {dir}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The log's directory.
        dir: PathBuf,
        /// From the operating system.
        #[source]
        source: io::Error,
    },
    /// Another process has this log open. Retrying helps once it has ended.
    #[error("the log directory {dir} is in use by another process")]
    InUse {
        /// The log's directory.
        dir: PathBuf,
    },
    /// Records that were durable are damaged or missing. Retrying does not help: restore the
    /// directory from a copy. Nothing was changed.
    #[error(
        "the log is corrupt at position {position} (file {file}, byte {offset}): {detail}; \
         records behind it had been acknowledged, so it is not repaired"
    )]
    Corrupt {
        /// Position up to which it is whole.
        position: u64,
        /// File name.
        file: String,
        /// Byte in the file.
        offset: u64,
        /// What was found.
        detail: String,
    },
    /// The reader of the records refused one.
    #[error("the record that ends at position {position} cannot be replayed")]
    Replay {
        /// End of the record.
        position: u64,
        /// From the reader.
        #[source]
        source: ReplayError,
    },
}

/// A record is readable but makes no sense to whoever wrote it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ReplayError(Box<dyn Error + Send + Sync>);

impl ReplayError {
    /// Wraps the cause.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

/// An append or a wait failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// One record is larger than `record_bytes_max`. Retrying does not help.
    #[error("a record of {bytes} bytes is larger than record_bytes_max = {bytes_max}")]
    RecordTooLarge {
        /// Bytes of the record.
        bytes: usize,
        /// The limit.
        bytes_max: u32,
    },
    /// The disk failed earlier; whether the last records are on it is unknown. Nothing is written
    /// any more until the log is opened again.
    #[error("the log stopped after a disk error")]
    Failed {
        /// The first error.
        #[source]
        source: Arc<io::Error>,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}
