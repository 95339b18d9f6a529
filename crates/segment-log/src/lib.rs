//! Append-only, checksummed log with group commit: what the queue manager and the broker write
//! to before they acknowledge anything.
//!
//! # Where this sits
//!
//! ```text
//! queue-manager ─┐
//!                ├─▶ segment-log (you are here) ─▶ preallocated files, fdatasync
//! kafka-broker  ─┘
//! ```
//!
//! # Where to start reading
//!
//! [`Log`] is the handle; `writer` owns the files; `recover` reads them back; `block` is the format.
//!
//! # Invariants
//!
//! - **Durable means synced.** [`Log::durable`] answers only after `fdatasync` of everything up to
//!   the position. One sync serves everybody who appended before it began (group commit).
//! - **Prefix.** After a crash exactly a prefix of the appended records comes back, and it
//!   contains every record that was reported durable.
//! - **A torn tail is repaired, a corrupt middle is refused.** Each block says how far the log was
//!   durable when it was written, so the two cannot be mistaken for one another.
//! - **A failed sync is final.** The kernel may have dropped the pages: after an error nothing is
//!   acknowledged any more until the log is opened again.
//!
//! Files are preallocated and recycled, because syncing an overwrite is an order of magnitude
//! cheaper than syncing a growing file.

mod block;
mod disk;
mod error;
mod log;
mod recover;
#[cfg(test)]
mod simulation;
mod writer;

pub use disk::{Disk, DiskFile, FileDisk};
pub use error::{LogError, OpenError, ReplayError};
pub use log::{Changes, Log, LogOptions, Replay};

/// Where a record ends in the stream of all records ever appended, in bytes.
///
/// Grows strictly; never reused, also not after the space was freed. Ordered like time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(pub u64);
