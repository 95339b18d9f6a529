//! The snapshot: the whole state at one journal position, in one checksummed file.
//!
//! Layout: magic, layout version, journal position, fields (see [`encode`]), CRC-32C of all before it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::partition::{Aborted, Partition, Producer, RememberedBatch};
use super::{GroupOffsets, State, Topic, TopicPartition, Transaction, TransactionState};
use crate::codec::{CodecError, Reader, Writer};
use crate::entry::{CommittedOffset, PartitionId, read_configs, write_configs};
use crate::partition_log::{PartitionLog, SegmentError, SegmentName, segment_path};
use crate::topic_config::{Defaults, TopicConfig};

const MAGIC: u32 = u32::from_le_bytes(*b"DBKS");
/// Since 2: generations of segments, and how far a partition is compacted. Since 3: epochs of groups.
const LAYOUT_VERSION: u8 = 3;
const CRC_BYTES: usize = 4;

/// The snapshot, or what it names, cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    /// The CRC does not fit.
    #[error("checksum does not match")]
    Checksum,
    /// Not a snapshot, or of another layout.
    #[error("not a snapshot of layout {LAYOUT_VERSION}")]
    Layout,
    /// A field cannot be read.
    #[error("snapshot cannot be decoded")]
    Codec(#[from] CodecError),
    /// A directory or the file itself cannot be read.
    #[error("{path:?} cannot be read")]
    Io {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// A partition's files do not fit.
    #[error(transparent)]
    Segment(#[from] SegmentError),
}

/// The bytes of a snapshot of `state` at `position`.
pub(crate) fn encode(state: &State, position: u64) -> Vec<u8> {
    let mut out = Writer::new();
    out.u32(MAGIC);
    out.u8(LAYOUT_VERSION);
    out.u64(position);
    out.uuid(state.cluster);
    out.i64(state.next_producer_id);
    out.count(state.topics.len());
    for (id, topic) in &state.topics {
        out.uuid(*id);
        out.str(&topic.name);
        write_configs(&mut out, &topic.configs);
        out.count(topic.partitions.len());
        topic
            .partitions
            .iter()
            .for_each(|partition| write_partition(&mut out, partition));
    }
    out.count(state.transactions.len());
    for (id, transaction) in &state.transactions {
        out.str(id);
        write_transaction(&mut out, transaction);
    }
    out.count(state.groups.len());
    for (group, offsets) in &state.groups {
        out.str(group);
        write_offsets(&mut out, &offsets.committed);
        out.count(offsets.pending.len());
        for (producer_id, pending) in &offsets.pending {
            out.i64(*producer_id);
            write_offsets(&mut out, pending);
        }
    }
    out.i32(state.group_epochs);
    let mut bytes = out.into_bytes();
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

fn write_partition(out: &mut Writer, partition: &Partition) {
    out.i64(partition.start);
    out.i64(partition.end);
    out.i64(partition.cleaned_to);
    let segments = partition.log.names();
    out.count(segments.len());
    for segment in segments {
        out.i64(segment.base_offset);
        out.u32(segment.generation);
        out.u64(segment.bytes);
    }
    out.count(partition.producers.len());
    for (id, producer) in &partition.producers {
        out.i64(*id);
        out.i16(producer.epoch);
        out.i64(producer.open_from.unwrap_or(-1));
        out.i64(producer.time_ms);
        out.count(producer.batches.len());
        for batch in &producer.batches {
            out.i32(batch.first_sequence);
            out.i32(batch.last_sequence);
            out.i64(batch.base_offset);
        }
    }
    out.count(partition.aborted.len());
    for aborted in &partition.aborted {
        out.i64(aborted.producer_id);
        out.i64(aborted.first_offset);
        out.i64(aborted.last_offset);
    }
}

fn write_transaction(out: &mut Writer, transaction: &Transaction) {
    out.i64(transaction.producer_id);
    out.i16(transaction.epoch);
    out.i16(transaction.last_epoch);
    out.i32(transaction.timeout_ms);
    out.u8(match transaction.state {
        TransactionState::Empty => 0,
        TransactionState::Ongoing => 1,
        TransactionState::Committed => 2,
        TransactionState::Aborted => 3,
    });
    out.count(transaction.partitions.len());
    for partition in &transaction.partitions {
        out.uuid(partition.topic);
        out.i32(partition.partition);
    }
    out.count(transaction.groups.len());
    transaction.groups.iter().for_each(|group| out.str(group));
    out.i64(transaction.start_ms);
    out.i64(transaction.time_ms);
}

fn write_offsets(out: &mut Writer, offsets: &BTreeMap<TopicPartition, CommittedOffset>) {
    out.count(offsets.len());
    for ((topic, partition), offset) in offsets {
        out.str(topic);
        out.i32(*partition);
        offset.write(out);
    }
}

/// Reads a snapshot and opens the partition files it names, cut to the lengths it names.
///
/// Returns the state and the journal position up to which it holds.
pub(crate) fn decode(
    bytes: &[u8],
    root: PathBuf,
    defaults: Defaults,
) -> Result<(State, u64), SnapshotError> {
    let Some((body, crc)) = bytes.split_last_chunk::<CRC_BYTES>() else {
        return Err(SnapshotError::Checksum);
    };
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return Err(SnapshotError::Checksum);
    }
    let mut input = Reader::new(body);
    if input.u32()? != MAGIC {
        return Err(SnapshotError::Layout);
    }
    let layout = input.u8()?;
    if !(1..=LAYOUT_VERSION).contains(&layout) {
        return Err(SnapshotError::Layout);
    }
    let position = input.u64()?;
    let mut state = State::new(root, defaults);
    state.cluster = input.uuid()?;
    state.next_producer_id = input.i64()?;
    for _ in 0..input.count()? {
        let id = input.uuid()?;
        let name = input.str()?;
        let configs = read_configs(&mut input)?;
        let config = TopicConfig::of(&configs, &defaults);
        let count = input.count()?;
        let mut partitions = Vec::with_capacity(count);
        for index in 0..count {
            let partition = PartitionId {
                topic: id,
                partition: index as i32,
            };
            partitions.push(read_partition(
                &mut input,
                state.partition_dir(partition),
                config.segment_bytes,
                layout,
            )?);
        }
        state.partitions += partitions.len();
        state.names.insert(name.clone(), id);
        state.topics.insert(
            id,
            Topic {
                name,
                configs,
                config,
                partitions,
            },
        );
    }
    for _ in 0..input.count()? {
        let id = input.str()?;
        let transaction = read_transaction(&mut input)?;
        state.insert_transaction(id, transaction);
    }
    for _ in 0..input.count()? {
        let group = input.str()?;
        let committed = read_offsets(&mut input)?;
        let mut pending = BTreeMap::new();
        for _ in 0..input.count()? {
            pending.insert(input.i64()?, read_offsets(&mut input)?);
        }
        state
            .groups
            .insert(group, GroupOffsets { committed, pending });
    }
    if layout >= 3 {
        state.group_epochs = input.i32()?;
    }
    Ok((state, position))
}

fn read_partition(
    input: &mut Reader<'_>,
    dir: PathBuf,
    segment_bytes: u64,
    layout: u8,
) -> Result<Partition, SnapshotError> {
    let start = input.i64()?;
    let end = input.i64()?;
    let cleaned_to = if layout >= 2 { input.i64()? } else { 0 };
    let mut segments = Vec::new();
    for _ in 0..input.count()? {
        segments.push(SegmentName {
            base_offset: input.i64()?,
            generation: if layout >= 2 { input.u32()? } else { 0 },
            bytes: input.u64()?,
        });
    }
    let mut producers = HashMap::new();
    for _ in 0..input.count()? {
        let id = input.i64()?;
        let epoch = input.i16()?;
        let open_from = Some(input.i64()?).filter(|from| *from >= 0);
        let time_ms = input.i64()?;
        let mut batches = VecDeque::new();
        for _ in 0..input.count()? {
            batches.push_back(RememberedBatch {
                first_sequence: input.i32()?,
                last_sequence: input.i32()?,
                base_offset: input.i64()?,
            });
        }
        producers.insert(
            id,
            Producer {
                epoch,
                batches,
                open_from,
                time_ms,
            },
        );
    }
    let mut aborted = Vec::new();
    for _ in 0..input.count()? {
        aborted.push(Aborted {
            producer_id: input.i64()?,
            first_offset: input.i64()?,
            last_offset: input.i64()?,
        });
    }
    let log = PartitionLog::open(dir, segment_bytes, &segments)?;
    Ok(Partition::restored(
        log, start, end, producers, aborted, cleaned_to,
    ))
}

fn read_transaction(input: &mut Reader<'_>) -> Result<Transaction, SnapshotError> {
    let producer_id = input.i64()?;
    let epoch = input.i16()?;
    let last_epoch = input.i16()?;
    let timeout_ms = input.i32()?;
    let state = match input.u8()? {
        0 => TransactionState::Empty,
        1 => TransactionState::Ongoing,
        2 => TransactionState::Committed,
        3 => TransactionState::Aborted,
        value => {
            let value = value.to_string();
            return Err(CodecError::Invalid {
                what: "transaction state",
                value,
            }
            .into());
        }
    };
    let mut partitions = BTreeSet::new();
    for _ in 0..input.count()? {
        partitions.insert(PartitionId {
            topic: input.uuid()?,
            partition: input.i32()?,
        });
    }
    let mut groups = BTreeSet::new();
    for _ in 0..input.count()? {
        groups.insert(input.str()?);
    }
    Ok(Transaction {
        producer_id,
        epoch,
        last_epoch,
        timeout_ms,
        state,
        partitions,
        groups,
        start_ms: input.i64()?,
        time_ms: input.i64()?,
    })
}

fn read_offsets(
    input: &mut Reader<'_>,
) -> Result<BTreeMap<TopicPartition, CommittedOffset>, SnapshotError> {
    let mut offsets = BTreeMap::new();
    for _ in 0..input.count()? {
        offsets.insert((input.str()?, input.i32()?), CommittedOffset::read(input)?);
    }
    Ok(offsets)
}

/// Removes whatever lies under `root` and is not part of `state`: files newer than the snapshot, which the journal
/// writes again, and leftovers of deletions.
pub(crate) fn remove_strangers(state: &State, root: &Path) -> std::io::Result<()> {
    let mut known: HashSet<PathBuf> = HashSet::new();
    for topic in state.topics.values() {
        for partition in &topic.partitions {
            let dir = partition.log.dir();
            known.extend(
                partition
                    .log
                    .names()
                    .map(|name| segment_path(dir, name.base_offset, name.generation)),
            );
        }
    }
    for topic in std::fs::read_dir(root)? {
        let topic = topic?;
        let id = topic
            .file_name()
            .to_str()
            .and_then(|name| Uuid::try_parse(name).ok());
        let Some(id) = id else { continue };
        if !state.topics.contains_key(&id) {
            std::fs::remove_dir_all(topic.path())?;
            continue;
        }
        for partition in std::fs::read_dir(topic.path())? {
            for segment in std::fs::read_dir(partition?.path())? {
                let path = segment?.path();
                if !known.contains(&path) {
                    std::fs::remove_file(path)?;
                }
            }
        }
    }
    Ok(())
}
