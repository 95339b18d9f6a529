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

use kafka_client::{ClientError, Cluster, LogConsumer};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::runtime::Runtime;
use tracing::{info, warn};
use types::names;

use crate::changelog::{self, Entry};
use crate::engine::{Changes, Engine, Restored, Totals};
use crate::error::ServiceError;
use crate::options::AggregationOptions;
use crate::service::{consumer_group, input};

/// How long a transaction may stay open in a changelog before its owner is fenced.
const PATIENCE: Duration = Duration::from_millis(300);
/// Longest wait for a transaction to end: Kafka ends it after 15 s.
const OPEN_TIME_MAX: Duration = Duration::from_secs(30);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// How often a long rebuild tells how far it is.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// Milliseconds before the first kept day from which a rebuild reads: what is booked ahead is kept too.
const HOUR_MS: i64 = 3_600_000;

/// A partition that was taken over.
#[derive(Debug)]
pub(crate) struct TakenOver {
    /// Where to read on.
    pub(crate) offset: Offset,
    /// What a rebuild has to publish.
    pub(crate) rebuilt: Option<Changes>,
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
    ) -> Result<Self, ServiceError> {
        Ok(Self {
            cluster,
            runtime,
            options,
            transactional_id,
            state_topic: names::topic_state(&options.name),
            reader: cluster.reader("daybook-restore")?,
            raw: cluster.tail("daybook-restore", "daybook-restore")?,
            group: cluster.consumer("daybook-restore", &consumer_group(&options.name), true)?,
        })
    }

    /// Takes one over. `input_topic` is what is counted.
    pub(crate) fn take(
        &self,
        engine: &mut Engine,
        input_topic: &str,
        partition: i32,
    ) -> Result<TakenOver, ServiceError> {
        let began = Instant::now();
        let state_topic = &self.state_topic;
        let bounds = self.settled(state_topic, partition)?;
        let committed = self.committed(input_topic, partition)?;
        engine.begin_restore(partition);
        let mut owner = None;
        let mut failed = None;
        let mut records = 0_u64;
        self.read(state_topic, partition, bounds, |message| {
            records += 1;
            let key = message.key().unwrap_or_default();
            note_owner(&mut owner, message);
            if failed.is_none() {
                failed = engine.restore(partition, key, message.payload()).err();
            }
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        let restored = engine.end_restore(partition)?;
        info!(
            name = self.options.name,
            partition,
            rows = engine.rows(),
            identities = engine.identities(),
            changelog_records = records,
            ms = began.elapsed().as_millis() as u64,
            "partition restored"
        );
        let rebuilt = match restored {
            Restored::Current => None,
            Restored::Older { generation } => Some(self.rebuild(
                engine,
                input_topic,
                partition,
                generation,
                committed,
                bounds,
            )?),
        };
        Ok(TakenOver {
            offset: committed.map_or(Offset::Beginning, Offset::Offset),
            rebuilt,
            is_new_owner: owner.as_deref() != Some(self.transactional_id),
        })
    }

    /// Takes a partition of the topic of parts over. A first generation of totals takes away what the one before published.
    pub(crate) fn take_totals(
        &self,
        engine: &Engine,
        totals: &mut Totals,
        partition: i32,
    ) -> Result<TakenOver, ServiceError> {
        let (name, generation) = (&self.options.name, engine.generation());
        let topic = names::topic_totals(name, generation);
        let bounds = self.settled(&topic, partition)?;
        let committed = self.committed(&names::topic_parts(name, generation), partition)?;
        totals.begin_restore(partition);
        let (mut owner, mut failed) = (None, None);
        let mut records = 0_u64;
        self.read(&topic, partition, bounds, |message| {
            records += 1;
            note_owner(&mut owner, message);
            let key = message.key().unwrap_or_default();
            if failed.is_none() {
                failed = totals.restore(partition, key, message.payload()).err();
            }
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        info!(
            name,
            partition,
            rows = totals.rows(),
            changelog_records = records,
            "totals restored"
        );
        let mut rebuilt = None;
        if records == 0 && generation > 1 {
            rebuilt = self.take_away(engine, partition, generation - 1)?;
        }
        Ok(TakenOver {
            offset: committed.map_or(Offset::Beginning, Offset::Offset),
            rebuilt,
            is_new_owner: owner.as_deref() != Some(self.transactional_id),
        })
    }

    /// Deletions of the rows that an older generation published from the same partition.
    fn take_away(
        &self,
        engine: &Engine,
        partition: i32,
        older: u32,
    ) -> Result<Option<Changes>, ServiceError> {
        let topic = names::topic_totals(&self.options.name, older);
        let found = self
            .reader
            .fetch_metadata(Some(&topic), kafka_client::CALL_TIME_MAX);
        let wrap = |source| {
            self.cluster
                .error(format!("read about topic {topic}"), source)
        };
        let found = found.map_err(wrap)?;
        let there = found.topics().iter().find(|one| one.name() == topic);
        let partitions = there.map_or(0, |one| one.partitions().len());
        if usize::try_from(partition).is_ok_and(|partition| partition >= partitions) {
            return Ok(None);
        }
        let bounds = self.settled(&topic, partition)?;
        let mut old = Totals::new(self.options);
        old.begin_restore(partition);
        self.read(&topic, partition, bounds, |message| {
            // What is not understood was not published by this program either.
            let _ = old.restore(
                partition,
                message.key().unwrap_or_default(),
                message.payload(),
            );
        })?;
        Ok(Some(old.deletions(engine)))
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
            let (first, stable) = self.watermarks(&self.reader, topic, partition)?;
            let (_, end) = self.watermarks(&self.raw, topic, partition)?;
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

    fn watermarks(
        &self,
        consumer: &LogConsumer,
        topic: &str,
        partition: i32,
    ) -> Result<(i64, i64), ServiceError> {
        let bounds = consumer.fetch_watermarks(topic, partition, kafka_client::CALL_TIME_MAX);
        let wrap = |source| {
            self.cluster
                .error(format!("read the offsets of {topic}"), source)
        };
        Ok(bounds.map_err(wrap)?)
    }

    /// The group's offset, when no transaction is open that would change it.
    fn committed(&self, topic: &str, partition: i32) -> Result<Option<i64>, ServiceError> {
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        let committed = self
            .group
            .committed_offsets(list, kafka_client::CALL_TIME_MAX)
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

    /// Counts the kept days anew, from the log.
    fn rebuild(
        &self,
        engine: &mut Engine,
        input_topic: &str,
        partition: i32,
        older: u32,
        committed: Option<i64>,
        bounds: (i64, i64),
    ) -> Result<Changes, ServiceError> {
        let began = Instant::now();
        let first_kept = engine.first_kept_start(partition);
        let mut old = engine.begin_rebuild(partition);
        let mut keys = BTreeSet::new();
        self.read(&self.state_topic, partition, bounds, |message| {
            let key = message.key().unwrap_or_default();
            match message.payload() {
                Some(_) => drop(keys.insert(key.to_vec())),
                None => drop(keys.remove(key)),
            }
        })?;
        keys.iter().for_each(|key| old.note_key(key));
        let (first, _) = self.watermarks(&self.reader, input_topic, partition)?;
        let until = committed.unwrap_or(first);
        let from = match first_kept {
            None => first,
            Some(start) => {
                let at_ms = (start - self.options.future_max_micros) / 1_000 - HOUR_MS;
                let at_ms = at_ms.max(0);
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
        let mut records = 0;
        if from < until {
            records = self.replay(engine, (input_topic, partition), (from, until), began)?;
        }
        let changes = engine.end_rebuild(partition, &old);
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
        Ok(changes)
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
            match consumer.poll(kafka_client::CALL_TIME_MAX) {
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
