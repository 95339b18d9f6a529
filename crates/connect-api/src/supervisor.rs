//! Runs the connectors of the registry with an engine.
//!
//! Invariants:
//!
//! - A connector is running only if its target is `RUNNING`, and at most once.
//! - The registry is written first: what a crash leaves behind is what [`Supervisor::begin`] begins.
//! - Nothing is started anew by itself. An engine tries for ever what may pass; what it reports as
//!   failed stays so until somebody restarts it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use connector::ibm::{
    CONNECTOR_ALIASES, CONNECTOR_CLASS, CONNECTOR_VERSION, ConfigError, ConfigMap, IbmConfig,
    READERS_MAX, Validation, definitions, is_secret, validate_resolved,
};
use tracing::{info, warn};

use crate::error::WorkerError;
use crate::levels::LogLevels;
use crate::registry::{Entry, Registry, RegistryError, TargetState};
use crate::variables::Variables;
use crate::worker::{
    ConnectorInfo, ConnectorOffset, ConnectorOffsets, ConnectorPart, ConnectorStatus, Plugin,
    PluginConfig, RestartRequest, ServerInfo, State, TaskId, TaskInfo, TaskPart, Worker,
};

/// Most characters of a connector's name.
const NAME_CHARS_MAX: usize = 200;
/// How passwords are shown, in Kafka Connect's word.
const HIDDEN: &str = "[hidden]";

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

/// Who the worker is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Answer to `GET /`.
    pub server: ServerInfo,
    /// Host and port of the API, as it is reached.
    pub worker_id: String,
}

/// How connectors are run.
#[derive(Debug, Clone)]
pub struct SupervisorOptions {
    /// Who the worker is.
    pub identity: Identity,
    /// What variables in configurations may stand for.
    pub variables: Variables,
    /// Longest wait for a connector to end what it has begun. Default 30 s.
    pub stop_time_max: Duration,
}

impl SupervisorOptions {
    /// Defaults: variables stand for nothing.
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            variables: Variables::default(),
            stop_time_max: Duration::from_secs(30),
        }
    }
}

/// What there is of a connector beside the registry.
#[derive(Default)]
struct Slot {
    running: Option<Box<dyn Running>>,
    /// Why it could not begin.
    failed: Option<String>,
}

struct Inner {
    engine: Box<dyn Engine>,
    /// Held while the disk is waited for.
    registry: Mutex<Registry>,
    /// What is in it, for those who do not wait.
    entries: Mutex<Arc<BTreeMap<String, Entry>>>,
    slots: Mutex<BTreeMap<String, Slot>>,
    /// Held by whoever changes something.
    turn: tokio::sync::Mutex<()>,
    options: Arc<SupervisorOptions>,
    levels: LogLevels,
}

/// The worker that runs connectors. Clones are the same one.
#[derive(Clone)]
pub struct Supervisor(Arc<Inner>);

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("connectors", &self.connectors())
            .finish_non_exhaustive()
    }
}

impl Supervisor {
    /// With the connectors of this registry, none of them begun.
    pub fn new(
        engine: impl Engine,
        registry: Registry,
        options: SupervisorOptions,
        levels: LogLevels,
    ) -> Self {
        Self(Arc::new(Inner {
            engine: Box::new(engine),
            entries: Mutex::new(Arc::new(registry.connectors().clone())),
            registry: Mutex::new(registry),
            slots: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            options: Arc::new(options),
            levels,
        }))
    }

    /// Begins every connector whose target is `RUNNING`. One that cannot begin is shown as failed.
    pub async fn begin(&self) {
        let _turn = self.0.turn.lock().await;
        for name in self.connectors() {
            self.start(&name).await;
        }
    }

    /// Ends every connector; the registry stays as it is, so that [`Supervisor::begin`] of the next
    /// process begins them again.
    pub async fn end(&self) {
        let _turn = self.0.turn.lock().await;
        let names: Vec<String> = self.slots().keys().cloned().collect();
        for name in names {
            self.stop(&name).await;
        }
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<String, Slot>> {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entries(&self) -> Arc<BTreeMap<String, Entry>> {
        let entries = self.0.entries.lock();
        Arc::clone(&entries.unwrap_or_else(PoisonError::into_inner))
    }

    fn entry(&self, name: &str) -> Option<Entry> {
        self.entries().get(name).cloned()
    }

    fn known(&self, name: &str) -> Result<Entry, WorkerError> {
        self.entry(name)
            .ok_or_else(|| WorkerError::no_connector(name))
    }

    /// On a thread that may wait for the disk.
    async fn write(
        &self,
        change: impl FnOnce(&mut Registry) -> Result<(), RegistryError> + Send + 'static,
    ) -> Result<(), WorkerError> {
        let inner = Arc::clone(&self.0);
        let written = tokio::task::spawn_blocking(move || {
            let mut registry = inner
                .registry
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            change(&mut registry)?;
            let mut entries = inner.entries.lock().unwrap_or_else(PoisonError::into_inner);
            *entries = Arc::new(registry.connectors().clone());
            Ok(())
        });
        let written: Result<Result<(), RegistryError>, _> = written.await;
        match written {
            Ok(written) => Ok(written?),
            Err(error) => Err(WorkerError::Internal {
                message: format!("the connectors' file was not written: {error}"),
            }),
        }
    }

    /// Variables replaced, on a thread that may wait for the disk.
    async fn resolve(&self, config: ConfigMap) -> Result<IbmConfig, Vec<ConfigError>> {
        let options = Arc::clone(&self.0.options);
        let resolved = tokio::task::spawn_blocking(move || {
            IbmConfig::resolve(&config, &|variable| options.variables.find(variable))
        });
        resolved.await.unwrap_or_else(|error| {
            Err(vec![ConfigError {
                key: "name".to_owned(),
                reason: format!("the configuration was not judged: {error}"),
            }])
        })
    }

    async fn put(&self, name: &str, entry: Entry) -> Result<(), WorkerError> {
        let name = name.to_owned();
        self.write(move |registry| registry.put(&name, entry)).await
    }

    /// Begins it if it is to run and does not.
    async fn start(&self, name: &str) {
        let Some(entry) = self
            .entry(name)
            .filter(|entry| entry.target == TargetState::Running)
        else {
            return;
        };
        if self
            .slots()
            .get(name)
            .is_some_and(|slot| slot.running.is_some())
        {
            return;
        }
        let started = match self.resolve(entry.config).await {
            Ok(config) => {
                for note in &config.notes {
                    info!(
                        connector = name,
                        key = note.key,
                        reason = note.reason,
                        "a key has no effect"
                    );
                }
                let started = self.0.engine.start(name, &config).await;
                started.map_err(|error| error.to_string())
            }
            // Of a version that took it.
            Err(errors) => {
                let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
                Err(format!(
                    "the configuration cannot be honoured any more: {}",
                    errors.join("; ")
                ))
            }
        };
        let slot = match started {
            Ok(running) => {
                info!(connector = name, "connector started");
                Slot {
                    running: Some(running),
                    failed: None,
                }
            }
            Err(reason) => {
                warn!(connector = name, reason, "a connector cannot begin");
                Slot {
                    running: None,
                    failed: Some(reason),
                }
            }
        };
        self.slots().insert(name.to_owned(), slot);
    }

    async fn stop(&self, name: &str) {
        let slot = self.slots().remove(name);
        let Some(running) = slot.and_then(|slot| slot.running) else {
            return;
        };
        match tokio::time::timeout(self.0.options.stop_time_max, running.stop()).await {
            Ok(()) => info!(connector = name, "connector stopped"),
            // The one after it fences it.
            Err(_) => warn!(
                connector = name,
                "a connector did not stop in time and was let go"
            ),
        }
    }

    async fn start_anew(&self, name: &str) {
        self.stop(name).await;
        self.start(name).await;
    }

    fn info_of(name: &str, entry: &Entry, tasks: usize) -> ConnectorInfo {
        let connector = name.to_owned();
        let id = |task| TaskId {
            connector: connector.clone(),
            task,
        };
        ConnectorInfo {
            name: name.to_owned(),
            config: shown(&entry.config),
            tasks: (0..tasks).map(id).collect(),
            kind: "source",
        }
    }

    /// Judges, writes and begins.
    async fn take(
        &self,
        name: &str,
        config: ConfigMap,
        target: TargetState,
    ) -> Result<ConnectorInfo, WorkerError> {
        check_class(&config)?;
        if let Err(errors) = self.resolve(config.clone()).await {
            let errors = errors.iter().map(ToString::to_string).collect();
            return Err(WorkerError::Invalid { errors });
        }
        if name.chars().count() > NAME_CHARS_MAX {
            let errors = vec![format!("name: longer than {NAME_CHARS_MAX} characters")];
            return Err(WorkerError::Invalid { errors });
        }
        let entry = Entry { config, target };
        self.put(name, entry.clone()).await?;
        self.start_anew(name).await;
        Ok(Self::info_of(name, &entry, self.task_count(name)))
    }

    fn task_count(&self, name: &str) -> usize {
        self.status(name).map_or(0, |status| status.tasks.len())
    }

    fn task(&self, id: usize, report: TaskReport) -> TaskPart {
        TaskPart {
            id,
            state: report.state,
            worker_id: self.0.options.identity.worker_id.clone(),
            trace: report.trace,
            version: CONNECTOR_VERSION.to_owned(),
        }
    }
}

/// Tasks that a configuration asks for; 1 where a variable hides it.
fn task_number(config: &ConfigMap) -> usize {
    let number = |key: &str| config.get(key)?.trim().parse().ok();
    let number: Option<usize> = number("daybook.readers").or_else(|| number("tasks.max"));
    number.unwrap_or(1).min(READERS_MAX as usize)
}

/// What goes out.
fn shown(config: &ConfigMap) -> ConfigMap {
    let hide = |(key, value): (&String, &String)| {
        let hidden = is_secret(key) && !value.is_empty();
        let value = if hidden { HIDDEN } else { value };
        (key.clone(), value.to_owned())
    };
    config.iter().map(hide).collect()
}

/// What came back as it was shown is what it was.
fn restored(mut config: ConfigMap, before: Option<&Entry>) -> ConfigMap {
    for (key, value) in &mut config {
        if value == HIDDEN && is_secret(key) {
            let known = before.and_then(|entry| entry.config.get(key));
            if let Some(known) = known {
                value.clone_from(known);
            }
        }
    }
    config
}

/// Kafka Connect judges a configuration by its class, and without one not at all.
fn check_class(config: &ConfigMap) -> Result<(), WorkerError> {
    let Some(class) = config.get("connector.class") else {
        let keys: Vec<&str> = config.keys().map(String::as_str).collect();
        return Err(WorkerError::BadRequest {
            message: format!(
                "Connector config {{{}}} contains no connector type",
                keys.join(", ")
            ),
        });
    };
    match is_connector(class) {
        true => Ok(()),
        false => Err(WorkerError::BadRequest {
            message: format!(
                "Failed to find any class that implements Connector and which name matches {class}, available connectors are: \
                 {CONNECTOR_CLASS}"
            ),
        }),
    }
}

fn is_connector(class: &str) -> bool {
    class == CONNECTOR_CLASS || CONNECTOR_ALIASES.contains(&class)
}

const OFFSETS: &str = "a queue has no offsets to be set: what was delivered left it, and what is on it will be delivered. To \
                       deliver a message again, put it to the queue again";

#[async_trait]
impl Worker for Supervisor {
    fn server(&self) -> ServerInfo {
        self.0.options.identity.server.clone()
    }

    fn unready(&self) -> Option<String> {
        None
    }

    fn plugins(&self) -> Vec<Plugin> {
        let plugin = |class: &str, kind: &str| Plugin {
            class: class.to_owned(),
            kind: kind.to_owned(),
            version: CONNECTOR_VERSION.to_owned(),
        };
        vec![
            plugin(CONNECTOR_CLASS, "source"),
            plugin(
                "org.apache.kafka.connect.converters.ByteArrayConverter",
                "converter",
            ),
            plugin("org.apache.kafka.connect.json.JsonConverter", "converter"),
            plugin(
                "org.apache.kafka.connect.storage.StringConverter",
                "converter",
            ),
            plugin(
                "org.apache.kafka.connect.json.JsonConverter",
                "header_converter",
            ),
            plugin(
                "org.apache.kafka.connect.storage.SimpleHeaderConverter",
                "header_converter",
            ),
            plugin(
                "org.apache.kafka.connect.storage.StringConverter",
                "header_converter",
            ),
        ]
    }

    fn plugin_config(&self, plugin: &str) -> Result<PluginConfig, WorkerError> {
        match is_connector(plugin) {
            true => Ok(definitions()),
            false => Err(WorkerError::NotFound {
                message: format!("Unknown plugin {plugin}."),
            }),
        }
    }

    async fn validate(&self, plugin: &str, config: ConfigMap) -> Result<Validation, WorkerError> {
        if let Some(class) = config.get("connector.class") {
            let simple = |name: &str| {
                let name = name.rsplit('.').next().unwrap_or_default();
                name.strip_suffix("Connector").unwrap_or(name).to_owned()
            };
            if simple(class) != simple(plugin) {
                return Err(WorkerError::BadRequest {
                    message: format!(
                        "Included connector type {class} does not match request type {plugin}"
                    ),
                });
            }
        }
        check_class(&config)?;
        let before = config.get("name").and_then(|name| self.entry(name));
        let config = restored(config, before.as_ref());
        let options = Arc::clone(&self.0.options);
        let judged = tokio::task::spawn_blocking(move || {
            validate_resolved(&config, &|variable| options.variables.find(variable))
        });
        judged.await.map_err(|error| WorkerError::Internal {
            message: format!("the configuration was not judged: {error}"),
        })
    }

    fn connectors(&self) -> Vec<String> {
        self.entries().keys().cloned().collect()
    }

    fn info(&self, name: &str) -> Result<ConnectorInfo, WorkerError> {
        let entry = self.known(name)?;
        Ok(Self::info_of(name, &entry, self.task_count(name)))
    }

    fn status(&self, name: &str) -> Result<ConnectorStatus, WorkerError> {
        let Some(entry) = self.entry(name) else {
            return Err(WorkerError::NotFound {
                message: format!("No status found for connector {name}"),
            });
        };
        let slots = self.slots();
        let slot = slots.get(name);
        // As many as there would be.
        let idle = |state| {
            let readers = task_number(&entry.config);
            let report = TaskReport { state, trace: None };
            vec![report; readers]
        };
        let (state, trace, reports) = match (entry.target, slot) {
            (TargetState::Stopped, _) => (State::Stopped, None, Vec::new()),
            (TargetState::Paused, _) => (State::Paused, None, idle(State::Paused)),
            (TargetState::Running, Some(slot)) => match (&slot.running, &slot.failed) {
                (Some(running), _) => (State::Running, None, running.tasks()),
                (None, reason) => (State::Failed, reason.clone(), Vec::new()),
            },
            // Between its end and its beginning.
            (TargetState::Running, None) => (State::Restarting, None, idle(State::Restarting)),
        };
        let reports = (0..).zip(reports);
        Ok(ConnectorStatus {
            name: name.to_owned(),
            connector: ConnectorPart {
                state,
                worker_id: self.0.options.identity.worker_id.clone(),
                trace,
                version: CONNECTOR_VERSION.to_owned(),
            },
            tasks: reports.map(|(id, report)| self.task(id, report)).collect(),
            kind: "source",
        })
    }

    fn tasks(&self, name: &str) -> Result<Vec<TaskInfo>, WorkerError> {
        let info = self.info(name)?;
        let mut config = info.config;
        config.insert(
            "task.class".to_owned(),
            "com.ibm.eventstreams.connect.mqsource.MQSourceTask".to_owned(),
        );
        let task = |id| TaskInfo {
            id,
            config: config.clone(),
        };
        Ok(info.tasks.into_iter().map(task).collect())
    }

    fn topics(&self, name: &str) -> Result<Vec<String>, WorkerError> {
        let slots = self.slots();
        let running = slots.get(name).and_then(|slot| slot.running.as_ref());
        Ok(running.map_or_else(Vec::new, |running| running.topics().into_iter().collect()))
    }

    fn reset_topics(&self, name: &str) -> Result<(), WorkerError> {
        if let Some(running) = self
            .slots()
            .get(name)
            .and_then(|slot| slot.running.as_ref())
        {
            running.reset_topics();
        }
        Ok(())
    }

    async fn create(
        &self,
        name: &str,
        config: ConfigMap,
        target: TargetState,
    ) -> Result<ConnectorInfo, WorkerError> {
        let _turn = self.0.turn.lock().await;
        if self.entry(name).is_some() {
            return Err(WorkerError::Exists {
                name: name.to_owned(),
            });
        }
        self.take(name, config, target).await
    }

    async fn put_config(
        &self,
        name: &str,
        config: ConfigMap,
    ) -> Result<(ConnectorInfo, bool), WorkerError> {
        let _turn = self.0.turn.lock().await;
        let before = self.entry(name);
        let target = before
            .as_ref()
            .map_or_else(TargetState::default, |entry| entry.target);
        let config = restored(config, before.as_ref());
        let info = self.take(name, config, target).await?;
        Ok((info, before.is_none()))
    }

    async fn patch_config(
        &self,
        name: &str,
        changes: BTreeMap<String, Option<String>>,
    ) -> Result<ConnectorInfo, WorkerError> {
        let _turn = self.0.turn.lock().await;
        let before = self.known(name)?;
        let mut config = before.config.clone();
        for (key, value) in changes {
            match value {
                Some(value) => config.insert(key, value),
                None => config.remove(&key),
            };
        }
        let config = restored(config, Some(&before));
        if config.get("name").is_some_and(|other| other != name) {
            return Err(WorkerError::BadRequest {
                message: format!("the name of {name} cannot be changed; create another connector"),
            });
        }
        self.take(name, config, before.target).await
    }

    async fn delete(&self, name: &str) -> Result<(), WorkerError> {
        let _turn = self.0.turn.lock().await;
        self.known(name)?;
        let owned = name.to_owned();
        self.write(move |registry| registry.remove(&owned)).await?;
        self.stop(name).await;
        Ok(())
    }

    async fn set_target(&self, name: &str, target: TargetState) -> Result<(), WorkerError> {
        let _turn = self.0.turn.lock().await;
        let Some(entry) = self.entry(name) else {
            return Err(WorkerError::NotFound {
                message: format!("Unknown connector {name}"),
            });
        };
        if entry.target == target {
            return Ok(());
        }
        self.put(name, Entry { target, ..entry }).await?;
        match target {
            TargetState::Running => self.start(name).await,
            TargetState::Paused | TargetState::Stopped => self.stop(name).await,
        }
        Ok(())
    }

    async fn restart(
        &self,
        name: &str,
        request: RestartRequest,
    ) -> Result<ConnectorStatus, WorkerError> {
        let _turn = self.0.turn.lock().await;
        let unknown = |_| WorkerError::NotFound {
            message: format!("Unknown connector: {name}"),
        };
        let mut status = self.status(name).map_err(unknown)?;
        let connector = status.connector.state == State::Failed || !request.only_failed;
        let wanted = |part: &TaskPart| {
            request.include_tasks && (part.state == State::Failed || !request.only_failed)
        };
        let tasks = status.tasks.iter().any(wanted);
        // What is paused or stopped has nothing to restart. A connector is its tasks: alone it is
        // restarted only where it could not begin.
        let idle = matches!(status.connector.state, State::Paused | State::Stopped);
        if !idle && (tasks || status.connector.state == State::Failed && connector) {
            self.start_anew(name).await;
            for part in &mut status.tasks {
                (part.state, part.trace) = (State::Restarting, None);
            }
            (status.connector.state, status.connector.trace) = (State::Restarting, None);
        }
        Ok(status)
    }

    async fn restart_task(&self, name: &str, task: usize) -> Result<(), WorkerError> {
        let _turn = self.0.turn.lock().await;
        let status = self.status(name).map_err(|_| WorkerError::NotFound {
            message: format!("Unknown connector: {name}"),
        })?;
        match status.tasks.iter().find(|part| part.id == task) {
            None => Err(WorkerError::NotFound {
                message: format!("Unknown task: {name}-{task}"),
            }),
            Some(part) if part.state == State::Paused => Ok(()),
            Some(_) => {
                self.start_anew(name).await;
                Ok(())
            }
        }
    }

    async fn offsets(&self, name: &str) -> Result<ConnectorOffsets, WorkerError> {
        self.known(name)?;
        let slots = self.slots();
        let running = slots.get(name).and_then(|slot| slot.running.as_ref());
        Ok(ConnectorOffsets {
            offsets: running.map_or_else(Vec::new, |running| running.offsets()),
        })
    }

    async fn alter_offsets(&self, name: &str, _: ConnectorOffsets) -> Result<String, WorkerError> {
        self.known(name)?;
        Err(WorkerError::BadRequest {
            message: OFFSETS.to_owned(),
        })
    }

    async fn reset_offsets(&self, name: &str) -> Result<String, WorkerError> {
        self.known(name)?;
        Err(WorkerError::BadRequest {
            message: OFFSETS.to_owned(),
        })
    }

    fn log_levels(&self) -> &LogLevels {
        &self.0.levels
    }
}
