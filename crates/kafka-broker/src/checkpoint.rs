//! Checkpoints: partition files to disk, a snapshot beside them, and the journal cut; and the way back at start.
//!
//! # Invariants
//!
//! - The snapshot that counts is complete: it is written to another name, synced, then renamed.
//! - It names only bytes that were synced before it, and nothing is unlinked before it stands.
//! - Producers wait for none of this, except for the short time in which the state is encoded.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kafka_protocol::ResponseError;
use segment_log::Position;
use tracing::{debug, info};

use crate::partition_log::DirtyFiles;
use crate::shared::{Shared, now_ms};
use crate::state::State;
use crate::state::snapshot::{self, SnapshotError};
use crate::topic_config::Defaults;

const SNAPSHOT: &str = "snapshot";
const SNAPSHOT_NEW: &str = "snapshot.new";
/// There while the broker is stopped and was stopped cleanly.
const CLEAN_STOP: &str = "clean-stop";

/// Partition files, by topic id and partition.
pub(crate) fn logs_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("logs")
}

/// Journal files.
pub(crate) fn journal_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("journal")
}

/// The state as of the last snapshot, and up to which journal position it holds.
pub(crate) fn load(
    data_dir: &Path,
    defaults: Defaults,
) -> Result<(State, Position), SnapshotError> {
    let io = |source| SnapshotError::Io {
        path: data_dir.to_owned(),
        source,
    };
    let logs = logs_dir(data_dir);
    std::fs::create_dir_all(&logs).map_err(io)?;
    let (state, position) = match std::fs::read(data_dir.join(SNAPSHOT)) {
        Ok(bytes) => snapshot::decode(&bytes, logs.clone(), defaults)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            (State::new(logs.clone(), defaults), 0)
        }
        Err(error) => return Err(io(error)),
    };
    snapshot::remove_strangers(&state, &logs).map_err(io)?;
    Ok((state, Position(position)))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Takes a checkpoint, one at a time.
pub(crate) async fn take(shared: &Arc<Shared>) -> Result<(), ResponseError> {
    let _one = shared.checkpointing.lock().await;
    let (bytes, dirty, position) = {
        let mut core = shared.core();
        if shared.has_failed() {
            return Err(ResponseError::KafkaStorageError);
        }
        let now = now_ms();
        core.state.forget_before(
            now.saturating_sub(millis(shared.config.producer_id_expiration)),
            now.saturating_sub(millis(shared.config.transactional_id_expiration)),
        );
        let position = shared.journal.end();
        (
            snapshot::encode(&core.state, position.0),
            core.state.take_dirty(),
            position,
        )
    };
    // The snapshot may not be ahead of the journal.
    shared.durable(position).await?;
    let data_dir = shared.config.data_dir.clone();
    let size = bytes.len();
    let files = dirty.files.len();
    let written = tokio::task::spawn_blocking(move || write(&data_dir, &bytes, &dirty)).await;
    let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
    written.map_err(|error| shared.fail("write a snapshot", &error))?;
    let cut = shared.journal.truncate_before(position);
    cut.map_err(|error| shared.fail("cut the journal", &error))?;
    shared.checkpointed.store(position.0, Ordering::Release);
    shared.counters.checkpoints.fetch_add(1, Ordering::Relaxed);
    debug!(
        snapshot_bytes = size,
        files,
        position = position.0,
        "checkpoint taken"
    );
    Ok(())
}

fn write(data_dir: &Path, snapshot: &[u8], dirty: &DirtyFiles) -> io::Result<()> {
    for file in &dirty.files {
        file.sync_data()?;
    }
    for dir in &dirty.dirs {
        sync_dir(dir)?;
    }
    let new = data_dir.join(SNAPSHOT_NEW);
    let mut file = File::create(&new)?;
    file.write_all(snapshot)?;
    file.sync_all()?;
    std::fs::rename(&new, data_dir.join(SNAPSHOT))?;
    sync_dir(data_dir)?;
    for path in &dirty.dropped {
        let removed = if path.is_dir() {
            std::fs::remove_dir_all(path)
        } else {
            std::fs::remove_file(path)
        };
        match removed {
            // A topic that never had a record has no directory.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    match File::open(dir) {
        Ok(dir) => dir.sync_all(),
        // Deleted with its topic since the list was made.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether the journal has grown enough for a checkpoint.
pub(crate) fn is_due(shared: &Shared) -> bool {
    let since = shared
        .journal
        .end()
        .0
        .saturating_sub(shared.checkpointed.load(Ordering::Acquire));
    since >= shared.config.journal_checkpoint_bytes
}

/// The checkpoint at a clean stop.
pub(crate) async fn take_last(shared: &Arc<Shared>) {
    match take(shared).await {
        Ok(()) => {
            let data_dir = shared.config.data_dir.clone();
            let marked = tokio::task::spawn_blocking(move || mark_clean_stop(&data_dir)).await;
            if let Err(error) = marked.unwrap_or_else(|error| Err(io::Error::other(error))) {
                info!(%error, "the next start takes this stop for a crash");
            }
            info!("broker stopped");
        }
        // Already logged. The journal has everything.
        Err(error) => info!(%error, "broker stopped without a checkpoint"),
    }
}

fn mark_clean_stop(data_dir: &Path) -> io::Result<()> {
    File::create(data_dir.join(CLEAN_STOP))?.sync_all()?;
    sync_dir(data_dir)
}

/// Whether the last stop was a clean one; from here on the next start takes the end for a crash.
pub(crate) fn take_clean_stop(data_dir: &Path) -> io::Result<bool> {
    match std::fs::remove_file(data_dir.join(CLEAN_STOP)) {
        Ok(()) => sync_dir(data_dir).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
