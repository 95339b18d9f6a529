//! The sink's loop, on a thread of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka_client::{ClientError, Cluster, Member, Membership, Move, Part, PartThread, Ready};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::Offset;
use store::{DayCounts, Row, Store, StoreError, StoreTarget, TableSpec, Write};
use telemetry::{Hop, Telemetry, now_micros};
use tokio_util::sync::CancellationToken;
use tracing::info;
use types::{BusinessDay, Counts, names};

use crate::gathered::Gathered;
use crate::record::{RecordError, parse_row};

const POLL_TIME: Duration = Duration::from_millis(100);
/// Most records taken from the log before the clock is looked at.
const RECORDS_AT_ONCE: u64 = 1_000;
/// Most rows gathered for one write. More means fewer writes under load, and more memory.
const ROWS_MAX: usize = 100_000;
/// After so many milliseconds of silence another sink is given a sink's partitions. The least that Kafka allows.
const SESSION_MS: u32 = 6_000;
/// The group that shares the partitions of all results topics.
const GROUP: &str = "daybook-sink";
/// Longest time between two writes while there is something to write.
const WRITE_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Reads key and value of a record of the counts topic: aggregation, day, partition of the input, counts.
pub type ParseCounts = fn(&[u8], &[u8]) -> Option<(String, BusinessDay, i32, Counts)>;
/// Reads key and value of a record of the control topic: aggregation, and its newest generation.
pub type ParseControl = fn(&[u8], &[u8]) -> Option<(String, u32)>;

/// What is written where.
#[derive(Debug, Clone)]
pub struct SinkOptions {
    /// One table an aggregation; the results topic has the table's name.
    pub tables: Vec<TableSpec>,
    /// Topic of the five counts.
    pub counts_topic: String,
    /// How its records are read.
    pub parse_counts: ParseCounts,
    /// Reads records of the control topic.
    pub parse_control: ParseControl,
    /// Where they are written.
    pub store: StoreTarget,
    /// Name of this sink among several: one that comes again under its name goes on at once with its partitions.
    pub instance: Option<String>,
}

/// The sink failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The log failed. Retried.
    #[error("the log failed")]
    Client(#[from] ClientError),
    /// The store failed. Retried if that can help.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The results topic holds what is no result. Retrying does not help.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The store has gone back behind what it had acknowledged, as Cassandra may after kill -9 (`commitlog_sync`). Retried from what it has.
    #[error(
        "the store has forgotten what it acknowledged of {table}, partition {partition}: progress was {written}, and is {}; it is written again",
        stored.map_or("none".to_owned(), |stored| stored.to_string())
    )]
    Forgotten {
        /// Which table.
        table: String,
        /// Which partition of its results topic.
        partition: i32,
        /// The progress that was acknowledged.
        written: i64,
        /// What the store has.
        stored: Option<i64>,
    },
    /// A thread could not be started.
    #[error("cannot start a thread for the sink")]
    Thread(#[source] std::io::Error),
}

impl SinkError {
    fn is_final(&self) -> bool {
        match self {
            Self::Record(_) => true,
            Self::Store(error) => !error.may_pass(),
            _ => false,
        }
    }
}

/// A running sink.
#[derive(Debug)]
pub struct Sink(PartThread);

impl Sink {
    /// Creates the tables and starts the thread. A store that does not answer is waited for there.
    ///
    /// # Errors
    ///
    /// [`SinkError::Store`] when the store cannot be used, or [`SinkError::Thread`].
    pub fn start(
        options: SinkOptions,
        cluster: Cluster,
        telemetry: &Telemetry,
        shutdown: CancellationToken,
    ) -> Result<Self, SinkError> {
        match prepared(&options) {
            Err(error) if error.is_unreachable() => {}
            prepared => drop(prepared?),
        }
        let runner = Runner {
            hop: telemetry.hop("sink"),
            options,
            cluster,
            shutdown: shutdown.clone(),
            from_progress: true,
        };
        let started = PartThread::start("sink", "sink".to_owned(), shutdown, runner);
        started.map(Self).map_err(SinkError::Thread)
    }

    /// Waits until results are being read; `false` when it has failed for good.
    pub async fn ready(&mut self) -> bool {
        self.0.ready().await
    }

    /// As [`Sink::ready`], for whoever does not wait now.
    pub fn readiness(&self) -> tokio::sync::watch::Receiver<bool> {
        self.0.readiness()
    }

    /// Waits for the end after the shutdown was asked for.
    pub fn join(self) {
        self.0.join();
    }
}

/// The store, with every table.
fn prepared(options: &SinkOptions) -> Result<Store, StoreError> {
    let store = options.store.open()?;
    for table in &options.tables {
        store.ensure_table(table)?;
    }
    Ok(store)
}

struct Runner {
    options: SinkOptions,
    cluster: Cluster,
    hop: Arc<Hop>,
    shutdown: CancellationToken,
    /// Whether the store's progress is to be believed.
    from_progress: bool,
}

impl Part for Runner {
    type Error = SinkError;

    fn live(&mut self, ready: &Ready) -> Result<(), SinkError> {
        let result = self.follow(ready);
        // Progress that the topic no longer has: versions make reading all of it harmless.
        self.from_progress = !result.as_ref().is_err_and(is_out_of_range);
        result
    }

    fn may_pass(&self, error: &SinkError) -> bool {
        !error.is_final()
    }
}

impl Runner {
    fn follow(&self, ready: &Ready) -> Result<(), SinkError> {
        let mut store = prepared(&self.options)?;
        self.refuse_newer(&store)?;
        let consumer = self.join()?;
        let mut gathered = Gathered::new(&self.options);
        let mut next_write = Instant::now();
        while !self.shutdown.is_cancelled() {
            let wait = match gathered.is_empty() {
                true => POLL_TIME,
                // The client counts in milliseconds: less would not wait at all.
                false => next_write
                    .saturating_duration_since(Instant::now())
                    .max(Duration::from_millis(1)),
            };
            let moves = self.gather(&consumer, wait, &mut gathered)?;
            for change in moves {
                match change {
                    Move::Given(partitions) => {
                        self.take_over(&store, &consumer, &partitions, &mut gathered)?;
                        ready.tell();
                    }
                    Move::Taken(partitions) => {
                        self.give_up(&mut store, &consumer, &partitions, &mut gathered)?;
                    }
                }
            }
            for (table, pending) in self.options.tables.iter().zip(&mut gathered.tables) {
                pending.show_overdue(&table.name);
            }
            let begun = Instant::now();
            if !gathered.is_empty() && (begun >= next_write || gathered.rows() >= ROWS_MAX) {
                self.write(&mut store, &mut gathered)?;
                next_write = Instant::now() + pause(begun.elapsed());
            }
        }
        if !gathered.is_empty() {
            self.write(&mut store, &mut gathered)?;
        }
        Ok(())
    }

    /// A store that is ahead of the log belongs to another one, or the log was restored from an older state.
    fn refuse_newer(&self, store: &Store) -> Result<(), SinkError> {
        let reader = self.cluster.reader(GROUP)?;
        let mut generations = HashMap::new();
        self.cluster
            .read_all(&reader, names::TOPIC_CONTROL, |message| {
                let (key, value) = (message.key(), message.payload());
                generations.extend((self.options.parse_control)(
                    key.unwrap_or_default(),
                    value.unwrap_or_default(),
                ));
            })?;
        for table in &self.options.tables {
            // Nothing in force yet: the aggregation has not begun.
            if let Some(generation) = generations.get(&table.name) {
                store.refuse_newer(&table.name, *generation)?;
            }
        }
        Ok(())
    }

    /// Joins the sinks' group. Several share the partitions of all topics, each its own part of them.
    fn join(&self) -> Result<Member, ClientError> {
        let membership = Membership {
            group: GROUP,
            instance: self.options.instance.as_deref(),
            session_ms: SESSION_MS,
        };
        let tables = self.options.tables.iter().map(|table| table.name.as_str());
        let topics: Vec<&str> = tables.chain([self.options.counts_topic.as_str()]).collect();
        self.cluster.member(GROUP, &membership, &topics)
    }

    /// Begins to read these where the store's progress ends.
    fn take_over(
        &self,
        store: &Store,
        consumer: &Member,
        partitions: &[(String, i32)],
        gathered: &mut Gathered,
    ) -> Result<(), SinkError> {
        let mut from = Vec::new();
        for (table, pending) in self.options.tables.iter().zip(&mut gathered.tables) {
            let mut own = partitions
                .iter()
                .filter(|(topic, _)| *topic == table.name)
                .peekable();
            if own.peek().is_none() {
                continue;
            }
            // Read before anything of them is: what lies below is in the rows.
            let progress: HashMap<i32, i64> = match self.from_progress {
                true => store.progress(&table.name)?.into_iter().collect(),
                false => HashMap::new(),
            };
            let shown: HashMap<i32, u32> = store.generations(&table.name)?.into_iter().collect();
            let newest = store.generation(&table.name)?;
            for (topic, partition) in own {
                let next = progress.get(partition).copied();
                pending.give(*partition, next, shown.get(partition).copied().or(newest));
                let offset = next.map_or(Offset::Beginning, Offset::Offset);
                from.push((topic.clone(), *partition, offset));
            }
        }
        // Few and compacted: read whole each time.
        let counts = partitions
            .iter()
            .filter(|(topic, _)| *topic == self.options.counts_topic);
        from.extend(
            counts.map(|(topic, partition)| (topic.clone(), *partition, Offset::Beginning)),
        );
        info!(partitions = from.len(), "the sink is given partitions");
        self.cluster.take_over(consumer, &from)?;
        Ok(())
    }

    /// Writes what it can, so that the next owner need not read it again, and leaves the partitions to it.
    fn give_up(
        &self,
        store: &mut Store,
        consumer: &Member,
        partitions: &[(String, i32)],
        gathered: &mut Gathered,
    ) -> Result<(), SinkError> {
        info!(
            partitions = partitions.len(),
            "partitions of the sink are taken away"
        );
        self.write(store, gathered)?;
        let partitions: BTreeSet<(String, i32)> = partitions.iter().cloned().collect();
        for (table, pending) in self.options.tables.iter().zip(&mut gathered.tables) {
            let own = partitions.iter().filter(|(topic, _)| *topic == table.name);
            own.for_each(|(_, partition)| pending.take(*partition));
        }
        let partitions: Vec<(String, i32)> = partitions.into_iter().collect();
        self.cluster.give_up(consumer, &partitions)?;
        Ok(())
    }

    /// Takes what is there; waits only for the first record. Says which partitions come and go.
    fn gather(
        &self,
        consumer: &Member,
        wait: Duration,
        gathered: &mut Gathered,
    ) -> Result<Vec<Move>, SinkError> {
        let mut records = 0;
        let mut added = Ok(());
        self.cluster
            .take(consumer, "read results", wait, |message| {
                records += 1;
                added = gathered.add(&self.options, &message);
                let more = records < RECORDS_AT_ONCE && gathered.rows() < ROWS_MAX;
                match added.is_ok() && more {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            })?;
        self.hop.add_in(records);
        added?;
        Ok(self.cluster.moves(consumer))
    }

    fn write(&self, store: &mut Store, gathered: &mut Gathered) -> Result<(), SinkError> {
        for (table, pending) in self.options.tables.iter().zip(&mut gathered.tables) {
            if pending.is_empty() {
                continue;
            }
            let rows = pending.newest.iter().map(|(key, newest)| {
                parse_row(table, newest.partition, newest.offset, key, &newest.value)
            });
            let rows = rows.collect::<Result<Vec<Row>, RecordError>>()?;
            // What the store no longer has lies below progress, so progress must not be moved on over it.
            let stored = store.progress(&table.name)?;
            if let Some((partition, written, stored)) = forgotten(&pending.written, &stored) {
                return Err(SinkError::Forgotten {
                    table: table.name.clone(),
                    partition,
                    written,
                    stored,
                });
            }
            let progress: Vec<(i32, i64)> =
                std::mem::take(&mut pending.progress).into_iter().collect();
            store.write(&Write {
                table,
                rows: &rows,
                progress: &progress,
            })?;
            pending.written.extend(progress);
            self.hop.add_out(pending.records);
            if let Some(received) = pending.received {
                self.hop.observe(received, now_micros(), pending.records);
            }
            pending.clear();
        }
        for table in &self.options.tables {
            let of_table = gathered
                .counts
                .iter()
                .filter(|((aggregation, _, _), _)| *aggregation == table.name);
            let counts: Vec<DayCounts> = of_table.map(|(_, counts)| *counts).collect();
            if !counts.is_empty() {
                store.write_counts(&table.name, &counts)?;
            }
        }
        gathered.counts.clear();
        Ok(())
    }
}

/// The first partition whose progress is less in the store than what it has acknowledged: what it was, and what it is.
fn forgotten(
    written: &BTreeMap<i32, i64>,
    stored: &[(i32, i64)],
) -> Option<(i32, i64, Option<i64>)> {
    written.iter().find_map(|(partition, written)| {
        let found = stored.iter().find(|(known, _)| known == partition);
        let stored = found.map(|(_, next)| *next);
        (stored < Some(*written)).then_some((*partition, *written, stored))
    })
}

/// Time between two writes: they take a fifth of the time at most, and a page that is loaded never
/// lacks more than a second of what the topic has.
fn pause(writing: Duration) -> Duration {
    (writing * 4).min(WRITE_PAUSE_MAX)
}

fn is_out_of_range(error: &SinkError) -> bool {
    let SinkError::Client(ClientError::Kafka { source, .. }) = error else {
        return false;
    };
    matches!(
        source.rdkafka_error_code(),
        Some(RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::AutoOffsetReset)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_went_back_is_noticed() {
        let written = BTreeMap::from([(0, 7), (2, 9)]);
        assert_eq!(forgotten(&written, &[(0, 7), (1, 1), (2, 12)]), None);
        assert_eq!(
            forgotten(&written, &[(2, 8), (0, 7)]),
            Some((2, 9, Some(8)))
        );
        assert_eq!(forgotten(&written, &[(2, 9)]), Some((0, 7, None)));
        assert_eq!(forgotten(&BTreeMap::new(), &[]), None);
    }

    #[test]
    fn writes_take_a_fifth_of_the_time_and_are_never_far_apart() {
        let ms = Duration::from_millis;
        assert_eq!(pause(ms(3)), ms(12));
        assert_eq!(pause(ms(10_000)), WRITE_PAUSE_MAX);
    }
}
