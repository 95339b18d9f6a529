//! What goes to the log. Every record begins with a version and a kind; integers are little endian.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use segment_log::ReplayError;

use crate::message::{Message, MsgId, Properties};

const VERSION: u8 = 1;
const KIND_COMMIT: u8 = 1;
const KIND_BACKOUT: u8 = 2;

/// A message and the number of its queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) queue: Arc<str>,
    pub(crate) message: Message,
}

/// One log record, decoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// Puts become visible, gets are gone. A put with a known sequence replaces itself: that is
    /// how reclaiming carries messages forward.
    Commit {
        puts: Vec<Placed>,
        gets: Vec<(Arc<str>, u64)>,
    },
    /// Backout counts after a backout.
    Backout { counts: Vec<(Arc<str>, u64, u32)> },
}

/// Writes a commit. Consecutive puts that share queue and properties are stored as one run.
pub(crate) fn encode_commit(puts: &[Placed], gets: &[(Arc<str>, u64)]) -> Vec<u8> {
    let bytes: usize = puts.iter().map(|put| put.message.body.len() + 96).sum();
    let mut out = Vec::with_capacity(bytes + gets.len() * 10 + 64);
    out.extend_from_slice(&[VERSION, KIND_COMMIT]);
    let runs = puts.chunk_by(|a, b| {
        let (left, right) = (&a.message.properties.shared, &b.message.properties.shared);
        a.queue == b.queue && Arc::ptr_eq(left, right)
    });
    put_u32(&mut out, runs.clone().count());
    for run in runs {
        let Some(first) = run.first() else { continue };
        put_text(&mut out, &first.queue);
        put_u32(&mut out, first.message.properties.shared.len());
        for (name, value) in first.message.properties.shared.iter() {
            put_text(&mut out, name);
            put_text(&mut out, value);
        }
        put_u32(&mut out, run.len());
        for put in run {
            let message = &put.message;
            out.extend_from_slice(&message.sequence.to_le_bytes());
            out.extend_from_slice(&message.put_time.to_le_bytes());
            out.push(message.priority);
            out.extend_from_slice(&message.backout_count.to_le_bytes());
            put_bytes(&mut out, &message.properties.id);
            put_bytes(&mut out, &message.body);
        }
    }
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
    out
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

/// Reads a record back. Bodies share `record`'s memory.
pub(crate) fn decode(record: Bytes, queue_manager: &str) -> Result<Record, ReplayError> {
    let mut reader = Reader { rest: record };
    let (version, kind) = (reader.byte()?, reader.byte()?);
    if version != VERSION {
        return Err(ReplayError::new(format!(
            "record version {version} is newer than this program, which knows {VERSION}"
        )));
    }
    match kind {
        KIND_COMMIT => decode_commit(&mut reader, queue_manager),
        KIND_BACKOUT => decode_backout(&mut reader),
        other => Err(ReplayError::new(format!("record kind {other} is unknown"))),
    }
}

fn decode_commit(reader: &mut Reader, queue_manager: &str) -> Result<Record, ReplayError> {
    let mut puts = Vec::new();
    for _ in 0..reader.u32()? {
        let queue: Arc<str> = reader.text()?.into();
        let mut shared = Vec::new();
        for _ in 0..reader.u32()? {
            shared.push((reader.text()?, reader.text()?));
        }
        let shared = Arc::new(shared);
        for _ in 0..reader.u32()? {
            let sequence = reader.u64()?;
            let message = Message {
                msg_id: MsgId::new(queue_manager, sequence),
                sequence,
                put_time: reader.u64()?.cast_signed(),
                priority: reader.byte()?,
                backout_count: reader.u32()?,
                properties: Properties {
                    shared: Arc::clone(&shared),
                    id: reader.bytes()?,
                    key: Bytes::new(),
                },
                body: reader.bytes()?,
            };
            puts.push(Placed {
                queue: Arc::clone(&queue),
                message,
            });
        }
    }
    let mut gets = Vec::new();
    for _ in 0..reader.u32()? {
        let queue: Arc<str> = reader.text()?.into();
        for _ in 0..reader.u32()? {
            gets.push((Arc::clone(&queue), reader.u64()?));
        }
    }
    Ok(Record::Commit { puts, gets })
}

fn decode_backout(reader: &mut Reader) -> Result<Record, ReplayError> {
    let mut counts = Vec::new();
    for _ in 0..reader.u32()? {
        counts.push((reader.text()?.into(), reader.u64()?, reader.u32()?));
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
        let puts = vec![put(1), put(2)];
        let gets = vec![("Q".into(), 7), ("Q".into(), 8), ("R".into(), 9)];
        let bytes = Bytes::from(encode_commit(&puts, &gets));
        for cut in 0..bytes.len() {
            assert!(
                decode(bytes.slice(..cut), "DAYBOOK").is_err(),
                "cut at {cut}"
            );
        }
        let back = decode(bytes, "DAYBOOK").expect("whole");
        assert_eq!(back, Record::Commit { puts, gets });

        let counts = vec![("Q".into(), 4, 2)];
        let bytes = Bytes::from(encode_backout(&counts));
        assert_eq!(
            decode(bytes, "X").expect("whole"),
            Record::Backout { counts }
        );
    }
}
