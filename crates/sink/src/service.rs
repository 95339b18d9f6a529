//! The sink's loop, on a thread of its own.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use kafka_client::{ClientError, Cluster, LogConsumer, is_passing, report};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use store::{Row, Store, StoreError, TableSpec, Write};
use telemetry::{Hop, Telemetry, now_micros};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use types::{BusinessDay, Counts, names};

use crate::record::{RecordError, parse_row};

const POLL_TIME: Duration = Duration::from_millis(100);
/// Most records between two writes. More means fewer syncs under load.
const BATCH_RECORDS_MAX: usize = 10_000;
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// Reads key and value of a record of the counts topic.
pub type ParseCounts = fn(&[u8], &[u8]) -> Option<(String, BusinessDay, Counts)>;

/// What is written where.
#[derive(Debug, Clone)]
pub struct SinkOptions {
    /// One table an aggregation; the results topic has the table's name.
    pub tables: Vec<TableSpec>,
    /// Topic of the five counts.
    pub counts_topic: String,
    /// How its records are read.
    pub parse_counts: ParseCounts,
    /// The store's file.
    pub store: PathBuf,
}

/// The sink failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The log failed. Retried.
    #[error("the log failed")]
    Client(#[from] ClientError),
    /// The store failed. Retried, except for a store of another log.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The results topic holds what is no result. Retrying does not help.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A thread could not be started.
    #[error("cannot start a thread for the sink")]
    Thread(#[source] std::io::Error),
}

impl SinkError {
    fn is_final(&self) -> bool {
        let wrong_store = |error: &StoreError| {
            matches!(
                error,
                StoreError::NewerGeneration { .. } | StoreError::OtherColumns { .. }
            )
        };
        match self {
            Self::Record(_) => true,
            Self::Store(error) => wrong_store(error),
            _ => false,
        }
    }
}

/// A running sink.
#[derive(Debug)]
pub struct Sink {
    thread: Option<thread::JoinHandle<()>>,
    ready: watch::Receiver<bool>,
}

impl Sink {
    /// Creates the tables and starts the thread.
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
        let store = Store::open(&options.store)?;
        for table in &options.tables {
            store.ensure_table(table)?;
        }
        let (ready_sender, ready) = watch::channel(false);
        let runner = Runner {
            hop: telemetry.hop("sink"),
            options,
            cluster,
            shutdown,
            ready: ready_sender,
        };
        let thread = thread::Builder::new()
            .name("sink".to_owned())
            .spawn(move || runner.run())
            .map_err(SinkError::Thread)?;
        Ok(Self {
            thread: Some(thread),
            ready,
        })
    }

    /// Waits until results are being read; `false` when it has failed for good.
    pub async fn ready(&mut self) -> bool {
        self.ready.wait_for(|ready| *ready).await.is_ok()
    }

    /// Waits for the end after the shutdown was asked for.
    pub fn join(mut self) {
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the sink's thread panicked");
        }
    }
}

struct Runner {
    options: SinkOptions,
    cluster: Cluster,
    hop: Arc<Hop>,
    shutdown: CancellationToken,
    ready: watch::Sender<bool>,
}

impl Runner {
    fn run(self) {
        let mut pause = BACK_OFF.0;
        let mut from_progress = true;
        while !self.shutdown.is_cancelled() {
            let began = Instant::now();
            match self.live(from_progress) {
                Ok(()) => break,
                Err(error) if error.is_final() => {
                    error!(error = report(&error), "sink stopped");
                    return;
                }
                Err(error) => {
                    // Progress that the topic no longer has: versions make reading all of it harmless.
                    from_progress = !is_out_of_range(&error);
                    if began.elapsed() > BACK_OFF.1 {
                        pause = BACK_OFF.0;
                    }
                    warn!(
                        error = report(&error),
                        pause_ms = pause.as_millis() as u64,
                        "sink failed; tries again"
                    );
                    thread::park_timeout(pause);
                    pause = (pause * 2).min(BACK_OFF.1);
                }
            }
        }
        info!("sink stopped");
    }

    fn live(&self, from_progress: bool) -> Result<(), SinkError> {
        let mut store = Store::open(&self.options.store)?;
        let consumer = self
            .cluster
            .consumer("daybook-sink", "daybook-sink", true)?;
        self.assign(&store, &consumer, from_progress)?;
        self.ready.send_replace(true);
        while !self.shutdown.is_cancelled() {
            let messages = self.poll(&consumer)?;
            if !messages.is_empty() {
                self.write(&mut store, &messages)?;
            }
        }
        Ok(())
    }

    fn assign(
        &self,
        store: &Store,
        consumer: &LogConsumer,
        from_progress: bool,
    ) -> Result<(), SinkError> {
        let failed = |source| self.cluster.error("assign partitions", source);
        let mut assignment = TopicPartitionList::new();
        for table in &self.options.tables {
            let progress = if from_progress {
                store.progress(&table.name)?
            } else {
                Vec::new()
            };
            for partition in 0..self.cluster.partitions(consumer, &table.name)? {
                let known = progress.iter().find(|(known, _)| *known == partition);
                let offset = known.map_or(Offset::Beginning, |(_, next)| Offset::Offset(*next));
                assignment
                    .add_partition_offset(&table.name, partition, offset)
                    .map_err(failed)?;
            }
        }
        let counts = &self.options.counts_topic;
        for partition in 0..self.cluster.partitions(consumer, counts)? {
            // Few and compacted: read whole at each start.
            assignment
                .add_partition_offset(counts, partition, Offset::Beginning)
                .map_err(failed)?;
        }
        consumer.assign(&assignment).map_err(failed)?;
        Ok(())
    }

    fn poll<'c>(&self, consumer: &'c LogConsumer) -> Result<Vec<BorrowedMessage<'c>>, SinkError> {
        let mut messages = Vec::new();
        let mut wait = POLL_TIME;
        while messages.len() < BATCH_RECORDS_MAX {
            match consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => messages.push(message),
                // The end of one partition says nothing about the others.
                Some(Err(KafkaError::PartitionEOF(_))) => continue,
                Some(Err(error)) if is_passing(&error) => break,
                Some(Err(source)) => return Err(self.cluster.error("read results", source).into()),
            }
            wait = Duration::ZERO;
        }
        Ok(messages)
    }

    fn write(&self, store: &mut Store, messages: &[BorrowedMessage<'_>]) -> Result<(), SinkError> {
        self.hop.add_in(messages.len() as u64);
        for table in &self.options.tables {
            let mut newest: HashMap<&[u8], Row> = HashMap::new();
            let mut progress: HashMap<i32, i64> = HashMap::new();
            let mut received: Option<i64> = None;
            let mut records = 0;
            for message in messages
                .iter()
                .filter(|message| message.topic() == table.name)
            {
                records += 1;
                progress.insert(message.partition(), message.offset() + 1);
                received = received.into_iter().chain(received_at(message)).min();
                let (Some(key), Some(value)) = (message.key(), message.payload()) else {
                    continue;
                };
                let row = parse_row(table, message.partition(), message.offset(), key, value)?;
                match newest.get(key) {
                    Some(known) if known.version >= row.version => {}
                    _ => drop(newest.insert(key, row)),
                }
            }
            if records == 0 {
                continue;
            }
            let rows: Vec<Row> = newest.into_values().collect();
            let progress: Vec<(i32, i64)> = progress.into_iter().collect();
            store.write(&Write {
                table,
                rows: &rows,
                progress: &progress,
            })?;
            self.hop.add_out(records);
            if let Some(received) = received {
                self.hop.observe(received, now_micros(), records);
            }
        }
        self.write_counts(store, messages)
    }

    fn write_counts(
        &self,
        store: &mut Store,
        messages: &[BorrowedMessage<'_>],
    ) -> Result<(), SinkError> {
        let mut newest: HashMap<(String, BusinessDay), Counts> = HashMap::new();
        for message in messages
            .iter()
            .filter(|message| message.topic() == self.options.counts_topic)
        {
            let (Some(key), Some(value)) = (message.key(), message.payload()) else {
                continue;
            };
            match (self.options.parse_counts)(key, value) {
                Some((aggregation, day, counts)) => drop(newest.insert((aggregation, day), counts)),
                None => warn!(
                    offset = message.offset(),
                    "a record of the counts topic is not understood"
                ),
            }
        }
        for table in &self.options.tables {
            let of_table = newest
                .iter()
                .filter(|((aggregation, _), _)| *aggregation == table.name);
            let counts: Vec<(BusinessDay, Counts)> =
                of_table.map(|((_, day), counts)| (*day, *counts)).collect();
            if !counts.is_empty() {
                store.write_counts(&table.name, &counts)?;
            }
        }
        Ok(())
    }
}

fn received_at(message: &BorrowedMessage<'_>) -> Option<i64> {
    let headers = message.headers()?;
    let header = headers
        .iter()
        .find(|header| header.key == names::HEADER_RECEIVED_AT)?;
    std::str::from_utf8(header.value?).ok()?.parse().ok()
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
