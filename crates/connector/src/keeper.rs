//! Care of the id log: says what has left the queue when no claim carries it, repeats what must be kept, and cuts
//! the rest (`docs/specs/delivery.md`, section 5).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kafka_client::{CALL_TIME_MAX, Cluster, PlainProducer};
use rdkafka::admin::AdminOptions;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use telemetry::now_micros;
use tracing::{debug, warn};

use crate::idlog::{Done, Entry};
use crate::service::{ConnectorError, Step};
use crate::tail::Tail;

/// What has left the queue is said alone when no claim has carried it for this long.
const DONE_ALONE: Duration = Duration::from_millis(100);
/// The id log is cut when this much was read since the last time, or after this time.
const CUT_BYTES: u64 = if cfg!(test) { 500 } else { 64 << 20 };
const CUT_INTERVAL: Duration = Duration::from_secs(60);
/// Claims that are not settled hold the log back this many records, then they are repeated.
const CARRY_RECORDS: i64 = if cfg!(test) { 8 } else { 10_000 };
/// Messages that are neither known to have left the queue nor came again: from this many on it is worth a warning.
const UNCERTAIN_MANY: usize = 1_000_000;
/// A claim that stays uncertain for so long is no longer repeated, milliseconds: 30 days.
const UNCERTAIN_KEPT_MS: i64 = 30 * 86_400_000;
const CLIENT: &str = "daybook-connector";

/// What has left the queue and no record says yet.
#[derive(Debug, Default)]
pub(crate) struct Dones(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    list: Vec<Done>,
    since: Option<Instant>,
}

impl Dones {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, done: Done) {
        let mut waiting = self.lock();
        waiting.since.get_or_insert_with(Instant::now);
        waiting.list.push(done);
    }

    /// All of them: whoever takes them writes them.
    pub(crate) fn take(&self) -> Vec<Done> {
        let mut waiting = self.lock();
        waiting.since = None;
        std::mem::take(&mut waiting.list)
    }

    /// They were not written.
    pub(crate) fn put_back(&self, mut list: Vec<Done>) {
        if list.is_empty() {
            return;
        }
        let mut waiting = self.lock();
        waiting.since.get_or_insert_with(Instant::now);
        waiting.list.append(&mut list);
    }

    fn take_old(&self) -> Vec<Done> {
        let is_old = self
            .lock()
            .since
            .is_some_and(|since| since.elapsed() >= DONE_ALONE);
        match is_old {
            true => self.take(),
            false => Vec::new(),
        }
    }
}

/// One for a process.
pub(crate) struct Keeper {
    cluster: Cluster,
    topic: String,
    tail: Arc<Tail>,
    dones: Arc<Dones>,
    producer: PlainProducer,
    runtime: tokio::runtime::Handle,
    cut_at: Instant,
}

impl Keeper {
    pub(crate) fn new(
        cluster: &Cluster,
        topic: &str,
        tail: &Arc<Tail>,
        dones: &Arc<Dones>,
        runtime: tokio::runtime::Handle,
    ) -> Result<Self, ConnectorError> {
        Ok(Self {
            cluster: cluster.clone(),
            topic: topic.to_owned(),
            tail: Arc::clone(tail),
            dones: Arc::clone(dones),
            producer: cluster.plain_producer(CLIENT)?,
            runtime,
            cut_at: Instant::now(),
        })
    }

    fn error(&self, what: &str, source: KafkaError) -> ConnectorError {
        self.cluster
            .error(format!("{what} {}", self.topic), source)
            .into()
    }

    fn write(&self, entry: &Entry) -> Result<(), ConnectorError> {
        let sent = self.producer.send(&self.topic, &[], &entry.encode());
        sent.map_err(|source| self.error("write to", source))
    }

    /// Does what is due. An error changes nothing: it is due again.
    pub(crate) fn tend(
        &mut self,
        after: &dyn Fn(Step) -> Result<(), ConnectorError>,
    ) -> Result<(), ConnectorError> {
        let done = self.dones.take_old();
        if !done.is_empty()
            && let Err(error) = self.write(&Entry::Done(done.clone()))
        {
            self.dones.put_back(done);
            return Err(error);
        }
        if self.tail.bytes() >= CUT_BYTES || self.cut_at.elapsed() >= CUT_INTERVAL {
            self.cut()?;
            self.cut_at = Instant::now();
            after(Step::IdLogCut)?;
        }
        Ok(())
    }

    /// What is left at a clean end.
    pub(crate) fn finish(&self) {
        let done = self.dones.take();
        if !done.is_empty()
            && let Err(error) = self.write(&Entry::Done(done))
        {
            warn!(
                error = types::report(&error),
                "the id log does not say what has left the queue last"
            );
        }
    }

    fn cut(&self) -> Result<(), ConnectorError> {
        let (position, identities, uncertain) = self.tail.size();
        // Claims of readers that have gone are decided, but nobody has asked how.
        let low = self.tail.low_water();
        if low < position - CARRY_RECORDS {
            self.tail.learn_outcomes(low)?;
        }
        if uncertain >= UNCERTAIN_MANY {
            warn!(
                uncertain,
                "many messages are in Kafka and it is not known whether they have left the queue"
            );
        }
        let now_ms = now_micros() / 1_000;
        for mut claim in self.tail.to_carry(position - CARRY_RECORDS) {
            if claim.at_ms == 0 {
                // Of a version that did not say it.
                claim.at_ms = now_ms;
            }
            let age_ms = now_ms - claim.at_ms;
            if age_ms > UNCERTAIN_KEPT_MS {
                warn!(
                    messages = claim.identities.len(),
                    "a claim that was uncertain for 30 days is forgotten"
                );
                let batch = claim.batch;
                let done = Done {
                    batch,
                    discarded: Vec::new(),
                };
                self.write(&Entry::Done(vec![done]))?;
                continue;
            }
            self.write(&Entry::Carry(claim))?;
        }
        let low = self.tail.low_water();
        let consumer = self.cluster.consumer(CLIENT, CLIENT, true)?;
        let mut cut = TopicPartitionList::new();
        cut.add_partition_offset(&self.topic, 0, Offset::Offset(low))
            .and_then(|()| consumer.commit(&cut, CommitMode::Sync))
            .map_err(|source| self.error("store the low-water mark of", source))?;
        let admin = self.cluster.admin()?;
        let options = AdminOptions::new().operation_timeout(Some(CALL_TIME_MAX));
        let deleted = self.runtime.block_on(admin.delete_records(&cut, &options));
        deleted.map_err(|source| self.error("cut", source))?;
        debug!(low, position, identities, "id log cut");
        self.tail.was_cut();
        Ok(())
    }
}
