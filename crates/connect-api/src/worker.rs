//! What the REST API asks of whoever runs connectors, and the shapes of its answers.

use std::collections::BTreeMap;

use async_trait::async_trait;
use connector::ibm::{ConfigMap, Definition, Validation};
use serde::{Deserialize, Serialize};

use crate::error::WorkerError;
use crate::levels::LogLevels;
use crate::registry::TargetState;

/// Answer to `GET /`.
#[derive(Debug, Clone, Serialize)]
pub struct ServerInfo {
    /// Daybook's.
    pub version: String,
    /// Of its source.
    pub commit: String,
    /// Of the Kafka cluster that records go to; empty while it is not known.
    pub kafka_cluster_id: String,
}

/// A class that can be named in a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plugin {
    /// Java's name.
    pub class: String,
    /// `source`, `converter` or `header_converter`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Of what it stands for.
    pub version: String,
}

/// Keys of a plugin's configuration.
pub type PluginConfig = Vec<Definition>;

/// A task of a connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskId {
    /// Name.
    pub connector: String,
    /// From 0.
    pub task: usize,
}

/// Answer to `GET /connectors/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConnectorInfo {
    /// Name.
    pub name: String,
    /// Passwords hidden.
    pub config: ConfigMap,
    /// Those that there are now.
    pub tasks: Vec<TaskId>,
    /// `source`.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// What something is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// It was given to nobody yet.
    Unassigned,
    /// It works, or tries for ever.
    Running,
    /// It was told to pause.
    Paused,
    /// It was told to stop.
    Stopped,
    /// It ended with the error of its trace.
    Failed,
    /// It is being started anew.
    Restarting,
}

/// Of the connector itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConnectorPart {
    /// What it is doing.
    pub state: State,
    /// Where.
    pub worker_id: String,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// Of the plugin.
    pub version: String,
}

/// Of one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskPart {
    /// From 0.
    pub id: usize,
    /// What it is doing.
    pub state: State,
    /// Where.
    pub worker_id: String,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// Of the plugin.
    pub version: String,
}

/// Answer to `GET /connectors/{name}/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConnectorStatus {
    /// Name.
    pub name: String,
    /// Itself.
    pub connector: ConnectorPart,
    /// Its tasks.
    pub tasks: Vec<TaskPart>,
    /// `source`.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// One of the answer to `GET /connectors/{name}/tasks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskInfo {
    /// Which.
    pub id: TaskId,
    /// The connector's; passwords hidden.
    pub config: ConfigMap,
}

/// Where a connector is in one of its sources.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectorOffset {
    /// The source.
    pub partition: BTreeMap<String, serde_json::Value>,
    /// Where; none = at its beginning.
    pub offset: Option<BTreeMap<String, serde_json::Value>>,
}

/// Body of `/connectors/{name}/offsets`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectorOffsets {
    /// One a source.
    pub offsets: Vec<ConnectorOffset>,
}

/// What `POST /connectors/{name}/restart` is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RestartRequest {
    /// The tasks too.
    pub include_tasks: bool,
    /// Only what has failed.
    pub only_failed: bool,
}

/// Whoever runs connectors. A call that changes something has done it, durably, when it returns.
///
/// Calls need not be cancel safe: the router never drops one.
///
/// # Errors
///
/// All of them [`WorkerError`], whose text goes to the client.
#[async_trait]
pub trait Worker: Send + Sync + 'static {
    /// Who answers.
    fn server(&self) -> ServerInfo;

    /// `None` when it is ready; else why not yet.
    fn unready(&self) -> Option<String>;

    /// All classes, the connector's first.
    fn plugins(&self) -> Vec<Plugin>;

    /// Keys of a class, given with or without its package.
    fn plugin_config(&self, plugin: &str) -> Result<PluginConfig, WorkerError>;

    /// Judges a configuration.
    async fn validate(&self, plugin: &str, config: ConfigMap) -> Result<Validation, WorkerError>;

    /// Names, sorted.
    fn connectors(&self) -> Vec<String>;

    /// One of them.
    fn info(&self, name: &str) -> Result<ConnectorInfo, WorkerError>;

    /// What it is doing.
    fn status(&self, name: &str) -> Result<ConnectorStatus, WorkerError>;

    /// Its tasks.
    fn tasks(&self, name: &str) -> Result<Vec<TaskInfo>, WorkerError>;

    /// Topics that it has written since the last reset, or since it began.
    fn topics(&self, name: &str) -> Result<Vec<String>, WorkerError>;

    /// Forgets them.
    fn reset_topics(&self, name: &str) -> Result<(), WorkerError>;

    /// Makes one that is not there, and begins it as `target` says.
    async fn create(
        &self,
        name: &str,
        config: ConfigMap,
        target: TargetState,
    ) -> Result<ConnectorInfo, WorkerError>;

    /// Makes one or changes it, and begins it anew; `true` when it was made.
    async fn put_config(
        &self,
        name: &str,
        config: ConfigMap,
    ) -> Result<(ConnectorInfo, bool), WorkerError>;

    /// Changes keys, removes those without a value, and begins it anew.
    async fn patch_config(
        &self,
        name: &str,
        changes: BTreeMap<String, Option<String>>,
    ) -> Result<ConnectorInfo, WorkerError>;

    /// Ends it and forgets it.
    async fn delete(&self, name: &str) -> Result<(), WorkerError>;

    /// Pauses, resumes or stops it.
    async fn set_target(&self, name: &str, target: TargetState) -> Result<(), WorkerError>;

    /// Begins it anew; its status as it begins.
    async fn restart(
        &self,
        name: &str,
        request: RestartRequest,
    ) -> Result<ConnectorStatus, WorkerError>;

    /// Begins a task anew.
    async fn restart_task(&self, name: &str, task: usize) -> Result<(), WorkerError>;

    /// Where it is.
    async fn offsets(&self, name: &str) -> Result<ConnectorOffsets, WorkerError>;

    /// Moves it; a message for people.
    async fn alter_offsets(
        &self,
        name: &str,
        offsets: ConnectorOffsets,
    ) -> Result<String, WorkerError>;

    /// Moves it to the beginning; a message for people.
    async fn reset_offsets(&self, name: &str) -> Result<String, WorkerError>;

    /// What is logged.
    fn log_levels(&self) -> &LogLevels;
}
