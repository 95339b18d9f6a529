//! Feeds the engine from Kafka and commits what it says, all in one Kafka transaction a batch.
//!
//! A process is a member of the aggregation's group: partitions come and go, each with its state (`takeover`). What a batch
//! adds to them is committed with the group's offsets, which the group refuses when they are another member's meanwhile.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use kafka_client::{
    Cluster, Member, Membership, Move, Part, PartThread, Ready, TransactionalProducer,
    is_rebalanced, number_header,
};
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Header, Message, OwnedHeaders};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use telemetry::{Hop, Meter, Telemetry, now_micros};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use types::{Marker, names};

use crate::changelog;
use crate::counts::{CountsOf, TOPIC_COUNTS, counts_key, counts_value};
use crate::engine::{Changes, Engine, Input, PartInput, Totals};
use crate::error::ServiceError;
use crate::in_force::{InForce, Topics, ensure_parts, put_in_force};
use crate::options::{AggregationOptions, EngineKind};
use crate::spark::notes::counted_key;
use crate::spark::row;
use crate::standby::Standby;

mod batch;
mod memory;
mod moves;
mod queries;
mod told;

use batch::{Aside, Batch, set_aside};
use memory::{Levels, spill};
use queries::{Queries, SparkLevels};
use told::{CountsNow, Told};

/// How long a poll waits for a first record; also how soon a stop is noticed.
const POLL_TIME: Duration = Duration::from_millis(100);
/// After so much silence a process counts as gone, and others take its partitions. The least that Kafka allows.
const SESSION_MS: u32 = 6_000;

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
            levels: Levels::new(telemetry, &label),
            spark: (options.engine == EngineKind::Spark)
                .then(|| SparkLevels::new(telemetry, &label)),
            standby_rows: telemetry.meter("aggregation_standby_rows", &label),
            failures: telemetry.meter("aggregation_values_failed", &label),
            options,
            cluster,
            shutdown: shutdown.clone(),
            runtime: runtime.map_err(ServiceError::Thread)?,
            has_started: false,
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
    levels: Levels,
    /// Where Spark adds up.
    spark: Option<SparkLevels>,
    standby_rows: Arc<Meter>,
    /// Values of expressions that could not be computed, since the start.
    failures: Arc<Meter>,
    shutdown: CancellationToken,
    runtime: tokio::runtime::Runtime,
    /// Whether the definition of this process was put in force.
    has_started: bool,
}

impl Part for Runner {
    type Error = ServiceError;

    fn live(&mut self, ready: &Ready) -> Result<(), ServiceError> {
        let transactional_id = transactional_id(&self.options);
        let (mut life, consumer) = Life::begin(self, &transactional_id)?;
        let result = life.live(&consumer, ready);
        if result.is_ok() {
            life.queries.stop();
        }
        drop(life);
        self.has_started = true;
        result
    }

    fn may_pass(&self, error: &ServiceError) -> bool {
        error.is_transient()
    }
}

fn transactional_id(options: &AggregationOptions) -> String {
    match &options.instance {
        Some(instance) => format!("daybook-aggregate-{}-{instance}", options.name),
        None => {
            use std::hash::{BuildHasher as _, RandomState};
            let drawn = RandomState::new().hash_one((std::process::id(), now_micros()));
            format!("daybook-aggregate-{}-{drawn:016x}", options.name)
        }
    }
}

/// From joining the group to the next failure.
struct Life<'a> {
    runner: &'a Runner,
    transactional_id: &'a str,
    engine: Engine,
    /// The second stage, where there is one.
    totals: Totals,
    producer: TransactionalProducer,
    topics: Topics,
    /// Topics and partitions that are this process's.
    own: BTreeSet<(String, i32)>,
    /// Copies of the state of those that are not, if they are wanted.
    standby: Option<Standby>,
    /// Partitions of the input.
    partitions: i32,
    /// Those of the results topic.
    results_partitions: i32,
    /// Changes of the partitions that were told while a batch was in hand.
    moves: Vec<Move>,
    told: Told,
    /// Those in Spark.
    queries: Queries,
}

impl<'a> Life<'a> {
    fn begin(
        runner: &'a Runner,
        transactional_id: &'a str,
    ) -> Result<(Self, Member), ServiceError> {
        let (cluster, options) = (&runner.cluster, &runner.options);
        let name = &options.name;
        let producer = cluster.transactional_producer("daybook-aggregate", transactional_id)?;
        // First of all: an earlier self can commit nothing from here on, so what is restored is final.
        producer
            .init()
            .map_err(|source| cluster.error("initialise transactions", source))?;
        let InForce {
            definition,
            partitions,
            results_partitions,
        } = put_in_force(cluster, options, runner.has_started, &producer)?;
        let topics = Topics::new(options, definition.generation);
        let engine = Engine::of_partitions(options.clone(), definition, partitions);
        let mut engine = runner.runtime.block_on(engine)?;
        let mut totals = Totals::new(options);
        spill(options, &mut engine, &mut totals)?;
        let group = consumer_group(name);
        let membership = Membership {
            group: &group,
            instance: options.instance.as_deref(),
            session_ms: SESSION_MS,
        };
        let mut inputs = vec![options.input.topic.as_str()];
        if engine.is_in_parts() {
            // The admin client's answers come on threads of its own.
            let made = ensure_parts(cluster, options, &topics, partitions);
            runner.runtime.block_on(made)?;
            inputs.push(&topics.parts);
        }
        let consumer = cluster.member("daybook-aggregate", &membership, &inputs)?;
        let start = || {
            Standby::start(
                cluster,
                options,
                &topics.totals,
                Arc::clone(&runner.standby_rows),
            )
        };
        let standby = options.standby.then(start).transpose()?;
        let life = Self {
            runner,
            transactional_id,
            standby,
            partitions,
            results_partitions,
            moves: Vec::new(),
            totals,
            engine,
            producer,
            topics,
            own: BTreeSet::new(),
            told: Told::new(Instant::now()),
            queries: Queries::default(),
        };
        Ok((life, consumer))
    }

    fn live(&mut self, consumer: &Member, ready: &Ready) -> Result<(), ServiceError> {
        while !self.runner.shutdown.is_cancelled() {
            let mut messages = self.poll(consumer)?;
            let mut changes = std::mem::take(&mut self.moves);
            changes.extend(self.runner.cluster.moves(consumer));
            for change in changes {
                match change {
                    Move::Taken(partitions) => {
                        // What was read of them is the next owner's.
                        messages.retain(|message| {
                            !partitions.iter().any(|(topic, partition)| {
                                message.partition() == *partition && message.topic() == topic
                            })
                        });
                        self.give_up(consumer, &partitions)?;
                    }
                    Move::Given(partitions) => {
                        self.take_over(consumer, &partitions)?;
                        ready.tell();
                    }
                }
            }
            self.look_at_queries()?;
            if !messages.is_empty() {
                let begun = Instant::now();
                self.run_batch(consumer, &messages)?;
                let records_max = self.runner.options.batch_records_max;
                thread::sleep(pause(messages.len(), records_max, begun.elapsed()));
            } else {
                // Counts may be due.
                self.commit(&Changes::default(), &Changes::default(), &[], None)?;
            }
        }
        Ok(())
    }

    fn tell_size(&self) {
        let mut size = self.engine.size();
        size += self.totals.size();
        self.runner.levels.set(&size);
    }

    /// What is there, up to a batch; waits only for the first record.
    fn poll<'c>(&self, consumer: &'c Member) -> Result<Vec<BorrowedMessage<'c>>, ServiceError> {
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
        consumer: &Member,
        messages: &[BorrowedMessage<'_>],
    ) -> Result<(), ServiceError> {
        // Names of topics are compared only where there are two.
        let in_parts = self.engine.is_in_parts();
        let is_part =
            |message: &&BorrowedMessage<'_>| in_parts && message.topic() == self.topics.parts;
        let raw: Vec<PartInput<'_>> = messages
            .iter()
            .filter(is_part)
            .map(|message| PartInput {
                partition: message.partition(),
                offset: message.offset(),
                key: message.key().unwrap_or_default(),
                value: message.payload().unwrap_or_default(),
            })
            .collect();
        let mut refused = Vec::new();
        let rows = self.engine.counted().map(|counted| {
            let rows = raw.iter().map(|part| row::as_part(&counted.shape, part));
            rows.collect::<Vec<_>>()
        });
        let parts: Cow<'_, [PartInput<'_>]> = match &rows {
            None => Cow::Borrowed(&raw),
            Some(rows) => {
                let mut parts = Vec::with_capacity(rows.len());
                for (part, row) in raw.iter().zip(rows) {
                    match row {
                        Ok((key, value)) => parts.push(PartInput {
                            key,
                            value,
                            ..*part
                        }),
                        Err(reason) => {
                            refused.push((part.partition, part.offset, reason.clone()));
                        }
                    }
                }
                Cow::Owned(parts)
            }
        };
        let inputs: Vec<Input<'_>> = messages
            .iter()
            .filter(|message| !is_part(message))
            .map(input)
            .collect();
        let next = self.next_offsets(&inputs, &raw)?;
        let records = inputs.len() as u64;
        self.runner.hop.add_in(records);
        let first = self.runner.runtime.block_on(self.engine.process(&inputs))?;
        let mut second = self.totals.process(&self.engine, &parts)?;
        let received = messages.iter().filter(is_part);
        let received = received.filter_map(|part| number_header(part, names::HEADER_RECEIVED_AT));
        second.received_at = received.min();
        second.quarantined.extend(refused);
        let mut aside: Vec<Aside<'_>> = Vec::new();
        let of_inputs = inputs
            .iter()
            .map(|input| (input.partition, input.offset, input.value));
        set_aside(&first.quarantined, of_inputs, "", &mut aside);
        let of_parts = raw
            .iter()
            .map(|part| (part.partition, part.offset, part.value));
        let prefix = format!("{}-", self.topics.parts);
        set_aside(&second.quarantined, of_parts, &prefix, &mut aside);
        let batch = Batch {
            first,
            second,
            aside,
            next,
        };
        match self.commit_batch(consumer, &batch) {
            Err(ServiceError::Rebalanced { .. }) => {
                if !self.commit_again(consumer, &batch)? {
                    return Ok(());
                }
            }
            done => done?,
        }
        let Batch {
            first,
            second,
            aside,
            ..
        } = batch;
        let hop = &self.runner.hop;
        hop.add_duplicates(first.duplicates);
        hop.add_quarantined(aside.len() as u64);
        self.tell_failures(&first);
        self.tell_failures(&second);
        if records > 0 {
            hop.add_out(records);
        }
        if let Some(received_at) = first.received_at {
            hop.observe(received_at, now_micros(), records);
        }
        self.tell_size();
        Ok(())
    }

    fn next_offsets(
        &self,
        inputs: &[Input<'_>],
        parts: &[PartInput<'_>],
    ) -> Result<TopicPartitionList, ServiceError> {
        let topic = &self.runner.options.input.topic;
        let mut ends = BTreeMap::<(&str, i32), i64>::new();
        for input in inputs {
            let place = (topic.as_str(), input.partition);
            ends.insert(place, input.offset + 1);
        }
        for part in parts {
            ends.insert((&self.topics.parts, part.partition), part.offset + 1);
        }
        let mut next = TopicPartitionList::new();
        for ((topic, partition), offset) in ends {
            let added = next.add_partition_offset(topic, partition, Offset::Offset(offset));
            added.map_err(|source| self.runner.cluster.error("note offsets", source))?;
        }
        Ok(next)
    }

    /// Of values that could not be computed: they are null in the results.
    fn tell_failures(&self, changes: &Changes) {
        if let Some(failure) = &changes.failure {
            let (name, values) = (&self.runner.options.name, changes.failures);
            self.runner.failures.add(values);
            warn!(aggregation = %name, values, failure = %failure, "values cannot be computed and are null");
        }
    }

    fn commit_batch(&mut self, consumer: &Member, batch: &Batch<'_>) -> Result<(), ServiceError> {
        let offsets = Some((consumer, &batch.next));
        self.commit(&batch.first, &batch.second, &batch.aside, offsets)
    }

    /// One transaction: what both stages changed, what is set aside, the counts that are due, and the group's offsets.
    fn commit(
        &mut self,
        first: &Changes,
        second: &Changes,
        aside: &[Aside<'_>],
        offsets: Option<(&Member, &TopicPartitionList)>,
    ) -> Result<(), ServiceError> {
        let cluster = &self.runner.cluster;
        let wrap = |what: &'static str| move |source| cluster.error(what, source);
        let counts = self.told.due(self.engine.counts(), Instant::now());
        if offsets.is_none() && first.is_empty() && second.is_empty() && counts.is_none() {
            return Ok(());
        }
        self.producer.begin().map_err(wrap("begin a transaction"))?;
        let received = first
            .received_at
            .into_iter()
            .chain(second.received_at)
            .min();
        let received = received.map(|at| at.to_string());
        let headers = received.as_deref().map(|received| {
            OwnedHeaders::new_with_capacity(1).insert(Header {
                key: names::HEADER_RECEIVED_AT,
                value: Some(received),
            })
        });
        for result in first.results.iter().chain(&second.results) {
            let (key, value) = (&result.key, result.value.as_deref());
            self.send(&self.runner.options.name, key, value, headers.clone())?;
        }
        for part in &first.parts {
            let (key, value) = (&part.key, part.value.as_deref());
            self.send(&self.topics.parts, key, value, headers.clone())?;
        }
        for (partition, value) in &first.counted {
            let (topic, partition) = (&self.topics.counted, *partition);
            let sent = self.producer.send_to(topic, partition, b"", Some(value));
            sent.map_err(|source| cluster.error(format!("send to {topic}"), source))?;
        }
        let changelogs = [
            (&self.topics.state, &first.changelog),
            (&self.topics.totals, &second.changelog),
        ];
        for (topic, changelog) in changelogs {
            for (partition, entry) in changelog {
                let (key, value) = (&entry.key, entry.value.as_deref());
                let sent = self.producer.send_to(topic, *partition, key, value);
                sent.map_err(|source| cluster.error(format!("send to {topic}"), source))?;
            }
        }
        self.send_markers(first, second)?;
        for one in aside {
            let reason = Header {
                key: "reason",
                value: Some(&one.reason),
            };
            let headers = OwnedHeaders::new_with_capacity(1).insert(reason);
            let (key, value) = (one.key.as_bytes(), Some(one.value));
            self.send(names::TOPIC_QUARANTINE, key, value, Some(headers))?;
        }
        if let Some(counts) = &counts {
            self.send_counts(counts)?;
        }
        if let Some((consumer, next)) = offsets {
            let group = consumer.group_metadata().ok_or_else(|| {
                cluster.error(
                    "read the group",
                    KafkaError::ClientCreation("no group metadata".to_owned()),
                )
            })?;
            if let Err(source) = self.producer.send_offsets(next, &group) {
                return Err(match is_rebalanced(&source) {
                    true => ServiceError::Rebalanced {
                        name: self.runner.options.name.clone(),
                    },
                    false => wrap("add offsets to the transaction")(source).into(),
                });
            }
        }
        self.producer
            .commit()
            .map_err(wrap("commit a transaction"))?;
        if let Some(counts) = counts {
            self.told.commit(counts, Instant::now());
        }
        Ok(())
    }

    /// Tells readers, or the second stage, that partitions have published all they had of a new generation. Of the first there
    /// is no older one that readers would have to hold on to.
    fn send_markers(&self, first: &Changes, second: &Changes) -> Result<(), ServiceError> {
        let generation = self.engine.generation();
        if generation == 1 {
            return Ok(());
        }
        let cluster = &self.runner.cluster;
        let send = |topic: &str, partition, key: &[u8], value: &[u8]| {
            let sent = self.producer.send_to(topic, partition, key, Some(value));
            sent.map_err(|source| cluster.error(format!("send to {topic}"), source))
        };
        let to_readers = match self.engine.is_in_parts() {
            true => &second.completes,
            false => &first.completes,
        };
        for writer in to_readers {
            let marker = Marker {
                generation,
                writer: *writer,
                writers: self.partitions,
            };
            let (key, value) = (marker.key(), marker.value());
            for partition in 0..self.results_partitions {
                let name = &self.runner.options.name;
                send(name, partition, key.as_bytes(), value.as_bytes())?;
            }
        }
        if self.engine.counted().is_some() {
            for partition in &first.completes {
                let key = counted_key(&self.runner.options.name, generation, *partition);
                self.send(names::TOPIC_CONTROL, key.as_bytes(), Some(b"{}"), None)?;
            }
        } else if self.engine.is_in_parts() {
            for partition in &first.completes {
                let value = changelog::encode_complete(*partition, self.partitions);
                for to in 0..self.partitions {
                    send(&self.topics.parts, to, b"", &value)?;
                }
            }
        }
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

    fn send_counts(&self, now: &CountsNow) -> Result<(), ServiceError> {
        for ((partition, day), counts) in self.told.changed(now) {
            let key = counts_key(&CountsOf {
                aggregation: self.runner.options.name.clone(),
                day: *day,
                partition: *partition,
            });
            let value = counts_value(counts);
            self.send(TOPIC_COUNTS, key.as_bytes(), Some(value.as_bytes()), None)?;
        }
        Ok(())
    }
}

/// A record of `transactions` as the engine takes it.
pub fn input<'m>(message: &'m BorrowedMessage<'_>) -> Input<'m> {
    let appended = message.timestamp().to_millis();
    Input {
        partition: message.partition(),
        offset: message.offset(),
        appended_at: appended.map_or_else(now_micros, |millis| millis * 1000 + 999),
        value: message.payload().unwrap_or_default(),
    }
}

/// Group under which an aggregation commits the offsets of its input.
pub fn consumer_group(aggregation: &str) -> String {
    format!("daybook-aggregate-{aggregation}")
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
