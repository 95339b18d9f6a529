//! A partition becomes this process's: what its last owner left open is ended, its state restored, and built anew when
//! the definition has changed.
//!
//! # Invariants
//!
//! - **Nobody else's commit comes behind.** The changelog is read when no transaction is open in it. A process that had the
//!   partition before cannot commit any more: the group refuses its offsets, and what it had open was ended.
//! - **Offsets and state are of one moment.** Both were committed in the same transactions, and both are read after the last one.
//! - **A rebuild that does not come to its end is done again**: the definition is the last thing that it writes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use kafka_client::{CALL_TIME_MAX, ClientError, Cluster, LogConsumer};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::runtime::Runtime;
use tracing::{info, warn};
use types::names;

use crate::changelog::{self, Entry};
use crate::engine::{Changes, Engine, EngineError, Published, Restored, Totals};
use crate::error::ServiceError;
use crate::options::AggregationOptions;
use crate::service::{consumer_group, input};
use crate::standby::{Copy, State};

/// How long a transaction may stay open in a changelog before its owner is fenced.
const PATIENCE: Duration = Duration::from_millis(300);
/// Longest wait for a transaction to end: Kafka ends it after 15 s.
const OPEN_TIME_MAX: Duration = Duration::from_secs(30);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// How often a long rebuild tells how far it is.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// A partition that was taken over.
#[derive(Debug)]
pub(crate) struct TakenOver {
    /// Where to read on.
    pub(crate) offset: Offset,
    /// What a rebuild has to publish.
    pub(crate) rebuilt: Option<Changes>,
    /// Whether `offset` is before the group's, and must be committed with what is published.
    pub(crate) rewinds: bool,
    /// Whether the changelog names another process as its writer.
    pub(crate) is_new_owner: bool,
}

/// Takes partitions of one aggregation over.
pub(crate) struct Takeover<'a> {
    cluster: &'a Cluster,
    runtime: &'a Runtime,
    options: &'a AggregationOptions,
    transactional_id: &'a str,
    state_topic: String,
    /// What the second stage reads.
    parts_topic: &'a str,
    /// Reads committed records.
    reader: LogConsumer,
    /// Reads all.
    raw: LogConsumer,
    /// Knows the group's offsets.
    group: LogConsumer,
}

impl<'a> Takeover<'a> {
    pub(crate) fn new(
        cluster: &'a Cluster,
        runtime: &'a Runtime,
        options: &'a AggregationOptions,
        transactional_id: &'a str,
        parts_topic: &'a str,
    ) -> Result<Self, ServiceError> {
        Ok(Self {
            cluster,
            runtime,
            options,
            transactional_id,
            parts_topic,
            state_topic: names::topic_state(&options.name),
            reader: cluster.reader("daybook-restore")?,
            raw: cluster.tail("daybook-restore", "daybook-restore")?,
            group: cluster.consumer("daybook-restore", &consumer_group(&options.name), true)?,
        })
    }

    /// Takes one over. `input_topic` is what is counted; `copy` is what a standby has read of the changelog.
    pub(crate) fn take(
        &self,
        engine: &mut Engine,
        input_topic: &str,
        partition: i32,
        copy: Option<Copy>,
    ) -> Result<TakenOver, ServiceError> {
        let began = Instant::now();
        let bounds = self.settled(&self.state_topic, partition)?;
        let committed = self.committed(input_topic, partition)?;
        let (from, known_owner) = match copy.filter(|copy| copy.fits(bounds)) {
            Some(Copy {
                state: State::Counted(task),
                next,
                owner,
            }) => {
                engine.adopt(partition, task);
                (next, owner)
            }
            _ => {
                engine.begin_restore(partition);
                (bounds.0, None)
            }
        };
        let rest = (from, bounds.1);
        let (records, owner) = self.restore(&self.state_topic, partition, rest, |key, value| {
            engine.restore(partition, key, value)
        })?;
        let owner = owner.or(known_owner);
        let restored = engine.end_restore(partition)?;
        info!(
            name = self.options.name,
            partition,
            rows = engine.rows(),
            identities = engine.identities(),
            changelog_records = records,
            copied_before = from - bounds.0,
            ms = began.elapsed().as_millis() as u64,
            "partition restored"
        );
        let mut offset = None;
        let rebuilt = match restored {
            Restored::Current => None,
            Restored::Older { generation } => {
                let from = (input_topic, partition);
                let (mut changes, again) =
                    self.rebuild(engine, from, generation, committed, bounds)?;
                offset = again;
                // An older definition may have been counted in two stages.
                if !engine.is_in_parts() {
                    changes
                        .results
                        .extend(self.older_totals(engine, partition)?);
                }
                Some(changes)
            }
        };
        Ok(TakenOver {
            rewinds: offset.is_some(),
            ..self.taken(offset.or(committed), rebuilt, owner)
        })
    }

    /// Takes a partition of the topic of parts over. A first generation of totals takes away what an older one published.
    pub(crate) fn take_totals(
        &self,
        engine: &Engine,
        totals: &mut Totals,
        partition: i32,
        copy: Option<Copy>,
    ) -> Result<TakenOver, ServiceError> {
        let (name, generation) = (&self.options.name, engine.generation());
        let topic = names::topic_totals(name, generation);
        let bounds = self.settled(&topic, partition)?;
        let committed = self.committed(self.parts_topic, partition)?;
        let (from, known_owner) = match copy.filter(|copy| copy.fits(bounds)) {
            Some(Copy {
                state: State::Folded(task),
                next,
                owner,
            }) => {
                totals.adopt(partition, task);
                (next, owner)
            }
            _ => {
                totals.begin_restore(partition);
                (bounds.0, None)
            }
        };
        let rest = (from, bounds.1);
        let (records, owner) = self.restore(&topic, partition, rest, |key, value| {
            totals.restore(partition, key, value)
        })?;
        let owner = owner.or(known_owner);
        info!(
            name,
            partition,
            rows = totals.rows(),
            changelog_records = records,
            copied_before = from - bounds.0,
            "totals restored"
        );
        let is_new = records == 0 && from == bounds.0;
        let rebuilt = match is_new {
            true => Some(Changes {
                results: self.older_totals(engine, partition)?,
                ..Changes::default()
            }),
            false => None,
        };
        Ok(self.taken(committed, rebuilt, owner))
    }

    fn taken(
        &self,
        committed: Option<i64>,
        rebuilt: Option<Changes>,
        owner: Option<String>,
    ) -> TakenOver {
        TakenOver {
            offset: committed.map_or(Offset::Beginning, Offset::Offset),
            rebuilt,
            rewinds: false,
            is_new_owner: owner.as_deref() != Some(self.transactional_id),
        }
    }

    /// Reads a partition of a changelog: the number of its records, and who wrote there last.
    fn restore(
        &self,
        topic: &str,
        partition: i32,
        bounds: (i64, i64),
        mut apply: impl FnMut(&[u8], Option<&[u8]>) -> Result<(), EngineError>,
    ) -> Result<(u64, Option<String>), ServiceError> {
        let (mut records, mut owner, mut failed) = (0_u64, None, None);
        self.read(topic, partition, bounds, |message| {
            records += 1;
            note_owner(&mut owner, message);
            if failed.is_none() {
                failed = apply(message.key().unwrap_or_default(), message.payload()).err();
            }
        })?;
        match failed {
            Some(error) => Err(error.into()),
            None => Ok((records, owner)),
        }
    }

    /// Deletions of the rows that the newest older generation of two stages published from a partition of its parts.
    fn older_totals(
        &self,
        engine: &Engine,
        partition: i32,
    ) -> Result<Vec<Published>, ServiceError> {
        let name = &self.options.name;
        let found = self.reader.fetch_metadata(None, CALL_TIME_MAX);
        let found = found.map_err(|source| self.cluster.error("list topics", source))?;
        let generations = found.topics().iter().filter_map(|topic| {
            let generation = names::generation_of_totals(name, topic.name())?;
            let partitions = i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX);
            (generation < engine.generation() && partition < partitions).then_some(generation)
        });
        let mut generations: Vec<u32> = generations.collect();
        generations.sort_unstable_by(|a, b| b.cmp(a));
        for generation in generations {
            let topic = names::topic_totals(name, generation);
            let bounds = self.settled(&topic, partition)?;
            let mut old = Totals::new(self.options);
            old.begin_restore(partition);
            let (records, _) = self.restore(&topic, partition, bounds, |key, value| {
                old.restore(partition, key, value)
            })?;
            if records > 0 {
                return Ok(old.deletions(engine)?);
            }
        }
        Ok(Vec::new())
    }

    fn read(
        &self,
        topic: &str,
        partition: i32,
        bounds: (i64, i64),
        each: impl FnMut(&BorrowedMessage<'_>),
    ) -> Result<(), ClientError> {
        match bounds.1 > bounds.0 {
            true => self
                .cluster
                .read_between(&self.reader, (topic, partition), bounds, each),
            false => Ok(()),
        }
    }

    /// Bounds of the changelog when no transaction is open in it; one that stays open is ended.
    fn settled(&self, topic: &str, partition: i32) -> Result<(i64, i64), ServiceError> {
        let began = Instant::now();
        let mut fenced = BTreeSet::new();
        loop {
            let (first, stable) = self.cluster.bounds(&self.reader, topic, partition)?;
            let (_, end) = self.cluster.bounds(&self.raw, topic, partition)?;
            if stable >= end {
                return Ok((first, stable));
            }
            if began.elapsed() > OPEN_TIME_MAX {
                return Err(ServiceError::Open {
                    topic: topic.to_owned(),
                    partition,
                    seconds: OPEN_TIME_MAX.as_secs(),
                });
            }
            if began.elapsed() > PATIENCE {
                let mut owner = None;
                self.cluster.read_between(
                    &self.raw,
                    (topic, partition),
                    (first, end),
                    |message| {
                        note_owner(&mut owner, message);
                    },
                )?;
                if let Some(owner) = owner.filter(|owner| fenced.insert(owner.clone())) {
                    self.fence(&owner, partition)?;
                    continue;
                }
            }
            std::thread::sleep(LOOK);
        }
    }

    fn fence(&self, owner: &str, partition: i32) -> Result<(), ServiceError> {
        if owner == self.transactional_id {
            return Ok(());
        }
        warn!(
            owner,
            partition,
            "ends the transaction that a process left open which had the partition before"
        );
        let client_id = "daybook-aggregate-fence";
        let producer = self.cluster.transactional_producer(client_id, owner)?;
        producer.init().map_err(|source| {
            self.cluster
                .error("end another process's transaction", source)
                .into()
        })
    }

    /// The group's offset, when no transaction is open that would change it.
    fn committed(&self, topic: &str, partition: i32) -> Result<Option<i64>, ServiceError> {
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        let committed = self
            .group
            .committed_offsets(list, CALL_TIME_MAX)
            .map_err(|source| {
                let what = format!("read the committed offset of {topic}");
                self.cluster.error(what, source)
            })?;
        let found = committed.find_partition(topic, partition);
        Ok(found.and_then(|found| match found.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }))
    }

    /// Counts the kept days anew, from the log. Where Spark adds up, everything is only made ready for that, and the offset from
    /// which the input is to be read again is returned.
    fn rebuild(
        &self,
        engine: &mut Engine,
        (input_topic, partition): (&str, i32),
        older: u32,
        committed: Option<i64>,
        bounds: (i64, i64),
    ) -> Result<(Changes, Option<i64>), ServiceError> {
        let began = Instant::now();
        let first_day = engine.first_kept_day(partition);
        let first_kept = engine.first_kept_start(partition);
        let mut old = engine.begin_rebuild(partition)?;
        let mut keys = BTreeSet::new();
        self.read(&self.state_topic, partition, bounds, |message| {
            let key = message.key().unwrap_or_default();
            match message.payload() {
                Some(_) => drop(keys.insert(key.to_vec())),
                None => drop(keys.remove(key)),
            }
        })?;
        keys.iter().for_each(|key| old.note_key(key));
        let (first, _) = self.cluster.bounds(&self.reader, input_topic, partition)?;
        let until = committed.unwrap_or(first);
        let from = match first_kept {
            None => first,
            Some(start) => {
                // What was appended before cannot be of a day that is kept.
                let at_ms = ((start - self.options.ahead_max_micros()) / 1_000).max(0);
                let found = self
                    .cluster
                    .offset_at(&self.reader, input_topic, partition, at_ms)?;
                found.unwrap_or(until).clamp(first, until.max(first))
            }
        };
        // What the log has forgotten cannot be counted again: the older totals would shrink without a word.
        if from == first && first > 0 && old.rows() > 0 {
            return Err(ServiceError::Forgotten {
                name: self.options.name.clone(),
                topic: input_topic.to_owned(),
                partition,
                first,
            });
        }
        if engine.counted().is_some() {
            let changes = engine.rewind(partition, &old, (from, until), first_day)?;
            info!(
                name = self.options.name,
                partition,
                records = until - from,
                from_generation = older,
                to_generation = engine.generation(),
                "the kept days are counted anew in Spark"
            );
            return Ok((changes, Some(from)));
        }
        let mut records = 0;
        if from < until {
            records = self.replay(engine, (input_topic, partition), (from, until), began)?;
        }
        let changes = engine.end_rebuild(partition, &old)?;
        info!(
            name = self.options.name,
            partition,
            records,
            from_generation = older,
            to_generation = engine.generation(),
            rows_before = old.rows(),
            rows = engine.rows(),
            ms = began.elapsed().as_millis() as u64,
            "totals counted anew"
        );
        Ok((changes, None))
    }

    fn replay(
        &self,
        engine: &mut Engine,
        (topic, partition): (&str, i32),
        (from, until): (i64, i64),
        began: Instant,
    ) -> Result<u64, ServiceError> {
        let wrap = |what: &'static str| move |source| self.cluster.error(what, source);
        // One that has read nothing yet: what the others have in hand is not waited for.
        let consumer = self.cluster.reader("daybook-rebuild")?;
        let mut assignment = TopicPartitionList::new();
        assignment
            .add_partition_offset(topic, partition, Offset::Offset(from))
            .map_err(wrap("assign partitions"))?;
        consumer
            .assign(&assignment)
            .map_err(wrap("assign partitions"))?;
        let (mut records, mut told) = (0_u64, Instant::now());
        let mut messages: Vec<BorrowedMessage<'_>> = Vec::new();
        let mut ended = false;
        while !ended {
            match consumer.poll(CALL_TIME_MAX) {
                Some(Ok(message)) => {
                    ended = message.offset() + 1 >= until;
                    if message.offset() < until {
                        messages.push(message);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => ended = true,
                Some(Err(source)) => return Err(wrap("read transactions")(source).into()),
                None => {
                    let code = RDKafkaErrorCode::OperationTimedOut;
                    let source = KafkaError::MessageConsumption(code);
                    return Err(wrap("read transactions")(source).into());
                }
            }
            if messages.len() < self.options.batch_records_max && !ended {
                continue;
            }
            let inputs: Vec<_> = messages.iter().map(input).collect();
            self.runtime.block_on(engine.replay(&inputs))?;
            records += inputs.len() as u64;
            if told.elapsed() > TELL_EVERY {
                told = Instant::now();
                let done = messages.last().map_or(from, Message::offset) - from;
                info!(
                    name = self.options.name,
                    partition,
                    percent = done * 100 / (until - from).max(1),
                    records_per_second = records / began.elapsed().as_secs().max(1),
                    "counts the kept days anew"
                );
            }
            messages.clear();
        }
        Ok(records)
    }
}

fn note_owner(owner: &mut Option<String>, message: &BorrowedMessage<'_>) {
    let key = message.key().unwrap_or_default();
    if key == changelog::owner_key()
        && let Ok(Entry::Owner(found)) = changelog::decode(key, message.payload())
    {
        *owner = Some(found);
    }
}
