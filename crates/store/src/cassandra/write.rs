//! Writing: rows first, then progress.
//!
//! Rows of one partition (day and bucket) go together in an unlogged batch, which costs Cassandra one mutation. Many batches are under
//! way at a time, a bounded number: who writes waits for the cluster, and what comes meanwhile waits in the log.

use std::cell::Cell as Shared;
use std::collections::HashSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch, BatchStatement, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::CqlDate;
use types::BusinessDay;

use super::cells::{Bound, bucket, date_number};
use super::cluster::{CassandraStore, Cause, Failure as _};
use super::schema::{Insert, Plan};
use crate::error::{DriverError, StoreError};
use crate::rows::{Cell, DayCounts, Row};
use crate::target::Write;

/// Most rows in one batch.
const BATCH_ROWS_MAX: usize = 100;
/// Most bytes of keys and texts in one batch, unless a row alone has more. Cassandra takes up to half a segment of its commit log, 16 MiB
/// unless told otherwise.
const BATCH_BYTES_MAX: usize = 512 << 10;
/// Most batches under way at a time.
const BATCHES_IN_FLIGHT_MAX: usize = 32;
/// Longest row key, in bytes: Cassandra's limit.
const KEY_BYTES_MAX: usize = 65_535;
/// How long a write goes on while nothing succeeds. Then the caller learns why, and begins again.
const FRUITLESS_TIME_MAX: Duration = Duration::from_secs(10);
/// First and longest pause before a batch is sent again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// Characters of a key that an error shows.
const KEY_CHARS_TOLD: usize = 80;
/// Longest time to live, in seconds: Cassandra's limit of 20 years.
const TTL_SECONDS_MAX: i64 = 20 * 365 * 24 * 60 * 60;
/// Seconds of a day.
const DAY_SECONDS: i64 = 86_400;

impl CassandraStore {
    pub(crate) fn write(&mut self, write: &Write<'_>) -> Result<(), StoreError> {
        self.cluster.block_on(async {
            if !write.rows.is_empty() {
                self.write_rows(write).await?;
            }
            let generation = write.rows.iter().map(|row| row.version.generation).max();
            self.write_progress(write, generation.unwrap_or(1)).await
        })
    }

    async fn write_rows(&self, write: &Write<'_>) -> Result<(), StoreError> {
        let table = &write.table.name;
        let plan = self.plan(write.table).await?;
        let ready = plan.as_deref();
        let ready = ready.and_then(|plan| Some((plan, plan.insert.as_ref()?)));
        let (plan, insert) = ready.ok_or_else(|| StoreError::Cassandra {
            at: self.cluster.at(),
            what: "write rows",
            source: DriverError(format!("the table {table} is gone, or lacks columns").into()),
        })?;
        let days: HashSet<BusinessDay> = write.rows.iter().map(|row| row.day).collect();
        self.write_days(table, days).await?;
        let mut rows = self.bound(write, plan, insert)?;
        rows.sort_unstable_by_key(|bound| (bound.row.day, bound.bucket));
        let partitions = rows.chunk_by(|a, b| (a.row.day, a.bucket) == (b.row.day, b.bucket));
        let batches = partitions.flat_map(batches_of);
        let patience = Patience::new();
        stream::iter(batches.map(|rows| self.send(&insert.statement, rows, &patience)))
            .buffer_unordered(BATCHES_IN_FLIGHT_MAX)
            .try_collect()
            .await
    }

    fn bound<'a>(
        &self,
        write: &'a Write<'_>,
        plan: &Plan,
        insert: &'a Insert,
    ) -> Result<Vec<Bound<'a>>, StoreError> {
        let now = now_seconds();
        let refused = |row: &Row, detail| StoreError::Row {
            table: write.table.name.clone(),
            key: row.key.chars().take(KEY_CHARS_TOLD).collect(),
            detail,
        };
        let bound = write.rows.iter().map(|row| {
            if row.key.len() > KEY_BYTES_MAX {
                return Err(refused(row, "its key has more than 65,535 bytes"));
            }
            let timestamp = row.version.timestamp();
            Ok(Bound {
                row,
                kinds: &insert.kinds,
                bucket: bucket(&row.key, plan.buckets),
                timestamp: timestamp
                    .ok_or_else(|| refused(row, "its sequence has more than 40 bits"))?,
                ttl: self.ttl(row.day, now),
            })
        });
        bound.collect()
    }

    /// Seconds until what is about a day vanishes; 0 = never, also to Cassandra. All versions of a row vanish at the same moment, so
    /// none comes back.
    fn ttl(&self, day: BusinessDay, now: i64) -> i32 {
        let days_kept = self.cluster.options.days_kept;
        days_kept.map_or(0, |days_kept| seconds_left(day, days_kept, now))
    }

    async fn write_days(
        &self,
        aggregation: &str,
        days: HashSet<BusinessDay>,
    ) -> Result<(), StoreError> {
        let now = now_seconds();
        for day in days {
            if self.cluster.has_day(aggregation, day) {
                continue;
            }
            let values = (aggregation, CqlDate(date_number(day)), self.ttl(day, now));
            let written = self.session.execute_unpaged(&self.own.write_day, values);
            written.await.map_err(self.cluster.failed("write a day"))?;
            self.cluster.note_day(aggregation, day);
        }
        Ok(())
    }

    /// All in one partition, so all or none.
    async fn write_progress(&self, write: &Write<'_>, generation: u32) -> Result<(), StoreError> {
        let generation = generation.cast_signed();
        let values: Vec<_> = write
            .progress
            .iter()
            .map(|(partition, next)| {
                // The larger offset wins. Cassandra takes 0 for no timestamp.
                let timestamp = next.saturating_add(1);
                (&write.table.name, generation, *partition, *next, timestamp)
            })
            .collect();
        self.send(&self.own.write_progress, &values, &Patience::new())
            .await
    }

    pub(crate) fn write_counts(
        &mut self,
        aggregation: &str,
        counts: &[DayCounts],
    ) -> Result<(), StoreError> {
        let now = now_seconds();
        let values = counts.iter().map(|found| {
            let counts = &found.counts;
            let [counted, reversing, duplicate, late, quarantined] = [
                counts.counted,
                counts.reversing,
                counts.duplicate,
                counts.late_corrected,
                counts.quarantined,
            ]
            .map(u64::cast_signed);
            (
                aggregation,
                CqlDate(date_number(found.day)),
                found.partition,
                counted,
                reversing,
                duplicate,
                late,
                quarantined,
                found.offset,
                found.offset.saturating_add(1),
                self.ttl(found.day, now),
            )
        });
        let values: Vec<_> = values.collect();
        let patience = Patience::new();
        let batches = values.chunks(BATCH_ROWS_MAX);
        self.cluster.block_on(
            stream::iter(batches.map(|rows| self.send(&self.own.write_counts, rows, &patience)))
                .buffer_unordered(BATCHES_IN_FLIGHT_MAX)
                .try_collect(),
        )
    }

    /// Sends rows of one partition, again and again while that can help and anything at all succeeds.
    async fn send<V: SerializeRow>(
        &self,
        statement: &PreparedStatement,
        rows: &[V],
        patience: &Patience,
    ) -> Result<(), StoreError> {
        let mut pause = BACK_OFF.0;
        loop {
            let Err(error) = self.send_once(statement, rows).await else {
                patience.succeeded();
                return Ok(());
            };
            if !is_passing(&error) || patience.is_over() {
                return Err(self.cluster.failed("write rows")(error));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(BACK_OFF.1);
        }
    }

    async fn send_once<V: SerializeRow>(
        &self,
        statement: &PreparedStatement,
        rows: &[V],
    ) -> Result<(), ExecutionError> {
        match rows {
            [] => Ok(()),
            [row] => self.session.execute_unpaged(statement, row).await.map(drop),
            rows => {
                let statements = vec![BatchStatement::from(statement.clone()); rows.len()];
                let mut batch = Batch::new_with_statements(BatchType::Unlogged, statements);
                batch.set_is_idempotent(true);
                self.session.batch(&batch, rows).await.map(drop)
            }
        }
    }
}

/// Cuts the rows of a partition into batches.
fn batches_of<'a, 'b>(rows: &'b [Bound<'a>]) -> impl Iterator<Item = &'b [Bound<'a>]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fit = rest.iter().take(BATCH_ROWS_MAX).take_while(|bound| {
            bytes += size(bound.row);
            bytes <= BATCH_BYTES_MAX
        });
        let count = fit.count().max(1).min(rest.len());
        let (batch, later) = rest.split_at(count);
        rest = later;
        (!batch.is_empty()).then_some(batch)
    })
}

/// Bytes of key and texts.
fn size(row: &Row) -> usize {
    let texts = row.cells.iter().map(|cell| match cell {
        Cell::Text(text) => text.len(),
        Cell::Null | Cell::Int(_) => 0,
    });
    row.key.len() + texts.sum::<usize>()
}

/// Whether sending the same again can help.
fn is_passing(error: &ExecutionError) -> bool {
    if error.about() == Cause::Unreachable {
        return true;
    }
    matches!(
        error,
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(
            DbError::Unavailable { .. }
                | DbError::WriteTimeout { .. }
                | DbError::WriteFailure { .. }
                | DbError::Overloaded
                | DbError::IsBootstrapping
                | DbError::ServerError,
            _
        ))
    )
}

/// How long nothing has succeeded.
struct Patience(Shared<Instant>);

impl Patience {
    fn new() -> Self {
        Self(Shared::new(Instant::now()))
    }

    fn succeeded(&self) {
        self.0.set(Instant::now());
    }

    fn is_over(&self) -> bool {
        self.0.get().elapsed() >= FRUITLESS_TIME_MAX
    }
}

fn now_seconds() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs().cast_signed())
}

/// From `now` until so many days after the end of the day in the zone where it ends last, at least a second.
fn seconds_left(day: BusinessDay, days_kept: u32, now: i64) -> i32 {
    let end = (i64::from(day.epoch_days()) + 2 + i64::from(days_kept)) * DAY_SECONDS;
    i32::try_from((end - now).clamp(1, TTL_SECONDS_MAX)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::Version;

    fn row(key: &str) -> Row {
        Row {
            key: key.to_owned(),
            day: BusinessDay::EPOCH,
            version: Version::default(),
            deleted: false,
            partition: 0,
            offset: 0,
            cells: Vec::new(),
        }
    }

    fn sizes(rows: &[Row]) -> Vec<usize> {
        let bound = |row| Bound {
            row,
            kinds: &[],
            bucket: 0,
            timestamp: 0,
            ttl: 0,
        };
        let bound: Vec<Bound<'_>> = rows.iter().map(bound).collect();
        batches_of(&bound).map(<[_]>::len).collect()
    }

    #[test]
    fn batches_are_bounded_in_rows_and_bytes() {
        let small: Vec<Row> = (0..2 * BATCH_ROWS_MAX + 1).map(|_| row("a")).collect();
        assert_eq!(sizes(&small), [BATCH_ROWS_MAX, BATCH_ROWS_MAX, 1]);
        assert_eq!(sizes(&small[..BATCH_ROWS_MAX]), [BATCH_ROWS_MAX]);
        let half = row(&"b".repeat(BATCH_BYTES_MAX / 2));
        let whole = row(&"c".repeat(BATCH_BYTES_MAX + 1));
        let rows = [half.clone(), half.clone(), row("a"), whole.clone(), half];
        assert_eq!(sizes(&rows), [2, 1, 1, 1]);
        assert_eq!(sizes(&[whole]), [1]);
        assert_eq!(sizes(&[]), Vec::<usize>::new());
    }

    #[test]
    fn rows_vanish_when_their_day_is_over_everywhere_and_so_many_days_more() {
        let day = BusinessDay::EPOCH.plus_days(10);
        let at = |day: i64| day * DAY_SECONDS;
        assert_eq!(i64::from(seconds_left(day, 3, at(10))), at(5));
        assert_eq!(i64::from(seconds_left(day, 3, at(14))), at(1));
        // It should be gone already.
        assert_eq!(seconds_left(day, 3, at(15)), 1);
        assert_eq!(seconds_left(day, 3, at(1_000)), 1);
        let far = day.plus_days(30_000);
        assert_eq!(i64::from(seconds_left(far, 7_000, 0)), TTL_SECONDS_MAX);
    }
}
