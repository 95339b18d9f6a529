//! Where scratch files are.
//!
//! A file is unlinked as soon as it is open: it takes its space until it is closed, also by the end of the process, however that
//! comes.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::sqlite::{SqliteTable, open};
use super::{Scratch, ScratchError, ScratchFile, Table};

/// Names of files end so: those that are there at the start were left by a process that died between opening and unlinking.
const SUFFIX: &str = ".scratch";

/// Where the files are.
#[derive(Debug)]
pub(super) struct Directory {
    path: Arc<Path>,
    /// Number of the next file.
    next: AtomicU64,
}

#[derive(Debug)]
struct OnDisk {
    directory: Arc<Path>,
    file: File,
}

impl Directory {
    /// Makes the directory, and deletes what an earlier process left there.
    pub(super) fn open(path: &Path) -> Result<Self, ScratchError> {
        let wrap = |doing| move |source: std::io::Error| failed(doing, path, source);
        fs::create_dir_all(path).map_err(wrap("make a directory for"))?;
        for entry in fs::read_dir(path).map_err(wrap("look for"))? {
            let found = entry.map_err(wrap("look for"))?.path();
            let is_ours = found.to_str().is_some_and(|name| name.ends_with(SUFFIX));
            if is_ours {
                unlink(&found).map_err(wrap("delete"))?;
            }
        }
        Ok(Self {
            path: path.into(),
            next: AtomicU64::new(0),
        })
    }

    /// A file that no other process has, even if it has the same number as this one in a container of its own.
    fn new_file(&self) -> Result<(PathBuf, File), ScratchError> {
        loop {
            let number = self.next.fetch_add(1, Relaxed);
            let name = format!("{}-{number}{SUFFIX}", process::id());
            let path = self.path.join(name);
            match File::create_new(&path) {
                Ok(file) => return Ok((path, file)),
                Err(source) if source.kind() == ErrorKind::AlreadyExists => {}
                Err(source) => return Err(failed("make", &self.path, source)),
            }
        }
    }
}

impl Scratch for Directory {
    fn table(&self) -> Result<Box<dyn Table>, ScratchError> {
        let (path, _) = self.new_file()?;
        let opened = open(&path);
        let unlinked = unlink(&path);
        let connection = opened.map_err(|source| failed("open", &self.path, source))?;
        unlinked.map_err(|source| failed("unlink", &self.path, source))?;
        Ok(Box::new(SqliteTable {
            directory: Arc::clone(&self.path),
            connection,
            disk_bytes: 0,
        }))
    }

    fn file(&self) -> Result<Box<dyn ScratchFile>, ScratchError> {
        let (path, file) = self.new_file()?;
        unlink(&path).map_err(|source| failed("unlink", &self.path, source))?;
        Ok(Box::new(OnDisk {
            directory: Arc::clone(&self.path),
            file,
        }))
    }
}

/// Another process may have been quicker.
fn unlink(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn failed(
    doing: &'static str,
    place: &Path,
    source: impl std::error::Error + Send + Sync + 'static,
) -> ScratchError {
    ScratchError::File {
        doing,
        place: place.to_owned(),
        source: Box::new(source),
    }
}

impl ScratchFile for OnDisk {
    fn append(&mut self, bytes: &[u8]) -> Result<(), ScratchError> {
        let written = self.file.write_all(bytes);
        written.map_err(|source| failed("write", &self.directory, source))
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), ScratchError> {
        let read = self.file.read_exact_at(bytes, offset);
        read.map_err(|source| failed("read", &self.directory, source))
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use types::report;

    use super::*;
    use crate::spill::Pair;

    fn pairs(numbers: std::ops::Range<u32>, value: u8) -> impl Iterator<Item = Pair> {
        let key = |number: u32| number.to_be_bytes().to_vec().into_boxed_slice();
        numbers.map(move |number| (key(number), vec![value; 20]))
    }

    fn names(path: &Path) -> Vec<String> {
        let entries = fs::read_dir(path).expect("lists");
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        entries
            .map(|entry| name(entry.expect("an entry")))
            .collect()
    }

    #[test]
    fn a_table_gives_back_what_was_put_and_leaves_no_file() {
        let place = tempfile::tempdir().expect("a directory");
        let directory = Directory::open(place.path()).expect("opens");
        let mut table = directory.table().expect("opens");
        table.put(&mut pairs(0..2_500, 1)).expect("writes");
        table.put(&mut pairs(2_000..2_001, 2)).expect("writes");
        assert!(table.disk_bytes() > 2_500 * 24);
        assert_eq!(names(place.path()), Vec::<String>::new());
        let get = |table: &mut Box<dyn Table>, number: u32| {
            table.get(&number.to_be_bytes()).expect("reads")
        };
        assert_eq!(get(&mut table, 2_000), Some(vec![2; 20]));
        assert_eq!(get(&mut table, 2_500), None);
        let gone: Vec<Box<[u8]>> = pairs(0..500, 0).map(|(key, _)| key).collect();
        table.remove(&gone).expect("writes");
        assert_eq!(get(&mut table, 499), None);
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = table.page(after.as_deref()).expect("reads");
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            found.extend(page.into_iter().map(|(key, _)| key));
        }
        let left: Vec<Box<[u8]>> = pairs(500..2_500, 0).map(|(key, _)| key).collect();
        assert_eq!(found, left);
        let mut keys = 0;
        table.each_key(&mut |_| keys += 1).expect("reads");
        assert_eq!(keys, left.len());
    }

    #[test]
    fn files_that_a_process_left_are_deleted_and_others_stay() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("daily_totals");
        fs::create_dir_all(&path).expect("makes");
        // One has the name that the first new one would have.
        let taken = format!("{}-0.scratch", process::id());
        for name in [taken.as_str(), "7-3.scratch", "notes.txt"] {
            fs::write(path.join(name), b"stale").expect("writes");
        }
        let directory = Directory::open(&path).expect("opens");
        assert_eq!(names(&path), ["notes.txt"]);
        fs::write(path.join(&taken), b"of another process").expect("writes");
        let mut table = directory.table().expect("takes another name");
        table.put(&mut pairs(0..1, 1)).expect("writes");
        assert!(path.join(taken).exists());
    }

    #[test]
    fn a_directory_that_cannot_be_and_a_full_disk_are_told() {
        let place = tempfile::tempdir().expect("a directory");
        let file = place.path().join("file");
        fs::write(&file, b"").expect("writes");
        let error = Directory::open(&file.join("spill")).expect_err("refuses");
        let text = report(&error).replace(&place.path().display().to_string(), "…");
        expect!["cannot make a directory for a scratch file in …/file/spill: Not a directory (os error 20)"]
            .assert_eq(&text);

        let directory = Directory::open(place.path()).expect("opens");
        let (path, _) = directory.new_file().expect("makes");
        let connection = open(&path).expect("opens");
        connection
            .execute_batch("PRAGMA max_page_count = 10")
            .expect("sets");
        let mut table = SqliteTable {
            directory: Arc::clone(&directory.path),
            connection,
            disk_bytes: 0,
        };
        let error = table.put(&mut pairs(0..10_000, 1)).expect_err("is full");
        let text = report(&error).replace(&place.path().display().to_string(), "…");
        expect!["cannot write a scratch file in …: database or disk is full: Error code 13: database or disk is full"]
            .assert_eq(&text);
        // A directory that was taken away.
        let gone = Directory::open(&place.path().join("gone")).expect("opens");
        fs::remove_dir(place.path().join("gone")).expect("removes");
        let error = gone.table().expect_err("refuses");
        assert!(matches!(error, ScratchError::File { doing: "make", .. }));
        let error = gone.file().expect_err("refuses");
        assert!(matches!(error, ScratchError::File { doing: "make", .. }));
    }

    #[test]
    fn a_file_gives_back_what_was_appended_and_has_no_name() {
        let place = tempfile::tempdir().expect("a directory");
        let directory = Directory::open(place.path()).expect("opens");
        let mut file = directory.file().expect("opens");
        assert_eq!(names(place.path()), Vec::<String>::new());
        file.append(b"ab").expect("writes");
        file.append(b"cd").expect("writes");
        let mut bytes = [0; 3];
        file.read_at(&mut bytes, 1).expect("reads");
        assert_eq!(&bytes, b"bcd");
        let error = file.read_at(&mut bytes, 2).expect_err("it ends");
        assert!(matches!(error, ScratchError::File { doing: "read", .. }));
    }
}
