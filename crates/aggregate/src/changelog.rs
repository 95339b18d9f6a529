//! The aggregation's own state as records of its changelog topic. Integers are little endian.
//!
//! ```text
//! key  `r` row key               value: version | day | sequence | partition | offset | visible | values
//! key  `v` length row key fold value   one of the different values of a count(DISTINCT), written once: a set that was written
//!                                whole with each batch would cost its size each time
//! key  `s` day partition offset  value: identities first seen in one batch, of one day
//! key  `c` day                   value: the five counts
//! key  `m` partition             value: stream clock
//! key  `d`                       value: fingerprint of the definition, generation
//! key  `g` partition             value: that the second stage has folded all parts that a partition of the input had at first
//! key  `w`                       value: offset up to which the input is read again after a change, and the first day counted anew
//! key  `o`                       value: transactional id of the process that writes here
//! ```
//!
//! A null value deletes. Rows are of version 2; of version 1, which had no HAVING, they are read as visible.

use sql::{Folded, Scalar};

use types::{Amount, BusinessDay, Counts, Micros};

use crate::classify::Seen;
use crate::engine::RowState;
use crate::record::Identity;

const VERSION: u8 = 1;
/// Of rows, and of parts of them.
const ROW_VERSION: u8 = 2;

/// A record of the changelog, decoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Row(Box<[u8]>, RowState),
    RowGone(Box<[u8]>),
    /// Of a row's count(DISTINCT): which of its folds, and the value.
    Value(Box<[u8]>, usize, Scalar),
    ValueGone(Box<[u8]>, usize, Scalar),
    Seen(Block, Vec<(Identity, Seen)>),
    SeenGone(Block),
    Counts(BusinessDay, Counts),
    Clock(i32, Micros),
    Definition(String, u32),
    Owner(String),
    Complete(i32),
    Rewind(Rewind),
    RewindGone,
    /// A deletion of something that holds no state in memory.
    Nothing,
}

/// Names a block of identities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) day: i32,
    pub(crate) offset: i64,
}

/// The input is being read again from the beginning of the kept days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rewind {
    /// Up to this offset it was read before.
    pub(crate) until: i64,
    /// Days before it are not counted anew.
    pub(crate) first_day: i32,
}

/// A changelog record that this program cannot have written.
#[derive(Debug, thiserror::Error)]
#[error("a changelog record with a key of {key_bytes} bytes is not understood")]
pub struct Foreign {
    key_bytes: usize,
}

pub(crate) fn row_key(key: &[u8]) -> Vec<u8> {
    [b"r", key].concat()
}

pub(crate) fn value_key(row: &[u8], fold: usize, value: &Scalar) -> Vec<u8> {
    let mut key = vec![b'v'];
    key.extend_from_slice(&(row.len() as u64).to_le_bytes());
    key.extend_from_slice(row);
    // A row has at most 255 values.
    key.push(u8::try_from(fold).unwrap_or(u8::MAX));
    encode_scalar(&mut key, Some(value));
    key
}

/// What stands at a [`value_key`]: it is there.
pub(crate) fn encode_value() -> Vec<u8> {
    vec![VERSION]
}

pub(crate) fn seen_key(day: i32, partition: i32, offset: i64) -> Vec<u8> {
    let mut key = vec![b's'];
    key.extend_from_slice(&day.to_le_bytes());
    key.extend_from_slice(&partition.to_le_bytes());
    key.extend_from_slice(&offset.to_le_bytes());
    key
}

pub(crate) fn counts_key(day: BusinessDay) -> Vec<u8> {
    [&b"c"[..], &day.epoch_days().to_le_bytes()].concat()
}

pub(crate) fn clock_key(partition: i32) -> Vec<u8> {
    [&b"m"[..], &partition.to_le_bytes()].concat()
}

pub(crate) fn definition_key() -> Vec<u8> {
    b"d".to_vec()
}

pub(crate) fn complete_key(partition: i32) -> Vec<u8> {
    [&b"g"[..], &partition.to_le_bytes()].concat()
}

/// A record of the topic of parts without a key: this partition of the input, of so many, has published all that it had at first.
pub(crate) fn encode_complete(partition: i32, partitions: i32) -> Vec<u8> {
    [partition.to_le_bytes(), partitions.to_le_bytes()].concat()
}

/// Reads it back; `None` of a part.
pub(crate) fn decode_complete(key: &[u8], value: &[u8]) -> Option<(i32, i32)> {
    let mut reader = Reader { rest: value };
    let both = (reader.i32()?, reader.i32()?);
    (key.is_empty() && reader.rest.is_empty()).then_some(both)
}

pub(crate) fn rewind_key() -> Vec<u8> {
    b"w".to_vec()
}

pub(crate) fn encode_rewind(rewind: &Rewind) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend_from_slice(&rewind.until.to_le_bytes());
    out.extend_from_slice(&rewind.first_day.to_le_bytes());
    out
}

pub(crate) fn owner_key() -> Vec<u8> {
    b"o".to_vec()
}

pub(crate) fn encode_owner(transactional_id: &str) -> Vec<u8> {
    [&[VERSION][..], transactional_id.as_bytes()].concat()
}

pub(crate) fn encode_definition(fingerprint: &str, generation: u32) -> Vec<u8> {
    [
        &[VERSION][..],
        &generation.to_le_bytes(),
        fingerprint.as_bytes(),
    ]
    .concat()
}

pub(crate) fn encode_clock(clock: Micros) -> Vec<u8> {
    [&[VERSION][..], &clock.to_le_bytes()].concat()
}

pub(crate) fn encode_counts(counts: &Counts) -> Vec<u8> {
    let mut out = vec![VERSION];
    let five = [
        counts.counted,
        counts.reversing,
        counts.duplicate,
        counts.late_corrected,
        counts.quarantined,
    ];
    five.iter()
        .for_each(|count| out.extend_from_slice(&count.to_le_bytes()));
    out
}

pub(crate) fn encode_seen(day: i32, seen: &[(Identity, u64)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(5 + seen.len() * 24);
    out.push(VERSION);
    out.extend_from_slice(&day.to_le_bytes());
    for ([low, high], content) in seen {
        for word in [low, high, content] {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }
    out
}

/// Different values are not in it: see [`value_key`].
pub(crate) fn encode_row(row: &RowState) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    encode_whole(&mut out, row, false);
    out
}

/// A row with its different values, for a table on disk.
pub(crate) fn encode_spilled(row: &RowState) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    encode_whole(&mut out, row, true);
    out
}

pub(crate) fn decode_spilled(value: &[u8]) -> Option<RowState> {
    let mut reader = Reader { rest: value };
    let version = reader.u8()?;
    let row = decode_row(&mut reader, version)?;
    reader.rest.is_empty().then_some(row)
}

fn encode_whole(out: &mut Vec<u8>, row: &RowState, with_different: bool) {
    out.push(ROW_VERSION);
    out.extend_from_slice(&row.day.epoch_days().to_le_bytes());
    out.extend_from_slice(&row.sequence.to_le_bytes());
    out.extend_from_slice(&row.partition.to_le_bytes());
    out.extend_from_slice(&row.offset.to_le_bytes());
    out.push(u8::from(row.visible));
    out.push(u8::try_from(row.values.len()).unwrap_or(u8::MAX));
    for value in &row.values {
        encode_folded(out, value, with_different);
    }
}

/// A record of the topic of parts: the stream clock of its partition, and what a batch adds to a row.
pub(crate) fn encode_part(clock: Micros, row: &RowState) -> Vec<u8> {
    let mut out = clock.to_le_bytes().to_vec();
    encode_whole(&mut out, row, true);
    out
}

pub(crate) fn decode_part(value: &[u8]) -> Option<(Micros, RowState)> {
    let mut reader = Reader { rest: value };
    let clock = reader.i64()?;
    let version = reader.u8()?;
    let row = decode_row(&mut reader, version)?;
    reader.rest.is_empty().then_some((clock, row))
}

fn encode_folded(out: &mut Vec<u8>, value: &Folded, with_different: bool) {
    match value {
        Folded::Count(count) => {
            out.push(0);
            out.extend_from_slice(&count.to_le_bytes());
        }
        Folded::Sum(sum) => {
            out.push(1);
            encode_amount(out, *sum);
        }
        Folded::SumInt(sum) => {
            out.push(2);
            out.push(u8::from(sum.is_some()));
            out.extend_from_slice(&sum.unwrap_or_default().to_le_bytes());
        }
        Folded::Min(scalar) => {
            out.push(3);
            encode_scalar(out, scalar.as_ref());
        }
        Folded::Max(scalar) => {
            out.push(4);
            encode_scalar(out, scalar.as_ref());
        }
        Folded::Avg(sum, count) => {
            out.push(5);
            encode_amount(out, *sum);
            out.extend_from_slice(&count.to_le_bytes());
        }
        Folded::Distinct(values) => {
            out.push(6);
            let written = if with_different { values.len() } else { 0 };
            out.extend_from_slice(&(written as u64).to_le_bytes());
            for value in values.iter().take(written) {
                encode_scalar(out, Some(value));
            }
        }
    }
}

fn encode_amount(out: &mut Vec<u8>, amount: Option<Amount>) {
    out.push(u8::from(amount.is_some()));
    out.extend_from_slice(&amount.unwrap_or_default().units().to_le_bytes());
}

fn encode_scalar(out: &mut Vec<u8>, scalar: Option<&Scalar>) {
    match scalar {
        None => out.push(0),
        Some(Scalar::Decimal(amount)) => {
            out.push(1);
            out.extend_from_slice(&amount.units().to_le_bytes());
        }
        Some(Scalar::Int(number)) => {
            out.push(2);
            out.extend_from_slice(&number.to_le_bytes());
        }
        Some(Scalar::Date(days)) => {
            out.push(3);
            out.extend_from_slice(&days.to_le_bytes());
        }
        Some(Scalar::Timestamp(micros)) => {
            out.push(4);
            out.extend_from_slice(&micros.to_le_bytes());
        }
        Some(Scalar::Text(text)) => {
            out.push(5);
            out.extend_from_slice(&(text.len() as u64).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// Reads a changelog record back.
pub(crate) fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Entry, Foreign> {
    let foreign = Foreign {
        key_bytes: key.len(),
    };
    decode_entry(key, value).ok_or(foreign)
}

fn decode_entry(key: &[u8], value: Option<&[u8]>) -> Option<Entry> {
    let (kind, key) = key.split_first()?;
    let Some(value) = value else {
        return Some(match kind {
            b'r' => Entry::RowGone(key.into()),
            b's' => Entry::SeenGone(decode_block(key)?),
            b'w' => Entry::RewindGone,
            b'v' => {
                let (row, fold, value) = decode_value_key(key)?;
                Entry::ValueGone(row, fold, value)
            }
            _ => Entry::Nothing,
        });
    };
    let mut reader = Reader { rest: value };
    let version = reader.u8()?;
    if version != VERSION && *kind != b'r' {
        return None;
    }
    let day =
        |bytes: &[u8]| BusinessDay::from_epoch_days(i32::from_le_bytes(bytes.try_into().ok()?));
    let entry = match kind {
        b'r' => Entry::Row(key.into(), decode_row(&mut reader, version)?),
        b'v' => {
            let (row, fold, value) = decode_value_key(key)?;
            Entry::Value(row, fold, value)
        }
        b's' => Entry::Seen(decode_block(key)?, decode_seen(&mut reader)?),
        b'c' => {
            let counts = Counts {
                counted: reader.u64()?,
                reversing: reader.u64()?,
                duplicate: reader.u64()?,
                late_corrected: reader.u64()?,
                quarantined: reader.u64()?,
            };
            Entry::Counts(day(key)?, counts)
        }
        b'm' => Entry::Clock(i32::from_le_bytes(key.try_into().ok()?), reader.i64()?),
        b'g' => Entry::Complete(i32::from_le_bytes(key.try_into().ok()?)),
        b'd' => {
            let generation = reader.u32()?;
            let text = std::str::from_utf8(std::mem::take(&mut reader.rest)).ok()?;
            Entry::Definition(text.to_owned(), generation)
        }
        b'w' => Entry::Rewind(Rewind {
            until: reader.i64()?,
            first_day: reader.i32()?,
        }),
        b'o' => {
            let text = std::str::from_utf8(std::mem::take(&mut reader.rest)).ok()?;
            Entry::Owner(text.to_owned())
        }
        _ => return None,
    };
    reader.rest.is_empty().then_some(entry)
}

/// Of the key of a block; the partition in it is that of the changelog.
fn decode_block(key: &[u8]) -> Option<Block> {
    let mut reader = Reader { rest: key };
    let day = reader.i32()?;
    reader.i32()?;
    let offset = reader.i64()?;
    reader.rest.is_empty().then_some(Block { day, offset })
}

fn decode_value_key(key: &[u8]) -> Option<(Box<[u8]>, usize, Scalar)> {
    let mut reader = Reader { rest: key };
    let length = usize::try_from(reader.u64()?).ok()?;
    let (row, rest) = reader.rest.split_at_checked(length)?;
    reader.rest = rest;
    let fold = usize::from(reader.u8()?);
    let value = reader.scalar()??;
    reader.rest.is_empty().then_some((row.into(), fold, value))
}

fn decode_seen(reader: &mut Reader<'_>) -> Option<Vec<(Identity, Seen)>> {
    let day = reader.i32()?;
    let mut seen = Vec::with_capacity(reader.rest.len() / 24);
    while !reader.rest.is_empty() {
        let identity = [reader.u64()?, reader.u64()?];
        let content = reader.u64()?;
        seen.push((identity, Seen { content, day }));
    }
    Some(seen)
}

fn decode_row(reader: &mut Reader<'_>, version: u8) -> Option<RowState> {
    if !(VERSION..=ROW_VERSION).contains(&version) {
        return None;
    }
    let day = BusinessDay::from_epoch_days(reader.i32()?)?;
    let (sequence, partition, offset) = (reader.u64()?, reader.i32()?, reader.i64()?);
    let visible = match version {
        VERSION => true,
        _ => match reader.u8()? {
            0 => false,
            1 => true,
            _ => return None,
        },
    };
    let count = reader.u8()?;
    let values = (0..count)
        .map(|_| decode_folded(reader))
        .collect::<Option<_>>()?;
    Some(RowState {
        day,
        sequence,
        partition,
        offset,
        visible,
        recent: false,
        values,
    })
}

fn decode_folded(reader: &mut Reader<'_>) -> Option<Folded> {
    Some(match reader.u8()? {
        0 => Folded::Count(reader.i64()?),
        1 => Folded::Sum(reader.amount()?),
        2 => {
            let present = reader.u8()? == 1;
            let number = reader.i64()?;
            Folded::SumInt(present.then_some(number))
        }
        3 => Folded::Min(reader.scalar()?),
        4 => Folded::Max(reader.scalar()?),
        5 => Folded::Avg(reader.amount()?, reader.i64()?),
        6 => {
            let count = reader.u64()?;
            let values = (0..count).map(|_| reader.scalar()?);
            Folded::Distinct(values.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*array)
    }
    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }
    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }
    fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_le_bytes)
    }
    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }
    fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }
    fn amount(&mut self) -> Option<Option<Amount>> {
        let present = self.u8()? == 1;
        let amount = Amount::from_units(self.u128()?.cast_signed())?;
        Some(present.then_some(amount))
    }
    fn scalar(&mut self) -> Option<Option<Scalar>> {
        Some(Some(match self.u8()? {
            0 => return Some(None),
            1 => Scalar::Decimal(Amount::from_units(self.u128()?.cast_signed())?),
            2 => Scalar::Int(self.i64()?),
            3 => Scalar::Date(self.i32()?),
            4 => Scalar::Timestamp(self.i64()?),
            5 => {
                let length = usize::try_from(self.u64()?).ok()?;
                let (text, rest) = self.rest.split_at_checked(length)?;
                self.rest = rest;
                Scalar::Text(std::str::from_utf8(text).ok()?.into())
            }
            _ => return None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_comes_back_and_cut_ones_are_refused() {
        let day = BusinessDay::from_epoch_days(20_000).expect("a day");
        let amount = Amount::parse("-12.5").expect("an amount");
        let row = RowState {
            day,
            sequence: 7,
            partition: 3,
            offset: 99,
            visible: false,
            recent: false,
            values: vec![
                Folded::Count(2),
                Folded::Sum(Some(amount)),
                Folded::SumInt(None),
                Folded::Min(Some(Scalar::Text("a".into()))),
                Folded::Max(Some(Scalar::Timestamp(-1))),
                Folded::Avg(None, 0),
                Folded::Distinct([Scalar::Int(3), Scalar::Text("b".into())].into()),
            ],
        };
        let again = row.clone();
        let mut row = row;
        row.values.pop();
        row.values.push(Folded::Distinct([].into()));
        let counts = Counts {
            counted: 1,
            reversing: 2,
            duplicate: 3,
            late_corrected: 4,
            quarantined: 5,
        };
        let seen = Seen {
            content: 8,
            day: 20_000,
        };
        let entries = [
            (
                row_key(b"[1]"),
                encode_row(&row),
                Entry::Row(b"[1]"[..].into(), row),
            ),
            (
                seen_key(20_000, 1, 2),
                encode_seen(20_000, &[([5, 6], 8)]),
                Entry::Seen(
                    Block {
                        day: 20_000,
                        offset: 2,
                    },
                    vec![([5, 6], seen)],
                ),
            ),
            (
                counts_key(day),
                encode_counts(&counts),
                Entry::Counts(day, counts),
            ),
            (clock_key(4), encode_clock(-9), Entry::Clock(4, -9)),
            (
                owner_key(),
                encode_owner("a-1"),
                Entry::Owner("a-1".to_owned()),
            ),
        ];
        for (key, value, expected) in entries {
            for cut in 0..value.len() {
                let decoded = decode(&key, Some(&value[..cut]));
                assert!(
                    !matches!(decoded, Ok(ref entry) if *entry == expected),
                    "cut at {cut}"
                );
            }
            assert_eq!(decode(&key, Some(&value)).expect("whole"), expected);
        }
        let part = encode_part(-7, &again);
        assert_eq!(decode_part(&part), Some((-7, again)));
        for cut in 0..part.len() {
            assert_eq!(decode_part(&part[..cut]), None, "cut at {cut}");
        }
        let complete = encode_complete(3, 4);
        assert_eq!(decode_complete(b"", &complete), Some((3, 4)));
        assert_eq!(decode_complete(b"[1]", &complete), None);
        for cut in 0..complete.len() {
            assert_eq!(decode_complete(b"", &complete[..cut]), None, "cut at {cut}");
        }
        assert_eq!(
            decode(&complete_key(3), Some(&encode_value())).expect("whole"),
            Entry::Complete(3)
        );
        let value = Scalar::Text("x".into());
        let key = value_key(b"[1]", 6, &value);
        assert_eq!(
            decode(&key, Some(&encode_value())).expect("whole"),
            Entry::Value(b"[1]"[..].into(), 6, value.clone())
        );
        assert_eq!(
            decode(&key, None).expect("whole"),
            Entry::ValueGone(b"[1]"[..].into(), 6, value)
        );
        for cut in 1..key.len() {
            assert!(decode(&key[..cut], None).is_err(), "cut at {cut}");
        }
        let definition = encode_definition("abc", 3);
        assert_eq!(
            decode(&definition_key(), Some(&definition)).expect("whole"),
            Entry::Definition("abc".to_owned(), 3)
        );
        assert_eq!(
            decode(b"rk", None).expect("whole"),
            Entry::RowGone(b"k"[..].into())
        );
    }

    /// As the version before HAVING wrote it.
    #[test]
    fn an_older_row_is_read_as_visible_and_a_newer_one_refused() {
        let mut row = RowState {
            day: BusinessDay::EPOCH,
            sequence: 7,
            partition: 3,
            offset: 99,
            visible: true,
            recent: false,
            values: vec![Folded::Count(2)],
        };
        let mut older = encode_row(&row);
        older[0] = 1;
        older.remove(25);
        let entry = Entry::Row(b"[1]"[..].into(), row.clone());
        assert_eq!(
            decode(&row_key(b"[1]"), Some(&older)).expect("older"),
            entry
        );
        row.visible = false;
        let mut newer = encode_row(&row);
        newer[0] = ROW_VERSION + 1;
        assert!(decode(&row_key(b"[1]"), Some(&newer)).is_err());
    }
}
