//! Feeds the engine from Kafka and commits what it says, all in one Kafka transaction a batch.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use kafka_client::{
    ClientError, Cluster, LogConsumer, Part, PartThread, Ready, TransactionalProducer,
};
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Header, Message, OwnedHeaders};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use telemetry::{Hop, Meter, Telemetry, now_micros};
use tokio_util::sync::CancellationToken;
use tracing::info;
use types::{BusinessDay, Counts, names};

use crate::engine::{Changes, Engine, EngineError, Input};
use crate::options::AggregationOptions;

/// Compacted topic of the five counts, by aggregation and day.
pub const TOPIC_COUNTS: &str = "__daybook_counts";

/// How long a poll waits for a first record; also how soon a stop is noticed.
const POLL_TIME: Duration = Duration::from_millis(100);
/// Counts are told to readers at most this often; the changelog has them with every batch.
const COUNTS_INTERVAL: Duration = Duration::from_millis(200);

/// The service cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The log failed; retried from the last commit.
    #[error("the log failed")]
    Client(#[from] ClientError),
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A thread could not be started.
    #[error("cannot start a thread for the aggregation")]
    Thread(#[source] std::io::Error),
}

impl ServiceError {
    /// Whether trying again, from the last commit, can help.
    fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Client(_) | Self::Engine(EngineError::Sql { .. })
        )
    }
}

/// A running aggregation, on a thread of its own.
#[derive(Debug)]
pub struct Aggregator(PartThread);

impl Aggregator {
    /// Starts the thread. The SQL must have been accepted by [`Engine::new`] before.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Thread`].
    pub fn start(
        options: AggregationOptions,
        cluster: Cluster,
        telemetry: &Telemetry,
        shutdown: CancellationToken,
    ) -> Result<Self, ServiceError> {
        let label = format!("aggregation=\"{}\"", options.name);
        // DataFusion's plans are futures; they never wait for anything.
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let called = format!("aggregation {}", options.name);
        let runner = Runner {
            hop: telemetry.hop("aggregator"),
            rows: telemetry.meter("aggregation_rows", &label),
            identities: telemetry.meter("aggregation_identities", &label),
            options,
            cluster,
            shutdown: shutdown.clone(),
            runtime: runtime.map_err(ServiceError::Thread)?,
        };
        let started = PartThread::start("aggregate", called, shutdown, runner);
        started.map(Self).map_err(ServiceError::Thread)
    }

    /// Waits until the state is restored and records are being read; `false` when it has failed for good.
    pub async fn ready(&mut self) -> bool {
        self.0.ready().await
    }

    /// Waits for the end after the shutdown was asked for.
    pub fn join(self) {
        self.0.join();
    }
}

/// Least time from one transaction to the next while several records come in it.
const BUSY_INTERVAL: Duration = Duration::from_millis(5);
/// A batch of this many records is a large one: the next is left to gather for as long as this one
/// took. What is published of a batch depends on the keys in it, so larger ones cost less a record.
const LARGE_RECORDS: usize = 2_000;
/// Longest time that is left to gather.
const GATHER_TIME_MAX: Duration = Duration::from_millis(200);

/// How long to leave the log alone after a batch of so many records that took so long.
fn pause(records: usize, records_max: usize, took: Duration) -> Duration {
    match records {
        0 | 1 => Duration::ZERO,
        // A backlog: there is nothing to gather.
        _ if records >= records_max / 2 => Duration::ZERO,
        LARGE_RECORDS.. => took.min(GATHER_TIME_MAX),
        _ => BUSY_INTERVAL.saturating_sub(took),
    }
}

struct Runner {
    options: AggregationOptions,
    cluster: Cluster,
    hop: Arc<Hop>,
    rows: Arc<Meter>,
    identities: Arc<Meter>,
    shutdown: CancellationToken,
    runtime: tokio::runtime::Runtime,
}

impl Part for Runner {
    type Error = ServiceError;

    fn live(&mut self, ready: &Ready) -> Result<(), ServiceError> {
        let (mut life, consumer) = Life::begin(self)?;
        ready.tell();
        life.live(&consumer)
    }

    fn may_pass(&self, error: &ServiceError) -> bool {
        error.is_transient()
    }
}

/// From a restore to the next failure.
struct Life<'a> {
    runner: &'a Runner,
    engine: Engine,
    producer: TransactionalProducer,
    state_topic: String,
    counts_told: Vec<(BusinessDay, Counts)>,
    counts_at: Instant,
}

impl<'a> Life<'a> {
    fn begin(runner: &'a Runner) -> Result<(Self, LogConsumer), ServiceError> {
        let (cluster, options) = (&runner.cluster, &runner.options);
        let name = &options.name;
        let state_topic = names::topic_state(name);
        let producer = cluster
            .transactional_producer("daybook-aggregate", &format!("daybook-aggregate-{name}-0"))?;
        // First of all: an earlier self can commit nothing from here on, so what is restored is final.
        producer
            .init()
            .map_err(|source| cluster.error("initialise transactions", source))?;
        let mut engine = runner.runtime.block_on(Engine::new(options.clone()))?;
        let began = Instant::now();
        let restored = restore(cluster, &state_topic, &mut engine)?;
        info!(
            name,
            rows = engine.rows(),
            identities = engine.identities(),
            changelog_records = restored,
            ms = began.elapsed().as_millis() as u64,
            "aggregation restored"
        );
        let consumer = cluster.consumer("daybook-aggregate", &consumer_group(name), true)?;
        assign_input(cluster, &consumer)?;
        let life = Self {
            runner,
            engine,
            producer,
            state_topic,
            counts_told: Vec::new(),
            counts_at: Instant::now(),
        };
        Ok((life, consumer))
    }

    fn live(&mut self, consumer: &LogConsumer) -> Result<(), ServiceError> {
        // The definition must be in the changelog before anything depends on it.
        self.step(&[])?;
        while !self.runner.shutdown.is_cancelled() {
            let messages = self.poll(consumer)?;
            if !messages.is_empty() {
                let begun = Instant::now();
                self.run_batch(consumer, &messages)?;
                let records_max = self.runner.options.batch_records_max;
                thread::sleep(pause(messages.len(), records_max, begun.elapsed()));
            } else if self.counts_due() {
                self.step(&[])?;
            }
        }
        Ok(())
    }

    /// What is there, up to a batch; waits only for the first record.
    fn poll<'c>(
        &self,
        consumer: &'c LogConsumer,
    ) -> Result<Vec<BorrowedMessage<'c>>, ServiceError> {
        let (cluster, records_max) = (&self.runner.cluster, self.runner.options.batch_records_max);
        let mut messages = Vec::new();
        cluster.take(consumer, "read transactions", POLL_TIME, |message| {
            messages.push(message);
            match messages.len() < records_max {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        })?;
        Ok(messages)
    }

    fn run_batch(
        &mut self,
        consumer: &LogConsumer,
        messages: &[BorrowedMessage<'_>],
    ) -> Result<(), ServiceError> {
        let inputs: Vec<Input<'_>> = messages
            .iter()
            .map(|message| Input {
                partition: message.partition(),
                offset: message.offset(),
                appended_at: message
                    .timestamp()
                    .to_millis()
                    .map_or_else(now_micros, |millis| millis * 1000 + 999),
                value: message.payload().unwrap_or_default(),
            })
            .collect();
        let mut next = TopicPartitionList::new();
        for input in &inputs {
            let position = Offset::Offset(input.offset + 1);
            let known = next
                .set_partition_offset(names::TOPIC_TRANSACTIONS, input.partition, position)
                .is_ok();
            if !known {
                let added =
                    next.add_partition_offset(names::TOPIC_TRANSACTIONS, input.partition, position);
                added.map_err(|source| self.runner.cluster.error("note offsets", source))?;
            }
        }
        let records = inputs.len() as u64;
        self.runner.hop.add_in(records);
        let mut changes = self.runner.runtime.block_on(self.engine.process(&inputs))?;
        let quarantined = std::mem::take(&mut changes.quarantined);
        let values: Vec<(&Input<'_>, String)> = quarantined
            .iter()
            .filter_map(|(partition, offset, reason)| {
                let found = inputs
                    .iter()
                    .find(|input| input.partition == *partition && input.offset == *offset);
                Some((found?, reason.to_string()))
            })
            .collect();
        self.commit(&changes, &values, Some((consumer, &next)))?;
        let hop = &self.runner.hop;
        hop.add_duplicates(changes.duplicates);
        hop.add_quarantined(values.len() as u64);
        hop.add_out(records);
        if let Some(received_at) = changes.received_at {
            hop.observe(received_at, now_micros(), records);
        }
        self.runner
            .rows
            .set(i64::try_from(self.engine.rows()).unwrap_or(i64::MAX));
        self.runner
            .identities
            .set(i64::try_from(self.engine.identities()).unwrap_or(i64::MAX));
        Ok(())
    }

    /// A commit without input: the definition, or counts that are due.
    fn step(&mut self, inputs: &[Input<'_>]) -> Result<(), ServiceError> {
        let changes = self.runner.runtime.block_on(self.engine.process(inputs))?;
        self.commit(&changes, &[], None)
    }

    fn commit(
        &mut self,
        changes: &Changes,
        quarantined: &[(&Input<'_>, String)],
        offsets: Option<(&LogConsumer, &TopicPartitionList)>,
    ) -> Result<(), ServiceError> {
        let cluster = &self.runner.cluster;
        let wrap = |what: &'static str| move |source| cluster.error(what, source);
        let counts_due = self.counts_due();
        if offsets.is_none()
            && changes.changelog.is_empty()
            && changes.results.is_empty()
            && !counts_due
        {
            return Ok(());
        }
        self.producer.begin().map_err(wrap("begin a transaction"))?;
        let received = changes.received_at.map(|at| at.to_string());
        let headers = received.as_deref().map(|received| {
            OwnedHeaders::new_with_capacity(1).insert(Header {
                key: names::HEADER_RECEIVED_AT,
                value: Some(received),
            })
        });
        for result in &changes.results {
            let value = result.value.as_deref();
            self.send(
                &self.runner.options.name,
                &result.key,
                value,
                headers.clone(),
            )?;
        }
        for entry in &changes.changelog {
            self.send(&self.state_topic, &entry.key, entry.value.as_deref(), None)?;
        }
        for (input, reason) in quarantined {
            let reason = Header {
                key: "reason",
                value: Some(reason),
            };
            let headers = OwnedHeaders::new_with_capacity(1).insert(reason);
            let key = format!("{}-{}", input.partition, input.offset);
            self.send(
                names::TOPIC_QUARANTINE,
                key.as_bytes(),
                Some(input.value),
                Some(headers),
            )?;
        }
        if counts_due {
            self.send_counts()?;
        }
        if let Some((consumer, next)) = offsets {
            let group = consumer.group_metadata().ok_or_else(|| {
                cluster.error(
                    "read the group",
                    KafkaError::ClientCreation("no group metadata".to_owned()),
                )
            })?;
            self.producer
                .send_offsets(next, &group)
                .map_err(wrap("add offsets to the transaction"))?;
        }
        self.producer
            .commit()
            .map_err(wrap("commit a transaction"))?;
        Ok(())
    }

    fn send(
        &self,
        topic: &str,
        key: &[u8],
        value: Option<&[u8]>,
        headers: Option<OwnedHeaders>,
    ) -> Result<(), ServiceError> {
        let sent = self.producer.send(topic, key, value, headers);
        Ok(sent.map_err(|source| {
            self.runner
                .cluster
                .error(format!("send to {topic}"), source)
        })?)
    }

    fn counts_due(&self) -> bool {
        self.counts_at.elapsed() >= COUNTS_INTERVAL
            && !self.engine.counts().eq(self.counts_told.iter().copied())
    }

    fn send_counts(&mut self) -> Result<(), ServiceError> {
        let now: Vec<(BusinessDay, Counts)> = self.engine.counts().collect();
        for (day, counts) in &now {
            if self.counts_told.iter().any(|told| told == &(*day, *counts)) {
                continue;
            }
            let key = counts_key(&self.runner.options.name, *day);
            let value = format!(
                r#"{{"counted":{},"reversing":{},"duplicate":{},"late_corrected":{},"quarantined":{}}}"#,
                counts.counted,
                counts.reversing,
                counts.duplicate,
                counts.late_corrected,
                counts.quarantined
            );
            self.send(TOPIC_COUNTS, key.as_bytes(), Some(value.as_bytes()), None)?;
        }
        self.counts_told = now;
        self.counts_at = Instant::now();
        Ok(())
    }
}

/// Group under which an aggregation commits the offsets of its input.
pub fn consumer_group(aggregation: &str) -> String {
    format!("daybook-aggregate-{aggregation}")
}

/// Key of a record of [`TOPIC_COUNTS`]: a JSON array of aggregation and day.
pub fn counts_key(aggregation: &str, day: BusinessDay) -> String {
    serde_json::Value::from(vec![aggregation.to_owned(), day.to_string()]).to_string()
}

/// Reads a record of [`TOPIC_COUNTS`]; `None` when it is not one.
pub fn parse_counts(key: &[u8], value: &[u8]) -> Option<(String, BusinessDay, Counts)> {
    let (aggregation, day): (String, String) = serde_json::from_slice(key).ok()?;
    let value: serde_json::Value = serde_json::from_slice(value).ok()?;
    let count = |name: &str| value.get(name)?.as_u64();
    let counts = Counts {
        counted: count("counted")?,
        reversing: count("reversing")?,
        duplicate: count("duplicate")?,
        late_corrected: count("late_corrected")?,
        quarantined: count("quarantined")?,
    };
    Some((aggregation, day.parse().ok()?, counts))
}

/// Reads the changelog from its beginning to its end. Returns the records read.
fn restore(cluster: &Cluster, topic: &str, engine: &mut Engine) -> Result<u64, ServiceError> {
    let consumer = cluster.reader("daybook-restore")?;
    let mut records = 0;
    let mut failed = None;
    cluster.read_all(&consumer, topic, |message| {
        records += 1;
        if failed.is_none() {
            let key = message.key().unwrap_or_default();
            failed = engine.restore(key, message.payload()).err();
        }
    })?;
    engine.restored();
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(records),
    }
}

/// Reads on where the last committed transaction ended.
fn assign_input(cluster: &Cluster, consumer: &LogConsumer) -> Result<(), ServiceError> {
    let topic = names::TOPIC_TRANSACTIONS;
    let partitions = cluster.partitions(consumer, topic)?;
    let committed = cluster.committed(consumer, topic, partitions)?;
    let mut assignment = TopicPartitionList::new();
    for (partition, offset) in (0..partitions).zip(committed) {
        let offset = offset.map_or(Offset::Beginning, Offset::Offset);
        let added = assignment.add_partition_offset(topic, partition, offset);
        added.map_err(|source| cluster.error("assign partitions", source))?;
    }
    let assigned = consumer.assign(&assignment);
    assigned.map_err(|source| cluster.error("assign partitions", source))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_record_is_never_waited_for_and_much_is_left_to_gather() {
        let ms = Duration::from_millis;
        let pause = |records, took| pause(records, 50_000, took);
        assert_eq!(pause(1, ms(1)), ms(0));
        assert_eq!(pause(2, ms(1)), ms(4));
        assert_eq!(pause(LARGE_RECORDS - 1, ms(9)), ms(0));
        assert_eq!(pause(LARGE_RECORDS, ms(9)), ms(9));
        assert_eq!(pause(LARGE_RECORDS, ms(900)), GATHER_TIME_MAX);
        assert_eq!(pause(25_000, ms(9)), ms(0));
    }
}
