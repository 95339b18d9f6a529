//! Values as Cassandra has them, and back.

use scylla::deserialize::row::ColumnIterator;
use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::{CellOverflowError, CellWriter, RowWriter};
use types::{BusinessDay, Version};

use crate::rows::{Cell, CellKind, Row};

/// A row and where it belongs, as the values of an `INSERT`.
#[derive(Debug)]
pub(super) struct Bound<'a> {
    pub(super) row: &'a Row,
    pub(super) kinds: &'a [CellKind],
    pub(super) bucket: i32,
    pub(super) timestamp: i64,
    /// Seconds until it vanishes; 0 = never.
    pub(super) ttl: i32,
}

impl SerializeRow for Bound<'_> {
    /// In the order of [`super::schema::insert_cql`].
    fn serialize(
        &self,
        _: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        let row = self.row;
        let mut put = |bytes: &[u8]| set(writer.make_cell_writer(), Some(bytes));
        put(&date_number(row.day).to_be_bytes())?;
        put(&self.bucket.to_be_bytes())?;
        put(row.key.as_bytes())?;
        put(&row.version.generation.cast_signed().to_be_bytes())?;
        put(&row.version.sequence.cast_signed().to_be_bytes())?;
        put(&[u8::from(row.deleted)])?;
        put(&row.partition.to_be_bytes())?;
        put(&row.offset.to_be_bytes())?;
        for (cell, kind) in row.cells.iter().zip(self.kinds) {
            match kind {
                CellKind::Timestamp => put_instant(writer, cell)?,
                kind => put_cell(writer.make_cell_writer(), cell, *kind)?,
            }
        }
        set(
            writer.make_cell_writer(),
            Some(&self.timestamp.to_be_bytes()),
        )?;
        set(writer.make_cell_writer(), Some(&self.ttl.to_be_bytes()))
    }

    fn is_empty(&self) -> bool {
        false
    }
}

fn set(writer: CellWriter<'_>, bytes: Option<&[u8]>) -> Result<(), SerializationError> {
    match bytes {
        None => {
            writer.set_null();
            Ok(())
        }
        Some(bytes) => match writer.set_value(bytes) {
            Ok(_) => Ok(()),
            Err(CellOverflowError) => Err(SerializationError::new(CellOverflowError)),
        },
    }
}

/// What the column cannot hold is null: a row of an older definition, which had something else under the name. Its columns come
/// again with the generation of the new one.
fn put_cell(writer: CellWriter<'_>, cell: &Cell, kind: CellKind) -> Result<(), SerializationError> {
    let number;
    let text = match cell {
        Cell::Null => return set(writer, None),
        Cell::Int(whole) if kind == CellKind::Int => {
            return set(writer, Some(&whole.to_be_bytes()));
        }
        Cell::Int(whole) => {
            number = whole.to_string();
            &number
        }
        Cell::Text(text) => text,
    };
    match kind {
        CellKind::Text | CellKind::Timestamp => set(writer, Some(text.as_bytes())),
        CellKind::Date => match text.parse() {
            Ok(day) => set(writer, Some(&date_number(day).to_be_bytes())),
            Err(_) => set(writer, None),
        },
        CellKind::Int => match text.parse::<i64>() {
            Ok(whole) => set(writer, Some(&whole.to_be_bytes())),
            Err(_) => set(writer, None),
        },
        CellKind::Decimal => match decimal(text) {
            Some((bytes, start)) => set(writer, Some(&bytes[start..])),
            None => set(writer, None),
        },
    }
}

/// Milliseconds since 1970, and the microseconds within.
fn put_instant(writer: &mut RowWriter<'_>, cell: &Cell) -> Result<(), SerializationError> {
    let instant: Option<jiff::Timestamp> = match cell {
        Cell::Text(text) => text.parse().ok(),
        Cell::Null | Cell::Int(_) => None,
    };
    let Some(micros) = instant.map(jiff::Timestamp::as_microsecond) else {
        set(writer.make_cell_writer(), None)?;
        return set(writer.make_cell_writer(), None);
    };
    let millis = micros.div_euclid(MICROS);
    // Less than a thousand.
    let rest = i32::try_from(micros.rem_euclid(MICROS)).unwrap_or(0);
    set(writer.make_cell_writer(), Some(&millis.to_be_bytes()))?;
    set(writer.make_cell_writer(), Some(&rest.to_be_bytes()))
}

/// As results have it; `None` of one beyond what they can have.
fn instant_text(millis: i64, rest: i32) -> Option<String> {
    let micros = millis.checked_mul(MICROS)?.checked_add(i64::from(rest))?;
    let instant = jiff::Timestamp::from_microsecond(micros).ok()?;
    Some(instant.to_string())
}

/// Microseconds of a millisecond.
const MICROS: i64 = 1_000;

/// Days since 1970, with the centre at 2^31.
pub(super) fn date_number(day: BusinessDay) -> u32 {
    day.epoch_days().cast_unsigned() ^ (1 << 31)
}

pub(super) fn day_of(date: u32) -> Option<BusinessDay> {
    BusinessDay::from_epoch_days((date ^ (1 << 31)).cast_signed())
}

/// Scale and unscaled value, with as many digits behind the point as the text has. The bytes begin at the index.
fn decimal(text: &str) -> Option<([u8; 20], usize)> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || (fraction.is_empty() && digits.contains('.')) {
        return None;
    }
    let mut unscaled: i128 = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        let digit = byte.is_ascii_digit().then(|| byte - b'0')?;
        unscaled = unscaled
            .checked_mul(10)?
            .checked_add(sign * i128::from(digit))?;
    }
    let scale = i32::try_from(fraction.len()).ok()?;
    let bytes = unscaled.to_be_bytes();
    // As few bytes as keep the sign.
    let fill = if unscaled < 0 { 0xff } else { 0 };
    let mut first = 0;
    while first < bytes.len() - 1 && bytes[first] == fill && (bytes[first + 1] ^ fill) & 0x80 == 0 {
        first += 1;
    }
    let mut encoded = [0; 20];
    encoded[4..].copy_from_slice(&bytes);
    encoded[first..first + 4].copy_from_slice(&scale.to_be_bytes());
    Some((encoded, first))
}

/// The text of a decimal; `None` of one that no sink has written.
fn decimal_text(bytes: &[u8]) -> Option<String> {
    let (scale, unscaled) = bytes.split_first_chunk::<4>()?;
    let scale = usize::try_from(i32::from_be_bytes(*scale)).ok()?;
    let first = unscaled.first()?;
    if unscaled.len() > 16 || scale > 38 {
        return None;
    }
    let fill = if first & 0x80 == 0 { 0 } else { 0xff };
    let mut wide = [fill; 16];
    wide[16 - unscaled.len()..].copy_from_slice(unscaled);
    let value = i128::from_be_bytes(wide);
    let sign = if value < 0 { "-" } else { "" };
    let digits = value.unsigned_abs();
    if scale == 0 {
        return Some(format!("{sign}{digits}"));
    }
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    Some(format!("{sign}{whole}.{fraction}"))
}

/// Reads what [`super::schema::select_cql`] selects; of columns that are not there yet, which `kinds` has as `None`, nothing was
/// selected. `None` when a fixed column is not as a sink writes it.
pub(super) fn read_row(
    columns: ColumnIterator<'_, '_>,
    day: BusinessDay,
    kinds: &[Option<CellKind>],
) -> Option<Row> {
    let mut columns = columns.map(|column| column.ok()?.slice.map(|slice| slice.as_slice()));
    let mut fixed = || columns.next().flatten();
    let key = std::str::from_utf8(fixed()?).ok()?.to_owned();
    let generation = u32::try_from(int(fixed()?)?).ok()?;
    let sequence = u64::try_from(bigint(fixed()?)?).ok()?;
    let deleted = fixed()? != [0];
    let partition = int(fixed()?)?;
    let offset = bigint(fixed()?)?;
    let cells = kinds.iter().map(|kind| {
        let Some(kind) = kind else {
            return Cell::Null;
        };
        let found = columns.next().flatten();
        let cell = found.and_then(|bytes| match kind {
            CellKind::Text => Some(Cell::Text(std::str::from_utf8(bytes).ok()?.to_owned())),
            CellKind::Decimal => decimal_text(bytes).map(Cell::Text),
            CellKind::Int => bigint(bytes).map(Cell::Int),
            CellKind::Date => {
                let date = u32::from_be_bytes(bytes.try_into().ok()?);
                day_of(date).map(|day| Cell::Text(day.to_string()))
            }
            CellKind::Timestamp => {
                let rest = columns.next().flatten().and_then(int).unwrap_or(0);
                instant_text(bigint(bytes)?, rest).map(Cell::Text)
            }
        });
        if found.is_none() && *kind == CellKind::Timestamp {
            columns.next();
        }
        cell.unwrap_or(Cell::Null)
    });
    Some(Row {
        key,
        day,
        version: Version {
            generation,
            sequence,
        },
        deleted,
        partition,
        offset,
        cells: cells.collect(),
    })
}

fn int(bytes: &[u8]) -> Option<i32> {
    Some(i32::from_be_bytes(bytes.try_into().ok()?))
}

fn bigint(bytes: &[u8]) -> Option<i64> {
    Some(i64::from_be_bytes(bytes.try_into().ok()?))
}

/// Which part of its day a key belongs to: 32-bit FNV-1a of its bytes, modulo the number of parts. Others may compute it too.
pub(super) fn bucket(key: &str, buckets: u16) -> i32 {
    let hash = key.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    (hash % u32::from(buckets.max(1))).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_their_digits() {
        for text in [
            "0",
            "0.00",
            "12.50",
            "-12.50",
            "127",
            "128",
            "-128",
            "-129",
            "0.05",
            "-0.05",
            "255.5",
            "100000000000000000000000000000000000.99",
        ] {
            let (bytes, first) = decimal(text).expect(text);
            assert_eq!(decimal_text(&bytes[first..]).as_deref(), Some(text));
        }
        for (text, encoded) in [
            ("12.50", &[0, 0, 0, 2, 0x04, 0xe2][..]),
            ("-1", &[0, 0, 0, 0, 0xff]),
            ("128", &[0, 0, 0, 0, 0, 0x80]),
        ] {
            let (bytes, first) = decimal(text).expect(text);
            assert_eq!(&bytes[first..], encoded, "{text}");
        }
        for text in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "1e5",
            "+1",
            "ann",
            "1.2.3",
            &"9".repeat(40),
        ] {
            assert_eq!(decimal(text), None, "{text}");
        }
        assert_eq!(decimal_text(&[0, 0, 0]), None);
        assert_eq!(decimal_text(&[0xff, 0, 0, 0, 1]), None);
    }

    #[test]
    fn instants_keep_their_microseconds() {
        for text in [
            "2026-11-23T09:15:00Z",
            "2026-11-23T09:15:00.123456Z",
            "2026-11-23T09:15:00.000001Z",
            "1969-12-31T23:59:59.999999Z",
            "-000043-03-15T00:00:00.000999Z",
        ] {
            let instant: jiff::Timestamp = text.parse().expect(text);
            let micros = instant.as_microsecond();
            let (millis, rest) = (micros.div_euclid(MICROS), micros.rem_euclid(MICROS));
            let rest = i32::try_from(rest).expect("small");
            assert!((0..1_000).contains(&rest));
            assert_eq!(instant_text(millis, rest).as_deref(), Some(text));
        }
        assert_eq!(instant_text(i64::MAX, 0), None);
    }

    #[test]
    fn days_are_cassandras() {
        let day: BusinessDay = "1970-01-02".parse().expect("a day");
        assert_eq!(date_number(day), (1 << 31) + 1);
        for text in ["1970-01-01", "1969-12-31", "2026-11-23"] {
            let day: BusinessDay = text.parse().expect("a day");
            assert_eq!(day_of(date_number(day)), Some(day));
        }
    }

    #[test]
    fn keys_are_spread_evenly_and_as_documented() {
        // FNV's published test vectors.
        assert_eq!(bucket("", u16::MAX), (0x811c_9dc5_u32 % 65_535) as i32);
        assert_eq!(bucket("a", u16::MAX), (0xe40c_292c_u32 % 65_535) as i32);
        assert_eq!(
            bucket("foobar", u16::MAX),
            (0xbf9c_f968_u32 % 65_535) as i32
        );
        let mut sizes = [0; 64];
        for number in 0..64_000 {
            let key = format!("[\"2026-11-23\",\"account-{number:06}\",\"EUR\"]");
            sizes[usize::try_from(bucket(&key, 64)).expect("small")] += 1;
        }
        let bounds = (sizes.iter().min(), sizes.iter().max());
        assert!(
            sizes.iter().all(|size| (700..1_300).contains(size)),
            "{bounds:?}"
        );
    }
}
