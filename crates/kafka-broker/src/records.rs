//! The records inside a batch, whatever it was packed with, and batches written anew with fewer of them.
//!
//! ```text
//! compaction, look-ups by time, compacted topics ──► unpack (you are here) ──► Record
//! ```
//!
//! Invariant: nothing is unpacked beyond a stated number of bytes, so that a small batch from a hostile producer
//! never becomes a large one in memory.

use std::borrow::Cow;
use std::io::{self, Read, Write};

use bytes::{BufMut, Bytes, BytesMut};

use crate::batch::{self, BATCH_HEADER_BYTES, Batch};

/// Most bytes that the records of one batch may have unpacked. A batch with more is stored and read like any other,
/// but nobody looks inside.
pub(crate) const UNPACKED_BYTES_MAX: usize = 64 << 20;

/// Largest window that a zstd frame may ask for, as a power of two: 32 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 25;

/// What snappy-java puts in front of its blocks.
const XERIAL_MAGIC: &[u8] = b"\x82SNAPPY\0";
const XERIAL_HEADER_BYTES: usize = 16;

/// The records of a batch cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordsError {
    /// More bytes than [`UNPACKED_BYTES_MAX`].
    #[error("records have more than {bytes_max} bytes unpacked")]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// The codec finds no sense in the bytes.
    #[error("records cannot be unpacked")]
    Packed(#[source] io::Error),
    /// A record's fields do not fit its length, or records do not fill the batch.
    #[error("record {index} of a batch is malformed")]
    Malformed {
        /// Counted from 0.
        index: i32,
    },
}

/// One record, as a view into unpacked bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    attributes: u8,
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i32,
    pub(crate) key: Option<&'a [u8]>,
    /// Null: a tombstone.
    pub(crate) has_value: bool,
    /// Everything behind the timestamp, as it is.
    tail: &'a [u8],
}

/// The records of a whole batch, unpacked.
pub(crate) fn unpack<'a>(
    batch: &Batch,
    bytes: &'a [u8],
    bytes_max: usize,
) -> Result<Cow<'a, [u8]>, RecordsError> {
    let packed = bytes
        .get(BATCH_HEADER_BYTES..batch.bytes)
        .unwrap_or_default();
    let too_large = RecordsError::TooLarge { bytes_max };
    let limit = bytes_max as u64 + 1;
    let mut out = Vec::new();
    let read = match batch.codec() {
        0 => return Ok(Cow::Borrowed(packed)),
        1 => flate2::read::MultiGzDecoder::new(packed)
            .take(limit)
            .read_to_end(&mut out),
        2 => return unpack_snappy(packed, bytes_max).map(Cow::Owned),
        3 => lz4_flex::frame::FrameDecoder::new(packed)
            .take(limit)
            .read_to_end(&mut out),
        4 => zstd::stream::read::Decoder::with_buffer(packed).and_then(|mut decoder| {
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            decoder.take(limit).read_to_end(&mut out)
        }),
        _ => return Err(RecordsError::Packed(io::Error::other("unknown codec"))),
    };
    read.map_err(RecordsError::Packed)?;
    if out.len() > bytes_max {
        return Err(too_large);
    }
    Ok(Cow::Owned(out))
}

/// One raw block, or the framing of snappy-java around several.
fn unpack_snappy(packed: &[u8], bytes_max: usize) -> Result<Vec<u8>, RecordsError> {
    let broken = |error| RecordsError::Packed(io::Error::other(error));
    let mut out = Vec::new();
    let mut block = |bytes: &[u8]| {
        let length = snap::raw::decompress_len(bytes).map_err(broken)?;
        if length > bytes_max - out.len() {
            return Err(RecordsError::TooLarge { bytes_max });
        }
        let from = out.len();
        out.resize(from + length, 0);
        let written = snap::raw::Decoder::new().decompress(bytes, &mut out[from..]);
        written.map_err(broken).map(|_| ())
    };
    if !packed.starts_with(XERIAL_MAGIC) {
        block(packed)?;
        return Ok(out);
    }
    let cut = || RecordsError::Packed(io::ErrorKind::UnexpectedEof.into());
    let mut rest = packed.get(XERIAL_HEADER_BYTES..).ok_or_else(cut)?;
    while !rest.is_empty() {
        let (length, behind) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        let (bytes, behind) = behind
            .split_at_checked(u32::from_be_bytes(*length) as usize)
            .ok_or_else(cut)?;
        block(bytes)?;
        rest = behind;
    }
    Ok(out)
}

/// Packs records with the codec of a batch.
fn pack(codec: i16, records: &[u8]) -> io::Result<Vec<u8>> {
    match codec {
        1 => {
            let mut gzip =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            gzip.write_all(records)?;
            gzip.finish()
        }
        2 => snap::raw::Encoder::new()
            .compress_vec(records)
            .map_err(io::Error::other),
        3 => {
            let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
            lz4.write_all(records)?;
            lz4.finish().map_err(io::Error::other)
        }
        4 => zstd::stream::encode_all(records, 0),
        _ => Ok(records.to_vec()),
    }
}

/// Goes through unpacked records, `count` of them.
pub(crate) fn records(unpacked: &[u8], count: i32) -> Records<'_> {
    Records {
        rest: unpacked,
        index: 0,
        count,
    }
}

/// See [`records`]. Ends after the first error.
#[derive(Debug, Clone)]
pub(crate) struct Records<'a> {
    rest: &'a [u8],
    index: i32,
    count: i32,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.index >= self.count {
            return None;
        }
        let index = self.index;
        let Some((record, rest)) = take_record(self.rest) else {
            self.index = self.count;
            return Some(Err(RecordsError::Malformed { index }));
        };
        self.rest = rest;
        self.index += 1;
        if self.index == self.count && !rest.is_empty() {
            return Some(Err(RecordsError::Malformed { index }));
        }
        Some(Ok(record))
    }
}

fn take_record(mut bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let length = usize::try_from(batch::take_varint(&mut bytes)?).ok()?;
    let (mut fields, rest) = bytes.split_at_checked(length)?;
    let (&attributes, behind) = fields.split_first()?;
    fields = behind;
    let timestamp_delta = batch::take_varlong(&mut fields)?;
    let tail = fields;
    let offset_delta = batch::take_varint(&mut fields)?;
    let key = take_nullable(&mut fields)?;
    let has_value = take_nullable(&mut fields)?.is_some();
    let record = Record {
        attributes,
        timestamp_delta,
        offset_delta,
        key,
        has_value,
        tail,
    };
    Some((record, rest))
}

/// The outer `None`: malformed; the inner one: null.
#[expect(clippy::option_option, reason = "malformed and null are two things")]
fn take_nullable<'a>(fields: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = batch::take_varint(fields)?;
    if length == -1 {
        return Some(None);
    }
    let (bytes, rest) = fields.split_at_checked(usize::try_from(length).ok()?)?;
    *fields = rest;
    Some(Some(bytes))
}

/// Whether every record of a batch has a key.
pub(crate) fn all_keyed(batch: &Batch, bytes: &[u8]) -> Result<bool, RecordsError> {
    let unpacked = unpack(batch, bytes, UNPACKED_BYTES_MAX)?;
    for record in records(&unpacked, batch.records) {
        if record?.key.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Offset and timestamp of the first record from `from` on with at least `timestamp`.
pub(crate) fn find(bytes: &[u8], timestamp: i64, from: i64) -> Option<(i64, i64)> {
    let batch = Batch::parse(bytes)?;
    let unpacked = unpack(&batch, bytes, UNPACKED_BYTES_MAX).ok()?;
    for record in records(&unpacked, batch.records) {
        let record = record.ok()?;
        let time = if batch.is_log_append_time() {
            batch.max_timestamp
        } else {
            batch.base_timestamp.checked_add(record.timestamp_delta)?
        };
        let offset = batch.base_offset + i64::from(record.offset_delta);
        if time >= timestamp && offset >= from {
            return Some((offset, time));
        }
    }
    None
}

/// A batch of the same offsets with some of its records. With a `horizon` (milliseconds since 1970, KIP-534) the
/// header says when what is only kept for a while may go; times of records are then counted from it.
pub(crate) fn rebuild(
    header: &[u8],
    batch: &Batch,
    kept: &[Record<'_>],
    horizon: Option<i64>,
) -> io::Result<Bytes> {
    let base = horizon.unwrap_or(batch.base_timestamp);
    let moved = batch.base_timestamp.wrapping_sub(base);
    let mut section = Vec::new();
    let mut max_timestamp = -1;
    for record in kept {
        let delta = record.timestamp_delta.wrapping_add(moved);
        max_timestamp = max_timestamp.max(base.wrapping_add(delta));
        let mut body = Vec::with_capacity(record.tail.len() + 11);
        body.push(record.attributes);
        put_varlong(&mut body, delta);
        body.extend_from_slice(record.tail);
        put_varlong(&mut section, body.len() as i64);
        section.extend_from_slice(&body);
    }
    if batch.is_log_append_time() {
        max_timestamp = batch.max_timestamp;
    }
    let packed = pack(batch.codec(), &section)?;
    let header = header
        .get(..BATCH_HEADER_BYTES)
        .ok_or_else(|| io::Error::other("a batch without a header"))?;
    let mut out = BytesMut::with_capacity(BATCH_HEADER_BYTES + packed.len());
    out.put_slice(header);
    out.put_slice(&packed);
    let length = i32::try_from(out.len() - batch::BATCH_PREFIX_BYTES).map_err(io::Error::other)?;
    out[8..12].copy_from_slice(&length.to_be_bytes());
    let mut attributes = batch.attributes;
    if horizon.is_some() {
        attributes |= batch::ATTRIBUTE_DELETE_HORIZON;
    }
    out[21..23].copy_from_slice(&attributes.to_be_bytes());
    out[27..35].copy_from_slice(&base.to_be_bytes());
    out[35..43].copy_from_slice(&max_timestamp.to_be_bytes());
    let count = i32::try_from(kept.len()).map_err(io::Error::other)?;
    out[57..61].copy_from_slice(&count.to_be_bytes());
    batch::seal(&mut out);
    Ok(out.freeze())
}

/// A zig-zag varint.
fn put_varlong(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch of (key, value, time), packed with `codec`.
    fn packed(codec: i16, records: &[(Option<&str>, Option<&str>, i64)]) -> Bytes {
        let mut section = Vec::new();
        for (index, (key, value, time)) in records.iter().enumerate() {
            let mut body = vec![0];
            put_varlong(&mut body, *time);
            put_varlong(&mut body, index as i64);
            for field in [key, value] {
                put_varlong(&mut body, field.map_or(-1, |text| text.len() as i64));
                body.extend_from_slice(field.unwrap_or_default().as_bytes());
            }
            body.push(0);
            put_varlong(&mut section, body.len() as i64);
            section.extend_from_slice(&body);
        }
        let packed = pack(codec, &section).expect("packs");
        let mut out = vec![0; BATCH_HEADER_BYTES];
        out[16] = 2;
        out[21..23].copy_from_slice(&codec.to_be_bytes());
        out[23..27].copy_from_slice(&(records.len() as i32 - 1).to_be_bytes());
        out[43..51].copy_from_slice(&(-1_i64).to_be_bytes());
        out[57..61].copy_from_slice(&(records.len() as i32).to_be_bytes());
        out.extend_from_slice(&packed);
        let length = out.len() as i32 - 12;
        out[8..12].copy_from_slice(&length.to_be_bytes());
        batch::seal(&mut out);
        Bytes::from(out)
    }

    #[test]
    fn records_of_every_codec_are_read_and_written_anew() {
        let sent = [
            (Some("a"), Some("1"), 5),
            (None, Some("2"), 9),
            (Some("c"), None, 7),
        ];
        for codec in 0..=4 {
            let bytes = packed(codec, &sent);
            let batch = Batch::check(&bytes, 1 << 20).expect("a batch");
            let unpacked = unpack(&batch, &bytes, 1 << 20).expect("unpacks");
            let found: Vec<_> = records(&unpacked, 3)
                .map(|r| r.expect("a record"))
                .collect();
            assert_eq!(found[0].key, Some(&b"a"[..]));
            assert_eq!((found[1].key, found[2].has_value), (None, false));
            assert!(!all_keyed(&batch, &bytes).expect("read"));
            assert_eq!(find(&bytes, 6, 0), Some((1, 9)));
            assert_eq!(find(&bytes, 6, 2), Some((2, 7)));
            assert_eq!(find(&bytes, 10, 0), None);
            // Two of three, with times counted from a horizon.
            let kept = [found[0], found[2]];
            let fewer = rebuild(&bytes, &batch, &kept, Some(1_000)).expect("rebuilt");
            let batch = Batch::parse(&fewer).expect("a batch");
            assert_eq!(
                (batch.records, batch.last_offset_delta, batch.max_timestamp),
                (2, 2, 7)
            );
            assert_eq!(batch.delete_horizon(), Some(1_000));
            assert_eq!(find(&fewer, 7, 0), Some((2, 7)));
            assert_eq!(find(&fewer, 5, 0), Some((0, 5)));
            let crc = u32::from_be_bytes(fewer[17..21].try_into().expect("four"));
            assert_eq!(crc, crc32c::crc32c(&fewer[21..]));
        }
    }

    #[test]
    fn nothing_is_unpacked_beyond_the_limit() {
        let value = "x".repeat(100_000);
        for codec in 1..=4 {
            let bytes = packed(codec, &[(None, Some(&value), 0)]);
            let batch = Batch::parse(&bytes).expect("a batch");
            let size = unpack(&batch, &bytes, 1 << 20).expect("unpacks").len();
            assert_eq!(
                unpack(&batch, &bytes, size).expect("at the limit").len(),
                size
            );
            let refused = unpack(&batch, &bytes, size - 1);
            assert!(
                matches!(refused, Err(RecordsError::TooLarge { .. })),
                "{codec}: {refused:?}"
            );
        }
    }

    #[test]
    fn the_framing_of_snappy_java_is_read() {
        let mut bytes = XERIAL_MAGIC.to_vec();
        bytes.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
        for part in ["one ", "two"] {
            let block = pack(2, part.as_bytes()).expect("packs");
            bytes.extend_from_slice(&(block.len() as u32).to_be_bytes());
            bytes.extend_from_slice(&block);
        }
        assert_eq!(unpack_snappy(&bytes, 7).expect("unpacks"), b"one two");
        assert!(unpack_snappy(&bytes, 6).is_err());
        assert!(unpack_snappy(&bytes[..bytes.len() - 1], 7).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>, codec in 0_i16..6, count in -1_i32..9) {
            let mut all = vec![0; BATCH_HEADER_BYTES];
            all[16] = 2;
            all[21..23].copy_from_slice(&codec.to_be_bytes());
            all[57..61].copy_from_slice(&count.to_be_bytes());
            all.extend_from_slice(&bytes);
            let length = all.len() as i32 - 12;
            all[8..12].copy_from_slice(&length.to_be_bytes());
            let _ = find(&all, 0, 0);
            let batch = Batch::parse(&all).expect("a header");
            let _ = all_keyed(&batch, &all);
            let _ = records(&bytes, count).count();
        }
    }
}
