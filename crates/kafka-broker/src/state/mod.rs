//! The state of the broker: topics, transactions and committed offsets, as the journal says.
//!
//! ```text
//! api ──check──► Entry ──► journal ──► State::apply (you are here) ──► partition files, memory
//!                             └───────recovery───────┘
//! ```
//!
//! # Invariants
//!
//! - **One way to change.** Live requests and recovery go through [`State::apply`] and [`State::append`], in the
//!   order of the journal, so that recovery arrives where the broker was. Neither reads a clock.
//! - **Checks are elsewhere.** What an entry says has been allowed; applying it fails only if the disk does.

pub(crate) mod partition;
pub(crate) mod snapshot;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;

use uuid::Uuid;

use crate::batch::{Batch, PATCHED_BYTES};
use crate::entry::{CommittedOffset, Entry, PartitionId};
use crate::partition_log::{DirtyFiles, PartitionLog};
use crate::topic_config::{Defaults, TopicConfig};
use partition::Partition;

/// A topic. Its id is new each time it is created.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) configs: Vec<(String, String)>,
    /// What `configs` come to.
    pub(crate) config: TopicConfig,
    pub(crate) partitions: Vec<Partition>,
}

/// Where a transactional id's transaction is. Preparing has no place here: deciding and marking are one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransactionState {
    Empty,
    Ongoing,
    Committed,
    Aborted,
}

/// What the coordinator knows of a transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transaction {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    /// The epoch before, whose owner may ask again for the answer that brought the present one; -1: nobody may.
    pub(crate) last_epoch: i16,
    pub(crate) timeout_ms: i32,
    pub(crate) state: TransactionState,
    pub(crate) partitions: BTreeSet<PartitionId>,
    pub(crate) groups: BTreeSet<String>,
    pub(crate) start_ms: i64,
    pub(crate) time_ms: i64,
}

/// Offsets of one topic's partition, as a key.
pub(crate) type TopicPartition = (String, i32);

/// The offsets of a group.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct GroupOffsets {
    pub(crate) committed: BTreeMap<TopicPartition, CommittedOffset>,
    /// By producer id: committed when its transaction is.
    pub(crate) pending: BTreeMap<i64, BTreeMap<TopicPartition, CommittedOffset>>,
}

/// Everything durable. See the module.
#[derive(Debug)]
pub(crate) struct State {
    root: PathBuf,
    pub(crate) defaults: Defaults,
    pub(crate) cluster: Uuid,
    pub(crate) next_producer_id: i64,
    pub(crate) topics: HashMap<Uuid, Topic>,
    names: BTreeMap<String, Uuid>,
    pub(crate) transactions: HashMap<String, Transaction>,
    /// Transactional id by producer id.
    owners: HashMap<i64, String>,
    pub(crate) groups: BTreeMap<String, GroupOffsets>,
    /// Epochs of groups up to here may have been given out to members.
    pub(crate) group_epochs: i32,
    /// Another number whenever a topic has come, gone or grown. Not durable.
    pub(crate) topics_version: u64,
    partitions: usize,
    /// Directories of deleted topics, to remove when a snapshot without them is on disk.
    dropped: Vec<PathBuf>,
}

impl State {
    pub(crate) fn new(root: PathBuf, defaults: Defaults) -> Self {
        Self {
            root,
            defaults,
            cluster: Uuid::nil(),
            next_producer_id: 0,
            topics: HashMap::new(),
            names: BTreeMap::new(),
            transactions: HashMap::new(),
            owners: HashMap::new(),
            groups: BTreeMap::new(),
            group_epochs: 0,
            topics_version: 0,
            partitions: 0,
            dropped: Vec::new(),
        }
    }

    pub(crate) fn topic_id(&self, name: &str) -> Option<Uuid> {
        self.names.get(name).copied()
    }

    pub(crate) fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(self.names.get(name)?)
    }

    /// Topic names with their ids, in order of name.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&String, Uuid)> {
        self.names.iter().map(|(name, id)| (name, *id))
    }

    /// Partitions of all topics.
    pub(crate) fn partition_count(&self) -> usize {
        self.partitions
    }

    pub(crate) fn partition_id(&self, topic: &str, partition: i32) -> Option<PartitionId> {
        let id = PartitionId {
            topic: self.topic_id(topic)?,
            partition,
        };
        self.partition(id).map(|_| id)
    }

    pub(crate) fn partition(&self, id: PartitionId) -> Option<&Partition> {
        let index = usize::try_from(id.partition).ok()?;
        self.topics.get(&id.topic)?.partitions.get(index)
    }

    pub(crate) fn partition_mut(&mut self, id: PartitionId) -> Option<&mut Partition> {
        let index = usize::try_from(id.partition).ok()?;
        self.topics.get_mut(&id.topic)?.partitions.get_mut(index)
    }

    /// The transactional id that uses a producer id.
    pub(crate) fn owner(&self, producer_id: i64) -> Option<&Transaction> {
        self.transactions.get(self.owners.get(&producer_id)?)
    }

    fn log(&self, id: PartitionId) -> PartitionLog {
        let topic = self.topics.get(&id.topic);
        let segment_bytes = topic.map_or(self.defaults.segment_bytes, |topic| {
            topic.config.segment_bytes
        });
        PartitionLog::new(self.partition_dir(id), segment_bytes)
    }

    fn partition_dir(&self, id: PartitionId) -> PathBuf {
        self.root
            .join(id.topic.simple().to_string())
            .join(id.partition.to_string())
    }

    /// Appends a batch that already has its offset. A partition that is gone swallows it.
    pub(crate) fn append(
        &mut self,
        id: PartitionId,
        batch: &Batch,
        front: &[u8],
        rest: &[u8],
        time_ms: i64,
    ) -> io::Result<()> {
        match self.partition_mut(id) {
            Some(partition) => partition.append(batch, front, rest, time_ms),
            None => Ok(()),
        }
    }

    /// Appends a batch out of the journal.
    pub(crate) fn replay_append(
        &mut self,
        id: PartitionId,
        bytes: &[u8],
        time_ms: i64,
    ) -> io::Result<()> {
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let Some(batch) = Batch::parse(bytes).filter(|batch| batch.bytes == bytes.len()) else {
            return Err(invalid(format!("the entry of {id:?} holds no batch")));
        };
        if let Some(partition) = self.partition(id)
            && partition.end != batch.base_offset
        {
            let (end, offset) = (partition.end, batch.base_offset);
            return Err(invalid(format!(
                "{id:?} ends at {end}, the journal goes on at {offset}"
            )));
        }
        self.append(
            id,
            &batch,
            &bytes[..PATCHED_BYTES],
            &bytes[PATCHED_BYTES..],
            time_ms,
        )
    }

    /// Applies an entry and calls `moved` with every partition whose end has moved.
    ///
    /// # Errors
    ///
    /// The disk's. The state must not be used for anything durable afterwards.
    pub(crate) fn apply(
        &mut self,
        entry: &Entry,
        moved: &mut dyn FnMut(PartitionId, i64),
    ) -> io::Result<()> {
        match entry {
            Entry::Cluster { id } => self.cluster = *id,
            Entry::CreateTopic {
                id,
                name,
                partitions,
                configs,
            } => {
                self.create_topic(*id, name, *partitions, configs);
            }
            Entry::DeleteTopic { id } => self.delete_topic(*id),
            Entry::AddPartitions { id, partitions } => self.add_partitions(*id, *partitions),
            Entry::AllocateProducerId { producer_id } => {
                self.next_producer_id = self.next_producer_id.max(producer_id + 1);
            }
            Entry::InitTransactionalId { .. } | Entry::AddToTransaction { .. } => {
                self.apply_to_transaction(entry);
            }
            Entry::EndTransaction {
                id,
                committed,
                epoch,
                time_ms,
            } => {
                return self.end_transaction(id, *committed, *epoch, *time_ms, moved);
            }
            Entry::CommitOffsets {
                group,
                producer_id,
                offsets,
            } => {
                self.commit_offsets(group, *producer_id, offsets);
            }
            Entry::DeleteRecords { partition, offset } => {
                if let Some(partition) = self.partition_mut(*partition) {
                    partition.delete_before(*offset);
                }
            }
            Entry::DeleteGroup { group } => {
                self.groups.remove(group);
            }
            Entry::DeleteOffsets { group, partitions } => self.delete_offsets(group, partitions),
            Entry::SetConfigs { id, configs } => self.set_configs(*id, configs),
            Entry::ReserveEpochs { epoch } => self.group_epochs = self.group_epochs.max(*epoch),
        }
        Ok(())
    }

    /// The entries that begin or extend what a transactional id does.
    fn apply_to_transaction(&mut self, entry: &Entry) {
        match entry {
            Entry::InitTransactionalId {
                id,
                producer_id,
                epoch,
                last_epoch,
                timeout_ms,
                time_ms,
            } => {
                let transaction = Transaction {
                    producer_id: *producer_id,
                    epoch: *epoch,
                    last_epoch: *last_epoch,
                    timeout_ms: *timeout_ms,
                    state: TransactionState::Empty,
                    partitions: BTreeSet::new(),
                    groups: BTreeSet::new(),
                    start_ms: *time_ms,
                    time_ms: *time_ms,
                };
                self.insert_transaction(id.clone(), transaction);
            }
            Entry::AddToTransaction {
                id,
                partitions,
                groups,
                time_ms,
            } => {
                let Some(transaction) = self.transactions.get_mut(id) else {
                    return;
                };
                if transaction.state != TransactionState::Ongoing {
                    transaction.state = TransactionState::Ongoing;
                    transaction.start_ms = *time_ms;
                }
                transaction.time_ms = *time_ms;
                transaction.partitions.extend(partitions.iter().copied());
                transaction.groups.extend(groups.iter().cloned());
            }
            other => debug_assert!(false, "{other:?} is applied elsewhere"),
        }
    }

    fn create_topic(
        &mut self,
        id: Uuid,
        name: &str,
        partitions: i32,
        configs: &[(String, String)],
    ) {
        let topic = Topic {
            name: name.to_owned(),
            configs: configs.to_vec(),
            config: TopicConfig::of(configs, &self.defaults),
            partitions: Vec::new(),
        };
        self.topics.insert(id, topic);
        self.names.insert(name.to_owned(), id);
        self.add_partitions(id, partitions);
    }

    fn set_configs(&mut self, id: Uuid, configs: &[(String, String)]) {
        let Some(topic) = self.topics.get_mut(&id) else {
            return;
        };
        topic.configs = configs.to_vec();
        topic.config = TopicConfig::of(configs, &self.defaults);
        for partition in &mut topic.partitions {
            partition.log.set_segment_bytes(topic.config.segment_bytes);
        }
    }

    fn delete_offsets(&mut self, group: &str, partitions: &[TopicPartition]) {
        let Some(offsets) = self.groups.get_mut(group) else {
            return;
        };
        for partition in partitions {
            offsets.committed.remove(partition);
        }
        if offsets.committed.is_empty() && offsets.pending.is_empty() {
            self.groups.remove(group);
        }
    }

    fn add_partitions(&mut self, id: Uuid, partitions: i32) {
        self.topics_version += 1;
        let from = self
            .topics
            .get(&id)
            .map_or(0, |topic| topic.partitions.len() as i32);
        let new: Vec<_> = (from..partitions)
            .map(|partition| {
                Partition::new(self.log(PartitionId {
                    topic: id,
                    partition,
                }))
            })
            .collect();
        self.partitions += new.len();
        if let Some(topic) = self.topics.get_mut(&id) {
            topic.partitions.extend(new);
        }
    }

    fn delete_topic(&mut self, id: Uuid) {
        let Some(mut topic) = self.topics.remove(&id) else {
            return;
        };
        self.names.remove(&topic.name);
        self.topics_version += 1;
        self.partitions -= topic.partitions.len();
        topic.partitions.iter_mut().for_each(Partition::wake);
        for group in self.groups.values_mut() {
            group.committed.retain(|(name, _), _| *name != topic.name);
            for pending in group.pending.values_mut() {
                pending.retain(|(name, _), _| *name != topic.name);
            }
        }
        self.dropped.push(self.root.join(id.simple().to_string()));
    }

    fn insert_transaction(&mut self, id: String, transaction: Transaction) {
        if let Some(old) = self.transactions.get(&id) {
            self.owners.remove(&old.producer_id);
        }
        self.owners.insert(transaction.producer_id, id.clone());
        self.transactions.insert(id, transaction);
    }

    fn end_transaction(
        &mut self,
        id: &str,
        committed: bool,
        epoch: i16,
        time_ms: i64,
        moved: &mut dyn FnMut(PartitionId, i64),
    ) -> io::Result<()> {
        let Some(transaction) = self.transactions.get_mut(id) else {
            return Ok(());
        };
        transaction.state = if committed {
            TransactionState::Committed
        } else {
            TransactionState::Aborted
        };
        if transaction.epoch != epoch {
            transaction.epoch = epoch;
            transaction.last_epoch = -1;
        }
        transaction.time_ms = time_ms;
        let producer_id = transaction.producer_id;
        let groups = std::mem::take(&mut transaction.groups);
        for partition_id in std::mem::take(&mut transaction.partitions) {
            if let Some(partition) = self.partition_mut(partition_id) {
                partition.end_transaction(producer_id, epoch, committed, time_ms)?;
                moved(partition_id, partition.end);
            }
        }
        for group in groups {
            if let Some(offsets) = self.groups.get_mut(&group)
                && let Some(pending) = offsets.pending.remove(&producer_id)
                && committed
            {
                offsets.committed.extend(pending);
            }
        }
        Ok(())
    }

    fn commit_offsets(
        &mut self,
        group: &str,
        producer_id: Option<i64>,
        offsets: &[(String, i32, CommittedOffset)],
    ) {
        let group = self.groups.entry(group.to_owned()).or_default();
        let target = match producer_id {
            Some(id) => group.pending.entry(id).or_default(),
            None => &mut group.committed,
        };
        for (topic, partition, offset) in offsets {
            target.insert((topic.clone(), *partition), offset.clone());
        }
    }

    /// What a checkpoint must sync and unlink.
    pub(crate) fn take_dirty(&mut self) -> DirtyFiles {
        let mut dirty = DirtyFiles::default();
        for (id, topic) in &mut self.topics {
            let before = dirty.files.len();
            topic
                .partitions
                .iter_mut()
                .for_each(|partition| partition.log.take_dirty(&mut dirty));
            if dirty.files.len() > before {
                dirty.dirs.push(self.root.join(id.simple().to_string()));
            }
        }
        dirty.dirs.push(self.root.clone());
        dirty.dropped.append(&mut self.dropped);
        dirty
    }

    /// Forgets producers silent since `producers_ms` and transactional ids silent since `transactions_ms`.
    ///
    /// Not in the journal: recovery from an older snapshot remembers more, which harms nobody.
    pub(crate) fn forget_before(&mut self, producers_ms: i64, transactions_ms: i64) {
        for partition in self
            .topics
            .values_mut()
            .flat_map(|topic| &mut topic.partitions)
        {
            partition.forget_producers_before(producers_ms);
        }
        let owners = &mut self.owners;
        self.transactions.retain(|_, transaction| {
            let keep = transaction.state == TransactionState::Ongoing
                || transaction.time_ms >= transactions_ms;
            if !keep {
                owners.remove(&transaction.producer_id);
            }
            keep
        });
    }
}
