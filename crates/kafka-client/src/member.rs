//! A member of a consumer group: partitions are given to it and taken away, and it says when it takes them.
//!
//! librdkafka tells of a change within a poll and then waits for an answer. [`LogConsumer::poll`](rdkafka::consumer::BaseConsumer)
//! returns at once after it, so the owner of the consumer carries the change out between two polls, on its own
//! thread: it restores what belongs to a partition before it reads the first record of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::consumer::{BaseConsumer, Consumer, RebalanceProtocol};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use crate::{ClientError, Cluster, LogConsumer, Reader};

/// Milliseconds between two signs of life of a member.
const HEARTBEAT_MS: u32 = 500;

/// A change of what a member reads: topics and partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// They are the member's, from the call of [`Cluster::take_over`] on.
    Given(Vec<(String, i32)>),
    /// They are others' from the call of [`Cluster::give_up`] on, or have been for a while.
    Taken(Vec<(String, i32)>),
}

/// Changes that were told and not carried out.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    open: Mutex<Vec<Move>>,
    leaving: AtomicBool,
}

impl Moves {
    /// A change, within a poll.
    pub(crate) fn note(
        &self,
        consumer: &BaseConsumer<Reader>,
        kind: RDKafkaRespErr,
        partitions: &TopicPartitionList,
    ) {
        if self.leaving.load(Ordering::Relaxed) {
            // Nobody asks any more, and the consumer waits for the answer before it goes.
            if let Err(error) = unassign(consumer, partitions) {
                tracing::debug!(error = %error, "a member leaves its group without its partitions");
            }
            return;
        }
        let elements = partitions.elements();
        let named = elements.iter();
        let named = named.map(|one| (one.topic().to_owned(), one.partition()));
        let named: Vec<(String, i32)> = named.collect();
        let change = match kind {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Move::Given(named),
            _ => Move::Taken(named),
        };
        self.lock().push(change);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Move>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A consumer that is a member of a group. Leaves it when dropped, unless it has a name and may come again.
pub struct Member(LogConsumer);

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let moves = self.0.context().moves();
        f.debug_tuple("Member").field(moves).finish()
    }
}

impl std::ops::Deref for Member {
    type Target = LogConsumer;

    fn deref(&self) -> &LogConsumer {
        &self.0
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let moves = self.0.context().moves();
        moves.leaving.store(true, Ordering::Relaxed);
        // Closing waits for the answer to what was told: nothing is read between here and there.
        let open = std::mem::take(&mut *moves.lock());
        for change in open {
            let answered = match change {
                Move::Given(partitions) => {
                    let at_end = |(topic, partition)| (topic, partition, Offset::End);
                    let partitions: Vec<_> = partitions.into_iter().map(at_end).collect();
                    assign(&self.0, &partitions)
                }
                Move::Taken(partitions) => unassign(&self.0, &list(&partitions)),
            };
            if let Err(error) = answered {
                tracing::debug!(error = %error, "a member leaves its group while its partitions move");
            }
        }
    }
}

fn list(partitions: &[(String, i32)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (topic, partition) in partitions {
        list.add_partition(topic, *partition);
    }
    list
}

fn assign(consumer: &LogConsumer, partitions: &[(String, i32, Offset)]) -> KafkaResult<()> {
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset) in partitions {
        list.add_partition_offset(topic, *partition, *offset)?;
    }
    match cooperative(consumer) {
        true => consumer.incremental_assign(&list),
        false => consumer.assign(&list),
    }
}

fn unassign(consumer: &LogConsumer, partitions: &TopicPartitionList) -> KafkaResult<()> {
    match cooperative(consumer) {
        true => consumer.incremental_unassign(partitions),
        false => consumer.unassign(),
    }
}

/// How a process belongs to a group.
#[derive(Debug, Clone)]
pub struct Membership<'a> {
    /// The group.
    pub group: &'a str,
    /// With a name a process that comes again under it takes its own partitions over at once; without one they are given to
    /// others, when the group has noticed that it is gone.
    pub instance: Option<&'a str>,
    /// After so many milliseconds of silence a member counts as gone. Kafka allows 6,000 and more.
    pub session_ms: u32,
}

impl Cluster {
    /// A consumer of committed records that is a member of a group; the group's members share the topics' partitions. Nothing is
    /// read before [`Cluster::take_over`].
    ///
    /// # Errors
    ///
    /// [`ClientError::Kafka`] when a setting is refused; no connection is made yet.
    pub fn member(
        &self,
        client_id: &str,
        membership: &Membership<'_>,
        topics: &[&str],
    ) -> Result<Member, ClientError> {
        let mut config = self.consumer_config(client_id, membership.group, true);
        config
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", membership.session_ms.to_string())
            // Members learn from the answer that partitions are given out anew.
            .set(
                "heartbeat.interval.ms",
                HEARTBEAT_MS.min(membership.session_ms / 4).to_string(),
            )
            // New partitions of a topic are noticed by then.
            .set("topic.metadata.refresh.interval.ms", "30000");
        if let Some(instance) = membership.instance {
            config.set("group.instance.id", instance);
        }
        let consumer: LogConsumer = config
            .create_with_context(Reader::default())
            .map_err(|source| self.error("create a consumer", source))?;
        consumer
            .subscribe(topics)
            .map_err(|source| self.error(format!("join the group {}", membership.group), source))?;
        Ok(Member(consumer))
    }

    /// Changes that the last polls told of, in their order. Each must be carried out.
    pub fn moves(&self, consumer: &LogConsumer) -> Vec<Move> {
        std::mem::take(&mut *consumer.context().moves().lock())
    }

    /// Reads on at these offsets, partitions that were given.
    ///
    /// # Errors
    ///
    /// [`ClientError::Kafka`]: they may have been taken away meanwhile.
    pub fn take_over(
        &self,
        consumer: &LogConsumer,
        partitions: &[(String, i32, Offset)],
    ) -> Result<(), ClientError> {
        assign(consumer, partitions).map_err(|source| self.error("take over partitions", source))
    }

    /// Reads no more of these.
    ///
    /// # Errors
    ///
    /// [`ClientError::Kafka`].
    pub fn give_up(
        &self,
        consumer: &LogConsumer,
        partitions: &[(String, i32)],
    ) -> Result<(), ClientError> {
        unassign(consumer, &list(partitions))
            .map_err(|source| self.error("give up partitions", source))
    }
}

fn cooperative(consumer: &BaseConsumer<Reader>) -> bool {
    matches!(
        consumer.rebalance_protocol(),
        RebalanceProtocol::Cooperative
    )
}
