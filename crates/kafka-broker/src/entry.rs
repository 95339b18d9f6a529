//! What a journal record says, and its bytes.
//!
//! The journal is the truth: the state of the broker is the snapshot plus every entry behind it, applied in order.
//! An entry is atomic, so whatever must happen together is one entry; above all [`Entry::EndTransaction`], which is
//! the decision, the markers in all partitions and the group offsets at once.
//!
//! Layout: version byte, kind byte, fields little-endian. An append ends in the batch's bytes as they are in the log.

use uuid::Uuid;

use crate::codec::{CodecError, Reader, Writer};

/// The layout written here. Older ones are read as long as there are any.
const ENTRY_VERSION: u8 = 1;

/// Bytes of an append entry in front of the batch.
pub(crate) const APPEND_HEADER_BYTES: usize = 2 + 16 + 4 + 8;

const KIND_APPEND: u8 = 0;
const KIND_CLUSTER: u8 = 1;
const KIND_CREATE_TOPIC: u8 = 2;
const KIND_DELETE_TOPIC: u8 = 3;
const KIND_ALLOCATE_PRODUCER_ID: u8 = 4;
const KIND_INIT_TRANSACTIONAL_ID: u8 = 5;
const KIND_ADD_TO_TRANSACTION: u8 = 6;
const KIND_END_TRANSACTION: u8 = 7;
const KIND_COMMIT_OFFSETS: u8 = 8;
const KIND_DELETE_RECORDS: u8 = 9;
const KIND_DELETE_GROUP: u8 = 10;
const KIND_ADD_PARTITIONS: u8 = 11;
const KIND_SET_CONFIGS: u8 = 12;
const KIND_DELETE_OFFSETS: u8 = 13;
const KIND_RESERVE_EPOCHS: u8 = 14;

/// A partition by the id of its topic, which is never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PartitionId {
    pub(crate) topic: Uuid,
    pub(crate) partition: i32,
}

/// An offset that a group commits, with what it said beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommittedOffset {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
    pub(crate) time_ms: i64,
}

/// Everything that changes the state, except an append, which carries bytes: see [`append_header`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Cluster {
        id: Uuid,
    },
    CreateTopic {
        id: Uuid,
        name: String,
        partitions: i32,
        configs: Vec<(String, String)>,
    },
    DeleteTopic {
        id: Uuid,
    },
    AddPartitions {
        id: Uuid,
        partitions: i32,
    },
    /// This id and all below are given away.
    AllocateProducerId {
        producer_id: i64,
    },
    /// The id has a new owner. Only while no transaction is open.
    InitTransactionalId {
        id: String,
        producer_id: i64,
        epoch: i16,
        last_epoch: i16,
        timeout_ms: i32,
        time_ms: i64,
    },
    AddToTransaction {
        id: String,
        partitions: Vec<PartitionId>,
        groups: Vec<String>,
        time_ms: i64,
    },
    /// `epoch` is in the markers and is the id's epoch from now on: above the current one it fences the owner.
    EndTransaction {
        id: String,
        committed: bool,
        epoch: i16,
        time_ms: i64,
    },
    /// With a producer id the offsets are pending until its transaction ends.
    CommitOffsets {
        group: String,
        producer_id: Option<i64>,
        offsets: Vec<(String, i32, CommittedOffset)>,
    },
    DeleteRecords {
        partition: PartitionId,
        offset: i64,
    },
    DeleteGroup {
        group: String,
    },
    /// Committed offsets of these topics' partitions are gone.
    DeleteOffsets {
        group: String,
        partitions: Vec<(String, i32)>,
    },
    /// These are all settings of the topic from now on.
    SetConfigs {
        id: Uuid,
        configs: Vec<(String, String)>,
    },
    /// Epochs of groups up to here may have been given out.
    ReserveEpochs {
        epoch: i32,
    },
}

/// A journal record, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decoded<'a> {
    Append {
        partition: PartitionId,
        time_ms: i64,
        batch: &'a [u8],
    },
    Entry(Entry),
}

/// The bytes in front of a batch that is appended to `partition` at `time_ms`.
pub(crate) fn append_header(partition: PartitionId, time_ms: i64) -> [u8; APPEND_HEADER_BYTES] {
    let mut header = [0; APPEND_HEADER_BYTES];
    header[0] = ENTRY_VERSION;
    header[1] = KIND_APPEND;
    header[2..18].copy_from_slice(partition.topic.as_bytes());
    header[18..22].copy_from_slice(&partition.partition.to_le_bytes());
    header[22..30].copy_from_slice(&time_ms.to_le_bytes());
    header
}

fn write_partition(out: &mut Writer, partition: PartitionId) {
    out.uuid(partition.topic);
    out.i32(partition.partition);
}

fn read_partition(input: &mut Reader<'_>) -> Result<PartitionId, CodecError> {
    Ok(PartitionId {
        topic: input.uuid()?,
        partition: input.i32()?,
    })
}

impl CommittedOffset {
    pub(crate) fn write(&self, out: &mut Writer) {
        out.i64(self.offset);
        out.i32(self.leader_epoch);
        out.str(&self.metadata);
        out.i64(self.time_ms);
    }

    pub(crate) fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            offset: input.i64()?,
            leader_epoch: input.i32()?,
            metadata: input.str()?,
            time_ms: input.i64()?,
        })
    }
}

impl Entry {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(ENTRY_VERSION);
        match self {
            Entry::Cluster { id } => {
                out.u8(KIND_CLUSTER);
                out.uuid(*id);
            }
            Entry::CreateTopic {
                id,
                name,
                partitions,
                configs,
            } => {
                out.u8(KIND_CREATE_TOPIC);
                out.uuid(*id);
                out.str(name);
                out.i32(*partitions);
                write_configs(&mut out, configs);
            }
            Entry::DeleteTopic { id } => {
                out.u8(KIND_DELETE_TOPIC);
                out.uuid(*id);
            }
            Entry::AddPartitions { id, partitions } => {
                out.u8(KIND_ADD_PARTITIONS);
                out.uuid(*id);
                out.i32(*partitions);
            }
            Entry::CommitOffsets {
                group,
                producer_id,
                offsets,
            } => {
                out.u8(KIND_COMMIT_OFFSETS);
                out.str(group);
                out.i64(producer_id.unwrap_or(-1));
                out.count(offsets.len());
                for (topic, partition, offset) in offsets {
                    out.str(topic);
                    out.i32(*partition);
                    offset.write(&mut out);
                }
            }
            Entry::DeleteRecords { partition, offset } => {
                out.u8(KIND_DELETE_RECORDS);
                write_partition(&mut out, *partition);
                out.i64(*offset);
            }
            Entry::DeleteGroup { group } => {
                out.u8(KIND_DELETE_GROUP);
                out.str(group);
            }
            Entry::DeleteOffsets { group, partitions } => {
                out.u8(KIND_DELETE_OFFSETS);
                out.str(group);
                out.count(partitions.len());
                for (topic, partition) in partitions {
                    out.str(topic);
                    out.i32(*partition);
                }
            }
            Entry::SetConfigs { id, configs } => {
                out.u8(KIND_SET_CONFIGS);
                out.uuid(*id);
                write_configs(&mut out, configs);
            }
            Entry::ReserveEpochs { epoch } => {
                out.u8(KIND_RESERVE_EPOCHS);
                out.i32(*epoch);
            }
            transactional => transactional.encode_transactional(&mut out),
        }
        out.into_bytes()
    }

    /// The kinds about producers and their transactions.
    fn encode_transactional(&self, out: &mut Writer) {
        match self {
            Entry::AllocateProducerId { producer_id } => {
                out.u8(KIND_ALLOCATE_PRODUCER_ID);
                out.i64(*producer_id);
            }
            Entry::InitTransactionalId {
                id,
                producer_id,
                epoch,
                last_epoch,
                timeout_ms,
                time_ms,
            } => {
                out.u8(KIND_INIT_TRANSACTIONAL_ID);
                out.str(id);
                out.i64(*producer_id);
                out.i16(*epoch);
                out.i16(*last_epoch);
                out.i32(*timeout_ms);
                out.i64(*time_ms);
            }
            Entry::AddToTransaction {
                id,
                partitions,
                groups,
                time_ms,
            } => {
                out.u8(KIND_ADD_TO_TRANSACTION);
                out.str(id);
                out.count(partitions.len());
                partitions
                    .iter()
                    .for_each(|partition| write_partition(out, *partition));
                out.count(groups.len());
                groups.iter().for_each(|group| out.str(group));
                out.i64(*time_ms);
            }
            Entry::EndTransaction {
                id,
                committed,
                epoch,
                time_ms,
            } => {
                out.u8(KIND_END_TRANSACTION);
                out.str(id);
                out.bool(*committed);
                out.i16(*epoch);
                out.i64(*time_ms);
            }
            other => debug_assert!(false, "{other:?} is encoded elsewhere"),
        }
    }
}

pub(crate) fn write_configs(out: &mut Writer, configs: &[(String, String)]) {
    out.count(configs.len());
    for (key, value) in configs {
        out.str(key);
        out.str(value);
    }
}

pub(crate) fn read_configs(input: &mut Reader<'_>) -> Result<Vec<(String, String)>, CodecError> {
    (0..input.count()?)
        .map(|_| Ok((input.str()?, input.str()?)))
        .collect()
}

/// Reads one journal record.
pub(crate) fn decode(bytes: &[u8]) -> Result<Decoded<'_>, CodecError> {
    let mut input = Reader::new(bytes);
    let version = input.u8()?;
    if version != ENTRY_VERSION {
        return Err(CodecError::Invalid {
            what: "entry version",
            value: version.to_string(),
        });
    }
    let kind = input.u8()?;
    if kind == KIND_APPEND {
        let partition = read_partition(&mut input)?;
        let time_ms = input.i64()?;
        return Ok(Decoded::Append {
            partition,
            time_ms,
            batch: input.rest(),
        });
    }
    let entry = decode_entry(kind, &mut input)?;
    if !input.is_empty() {
        let value = format!("{} bytes longer than its fields", input.rest().len());
        return Err(CodecError::Invalid {
            what: "entry",
            value,
        });
    }
    Ok(Decoded::Entry(entry))
}

fn decode_entry(kind: u8, input: &mut Reader<'_>) -> Result<Entry, CodecError> {
    Ok(match kind {
        KIND_CLUSTER => Entry::Cluster { id: input.uuid()? },
        KIND_CREATE_TOPIC => Entry::CreateTopic {
            id: input.uuid()?,
            name: input.str()?,
            partitions: input.i32()?,
            configs: read_configs(input)?,
        },
        KIND_DELETE_TOPIC => Entry::DeleteTopic { id: input.uuid()? },
        KIND_ADD_PARTITIONS => Entry::AddPartitions {
            id: input.uuid()?,
            partitions: input.i32()?,
        },
        KIND_ALLOCATE_PRODUCER_ID => Entry::AllocateProducerId {
            producer_id: input.i64()?,
        },
        KIND_INIT_TRANSACTIONAL_ID => Entry::InitTransactionalId {
            id: input.str()?,
            producer_id: input.i64()?,
            epoch: input.i16()?,
            last_epoch: input.i16()?,
            timeout_ms: input.i32()?,
            time_ms: input.i64()?,
        },
        KIND_ADD_TO_TRANSACTION => Entry::AddToTransaction {
            id: input.str()?,
            partitions: (0..input.count()?)
                .map(|_| read_partition(input))
                .collect::<Result<_, _>>()?,
            groups: (0..input.count()?)
                .map(|_| input.str())
                .collect::<Result<_, _>>()?,
            time_ms: input.i64()?,
        },
        KIND_END_TRANSACTION => Entry::EndTransaction {
            id: input.str()?,
            committed: input.bool()?,
            epoch: input.i16()?,
            time_ms: input.i64()?,
        },
        KIND_COMMIT_OFFSETS => Entry::CommitOffsets {
            group: input.str()?,
            producer_id: Some(input.i64()?).filter(|id| *id >= 0),
            offsets: (0..input.count()?)
                .map(|_| Ok((input.str()?, input.i32()?, CommittedOffset::read(input)?)))
                .collect::<Result<_, CodecError>>()?,
        },
        KIND_DELETE_RECORDS => Entry::DeleteRecords {
            partition: read_partition(input)?,
            offset: input.i64()?,
        },
        KIND_DELETE_GROUP => Entry::DeleteGroup {
            group: input.str()?,
        },
        KIND_DELETE_OFFSETS => Entry::DeleteOffsets {
            group: input.str()?,
            partitions: (0..input.count()?)
                .map(|_| Ok((input.str()?, input.i32()?)))
                .collect::<Result<_, CodecError>>()?,
        },
        KIND_SET_CONFIGS => Entry::SetConfigs {
            id: input.uuid()?,
            configs: read_configs(input)?,
        },
        KIND_RESERVE_EPOCHS => Entry::ReserveEpochs {
            epoch: input.i32()?,
        },
        _ => {
            return Err(CodecError::Invalid {
                what: "entry kind",
                value: kind.to_string(),
            });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Entry> {
        let id = Uuid::from_u128(7);
        let partition = PartitionId {
            topic: id,
            partition: 3,
        };
        let offset = CommittedOffset {
            offset: 9,
            leader_epoch: -1,
            metadata: "m".to_owned(),
            time_ms: 5,
        };
        vec![
            Entry::Cluster { id },
            Entry::CreateTopic {
                id,
                name: "t".to_owned(),
                partitions: 2,
                configs: vec![("a".to_owned(), "b".to_owned())],
            },
            Entry::DeleteTopic { id },
            Entry::AddPartitions { id, partitions: 4 },
            Entry::AllocateProducerId { producer_id: 1 },
            Entry::InitTransactionalId {
                id: "x".to_owned(),
                producer_id: 1,
                epoch: 2,
                last_epoch: 1,
                timeout_ms: 3,
                time_ms: 4,
            },
            Entry::AddToTransaction {
                id: "x".to_owned(),
                partitions: vec![partition],
                groups: vec!["g".to_owned()],
                time_ms: 4,
            },
            Entry::EndTransaction {
                id: "x".to_owned(),
                committed: true,
                epoch: 2,
                time_ms: 4,
            },
            Entry::CommitOffsets {
                group: "g".to_owned(),
                producer_id: Some(1),
                offsets: vec![("t".to_owned(), 0, offset.clone())],
            },
            Entry::CommitOffsets {
                group: "g".to_owned(),
                producer_id: None,
                offsets: vec![("t".to_owned(), 0, offset)],
            },
            Entry::DeleteRecords {
                partition,
                offset: 8,
            },
            Entry::DeleteGroup {
                group: "g".to_owned(),
            },
            Entry::DeleteOffsets {
                group: "g".to_owned(),
                partitions: vec![("t".to_owned(), 1)],
            },
            Entry::SetConfigs {
                id,
                configs: vec![("a".to_owned(), "b".to_owned())],
            },
            Entry::ReserveEpochs { epoch: 1_000 },
        ]
    }

    #[test]
    fn every_entry_comes_back_and_every_prefix_of_it_is_an_error() {
        for entry in samples() {
            let bytes = entry.encode();
            for cut in 0..bytes.len() {
                assert!(decode(&bytes[..cut]).is_err(), "{entry:?} cut at {cut}");
            }
            assert_eq!(decode(&bytes), Ok(Decoded::Entry(entry)));
        }
    }

    #[test]
    fn an_append_comes_back_and_another_version_is_refused() {
        let partition = PartitionId {
            topic: Uuid::from_u128(1),
            partition: 2,
        };
        let mut bytes = append_header(partition, 5).to_vec();
        bytes.extend_from_slice(b"batch");
        assert_eq!(
            decode(&bytes),
            Ok(Decoded::Append {
                partition,
                time_ms: 5,
                batch: b"batch"
            })
        );
        bytes[0] = 2;
        assert!(matches!(decode(&bytes), Err(CodecError::Invalid { .. })));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>, kind in 0_u8..16) {
            let _ = decode(&bytes);
            let _ = decode(&[&[ENTRY_VERSION, kind], &bytes[..]].concat());
        }
    }
}
