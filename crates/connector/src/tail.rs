//! The id log as this process has read it, and the thread that reads on. All readers of the process share it.
//!
//! ```text
//! id log ──read_uncommitted──▶ tail thread ──▶ Tail (here) ◀── readers: judge, wait for their own claim
//!                                                          ◀── keeper: what may be cut
//! ```
//!
//! librdkafka does not show the markers that end transactions. So the tail learns of commits from what says
//! that messages have left the queue, from the readers of this process, and, where two claims meet, by reading
//! the committed records once more ([`Tail::learn_outcomes`]). That is rare: it takes a lost connection.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kafka_client::{CALL_TIME_MAX, Cluster, LogConsumer, is_passing};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::claim::Identity;
use crate::idlog::{BatchId, Claim, Entry, Given, IdLog, Since, Verdict};
use crate::service::ConnectorError;

/// How soon the tail's thread sees that it shall end.
const POLL: Duration = Duration::from_millis(100);
/// Records that are taken in before who waits is told.
const RECORDS_AT_ONCE: usize = 100;
/// So long the log is read before the first batch is got.
const BEGIN_MAX: Duration = Duration::from_secs(5);
/// The id log has one partition.
const PARTITION: i32 = 0;
const CLIENT: &str = "daybook-connector";

/// What one process knows of the id log.
#[derive(Debug)]
pub(crate) struct Tail {
    cluster: Cluster,
    topic: String,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    log: IdLog,
    /// Counts what happens in this process.
    moment: u64,
    /// Where the open units of work of this process began, by reader.
    open: HashMap<usize, i64>,
    /// Bytes read since the log was cut.
    bytes: u64,
    /// Why it is read no further.
    ended: Option<String>,
}

/// A message that was delivered.
#[derive(Debug)]
pub(crate) struct Taken {
    /// Which one of those that were asked about.
    pub(crate) index: usize,
    /// By which batch, and under which name.
    pub(crate) by: (BatchId, Identity),
    /// It is certain that it is the same message.
    pub(crate) proven: bool,
}

/// What the tail says of a batch's messages.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    /// Those that were delivered.
    pub(crate) taken: Vec<Taken>,
    /// Claims that have to be decided first.
    pub(crate) undecided: Vec<i64>,
}

impl Tail {
    pub(crate) fn new(cluster: &Cluster, topic: &str) -> Arc<Self> {
        Arc::new(Self {
            cluster: cluster.clone(),
            topic: topic.to_owned(),
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, what: &str, source: KafkaError) -> ConnectorError {
        self.cluster
            .error(format!("{what} {}", self.topic), source)
            .into()
    }

    /// Begins at the first record that is left, and reads to about the end as it is now.
    pub(crate) fn begin(&self) -> Result<LogConsumer, ConnectorError> {
        let consumer = self.cluster.tail(CLIENT, CLIENT)?;
        let bounds = self.cluster.offsets(&consumer, &self.topic)?;
        let &[(start, end)] = bounds.as_slice() else {
            return Err(ConnectorError::IdLogPartitions {
                topic: self.topic.clone(),
                partitions: bounds.len(),
            });
        };
        let stored = self.cluster.committed(&consumer, &self.topic, 1)?;
        if let Some(stored) = stored.first().copied().flatten()
            && stored > end
        {
            return Err(ConnectorError::IdLogReplaced {
                topic: self.topic.clone(),
                stored,
                end,
            });
        }
        let mut assignment = TopicPartitionList::new();
        let assigned = assignment
            .add_partition_offset(&self.topic, PARTITION, Offset::Offset(start))
            .and_then(|()| consumer.assign(&assignment));
        assigned.map_err(|source| self.error("read", source))?;
        {
            let mut state = self.lock();
            *state = State {
                log: IdLog::new(start),
                ..State::default()
            };
        }
        // What is read before the first batch saves it an attempt; what is not, it reads before it commits.
        let began = Instant::now();
        while self.lock().log.position() < end - 1
            && began.elapsed() < BEGIN_MAX
            && !self.read_on(&consumer, Duration::from_millis(10))?
        {}
        Ok(consumer)
    }

    /// One step of the tail's thread: waits up to `wait` for records and takes in all that are there. Whether the
    /// end of the log was reached.
    pub(crate) fn read_on(
        &self,
        consumer: &LogConsumer,
        mut wait: Duration,
    ) -> Result<bool, ConnectorError> {
        let mut read = Vec::new();
        let mut bytes = 0;
        let mut at_end = false;
        loop {
            match consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    let payload = message.payload().unwrap_or_default();
                    bytes += payload.len() as u64;
                    let entry = Entry::decode(payload, message.offset());
                    let entry = entry.ok_or_else(|| ConnectorError::IdLog {
                        topic: self.topic.clone(),
                        offset: message.offset(),
                    })?;
                    read.push((message.offset(), entry));
                    if read.len() >= RECORDS_AT_ONCE {
                        break;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    at_end = true;
                    break;
                }
                Some(Err(error)) if is_passing(&error) => break,
                Some(Err(source)) => return Err(self.error("read", source)),
            }
            wait = Duration::ZERO;
        }
        if read.is_empty() {
            return Ok(at_end);
        }
        let mut state = self.lock();
        for (offset, entry) in read {
            state.log.apply(offset, entry);
        }
        state.bytes += bytes;
        let oldest = state.open.values().min().copied();
        let oldest = oldest.unwrap_or(state.log.position());
        state.log.forget_settled(oldest);
        drop(state);
        self.changed.notify_all();
        Ok(at_end)
    }

    /// Reads until `stop` says so or something fails; who waits is told.
    pub(crate) fn follow(
        &self,
        consumer: &LogConsumer,
        stop: impl Fn() -> bool,
    ) -> Result<(), ConnectorError> {
        while !stop() {
            self.read_on(consumer, POLL)?;
        }
        Ok(())
    }

    /// Nothing more is read; who waits gets an error.
    pub(crate) fn end(&self, why: String) {
        self.lock().ended.get_or_insert(why);
        self.changed.notify_all();
    }

    /// A unit of work of a reader begins; the position since which it lives.
    pub(crate) fn begin_unit(&self, reader: usize) -> Since {
        let mut state = self.lock();
        let position = state.log.position();
        state.open.insert(reader, position);
        state.moment += 1;
        Since {
            position,
            moment: state.moment,
        }
    }

    /// A batch has left the queue.
    pub(crate) fn left(&self, batch: BatchId) {
        let mut state = self.lock();
        state.moment += 1;
        let moment = state.moment;
        state.log.left(batch, moment);
    }

    /// It has ended.
    pub(crate) fn end_unit(&self, reader: usize) {
        self.lock().open.remove(&reader);
    }

    /// What claims before `limit` (`None`: all that were read) say of these messages.
    pub(crate) fn judge<'i>(
        &self,
        identities: impl Iterator<Item = (usize, &'i Identity)>,
        limit: Option<i64>,
        since: Since,
    ) -> Judged {
        let state = self.lock();
        let limit = limit.unwrap_or(i64::MAX);
        let mut judged = Judged::default();
        let mut given = Given::new();
        for (index, identity) in identities {
            match state.log.judge(identity, limit, since, &given) {
                Verdict::Free => {}
                Verdict::Taken {
                    batch,
                    claimed,
                    proven,
                } => {
                    *given.entry((batch, claimed)).or_default() += 1;
                    judged.taken.push(Taken {
                        index,
                        by: (batch, claimed),
                        proven,
                    });
                }
                Verdict::Undecided(claims) => {
                    for claim in claims {
                        if !judged.undecided.contains(&claim) {
                            judged.undecided.push(claim);
                        }
                    }
                }
            }
        }
        judged
    }

    /// Waits until the claim of a batch was read; its offset.
    pub(crate) fn wait_for(&self, batch: BatchId, limit: Duration) -> Result<i64, ConnectorError> {
        self.wait(limit, |log| log.offset_of(batch))
    }

    /// Waits until enough of the log was read for `look` to find something.
    fn wait<T>(
        &self,
        limit: Duration,
        look: impl Fn(&IdLog) -> Option<T>,
    ) -> Result<T, ConnectorError> {
        let deadline = Instant::now() + limit;
        let mut state = self.lock();
        loop {
            if let Some(found) = look(&state.log) {
                return Ok(found);
            }
            if let Some(why) = &state.ended {
                return Err(ConnectorError::Tail { why: why.clone() });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ConnectorError::ReadBack {
                    topic: self.topic.clone(),
                    seconds: limit.as_secs(),
                });
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How an own batch ended.
    pub(crate) fn decide(&self, batch: BatchId, is_committed: bool) {
        self.lock().log.decide(batch, is_committed);
    }

    /// Learns how claims from `from` on ended, up to the first that is still open. Blocks: it reads this part of
    /// the log.
    ///
    /// What lies before the last stable offset is decided: committed records are there, others are not.
    pub(crate) fn learn_outcomes(&self, from: i64) -> Result<i64, ConnectorError> {
        let reader = self.cluster.reader(CLIENT)?;
        let bounds = self.cluster.offsets(&reader, &self.topic)?;
        let (start, stable) = bounds.first().copied().unwrap_or_default();
        if from < start {
            self.learn_from_cut(start)?;
        }
        let from = from.max(start);
        let mut committed = HashSet::new();
        if stable > from {
            self.cluster.read_between(
                &reader,
                (&self.topic, PARTITION),
                (from, stable),
                |message| {
                    committed.insert(message.offset());
                },
            )?;
        }
        let mut state = self.lock();
        // What the tail has not read yet is not known to it; only claims it knows are decided here.
        state.log.decide_between(from, stable, &committed);
        Ok(stable)
    }

    /// Somebody else has cut the log at `start`. What it kept of the part before is written behind; when that was
    /// read too, the rest was aborted.
    fn learn_from_cut(&self, start: i64) -> Result<(), ConnectorError> {
        let consumer = self.cluster.tail(CLIENT, CLIENT)?;
        let bounds = self.cluster.offsets(&consumer, &self.topic)?;
        let end = bounds.first().map_or(0, |(_, end)| *end);
        // A record of our own behind the end as it is now: read, it says that everything before was.
        let producer = self.cluster.plain_producer(CLIENT)?;
        let nothing = Entry::Done(Vec::new()).encode();
        let written = producer.send(&self.topic, &[], &nothing);
        written.map_err(|source| self.error("write to", source))?;
        self.wait(CALL_TIME_MAX, |log| (log.position() > end).then_some(()))?;
        self.lock().log.abort_below(start);
        Ok(())
    }

    /// Owner of the first undecided claim at or behind `from`.
    pub(crate) fn first_undecided(&self, from: i64) -> Option<(i64, BatchId, Arc<str>)> {
        self.lock().log.first_undecided(from)
    }

    /// Whether the claim of a batch is known; when it is not, it was aborted or is forgotten.
    pub(crate) fn knows(&self, batch: BatchId) -> bool {
        self.lock().log.offset_of(batch).is_some()
    }

    /// Bytes that were read since the log was cut.
    pub(crate) fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    /// For the keeper: position, identities, uncertain messages. Looks at every claim.
    pub(crate) fn size(&self) -> (i64, usize, usize) {
        let log = &self.lock().log;
        (log.position(), log.identities(), log.uncertain())
    }

    pub(crate) fn to_carry(&self, before: i64) -> Vec<Claim> {
        self.lock().log.to_carry(before)
    }

    pub(crate) fn low_water(&self) -> i64 {
        self.lock().log.low_water()
    }

    pub(crate) fn was_cut(&self) {
        self.lock().bytes = 0;
    }

    /// Reads on as long as something holds.
    #[cfg(test)]
    pub(crate) fn wait_while(&self, consumer: &LogConsumer, holds: impl Fn(&Self) -> bool) {
        while holds(self) {
            let read = self.read_on(consumer, Duration::from_millis(10));
            read.expect("reads");
        }
    }
}
