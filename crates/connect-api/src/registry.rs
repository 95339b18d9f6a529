//! Every connector with its configuration and what it is to do, in one file.
//!
//! Invariants:
//!
//! - Memory is changed after the disk: what [`Registry::put`] returned for survives a crash.
//! - A crash leaves the file as it was before or after a change, never between.
//! - One process at a time has it; the lock goes with the process.
//! - A file that cannot be read is an error, never an empty registry.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use connector::ibm::ConfigMap;
use serde::{Deserialize, Serialize};

/// Most connectors.
pub const CONNECTORS_MAX: usize = 1_000;
/// Most bytes of the file: 64 MiB.
pub const REGISTRY_BYTES_MAX: usize = 64 << 20;
const FILE: &str = "connectors.json";
const LOCK: &str = "connectors.lock";
const TEMPORARY: &str = "connectors.json.tmp";
const VERSION: u32 = 1;

/// What a connector is to do, whatever it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TargetState {
    /// Carry messages.
    #[default]
    Running,
    /// Hold, and be ready.
    Paused,
    /// Hold, and have no tasks.
    Stopped,
}

/// A connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its configuration, passwords included.
    pub config: ConfigMap,
    /// What it is to do.
    pub target: TargetState,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    version: u32,
    connectors: BTreeMap<String, Entry>,
}

/// The registry cannot be opened or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The operating system refuses. Trying again helps when its reason has gone.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process has it.
    #[error(
        "{path} is locked: another process runs these connectors; stop it, or use another directory"
    )]
    Locked {
        /// The lock.
        path: PathBuf,
    },
    /// The file holds something else.
    #[error(
        "{path} is damaged: {reason}; restore it from a backup, or move it away and create the connectors anew"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no room in it.
    #[error(
        "the registry holds at most {CONNECTORS_MAX} connectors and {REGISTRY_BYTES_MAX} bytes; delete a connector first"
    )]
    Full,
}

/// The file and what is in it.
#[derive(Debug)]
pub struct Registry {
    directory: PathBuf,
    connectors: BTreeMap<String, Entry>,
    /// Held as long as this is.
    _lock: File,
}

impl Registry {
    /// Opens the registry of a directory, which is made if it is not there. Blocks for the disk.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Locked`], [`RegistryError::Damaged`] and [`RegistryError::Io`].
    pub fn open(directory: &Path) -> Result<Self, RegistryError> {
        let io = |what, path: &Path| {
            let path = path.to_owned();
            move |source| RegistryError::Io { what, path, source }
        };
        fs::create_dir_all(directory).map_err(io("create", directory))?;
        let lock_path = directory.join(LOCK);
        let lock = private().open(&lock_path).map_err(io("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(RegistryError::Locked { path: lock_path });
            }
            Err(TryLockError::Error(source)) => return Err(io("lock", &lock_path)(source)),
        }
        let path = directory.join(FILE);
        let connectors = match File::open(&path) {
            Ok(file) => read(&path, file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(io("open", &path)(error)),
        };
        Ok(Self {
            directory: directory.to_owned(),
            connectors,
            _lock: lock,
        })
    }

    /// All of them, by name.
    pub fn connectors(&self) -> &BTreeMap<String, Entry> {
        &self.connectors
    }

    /// Makes or changes one. Blocks for the disk: two syncs.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Full`] and [`RegistryError::Io`]; then nothing has changed.
    pub fn put(&mut self, name: &str, entry: Entry) -> Result<(), RegistryError> {
        let mut changed = self.connectors.clone();
        changed.insert(name.to_owned(), entry);
        self.change(changed)
    }

    /// Forgets one; nothing happens if there is none. Blocks for the disk.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Io`]; then nothing has changed.
    pub fn remove(&mut self, name: &str) -> Result<(), RegistryError> {
        let mut changed = self.connectors.clone();
        match changed.remove(name) {
            Some(_) => self.change(changed),
            None => Ok(()),
        }
    }

    fn change(&mut self, connectors: BTreeMap<String, Entry>) -> Result<(), RegistryError> {
        let contents = Contents {
            version: VERSION,
            connectors,
        };
        let path = self.directory.join(TEMPORARY);
        let io = |what, path: &Path| {
            let path = path.to_owned();
            move |source| RegistryError::Io { what, path, source }
        };
        let mut bytes = serde_json::to_vec_pretty(&contents)
            .map_err(|error| io("write", &path)(io::Error::other(error)))?;
        bytes.push(b'\n');
        if contents.connectors.len() > CONNECTORS_MAX || bytes.len() > REGISTRY_BYTES_MAX {
            return Err(RegistryError::Full);
        }
        // What a crash left may be somebody else's to read.
        let _ = fs::remove_file(&path);
        let mut file = private()
            .create_new(true)
            .open(&path)
            .map_err(io("create", &path))?;
        file.write_all(&bytes).map_err(io("write", &path))?;
        file.sync_all().map_err(io("sync", &path))?;
        let place = self.directory.join(FILE);
        fs::rename(&path, &place).map_err(io("rename to", &place))?;
        let directory = File::open(&self.directory).map_err(io("open", &self.directory))?;
        directory.sync_all().map_err(io("sync", &self.directory))?;
        self.connectors = contents.connectors;
        Ok(())
    }
}

/// For us alone: there are passwords in it.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

fn read(path: &Path, file: File) -> Result<BTreeMap<String, Entry>, RegistryError> {
    let damaged = |reason: String| RegistryError::Damaged {
        path: path.to_owned(),
        reason,
    };
    let mut bytes = Vec::new();
    // One more, to see that there is more.
    file.take(REGISTRY_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| RegistryError::Io {
            what: "read",
            path: path.to_owned(),
            source,
        })?;
    if bytes.len() > REGISTRY_BYTES_MAX {
        return Err(damaged(format!(
            "it has more than {REGISTRY_BYTES_MAX} bytes"
        )));
    }
    let contents: Contents =
        serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    if contents.version != VERSION {
        return Err(damaged(format!(
            "it is of version {}, and {VERSION} is read",
            contents.version
        )));
    }
    Ok(contents.connectors)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn entry(value: &str) -> Entry {
        Entry {
            config: ConfigMap::from([("topic".to_owned(), value.to_owned())]),
            target: TargetState::Paused,
        }
    }

    #[test]
    fn what_was_put_is_there_after_a_restart() {
        let directory = tempfile::tempdir().expect("a directory");
        let inner = directory.path().join("made");
        let mut registry = Registry::open(&inner).expect("opens");
        registry.put("a", entry("1")).expect("puts");
        registry.put("b", entry("2")).expect("puts");
        registry.put("a", entry("3")).expect("puts");
        registry.remove("b").expect("removes");
        registry.remove("none").expect("is nothing");
        let locked = Registry::open(&inner).expect_err("locked");
        assert!(matches!(locked, RegistryError::Locked { .. }), "{locked}");
        drop(registry);
        // What a crash left in the middle of a change.
        fs::write(inner.join(TEMPORARY), "{\"version\":1,\"conn").expect("writes");
        let mut registry = Registry::open(&inner).expect("opens");
        assert_eq!(
            registry.connectors(),
            &BTreeMap::from([("a".to_owned(), entry("3"))])
        );
        registry.put("c", entry("4")).expect("puts");
        let mode = fs::metadata(inner.join(FILE))
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_is_an_error_that_says_what_to_do() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(FILE);
        let good = "{\"version\":1,\"connectors\":{\"a\":{\"config\":{},\"target\":\"RUNNING\"}}}";
        fs::write(&path, good).expect("writes");
        assert_eq!(
            Registry::open(directory.path())
                .expect("good")
                .connectors()
                .len(),
            1
        );
        for cut in 0..good.len() {
            fs::write(&path, &good[..cut]).expect("writes");
            let error = Registry::open(directory.path())
                .expect_err("cut")
                .to_string();
            assert!(
                error.contains("connectors.json is damaged"),
                "{cut}: {error}"
            );
            assert!(error.contains("restore it from a backup"), "{cut}: {error}");
        }
        for other in [
            "{\"version\":2,\"connectors\":{}}",
            "{\"version\":1,\"connectors\":{\"a\":{\"config\":{},\"target\":\"FLYING\"}}}",
            "[]",
        ] {
            fs::write(&path, other).expect("writes");
            let error = Registry::open(directory.path()).expect_err("other");
            assert!(
                matches!(error, RegistryError::Damaged { .. }),
                "{other}: {error}"
            );
            assert_eq!(
                fs::read_to_string(&path).expect("reads"),
                other,
                "it was touched"
            );
        }
    }

    #[test]
    fn more_than_the_limit_is_refused_and_changes_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut registry = Registry::open(directory.path()).expect("opens");
        registry.connectors = (1..CONNECTORS_MAX)
            .map(|number| (number.to_string(), entry("x")))
            .collect();
        registry.put("last", entry("x")).expect("fits");
        let error = registry.put("more", entry("x")).expect_err("full");
        assert!(matches!(error, RegistryError::Full), "{error}");
        assert_eq!(registry.connectors().len(), CONNECTORS_MAX);
        let huge = entry(&"x".repeat(REGISTRY_BYTES_MAX));
        assert!(matches!(
            registry.put("last", huge),
            Err(RegistryError::Full)
        ));
        drop(registry);
        let registry = Registry::open(directory.path()).expect("opens");
        assert_eq!(registry.connectors().len(), CONNECTORS_MAX);
    }

    #[test]
    fn a_change_that_cannot_be_written_does_not_happen() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut registry = Registry::open(directory.path()).expect("opens");
        registry.put("a", entry("1")).expect("puts");
        // A directory stands where the file is to be written.
        fs::create_dir(directory.path().join(TEMPORARY)).expect("makes");
        let error = registry.put("a", entry("2")).expect_err("no place");
        assert!(error.to_string().contains("cannot create"), "{error}");
        assert_eq!(registry.connectors().get("a"), Some(&entry("1")));
    }
}
