//! What can go wrong with the web server and with what feeds it.

use std::net::SocketAddr;

use kafka_client::ClientError;
use store::StoreError;

/// The web server cannot start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebError {
    /// The address cannot be listened on: taken, or not ours.
    #[error(
        "the web server cannot listen on {address}: another program has the port, or the machine has no \
         such address; choose another (`web.address`, or --port-offset, which moves all ports)"
    )]
    Listen {
        /// Which.
        address: SocketAddr,
        /// From the system.
        #[source]
        source: std::io::Error,
    },
    /// A thread that follows a topic could not be started.
    #[error("the thread that follows {aggregation} cannot be started")]
    Thread {
        /// Which aggregation.
        aggregation: String,
        /// From the system.
        #[source]
        source: std::io::Error,
    },
    /// Certificate or key cannot be used.
    #[error("the web server cannot speak TLS (`web.tls`)")]
    Tls(#[from] crate::tls::TlsError),
    /// An option has a value that cannot be used. Retrying does not help.
    #[error("web option {option} is {value}, but must be {rule}")]
    Option {
        /// Which.
        option: &'static str,
        /// As given.
        value: String,
        /// What is allowed.
        rule: &'static str,
    },
}

/// A feed cannot go on. Whether it begins anew is said at each variant.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// The log no longer has the records that come next: the hand-off begins again at the store.
    #[error("the log of {topic} no longer has offset {offset} of partition {partition}")]
    OutOfRange {
        /// Which topic.
        topic: String,
        /// Which partition.
        partition: i32,
        /// What was asked for; -1 where that is not known.
        offset: i64,
    },
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Store(#[source] Box<StoreError>),
    /// The log cannot be read.
    #[error("the log cannot be read")]
    Log(#[source] Box<ClientError>),
    /// The store has read further than the log reaches: they do not belong together.
    #[error(
        "the store has read partition {partition} of {topic} up to {progress}, but the log ends \
         at {end}: the store belongs to another or a newer log"
    )]
    StoreAhead {
        /// Which topic.
        topic: String,
        /// Which partition.
        partition: i32,
        /// The store's next offset.
        progress: i64,
        /// The log's.
        end: i64,
    },
}

impl From<StoreError> for FeedError {
    fn from(error: StoreError) -> Self {
        Self::Store(Box::new(error))
    }
}

impl From<ClientError> for FeedError {
    fn from(error: ClientError) -> Self {
        Self::Log(Box::new(error))
    }
}
