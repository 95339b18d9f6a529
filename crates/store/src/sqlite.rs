//! The store in a SQLite file (WAL, synchronous=NORMAL).
//!
//! NORMAL syncs at checkpoints, not at each commit: power loss may take the last commits back, whole and
//! in order. Their progress goes with them, and the sink reads the same results again from the log,
//! where they are durable. Nothing else relies on this file.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params, params_from_iter};
use types::{BusinessDay, Counts, Version};

use crate::error::StoreError;
use crate::rows::{Cell, CellKind, Row, TableSpec};

/// How long a call waits for another process's write.
const BUSY_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(10);
/// Columns every table has beside those of its SELECT list.
const FIXED_COLUMNS: &str = "row_key TEXT PRIMARY KEY, row_day TEXT NOT NULL, \
    row_generation INTEGER NOT NULL, row_sequence INTEGER NOT NULL, row_deleted INTEGER NOT NULL, \
    row_partition INTEGER NOT NULL, row_offset INTEGER NOT NULL";

/// One connection to the store. Reading and writing may go on in different connections at once.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
}

/// What a sink writes at once, or not at all.
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
    /// Opens the file, or creates it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Sqlite`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = Connection::open(path);
        let store = Self::with(connection, path)?;
        store.run("be prepared", |connection| {
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            connection.execute_batch(
                "CREATE TABLE IF NOT EXISTS progress (aggregation TEXT, generation INTEGER, \
                   partition INTEGER, next_offset INTEGER, \
                   PRIMARY KEY (aggregation, generation, partition)) WITHOUT ROWID;
                 CREATE TABLE IF NOT EXISTS counts_by_partition (aggregation TEXT, day TEXT, \
                   partition INTEGER, counted INTEGER, reversing INTEGER, duplicate INTEGER, \
                   late_corrected INTEGER, quarantined INTEGER, \
                   PRIMARY KEY (aggregation, day, partition)) WITHOUT ROWID;
                 CREATE VIEW IF NOT EXISTS daily_counts AS SELECT aggregation, day, \
                   sum(counted) AS counted, sum(reversing) AS reversing, \
                   sum(duplicate) AS duplicate, sum(late_corrected) AS late_corrected, \
                   sum(quarantined) AS quarantined \
                   FROM counts_by_partition GROUP BY aggregation, day;",
            )
        })?;
        Ok(store)
    }

    /// Opens an existing file for reading only.
    ///
    /// # Errors
    ///
    /// [`StoreError::Sqlite`], also when there is no such file.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Self::with(Connection::open_with_flags(path, flags), path)
    }

    fn with(connection: rusqlite::Result<Connection>, path: &Path) -> Result<Self, StoreError> {
        let error = |source| StoreError::Sqlite {
            path: path.to_owned(),
            what: "be opened",
            source,
        };
        let connection = connection.map_err(error)?;
        connection.busy_timeout(BUSY_TIME_MAX).map_err(error)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(Self {
            connection,
            path: path.to_owned(),
        })
    }

    fn run<T>(
        &self,
        what: &'static str,
        action: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        action(&self.connection).map_err(|source| StoreError::Sqlite {
            path: self.path.clone(),
            what,
            source,
        })
    }

    /// Creates the table of an aggregation, or gives it the columns that it lacks: days that are over have nothing in a new one.
    /// Columns that are no longer wanted stay.
    ///
    /// # Errors
    ///
    /// [`StoreError::Sqlite`].
    pub fn ensure_table(&self, table: &TableSpec) -> Result<(), StoreError> {
        let mut sql = format!(
            "CREATE TABLE IF NOT EXISTS {} ({FIXED_COLUMNS}",
            quoted(&table.name)
        );
        for (name, kind) in &table.columns {
            // Writing to a String cannot fail.
            let _ = write!(sql, ", {} {}", quoted(name), declared(*kind));
        }
        sql.push_str(") WITHOUT ROWID");
        let index = format!(
            "CREATE INDEX IF NOT EXISTS {} ON {} (row_day)",
            quoted(&format!("{}_by_day", table.name)),
            quoted(&table.name)
        );
        self.run("create a table", |connection| {
            connection.execute(&sql, [])?;
            connection.execute(&index, [])
        })?;
        let columns = self.run("read its schema", |connection| {
            let mut statement =
                connection.prepare("SELECT name, type FROM pragma_table_info(?1)")?;
            let columns = statement.query_map([&table.name], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
            })?;
            columns.collect::<rusqlite::Result<Vec<_>>>()
        })?;
        self.run("change a table", |connection| {
            let of_table = quoted(&table.name);
            for (name, kind) in &table.columns {
                let (kind, column) = (declared(*kind), quoted(name));
                let there = columns.iter().find(|(there, _)| there == name);
                if there.is_some_and(|(_, there)| there == kind) {
                    continue;
                }
                // Of another type: a decimal must never be taken for a number by SQLite.
                if there.is_some() {
                    connection
                        .execute(&format!("ALTER TABLE {of_table} DROP COLUMN {column}"), [])?;
                }
                let add = format!("ALTER TABLE {of_table} ADD COLUMN {column} {kind}");
                connection.execute(&add, [])?;
            }
            Ok(())
        })
    }

    /// Refuses a store that knows a newer generation of an aggregation than its log, whose newest is `log`.
    ///
    /// # Errors
    ///
    /// [`StoreError::NewerGeneration`] or [`StoreError::Sqlite`].
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

    /// Upserts rows and progress in one SQLite transaction: both are there, or neither.
    ///
    /// # Errors
    ///
    /// [`StoreError::Sqlite`]; nothing was written then.
    pub fn write(&mut self, write: &Write<'_>) -> Result<(), StoreError> {
        let generation = write.rows.iter().map(|row| row.version.generation).max();
        let sql = upsert_sql(write.table);
        let path = self.path.clone();
        let result = (|| {
            let transaction = self.connection.transaction()?;
            {
                let mut upsert = transaction.prepare_cached(&sql)?;
                for row in write.rows {
                    upsert.execute(params_from_iter(row_values(row)))?;
                }
                let mut progress = transaction.prepare_cached(
                    "INSERT INTO progress VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET \
                     next_offset = max(next_offset, excluded.next_offset)",
                )?;
                for (partition, next) in write.progress {
                    progress.execute(params![
                        write.table.name,
                        generation.unwrap_or(1),
                        partition,
                        next
                    ])?;
                }
            }
            transaction.commit()
        })();
        result.map_err(|source| StoreError::Sqlite {
            path,
            what: "write rows",
            source,
        })
    }

    /// Replaces the counts of days and partitions of the input.
    ///
    /// # Errors
    ///
    /// [`StoreError::Sqlite`].
    pub fn write_counts(
        &mut self,
        aggregation: &str,
        counts: &[(BusinessDay, i32, Counts)],
    ) -> Result<(), StoreError> {
        let path = self.path.clone();
        let result = (|| {
            let transaction = self.connection.transaction()?;
            for (day, partition, counts) in counts {
                transaction
                    .prepare_cached(
                        "INSERT OR REPLACE INTO counts_by_partition VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                    )?
                    .execute(params![
                        aggregation,
                        day.to_string(),
                        partition,
                        counts.counted.cast_signed(),
                        counts.reversing.cast_signed(),
                        counts.duplicate.cast_signed(),
                        counts.late_corrected.cast_signed(),
                        counts.quarantined.cast_signed()
                    ])?;
            }
            transaction.commit()
        })();
        result.map_err(|source| StoreError::Sqlite {
            path,
            what: "write counts",
            source,
        })
    }

    /// Counts of every day, of all partitions together, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Sqlite`].
    pub fn counts(&self, aggregation: &str) -> Result<Vec<(BusinessDay, Counts)>, StoreError> {
        self.run("read counts", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT day, counted, reversing, duplicate, late_corrected, quarantined \
                 FROM daily_counts WHERE aggregation = ?1 ORDER BY day",
            )?;
            let mut rows = statement.query([aggregation])?;
            let mut counts = Vec::new();
            while let Some(row) = rows.next()? {
                let number = |index| row.get::<_, i64>(index).map(i64::cast_unsigned);
                counts.push((
                    day_at(row, 0)?,
                    Counts {
                        counted: number(1)?,
                        reversing: number(2)?,
                        duplicate: number(3)?,
                        late_corrected: number(4)?,
                        quarantined: number(5)?,
                    },
                ));
            }
            Ok(counts)
        })
    }

    /// Newest generation that was written of an aggregation.
    ///
    /// # Errors
    ///
    /// [`StoreError::Sqlite`].
    pub fn generation(&self, aggregation: &str) -> Result<Option<u32>, StoreError> {
        self.run("read the generation", |connection| {
            connection
                .prepare_cached("SELECT max(generation) FROM progress WHERE aggregation = ?1")?
                .query_row([aggregation], |row| row.get(0))
                .optional()
                .map(Option::flatten)
        })
    }

    /// Next offset of each partition: every results record below it is in the rows. Read it
    /// **before** [`Store::scan`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Sqlite`].
    pub fn progress(&self, aggregation: &str) -> Result<Vec<(i32, i64)>, StoreError> {
        self.run("read progress", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT partition, max(next_offset) FROM progress WHERE aggregation = ?1 \
                 GROUP BY partition ORDER BY partition",
            )?;
            let rows = statement.query_map([aggregation], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        })
    }

    /// Hands over the rows of a day, or of all days; deleted ones too. Order is not defined.
    ///
    /// # Errors
    ///
    /// [`StoreError::Sqlite`].
    pub fn scan(
        &self,
        table: &TableSpec,
        day: Option<BusinessDay>,
        mut each: impl FnMut(Row),
    ) -> Result<(), StoreError> {
        let mut sql = "SELECT row_key, row_day, row_generation, row_sequence, row_deleted, \
                       row_partition, row_offset"
            .to_owned();
        for (name, _) in &table.columns {
            let _ = write!(sql, ", {}", quoted(name));
        }
        let _ = write!(sql, " FROM {}", quoted(&table.name));
        if day.is_some() {
            sql.push_str(" WHERE row_day = ?1");
        }
        self.run("read rows", |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(params_from_iter(day.map(|day| day.to_string())))?;
            while let Some(row) = rows.next()? {
                each(read_row(row, table.columns.len())?);
            }
            Ok(())
        })
    }

    /// Days that have rows, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Sqlite`].
    pub fn days(&self, aggregation: &str) -> Result<Vec<BusinessDay>, StoreError> {
        let sql = format!(
            "SELECT DISTINCT row_day FROM {} ORDER BY row_day",
            quoted(aggregation)
        );
        self.run("read days", |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query([])?;
            let mut days = Vec::new();
            while let Some(row) = rows.next()? {
                days.push(day_at(row, 0)?);
            }
            Ok(days)
        })
    }
}

/// A name as an SQL identifier, whatever characters it has.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Type of a column. Decimals are text, so that SQLite does not make floats of them.
fn declared(kind: CellKind) -> &'static str {
    match kind {
        CellKind::Int => "INTEGER",
        _ => "TEXT",
    }
}

fn upsert_sql(table: &TableSpec) -> String {
    // By name: a table may have columns of an older definition too.
    let mut sql = format!(
        "INSERT INTO {} (row_key, row_day, row_generation, row_sequence, row_deleted, \
         row_partition, row_offset",
        quoted(&table.name)
    );
    for (name, _) in &table.columns {
        let _ = write!(sql, ", {}", quoted(name));
    }
    sql.push_str(") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7");
    for index in 0..table.columns.len() {
        let _ = write!(sql, ", ?{}", index + 8);
    }
    sql.push_str(
        ") ON CONFLICT (row_key) DO UPDATE SET row_generation = excluded.row_generation, \
         row_sequence = excluded.row_sequence, row_deleted = excluded.row_deleted, \
         row_partition = excluded.row_partition, row_offset = excluded.row_offset",
    );
    for (name, _) in &table.columns {
        let name = quoted(name);
        let _ = write!(sql, ", {name} = excluded.{name}");
    }
    sql.push_str(
        " WHERE (excluded.row_generation, excluded.row_sequence) > (row_generation, row_sequence)",
    );
    sql
}

fn row_values(row: &Row) -> impl Iterator<Item = Value> + '_ {
    let fixed = [
        Value::Text(row.key.clone()),
        Value::Text(row.day.to_string()),
        Value::Integer(i64::from(row.version.generation)),
        Value::Integer(row.version.sequence.cast_signed()),
        Value::Integer(i64::from(row.deleted)),
        Value::Integer(i64::from(row.partition)),
        Value::Integer(row.offset),
    ];
    let cells = row.cells.iter().map(|cell| match cell {
        Cell::Null => Value::Null,
        Cell::Text(text) => Value::Text(text.clone()),
        Cell::Int(number) => Value::Integer(*number),
    });
    fixed.into_iter().chain(cells)
}

fn day_at(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<BusinessDay> {
    let text: String = row.get(index)?;
    text.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(
            index,
            rusqlite::types::Type::Text,
            Box::new(error),
        )
    })
}

fn read_row(row: &rusqlite::Row<'_>, columns: usize) -> rusqlite::Result<Row> {
    let cell = |index| {
        Ok(match row.get_ref(index)? {
            ValueRef::Integer(number) => Cell::Int(number),
            ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
            _ => Cell::Null,
        })
    };
    Ok(Row {
        key: row.get(0)?,
        day: day_at(row, 1)?,
        version: Version {
            generation: row.get(2)?,
            sequence: row.get::<_, i64>(3)?.cast_unsigned(),
        },
        deleted: row.get(4)?,
        partition: row.get(5)?,
        offset: row.get(6)?,
        cells: (7..7 + columns)
            .map(cell)
            .collect::<rusqlite::Result<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> TableSpec {
        TableSpec {
            name: "daily \"totals\"".to_owned(),
            columns: vec![
                ("account".to_owned(), CellKind::Text),
                ("total".to_owned(), CellKind::Decimal),
                ("transactions".to_owned(), CellKind::Int),
            ],
        }
    }

    fn row(key: &str, sequence: u64, total: &str) -> Row {
        Row {
            key: key.to_owned(),
            day: "2026-11-23".parse().expect("a day"),
            version: Version {
                generation: 1,
                sequence,
            },
            deleted: false,
            partition: 0,
            offset: 5,
            cells: vec![
                Cell::Text(key.to_owned()),
                Cell::Text(total.to_owned()),
                Cell::Int(3),
            ],
        }
    }

    fn totals(store: &Store) -> Vec<String> {
        let mut found = Vec::new();
        let each = |row: Row| found.push(format!("{} {} {:?}", row.key, row.version, row.cells[1]));
        store.scan(&spec(), None, each).expect("scans");
        found.sort();
        found
    }

    #[test]
    fn an_older_version_never_overwrites_a_newer_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("store.db");
        let mut store = Store::open(&path).expect("opens");
        store.ensure_table(&spec()).expect("creates");
        let mut write = |rows: &[Row], next| {
            store
                .write(&Write {
                    table: &spec(),
                    rows,
                    progress: &[(0, next)],
                })
                .expect("writes");
        };
        write(&[row("a", 2, "2.00"), row("b", 1, "1.00")], 10);
        write(&[row("a", 1, "1.00"), row("b", 2, "9.99")], 9);
        write(&[row("a", 2, "7.00")], 11);
        drop(store);
        let store = Store::open_read_only(&path).expect("opens");
        assert_eq!(
            totals(&store),
            ["a 1.2 Text(\"2.00\")", "b 1.2 Text(\"9.99\")"]
        );
        assert_eq!(store.progress(&spec().name).expect("reads"), [(0, 11)]);
        assert_eq!(store.days(&spec().name).expect("reads").len(), 1);
    }

    #[test]
    fn a_store_of_a_newer_generation_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut store = Store::open(&dir.path().join("store.db")).expect("opens");
        store.ensure_table(&spec()).expect("creates");
        let mut newer = row("a", 1, "1.00");
        newer.version.generation = 2;
        let mut write = |rows: &[Row]| {
            store
                .write(&Write {
                    table: &spec(),
                    rows,
                    progress: &[(0, 1)],
                })
                .expect("writes");
        };
        write(&[newer]);
        // While a new definition comes into force others may still write by the old one.
        write(&[row("a", 9, "9.00"), row("b", 1, "1.00")]);
        assert_eq!(
            totals(&store),
            ["a 2.1 Text(\"1.00\")", "b 1.1 Text(\"1.00\")"]
        );
        store
            .refuse_newer(&spec().name, 2)
            .expect("as new as the log");
        let error = store.refuse_newer(&spec().name, 1).expect_err("refuses");
        assert!(matches!(
            error,
            StoreError::NewerGeneration {
                stored: 2,
                offered: 1,
                ..
            }
        ));
    }

    #[test]
    fn a_table_gets_the_columns_that_it_lacks_and_keeps_its_rows() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut store = Store::open(&dir.path().join("store.db")).expect("opens");
        store.ensure_table(&spec()).expect("creates");
        store
            .write(&Write {
                table: &spec(),
                rows: &[row("a", 1, "1.00")],
                progress: &[],
            })
            .expect("writes");
        let mut changed = spec();
        changed.columns.push(("mean".to_owned(), CellKind::Decimal));
        store.ensure_table(&changed).expect("adds");
        let mut rows = Vec::new();
        store
            .scan(&changed, None, |row| rows.push(row))
            .expect("reads");
        assert_eq!(rows[0].cells.last(), Some(&Cell::Null));
        assert_eq!(rows[0].cells.first(), row("a", 1, "1.00").cells.first());
        // A column that was a number and is a decimal now is made anew.
        changed.columns.pop();
        changed.columns.push(("mean".to_owned(), CellKind::Int));
        // One that is no longer wanted stays in the table, wherever it stands.
        let first = changed.columns.remove(0);
        store.ensure_table(&changed).expect("changes");
        changed.columns.insert(0, first);
        let mut int = row("a", 2, "2.00");
        int.cells.push(Cell::Int(7));
        store
            .write(&Write {
                table: &changed,
                rows: &[int],
                progress: &[],
            })
            .expect("writes");
        rows.clear();
        store
            .scan(&changed, None, |row| rows.push(row))
            .expect("reads");
        assert_eq!(rows[0].cells.last(), Some(&Cell::Int(7)));
    }

    #[test]
    fn counts_are_replaced_by_day() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut store = Store::open(&dir.path().join("store.db")).expect("opens");
        let day = "2026-11-23".parse().expect("a day");
        let counts = Counts {
            counted: 3,
            duplicate: 1,
            ..Counts::default()
        };
        store
            .write_counts("x", &[(day, 0, Counts::default())])
            .expect("writes");
        store
            .write_counts("x", &[(day, 0, counts), (day, 1, counts)])
            .expect("writes");
        let twice = Counts {
            counted: 6,
            duplicate: 2,
            ..Counts::default()
        };
        assert_eq!(store.counts("x").expect("reads"), [(day, twice)]);
        assert_eq!(counts.total(), 4);
    }
}
