//! Why an aggregation cannot go on.

use kafka_client::ClientError;

use crate::engine::EngineError;

/// The service cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The log failed; retried from the last commit.
    #[error("the log failed")]
    Client(#[from] ClientError),
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The group's partitions are being given out anew, and it takes no offsets of before. Nothing was committed; what was in
    /// hand is read again.
    #[error("the group of the aggregation {name} is being rebalanced")]
    Rebalanced {
        /// Which aggregation.
        name: String,
    },
    /// A transaction in the changelog does not end. Retried.
    #[error("a transaction is open in {topic}, partition {partition}, for more than {seconds} s")]
    Open {
        /// The changelog.
        topic: String,
        /// Which partition.
        partition: i32,
        /// How long was waited.
        seconds: u64,
    },
    /// Which records are counted together has changed. Retrying does not help.
    #[error(
        "the topic {topic} has {partitions} partitions, but the aggregation {name} was counted over {before}: \
         the same account would be in two totals. Give the aggregation another name, or make the topic anew"
    )]
    Partitions {
        /// Which aggregation.
        name: String,
        /// Which topic.
        topic: String,
        /// How many it has now.
        partitions: i32,
        /// How many it had, or the input has.
        before: i32,
    },
    /// A changed definition cannot be counted: the log has forgotten a part of the kept days. Retrying does not help.
    #[error(
        "the definition of the aggregation {name} has changed, but {topic}, partition {partition}, begins at offset {first}: \
         kept days cannot be counted anew. Change the definition back, or give the aggregation another name; \
         retention of {topic} must be longer than the kept days"
    )]
    Forgotten {
        /// Which aggregation.
        name: String,
        /// The input.
        topic: String,
        /// Which partition.
        partition: i32,
        /// Its first offset.
        first: i64,
    },
    /// Another process has put another definition in force. Retrying does not help.
    #[error(
        "the aggregation {name} has another definition since another process was started with it (generation {theirs}); \
         start this one again with that configuration"
    )]
    Replaced {
        /// Which aggregation.
        name: String,
        /// The generation in force.
        theirs: u32,
    },
    /// Spark cannot add up. What passes is retried where the query is watched.
    #[error("the aggregation {name} cannot be added up in Spark")]
    Spark {
        /// Which aggregation.
        name: String,
        /// Why not.
        #[source]
        source: spark::SparkError,
    },
    /// A thread could not be started.
    #[error("cannot start a thread for the aggregation")]
    Thread(#[source] std::io::Error),
}

impl ServiceError {
    /// Whether trying again, from the last commit, can help.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Client(_)
                | Self::Rebalanced { .. }
                | Self::Open { .. }
                | Self::Engine(EngineError::Sql { .. } | EngineError::Scratch { .. })
        )
    }
}
