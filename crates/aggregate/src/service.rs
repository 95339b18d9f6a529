//! Feeds the engine from Kafka and commits what it says, all in one Kafka transaction a batch.
//!
//! A process is a member of the aggregation's group: partitions come and go, each with its state (`takeover`). What a batch
//! adds to them is committed with the group's offsets, which the group refuses when they are another member's meanwhile.

use std::collections::{BTreeMap, BTreeSet, HashMap};
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
use tracing::{info, warn};
use types::{BusinessDay, Counts, names};

use crate::changelog;
use crate::classify::Reason;
use crate::counts::{CountsOf, TOPIC_COUNTS, counts_key, counts_value};
use crate::engine::{Changes, Engine, EngineError, Input, PartInput, Published, StateSize, Totals};
use crate::error::ServiceError;
use crate::in_force::{Topics, ensure_parts, put_in_force};
use crate::options::AggregationOptions;
use crate::spill::Spill;
use crate::takeover::Takeover;

/// How long a poll waits for a first record; also how soon a stop is noticed.
const POLL_TIME: Duration = Duration::from_millis(100);
/// Counts are told to readers at most this often; the changelog has them with every batch.
const COUNTS_INTERVAL: Duration = Duration::from_millis(200);
/// After so much silence a process counts as gone, and others take its partitions. The least that Kafka allows.
const SESSION_MS: u32 = 6_000;
/// Most records of one transaction of a rebuild: it must end before Kafka ends it.
const REBUILD_RECORDS_MAX: usize = 100_000;

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
    counts_told: BTreeMap<(i32, BusinessDay), Counts>,
    counts_at: Instant,
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
        let (definition, partitions) =
            put_in_force(cluster, options, runner.has_started, &producer)?;
        let topics = Topics::new(name, definition.generation);
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
            let made = ensure_parts(cluster, &topics, partitions);
            runner.runtime.block_on(made)?;
            inputs.push(&topics.parts);
        }
        let consumer = cluster.member("daybook-aggregate", &membership, &inputs)?;
        let life = Self {
            runner,
            transactional_id,
            totals,
            engine,
            producer,
            topics,
            own: BTreeSet::new(),
            counts_told: BTreeMap::new(),
            counts_at: Instant::now(),
        };
        Ok((life, consumer))
    }

    fn live(&mut self, consumer: &Member, ready: &Ready) -> Result<(), ServiceError> {
        while !self.runner.shutdown.is_cancelled() {
            let mut messages = self.poll(consumer)?;
            for change in self.runner.cluster.moves(consumer) {
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
            if !messages.is_empty() {
                let begun = Instant::now();
                match self.run_batch(consumer, &messages) {
                    Err(ServiceError::Rebalanced { .. }) => {
                        drop(messages);
                        self.begin_again(consumer)?;
                        continue;
                    }
                    done => done?,
                }
                let records_max = self.runner.options.batch_records_max;
                thread::sleep(pause(messages.len(), records_max, begun.elapsed()));
            } else if self.counts_due() {
                self.commit(&Changes::default(), &Changes::default(), &[], None)?;
            }
        }
        Ok(())
    }

    fn give_up(
        &mut self,
        consumer: &Member,
        partitions: &[(String, i32)],
    ) -> Result<(), ServiceError> {
        for (topic, partition) in partitions {
            self.own.remove(&(topic.clone(), *partition));
            if *topic == self.topics.parts {
                self.totals.give_up(*partition);
                continue;
            }
            self.engine.give_up(*partition);
            self.counts_told.retain(|(told, _), _| told != partition);
        }
        self.tell_size();
        self.runner.cluster.give_up(consumer, partitions)?;
        Ok(())
    }

    fn take_over(
        &mut self,
        consumer: &Member,
        partitions: &[(String, i32)],
    ) -> Result<(), ServiceError> {
        let runner = self.runner;
        let options = &runner.options;
        let takeover = Takeover::new(
            &runner.cluster,
            &runner.runtime,
            options,
            self.transactional_id,
        )?;
        let mut from = Vec::new();
        for (topic, partition) in partitions {
            let is_second = *topic == self.topics.parts;
            let taken = match is_second {
                true => takeover.take_totals(&self.engine, &mut self.totals, *partition)?,
                false => takeover.take(&mut self.engine, topic, *partition)?,
            };
            let mut changes = taken.rebuilt.unwrap_or_default();
            // Behind what was restored and before what depends on it.
            if !is_second {
                changes.changelog.extend(self.engine.define(*partition));
            }
            if taken.is_new_owner {
                let entry = Published {
                    key: changelog::owner_key(),
                    value: Some(changelog::encode_owner(self.transactional_id)),
                };
                changes.changelog.insert(0, (*partition, entry));
            }
            self.commit_piecemeal(changes, is_second)?;
            from.push((topic.clone(), *partition, taken.offset));
            self.own.insert((topic.clone(), *partition));
        }
        self.tell_size();
        runner.cluster.take_over(consumer, &from)?;
        Ok(())
    }

    /// After a batch that could not be committed: the state has it, so it is restored, with the member's partitions as they are.
    fn begin_again(&mut self, consumer: &Member) -> Result<(), ServiceError> {
        let cluster = &self.runner.cluster;
        self.producer
            .abort()
            .map_err(|source| cluster.error("abort a transaction", source))?;
        let own: Vec<(String, i32)> = self.own.iter().cloned().collect();
        info!(
            name = self.runner.options.name,
            partitions = own.len(),
            "the group is being rebalanced; reads the last batch again"
        );
        self.give_up(consumer, &own)?;
        self.take_over(consumer, &own)
    }

    /// Results first, then the changelog in its order: its last record is the one that counts. Parts go with it, or
    /// would be added twice by a rebuild that is done again.
    fn commit_piecemeal(&mut self, mut changes: Changes, second: bool) -> Result<(), ServiceError> {
        let commit = |life: &mut Self, piece: &Changes| match second {
            true => life.commit(&Changes::default(), piece, &[], None),
            false => life.commit(piece, &Changes::default(), &[], None),
        };
        let records = changes.results.len() + changes.changelog.len() + changes.parts.len();
        if records <= REBUILD_RECORDS_MAX || !changes.parts.is_empty() {
            return commit(self, &changes);
        }
        let results = std::mem::take(&mut changes.results);
        for results in results.chunks(REBUILD_RECORDS_MAX) {
            let results = results.to_vec();
            let piece = Changes {
                results,
                ..Changes::default()
            };
            commit(self, &piece)?;
        }
        for changelog in changes.changelog.chunks(REBUILD_RECORDS_MAX) {
            let changelog = changelog.to_vec();
            let piece = Changes {
                changelog,
                ..Changes::default()
            };
            commit(self, &piece)?;
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
        let parts: Vec<PartInput<'_>> = messages
            .iter()
            .filter(is_part)
            .map(|message| PartInput {
                partition: message.partition(),
                offset: message.offset(),
                key: message.key().unwrap_or_default(),
                value: message.payload().unwrap_or_default(),
            })
            .collect();
        let inputs: Vec<Input<'_>> = messages
            .iter()
            .filter(|message| !is_part(message))
            .map(input)
            .collect();
        let next = self.next_offsets(&inputs, &parts)?;
        let records = inputs.len() as u64;
        self.runner.hop.add_in(records);
        let first = self.runner.runtime.block_on(self.engine.process(&inputs))?;
        let mut second = self.totals.process(&self.engine, &parts)?;
        let received = messages.iter().filter(is_part);
        let received = received.filter_map(|part| number_header(part, names::HEADER_RECEIVED_AT));
        second.received_at = received.min();
        let mut aside: Vec<Aside<'_>> = Vec::new();
        let of_inputs = inputs
            .iter()
            .map(|input| (input.partition, input.offset, input.value));
        set_aside(&first.quarantined, of_inputs, "", &mut aside);
        let of_parts = parts
            .iter()
            .map(|part| (part.partition, part.offset, part.value));
        let prefix = format!("{}-", self.topics.parts);
        set_aside(&second.quarantined, of_parts, &prefix, &mut aside);
        self.commit(&first, &second, &aside, Some((consumer, &next)))?;
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
        let counts_due = self.counts_due();
        if offsets.is_none() && first.is_empty() && second.is_empty() && !counts_due {
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
        for one in aside {
            let reason = Header {
                key: "reason",
                value: Some(&one.reason),
            };
            let headers = OwnedHeaders::new_with_capacity(1).insert(reason);
            let (key, value) = (one.key.as_bytes(), Some(one.value));
            self.send(names::TOPIC_QUARANTINE, key, value, Some(headers))?;
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
        let is_told = |(of, counts)| self.counts_told.get(&of) == Some(&counts);
        self.counts_at.elapsed() >= COUNTS_INTERVAL && !self.engine.counts().all(is_told)
    }

    fn send_counts(&mut self) -> Result<(), ServiceError> {
        let now: BTreeMap<(i32, BusinessDay), Counts> = self.engine.counts().collect();
        for (of, counts) in &now {
            if self.counts_told.get(of) == Some(counts) {
                continue;
            }
            let (partition, day) = *of;
            let key = counts_key(&CountsOf {
                aggregation: self.runner.options.name.clone(),
                day,
                partition,
            });
            let value = counts_value(counts);
            self.send(TOPIC_COUNTS, key.as_bytes(), Some(value.as_bytes()), None)?;
        }
        self.counts_told = now;
        self.counts_at = Instant::now();
        Ok(())
    }
}

/// Gives both stages the memory that they may take together, and the disk for the rest.
fn spill(
    options: &AggregationOptions,
    engine: &mut Engine,
    totals: &mut Totals,
) -> Result<(), ServiceError> {
    let Some(wanted) = &options.spill else {
        return Ok(());
    };
    let spill = Spill::open(wanted).map_err(|source| EngineError::Scratch {
        name: options.name.clone(),
        source,
    })?;
    match engine.is_in_parts() {
        // The one has the identities, the other the rows.
        true => {
            engine.spill_to(spill.half());
            totals.spill_to(spill.half());
        }
        false => engine.spill_to(spill),
    }
    Ok(())
}

/// How much state there is, as metrics.
struct Levels([Arc<Meter>; 6]);

impl Levels {
    fn new(telemetry: &Telemetry, label: &str) -> Self {
        let names = [
            "aggregation_rows",
            "aggregation_identities",
            "aggregation_rows_spilled",
            "aggregation_identities_spilled",
            "aggregation_state_memory_bytes",
            "aggregation_state_disk_bytes",
        ];
        Self(names.map(|name| telemetry.meter(name, label)))
    }

    fn set(&self, size: &StateSize) {
        let level = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        let levels = [
            level(size.rows),
            level(size.identities),
            level(size.rows_spilled),
            level(size.identities_spilled),
            level(size.memory_bytes),
            i64::try_from(size.disk_bytes).unwrap_or(i64::MAX),
        ];
        let meters = self.0.iter().zip(levels);
        meters.for_each(|(meter, level)| meter.set(level));
    }
}

/// A record that is set aside.
struct Aside<'a> {
    key: String,
    value: &'a [u8],
    reason: String,
}

/// Finds the records that were refused among a batch's, which are (partition, offset, value).
fn set_aside<'a>(
    refused: &[(i32, i64, Reason)],
    batch: impl Iterator<Item = (i32, i64, &'a [u8])>,
    prefix: &str,
    aside: &mut Vec<Aside<'a>>,
) {
    if refused.is_empty() {
        return;
    }
    let refused = refused
        .iter()
        .map(|(partition, offset, reason)| ((*partition, *offset), reason));
    let refused: HashMap<(i32, i64), &Reason> = refused.collect();
    aside.extend(batch.filter_map(|(partition, offset, value)| {
        let reason = refused.get(&(partition, offset))?;
        Some(Aside {
            key: format!("{prefix}{partition}-{offset}"),
            value,
            reason: reason.to_string(),
        })
    }));
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
