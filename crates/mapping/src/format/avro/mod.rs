//! Avro: container files, and single data in the framings of message brokers.
//!
//! `schema` reads schemas, `datum` walks a datum, `text` reads numbers and makes texts. Source: Apache Avro
//! 1.12, "Object Container Files", "Single object encoding"; Confluent's wire format.
//!
//! Invariants: data is read with the schema that it was written with, and the mapping's paths are looked up
//! in it by name; what is inflated is bounded by `body_bytes_max`; nothing recurses.

mod datum;
mod schema;
mod text;

use std::io::Read as _;

use crate::record::Assembler;
use crate::refusal::{Refusal, rule, shown};

pub(crate) use schema::{Schema, Type, TypeId};

use datum::{Base, Reader};
use text::Input;

/// How data stand in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// An object container file, with its own schema.
    File,
    /// Single-object encoding: a mark and the schema's fingerprint in front of a datum.
    Single,
    /// A datum.
    Raw,
    /// Confluent's: a zero byte and a schema's number, which must be this one if it is known.
    Confluent(Option<u32>),
}

/// How the data of a source are read.
#[derive(Debug)]
pub(crate) struct AvroPlan {
    pub(crate) schema: Schema,
    pub(crate) fingerprint: u64,
    pub(crate) framing: Framing,
}

const FILE_MARK: &[u8] = b"Obj\x01";
const SINGLE_MARK: &[u8] = b"\xc3\x01";
const SYNC_BYTES: usize = 16;
/// Most entries of a container file's header.
const METADATA_MAX: u64 = 64;

/// Decodes a body.
pub(crate) fn decode(
    records: &mut Assembler<'_, '_>,
    plan: &AvroPlan,
    body: &[u8],
) -> Result<(), Refusal> {
    let mut input = Input::new(body);
    if body.is_empty() {
        return Ok(());
    }
    match plan.framing {
        Framing::File => return file(records, &mut input),
        Framing::Raw => {}
        Framing::Single => {
            let mark = input.take(SINGLE_MARK.len());
            let print = input.take(8).ok().and_then(|eight| eight.try_into().ok());
            let (Ok(SINGLE_MARK), Some(print)) = (mark, print) else {
                let detail = "a datum in single-object encoding begins with C3 01 and the eight bytes of its schema's fingerprint";
                return Err(records.refuse(0, None, rule::FRAMING, detail));
            };
            let print = u64::from_le_bytes(print);
            if print != plan.fingerprint {
                let detail = format!(
                    "the datum was written with the schema of the fingerprint {print:016x}, this source's has {:016x}",
                    plan.fingerprint
                );
                return Err(records.refuse(SINGLE_MARK.len(), None, rule::AVRO, detail));
            }
        }
        Framing::Confluent(known) => {
            let mark = input.take(1);
            let id = input.take(4).ok().and_then(|four| four.try_into().ok());
            let (Ok([0]), Some(id)) = (mark, id) else {
                let detail = "a datum in Confluent's framing begins with a zero byte and the four bytes of its schema's number";
                return Err(records.refuse(0, None, rule::FRAMING, detail));
            };
            let id = u32::from_be_bytes(id);
            if let Some(known) = known.filter(|known| *known != id) {
                let detail = format!(
                    "the datum was written with schema {id}, this source reads data of schema {known}"
                );
                return Err(records.refuse(1, None, rule::AVRO, detail));
            }
        }
    }
    let mut reader = Reader::new(&plan.schema);
    reader.expect(body.len());
    reader.datum(records, &mut input, Base::At(0))?;
    if input.left() > 0 {
        let detail = format!(
            "{} bytes follow behind the datum; is the schema the one it was written with?",
            input.left()
        );
        return Err(records.refuse(input.at, None, rule::AVRO, detail));
    }
    Ok(())
}

/// What a container file says of itself.
struct FileHeader {
    schema: Schema,
    is_deflated: bool,
    sync: [u8; SYNC_BYTES],
}

fn file(records: &mut Assembler<'_, '_>, input: &mut Input<'_>) -> Result<(), Refusal> {
    let header = header(input).map_err(|detail| {
        let at = input.at.min(input.bytes.len());
        records.refuse(at, None, rule::AVRO, detail)
    })?;
    let mut reader = Reader::new(&header.schema);
    let mut inflated = Vec::new();
    // All blocks together.
    let mut bytes_left = records.limits.body_bytes_max;
    while input.left() > 0 {
        let start = input.at;
        let framed = |records: &mut Assembler<'_, '_>, detail: &str| {
            records.refuse(start, None, rule::FRAMING, detail)
        };
        let count = input
            .long()
            .ok()
            .and_then(|count| u64::try_from(count).ok());
        let block = input.counted();
        let (Some(count), Ok(block)) = (count, block) else {
            return Err(framed(
                records,
                "the file ends inside of a block, or a block's length is wrong",
            ));
        };
        let end = input.at;
        if input.take(SYNC_BYTES).ok() != Some(&header.sync[..]) {
            let detail = "the 16 bytes behind a block are not those of the file's header: the file is cut off or damaged";
            return Err(framed(records, detail));
        }
        let base = if header.is_deflated {
            inflated.clear();
            let mut stream = flate2::read::DeflateDecoder::new(block).take(bytes_left as u64 + 1);
            if stream.read_to_end(&mut inflated).is_err() {
                return Err(framed(records, "a block cannot be inflated"));
            }
            Base::Within(start, end)
        } else {
            Base::At(end - block.len())
        };
        let data = if header.is_deflated { &inflated } else { block };
        bytes_left = bytes_left.checked_sub(data.len()).ok_or_else(|| {
            let detail = format!(
                "the file has more than {} bytes once it is inflated",
                records.limits.body_bytes_max
            );
            records.refuse(start, None, rule::BODY_BYTES, detail)
        })?;
        let mut data = Input::new(data);
        reader.expect(data.left());
        for _ in 0..count {
            reader.datum(records, &mut data, base)?;
        }
        if data.left() > 0 {
            return Err(framed(records, "a block has bytes behind its last datum"));
        }
    }
    Ok(())
}

/// Reads the header of a container file; the error says what is wrong with it.
fn header(input: &mut Input<'_>) -> Result<FileHeader, String> {
    if input.take(FILE_MARK.len()).ok() != Some(FILE_MARK) {
        return Err("an Avro container file begins with the four bytes \"Obj\" and 1".to_owned());
    }
    let (mut schema, mut codec) = (None, None);
    let mut entries = 0_u64;
    loop {
        let count = input.long()?;
        if count == 0 {
            break;
        }
        if count < 0 {
            input.long()?;
        }
        entries = entries.saturating_add(count.unsigned_abs());
        if entries > METADATA_MAX {
            return Err(format!("the header has more than {METADATA_MAX} entries"));
        }
        for _ in 0..count.unsigned_abs() {
            let (key, value) = (input.counted()?, input.counted()?);
            match key {
                b"avro.schema" => schema = Some(value),
                b"avro.codec" => codec = Some(value),
                _ => {}
            }
        }
    }
    let is_deflated = match codec {
        None | Some(b"null" | b"") => false,
        Some(b"deflate") => true,
        Some(other) => {
            let name = shown(&String::from_utf8_lossy(other));
            return Err(format!(
                "the file's codec is {name}; read are \"null\" and \"deflate\": ask the source for one of them"
            ));
        }
    };
    let schema = schema.ok_or("the header has no schema (avro.schema)")?;
    let sync = input.take(SYNC_BYTES)?;
    Ok(FileHeader {
        schema: Schema::parse(schema)?,
        is_deflated,
        sync: sync.try_into().map_err(|_| "the header ends too early")?,
    })
}
