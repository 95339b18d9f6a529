//! What goes to the log. Every record begins with a version and a kind; integers are little endian.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use segment_log::ReplayError;
use types::Tally;

use crate::ledger::{Declared, LedgerCopy, LedgerLine};
use crate::message::{Message, MsgId, Properties};

const VERSION: u8 = 2;
const KIND_COMMIT: u8 = 1;
const KIND_BACKOUT: u8 = 2;
const KIND_CARRY: u8 = 3;
const KIND_LEDGER: u8 = 4;

/// A message and the number of its queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) queue: Arc<str>,
    pub(crate) message: Message,
}

/// One log record, decoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// Puts become visible, gets are gone, and the ledger counts both.
    Commit {
        puts: Vec<Placed>,
        gets: Vec<(Arc<str>, u64)>,
        declared: Vec<Declared>,
    },
    /// Messages that are known, written anew by the reclaiming of space.
    Carry { puts: Vec<Placed> },
    /// The whole ledger as all records before this one make it.
    Ledger(LedgerCopy),
    /// Backout counts after a backout.
    Backout { counts: Vec<(Arc<str>, u64, u32)> },
}

/// Writes a commit.
pub(crate) fn encode_commit(
    puts: &[Placed],
    gets: &[(Arc<str>, u64)],
    declared: &[Declared],
) -> Vec<u8> {
    let bytes: usize = puts.iter().map(|put| put.message.body.len() + 96).sum();
    let mut out = Vec::with_capacity(bytes + gets.len() * 10 + 128);
    out.extend_from_slice(&[VERSION, KIND_COMMIT]);
    put_messages(&mut out, puts);
    let gets_by_queue = gets.chunk_by(|a, b| a.0 == b.0);
    put_u32(&mut out, gets_by_queue.clone().count());
    for run in gets_by_queue {
        let Some((queue, _)) = run.first() else {
            continue;
        };
        put_text(&mut out, queue);
        put_u32(&mut out, run.len());
        for (_, sequence) in run {
            out.extend_from_slice(&sequence.to_le_bytes());
        }
    }
    put_u32(&mut out, declared.len());
    for part in declared {
        put_text(&mut out, &part.queue);
        put_text(&mut out, &part.source);
        out.extend_from_slice(&part.minute.to_le_bytes());
        put_tally(&mut out, &part.tally);
    }
    out
}

/// Writes messages anew.
pub(crate) fn encode_carry(puts: &[Placed]) -> Vec<u8> {
    let mut out = vec![VERSION, KIND_CARRY];
    put_messages(&mut out, puts);
    out
}

/// Writes the ledger.
pub(crate) fn encode_ledger(ledger: &LedgerCopy) -> Vec<u8> {
    let mut out = vec![VERSION, KIND_LEDGER];
    put_minute(&mut out, ledger.folded_until);
    put_u32(&mut out, ledger.lines.len());
    for line in &ledger.lines {
        put_text(&mut out, &line.queue);
        put_text(&mut out, &line.source);
        put_minute(&mut out, line.minute);
        for tally in [&line.declared, &line.put, &line.got] {
            put_tally(&mut out, tally);
        }
    }
    out
}

/// Consecutive messages that share queue and properties are stored as one run.
fn put_messages(out: &mut Vec<u8>, puts: &[Placed]) {
    let runs = puts.chunk_by(|a, b| {
        let (left, right) = (&a.message.properties.shared, &b.message.properties.shared);
        a.queue == b.queue && Arc::ptr_eq(left, right)
    });
    put_u32(out, runs.clone().count());
    for run in runs {
        let Some(first) = run.first() else { continue };
        put_text(out, &first.queue);
        put_u32(out, first.message.properties.shared.len());
        for (name, value) in first.message.properties.shared.iter() {
            put_text(out, name);
            put_text(out, value);
        }
        put_u32(out, run.len());
        for put in run {
            let message = &put.message;
            out.extend_from_slice(&message.sequence.to_le_bytes());
            out.extend_from_slice(&message.put_time.to_le_bytes());
            out.push(message.priority);
            out.extend_from_slice(&message.backout_count.to_le_bytes());
            put_bytes(out, &message.properties.id);
            put_bytes(out, &message.body);
        }
    }
}

/// Writes the backout counts of messages that returned to their queue.
pub(crate) fn encode_backout(counts: &[(Arc<str>, u64, u32)]) -> Vec<u8> {
    let mut out = vec![VERSION, KIND_BACKOUT];
    put_u32(&mut out, counts.len());
    for (queue, sequence, count) in counts {
        put_text(&mut out, queue);
        out.extend_from_slice(&sequence.to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
    }
    out
}

fn put_u32(out: &mut Vec<u8>, value: usize) {
    // Lengths are bounded by the limits of a unit of work, far below 2^32.
    out.extend_from_slice(&(value as u32).to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

fn put_minute(out: &mut Vec<u8>, minute: Option<i64>) {
    out.push(u8::from(minute.is_some()));
    out.extend_from_slice(&minute.unwrap_or(0).to_le_bytes());
}

fn put_tally(out: &mut Vec<u8>, tally: &Tally) {
    out.extend_from_slice(&tally.count.to_le_bytes());
    out.extend_from_slice(&tally.units.to_le_bytes());
    out.extend_from_slice(&tally.ids.to_le_bytes());
}

/// Reads a record back. Bodies share `record`'s memory.
pub(crate) fn decode(record: Bytes, queue_manager: &str) -> Result<Record, ReplayError> {
    let mut reader = Reader { rest: record };
    let (version, kind) = (reader.byte()?, reader.byte()?);
    if version != VERSION {
        return Err(ReplayError::new(format!(
            "record version {version}, this program reads {VERSION} only: use the program that wrote it"
        )));
    }
    match kind {
        KIND_COMMIT => decode_commit(&mut reader, queue_manager),
        KIND_BACKOUT => decode_backout(&mut reader),
        KIND_CARRY => Ok(Record::Carry {
            puts: reader.messages(queue_manager)?,
        }),
        KIND_LEDGER => decode_ledger(&mut reader),
        other => Err(ReplayError::new(format!("record kind {other} is unknown"))),
    }
}

fn decode_commit(reader: &mut Reader, queue_manager: &str) -> Result<Record, ReplayError> {
    let puts = reader.messages(queue_manager)?;
    let mut gets = Vec::new();
    for _ in 0..reader.u32()? {
        let queue = reader.shared_text()?;
        for _ in 0..reader.u32()? {
            gets.push((Arc::clone(&queue), reader.u64()?));
        }
    }
    let mut declared = Vec::new();
    for _ in 0..reader.u32()? {
        declared.push(Declared {
            queue: reader.shared_text()?,
            source: reader.shared_text()?,
            minute: reader.u64()?.cast_signed(),
            tally: reader.tally()?,
        });
    }
    Ok(Record::Commit {
        puts,
        gets,
        declared,
    })
}

fn decode_ledger(reader: &mut Reader) -> Result<Record, ReplayError> {
    let folded_until = reader.minute()?;
    let mut lines = Vec::new();
    for _ in 0..reader.u32()? {
        lines.push(LedgerLine {
            queue: reader.shared_text()?,
            source: reader.shared_text()?,
            minute: reader.minute()?,
            declared: reader.tally()?,
            put: reader.tally()?,
            got: reader.tally()?,
        });
    }
    Ok(Record::Ledger(LedgerCopy {
        lines,
        folded_until,
    }))
}

fn decode_backout(reader: &mut Reader) -> Result<Record, ReplayError> {
    let mut counts = Vec::new();
    for _ in 0..reader.u32()? {
        counts.push((reader.shared_text()?, reader.u64()?, reader.u32()?));
    }
    Ok(Record::Backout { counts })
}

struct Reader {
    rest: Bytes,
}

impl Reader {
    fn need(&self, bytes: usize) -> Result<(), ReplayError> {
        if self.rest.len() < bytes {
            return Err(ReplayError::new("the record ends too early"));
        }
        Ok(())
    }
    fn byte(&mut self) -> Result<u8, ReplayError> {
        self.need(1)?;
        Ok(self.rest.get_u8())
    }
    fn u32(&mut self) -> Result<u32, ReplayError> {
        self.need(4)?;
        Ok(self.rest.get_u32_le())
    }
    fn u64(&mut self) -> Result<u64, ReplayError> {
        self.need(8)?;
        Ok(self.rest.get_u64_le())
    }
    fn bytes(&mut self) -> Result<Bytes, ReplayError> {
        let length = self.u32()? as usize;
        self.need(length)?;
        Ok(self.rest.split_to(length))
    }
    fn text(&mut self) -> Result<String, ReplayError> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(ReplayError::new)
    }
    fn shared_text(&mut self) -> Result<Arc<str>, ReplayError> {
        Ok(self.text()?.into())
    }
    fn minute(&mut self) -> Result<Option<i64>, ReplayError> {
        let (known, minute) = (self.byte()? != 0, self.u64()?.cast_signed());
        Ok(known.then_some(minute))
    }
    fn tally(&mut self) -> Result<Tally, ReplayError> {
        let count = self.u64()?;
        self.need(16)?;
        Ok(Tally {
            count,
            units: self.rest.get_i128_le(),
            ids: self.u64()?,
        })
    }
    fn messages(&mut self, queue_manager: &str) -> Result<Vec<Placed>, ReplayError> {
        let mut puts = Vec::new();
        for _ in 0..self.u32()? {
            let queue = self.shared_text()?;
            let mut shared = Vec::new();
            for _ in 0..self.u32()? {
                shared.push((self.text()?, self.text()?));
            }
            let shared = Arc::new(shared);
            for _ in 0..self.u32()? {
                let sequence = self.u64()?;
                let message = Message {
                    msg_id: MsgId::new(queue_manager, sequence),
                    sequence,
                    put_time: self.u64()?.cast_signed(),
                    priority: self.byte()?,
                    backout_count: self.u32()?,
                    properties: Properties {
                        shared: Arc::clone(&shared),
                        id: self.bytes()?,
                        key: Bytes::new(),
                    },
                    body: self.bytes()?,
                };
                puts.push(Placed {
                    queue: Arc::clone(&queue),
                    message,
                });
            }
        }
        Ok(puts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_and_a_cut_one_is_refused() {
        let shared = Arc::new(vec![("source".to_owned(), "json".to_owned())]);
        let put = |sequence| Placed {
            queue: "Q".into(),
            message: Message {
                msg_id: MsgId::new("DAYBOOK", sequence),
                sequence,
                put_time: -5,
                priority: 3,
                backout_count: 2,
                properties: Properties {
                    shared: Arc::clone(&shared),
                    id: Bytes::from_static(b"t1"),
                    key: Bytes::new(),
                },
                body: Bytes::from_static(b"{}"),
            },
        };
        let tally = |count| Tally {
            count,
            units: -7,
            ids: u64::MAX,
        };
        let line = |minute| LedgerLine {
            queue: "Q".into(),
            source: "json".into(),
            minute,
            declared: tally(3),
            put: tally(2),
            got: tally(1),
        };
        let records = [
            Record::Commit {
                puts: vec![put(1), put(2)],
                gets: vec![("Q".into(), 7), ("Q".into(), 8), ("R".into(), 9)],
                declared: vec![Declared {
                    queue: "Q".into(),
                    source: "json".into(),
                    minute: -1,
                    tally: tally(2),
                }],
            },
            Record::Carry {
                puts: vec![put(1), put(2)],
            },
            Record::Backout {
                counts: vec![("Q".into(), 4, 2)],
            },
            Record::Ledger(LedgerCopy {
                lines: vec![line(None), line(Some(29))],
                folded_until: Some(28),
            }),
        ];
        for record in records {
            let bytes = Bytes::from(match &record {
                Record::Commit {
                    puts,
                    gets,
                    declared,
                } => encode_commit(puts, gets, declared),
                Record::Carry { puts } => encode_carry(puts),
                Record::Backout { counts } => encode_backout(counts),
                Record::Ledger(ledger) => encode_ledger(ledger),
            });
            for cut in 0..bytes.len() {
                let error = decode(bytes.slice(..cut), "DAYBOOK");
                assert!(error.is_err(), "cut at {cut}");
            }
            assert_eq!(decode(bytes, "DAYBOOK").expect("whole"), record);
        }
    }
}
