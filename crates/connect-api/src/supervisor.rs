//! Runs the connectors of the registry with an engine.
//!
//! Invariants:
//!
//! - A connector is running only if its target is `RUNNING`, and at most once.
//! - The registry is written first: what a crash leaves behind is what [`Supervisor::begin`] begins.
//! - Nothing is started anew by itself. An engine tries for ever what may pass; what it reports as
//!   failed stays so until somebody restarts it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use connector::ibm::{
    CONNECTOR_ALIASES, CONNECTOR_CLASS, CONNECTOR_VERSION, ConfigError, ConfigMap, IbmConfig,
    READERS_MAX, is_secret,
};
use tracing::{info, warn};

use crate::engine::{Engine, Running, TaskReport};
use crate::error::WorkerError;
use crate::levels::LogLevels;
use crate::registry::{Entry, Registry, RegistryError, TargetState};
use crate::variables::Variables;
use crate::worker::{ConnectorInfo, ServerInfo, TaskId, TaskPart, Worker};

/// Most characters of a connector's name.
const NAME_CHARS_MAX: usize = 200;
/// How passwords are shown, in Kafka Connect's word.
const HIDDEN: &str = "[hidden]";

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
pub(crate) struct Slot {
    pub(crate) running: Option<Box<dyn Running>>,
    /// Why it could not begin.
    pub(crate) failed: Option<String>,
}

pub(crate) struct Inner {
    engine: Box<dyn Engine>,
    /// Held while the disk is waited for.
    registry: Mutex<Registry>,
    /// What is in it, for those who do not wait.
    entries: Mutex<Arc<BTreeMap<String, Entry>>>,
    slots: Mutex<BTreeMap<String, Slot>>,
    /// Held by whoever changes something.
    pub(crate) turn: tokio::sync::Mutex<()>,
    pub(crate) options: Arc<SupervisorOptions>,
    pub(crate) levels: LogLevels,
}

/// The worker that runs connectors. Clones are the same one.
#[derive(Clone)]
pub struct Supervisor(pub(crate) Arc<Inner>);

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

    pub(crate) fn slots(&self) -> MutexGuard<'_, BTreeMap<String, Slot>> {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn entries(&self) -> Arc<BTreeMap<String, Entry>> {
        let entries = self.0.entries.lock();
        Arc::clone(&entries.unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn entry(&self, name: &str) -> Option<Entry> {
        self.entries().get(name).cloned()
    }

    pub(crate) fn known(&self, name: &str) -> Result<Entry, WorkerError> {
        self.entry(name)
            .ok_or_else(|| WorkerError::no_connector(name))
    }

    /// On a thread that may wait for the disk.
    pub(crate) async fn write(
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
    pub(crate) async fn resolve(&self, config: ConfigMap) -> Result<IbmConfig, Vec<ConfigError>> {
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

    pub(crate) async fn put(&self, name: &str, entry: Entry) -> Result<(), WorkerError> {
        let name = name.to_owned();
        self.write(move |registry| registry.put(&name, entry)).await
    }

    /// Begins it if it is to run and does not.
    pub(crate) async fn start(&self, name: &str) {
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

    pub(crate) async fn stop(&self, name: &str) {
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

    pub(crate) async fn start_anew(&self, name: &str) {
        self.stop(name).await;
        self.start(name).await;
    }

    pub(crate) fn info_of(name: &str, entry: &Entry, tasks: usize) -> ConnectorInfo {
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
    pub(crate) async fn take(
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

    pub(crate) fn task_count(&self, name: &str) -> usize {
        self.status(name).map_or(0, |status| status.tasks.len())
    }

    pub(crate) fn task(&self, id: usize, report: TaskReport) -> TaskPart {
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
pub(crate) fn task_number(config: &ConfigMap) -> usize {
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
pub(crate) fn restored(mut config: ConfigMap, before: Option<&Entry>) -> ConfigMap {
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
pub(crate) fn check_class(config: &ConfigMap) -> Result<(), WorkerError> {
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

pub(crate) fn is_connector(class: &str) -> bool {
    class == CONNECTOR_CLASS || CONNECTOR_ALIASES.contains(&class)
}
