//! The disk, as far as a log needs it; replaced by a simulated one in tests.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Bytes written at a time when a file is filled with zeros.
const FILL_BYTES: usize = 1 << 20;
/// Bytes after which a file that is filled gently is synced: what a sync of others may have to wait for.
const GENTLE_SYNC_BYTES: u64 = 4 << 20;
/// Only the owner may read what is in flight.
const FILE_MODE: u32 = 0o600;

/// One directory of files.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Names of all files.
    ///
    /// # Errors
    /// From the operating system.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Creates a file of `bytes` zeros whose length and content are durable on return. `gently`: in
    /// twice the time, so that syncs of others find the disk free.
    ///
    /// # Errors
    /// From the operating system.
    fn create(&self, name: &str, bytes: u64, gently: bool) -> io::Result<Box<dyn DiskFile>>;
    /// Opens an existing file.
    ///
    /// # Errors
    /// From the operating system.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Renames, durably on return.
    ///
    /// # Errors
    /// From the operating system.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// From the operating system.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// One open file of fixed length.
pub trait DiskFile: Debug + Send {
    /// Length in bytes.
    ///
    /// # Errors
    /// From the operating system.
    fn bytes(&self) -> io::Result<u64>;
    /// Fills `into` with the bytes from `offset` on.
    ///
    /// # Errors
    /// From the operating system, also when the file ends before.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;
    /// Writes all of `data` at `offset`; not durable before [`DiskFile::sync`].
    ///
    /// # Errors
    /// From the operating system.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    /// Forces everything written to the device (`fdatasync`).
    ///
    /// # Errors
    /// From the operating system. The state of unsynced data is then unknown.
    fn sync(&self) -> io::Result<()>;
}

/// A real directory.
#[derive(Debug)]
pub struct FileDisk {
    dir: PathBuf,
}

impl FileDisk {
    /// The directory must exist.
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }
}

impl Disk for FileDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str, bytes: u64, gently: bool) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(self.dir.join(name))?;
        // Written, not only allocated: the first write to an allocated but unwritten extent costs
        // a metadata update in the sync that acknowledgements wait for.
        let zeros = vec![0; FILL_BYTES];
        let mut offset = 0;
        while offset < bytes {
            let begun = Instant::now();
            let part =
                usize::try_from(bytes - offset).map_or(FILL_BYTES, |left| left.min(FILL_BYTES));
            file.write_all_at(&zeros[..part], offset)?;
            offset += part as u64;
            if gently {
                if offset.is_multiple_of(GENTLE_SYNC_BYTES) {
                    file.sync_data()?;
                }
                std::thread::sleep(begun.elapsed());
            }
        }
        file.sync_all()?;
        self.sync_dir()?;
        Ok(Box::new(RealFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.dir.join(name))?;
        Ok(Box::new(RealFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.dir.join(from), self.dir.join(to))?;
        self.sync_dir()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(into, offset)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
