//! Sources that are replaced while the gateway runs: on SIGHUP, and when a file of `sources_dir` has changed.
//!
//! # Invariants
//!
//! - **All or nothing**: a mistake in any file, or a source that something names and that would be gone, leaves all sources as they were.
//! - The same code compiles and checks them as at the start.
//! - A file that is being written is waited for: the directory must have been the same at two looks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gateway::{Changed, Reloader};
use telemetry::{Meter, Telemetry};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::check::Mistake;
use crate::directories::DirectoryConfig;
use crate::intake::IntakeConfig;
use crate::sources;

/// Time between two looks at the directory.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The files of a directory that sources are made of, by name: their sizes and times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Look(Vec<(PathBuf, u64, Option<SystemTime>)>);

impl Look {
    /// A directory or a file that cannot be read looks as if it were not there: whoever compiles says so.
    pub(crate) fn at(dir: Option<&Path>) -> Self {
        let Some(Ok(entries)) = dir.map(std::fs::read_dir) else {
            return Self::default();
        };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut files: Vec<_> = paths
            .filter(|path| sources::is_read(path))
            .filter_map(|path| {
                // Not the entry's own: that would be a link's.
                let metadata = std::fs::metadata(&path).ok()?;
                Some((path, metadata.len(), metadata.modified().ok()))
            })
            .collect();
        files.sort();
        Self(files)
    }
}

/// What it takes to replace the sources of a gateway.
pub(crate) struct Reload {
    dir: Option<PathBuf>,
    reloader: Reloader,
    /// As the sources in force were read.
    seen: Look,
    reloads: Arc<Meter>,
    failures: Arc<Meter>,
}

impl Reload {
    /// `seen` is a look from before the sources in force were read.
    pub(crate) fn new(
        dir: Option<PathBuf>,
        seen: Look,
        reloader: Reloader,
        telemetry: &Telemetry,
    ) -> Self {
        Self {
            dir,
            reloader,
            seen,
            reloads: telemetry.meter("gateway_reloads_total", ""),
            failures: telemetry.meter("gateway_reload_failures_total", ""),
        }
    }

    /// What names sources beside the gateway's own settings: these stay.
    pub(crate) fn keep(&self, directories: &[DirectoryConfig], intakes: &[IntakeConfig]) {
        for directory in directories {
            let by = format!("the directory {}", directory.path.display());
            self.reloader.used_by(by, &directory.source);
        }
        for intake in intakes {
            let by = format!("the intake of {}", intake.queue);
            self.reloader.used_by(by, &intake.source);
        }
    }

    /// Goes on until `stop` fires.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut hangup = signal(SignalKind::hangup())
            .inspect_err(|error| warn!(%error, "SIGHUP will not read the sources again"))
            .ok();
        let mut last = self.seen.clone();
        loop {
            let is_asked = tokio::select! {
                () = stop.cancelled() => return,
                () = received(&mut hangup) => true,
                () = tokio::time::sleep(LOOK_INTERVAL) => false,
            };
            let now = self.look().await;
            let is_settled = now == last;
            last = now.clone();
            if is_asked || (is_settled && now != self.seen) {
                // Also after a failure: it is said once.
                self.seen = now;
                self.again().await;
            }
        }
    }

    async fn look(&self) -> Look {
        let dir = self.dir.clone();
        let look = tokio::task::spawn_blocking(move || Look::at(dir.as_deref()));
        look.await.unwrap_or_default()
    }

    async fn again(&self) {
        let (dir, reloader) = (self.dir.clone(), self.reloader.clone());
        let replace = move || replace(dir.as_deref(), &reloader);
        let replaced = tokio::task::spawn_blocking(replace).await;
        match replaced {
            Ok(Ok(changed)) => {
                self.reloads.add(1);
                info!("{changed}");
            }
            Ok(Err(mistakes)) => {
                self.failures.add(1);
                for mistake in mistakes {
                    error!("sources were not replaced: {mistake}");
                }
            }
            Err(error) => {
                self.failures.add(1);
                error!(%error, "sources were not replaced");
            }
        }
    }
}

fn replace(dir: Option<&Path>, reloader: &Reloader) -> Result<Changed, Vec<Mistake>> {
    let sources = sources::load(dir)?;
    let replaced = reloader.replace(sources);
    replaced.map_err(|error| vec![Mistake::from(error)])
}

/// The next SIGHUP; never, where it cannot be waited for.
async fn received(hangup: &mut Option<Signal>) {
    let received = match hangup {
        Some(hangup) => hangup.recv().await,
        None => None,
    };
    if received.is_none() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sources_are_made_of_is_looked_at() {
        let dir = std::env::temp_dir().join(format!("daybook-reload-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("made");
        let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).expect("written");
        let look = || Look::at(Some(&dir));
        let empty = look();
        assert_eq!(empty, Look::default());
        write("notes.txt", "of no interest");
        assert_eq!(look(), empty);
        let mut before = empty;
        for (name, text) in [
            ("a.toml", "1"),
            ("a.toml", "12"),
            ("pan.key", "k"),
            ("a.avsc", "{}"),
            ("a.xsd", "<"),
        ] {
            write(name, text);
            let now = look();
            assert_ne!(now, before, "{name}");
            before = now;
        }
        std::fs::remove_file(dir.join("a.toml")).expect("removed");
        assert_ne!(look(), before);
        std::fs::remove_dir_all(&dir).expect("removed");
        assert_eq!(look(), Look::default());
        assert_eq!(Look::at(None), Look::default());
    }
}
