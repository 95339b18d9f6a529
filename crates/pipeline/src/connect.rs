//! Connectors that the Connect API manages, or that are named on the command line: IBM's configuration, Daybook's
//! engine.
//!
//! ```text
//! Connect API (port 8083) ──▶ Supervisor ──▶ MqEngine (here) ──▶ one Connector a queue
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use connect_api::{
    ConnectApi, ConnectorOffset, Engine, Identity, LogLevels, Registry,
    Running as RunningConnector, ServerInfo, ServerOptions, StartError as CannotStart, State,
    Supervisor, SupervisorOptions, TaskReport, Variables,
};
use connector::ibm::{ConfigFile, IbmConfig, Poison, QueueName, Tls, store_error};
use connector::{BatchLimits, Connector, ConnectorOptions, IbmRecords, MqSource, ReportState};
use kafka_client::{Cluster, TopicSpec};
use mq_client::{ClientOptions, ClientTls, ClientTlsFiles};
use serde_json::json;
use telemetry::Telemetry;
use tokio_util::sync::CancellationToken;
use tracing::info;
use types::{names, report};

use crate::start::{StartError, failed};

/// Bytes of a certificate store that tell what it is.
const STORE_BYTES: usize = 16;
/// Most characters of the name of a topic.
const TOPIC_CHARS_MAX: usize = 249;

/// How log levels are changed while the program runs: given directives, it says why they cannot be used.
pub type ApplyLevels = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// Runs connectors with this program's readers.
pub(crate) struct MqEngine {
    cluster: Cluster,
    telemetry: Arc<Telemetry>,
}

/// One connector: its queues, each with readers of its own.
struct Carried {
    queue_manager: String,
    queues: Vec<(String, Connector)>,
    stop: CancellationToken,
}

impl MqEngine {
    pub(crate) fn new(cluster: &Cluster, telemetry: &Arc<Telemetry>) -> Self {
        Self {
            cluster: cluster.clone(),
            telemetry: Arc::clone(telemetry),
        }
    }

    async fn make_topics(&self, config: &IbmConfig, queues: &[String]) -> Result<(), CannotStart> {
        let internal = |name: String| TopicSpec {
            name,
            partitions: 1,
            config: vec![
                ("cleanup.policy", "delete".to_owned()),
                ("retention.ms", "-1".to_owned()),
            ],
        };
        let mut topics: Vec<TopicSpec> = queues
            .iter()
            .map(|queue| internal(id_log(&config.name, queue)))
            .collect();
        topics.push(internal(names::TOPIC_DISCARDED.to_owned()));
        let cluster = &self.cluster;
        let made = cluster.ensure_topics(&topics).await;
        made.map_err(|error| cannot(report(&error)))?;
        let Some(creation) = &config.topic_creation else {
            return Ok(());
        };
        let wanted: BTreeSet<String> = queues.iter().map(|queue| config.topic.of(queue)).collect();
        let settings = creation.settings.iter();
        let settings: Vec<(&str, String)> = settings
            .map(|(key, value)| (key.as_str(), value.clone()))
            .collect();
        let wanted: Vec<String> = wanted.into_iter().collect();
        let made = cluster.ensure_topics_as(
            &wanted,
            creation.partitions,
            i32::from(creation.replication_factor),
            &settings,
        );
        made.await.map_err(|error| cannot(report(&error)))
    }

    fn carry(
        &self,
        config: &IbmConfig,
        options: &Arc<ClientOptions>,
        queue: &str,
        stop: &CancellationToken,
    ) -> Result<Connector, CannotStart> {
        let mut cluster = self.cluster.clone();
        cluster.properties.extend(config.producer.clone());
        let connector = ConnectorOptions {
            queue: queue.to_owned(),
            topic: config.topic.of(queue),
            id_log: id_log(&config.name, queue),
            instance: format!("{}-{}", id_log(&config.name, queue), unique()),
            readers: usize::try_from(config.readers).unwrap_or(1),
            batch: BatchLimits {
                messages_max: usize::try_from(config.batch.messages_max).unwrap_or(1),
                first_wait: config.batch.first_wait,
                next_wait: config.batch.next_wait,
                gather_max: config.batch.gather_max,
                ..BatchLimits::default()
            },
            records: Some(Arc::new(IbmRecords::new(config))),
            // As one that cannot be converted; a topic for dead letters would refuse it too.
            refused_queue: match &config.errors.poison {
                Poison::Queue(queue) => Some(queue.clone()),
                Poison::Fail | Poison::Skip | Poison::Topic { .. } => None,
            },
        };
        let source = Box::new(MqSource::new(Arc::clone(options)));
        let started = Connector::start(connector, source, cluster, &self.telemetry, stop.clone());
        started.map_err(|error| cannot(report(&error)))
    }
}

fn cannot(message: String) -> CannotStart {
    CannotStart { message }
}

/// All processes that run this connector share it.
fn id_log(connector: &str, queue: &str) -> String {
    let legal = |char: char| match char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-') {
        true => char,
        false => '_',
    };
    let name = format!("{}_{connector}_{queue}", names::TOPIC_DELIVERED);
    name.chars().map(legal).take(TOPIC_CHARS_MAX).collect()
}

/// What no other process of this moment has in its name.
pub(crate) fn unique() -> String {
    let micros = telemetry::now_micros() & 0xff_ffff_ffff;
    format!("{micros:x}-{:x}", std::process::id())
}

fn client_options(config: &IbmConfig) -> Result<ClientOptions, CannotStart> {
    let connection = &config.connection;
    let Some(first) = connection.hosts.first() else {
        return Err(cannot(
            "mq.connection.name.list names no queue manager".to_owned(),
        ));
    };
    let tls = match &connection.tls {
        None => None,
        Some(tls) => Some(client_tls(tls)?),
    };
    Ok(ClientOptions {
        hosts: connection.hosts.clone(),
        queue_manager: connection.queue_manager.clone(),
        user: connection.user.clone(),
        password: connection.password.clone(),
        tls,
        ..ClientOptions::new(first.clone(), &connection.channel)
    })
}

fn client_tls(tls: &Tls) -> Result<ClientTls, CannotStart> {
    let files = ClientTlsFiles {
        ca: tls.truststore.clone(),
        identity: tls.keystore.clone().map(|store| (store.clone(), store)),
    };
    ClientTls::load(&files).map_err(|error| {
        let stores = [
            ("mq.ssl.truststore.location", Some(&tls.truststore)),
            ("mq.ssl.keystore.location", tls.keystore.as_ref()),
        ];
        let advice = stores.into_iter().find_map(|(key, path)| {
            let path = path?;
            let begin: Vec<u8> = std::fs::read(path)
                .ok()?
                .into_iter()
                .take(STORE_BYTES)
                .collect();
            store_error(key, &path.display().to_string(), &begin)
        });
        cannot(advice.unwrap_or_else(|| report(&error)))
    })
}

#[async_trait]
impl Engine for MqEngine {
    async fn start(
        &self,
        name: &str,
        config: &IbmConfig,
    ) -> Result<Box<dyn RunningConnector>, CannotStart> {
        let options = Arc::new(client_options(config)?);
        let mut queues = Vec::new();
        for queue in &config.queues {
            match queue {
                QueueName::Exact(queue) => queues.push(queue.clone()),
                QueueName::Prefix(prefix) => {
                    let found = crate::queue_names::begin_with(&options, prefix).await;
                    queues.extend(found.map_err(|error| cannot(report(&error)))?);
                }
            }
        }
        queues.sort();
        queues.dedup();
        if queues.is_empty() {
            return Err(cannot(
                "no queue has a name that fits daybook.queues".to_owned(),
            ));
        }
        self.make_topics(config, &queues).await?;
        let stop = CancellationToken::new();
        let mut carried = Carried {
            queue_manager: config.connection.queue_manager.clone(),
            queues: Vec::new(),
            stop,
        };
        for queue in queues {
            let connector = self.carry(config, &options, &queue, &carried.stop)?;
            carried.queues.push((queue, connector));
        }
        info!(
            connector = name,
            queues = carried.queues.len(),
            "a connector begins"
        );
        Ok(Box::new(carried))
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[async_trait]
impl RunningConnector for Carried {
    fn tasks(&self) -> Vec<TaskReport> {
        let reports = self
            .queues
            .iter()
            .flat_map(|(_, connector)| connector.report().readers);
        reports
            .map(|reader| match reader {
                ReportState::Running(trace) => TaskReport {
                    state: State::Running,
                    trace,
                },
                ReportState::Failed(trace) => TaskReport {
                    state: State::Failed,
                    trace: Some(trace),
                },
            })
            .collect()
    }

    fn topics(&self) -> BTreeSet<String> {
        let reports = self
            .queues
            .iter()
            .flat_map(|(_, connector)| connector.report().topics);
        reports.collect()
    }

    fn reset_topics(&self) {
        self.queues
            .iter()
            .for_each(|(_, connector)| connector.reset_topics());
    }

    fn offsets(&self) -> Vec<ConnectorOffset> {
        let offsets = self
            .queues
            .iter()
            .map(|(queue, connector)| ConnectorOffset {
                // As IBM's connector names its source.
                partition: BTreeMap::from([(
                    "source".to_owned(),
                    json!(format!("{}/{queue}", self.queue_manager)),
                )]),
                offset: Some(BTreeMap::from([(
                    "delivered-since-start".to_owned(),
                    json!(connector.report().delivered),
                )])),
            });
        offsets.collect()
    }

    async fn stop(mut self: Box<Self>) {
        self.stop.cancel();
        let queues = std::mem::take(&mut self.queues);
        let joined = tokio::task::spawn_blocking(move || {
            queues
                .into_iter()
                .for_each(|(_, connector)| connector.join());
        });
        let _ = joined.await;
    }
}

/// The Connect API and what it manages.
#[derive(Debug)]
pub(crate) struct Connect {
    pub(crate) address: SocketAddr,
    pub(crate) supervisor: Supervisor,
}

/// Begins the connectors of the registry, and serves.
pub(crate) async fn serve(
    engine: MqEngine,
    address: SocketAddr,
    directory: &Path,
    variables: Variables,
    levels: Option<ApplyLevels>,
    stop: &CancellationToken,
) -> Result<Connect, StartError> {
    let directory = directory.to_owned();
    let registry = tokio::task::spawn_blocking(move || Registry::open(&directory));
    let registry = registry.await.map_err(failed("connect"))?;
    let registry = registry.map_err(failed("connect"))?;
    let identity = Identity {
        server: ServerInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: String::new(),
            kafka_cluster_id: String::new(),
        },
        worker_id: address.to_string(),
    };
    let levels = LogLevels::new("warn", move |directives| match &levels {
        Some(apply) => apply(directives),
        None => Err("the levels of this process cannot be changed".to_owned()),
    });
    let options = SupervisorOptions {
        variables,
        ..SupervisorOptions::new(identity)
    };
    let supervisor = Supervisor::new(engine, registry, options, levels);
    let options = ServerOptions {
        listen: address,
        ..ServerOptions::default()
    };
    let worker = Arc::new(supervisor.clone());
    let api = ConnectApi::bind(options, worker)
        .await
        .map_err(failed("connect"))?;
    let address = api.local_addr();
    supervisor.begin().await;
    tokio::spawn(api.run(stop.clone()));
    Ok(Connect {
        address,
        supervisor,
    })
}

/// Connectors of configuration files, as a standalone worker of Kafka Connect has them.
pub(crate) struct Standalone(Vec<Box<dyn RunningConnector>>);

impl std::fmt::Debug for Standalone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Standalone").field(&self.0.len()).finish()
    }
}

/// What is wrong with the configuration of a connector of IBM's, each with its key; nothing is opened.
pub fn connector_mistakes(file: &ConfigFile) -> Vec<String> {
    match IbmConfig::from(&file.config) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

impl Standalone {
    pub(crate) async fn start(
        engine: &MqEngine,
        files: &[(String, ConfigFile)],
    ) -> Result<Self, StartError> {
        let mut running = Vec::new();
        for (path, file) in files {
            let config = IbmConfig::from(&file.config).map_err(|errors| {
                let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
                failed("connect")(format!("{path}: {}", errors.join("\n  ")))
            })?;
            for note in &config.notes {
                info!(
                    path,
                    key = note.key,
                    reason = note.reason,
                    "a key has no effect"
                );
            }
            let started = engine.start(&config.name, &config).await;
            let started = started.map_err(|error| failed("connect")(format!("{path}: {error}")))?;
            running.push(started);
        }
        Ok(Self(running))
    }

    pub(crate) async fn stop(self) {
        for connector in self.0 {
            connector.stop().await;
        }
    }
}
