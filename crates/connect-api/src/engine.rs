//! What carries messages, as far as the supervisor sees it. Whoever has the code implements this.

use std::collections::BTreeSet;

use async_trait::async_trait;
use connector::ibm::IbmConfig;

use crate::worker::{ConnectorOffset, State};

/// Carries messages. The one thing that is to be implemented for the API to manage connectors.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Begins a connector. It returns as soon as the connector is under way; whether the queue manager
    /// or Kafka can be reached is for [`Running::tasks`] to tell.
    ///
    /// # Errors
    ///
    /// [`StartError`] for what trying again does not mend, such as a file that is no certificate. The
    /// connector is shown as failed, with it as the trace.
    async fn start(&self, name: &str, config: &IbmConfig) -> Result<Box<dyn Running>, StartError>;
}

/// A connector cannot begin. Trying again does not help until something has changed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StartError {
    /// What is wrong, and what to do.
    pub message: String,
}

/// A connector that an [`Engine`] has begun. Dropped, it must end as soon as it can.
#[async_trait]
pub trait Running: Send + Sync + 'static {
    /// What each task does, in the order of their numbers. Called often; does not wait.
    fn tasks(&self) -> Vec<TaskReport>;

    /// Topics it has written records to since it began or [`Running::reset_topics`].
    fn topics(&self) -> BTreeSet<String>;

    /// Forgets those.
    fn reset_topics(&self);

    /// Where it is in its queues, for people: a queue has no offsets.
    fn offsets(&self) -> Vec<ConnectorOffset>;

    /// Ends it: the batch that is under way is delivered or backed out, connections are closed. May be
    /// dropped after the stop time; then it must end by itself as soon as it can.
    async fn stop(self: Box<Self>);
}

/// What a task does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskReport {
    /// `Running` also while it tries to connect.
    pub state: State,
    /// Why it failed; for a running task, why it does not get on.
    pub trace: Option<String>,
}
