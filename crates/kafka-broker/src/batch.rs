//! Record batches, format v2: what the broker reads of one, checks in one and patches in one.
//!
//! ```text
//! produce request ──► Batch::parse (you are here) ──► journal + partition log ──► fetch answer
//! ```
//!
//! Records stay as the producer packed them. Only `baseOffset` and `partitionLeaderEpoch` are patched, and the CRC
//! does not cover these two. The broker writes one kind of batch itself: the marker that ends a transaction.
//!
//! Wire format: Kafka's documentation, "Message Format", and KIP-98.

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes of a batch before its records.
pub(crate) const BATCH_HEADER_BYTES: usize = 61;
/// `baseOffset` and `batchLength`: the part that `batchLength` does not count.
pub(crate) const BATCH_PREFIX_BYTES: usize = 12;
/// Where the bytes begin that the CRC covers (`attributes`).
const CRC_FROM: usize = 21;
/// Bytes at the front which hold all that the broker patches.
pub(crate) const PATCHED_BYTES: usize = 16;
/// The leader epoch that a single node is in for ever.
pub(crate) const LEADER_EPOCH: i32 = 0;
/// Bytes of the batch that [`marker`] builds.
pub(crate) const MARKER_BYTES: usize = BATCH_HEADER_BYTES + 17;

const ATTRIBUTE_COMPRESSION: i16 = 0x07;
const ATTRIBUTE_LOG_APPEND_TIME: i16 = 0x08;
const ATTRIBUTE_TRANSACTIONAL: i16 = 0x10;
const ATTRIBUTE_CONTROL: i16 = 0x20;
/// The base timestamp is the time at which compaction may drop tombstones and markers (KIP-534).
pub(crate) const ATTRIBUTE_DELETE_HORIZON: i16 = 0x40;

/// Why a batch from a producer is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BatchError {
    /// The CRC does not fit the bytes, or the bytes end early.
    #[error("batch is damaged")]
    Corrupt,
    /// Not format v2.
    #[error("batch has magic {0}, must be 2")]
    Magic(i8),
    /// Well formed but not what a producer may send.
    #[error("batch is invalid: {0}")]
    Invalid(&'static str),
    /// Longer than the broker takes.
    #[error("batch has {bytes} bytes, must not exceed {bytes_max}")]
    TooLarge {
        /// Bytes of the batch.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
}

/// The header of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) base_offset: i64,
    /// Bytes of the whole batch.
    pub(crate) bytes: usize,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) records: i32,
}

fn be_i16(bytes: &[u8], at: usize) -> i16 {
    bytes
        .get(at..at + 2)
        .and_then(|b| b.try_into().ok())
        .map_or(0, i16::from_be_bytes)
}

fn be_i32(bytes: &[u8], at: usize) -> i32 {
    bytes
        .get(at..at + 4)
        .and_then(|b| b.try_into().ok())
        .map_or(0, i32::from_be_bytes)
}

fn be_i64(bytes: &[u8], at: usize) -> i64 {
    bytes
        .get(at..at + 8)
        .and_then(|b| b.try_into().ok())
        .map_or(0, i64::from_be_bytes)
}

impl Batch {
    /// Reads the header of the batch at the front of `bytes`. `None`: these bytes hold no whole header of format v2.
    ///
    /// The batch itself may go on behind the end of `bytes`.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Batch> {
        if bytes.len() < BATCH_HEADER_BYTES || bytes[16] != 2 {
            return None;
        }
        let length = usize::try_from(be_i32(bytes, 8)).ok()?;
        if length < BATCH_HEADER_BYTES - BATCH_PREFIX_BYTES {
            return None;
        }
        Some(Batch {
            base_offset: be_i64(bytes, 0),
            bytes: BATCH_PREFIX_BYTES + length,
            attributes: be_i16(bytes, 21),
            last_offset_delta: be_i32(bytes, 23),
            base_timestamp: be_i64(bytes, 27),
            max_timestamp: be_i64(bytes, 35),
            producer_id: be_i64(bytes, 43),
            producer_epoch: be_i16(bytes, 51),
            base_sequence: be_i32(bytes, 53),
            records: be_i32(bytes, 57),
        })
    }

    /// Checks the one batch of a produce request: length, CRC, counts, and the frame of each uncompressed record.
    pub(crate) fn check(bytes: &[u8], bytes_max: usize) -> Result<Batch, BatchError> {
        if bytes.len() < BATCH_PREFIX_BYTES + 5 {
            return Err(BatchError::Corrupt);
        }
        if bytes[16] != 2 {
            return Err(BatchError::Magic(i8::from_be_bytes([bytes[16]])));
        }
        let batch = Batch::parse(bytes).ok_or(BatchError::Corrupt)?;
        if batch.bytes > bytes_max {
            return Err(BatchError::TooLarge {
                bytes: batch.bytes,
                bytes_max,
            });
        }
        if batch.bytes > bytes.len() {
            return Err(BatchError::Corrupt);
        }
        if batch.bytes < bytes.len() {
            return Err(BatchError::Invalid(
                "more than one batch for a partition in one request",
            ));
        }
        if crc32c::crc32c(&bytes[CRC_FROM..]) != be_i32(bytes, 17).cast_unsigned() {
            return Err(BatchError::Corrupt);
        }
        if batch.is_control() || batch.delete_horizon().is_some() {
            return Err(BatchError::Invalid(
                "a producer may not write control batches nor horizons",
            ));
        }
        if batch.records < 1 || batch.last_offset_delta.checked_add(1) != Some(batch.records) {
            return Err(BatchError::Invalid(
                "count of records and last offset differ",
            ));
        }
        if batch.producer_id >= 0 && (batch.producer_epoch < 0 || batch.base_sequence < 0) {
            return Err(BatchError::Invalid("producer id without epoch or sequence"));
        }
        if batch.is_transactional() && batch.producer_id < 0 {
            return Err(BatchError::Invalid("transactional without producer id"));
        }
        match batch.codec() {
            0 => check_records(&bytes[BATCH_HEADER_BYTES..], batch.records)?,
            1..=4 => {}
            _ => return Err(BatchError::Invalid("unknown compression")),
        }
        Ok(batch)
    }

    /// Offset of the last record once the first is at `base_offset`.
    pub(crate) fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    /// 0: none, 1: gzip, 2: snappy, 3: lz4, 4: zstd.
    pub(crate) fn codec(&self) -> i16 {
        self.attributes & ATTRIBUTE_COMPRESSION
    }

    pub(crate) fn is_log_append_time(&self) -> bool {
        self.attributes & ATTRIBUTE_LOG_APPEND_TIME != 0
    }

    /// When compaction may drop what the batch holds only for a while, in milliseconds since 1970.
    pub(crate) fn delete_horizon(&self) -> Option<i64> {
        (self.attributes & ATTRIBUTE_DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & ATTRIBUTE_TRANSACTIONAL != 0
    }

    pub(crate) fn is_control(&self) -> bool {
        self.attributes & ATTRIBUTE_CONTROL != 0
    }

    pub(crate) fn is_idempotent(&self) -> bool {
        self.producer_id >= 0
    }

    /// Sequence of the last record. Sequences wrap from `i32::MAX` to 0.
    pub(crate) fn last_sequence(&self) -> i32 {
        add_sequence(self.base_sequence, self.last_offset_delta)
    }
}

/// Sequence numbers are 31 bits that wrap to 0.
pub(crate) fn add_sequence(sequence: i32, delta: i32) -> i32 {
    let sum = (i64::from(sequence) + i64::from(delta)) & i64::from(i32::MAX);
    i32::try_from(sum).unwrap_or(0)
}

/// Walks the frames of uncompressed records: `records` of them, each inside the batch, filling it.
fn check_records(mut bytes: &[u8], records: i32) -> Result<(), BatchError> {
    const BROKEN: BatchError = BatchError::Invalid("records do not fill the batch");
    for _ in 0..records {
        let length = take_varint(&mut bytes).ok_or(BROKEN)?;
        let length = usize::try_from(length).map_err(|_| BROKEN)?;
        bytes = bytes.get(length..).ok_or(BROKEN)?;
    }
    if bytes.is_empty() {
        Ok(())
    } else {
        Err(BROKEN)
    }
}

/// A zig-zag varint of at most 5 bytes.
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<i32> {
    let mut value: u32 = 0;
    for index in 0..5 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u32::from(byte & 0x7f).checked_shl(7 * index)?;
        if byte & 0x80 == 0 {
            return Some((value >> 1).cast_signed() ^ -((value & 1).cast_signed()));
        }
    }
    None
}

/// The first [`PATCHED_BYTES`] of a batch with the offset and the leader epoch that it has in the log.
pub(crate) fn patched_front(batch: &[u8], base_offset: i64) -> [u8; PATCHED_BYTES] {
    let mut front = [0; PATCHED_BYTES];
    front.copy_from_slice(&batch[..PATCHED_BYTES]);
    front[..8].copy_from_slice(&base_offset.to_be_bytes());
    front[12..16].copy_from_slice(&LEADER_EPOCH.to_be_bytes());
    front
}

/// The control batch that ends a transaction in one partition.
///
/// Its bytes depend on the arguments alone, so that recovery writes the same again.
pub(crate) fn marker(
    base_offset: i64,
    producer_id: i64,
    producer_epoch: i16,
    committed: bool,
    time_ms: i64,
) -> Bytes {
    let mut out = BytesMut::with_capacity(MARKER_BYTES);
    out.put_i64(base_offset);
    out.put_i32((MARKER_BYTES - BATCH_PREFIX_BYTES) as i32);
    out.put_i32(LEADER_EPOCH);
    out.put_i8(2);
    out.put_u32(0); // The CRC, filled in below.
    out.put_i16(ATTRIBUTE_TRANSACTIONAL | ATTRIBUTE_CONTROL);
    out.put_i32(0); // last offset delta
    out.put_i64(time_ms);
    out.put_i64(time_ms);
    out.put_i64(producer_id);
    out.put_i16(producer_epoch);
    out.put_i32(-1); // base sequence
    out.put_i32(1); // records
    out.put_u8(32); // zig-zag 16: bytes of the record behind this one
    out.put_u8(0); // attributes
    out.put_u8(0); // timestamp delta
    out.put_u8(0); // offset delta
    out.put_u8(8); // zig-zag 4: bytes of the key
    out.put_i16(0); // version of the key
    out.put_i16(i16::from(committed));
    out.put_u8(12); // zig-zag 6: bytes of the value
    out.put_i16(0); // version of the value
    out.put_i32(0); // coordinator epoch
    out.put_u8(0); // headers
    debug_assert_eq!(out.len(), MARKER_BYTES);
    seal(&mut out);
    out.freeze()
}

/// Writes the CRC of a whole batch into it.
pub(crate) fn seal(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[CRC_FROM..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// The same batch with the time of the log instead of the producer's.
pub(crate) fn with_append_time(batch: &Batch, bytes: &[u8], time_ms: i64) -> (Batch, Bytes) {
    let attributes = batch.attributes | ATTRIBUTE_LOG_APPEND_TIME;
    let mut out = BytesMut::from(bytes);
    out[21..23].copy_from_slice(&attributes.to_be_bytes());
    out[35..43].copy_from_slice(&time_ms.to_be_bytes());
    seal(&mut out);
    let batch = Batch {
        attributes,
        max_timestamp: time_ms,
        ..*batch
    };
    (batch, out.freeze())
}

/// A zig-zag varint of at most 10 bytes.
pub(crate) fn take_varlong(bytes: &mut &[u8]) -> Option<i64> {
    let mut value: u64 = 0;
    for index in 0..10 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value >> 1).cast_signed() ^ -((value & 1).cast_signed()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_a_control_batch_with_a_valid_crc() {
        let bytes = marker(42, 7, 3, true, 1_000);
        let batch = Batch::parse(&bytes).expect("a batch");
        assert_eq!(batch.bytes, MARKER_BYTES);
        assert_eq!((batch.base_offset, batch.last_offset()), (42, 42));
        assert_eq!((batch.producer_id, batch.producer_epoch), (7, 3));
        assert!(batch.is_control() && batch.is_transactional());
        // It passes every check but the one that keeps clients from sending it.
        let refused = BatchError::Invalid("a producer may not write control batches nor horizons");
        assert_eq!(Batch::check(&bytes, 1_000), Err(refused));
        assert_eq!(check_records(&bytes[BATCH_HEADER_BYTES..], 1), Ok(()));
        assert_ne!(bytes, marker(42, 7, 3, false, 1_000));
    }

    #[test]
    fn a_batch_of_the_largest_size_is_taken_and_one_byte_more_is_not() {
        let bytes = marker(0, 1, 0, true, 0);
        let too_large = BatchError::TooLarge {
            bytes: MARKER_BYTES,
            bytes_max: MARKER_BYTES - 1,
        };
        assert_eq!(Batch::check(&bytes, MARKER_BYTES - 1), Err(too_large));
        assert_ne!(Batch::check(&bytes, MARKER_BYTES), Err(too_large));
    }

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(add_sequence(5, 3), 8);
        assert_eq!(add_sequence(i32::MAX, 1), 0);
        assert_eq!(add_sequence(i32::MAX - 1, 3), 1);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(mut bytes: Vec<u8>, length: i32) {
            let _ = Batch::check(&bytes, 1 << 20);
            bytes.resize(bytes.len() + BATCH_HEADER_BYTES, 0);
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            bytes[16] = 2;
            let _ = Batch::parse(&bytes);
            let _ = check_records(&bytes, length);
        }
    }
}
