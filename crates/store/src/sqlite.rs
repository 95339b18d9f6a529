//! The store in a SQLite file (WAL, synchronous=NORMAL).
//!
//! NORMAL syncs at checkpoints, not at each commit: power loss may take the last commits back, whole and
//! in order. Their progress goes with them, and the sink reads the same results again from the log,
//! where they are durable. Nothing else relies on this file.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params, params_from_iter};
use types::{BusinessDay, Counts, Days, Version};

use crate::error::StoreError;
use crate::rows::{Cell, CellKind, DayCounts, Row, TableSpec};
use crate::target::Write;

/// How long a call waits for another process's write.
const BUSY_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(10);
/// Most days that a statement names one by one.
const DAYS_LISTED_MAX: usize = 1_000;
/// Columns every table has beside those of its SELECT list.
const FIXED_COLUMNS: &str = "row_key TEXT PRIMARY KEY, row_day TEXT NOT NULL, \
    row_generation INTEGER NOT NULL, row_sequence INTEGER NOT NULL, row_deleted INTEGER NOT NULL, \
    row_partition INTEGER NOT NULL, row_offset INTEGER NOT NULL";

/// One connection to the file.
#[derive(Debug)]
pub(crate) struct SqliteStore {
    connection: Connection,
    path: PathBuf,
}

impl SqliteStore {
    /// Opens the file, or creates it.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
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
                   log_offset INTEGER NOT NULL DEFAULT -1, \
                   PRIMARY KEY (aggregation, day, partition)) WITHOUT ROWID;
                 CREATE VIEW IF NOT EXISTS daily_counts AS SELECT aggregation, day, \
                   sum(counted) AS counted, sum(reversing) AS reversing, \
                   sum(duplicate) AS duplicate, sum(late_corrected) AS late_corrected, \
                   sum(quarantined) AS quarantined \
                   FROM counts_by_partition GROUP BY aggregation, day;",
            )?;
            // A file of an earlier version lacks it.
            let columns = columns_of(connection, "counts_by_partition")?;
            if !columns.iter().any(|(name, _)| name == "log_offset") {
                connection.execute(
                    "ALTER TABLE counts_by_partition ADD COLUMN log_offset INTEGER NOT NULL DEFAULT -1",
                    [],
                )?;
            }
            Ok(())
        })?;
        Ok(store)
    }

    /// Opens an existing file for reading only.
    pub(crate) fn open_read_only(path: &Path) -> Result<Self, StoreError> {
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

    /// As [`Self::run`]; of a table that no sink has made yet there is nothing.
    fn read<T: Default>(
        &self,
        what: &'static str,
        action: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        match self.run(what, action) {
            Err(StoreError::Sqlite { source, .. }) if is_missing_table(&source) => Ok(T::default()),
            result => result,
        }
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

    pub(crate) fn ensure_table(&self, table: &TableSpec) -> Result<(), StoreError> {
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
            columns_of(connection, &table.name)
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

    /// In one SQLite transaction: rows and progress are both there, or neither.
    pub(crate) fn write(&mut self, write: &Write<'_>) -> Result<(), StoreError> {
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

    pub(crate) fn write_counts(
        &mut self,
        aggregation: &str,
        counts: &[DayCounts],
    ) -> Result<(), StoreError> {
        let path = self.path.clone();
        let result = (|| {
            let transaction = self.connection.transaction()?;
            let mut upsert = transaction.prepare_cached(
                "INSERT INTO counts_by_partition VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
                 ON CONFLICT DO UPDATE SET counted = excluded.counted, \
                 reversing = excluded.reversing, duplicate = excluded.duplicate, \
                 late_corrected = excluded.late_corrected, quarantined = excluded.quarantined, \
                 log_offset = excluded.log_offset WHERE excluded.log_offset >= log_offset",
            )?;
            for found in counts {
                upsert.execute(params![
                    aggregation,
                    found.day.to_string(),
                    found.partition,
                    found.counts.counted.cast_signed(),
                    found.counts.reversing.cast_signed(),
                    found.counts.duplicate.cast_signed(),
                    found.counts.late_corrected.cast_signed(),
                    found.counts.quarantined.cast_signed(),
                    found.offset
                ])?;
            }
            drop(upsert);
            transaction.commit()
        })();
        result.map_err(|source| StoreError::Sqlite {
            path,
            what: "write counts",
            source,
        })
    }

    pub(crate) fn counts(
        &self,
        aggregation: &str,
    ) -> Result<Vec<(BusinessDay, Counts)>, StoreError> {
        self.read("read counts", |connection| {
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

    pub(crate) fn generation(&self, aggregation: &str) -> Result<Option<u32>, StoreError> {
        self.read("read the generation", |connection| {
            connection
                .prepare_cached("SELECT max(generation) FROM progress WHERE aggregation = ?1")?
                .query_row([aggregation], |row| row.get(0))
                .optional()
                .map(Option::flatten)
        })
    }

    pub(crate) fn generations(&self, aggregation: &str) -> Result<Vec<(i32, u32)>, StoreError> {
        self.read("read the generations", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT partition, max(generation) FROM progress WHERE aggregation = ?1 \
                 GROUP BY partition ORDER BY partition",
            )?;
            let rows = statement.query_map([aggregation], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        })
    }

    pub(crate) fn progress(&self, aggregation: &str) -> Result<Vec<(i32, i64)>, StoreError> {
        self.read("read progress", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT partition, max(next_offset) FROM progress WHERE aggregation = ?1 \
                 GROUP BY partition ORDER BY partition",
            )?;
            let rows = statement.query_map([aggregation], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        })
    }

    /// Hands over the rows of these days; of others too where text does not say which is the later one.
    pub(crate) fn scan(
        &self,
        table: &TableSpec,
        days: &Days,
        each: &mut dyn FnMut(Row) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.read("read rows", |connection| {
            let mut sql = select_sql(connection, table)?;
            let (condition, values) = days_sql(days);
            sql.push_str(&condition);
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(params_from_iter(values))?;
            while let Some(row) = rows.next()? {
                if each(read_row(row, table.columns.len())?).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    pub(crate) fn find(
        &self,
        table: &TableSpec,
        day: BusinessDay,
        key: &str,
    ) -> Result<Option<Row>, StoreError> {
        self.read("read a row", |connection| {
            let sql = select_sql(connection, table)?;
            let sql = format!("{sql} WHERE row_key = ?1 AND row_day = ?2");
            connection
                .prepare_cached(&sql)?
                .query_row([key, &day.to_string()], |row| {
                    read_row(row, table.columns.len())
                })
                .optional()
        })
    }

    pub(crate) fn days(&self, aggregation: &str) -> Result<Vec<BusinessDay>, StoreError> {
        let sql = format!(
            "SELECT DISTINCT row_day FROM {} ORDER BY row_day",
            quoted(aggregation)
        );
        self.read("read days", |connection| {
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

fn is_missing_table(error: &rusqlite::Error) -> bool {
    error.to_string().contains("no such table")
}

/// Names and types of a table's columns.
fn columns_of(connection: &Connection, table: &str) -> rusqlite::Result<Vec<(String, String)>> {
    let mut statement = connection.prepare("SELECT name, type FROM pragma_table_info(?1)")?;
    let columns = statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?;
    columns.collect()
}

/// Selects rows as [`read_row`] reads them. Columns that the sink has not added yet have nothing: SQLite would take their names for
/// texts.
fn select_sql(connection: &Connection, table: &TableSpec) -> rusqlite::Result<String> {
    let there = columns_of(connection, &table.name)?;
    let mut sql = "SELECT row_key, row_day, row_generation, row_sequence, row_deleted, \
                   row_partition, row_offset"
        .to_owned();
    for (name, _) in &table.columns {
        let column = match there.iter().any(|(there, _)| there == name) {
            true => quoted(name),
            false => "NULL".to_owned(),
        };
        // Writing to a String cannot fail.
        let _ = write!(sql, ", {column}");
    }
    let _ = write!(sql, " FROM {}", quoted(&table.name));
    Ok(sql)
}

/// A condition on the column with an index, and its values.
fn days_sql(days: &Days) -> (String, Vec<String>) {
    if let Some(listed) = days.listed() {
        // Many would be more than a statement may have: then all are read, and looked at.
        if listed.len() > DAYS_LISTED_MAX {
            return (String::new(), Vec::new());
        }
        let marks = vec!["?"; listed.len()].join(", ");
        let values = listed.iter().map(ToString::to_string).collect();
        return (format!(" WHERE row_day IN ({marks})"), values);
    }
    let (from, to) = days.bounds();
    let mut conditions = Vec::new();
    let mut values = Vec::new();
    for (bound, condition) in [(from, "row_day >= ?"), (to, "row_day <= ?")] {
        let Some(day) = bound.map(|day| day.to_string()) else {
            continue;
        };
        // Texts of years before 0 are not in order.
        if !day.starts_with('-') {
            conditions.push(condition);
            values.push(day);
        }
    }
    match conditions.is_empty() {
        true => (String::new(), values),
        false => (format!(" WHERE {}", conditions.join(" AND ")), values),
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

    #[test]
    fn days_become_conditions() {
        let day = |text: &str| text.parse::<BusinessDay>().expect("a day");
        let shown = |days: &Days| {
            let (sql, values) = days_sql(days);
            format!("{sql} {}", values.join(" ")).trim().to_owned()
        };
        let (first, last) = (day("2026-11-20"), day("2026-11-23"));
        let listed = |count: i32| Days::of((0..count).map(|number| first.plus_days(number)));
        for (days, expected) in [
            (Days::all(), ""),
            (Days::of([]), "WHERE row_day IN ()"),
            (Days::one(last), "WHERE row_day IN (?) 2026-11-23"),
            (
                Days::of([last, first]),
                "WHERE row_day IN (?, ?) 2026-11-20 2026-11-23",
            ),
            (
                Days::between(Some(first), Some(last)),
                "WHERE row_day >= ? AND row_day <= ? 2026-11-20 2026-11-23",
            ),
            (
                Days::between(Some(first), None),
                "WHERE row_day >= ? 2026-11-20",
            ),
            (
                Days::between(Some(BusinessDay::EPOCH.plus_days(-800_000)), Some(last)),
                "WHERE row_day <= ? 2026-11-23",
            ),
            (listed(1_001), ""),
        ] {
            assert_eq!(shown(&days), expected);
        }
        assert!(shown(&listed(1_000)).starts_with("WHERE row_day IN"));
    }
}
