//! The supervisor as the API sees it: one operation after the other, reading beside them.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use connector::ibm::{
    CONNECTOR_CLASS, CONNECTOR_VERSION, ConfigMap, Validation, definitions, validate_resolved,
};

use crate::engine::TaskReport;
use crate::error::WorkerError;
use crate::levels::LogLevels;
use crate::registry::{Entry, TargetState};
use crate::supervisor::{Supervisor, check_class, is_connector, restored, task_number};
use crate::worker::{
    ConnectorInfo, ConnectorOffsets, ConnectorPart, ConnectorStatus, Plugin, PluginConfig,
    RestartRequest, ServerInfo, State, TaskInfo, TaskPart, Worker,
};

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
