//! One partition: its log, its watermarks, and what it remembers of its producers.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Weak};

use kafka_protocol::ResponseError;
use tokio::sync::Notify;

use crate::batch::{self, Batch, PATCHED_BYTES};
use crate::partition_log::PartitionLog;

/// Batches remembered of a producer, so that one sent again is answered as the first time. Kafka's number, and the
/// most that an idempotent producer has in flight.
pub(crate) const BATCHES_REMEMBERED: usize = 5;

/// A batch of an idempotent producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RememberedBatch {
    pub(crate) first_sequence: i32,
    pub(crate) last_sequence: i32,
    pub(crate) base_offset: i64,
}

/// What a partition knows of a producer id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) epoch: i16,
    /// Newest last. Empty after a marker with a new epoch.
    pub(crate) batches: VecDeque<RememberedBatch>,
    /// First offset of its open transaction here.
    pub(crate) open_from: Option<i64>,
    pub(crate) time_ms: i64,
}

/// An aborted transaction's stretch of a partition, for consumers that read committed records only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aborted {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
    /// Offset of the marker.
    pub(crate) last_offset: i64,
}

/// What becomes of a batch whose sequence was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sequence {
    /// Append it.
    Next,
    /// It is in the log already, at this offset.
    Duplicate(i64),
}

/// A partition. `hw` moves only to offsets whose journal entries are durable.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) log: PartitionLog,
    /// Log start offset: records below are deleted.
    pub(crate) start: i64,
    /// Offset of the next record.
    pub(crate) end: i64,
    /// High watermark: records below are durable, and visible.
    pub(crate) hw: i64,
    pub(crate) producers: HashMap<i64, Producer>,
    /// First offsets of open transactions.
    open: BTreeMap<i64, i64>,
    /// (first offset, marker offset) of transactions that ended, but whose marker is not durable yet.
    ending: VecDeque<(i64, i64)>,
    /// By `last_offset`.
    pub(crate) aborted: Vec<Aborted>,
    /// Below it compaction has left at most one record a key.
    pub(crate) cleaned_to: i64,
    /// Fetches that wait for `hw` or the last stable offset to move.
    waiters: Vec<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    read_committed: bool,
    notify: Weak<Notify>,
}

impl Partition {
    pub(crate) fn new(log: PartitionLog) -> Self {
        Self {
            log,
            start: 0,
            end: 0,
            hw: 0,
            producers: HashMap::new(),
            open: BTreeMap::new(),
            ending: VecDeque::new(),
            aborted: Vec::new(),
            cleaned_to: 0,
            waiters: Vec::new(),
        }
    }

    /// A partition out of a snapshot: all of it is durable.
    pub(crate) fn restored(
        log: PartitionLog,
        start: i64,
        end: i64,
        producers: HashMap<i64, Producer>,
        aborted: Vec<Aborted>,
        cleaned_to: i64,
    ) -> Self {
        let open = producers
            .iter()
            .filter_map(|(id, producer)| producer.open_from.map(|from| (from, *id)))
            .collect();
        Self {
            start,
            end,
            hw: end,
            producers,
            open,
            aborted,
            cleaned_to,
            ..Self::new(log)
        }
    }

    /// Last stable offset: every transaction below it has ended, visibly.
    pub(crate) fn last_stable(&self) -> i64 {
        let open = self.open.keys().next().copied().unwrap_or(i64::MAX);
        let ending = self
            .ending
            .iter()
            .map(|(first, _)| *first)
            .min()
            .unwrap_or(i64::MAX);
        self.hw.min(open).min(ending)
    }

    /// How far a reader sees.
    pub(crate) fn visible_end(&self, read_committed: bool) -> i64 {
        if read_committed {
            self.last_stable()
        } else {
            self.hw
        }
    }

    /// Checks epoch and sequence of an idempotent producer's batch. Changes nothing.
    ///
    /// A producer that is not known may begin with any sequence: it may have been forgotten.
    pub(crate) fn check_sequence(&self, batch: &Batch) -> Result<Sequence, ResponseError> {
        let Some(producer) = self.producers.get(&batch.producer_id) else {
            return Ok(Sequence::Next);
        };
        if batch.producer_epoch < producer.epoch {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        if batch.producer_epoch > producer.epoch {
            return match batch.base_sequence {
                0 => Ok(Sequence::Next),
                _ => Err(ResponseError::OutOfOrderSequenceNumber),
            };
        }
        let duplicate = producer.batches.iter().find(|known| {
            known.first_sequence == batch.base_sequence
                && known.last_sequence == batch.last_sequence()
        });
        if let Some(known) = duplicate {
            return Ok(Sequence::Duplicate(known.base_offset));
        }
        match producer.batches.back() {
            Some(last) if batch::add_sequence(last.last_sequence, 1) != batch.base_sequence => {
                Err(ResponseError::OutOfOrderSequenceNumber)
            }
            None if batch.base_sequence != 0 => Err(ResponseError::OutOfOrderSequenceNumber),
            _ => Ok(Sequence::Next),
        }
    }

    /// Appends a batch, whose header already carries the offset `end`, and remembers its producer.
    pub(crate) fn append(
        &mut self,
        batch: &Batch,
        front: &[u8],
        rest: &[u8],
        time_ms: i64,
    ) -> io::Result<()> {
        self.log.append(batch, front, rest)?;
        self.end = batch.last_offset() + 1;
        if !batch.is_idempotent() {
            return Ok(());
        }
        let producer = self.producer(batch.producer_id, batch.producer_epoch, time_ms);
        if producer.batches.len() == BATCHES_REMEMBERED {
            producer.batches.pop_front();
        }
        producer.batches.push_back(RememberedBatch {
            first_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            base_offset: batch.base_offset,
        });
        if batch.is_transactional() && producer.open_from.is_none() {
            producer.open_from = Some(batch.base_offset);
            self.open.insert(batch.base_offset, batch.producer_id);
        }
        Ok(())
    }

    /// The entry of a producer, with a new epoch and no batches if `epoch` is a later one.
    fn producer(&mut self, id: i64, epoch: i16, time_ms: i64) -> &mut Producer {
        let producer = self.producers.entry(id).or_insert_with(|| Producer {
            epoch,
            batches: VecDeque::new(),
            open_from: None,
            time_ms,
        });
        producer.time_ms = time_ms;
        if producer.epoch != epoch {
            producer.epoch = epoch;
            producer.batches.clear();
        }
        producer
    }

    /// Writes the marker that ends the transaction of a producer here.
    pub(crate) fn end_transaction(
        &mut self,
        producer_id: i64,
        epoch: i16,
        committed: bool,
        time_ms: i64,
    ) -> io::Result<()> {
        let offset = self.end;
        let bytes = batch::marker(offset, producer_id, epoch, committed, time_ms);
        let Some(marker) = Batch::parse(&bytes) else {
            return Err(io::Error::other("a marker is no batch"));
        };
        self.log
            .append(&marker, &bytes[..PATCHED_BYTES], &bytes[PATCHED_BYTES..])?;
        self.end = offset + 1;
        let Some(first_offset) = self.producer(producer_id, epoch, time_ms).open_from.take() else {
            return Ok(());
        };
        self.open.remove(&first_offset);
        self.ending.push_back((first_offset, offset));
        if !committed {
            self.aborted.push(Aborted {
                producer_id,
                first_offset,
                last_offset: offset,
            });
        }
        Ok(())
    }

    /// Does this producer have a transaction open here?
    pub(crate) fn has_open(&self, producer_id: i64) -> bool {
        self.producers
            .get(&producer_id)
            .is_some_and(|producer| producer.open_from.is_some())
    }

    /// Everything below `end` is durable: show it, and wake who waits for it.
    pub(crate) fn advance(&mut self, end: i64) {
        let (seen, stable) = (self.hw, self.last_stable());
        self.hw = self.hw.max(end);
        let hw = self.hw;
        self.ending.retain(|(_, marker)| *marker >= hw);
        let (more, more_stable) = (self.hw > seen, self.last_stable() > stable);
        // Records of an open transaction are nothing to those who read committed ones.
        self.waiters.retain(|waiter| {
            let woken = if waiter.read_committed {
                more_stable
            } else {
                more
            };
            if woken && let Some(notify) = waiter.notify.upgrade() {
                notify.notify_one();
            }
            !woken
        });
    }

    /// Whether somebody waits for records whatever becomes of their transactions: who writes them shall not wait for
    /// the transaction's end to have them on disk.
    pub(crate) fn is_awaited_uncommitted(&self) -> bool {
        let mut waiters = self.waiters.iter();
        waiters.any(|waiter| !waiter.read_committed && waiter.notify.strong_count() > 0)
    }

    /// Wakes every waiting fetch: the partition is no longer what it was.
    pub(crate) fn wake(&mut self) {
        for waiter in self.waiters.drain(..) {
            if let Some(notify) = waiter.notify.upgrade() {
                notify.notify_one();
            }
        }
    }

    /// `waiter` is notified once, when more becomes visible to it, unless it is dropped before.
    pub(crate) fn wait(&mut self, waiter: &Arc<Notify>, read_committed: bool) {
        let notify = Arc::downgrade(waiter);
        self.waiters
            .retain(|known| known.notify.strong_count() > 0 && !known.notify.ptr_eq(&notify));
        self.waiters.push(Waiter {
            read_committed,
            notify,
        });
    }

    /// Deletes the records below `offset`.
    pub(crate) fn delete_before(&mut self, offset: i64) {
        self.start = self.start.max(offset);
        let start = self.start;
        self.log.drop_before(start, self.end);
        self.aborted.retain(|aborted| aborted.last_offset >= start);
    }

    /// Aborted transactions that reach into `from..until`.
    pub(crate) fn aborted_in(&self, from: i64, until: i64) -> impl Iterator<Item = &Aborted> {
        let first = self
            .aborted
            .partition_point(|aborted| aborted.last_offset < from);
        self.aborted[first..]
            .iter()
            .filter(move |aborted| aborted.first_offset < until)
    }

    /// Forgets producers that were silent since `time_ms` and have nothing open.
    pub(crate) fn forget_producers_before(&mut self, time_ms: i64) {
        self.producers
            .retain(|_, producer| producer.open_from.is_some() || producer.time_ms >= time_ms);
    }
}
