//! What can go wrong with a store.

use std::path::PathBuf;

/// A call of the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite refused. Retrying helps when the disk was full or the file was locked.
    #[error("the store {path} cannot {what}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// From SQLite.
        #[source]
        source: rusqlite::Error,
    },
    /// The store holds rows of a newer generation than the log. Retrying does not help: the log
    /// was restored from an older state, or this is another log's store.
    #[error(
        "the store has generation {stored} of {aggregation}, the log only {offered}: this store \
         belongs to another or a newer log"
    )]
    NewerGeneration {
        /// Which aggregation.
        aggregation: String,
        /// In the store.
        stored: u32,
        /// In the log.
        offered: u32,
    },
}
