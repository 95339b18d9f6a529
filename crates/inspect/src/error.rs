//! What can go wrong while the past is looked at.

use aggregate::EngineError;
use kafka_client::ClientError;
use rdkafka::error::KafkaError;
use store::StoreError;

/// A question about the past has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// The log refused, or does not answer. Retrying helps when it runs.
    #[error(transparent)]
    Log(#[from] ClientError),
    /// Reading a topic failed. Retrying may help.
    #[error("cannot read {topic}")]
    Read {
        /// Which topic.
        topic: String,
        /// From librdkafka.
        #[source]
        source: KafkaError,
    },
    /// The log said nothing for half a minute. Retrying may help.
    #[error("the log does not answer")]
    Silent,
    /// The records cannot be counted again. Retrying does not help.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The store cannot be asked. Retrying helps when it answers.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// More records would have to be counted again than are for a page. Retrying does not help.
    #[error(
        "{topic} has {records} records, more than the {max} that are counted again for a page: `daybook trace {id}` does it"
    )]
    TooMany {
        /// Which topic.
        topic: String,
        /// How many it has.
        records: u64,
        /// How many may be counted.
        max: u64,
        /// What was asked for.
        id: String,
    },
    /// The queue manager refused, or does not answer. Retrying may help.
    #[error("the queue {queue} cannot be used")]
    Queue {
        /// Which queue.
        queue: String,
        /// From the client.
        #[source]
        source: Box<mq_client::ClientError>,
    },
}
