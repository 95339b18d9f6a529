//! The hand-off over a real store and a real log.

use std::time::{Duration, Instant};

use kafka_client::{Cluster, LogConsumer, is_passing, number_header};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use store::{StoreTarget, TableSpec};
use tracing::warn;
use types::{BusinessDay, HELD_ROWS_MAX, HOLD_TIME_MAX, Marker, Swap, names};

use crate::ends::{Answer, Ends};
use crate::error::FeedError;
use crate::feed::{Batch, Beginning, Feed};
use crate::position::epoch_of;
use crate::row::{Change, Record};
use crate::stored;

/// Most records in one batch: what is applied under one lock.
const BATCH_RECORDS_MAX: usize = 2_000;
/// Longest time a batch is filled; whatever there is by then is shown.
const BATCH_TIME_MAX: Duration = Duration::from_millis(5);
/// Longest wait for the cluster's name.
const QUESTION_TIME_MAX: Duration = Duration::from_secs(2);

/// Follows an aggregation's results topic from where the store has got to.
#[derive(Debug)]
pub struct KafkaFeed {
    cluster: Cluster,
    table: TableSpec,
    store: StoreTarget,
    following: Option<Following>,
}

/// First a consumer that is told the end of each partition, at once; when all are reached, one that
/// waits for more. Offsets alone do not tell: markers of transactions, which nobody is handed, may
/// be the last in the log.
struct Following {
    consumer: LogConsumer,
    next: Vec<i64>,
    at_end: Vec<bool>,
    waits: bool,
    held: Held,
    /// Why nothing can be read, and since when.
    trouble: Option<(Instant, String)>,
    ends: Ends,
}

/// What a poll found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filled {
    Some,
    /// Nothing came in all the time.
    Idle,
}

/// Changes of a new generation that are held back until all of it is there ([`Swap`]).
struct Held {
    swap: Swap,
    changes: Vec<Change>,
    since: Option<Instant>,
}

impl Held {
    fn add(&mut self, change: Change, batch: &mut Batch) {
        if !self.swap.holds(change.version.generation) {
            batch.changes.push(change);
            return;
        }
        self.since.get_or_insert_with(Instant::now);
        self.changes.push(change);
    }

    fn mark(&mut self, partition: i32, marker: Marker, batch: &mut Batch) {
        if self.swap.completes(partition, marker) {
            self.show(batch);
        }
    }

    fn show(&mut self, batch: &mut Batch) {
        self.since = None;
        batch.changes.append(&mut self.changes);
    }

    /// Shows what has been held back for too long, or is too much.
    fn show_overdue(&mut self, table: &str, batch: &mut Batch) {
        let too_long = self
            .since
            .is_some_and(|since| since.elapsed() > HOLD_TIME_MAX);
        if !too_long && self.changes.len() <= HELD_ROWS_MAX {
            return;
        }
        let (seen, all) = self.swap.seen();
        if let Some(generation) = self.swap.release() {
            warn!(
                table,
                generation, seen, all, "shows a new generation that is not complete"
            );
        }
        self.show(batch);
    }

    /// What is shown while rows are held back.
    fn trouble(&self) -> Option<String> {
        self.since?;
        let (seen, all) = self.swap.seen();
        Some(match all {
            0 => "the definition has changed: the kept days are being counted anew".to_owned(),
            _ => format!(
                "the definition has changed: the kept days are being counted anew, {} % are done",
                seen * 100 / all
            ),
        })
    }
}

impl Following {
    fn is_at_end(&self) -> bool {
        !self.at_end.contains(&false)
    }

    /// So that lag and trouble are known when no record says so.
    fn ask(&mut self, batch: &mut Batch) {
        let Some(Answer { asked, ends }) = self.ends.ask() else {
            return;
        };
        match ends {
            Ok(ends) => {
                if self
                    .trouble
                    .as_ref()
                    .is_some_and(|(since, _)| *since < asked)
                {
                    self.trouble = None;
                }
                // The last offset of a partition is a marker, as all is published in transactions.
                let pairs = ends.iter().zip(&self.next);
                batch.lag = Some(pairs.map(|(end, next)| (end - next - 1).max(0)).sum());
            }
            Err(reason) if self.trouble.is_none() => self.trouble = Some((asked, reason)),
            Err(_) => {}
        }
    }
}

impl std::fmt::Debug for Following {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Following")
            .field("next", &self.next)
            .field("at_end", &self.at_end)
            .field("waits", &self.waits)
            .finish_non_exhaustive()
    }
}

impl Feed for KafkaFeed {
    fn begin(
        &mut self,
        days: &[BusinessDay],
        each: &mut dyn FnMut(Change),
    ) -> Result<Beginning, FeedError> {
        self.following = None;
        let consumer = self.cluster.reader(&self.client_id());
        let consumer = consumer?;
        // The order is the protocol: progress, then rows, then the log from that progress on.
        let mut shown = None;
        let mut each = |change: Change| {
            shown = shown.max(Some(change.version.generation));
            each(change);
        };
        let progress = stored::scan_days(&self.store, &self.table, days, &mut each)?;
        let bounds = self.cluster.offsets(&consumer, &self.table.name);
        let bounds = bounds?;
        let offsets = self.starts(&progress, &bounds)?;
        self.assign(&consumer, &offsets)?;
        let cluster = consumer.client().fetch_cluster_id(QUESTION_TIME_MAX);
        let ends: Vec<i64> = bounds.iter().map(|(_, end)| *end).collect();
        let pairs = offsets.iter().zip(&ends);
        self.following = Some(Following {
            consumer,
            next: offsets.clone(),
            at_end: pairs.map(|(at, end)| at >= end).collect(),
            waits: false,
            held: Held {
                swap: Swap::new(ends.len(), shown),
                changes: Vec::new(),
                since: None,
            },
            trouble: None,
            ends: Ends::new(self.cluster.clone(), self.table.name.clone()),
        });
        Ok(Beginning {
            epoch: epoch_of(&cluster.unwrap_or_default(), &self.table.name, ends.len()),
            offsets,
            ends,
        })
    }

    fn poll(&mut self, wait: Duration, batch: &mut Batch) -> Result<(), FeedError> {
        let Some(mut following) = self.following.take() else {
            return Err(self.out_of_range(-1, -1));
        };
        if following.is_at_end() && !following.waits {
            let id = self.client_id();
            let consumer = self.cluster.consumer(&id, &id, true);
            following.consumer = consumer?;
            self.assign(&following.consumer, &following.next)?;
            following.waits = true;
        }
        let filled = self.fill(&mut following, wait, batch);
        let idle = matches!(filled, Ok(Filled::Idle)) && following.trouble.is_none();
        if idle && following.is_at_end() {
            batch.lag = Some(0);
        } else {
            following.ask(batch);
        }
        batch.at_end = following.is_at_end();
        following.held.show_overdue(&self.table.name, batch);
        // Who comes again from here must be given what is held back.
        if following.held.since.is_none() {
            let reached = following.next.iter().copied().enumerate();
            batch.reached.extend(reached);
        }
        let trouble = following.trouble.as_ref();
        let trouble = trouble.map(|(_, reason)| reason.clone());
        batch.trouble = trouble.or_else(|| following.held.trouble());
        self.following = Some(following);
        filled.map(|_| ())
    }
}

impl KafkaFeed {
    /// A feed that has not begun.
    pub fn new(cluster: Cluster, table: TableSpec, store: StoreTarget) -> Self {
        Self {
            cluster,
            table,
            store,
            following: None,
        }
    }

    fn client_id(&self) -> String {
        format!("daybook-web-{}", self.table.name)
    }

    fn assign(&self, consumer: &LogConsumer, offsets: &[i64]) -> Result<(), FeedError> {
        let refused = |error| FeedError::from(self.cluster.error("assign partitions", error));
        let mut assignment = TopicPartitionList::new();
        for (partition, offset) in (0..).zip(offsets) {
            let offset = Offset::Offset(*offset);
            let added = assignment.add_partition_offset(&self.table.name, partition, offset);
            added.map_err(refused)?;
        }
        consumer.assign(&assignment).map_err(refused)
    }

    /// First offset of each partition: the store's progress, or the log's beginning without one.
    fn starts(
        &self,
        progress: &[(i32, i64)],
        bounds: &[(i64, i64)],
    ) -> Result<Vec<i64>, FeedError> {
        let mut starts = Vec::with_capacity(bounds.len());
        for (partition, (first, end)) in (0..).zip(bounds.iter().copied()) {
            let known = progress.iter().find(|(known, _)| *known == partition);
            let start = known.map_or(first, |(_, next)| *next);
            if start > end {
                return Err(FeedError::StoreAhead {
                    topic: self.table.name.clone(),
                    partition,
                    progress: start,
                    end,
                });
            }
            if start < first {
                return Err(self.out_of_range(partition, start));
            }
            starts.push(start);
        }
        Ok(starts)
    }

    fn out_of_range(&self, partition: i32, offset: i64) -> FeedError {
        FeedError::OutOfRange {
            topic: self.table.name.clone(),
            partition,
            offset,
        }
    }

    /// Waits for a record, then takes what is there, up to a batch.
    fn fill(
        &self,
        following: &mut Following,
        wait: Duration,
        batch: &mut Batch,
    ) -> Result<Filled, FeedError> {
        let mut wait = wait;
        let mut filling: Option<Instant> = None;
        let mut records = 0;
        loop {
            let failure = match following.consumer.poll(wait) {
                None if records == 0 => return Ok(Filled::Idle),
                None => return Ok(Filled::Some),
                Some(Ok(message)) => {
                    let partition = self.add(&message, &mut following.held, batch);
                    if let Some(next) = following.next.get_mut(partition) {
                        *next = message.offset() + 1;
                    }
                    following.trouble = None;
                    records += 1;
                    None
                }
                Some(Err(error)) => Some(error),
            };
            // Out here, as a message borrows the consumer.
            if let Some(error) = failure {
                self.failed(error, following)?;
            }
            let since = *filling.get_or_insert_with(Instant::now);
            if records >= BATCH_RECORDS_MAX || since.elapsed() >= BATCH_TIME_MAX {
                return Ok(Filled::Some);
            }
            wait = Duration::ZERO;
        }
    }

    /// Adds the record; says of which partition it is.
    fn add(&self, message: &BorrowedMessage<'_>, held: &mut Held, batch: &mut Batch) -> usize {
        let record = Record {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().unwrap_or_default(),
            value: message.payload().unwrap_or_default(),
            received_at: number_header(message, names::HEADER_RECEIVED_AT),
        };
        if Marker::is_key(record.key) {
            if let Some(marker) = Marker::parse(record.key, record.value) {
                held.mark(record.partition, marker, batch);
            }
            return usize::try_from(record.partition).unwrap_or_default();
        }
        match Change::from_record(&self.table, &record) {
            Ok(change) => held.add(change, batch),
            Err(error) => {
                batch.unreadable += 1;
                warn!(
                    topic = self.table.name,
                    partition = record.partition,
                    offset = record.offset,
                    error = types::report(&error),
                    "a record of the results topic is no result"
                );
            }
        }
        usize::try_from(record.partition).unwrap_or_default()
    }

    /// What a poll's error means.
    fn failed(&self, error: KafkaError, following: &mut Following) -> Result<(), FeedError> {
        use RDKafkaErrorCode as Code;
        if let KafkaError::PartitionEOF(partition) = error {
            let partition = usize::try_from(partition).unwrap_or_default();
            if let Some(at_end) = following.at_end.get_mut(partition) {
                *at_end = true;
            }
            following.trouble = None;
            return Ok(());
        }
        match error.rdkafka_error_code() {
            Some(Code::OffsetOutOfRange | Code::AutoOffsetReset) => Err(self.out_of_range(-1, -1)),
            _ if is_passing(&error) => {
                let reason = format!("the log cannot be reached: {error}");
                following.trouble = Some((Instant::now(), reason));
                Ok(())
            }
            _ => {
                let what = format!("read topic {}", self.table.name);
                Err(FeedError::from(self.cluster.error(what, error)))
            }
        }
    }
}
