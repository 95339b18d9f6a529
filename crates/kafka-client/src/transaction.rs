//! A transactional producer whose commit takes as long as its round trips.
//!
//! `rdkafka`'s own flush serves delivery reports in steps of 100 ms whatever arrives meanwhile. Here only
//! records that failed are reported at all, and the commit waits until nothing is in flight. A report
//! of success would cost each record a wake-up, and say nothing that the commit does not say.

use std::sync::{Arc, Mutex, PoisonError};
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
/// How often it is looked whether everything has arrived. A round trip on one machine takes a
/// few times as long.
const ARRIVED_PAUSE: Duration = Duration::from_micros(50);

/// The first failure since the last commit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failure(Arc<Mutex<Option<KafkaError>>>);

impl Failure {
    fn take(&self) -> Option<KafkaError> {
        let mut failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failed.take()
    }
}

impl ClientContext for Failure {}

impl ProducerContext for Failure {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        use RDKafkaErrorCode::{PurgeInflight, PurgeQueue};
        if let Err((error, _)) = result {
            // Of a transaction that was aborted, perhaps told only after the next one has begun.
            if matches!(error.rdkafka_error_code(), Some(PurgeQueue | PurgeInflight)) {
                return;
            }
            let mut failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            failed.get_or_insert_with(|| error.clone());
        }
    }
}

/// A producer of Kafka transactions, one after the other. All calls block.
pub struct TransactionalProducer {
    pub(crate) producer: ThreadedProducer<Failure>,
    pub(crate) failure: Failure,
}

impl std::fmt::Debug for TransactionalProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransactionalProducer")
            .field("failure", &self.failure)
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
        // A client that has no connection yet would look for its coordinator again after 500 ms only.
        self.producer.client().fetch_metadata(None, CALL_TIME_MAX)?;
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
        self.send_at(topic, Some(key), value, headers, None)
    }

    /// As [`TransactionalProducer::send`], to this partition whatever the key.
    ///
    /// # Errors
    ///
    /// As [`TransactionalProducer::send`].
    pub fn send_to(
        &self,
        topic: &str,
        partition: i32,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> KafkaResult<()> {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic);
        record = record.partition(partition).key(key);
        if let Some(value) = value {
            record = record.payload(value);
        }
        self.enqueue(record)
    }

    /// As [`TransactionalProducer::send`], with a key that may be null and a time in milliseconds since 1970.
    ///
    /// # Errors
    ///
    /// As [`TransactionalProducer::send`].
    pub fn send_at(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Option<OwnedHeaders>,
        timestamp_ms: Option<i64>,
    ) -> KafkaResult<()> {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic);
        if let Some(key) = key {
            record = record.key(key);
        }
        if let Some(value) = value {
            record = record.payload(value);
        }
        if let Some(timestamp_ms) = timestamp_ms {
            record = record.timestamp(timestamp_ms);
        }
        if let Some(headers) = headers {
            record = record.headers(headers);
        }
        self.enqueue(record)
    }

    fn enqueue(&self, mut record: BaseRecord<'_, [u8], [u8]>) -> KafkaResult<()> {
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, returned)) if is_queue_full(&error) => {
                    record = returned;
                    std::thread::sleep(FULL_PAUSE);
                }
                Err((error, _)) => return Err(error),
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
        self.arrive()?;
        self.producer.commit_transaction(CALL_TIME_MAX)
    }

    /// Undoes the open transaction.
    ///
    /// # Errors
    ///
    /// From Kafka. The transaction is not committed in any case: its time-out or the next
    /// [`TransactionalProducer::init`] of the same id ends it.
    pub fn abort(&self) -> KafkaResult<()> {
        let aborted = self.producer.abort_transaction(CALL_TIME_MAX);
        // What failed belonged to it.
        self.failure.take();
        aborted
    }

    /// Waits until every record has arrived.
    ///
    /// # Errors
    ///
    /// From Kafka: a record was not taken, or it is not known whether it was.
    pub fn arrive(&self) -> KafkaResult<()> {
        let deadline = Instant::now() + CALL_TIME_MAX;
        while self.producer.in_flight_count() > 0 {
            if Instant::now() > deadline {
                return Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut));
            }
            std::thread::sleep(ARRIVED_PAUSE);
        }
        self.failure.take().map_or(Ok(()), Err)
    }
}

/// A producer of records that are each on their own. All calls block.
#[derive(Debug)]
pub struct PlainProducer(pub(crate) TransactionalProducer);

impl PlainProducer {
    /// Sends a record and waits until it is acknowledged.
    ///
    /// # Errors
    ///
    /// From Kafka: whether the record is there is unknown.
    pub fn send(&self, topic: &str, key: &[u8], value: &[u8]) -> KafkaResult<()> {
        self.0.send(topic, key, Some(value), None)?;
        self.0.arrive()
    }
}
