//! Partitions come and go, and with them their state; what was in hand meanwhile is committed, or read again.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use kafka_client::{Member, Move};
use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::TopicPartitionList;
use tracing::info;

use super::{Batch, Life};
use crate::changelog;
use crate::engine::{Changes, Published};
use crate::error::ServiceError;
use crate::takeover::Takeover;

/// Longest time until a rebalance that began with a batch in hand is over: a minute for those who are slow to join, and some.
const REBALANCE_TIME_MAX: Duration = Duration::from_secs(90);
/// Pause between two attempts to commit while the group is being rebalanced.
const REBALANCE_LOOK: Duration = Duration::from_millis(20);
/// Most records of one transaction of a rebuild: it must end before Kafka ends it.
const REBUILD_RECORDS_MAX: usize = 100_000;

/// What the group is told with a transaction, if anything.
type Offsets<'o> = Option<(&'o Member, &'o TopicPartitionList)>;

impl Life<'_> {
    pub(super) fn give_up(
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
            self.told.forget(*partition);
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

    pub(super) fn take_over(
        &mut self,
        consumer: &Member,
        partitions: &[(String, i32)],
    ) -> Result<(), ServiceError> {
        let runner = self.runner;
        let options = &runner.options;
        let parts = self.topics.parts.clone();
        let takeover = Takeover::new(
            &runner.cluster,
            &runner.runtime,
            options,
            self.transactional_id,
            &parts,
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
            let mut read_again = TopicPartitionList::new();
            if taken.rewinds {
                let added = read_again.add_partition_offset(topic, *partition, taken.offset);
                added.map_err(|source| runner.cluster.error("note offsets", source))?;
            }
            let offsets = taken.rewinds.then_some((consumer, &read_again));
            self.commit_piecemeal(changes, is_second, offsets)?;
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
    pub(super) fn commit_again(
        &mut self,
        consumer: &Member,
        batch: &Batch<'_>,
    ) -> Result<bool, ServiceError> {
        let cluster = &self.runner.cluster;
        let name = &self.runner.options.name;
        let reading = consumer
            .assignment()
            .map_err(|source| cluster.error("list the partitions that are read", source))?;
        consumer
            .pause(&reading)
            .map_err(|source| cluster.error("pause partitions", source))?;
        let resume = || {
            let resumed = consumer.resume(&reading);
            resumed.map_err(|source| cluster.error("resume partitions", source))
        };
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
                // It stays paused for whoever reads it again, this member too.
                resume()?;
                self.begin_again(consumer)?;
                return Ok(false);
            }
            match self.commit_batch(consumer, batch) {
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
        resume()?;
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
    /// would be added twice by a rebuild that is done again. Offsets go with the last of it.
    fn commit_piecemeal(
        &mut self,
        mut changes: Changes,
        second: bool,
        offsets: Offsets<'_>,
    ) -> Result<(), ServiceError> {
        let commit = |life: &mut Self, piece: &Changes, offsets: Offsets<'_>| match second {
            true => life.commit(&Changes::default(), piece, &[], offsets),
            false => life.commit(piece, &Changes::default(), &[], offsets),
        };
        let records = changes.results.len() + changes.changelog.len() + changes.parts.len();
        if records <= REBUILD_RECORDS_MAX || !changes.parts.is_empty() {
            return commit(self, &changes, offsets);
        }
        let results = std::mem::take(&mut changes.results);
        for results in results.chunks(REBUILD_RECORDS_MAX) {
            let results = results.to_vec();
            let piece = Changes {
                results,
                ..Changes::default()
            };
            commit(self, &piece, None)?;
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
            commit(self, &piece, offsets.filter(|_| number == last))?;
        }
        Ok(())
    }
}
