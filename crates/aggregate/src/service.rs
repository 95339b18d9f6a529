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
use types::{BusinessDay, Counts, Marker, names};

use crate::changelog;
use crate::classify::Reason;
use crate::counts::{CountsOf, TOPIC_COUNTS, counts_key, counts_value};
use crate::engine::{Changes, Engine, Input, PartInput, Published, Totals};
use crate::error::ServiceError;
use crate::in_force::{Topics, ensure_parts, put_in_force};
use crate::options::AggregationOptions;
use crate::standby::Standby;
use crate::takeover::Takeover;

/// How long a poll waits for a first record; also how soon a stop is noticed.
const POLL_TIME: Duration = Duration::from_millis(100);
/// Counts are told to readers at most this often; the changelog has them with every batch.
const COUNTS_INTERVAL: Duration = Duration::from_millis(200);
/// After so much silence a process counts as gone, and others take its partitions. The least that Kafka allows.
const SESSION_MS: u32 = 6_000;
/// Longest time until a rebalance that began with a batch in hand is over: a minute for those who are slow to join, and some.
const REBALANCE_TIME_MAX: Duration = Duration::from_secs(90);
/// Pause between two attempts to commit while the group is being rebalanced.
const REBALANCE_LOOK: Duration = Duration::from_millis(20);
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
            rows: telemetry.meter("aggregation_rows", &label),
            identities: telemetry.meter("aggregation_identities", &label),
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
    rows: Arc<Meter>,
    identities: Arc<Meter>,
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
        let reader = cluster.reader("daybook-aggregate")?;
        let results_partitions = cluster.partitions(&reader, name)?;
        let engine = Engine::of_partitions(options.clone(), definition, partitions);
        let engine = runner.runtime.block_on(engine)?;
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
            totals: Totals::new(options),
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
            if !messages.is_empty() {
                let begun = Instant::now();
                self.run_batch(consumer, &messages)?;
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
        self.forget(partitions);
        self.runner.cluster.give_up(consumer, partitions)?;
        self.stand_by();
        Ok(())
    }

    fn forget(&mut self, partitions: &[(String, i32)]) {
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
    }

    /// Copies the state of all partitions that are not this process's.
    fn stand_by(&self) {
        let Some(standby) = &self.standby else {
            return;
        };
        let mut places = BTreeSet::new();
        let mut add = |input: &str, changelog: &str| {
            for partition in 0..self.partitions {
                if !self.own.contains(&(input.to_owned(), partition)) {
                    places.insert((changelog.to_owned(), partition));
                }
            }
        };
        add(&self.runner.options.input.topic, &self.topics.state);
        if self.engine.is_in_parts() {
            add(&self.topics.parts, &self.topics.totals);
        }
        standby.follow(&places);
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
            let changelog = match is_second {
                true => &self.topics.totals,
                false => &self.topics.state,
            };
            let copy = self.standby.as_ref();
            let copy = copy.and_then(|standby| standby.take(changelog, *partition));
            let taken = match is_second {
                true => takeover.take_totals(&self.engine, &mut self.totals, *partition, copy)?,
                false => takeover.take(&mut self.engine, topic, *partition, copy)?,
            };
            let mut changes = taken.rebuilt.unwrap_or_default();
            // Behind what was restored and before what depends on it.
            if !is_second && let Some(definition) = self.engine.define(*partition) {
                changes.changelog.push(definition);
                changes.completes.push(*partition);
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
        self.stand_by();
        Ok(())
    }

    /// After a batch that the group took no offsets of, because its partitions are being given out anew: the state has the batch
    /// already. Where this process keeps its partitions, as it mostly does, the same changes are committed as soon as the group is
    /// settled. Else the state of those that it keeps is restored, to read the batch again: `false`.
    fn commit_again(&mut self, consumer: &Member, batch: &Batch<'_>) -> Result<bool, ServiceError> {
        let cluster = &self.runner.cluster;
        let name = &self.runner.options.name;
        let reading = consumer
            .assignment()
            .map_err(|source| cluster.error("list the partitions that are read", source))?;
        consumer
            .pause(&reading)
            .map_err(|source| cluster.error("pause partitions", source))?;
        let began = Instant::now();
        loop {
            self.producer
                .abort()
                .map_err(|source| cluster.error("abort a transaction", source))?;
            if began.elapsed() > REBALANCE_TIME_MAX || self.runner.shutdown.is_cancelled() {
                return Err(ServiceError::Rebalanced { name: name.clone() });
            }
            let mut has_read = false;
            cluster.take(consumer, "wait for the group", REBALANCE_LOOK, |_| {
                has_read = true;
                ControlFlow::Break(())
            })?;
            // Nothing is read while it is paused; if something is, it would be missed.
            if has_read {
                return Err(ServiceError::Rebalanced { name: name.clone() });
            }
            self.moves.extend(cluster.moves(consumer));
            let is_taken = self.moves.iter().any(|change| match change {
                Move::Taken(partitions) => partitions.iter().any(|taken| batch.has(taken)),
                Move::Given(_) => false,
            });
            if is_taken {
                self.begin_again(consumer)?;
                return Ok(false);
            }
            match self.commit(
                &batch.first,
                &batch.second,
                &batch.aside,
                Some((consumer, &batch.next)),
            ) {
                Err(ServiceError::Rebalanced { .. }) => {}
                done => {
                    done?;
                    break;
                }
            }
        }
        info!(
            name,
            ms = began.elapsed().as_millis() as u64,
            "the group was rebalanced; the batch in hand is committed"
        );
        consumer
            .resume(&reading)
            .map_err(|source| cluster.error("resume partitions", source))?;
        Ok(true)
    }

    /// The state has what was not committed: it is restored, with the partitions that are still the member's.
    fn begin_again(&mut self, consumer: &Member) -> Result<(), ServiceError> {
        for change in std::mem::take(&mut self.moves) {
            match change {
                Move::Taken(partitions) => self.give_up(consumer, &partitions)?,
                given => self.moves.push(given),
            }
        }
        let own: Vec<(String, i32)> = self.own.iter().cloned().collect();
        info!(
            name = self.runner.options.name,
            partitions = own.len(),
            "the group was rebalanced; reads the last batch again"
        );
        self.forget(&own);
        self.runner.cluster.give_up(consumer, &own)?;
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
        let last = changes.changelog.len().div_ceil(REBUILD_RECORDS_MAX);
        let pieces = changes.changelog.chunks(REBUILD_RECORDS_MAX);
        for (number, changelog) in (1..).zip(pieces) {
            let completes = match number == last {
                true => std::mem::take(&mut changes.completes),
                false => Vec::new(),
            };
            let piece = Changes {
                changelog: changelog.to_vec(),
                completes,
                ..Changes::default()
            };
            commit(self, &piece)?;
        }
        Ok(())
    }

    fn tell_size(&self) {
        let level = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        self.runner
            .rows
            .set(level(self.engine.rows() + self.totals.rows()));
        self.runner.identities.set(level(self.engine.identities()));
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
        let mut second = self.totals.process(&self.engine, &parts);
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
        let batch = Batch {
            first,
            second,
            aside,
            next,
        };
        match self.commit(
            &batch.first,
            &batch.second,
            &batch.aside,
            Some((consumer, &batch.next)),
        ) {
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
        if self.engine.is_in_parts() {
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

/// What is committed of a batch.
struct Batch<'a> {
    first: Changes,
    second: Changes,
    aside: Vec<Aside<'a>>,
    /// Where to read on.
    next: TopicPartitionList,
}

impl Batch<'_> {
    /// Whether it has records of a partition.
    fn has(&self, (topic, partition): &(String, i32)) -> bool {
        self.next.find_partition(topic, *partition).is_some()
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
