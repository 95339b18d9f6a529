//! What goes to the log. Every record begins with a version and a kind; integers are little endian.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use segment_log::ReplayError;
use types::Tally;

use crate::ledger::{Declared, LedgerCopy, LedgerLine};
use crate::message::{Descriptor, Message, MsgId, Properties};
use crate::options::QueueDefinition;

const VERSION: u8 = 3;
const KIND_COMMIT: u8 = 1;
const KIND_BACKOUT: u8 = 2;
const KIND_CARRY: u8 = 3;
const KIND_LEDGER: u8 = 4;
const KIND_PREPARE: u8 = 5;
const KIND_RESOLVE: u8 = 6;
const KIND_DEFINE: u8 = 7;
const KIND_DELETE: u8 = 8;
const KIND_EPOCH: u8 = 9;
const KIND_CLEAR: u8 = 10;

/// What of a message is written beside its fixed fields.
const HAS_MSG_ID: u8 = 0x01;
const HAS_CORREL_ID: u8 = 0x02;
const HAS_EXPIRY: u8 = 0x04;
const HAS_DELAY: u8 = 0x08;

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
    /// A unit of work that somebody else decides about is kept until it is resolved.
    Prepare {
        xid: Bytes,
        puts: Vec<Placed>,
        gets: Vec<(Arc<str>, u64)>,
    },
    /// The decision about a prepared one.
    Resolve {
        xid: Bytes,
        commit: bool,
        gets: Vec<(Arc<str>, u64)>,
    },
    /// A queue was defined or altered while running.
    Define(Box<QueueDefinition>),
    /// A queue was deleted.
    Delete { queue: Arc<str> },
    /// All messages of a queue are gone; none of them was in a unit of work.
    Clear { queue: Arc<str> },
    /// Identifiers of this epoch may be in use.
    Epoch(u32),
}

/// Writes a commit.
pub(crate) fn encode_commit(
    puts: &[Placed],
    gets: &[(Arc<str>, u64)],
    declared: &[Declared],
    queue_manager: &str,
) -> Vec<u8> {
    let bytes: usize = puts.iter().map(|put| put.message.body.len() + 96).sum();
    let mut out = Vec::with_capacity(bytes + gets.len() * 10 + 128);
    out.extend_from_slice(&[VERSION, KIND_COMMIT]);
    put_messages(&mut out, puts, queue_manager);
    put_gets(&mut out, gets);
    put_u32(&mut out, declared.len());
    for part in declared {
        put_text(&mut out, &part.queue);
        put_text(&mut out, &part.source);
        out.extend_from_slice(&part.minute.to_le_bytes());
        put_tally(&mut out, &part.tally);
    }
    out
}

/// Writes a unit of work that is prepared.
pub(crate) fn encode_prepare(
    xid: &[u8],
    puts: &[Placed],
    gets: &[(Arc<str>, u64)],
    queue_manager: &str,
) -> Vec<u8> {
    let mut out = vec![VERSION, KIND_PREPARE];
    put_bytes(&mut out, xid);
    put_messages(&mut out, puts, queue_manager);
    put_gets(&mut out, gets);
    out
}

/// Writes the decision about a prepared unit of work.
pub(crate) fn encode_resolve(xid: &[u8], commit: bool, gets: &[(Arc<str>, u64)]) -> Vec<u8> {
    let mut out = vec![VERSION, KIND_RESOLVE, u8::from(commit)];
    put_bytes(&mut out, xid);
    put_gets(&mut out, gets);
    out
}

/// Writes a definition.
pub(crate) fn encode_define(queue: &QueueDefinition) -> Vec<u8> {
    let mut out = vec![VERSION, KIND_DEFINE];
    put_text(&mut out, &queue.name);
    put_text(&mut out, &queue.description);
    put_text(&mut out, &queue.backout_queue);
    for number in [
        queue.depth_max as u64,
        queue.bytes_max as u64,
        queue.message_bytes_max as u64,
        u64::from(queue.backout_threshold),
    ] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.push(queue.default_priority);
    let flags = [
        queue.default_persistent,
        queue.put_inhibited,
        queue.get_inhibited,
        queue.model,
    ];
    out.extend(flags.map(u8::from));
    out
}

/// Writes that a queue is gone.
pub(crate) fn encode_delete(queue: &str) -> Vec<u8> {
    let mut out = vec![VERSION, KIND_DELETE];
    put_text(&mut out, queue);
    out
}

/// Writes that a queue's messages are gone.
pub(crate) fn encode_clear(queue: &str) -> Vec<u8> {
    let mut out = vec![VERSION, KIND_CLEAR];
    put_text(&mut out, queue);
    out
}

/// Writes that identifiers of an epoch are used from now on.
pub(crate) fn encode_epoch(epoch: u32) -> Vec<u8> {
    let mut out = vec![VERSION, KIND_EPOCH];
    out.extend_from_slice(&epoch.to_le_bytes());
    out
}

fn put_gets(out: &mut Vec<u8>, gets: &[(Arc<str>, u64)]) {
    let gets_by_queue = gets.chunk_by(|a, b| a.0 == b.0);
    put_u32(out, gets_by_queue.clone().count());
    for run in gets_by_queue {
        let Some((queue, _)) = run.first() else {
            continue;
        };
        put_text(out, queue);
        put_u32(out, run.len());
        for (_, sequence) in run {
            out.extend_from_slice(&sequence.to_le_bytes());
        }
    }
}

/// Writes messages anew.
pub(crate) fn encode_carry(puts: &[Placed], queue_manager: &str) -> Vec<u8> {
    let mut out = vec![VERSION, KIND_CARRY];
    put_messages(&mut out, puts, queue_manager);
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

/// Consecutive messages that share queue, properties and descriptor are stored as one run.
fn put_messages(out: &mut Vec<u8>, puts: &[Placed], queue_manager: &str) {
    let runs = puts.chunk_by(|a, b| {
        let (left, right) = (&a.message.properties.shared, &b.message.properties.shared);
        let same = Arc::ptr_eq(&a.message.descriptor, &b.message.descriptor);
        same && a.queue == b.queue && Arc::ptr_eq(left, right)
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
        put_descriptor(out, &first.message.descriptor);
        put_u32(out, run.len());
        for put in run {
            let message = &put.message;
            out.extend_from_slice(&message.sequence.to_le_bytes());
            out.extend_from_slice(&message.put_time.to_le_bytes());
            out.push(message.priority);
            out.extend_from_slice(&message.backout_count.to_le_bytes());
            let given = message.msg_id != MsgId::new(queue_manager, message.sequence);
            let has = |there: bool, bit: u8| if there { bit } else { 0 };
            out.push(
                has(given, HAS_MSG_ID)
                    | has(message.correl_id != MsgId::NONE, HAS_CORREL_ID)
                    | has(message.expires_at.is_some(), HAS_EXPIRY)
                    | has(message.available_at.is_some(), HAS_DELAY),
            );
            if given {
                out.extend_from_slice(&message.msg_id.0);
            }
            if message.correl_id != MsgId::NONE {
                out.extend_from_slice(&message.correl_id.0);
            }
            for time in [message.expires_at, message.available_at]
                .into_iter()
                .flatten()
            {
                out.extend_from_slice(&time.to_le_bytes());
            }
            put_bytes(out, &message.properties.id);
            put_bytes(out, &message.body);
        }
    }
}

/// Fields without the blanks or zeros behind them; nothing at all for the one that Daybook itself
/// uses.
fn put_descriptor(out: &mut Vec<u8>, descriptor: &Descriptor) {
    out.push(u8::from(*descriptor != *Descriptor::shared()));
    if out.last() == Some(&0) {
        return;
    }
    out.push(u8::from(descriptor.persistent));
    for number in numbers(descriptor) {
        out.extend_from_slice(&number.to_le_bytes());
    }
    let mut descriptor = descriptor.clone();
    for (bytes, fill) in texts(&mut descriptor) {
        let length = bytes
            .iter()
            .rposition(|byte| *byte != fill)
            .map_or(0, |last| last + 1);
        // No field is longer than 48 bytes.
        out.push(length as u8);
        out.extend_from_slice(bytes.get(..length).unwrap_or_default());
    }
}

fn numbers(descriptor: &Descriptor) -> [i32; 10] {
    [
        descriptor.report,
        descriptor.msg_type,
        descriptor.feedback,
        descriptor.encoding,
        descriptor.ccsid,
        descriptor.put_appl_type,
        descriptor.msg_seq_number,
        descriptor.offset,
        descriptor.msg_flags,
        descriptor.original_length,
    ]
}

/// The fields of bytes, each with what fills it up.
fn texts(descriptor: &mut Descriptor) -> [(&mut [u8], u8); 9] {
    [
        (&mut descriptor.format, b' '),
        (&mut descriptor.reply_to_q, b' '),
        (&mut descriptor.reply_to_q_mgr, b' '),
        (&mut descriptor.user_identifier, b' '),
        (&mut descriptor.accounting_token, 0),
        (&mut descriptor.appl_identity_data, b' '),
        (&mut descriptor.put_appl_name, b' '),
        (&mut descriptor.appl_origin_data, b' '),
        (&mut descriptor.group_id, 0),
    ]
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
        KIND_PREPARE => Ok(Record::Prepare {
            xid: reader.bytes()?,
            puts: reader.messages(queue_manager)?,
            gets: reader.gets()?,
        }),
        KIND_RESOLVE => Ok(Record::Resolve {
            commit: reader.byte()? != 0,
            xid: reader.bytes()?,
            gets: reader.gets()?,
        }),
        KIND_DEFINE => Ok(Record::Define(Box::new(reader.definition()?))),
        KIND_EPOCH => Ok(Record::Epoch(reader.u32()?)),
        KIND_CLEAR => Ok(Record::Clear {
            queue: reader.shared_text()?,
        }),
        KIND_DELETE => Ok(Record::Delete {
            queue: reader.shared_text()?,
        }),
        other => Err(ReplayError::new(format!("record kind {other} is unknown"))),
    }
}

fn decode_commit(reader: &mut Reader, queue_manager: &str) -> Result<Record, ReplayError> {
    let puts = reader.messages(queue_manager)?;
    let gets = reader.gets()?;
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
    fn array<const N: usize>(&mut self) -> Result<[u8; N], ReplayError> {
        self.need(N)?;
        let mut bytes = [0; N];
        self.rest.copy_to_slice(&mut bytes);
        Ok(bytes)
    }
    fn time(&mut self, there: bool) -> Result<Option<i64>, ReplayError> {
        if !there {
            return Ok(None);
        }
        Ok(Some(self.u64()?.cast_signed()))
    }
    fn size(&mut self) -> Result<usize, ReplayError> {
        usize::try_from(self.u64()?).map_err(ReplayError::new)
    }
    fn gets(&mut self) -> Result<Vec<(Arc<str>, u64)>, ReplayError> {
        let mut gets = Vec::new();
        for _ in 0..self.u32()? {
            let queue = self.shared_text()?;
            for _ in 0..self.u32()? {
                gets.push((Arc::clone(&queue), self.u64()?));
            }
        }
        Ok(gets)
    }
    fn definition(&mut self) -> Result<QueueDefinition, ReplayError> {
        let name = self.text()?;
        Ok(QueueDefinition {
            description: self.text()?,
            backout_queue: self.text()?,
            depth_max: self.size()?,
            bytes_max: self.size()?,
            message_bytes_max: self.size()?,
            backout_threshold: u32::try_from(self.u64()?).map_err(ReplayError::new)?,
            default_priority: self.byte()?,
            default_persistent: self.byte()? != 0,
            put_inhibited: self.byte()? != 0,
            get_inhibited: self.byte()? != 0,
            model: self.byte()? != 0,
            name,
        })
    }
    fn descriptor(&mut self) -> Result<Arc<Descriptor>, ReplayError> {
        if self.byte()? == 0 {
            return Ok(Descriptor::shared());
        }
        let persistent = self.byte()? != 0;
        let mut numbers = [0; 10];
        for number in &mut numbers {
            *number = self.u32()?.cast_signed();
        }
        let [
            report,
            msg_type,
            feedback,
            encoding,
            ccsid,
            put_appl_type,
            msg_seq_number,
            offset,
            msg_flags,
            original_length,
        ] = numbers;
        let mut descriptor = Descriptor {
            persistent,
            report,
            msg_type,
            feedback,
            encoding,
            ccsid,
            put_appl_type,
            msg_seq_number,
            offset,
            msg_flags,
            original_length,
            ..Descriptor::default()
        };
        for (bytes, fill) in texts(&mut descriptor) {
            let length = usize::from(self.byte()?);
            self.need(length)?;
            let text = self.rest.split_to(length);
            bytes.fill(fill);
            let Some(to) = bytes.get_mut(..length) else {
                return Err(ReplayError::new("a field of a descriptor is too long"));
            };
            to.copy_from_slice(&text);
        }
        Ok(Arc::new(descriptor))
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
            let descriptor = self.descriptor()?;
            for _ in 0..self.u32()? {
                let sequence = self.u64()?;
                let put_time = self.u64()?.cast_signed();
                let priority = self.byte()?;
                let backout_count = self.u32()?;
                let has = self.byte()?;
                let mut msg_id = MsgId::new(queue_manager, sequence);
                if has & HAS_MSG_ID != 0 {
                    msg_id = MsgId(self.array()?);
                }
                let mut correl_id = MsgId::NONE;
                if has & HAS_CORREL_ID != 0 {
                    correl_id = MsgId(self.array()?);
                }
                let message = Message {
                    msg_id,
                    correl_id,
                    sequence,
                    put_time,
                    priority,
                    backout_count,
                    expires_at: self.time(has & HAS_EXPIRY != 0)?,
                    available_at: self.time(has & HAS_DELAY != 0)?,
                    descriptor: Arc::clone(&descriptor),
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
        let descriptor = Arc::new(Descriptor {
            persistent: false,
            report: i32::MIN,
            original_length: 5,
            format: *b"MQHRF2  ",
            reply_to_q: [b'Q'; 48],
            accounting_token: [b' '; 32],
            ..Descriptor::default()
        });
        let put = |sequence: u64| Placed {
            queue: "Q".into(),
            message: Message {
                msg_id: if sequence == 1 {
                    MsgId::new("DAYBOOK", sequence)
                } else {
                    MsgId([7; 24])
                },
                sequence,
                put_time: -5,
                priority: 3,
                backout_count: 2,
                correl_id: MsgId([sequence as u8 - 1; 24]),
                expires_at: (sequence == 2).then_some(77),
                available_at: (sequence == 1).then_some(-78),
                descriptor: Arc::clone(&descriptor),
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
            Record::Prepare {
                xid: Bytes::from_static(b"xid"),
                puts: vec![put(1)],
                gets: vec![("Q".into(), 7)],
            },
            Record::Resolve {
                xid: Bytes::from_static(b"xid"),
                commit: true,
                gets: vec![("Q".into(), 7)],
            },
            Record::Define(Box::new(QueueDefinition {
                description: "what it is for".to_owned(),
                get_inhibited: true,
                ..QueueDefinition::new("Q")
            })),
            Record::Delete { queue: "Q".into() },
            Record::Clear { queue: "Q".into() },
            Record::Epoch(9),
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
                } => encode_commit(puts, gets, declared, "DAYBOOK"),
                Record::Carry { puts } => encode_carry(puts, "DAYBOOK"),
                Record::Backout { counts } => encode_backout(counts),
                Record::Ledger(ledger) => encode_ledger(ledger),
                Record::Prepare { xid, puts, gets } => encode_prepare(xid, puts, gets, "DAYBOOK"),
                Record::Resolve { xid, commit, gets } => encode_resolve(xid, *commit, gets),
                Record::Define(definition) => encode_define(definition),
                Record::Delete { queue } => encode_delete(queue),
                Record::Clear { queue } => encode_clear(queue),
                Record::Epoch(epoch) => encode_epoch(*epoch),
            });
            for cut in 0..bytes.len() {
                let error = decode(bytes.slice(..cut), "DAYBOOK");
                assert!(error.is_err(), "cut at {cut}");
            }
            assert_eq!(decode(bytes, "DAYBOOK").expect("whole"), record);
        }
    }
}
