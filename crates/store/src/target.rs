//! Which store it is, and a connection to it: the one place that tells the kinds apart.

use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use types::{BusinessDay, Counts, Days};

use crate::cassandra::{CassandraOptions, CassandraStore, Cluster};
use crate::error::StoreError;
use crate::rows::{DayCounts, Row, Selection, TableSpec};
use crate::sqlite::SqliteStore;

/// Where results are kept. Clones are cheap and mean the same store.
#[derive(Debug, Clone)]
pub struct StoreTarget(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Sqlite(PathBuf),
    Cassandra(Arc<Cluster>),
}

/// Says where, for messages.
impl fmt::Display for StoreTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Sqlite(path) => path.display().fmt(f),
            Kind::Cassandra(cluster) => cluster.fmt(f),
        }
    }
}

impl StoreTarget {
    /// A SQLite file. It need not exist.
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self(Kind::Sqlite(path.into()))
    }

    /// An Apache Cassandra cluster. It is connected to when the store is first opened; whoever opens it shares the connections.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of a file that the options name.
    pub fn cassandra(options: CassandraOptions) -> Result<Self, StoreError> {
        let cluster = Cluster::new(options)?;
        Ok(Self(Kind::Cassandra(Arc::new(cluster))))
    }

    /// Opens the store for writing, and makes what it lacks. Blocks.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn open(&self) -> Result<Store, StoreError> {
        Ok(Store(match &self.0 {
            Kind::Sqlite(path) => Connection::Sqlite(SqliteStore::open(path)?),
            Kind::Cassandra(cluster) => Connection::Cassandra(cluster.open()?),
        }))
    }

    /// Opens the store for reading; `None` before a sink has made it. Blocks.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn open_read_only(&self) -> Result<Option<Store>, StoreError> {
        let connection = match &self.0 {
            Kind::Sqlite(path) if !path.exists() => None,
            Kind::Sqlite(path) => Some(Connection::Sqlite(SqliteStore::open_read_only(path)?)),
            Kind::Cassandra(cluster) => cluster.open_read_only()?.map(Connection::Cassandra),
        };
        Ok(connection.map(Store))
    }
}

/// A connection to the store. All calls block. Reading and writing may go on in different ones at once.
#[derive(Debug)]
pub struct Store(Connection);

#[derive(Debug)]
enum Connection {
    Sqlite(SqliteStore),
    Cassandra(CassandraStore),
}

/// What a sink writes at once.
#[derive(Debug)]
pub struct Write<'a> {
    /// The aggregation's table.
    pub table: &'a TableSpec,
    /// Rows, at most one a key.
    pub rows: &'a [Row],
    /// Next offset of each partition read.
    pub progress: &'a [(i32, i64)],
}

impl Store {
    /// Creates the table of an aggregation, or gives it the columns that it lacks: days that are over have nothing in a new one.
    /// Columns that are no longer wanted stay.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn ensure_table(&self, table: &TableSpec) -> Result<(), StoreError> {
        match &self.0 {
            Connection::Sqlite(store) => store.ensure_table(table),
            Connection::Cassandra(store) => store.ensure_table(table),
        }
    }

    /// Refuses a store that knows a newer generation of an aggregation than its log, whose newest is `log`.
    ///
    /// # Errors
    ///
    /// [`StoreError::NewerGeneration`], or that the store cannot be read.
    pub fn refuse_newer(&self, aggregation: &str, log: u32) -> Result<(), StoreError> {
        match self.generation(aggregation)? {
            Some(stored) if stored > log => Err(StoreError::NewerGeneration {
                aggregation: aggregation.to_owned(),
                stored,
                offered: log,
            }),
            _ => Ok(()),
        }
    }

    /// Upserts rows, then progress: whoever finds the progress finds the rows. A row or a progress that the store has newer stays.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; rows may have been written then, the progress was not. Writing the same again is harmless.
    pub fn write(&mut self, write: &Write<'_>) -> Result<(), StoreError> {
        match &mut self.0 {
            Connection::Sqlite(store) => store.write(write),
            Connection::Cassandra(store) => store.write(write),
        }
    }

    /// Replaces the counts of days and partitions of the input, except by older ones.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn write_counts(
        &mut self,
        aggregation: &str,
        counts: &[DayCounts],
    ) -> Result<(), StoreError> {
        match &mut self.0 {
            Connection::Sqlite(store) => store.write_counts(aggregation, counts),
            Connection::Cassandra(store) => store.write_counts(aggregation, counts),
        }
    }

    /// Counts of every day, of all partitions together, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn counts(&self, aggregation: &str) -> Result<Vec<(BusinessDay, Counts)>, StoreError> {
        match &self.0 {
            Connection::Sqlite(store) => store.counts(aggregation),
            Connection::Cassandra(store) => store.counts(aggregation),
        }
    }

    /// Newest generation that was written of an aggregation.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn generation(&self, aggregation: &str) -> Result<Option<u32>, StoreError> {
        match &self.0 {
            Connection::Sqlite(store) => store.generation(aggregation),
            Connection::Cassandra(store) => store.generation(aggregation),
        }
    }

    /// As [`Store::generation`], of each partition of its results topic that has progress.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn generations(&self, aggregation: &str) -> Result<Vec<(i32, u32)>, StoreError> {
        match &self.0 {
            Connection::Sqlite(store) => store.generations(aggregation),
            Connection::Cassandra(store) => store.generations(aggregation),
        }
    }

    /// Next offset of each partition: every results record below it is in the rows. Read it
    /// **before** [`Store::scan`].
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn progress(&self, aggregation: &str) -> Result<Vec<(i32, i64)>, StoreError> {
        match &self.0 {
            Connection::Sqlite(store) => store.progress(aggregation),
            Connection::Cassandra(store) => store.progress(aggregation),
        }
    }

    /// Hands over the rows of a day, or of all days; deleted ones too. Order is not defined. A table that no sink has made yet
    /// has no rows.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; some rows may have been handed over then.
    pub fn scan(
        &self,
        table: &TableSpec,
        day: Option<BusinessDay>,
        mut each: impl FnMut(Row),
    ) -> Result<(), StoreError> {
        let days = day.map_or_else(Days::all, Days::one);
        self.select(table, &Selection::Days(days, Vec::new()), |row| {
            each(row);
            ControlFlow::Continue(())
        })
    }

    /// Hands over the rows that are wanted, until `each` breaks; deleted ones too. Order is not defined. A table that no sink has
    /// made yet has no rows. Days that are not wanted are not read, and of keys only their rows.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; some rows may have been handed over then.
    pub fn select(
        &self,
        table: &TableSpec,
        wanted: &Selection,
        mut each: impl FnMut(Row) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let days = match wanted {
            Selection::Days(days, _) => days,
            Selection::Keys(keys) => {
                for (day, key) in keys {
                    if let Some(row) = self.find(table, *day, key)?
                        && each(row).is_break()
                    {
                        break;
                    }
                }
                return Ok(());
            }
        };
        let mut each = |row: Row| match wanted.has(&row) {
            true => each(row),
            false => ControlFlow::Continue(()),
        };
        match &self.0 {
            Connection::Sqlite(store) => store.scan(table, days, &mut each),
            Connection::Cassandra(store) => store.scan(table, days, &mut each),
        }
    }

    /// The row of a key.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn find(
        &self,
        table: &TableSpec,
        day: BusinessDay,
        key: &str,
    ) -> Result<Option<Row>, StoreError> {
        match &self.0 {
            Connection::Sqlite(store) => store.find(table, day, key),
            Connection::Cassandra(store) => store.find(table, day, key),
        }
    }

    /// Days that have rows, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn days(&self, aggregation: &str) -> Result<Vec<BusinessDay>, StoreError> {
        match &self.0 {
            Connection::Sqlite(store) => store.days(aggregation),
            Connection::Cassandra(store) => store.days(aggregation),
        }
    }
}
