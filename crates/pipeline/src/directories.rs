//! `[[directory]]`: files that are sent to the gateway by themselves.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mapping::Mapping;
use sender::{Cut, Reporter, SendOptions, WatchOptions, watch};
use serde::Deserialize;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// Time between two looks, in milliseconds.
const SETTLE_MS_MIN: u64 = 50;
const SETTLE_MS_MAX: u64 = 86_400_000;

/// `[[directory]]`: files of one source that others put there.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryConfig {
    /// The directory, relative to the configuration file. It must be there.
    pub path: PathBuf,
    /// What its files are: a source that is configured.
    pub source: String,
    /// Names of its files: `*` stands for any characters. `*`.
    #[serde(default = "any")]
    pub pattern: String,
    /// Where files go that were accepted. `done` in the directory.
    #[serde(default)]
    pub done: Option<PathBuf>,
    /// Where the others go, each with a text that says why. `failed` in the directory.
    #[serde(default)]
    pub failed: Option<PathBuf>,
    /// How long a file must have been as it is, in milliseconds, 50 to 86,400,000; also the time between two looks. 1,000.
    #[serde(default = "settle_ms")]
    pub settle_ms: u64,
    /// Accept the good records of a file although others are refused. false.
    #[serde(default)]
    pub lenient: bool,
}

fn any() -> String {
    "*".to_owned()
}

fn settle_ms() -> u64 {
    1_000
}

/// What cannot be meant.
pub(crate) fn check(
    directories: &[DirectoryConfig],
    sources: &[Mapping],
    refuse: &mut impl FnMut(String),
) {
    for (index, directory) in directories.iter().enumerate() {
        let shown = directory.path.display();
        if !sources
            .iter()
            .any(|mapping| mapping.source() == directory.source)
        {
            let names: Vec<&str> = sources.iter().map(Mapping::source).collect();
            let names = names.join(", ");
            refuse(format!(
                "`directory` {shown}: there is no source {:?}; there are {names}",
                directory.source
            ));
        }
        if !(SETTLE_MS_MIN..=SETTLE_MS_MAX).contains(&directory.settle_ms) {
            refuse(format!(
                "`directory.settle_ms` is {}, but must be {SETTLE_MS_MIN} to {SETTLE_MS_MAX}",
                directory.settle_ms
            ));
        }
        let twice = directories[..index]
            .iter()
            .any(|other| other.path == directory.path && other.pattern == directory.pattern);
        if twice {
            refuse(format!(
                "`directory` {shown}: the same files are watched twice"
            ));
        }
    }
}

/// Lines for people go to the log.
#[derive(Debug)]
struct Log;

impl Reporter for Log {
    fn say(&self, line: &str) {
        info!("{line}");
    }
}

/// How the files of each directory are cut into requests.
pub(crate) fn cuts(directories: &[DirectoryConfig], sources: &[Mapping]) -> Vec<Cut> {
    let cut = |directory: &DirectoryConfig| {
        let mut sources = sources.iter();
        let mapping = sources.find(|mapping| mapping.source() == directory.source);
        mapping.map(Cut::of)
    };
    // All were found when the configuration was checked.
    directories.iter().filter_map(cut).collect()
}

/// Watches all of them until `stop` fires. A directory that cannot be used is said in the log and left.
pub(crate) fn start(
    directories: Vec<DirectoryConfig>,
    cuts: Vec<Cut>,
    gateway: SocketAddr,
    stop: &CancellationToken,
) -> Vec<JoinHandle<()>> {
    let start = |(directory, cut): (DirectoryConfig, Cut)| {
        let own = |name| directory.path.join(name);
        let options = WatchOptions {
            done: directory.done.clone().unwrap_or_else(|| own("done")),
            failed: directory.failed.clone().unwrap_or_else(|| own("failed")),
            directory: directory.path,
            pattern: directory.pattern,
            settle: Duration::from_millis(directory.settle_ms),
            send: SendOptions {
                gateway: format!("http://{gateway}"),
                source: directory.source,
                lenient: directory.lenient,
                progress: false,
                ..SendOptions::default()
            },
        };
        let stop = stop.clone();
        tokio::spawn(async move {
            let reporter: Arc<dyn Reporter> = Arc::new(Log);
            if let Err(error) = watch(&options, &cut, &reporter, stop).await {
                error!(error = types::report(&error), "files are not sent");
            }
        })
    };
    directories.into_iter().zip(cuts).map(start).collect()
}
