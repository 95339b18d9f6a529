//! A transactional producer whose commit takes as long as its round trips.
//!
//! `rdkafka`'s own flush serves delivery reports in steps of 100 ms whatever arrives meanwhile. Here a
//! thread serves them as they come, and the commit waits until the last one was served.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::TopicPartitionList;

use crate::{CALL_TIME_MAX, is_queue_full};

/// Pause while the client's buffer is full.
const FULL_PAUSE: Duration = Duration::from_millis(1);

/// Records that wait for their delivery report.
#[derive(Debug, Default)]
pub(crate) struct Outstanding {
    count: AtomicUsize,
    failed: Mutex<Option<KafkaError>>,
    none_left: Condvar,
}

/// Counts delivery reports.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reports(pub(crate) Arc<Outstanding>);

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            let mut failed = self.0.failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.get_or_insert_with(|| error.clone());
        }
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Under the lock, so that a waiter between its look and its wait is not missed.
            let _lock = self.0.failed.lock().unwrap_or_else(PoisonError::into_inner);
            self.0.none_left.notify_all();
        }
    }
}

/// A producer of Kafka transactions, one after the other. All calls block.
pub struct TransactionalProducer {
    pub(crate) producer: ThreadedProducer<Reports>,
    pub(crate) outstanding: Arc<Outstanding>,
}

impl std::fmt::Debug for TransactionalProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransactionalProducer")
            .field("outstanding", &self.outstanding)
            .finish_non_exhaustive()
    }
}

impl TransactionalProducer {
    /// Fences the earlier self of this transactional id and ends what it left open. First call.
    ///
    /// # Errors
    ///
    /// From Kafka; trying again helps when it was not reachable.
    pub fn init(&self) -> KafkaResult<()> {
        self.producer.init_transactions(CALL_TIME_MAX)
    }

    /// Begins a transaction. Cheap: nothing is sent yet.
    ///
    /// # Errors
    ///
    /// A transaction is open already, or the producer was fenced.
    pub fn begin(&self) -> KafkaResult<()> {
        self.producer.begin_transaction()
    }

    /// Adds a record; waits while the client's buffer is full. `value` is null to delete.
    ///
    /// # Errors
    ///
    /// The record cannot be sent. Whether it arrived is known after [`TransactionalProducer::commit`].
    pub fn send(
        &self,
        topic: &str,
        key: &[u8],
        value: Option<&[u8]>,
        headers: Option<OwnedHeaders>,
    ) -> KafkaResult<()> {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).key(key);
        if let Some(value) = value {
            record = record.payload(value);
        }
        if let Some(headers) = headers {
            record = record.headers(headers);
        }
        self.outstanding.count.fetch_add(1, Ordering::AcqRel);
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, returned)) if is_queue_full(&error) => {
                    record = returned;
                    std::thread::sleep(FULL_PAUSE);
                }
                Err((error, _)) => {
                    self.outstanding.count.fetch_sub(1, Ordering::AcqRel);
                    return Err(error);
                }
            }
        }
    }

    /// Makes the group's offsets part of the transaction.
    ///
    /// # Errors
    ///
    /// From Kafka.
    pub fn send_offsets(
        &self,
        offsets: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
    ) -> KafkaResult<()> {
        self.producer
            .send_offsets_to_transaction(offsets, group, CALL_TIME_MAX)
    }

    /// Waits until every record has arrived, then commits; durable and visible on return.
    ///
    /// # Errors
    ///
    /// From Kafka. The outcome is then unknown until the next [`TransactionalProducer::init`] of the
    /// same id has decided it.
    pub fn commit(&self) -> KafkaResult<()> {
        let deadline = Instant::now() + CALL_TIME_MAX;
        let outstanding = &self.outstanding;
        let mut failed = outstanding
            .failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while outstanding.count.load(Ordering::Acquire) > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut));
            }
            let waited = outstanding.none_left.wait_timeout(failed, left);
            failed = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if let Some(error) = failed.take() {
            return Err(error);
        }
        drop(failed);
        // The last report is still being given back: without this the flush in rdkafka's commit would
        // find something in flight, and poll for 100 ms.
        while self.producer.in_flight_count() > 0 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        self.producer.commit_transaction(CALL_TIME_MAX)
    }
}
