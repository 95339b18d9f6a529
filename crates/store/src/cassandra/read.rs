//! Reading: a day's buckets side by side, page by page.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use scylla::client::session::Session;
use scylla::deserialize::row::ColumnIterator;
use scylla::response::{PagingState, PagingStateResponse};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::CqlDate;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use types::{BusinessDay, Counts, Days};

use super::cells::{bucket, date_number, day_of, read_row};
use super::cluster::{CassandraStore, Cluster};
use super::schema::Plan;
use crate::error::{DriverError, StoreError};
use crate::rows::{Row, TableSpec};

/// Most buckets that are read at a time.
const BUCKETS_IN_FLIGHT_MAX: usize = 64;
/// Most pages that wait to be handed over.
const PAGES_MAX: usize = 8;

/// The rows of a page, or why there are none.
type Page = Result<Vec<Row>, StoreError>;

impl CassandraStore {
    pub(crate) fn scan(
        &self,
        table: &TableSpec,
        days: &Days,
        each: &mut dyn FnMut(Row) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.cluster.block_on(async {
            let Some(plan) = self.plan(table).await? else {
                return Ok(());
            };
            // A single day is asked for at once; of several only those that are there.
            let single = days.listed().filter(|listed| listed.len() == 1);
            let wanted = match single {
                Some(listed) => listed.iter().copied().collect(),
                None => self.read_days(&table.name).await?,
            };
            for day in wanted.into_iter().filter(|day| days.contains(*day)) {
                if self.scan_day(&plan, day, each).await?.is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    async fn scan_day(
        &self,
        plan: &Arc<Plan>,
        day: BusinessDay,
        each: &mut dyn FnMut(Row) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, StoreError> {
        let (sender, mut pages) = mpsc::channel(PAGES_MAX);
        let permits = Arc::new(Semaphore::new(BUCKETS_IN_FLIGHT_MAX));
        // Ends them when we end early.
        let mut readers = JoinSet::new();
        for bucket in 0..i32::from(plan.buckets) {
            let reader = Reader {
                cluster: Arc::clone(&self.cluster),
                session: Arc::clone(&self.session),
                plan: Arc::clone(plan),
                day,
                pages: sender.clone(),
            };
            let permits = Arc::clone(&permits);
            readers.spawn(async move {
                // Never closed.
                let _permit = permits.acquire().await;
                reader.read(bucket).await;
            });
        }
        drop(sender);
        while let Some(page) = pages.recv().await {
            if page?.into_iter().try_for_each(&mut *each).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    pub(crate) fn find(
        &self,
        table: &TableSpec,
        day: BusinessDay,
        key: &str,
    ) -> Result<Option<Row>, StoreError> {
        self.cluster.block_on(async {
            let Some(plan) = self.plan(table).await? else {
                return Ok(None);
            };
            let of = (CqlDate(date_number(day)), bucket(key, plan.buckets), key);
            let found = self.session.execute_unpaged(&plan.find, of).await;
            let found = found.map_err(self.cluster.failed("read a row"))?;
            let Ok(found) = found.into_rows_result() else {
                return Ok(None);
            };
            let row = found.maybe_first_row::<ColumnIterator<'_, '_>>();
            let Some(columns) = row.map_err(|error| self.cluster.unreadable(error))? else {
                return Ok(None);
            };
            match read_row(columns, day, &plan.kinds) {
                None => Err(self.cluster.unreadable("a row is not as a sink writes it")),
                row => Ok(row),
            }
        })
    }

    pub(crate) fn days(&self, aggregation: &str) -> Result<Vec<BusinessDay>, StoreError> {
        self.cluster.block_on(self.read_days(aggregation))
    }

    async fn read_days(&self, aggregation: &str) -> Result<Vec<BusinessDay>, StoreError> {
        let mut days = Vec::new();
        let each = |(day,): (CqlDate,)| days.extend(day_of(day.0));
        self.each_row(&self.own.read_days, aggregation, each)
            .await?;
        // The clustering column is in order of the days already.
        Ok(days)
    }

    pub(crate) fn generation(&self, aggregation: &str) -> Result<Option<u32>, StoreError> {
        let mut newest = None;
        self.each_progress(aggregation, |generation, _, _| {
            newest = newest.max(u32::try_from(generation).ok());
        })?;
        Ok(newest)
    }

    pub(crate) fn generations(&self, aggregation: &str) -> Result<Vec<(i32, u32)>, StoreError> {
        let mut newest: BTreeMap<i32, u32> = BTreeMap::new();
        self.each_progress(aggregation, |generation, partition, _| {
            let generation = u32::try_from(generation).unwrap_or(0);
            let known = newest.entry(partition).or_insert(generation);
            *known = generation.max(*known);
        })?;
        Ok(newest.into_iter().collect())
    }

    pub(crate) fn progress(&self, aggregation: &str) -> Result<Vec<(i32, i64)>, StoreError> {
        let mut progress: BTreeMap<i32, i64> = BTreeMap::new();
        self.each_progress(aggregation, |_, partition, next| {
            let known = progress.entry(partition).or_insert(next);
            *known = next.max(*known);
        })?;
        Ok(progress.into_iter().collect())
    }

    fn each_progress(
        &self,
        aggregation: &str,
        mut each: impl FnMut(i32, i32, i64),
    ) -> Result<(), StoreError> {
        let each = |(generation, partition, next): (i32, i32, i64)| {
            each(generation, partition, next);
        };
        let read = self.each_row(&self.own.read_progress, aggregation, each);
        self.cluster.block_on(read)
    }

    pub(crate) fn counts(
        &self,
        aggregation: &str,
    ) -> Result<Vec<(BusinessDay, Counts)>, StoreError> {
        let mut days: BTreeMap<BusinessDay, Counts> = BTreeMap::new();
        let each = |(day, counted, reversing, duplicate, late, quarantined): CountsRow| {
            let Some(day) = day_of(day.0) else { return };
            let sum = days.entry(day).or_default();
            let pairs = [
                (&mut sum.counted, counted),
                (&mut sum.reversing, reversing),
                (&mut sum.duplicate, duplicate),
                (&mut sum.late_corrected, late),
                (&mut sum.quarantined, quarantined),
            ];
            for (sum, count) in pairs {
                *sum = sum.saturating_add(count.cast_unsigned());
            }
        };
        let read = self.each_row(&self.own.read_counts, aggregation, each);
        self.cluster.block_on(read)?;
        Ok(days.into_iter().collect())
    }

    /// Rows of an aggregation in a table of our own.
    async fn each_row<R>(
        &self,
        statement: &PreparedStatement,
        aggregation: &str,
        mut each: impl FnMut(R),
    ) -> Result<(), StoreError>
    where
        R: for<'f, 'm> scylla::deserialize::row::DeserializeRow<'f, 'm>,
    {
        let mut state = PagingState::start();
        loop {
            let page = self
                .session
                .execute_single_page(statement, (aggregation,), state);
            let (page, next) = page.await.map_err(self.cluster.failed("read"))?;
            if let Ok(page) = page.into_rows_result() {
                let rows = page.rows::<R>();
                for row in rows.map_err(|error| self.cluster.unreadable(error))? {
                    each(row.map_err(|error| self.cluster.unreadable(error))?);
                }
            }
            match next {
                PagingStateResponse::HasMorePages { state: next } => state = next,
                PagingStateResponse::NoMorePages => return Ok(()),
            }
        }
    }
}

type CountsRow = (CqlDate, i64, i64, i64, i64, i64);

/// Reads one bucket.
struct Reader {
    cluster: Arc<Cluster>,
    session: Arc<Session>,
    plan: Arc<Plan>,
    day: BusinessDay,
    pages: mpsc::Sender<Page>,
}

impl Reader {
    async fn read(&self, bucket: i32) {
        let mut state = PagingState::start();
        loop {
            let (page, next) = match self.page(bucket, state).await {
                Ok((rows, next)) => (Ok(rows), next),
                Err(error) => (Err(error), None),
            };
            // An error there means that nobody wants more.
            let is_wanted =
                page.as_ref().is_ok_and(Vec::is_empty) || self.pages.send(page).await.is_ok();
            match next {
                Some(next) if is_wanted => state = next,
                _ => return,
            }
        }
    }

    async fn page(
        &self,
        bucket: i32,
        state: PagingState,
    ) -> Result<(Vec<Row>, Option<PagingState>), StoreError> {
        let of = (CqlDate(date_number(self.day)), bucket);
        let page = self
            .session
            .execute_single_page(&self.plan.select, of, state);
        let (page, next) = page.await.map_err(self.cluster.failed("read rows"))?;
        let mut rows = Vec::new();
        if let Ok(page) = page.into_rows_result() {
            rows.reserve(page.rows_num());
            let found = page.rows::<ColumnIterator<'_, '_>>();
            for columns in found.map_err(|error| self.cluster.unreadable(error))? {
                let columns = columns.map_err(|error| self.cluster.unreadable(error))?;
                let row = read_row(columns, self.day, &self.plan.kinds);
                rows.push(
                    row.ok_or_else(|| self.cluster.unreadable("a row is not as a sink writes it"))?,
                );
            }
        }
        Ok(match next {
            PagingStateResponse::HasMorePages { state } => (rows, Some(state)),
            PagingStateResponse::NoMorePages => (rows, None),
        })
    }
}

impl Cluster {
    fn unreadable(
        &self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> StoreError {
        StoreError::Cassandra {
            at: self.at(),
            what: "be understood",
            source: DriverError(source.into()),
        }
    }
}
