//! A directory that files are put into by others: each is sent, and then moved to where it says what became of it.
//!
//! ```text
//! in/a.csv ──▶ sent ──▶ in/done/a.csv
//!                 └────▶ in/failed/a.csv and in/failed/a.csv.reason.txt
//! ```
//!
//! # Invariants
//!
//! - **A file is moved after the gateway has answered for all of it.** When this program ends before, the file is still there and is sent
//!   from its beginning; identities are of its content, so that what was accepted is counted once.
//! - A file that is still being written is left alone: hidden ones, those with the name of a temporary one, and those whose size or time
//!   has changed since the last look. Whoever writes them renames them into place, or waits longer than `settle`.
//! - Files are sent one after the other, by name. One that is refused does not keep the others waiting.
//! - Nothing is ever deleted or written over: a name that is taken where it should go gets a number.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use crate::cut::Cut;
use crate::report::{Reporter, SendReport};
use crate::send::{SendOptions, send};

/// Endings of names that files have while they are being written.
const TEMPORARY: [&str; 5] = [".tmp", ".part", ".partial", ".filepart", ".writing"];
/// Files that are sent between two looks, at most: names that come later may be smaller.
const FILES_MAX: usize = 10_000;
/// Numbers that are tried for a name that is taken.
const NUMBERS_MAX: u32 = 10_000;

/// Which directory, and what its files are.
#[derive(Debug, Clone)]
pub struct WatchOptions {
    /// The directory. It must be there.
    pub directory: PathBuf,
    /// Names of its files: `*` stands for any characters.
    pub pattern: String,
    /// Where files go that were accepted; made if it is not there. On the same file system.
    pub done: PathBuf,
    /// Where the others go, with a text that says why.
    pub failed: PathBuf,
    /// How long a file must have been as it is. It is also the time between two looks.
    pub settle: Duration,
    /// How they are sent; `files` is set here.
    pub send: SendOptions,
}

/// What became of files since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Watched {
    /// Files that were accepted.
    pub done: u64,
    /// Files of which something was refused.
    pub failed: u64,
}

/// A directory cannot be watched. Asking again helps when it was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// A directory cannot be used.
    #[error("the directory {} cannot be used", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// From the operating system.
        #[source]
        source: std::io::Error,
    },
}

/// Length and time of a file at the last look.
type Known = HashMap<PathBuf, (u64, SystemTime)>;

/// Sends files until `shutdown` fires; a file that is being sent then is left where it is.
///
/// Trouble with one file or with the gateway is said to the reporter and tried again.
///
/// # Errors
///
/// [`WatchError`] at the start: a directory is not there, or cannot be written to.
pub async fn watch(
    options: &WatchOptions,
    cut: &Cut,
    reporter: &Arc<dyn Reporter>,
    shutdown: CancellationToken,
) -> Result<Watched, WatchError> {
    for path in [&options.done, &options.failed] {
        let made = std::fs::create_dir_all(path);
        made.map_err(|source| WatchError::Directory {
            path: path.clone(),
            source,
        })?;
    }
    look(options, &mut Known::new()).map_err(|source| WatchError::Directory {
        path: options.directory.clone(),
        source,
    })?;
    let mut watched = Watched::default();
    let mut known = Known::new();
    while !shutdown.is_cancelled() {
        match look(options, &mut known) {
            Ok(files) => {
                for file in files {
                    if shutdown.is_cancelled() {
                        break;
                    }
                    one(options, cut, reporter, &shutdown, &file, &mut watched).await;
                }
            }
            Err(error) => {
                let path = options.directory.display();
                reporter.say(&format!("{path} cannot be looked at: {error}"));
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(options.settle) => {}
        }
    }
    Ok(watched)
}

/// Files that are as they were at the last look, by name.
fn look(options: &WatchOptions, known: &mut Known) -> std::io::Result<Vec<PathBuf>> {
    let (mut ready, mut seen) = (Vec::new(), Known::new());
    for entry in std::fs::read_dir(&options.directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // One that has gone meanwhile is none.
        let Ok(meta) = std::fs::metadata(entry.path()) else {
            continue;
        };
        if !meta.is_file() || !is_meant(&name, &options.pattern) {
            continue;
        }
        let now = (meta.len(), meta.modified()?);
        if known.get(&entry.path()) == Some(&now) {
            ready.push(entry.path());
        }
        seen.insert(entry.path(), now);
    }
    *known = seen;
    ready.sort_unstable();
    ready.truncate(FILES_MAX);
    Ok(ready)
}

fn is_meant(name: &str, pattern: &str) -> bool {
    let lower = name.to_lowercase();
    let is_temporary = TEMPORARY.iter().any(|ending| lower.ends_with(ending));
    !name.starts_with('.') && !is_temporary && types::glob(pattern, name)
}

async fn one(
    options: &WatchOptions,
    cut: &Cut,
    reporter: &Arc<dyn Reporter>,
    shutdown: &CancellationToken,
    file: &Path,
    watched: &mut Watched,
) {
    let wanted = SendOptions {
        files: vec![file.to_owned()],
        progress: false,
        ..options.send.clone()
    };
    let shown = file.display();
    let report = match send(&wanted, cut, Arc::clone(reporter), shutdown.clone()).await {
        Ok(report) if report.interrupted => return,
        Ok(report) => report,
        Err(error) => {
            let error = types::report(&error);
            reporter.say(&format!(
                "{shown} was not sent, and is tried again: {error}"
            ));
            return;
        }
    };
    let is_good = report.refused == 0 && report.records > 0;
    let moved = match is_good {
        true => put_away(file, &options.done, None),
        false => put_away(file, &options.failed, Some(&reason(&report))),
    };
    match moved {
        Ok(to) => reporter.say(&format!("{shown}: {report}; it is now {}", to.display())),
        // It is sent again, which changes nothing.
        Err(error) => reporter.say(&format!("{shown} was sent, but cannot be moved: {error}")),
    }
    watched.done += u64::from(is_good);
    watched.failed += u64::from(!is_good);
}

fn reason(report: &SendReport) -> String {
    let mut text = format!("{report}\n");
    for problem in &report.problems {
        text.push_str(&format!("{problem}\n"));
    }
    if report.problems_left_off > 0 {
        text.push_str(&format!("and {} more\n", report.problems_left_off));
    }
    if report.records == 0 && report.refused == 0 {
        text.push_str("there is no record in it\n");
    }
    text
}

/// Moves a file under its name, or that with a number. It leaves where it was when the reason stands beside it.
fn put_away(file: &Path, directory: &Path, reason: Option<&str>) -> std::io::Result<PathBuf> {
    let name = file
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let names = (0..NUMBERS_MAX).map(|number| match number {
        0 => name.clone(),
        number => format!("{name}.{number}"),
    });
    for name in names {
        let to = directory.join(&name);
        // A link fails where the name is taken, which a rename does not.
        match std::fs::hard_link(file, &to) {
            Ok(()) => {
                if let Some(reason) = reason {
                    std::fs::write(directory.join(format!("{name}.reason.txt")), reason)?;
                }
                std::fs::remove_file(file)?;
                return Ok(to);
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(std::io::Error::other(
        "ten thousand files of this name are there",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Silent;
    use crate::tests::server::{Act, Server, ok};

    #[test]
    fn names_of_files_that_are_not_meant() {
        for (name, pattern, expected) in [
            ("a.csv", "*", true),
            ("a.csv", "*.csv", true),
            ("a.csv", "a*.csv", true),
            ("a.csv", "*.sta", false),
            ("a-2026-11.csv", "a-*-*.csv", true),
            ("a.csv", "a.csv", true),
            ("ab", "a*b*b", false),
            (".a.csv", "*", false),
            ("a.csv.TMP", "*", false),
            ("a.filepart", "*", false),
        ] {
            assert_eq!(is_meant(name, pattern), expected, "{name} {pattern}");
        }
    }

    struct World {
        dir: tempfile::TempDir,
        server: Server,
    }

    async fn world(script: Vec<Act>) -> World {
        World {
            dir: tempfile::tempdir().expect("a directory"),
            server: Server::start(script).await,
        }
    }

    impl World {
        fn options(&self) -> WatchOptions {
            let directory = self.dir.path().to_owned();
            WatchOptions {
                done: directory.join("done"),
                failed: directory.join("failed"),
                directory,
                pattern: "*.json".to_owned(),
                settle: Duration::from_millis(5),
                send: SendOptions {
                    gateway: self.server.url(),
                    ..SendOptions::default()
                },
            }
        }

        fn put(&self, name: &str, text: &str) {
            let hidden = self.dir.path().join(".new");
            std::fs::write(&hidden, text).expect("writes");
            std::fs::rename(hidden, self.dir.path().join(name)).expect("renames");
        }

        /// Watches until these files are there.
        async fn until(&self, names: &[&str]) -> Watched {
            let stop = CancellationToken::new();
            let options = self.options();
            let reporter: Arc<dyn Reporter> = Arc::new(Silent);
            let all_there = async {
                while !names.iter().all(|name| self.dir.path().join(name).exists()) {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                stop.cancel();
            };
            let watched = watch(&options, &Cut::Json, &reporter, stop.clone());
            let both = async { tokio::join!(watched, all_there).0 };
            let ended = tokio::time::timeout(Duration::from_secs(20), both).await;
            ended.expect("in time").expect("the directory is there")
        }

        fn read(&self, name: &str) -> String {
            std::fs::read_to_string(self.dir.path().join(name)).expect("is there")
        }
    }

    #[tokio::test]
    async fn files_are_sent_by_name_and_moved_when_they_are_answered_for() {
        let world = world(vec![
            Act::Hangup,
            Act::Answer(ok(2)),
            Act::Answer("HTTP/1.1 422 x\r\ncontent-type: application/problem+json\r\ncontent-length: 44\r\n\r\n{\"detail\":\"no account\",\"rule\":\"missing\"}    ".to_owned()),
            Act::Answer(ok(1)),
        ])
        .await;
        world.put("a.json", "{\"id\":1}\n{\"id\":2}\n");
        world.put("b.json", "{\"id\":3}\n");
        world.put("c.json", "{\"id\":4}\n");
        world.put("d.tmp", "not yet");
        std::fs::create_dir_all(world.dir.path().join("done")).expect("makes");
        std::fs::write(world.dir.path().join("done/c.json"), "an older one").expect("writes");
        let watched = world
            .until(&["done/a.json", "failed/b.json", "done/c.json.1"])
            .await;
        assert_eq!(watched, Watched { done: 2, failed: 1 });
        assert_eq!(world.read("done/c.json"), "an older one");
        assert!(
            world
                .read("failed/b.json.reason.txt")
                .contains("no account"),
            "why"
        );
        assert_eq!(world.read("d.tmp"), "not yet");
        for gone in ["a.json", "b.json", "c.json"] {
            assert!(!world.dir.path().join(gone).exists(), "{gone} was moved");
        }
        let requests = world.server.requests();
        assert_eq!(requests.len(), 4, "the first one twice");
        let key = |request: &String| {
            let mut lines = request.lines();
            lines
                .find(|line| line.to_lowercase().starts_with("idempotency-key"))
                .map(str::to_owned)
        };
        assert!(key(&requests[0]).is_some() && key(&requests[0]) == key(&requests[1]));
        assert_ne!(key(&requests[1]), key(&requests[3]));
    }

    #[tokio::test]
    async fn a_file_that_grows_is_left_alone() {
        let world = world(Vec::new()).await;
        let (options, mut known) = (world.options(), Known::new());
        let path = world.dir.path().join("a.json");
        let mut look = || look(&options, &mut known).expect("looks").len();
        std::fs::write(&path, "{").expect("writes");
        assert_eq!(look(), 0, "not seen before");
        std::fs::write(&path, "{}").expect("writes");
        assert_eq!(look(), 0, "longer than it was");
        assert_eq!(look(), 1);
        assert_eq!(look(), 1, "until it is moved");
        std::fs::remove_file(&path).expect("removes");
        assert_eq!(look(), 0);
    }

    #[tokio::test]
    async fn a_directory_that_is_not_there_is_an_error() {
        let world = world(Vec::new()).await;
        let mut options = world.options();
        options.directory = world.dir.path().join("nowhere");
        let reporter: Arc<dyn Reporter> = Arc::new(Silent);
        let error = watch(&options, &Cut::Json, &reporter, CancellationToken::new()).await;
        assert!(error.expect_err("refused").to_string().contains("nowhere"));
    }
}
