//! Scratch tables as files of SQLite, which is in the program already for the store (ADR 7).
//!
//! Journal and forced writes are off, so a table is of no use after an error; nobody uses it then.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags, Row};

use super::directory::failed;
use super::{Pair, ScratchError, Table};

/// Of pages in memory, a table; the operating system's cache has the others.
const CACHE_KIB: u32 = 64;
/// Pairs that are read at once.
const PAGE_PAIRS: u32 = 1_000;

#[derive(Debug)]
pub(super) struct SqliteTable {
    pub(super) directory: Arc<Path>,
    pub(super) connection: Connection,
    pub(super) disk_bytes: u64,
}

pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.execute_batch(&format!(
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; \
         PRAGMA cache_size = -{CACHE_KIB}; \
         CREATE TABLE pairs (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
    ))?;
    Ok(connection)
}

impl SqliteTable {
    fn put_all(&mut self, pairs: &mut dyn Iterator<Item = Pair>) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut put =
                transaction.prepare_cached("INSERT OR REPLACE INTO pairs VALUES (?, ?)")?;
            for (key, value) in pairs {
                put.execute((&*key, value))?;
            }
        }
        transaction.commit()?;
        let size = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
        let bytes: i64 = self.connection.query_row(size, [], |row| row.get(0))?;
        self.disk_bytes = bytes.unsigned_abs();
        Ok(())
    }

    fn get_one(&self, key: &[u8]) -> rusqlite::Result<Option<Vec<u8>>> {
        let select = "SELECT value FROM pairs WHERE key = ?";
        let mut select = self.connection.prepare_cached(select)?;
        let mut rows = select.query([key])?;
        rows.next()?.map(|row| row.get(0)).transpose()
    }

    fn remove_all(&mut self, keys: &[Box<[u8]>]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut delete = transaction.prepare_cached("DELETE FROM pairs WHERE key = ?")?;
            for key in keys {
                delete.execute([&**key])?;
            }
        }
        transaction.commit()
    }

    fn page_after(&self, after: Option<&[u8]>) -> rusqlite::Result<Vec<Pair>> {
        let pair = |row: &Row<'_>| {
            let key: Vec<u8> = row.get(0)?;
            Ok((key.into_boxed_slice(), row.get(1)?))
        };
        // Nothing is before the empty key, and no key is empty.
        let select = "SELECT key, value FROM pairs WHERE key > ? ORDER BY key LIMIT ?";
        let mut select = self.connection.prepare_cached(select)?;
        select
            .query_map((after.unwrap_or_default(), PAGE_PAIRS), pair)?
            .collect()
    }

    fn look_at_keys(&self, each: &mut dyn FnMut(&[u8])) -> rusqlite::Result<()> {
        let mut select = self.connection.prepare_cached("SELECT key FROM pairs")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            each(row.get_ref(0)?.as_blob()?);
        }
        Ok(())
    }

    fn failed(&self, doing: &'static str) -> impl FnOnce(rusqlite::Error) -> ScratchError + use<> {
        let directory = Arc::clone(&self.directory);
        move |source| failed(doing, &directory, source)
    }
}

impl Table for SqliteTable {
    fn put(&mut self, pairs: &mut dyn Iterator<Item = Pair>) -> Result<(), ScratchError> {
        self.put_all(pairs).map_err(self.failed("write"))
    }

    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, ScratchError> {
        self.get_one(key).map_err(self.failed("read"))
    }

    fn remove(&mut self, keys: &[Box<[u8]>]) -> Result<(), ScratchError> {
        self.remove_all(keys).map_err(self.failed("write"))
    }

    fn page(&mut self, after: Option<&[u8]>) -> Result<Vec<Pair>, ScratchError> {
        self.page_after(after).map_err(self.failed("read"))
    }

    fn each_key(&mut self, each: &mut dyn FnMut(&[u8])) -> Result<(), ScratchError> {
        self.look_at_keys(each).map_err(self.failed("read"))
    }

    fn disk_bytes(&self) -> u64 {
        self.disk_bytes
    }
}
