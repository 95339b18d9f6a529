//! Starts every part, downstream first, and stops them, upstream first.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aggregate::{Aggregator, SpillOptions, TOPIC_COUNTS, parse_control, parse_counts};
use connect_api::Variables;
use connector::ibm::ConfigFile;
use connector::{BatchLimits, Connector, ConnectorOptions, MqSource, QueueSource, Source};
use gateway::{Gateway, SystemClock};
use inspect::{Inspector, Sources};
use kafka_broker::Broker;
use kafka_client::Cluster;
use mq_server::Server;
use queue_manager::{QueueDefinition, QueueManager};
use sender::Target;
use sink::{Sink, SinkOptions};
use store::StoreTarget;
use telemetry::Telemetry;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use types::{Boxed, names};
use web::{AggregationView, Web, WebOptions};

use crate::admin::{self, Readiness};
use crate::check::Plan;
use crate::config::{ConnectorConfig, Place};
use crate::connect::{self, ApplyLevels, Connect, MqEngine, Standalone};
use crate::directories;
use crate::intake::{self, IntakeConfig};
use crate::lag::{self, Watched};
use crate::levels;
use crate::log;
use crate::mq_outbox::MqOutbox;
use crate::outbox::{AnyOutbox, QueueOutbox};
use crate::postgres;
use crate::queue;
use crate::reload::Reload;
use crate::spool::{self, SpoolingOutbox};
use crate::store_target::store_target;
use crate::topics;

/// How long the whole may take to carry accepted transactions through after a stop was asked for.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);
/// How long the start waits for a part that may come later.
const READY_TIME_MAX: Duration = Duration::from_secs(10);
/// A part that a process can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// HTTP in.
    Gateway,
    /// The embedded queue manager; without it gateway and connector reach one by MQ's protocol.
    Queue,
    /// Queue to log.
    Connector,
    /// The embedded broker; part of every process whose log is embedded.
    Log,
    /// The aggregations.
    Aggregate,
    /// Results into the store.
    Sink,
    /// Page and API.
    Web,
    /// Queries over PostgreSQL's protocol.
    Postgres,
}

/// What to start, and where its files are.
#[derive(Clone)]
pub struct StartOptions {
    /// Everything on disk.
    pub data_dir: PathBuf,
    /// Parts of this process.
    pub parts: Vec<Part>,
    /// The page says that the traffic is made up.
    pub demo: bool,
    /// Connectors to run instead of the one of the gateway's queue, with the paths of their files.
    pub connectors: Vec<(String, ConfigFile)>,
    /// Changes what is logged.
    pub levels: Option<ApplyLevels>,
}

impl std::fmt::Debug for StartOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StartOptions")
            .field("data_dir", &self.data_dir)
            .field("parts", &self.parts)
            .field("connectors", &self.connectors)
            .finish_non_exhaustive()
    }
}

/// The pipeline could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The data directory cannot be used.
    #[error("cannot {what} {path}")]
    DataDir {
        /// What was tried.
        what: &'static str,
        /// Directory or file.
        path: PathBuf,
        /// From the operating system.
        #[source]
        source: std::io::Error,
    },
    /// Another process uses the data directory.
    #[error(
        "the data directory {path} is in use by another daybook; stop it, or choose another with --data-dir"
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A part did not start.
    #[error("{part} did not start")]
    Part {
        /// Which.
        part: &'static str,
        /// Why, and what to do.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The queue's address is taken.
    #[error(
        "cannot listen on {address} (MQ); a queue manager has it? --port-offset N moves all ports"
    )]
    Mq {
        /// The address.
        address: SocketAddr,
        /// From the operating system.
        #[source]
        source: std::io::Error,
    },
    /// The admin endpoint's address is taken.
    #[error(
        "cannot listen on {address} (admin); another process has it? --port-offset N moves all ports"
    )]
    Admin {
        /// The address.
        address: SocketAddr,
        /// From the operating system.
        #[source]
        source: std::io::Error,
    },
}

pub(crate) fn failed<E>(part: &'static str) -> impl FnOnce(E) -> StartError
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    move |error| StartError::Part {
        part,
        source: error.into(),
    }
}

/// A running pipeline.
#[derive(Debug)]
pub struct Running {
    /// Where the gateway listens.
    pub gateway: Option<SocketAddr>,
    /// Where the page is.
    pub web: Option<SocketAddr>,
    /// Where PostgreSQL's clients connect to.
    pub postgres: Option<SocketAddr>,
    /// Where Kafka clients connect to.
    pub kafka: String,
    /// Health and metrics.
    pub admin: SocketAddr,
    /// Where MQ clients connect to.
    pub mq: Option<SocketAddr>,
    /// The queues, if they are in this process.
    pub queue: Option<QueueManager>,
    /// All counters.
    pub telemetry: Arc<Telemetry>,
    broker: Option<Broker>,
    front: CancellationToken,
    back: CancellationToken,
    gateway_task: Option<JoinHandle<()>>,
    /// Carries on what waits in the spool; ends with `back`.
    spool_task: Option<JoinHandle<()>>,
    /// What feeds the gateway from files and queues.
    feeders: Vec<JoinHandle<()>>,
    web_task: Option<JoinHandle<()>>,
    listener: Option<Server>,
    connector: Option<Connector>,
    connect: Option<Connect>,
    standalone: Option<Standalone>,
    aggregators: Vec<Aggregator>,
    sink: Option<Sink>,
    lag_task: Option<JoinHandle<()>>,
    queries: Option<query::Server>,
    lock: Option<File>,
}

/// Starts the parts, downstream first; returns when all are ready. `announce` is told of each part
/// as it becomes ready, with its address or what it found.
///
/// # Errors
///
/// [`StartError`] of the first part that fails; the others are stopped by dropping them.
pub fn start<'a>(
    plan: Plan,
    options: StartOptions,
    announce: &'a mut (dyn FnMut(&'static str, String) + Send),
) -> Boxed<'a, Result<Running, StartError>> {
    Box::pin(start_all(plan, options, announce))
}

async fn start_all(
    plan: Plan,
    options: StartOptions,
    announce: &mut (dyn FnMut(&'static str, String) + Send),
) -> Result<Running, StartError> {
    let has = |part| options.parts.contains(&part);
    // Gateway and connector keep nothing on disk, and queries only read.
    let stateless = |part: &Part| matches!(part, Part::Gateway | Part::Connector | Part::Postgres);
    let lock = match options.parts.iter().all(stateless) {
        true => None,
        false => Some(lock_data_dir(&options.data_dir)?),
    };
    let telemetry = Arc::new(Telemetry::default());
    for hop in ["gateway", "queue", "connector", "aggregator", "sink", "web"] {
        telemetry.hop(hop);
    }
    let readiness = Arc::new(Readiness::default());
    let (front, back) = (CancellationToken::new(), CancellationToken::new());

    // The systems that parts meet on.
    let embedded = plan.config.queue.place == Place::Embedded;
    let queue = match has(Part::Queue) && embedded {
        true => Some(queue::start(&plan, &options.data_dir)?),
        false => None,
    };
    // How a queue of another process is reached.
    let elsewhere = match &queue {
        None if has(Part::Gateway) || has(Part::Connector) => {
            Some(queue::elsewhere(&plan).map_err(failed("queue"))?)
        }
        _ => None,
    };
    let mut listener = None;
    if let Some(queue) = &queue {
        let waiting: usize = queue.status().iter().map(|status| status.depth).sum();
        let server = queue::listen(&plan, queue).await?;
        announce("queue", queue::found(&server, waiting));
        listener = Some(server);
    }
    let needs_log = options
        .parts
        .iter()
        .any(|part| !matches!(part, Part::Gateway | Part::Queue | Part::Postgres));
    // Without it: an external one, or the embedded log of another process.
    let own_log = needs_log && has(Part::Log) && plan.config.log.place == Place::Embedded;
    let broker = match own_log {
        true => Some(log::start(&plan.config.log, &options.data_dir).await?),
        false => None,
    };
    let cluster = log::log_cluster(&plan.config.log, &options.data_dir).map_err(failed("log"))?;
    if needs_log {
        if !own_log {
            log::reached(&cluster).await;
        }
        topics::ensure(&plan, &cluster).await?;
        announce(
            "log",
            format!("Kafka protocol on {}", cluster.bootstrap_servers),
        );
    }

    // The stages, so that nobody sends to one that is not there yet.
    let store = store_target(&plan.config.store, &options.data_dir).map_err(failed("store"))?;
    let sink = match has(Part::Sink) {
        true => Some(start_sink(
            &plan, &store, &cluster, own_log, &telemetry, &back,
        )?),
        false => None,
    };
    let mut aggregators = Vec::new();
    if has(Part::Aggregate) {
        for planned in &plan.aggregations {
            let mut counting = planned.options.clone();
            counting.instance = instance(&plan.config.aggregator.instance, own_log);
            let spark = plan.config.spark.as_ref();
            let spark = spark.map(|spark| Arc::new(spark.options(&options.data_dir)));
            counting.spark = spark;
            counting.standby = plan.config.aggregator.standby;
            counting.spill = Some(SpillOptions {
                directory: options.data_dir.join("spill").join(&counting.name),
                memory_bytes_max: plan.config.aggregator.state_memory_max,
            });
            let started = Aggregator::start(counting, cluster.clone(), &telemetry, back.clone());
            aggregators.push(started.map_err(failed("aggregator"))?);
        }
    }
    let lag_task = needs_log.then(|| {
        let watched = Watched {
            cluster: cluster.clone(),
            aggregations: plan
                .aggregations()
                .map(|options| (options.name.clone(), options.input.topic.clone()))
                .collect(),
            store: store.clone(),
            known: Arc::default(),
        };
        tokio::spawn(lag::watch(watched, Arc::clone(&telemetry), back.clone()))
    });
    let gateway_port = plan.config.gateway.address;
    let web = match has(Part::Web) {
        true => Some(start_web(&plan, &store, &cluster, &options, gateway_port, &telemetry).await?),
        false => None,
    };
    let own_connector = has(Part::Connector) && options.connectors.is_empty();
    let connector = match own_connector {
        true => {
            let mut options = connector_options(&plan.config.connector, &options.parts);
            let source: Box<dyn Source> = match (&queue, &elsewhere) {
                (Some(queue), _) => Box::new(QueueSource::new(queue.clone())),
                (None, Some(elsewhere)) => {
                    options.queue.clone_from(&elsewhere.transactions);
                    options.refused_queue = Some(plan.config.queue.client.backout.clone());
                    Box::new(MqSource::new(Arc::clone(&elsewhere.options)))
                }
                (None, None) => {
                    return Err(failed("connector")("it has no queue".to_owned()));
                }
            };
            let (cluster, stop) = (cluster.clone(), back.clone());
            let connector = Connector::start(options, source, cluster, &telemetry, stop);
            Some(connector.map_err(failed("connector"))?)
        }
        false => None,
    };
    // Where further messages for the gateway come from.
    let incoming: Option<Arc<dyn Source>> = match (&queue, &elsewhere) {
        (Some(queue), _) => Some(Arc::new(QueueSource::new(queue.clone()))),
        (None, Some(elsewhere)) => Some(Arc::new(MqSource::new(Arc::clone(&elsewhere.options)))),
        (None, None) => None,
    };
    let mut spool_task = None;
    let outbox = match (has(Part::Gateway), &queue, elsewhere) {
        (false, _, _) | (true, None, None) => None,
        (true, Some(queue), _) => Some(AnyOutbox::Embedded(QueueOutbox::new(
            queue.clone(),
            telemetry.hop("gateway"),
        ))),
        (true, None, Some(elsewhere)) => {
            announce("queue", queue::described(&elsewhere));
            let hop = telemetry.hop("gateway");
            let outbox = MqOutbox::new(elsewhere, Arc::clone(&hop));
            Some(match spool::limits(&plan.config.queue) {
                None => AnyOutbox::Elsewhere(outbox),
                Some(limits) => {
                    let directory = options.data_dir.join("spool");
                    let spooling = SpoolingOutbox::open(directory, limits, outbox, hop);
                    let spooling = spooling.map_err(failed("spool"))?;
                    announce(
                        "spool",
                        format!("{} messages wait in it", spooling.waiting()),
                    );
                    spool_task = Some(spool::start(&spooling, &telemetry, &back));
                    AnyOutbox::Spooling(spooling)
                }
            })
        }
    };

    let mut running = Running {
        gateway: None,
        web: None,
        postgres: None,
        kafka: match needs_log {
            true => cluster.bootstrap_servers.clone(),
            false => String::new(),
        },
        admin: plan.config.admin.address,
        mq: listener.as_ref().map(Server::address),
        queue,
        telemetry: Arc::clone(&telemetry),
        broker,
        front,
        back,
        gateway_task: None,
        spool_task,
        feeders: Vec::new(),
        web_task: None,
        listener,
        connector,
        connect: None,
        standalone: None,
        aggregators,
        sink,
        lag_task,
        queries: None,
        lock,
    };
    running.wait_ready(&readiness, announce).await?;
    if has(Part::Connector) {
        running
            .serve_connect(&plan, &options, &cluster, announce)
            .await?;
    }
    if let Some(web) = web {
        running.serve_web(web, &readiness, announce).await?;
    }
    if has(Part::Postgres) {
        running.serve_queries(&plan, store, announce).await?;
    }
    running.start_admin(&plan, &readiness).await?;
    if let Some(outbox) = outbox {
        running
            .open_gateway(plan, outbox, incoming, announce)
            .await?;
    }
    if let Some(queue) = running.queue.clone() {
        let (telemetry, stop) = (Arc::clone(&running.telemetry), running.back.clone());
        tokio::spawn(levels::watch_queue(queue, telemetry, stop));
    }
    if let Some(broker) = &running.broker {
        let (telemetry, stop) = (Arc::clone(&running.telemetry), running.back.clone());
        tokio::spawn(levels::watch_broker(broker.watch(), telemetry, stop));
    }
    Ok(running)
}

impl Running {
    /// Whether a part of this process keeps something on disk.
    pub fn keeps_data(&self) -> bool {
        self.lock.is_some()
    }

    async fn wait_ready(
        &mut self,
        readiness: &Arc<Readiness>,
        announce: &mut (dyn FnMut(&'static str, String) + Send),
    ) -> Result<(), StartError> {
        let never =
            |part| failed(part)("it stopped while starting; the log above says why".to_owned());
        for aggregator in &mut self.aggregators {
            if !aggregator.ready().await {
                return Err(never("aggregator"));
            }
            announce("aggregator", "state restored".to_owned());
        }
        if let Some(sink) = &self.sink {
            // A store elsewhere may be down: meanwhile the log keeps what it lacks.
            match ready_soon("sink", sink.readiness(), readiness).await? {
                true => announce("sink", "store open".to_owned()),
                false => warn!("the sink is not ready yet; the others begin without it"),
            }
        }
        if let Some(connector) = &mut self.connector {
            if !connector.ready().await {
                return Err(never("connector"));
            }
            announce("connector", "id log read".to_owned());
        }
        Ok(())
    }

    /// Connectors beside the one of the gateway's queue.
    async fn serve_connect(
        &mut self,
        plan: &Plan,
        options: &StartOptions,
        cluster: &Cluster,
        announce: &mut (dyn FnMut(&'static str, String) + Send),
    ) -> Result<(), StartError> {
        let engine = MqEngine::new(cluster, &self.telemetry);
        if !options.connectors.is_empty() {
            let standalone = Standalone::start(&engine, &options.connectors).await?;
            self.standalone = Some(standalone);
            for (path, _) in &options.connectors {
                announce("connector", path.clone());
            }
            return Ok(());
        }
        let address = plan.config.connector.address;
        let directory = options.data_dir.join("connect");
        let levels = options.levels.clone();
        let config = &plan.config.connector;
        let variables = Variables {
            directories: config.variable_directories.clone(),
            environment: config.variable_environment.clone(),
        };
        let connect =
            connect::serve(engine, address, &directory, variables, levels, &self.back).await?;
        let found = format!("http://{} (Kafka Connect's REST API)", connect.address);
        announce("connect", found);
        self.connect = Some(connect);
        Ok(())
    }

    async fn serve_web(
        &mut self,
        web: Web,
        readiness: &Arc<Readiness>,
        announce: &mut (dyn FnMut(&'static str, String) + Send),
    ) -> Result<(), StartError> {
        let address = web.local_addr();
        let ready = web.readiness();
        let shutdown = self.back.clone();
        self.web_task = Some(tokio::spawn(async move {
            if let Err(error) = web.run(shutdown).await {
                tracing::error!(error = %error, "web stopped");
            }
        }));
        // The page says how far it is.
        ready_soon("web", ready, readiness).await?;
        self.web = Some(address);
        announce("web", format!("http://{address}"));
        Ok(())
    }

    async fn serve_queries(
        &mut self,
        plan: &Plan,
        store: StoreTarget,
        announce: &mut (dyn FnMut(&'static str, String) + Send),
    ) -> Result<(), StartError> {
        let server = postgres::start(plan, store, &self.telemetry).await?;
        self.postgres = Some(server.address());
        announce(
            "postgres",
            format!("PostgreSQL's protocol on {}", server.address()),
        );
        self.queries = Some(server);
        Ok(())
    }

    async fn open_gateway(
        &mut self,
        plan: Plan,
        outbox: AnyOutbox,
        incoming: Option<Arc<dyn Source>>,
        announce: &mut (dyn FnMut(&'static str, String) + Send),
    ) -> Result<(), StartError> {
        let intakes = intake::planned(&plan.config.intakes, &plan.sources);
        self.make_queues(&plan.config.intakes).await?;
        let directories = plan.config.directories;
        // Found before the gateway takes the sources, and begun when it answers.
        let cuts = directories::cuts(&directories, &plan.sources);
        let gateway = Gateway::bind(
            plan.config.gateway,
            plan.sources,
            outbox,
            Arc::new(SystemClock),
        )
        .await;
        let gateway = gateway.map_err(failed("gateway"))?;
        let (address, further) = (gateway.local_addr(), gateway.further());
        let taking = gateway.intake();
        let telemetry = &self.telemetry;
        let reload = Reload::new(
            plan.config.sources_dir,
            plan.sources_seen,
            gateway.reloader(),
            telemetry,
        );
        reload.keep(&directories, &plan.config.intakes);
        tokio::spawn(reload.run(self.front.clone()));
        tokio::spawn(levels::publish_gateway(
            gateway.metrics(),
            Arc::clone(&self.telemetry),
            self.back.clone(),
        ));
        self.gateway_task = Some(tokio::spawn(gateway.run(self.front.clone())));
        self.gateway = Some(address);
        announce("gateway", format!("http://{address}"));
        for door in further {
            announce("gateway", door);
        }
        if !directories.is_empty() {
            announce("directories", directories.len().to_string());
        }
        self.feeders = directories::start(directories, cuts, address, &self.front);
        if let Some(incoming) = incoming.filter(|_| !intakes.is_empty()) {
            announce("intakes", intakes.len().to_string());
            let begun = intake::start(intakes, &incoming, &taking, &self.front);
            self.feeders.extend(begun);
        }
        Ok(())
    }

    /// The queue manager of this process has the queues that are taken in.
    async fn make_queues(&self, intakes: &[IntakeConfig]) -> Result<(), StartError> {
        let Some(manager) = &self.queue else {
            return Ok(());
        };
        for intake in intakes {
            if manager.definition(&intake.queue).is_err() {
                let definition = QueueDefinition::new(&intake.queue);
                manager.define(definition).await.map_err(failed("intake"))?;
            }
        }
        Ok(())
    }

    async fn start_admin(
        &mut self,
        plan: &Plan,
        readiness: &Arc<Readiness>,
    ) -> Result<(), StartError> {
        let address = plan.config.admin.address;
        let bound = admin::bind(
            address,
            Arc::clone(&self.telemetry),
            Arc::clone(readiness),
            self.queue.clone(),
            self.back.clone(),
        );
        let (local, serve) = bound
            .await
            .map_err(|source| StartError::Admin { address, source })?;
        self.admin = local;
        tokio::spawn(serve);
        Ok(())
    }

    /// Stops: the gateway first, then, when the queue is empty or after 10 s, everything else.
    pub fn stop(self) -> Boxed<'static, ()> {
        Box::pin(self.stop_all())
    }

    async fn stop_all(mut self) {
        self.front.cancel();
        if let Some(queries) = self.queries.take() {
            queries.stop().await;
        }
        if let Some(connect) = self.connect.take() {
            connect.supervisor.end().await;
        }
        if let Some(standalone) = self.standalone.take() {
            standalone.stop().await;
        }
        for task in self.feeders.drain(..) {
            let _ = task.await;
        }
        if let Some(task) = self.gateway_task.take() {
            let _ = task.await;
        }
        if let Some(listener) = self.listener.take() {
            listener.stop().await;
        }
        if let Some(queue) = &self.queue {
            let empty = async {
                while queue
                    .depth(names::QUEUE_TRANSACTIONS)
                    .is_ok_and(|depth| depth > 0)
                {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            if tokio::time::timeout(DRAIN_TIME_MAX, empty).await.is_err() {
                warn!("messages stay on the queue; they are carried on at the next start");
            }
        }
        self.back.cancel();
        if let Some(task) = self.spool_task.take() {
            let _ = task.await;
        }
        let threads = tokio::task::spawn_blocking(move || {
            if let Some(connector) = self.connector.take() {
                connector.join();
            }
            self.aggregators.drain(..).for_each(Aggregator::join);
            if let Some(sink) = self.sink.take() {
                sink.join();
            }
            self
        });
        let Ok(mut rest) = threads.await else { return };
        // Its client must not see the broker go, which would look like a lost connection.
        if let Some(task) = rest.lag_task.take() {
            let _ = tokio::time::timeout(DRAIN_TIME_MAX, task).await;
        }
        if let Some(task) = rest.web_task.take() {
            let _ = tokio::time::timeout(DRAIN_TIME_MAX, task).await;
        }
        if let Some(queue) = rest.queue.take()
            && let Err(error) = queue.stop().await
        {
            warn!(error = %error, "the queue manager did not stop cleanly");
        }
        if let Some(broker) = rest.broker.take() {
            broker.shutdown().await;
        }
        info!("stopped");
    }
}

/// Waits a while until a part is ready; `false` when it is not yet. That is no reason to keep the gateway closed.
async fn ready_soon(
    part: &'static str,
    mut ready: watch::Receiver<bool>,
    readiness: &Arc<Readiness>,
) -> Result<bool, StartError> {
    readiness.expect(part);
    let waiting = ready.wait_for(|ready| *ready);
    let waited = tokio::time::timeout(READY_TIME_MAX, waiting).await;
    let waited = waited.map(|ready| ready.is_ok());
    if waited == Ok(false) {
        let why = "it stopped while starting; the log above says why".to_owned();
        return Err(failed(part)(why));
    }
    let is_ready = waited == Ok(true);
    readiness.set(part, is_ready);
    if !is_ready {
        let readiness = Arc::clone(readiness);
        tokio::spawn(async move {
            if ready.wait_for(|ready| *ready).await.is_ok() {
                readiness.set(part, true);
            }
        });
    }
    Ok(is_ready)
}

pub(crate) fn lock_data_dir(path: &Path) -> Result<File, StartError> {
    let error = |what| {
        move |source| StartError::DataDir {
            what,
            path: path.to_owned(),
            source,
        }
    };
    std::fs::create_dir_all(path).map_err(error("create the data directory"))?;
    let file = File::create(path.join("lock")).map_err(error("write to the data directory"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StartError::InUse {
            path: path.to_owned(),
        }),
        Err(std::fs::TryLockError::Error(source)) => Err(error("lock the data directory")(source)),
    }
}

fn connector_options(config: &ConnectorConfig, parts: &[Part]) -> ConnectorOptions {
    let mut options = ConnectorOptions {
        readers: config.readers,
        batch: BatchLimits {
            messages_max: config.batch_messages_max,
            bytes_max: config.batch_bytes_max,
            ..BatchLimits::default()
        },
        ..ConnectorOptions::new()
    };
    let name = match config.instance.as_str() {
        // With the queue in this process there is no second one.
        "" if parts.contains(&Part::Queue) => "0".to_owned(),
        "" => connect::unique(),
        given => given.to_owned(),
    };
    options.instance = format!("{}-{name}", options.instance);
    options
}

/// Name of a process in a group. With the log in this process there is no second one.
fn instance(given: &str, own_log: bool) -> Option<String> {
    match given {
        "" => own_log.then(|| "0".to_owned()),
        given => Some(given.to_owned()),
    }
}

fn start_sink(
    plan: &Plan,
    store: &StoreTarget,
    cluster: &Cluster,
    own_log: bool,
    telemetry: &Telemetry,
    stop: &CancellationToken,
) -> Result<Sink, StartError> {
    let options = SinkOptions {
        tables: plan.tables().cloned().collect(),
        counts_topic: TOPIC_COUNTS.to_owned(),
        parse_counts: |key, value| {
            let (of, counts) = parse_counts(key, value)?;
            Some((of.aggregation, of.day, of.partition, counts))
        },
        parse_control: |key, value| {
            let (aggregation, control) = parse_control(key, value)?;
            Some((aggregation, control.generation))
        },
        store: store.clone(),
        instance: instance(&plan.config.sink.instance, own_log),
    };
    Sink::start(options, cluster.clone(), telemetry, stop.clone()).map_err(failed("sink"))
}

/// Who answers the page's questions about single records; `None` without a gateway's address that can be used.
fn backstage(
    plan: &Plan,
    store: &StoreTarget,
    cluster: &Cluster,
    gateway: &str,
) -> Option<Arc<dyn web::Backstage>> {
    let queue = queue::reachable(&plan.config.queue).map(|mut options| {
        options.application = "daybook web".to_owned();
        Arc::new(options)
    });
    Some(Arc::new(Inspector::new(Sources {
        cluster: cluster.clone(),
        aggregations: plan.aggregations().cloned().collect(),
        tables: plan.tables().cloned().collect(),
        store: store.clone(),
        queue: queue.ok(),
        gateway: Target::parse(gateway).ok()?,
    })))
}

async fn start_web(
    plan: &Plan,
    store: &StoreTarget,
    cluster: &Cluster,
    options: &StartOptions,
    gateway: SocketAddr,
    telemetry: &Arc<Telemetry>,
) -> Result<Web, StartError> {
    let views = plan.aggregations.iter().map(|planned| AggregationView {
        table: planned.table.clone(),
        keys: planned.keys.clone(),
        calendar: planned.options.calendar.clone(),
        ahead_max: planned.options.ahead_max_micros(),
        zone: planned.options.zone.clone(),
        sums: planned.sums.clone(),
    });
    let mut web = WebOptions::new(plan.config.web.address, store.clone(), cluster.clone());
    web.names.clone_from(&plan.config.web.names);
    web.access = plan.config.web.access().map_err(failed("web"))?;
    web.rates = plan.config.web.rates();
    web.tls = plan.config.web.tls_files();
    web.aggregations = views.collect();
    web.demo = options.demo;
    web.gateway_url = format!("http://{gateway}");
    web.backstage = backstage(plan, store, cluster, &web.gateway_url);
    Web::bind(web, Arc::clone(telemetry))
        .await
        .map_err(failed("web"))
}
