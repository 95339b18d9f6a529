//! PostgreSQL's protocol, version 3, in front of the queries.
//!
//! # Where to start reading
//!
//! [`Server::bind`]; `connection` is the life of a connection, `startup` who may connect, `handler` what is answered, `encode` how
//! values look on the wire.
//!
//! # Invariants
//!
//! - Who may connect is asked before anything else, unless nobody is configured; then only this machine is listened to, which whoever
//!   makes the options sees to.
//! - A message is not taken into memory unless its length is within the limit.
//! - What a connection keeps is bounded: statements, portals, settings.

mod connection;
mod encode;
mod handler;
mod settings;
mod startup;
mod state;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use pgwire::api::ConnectionManager;
use rustls::ServerConfig;
use sql::{Engine, QUERY_STACK_BYTES, QueryLimits};
use telemetry::Telemetry;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::catalog::Catalog;
use crate::tables::Tables;
use connection::Connection;
use handler::Service;
pub(crate) use settings::default_of as default_setting;
use startup::Door;
use types::Boxed;

/// Most connections at a time, unless configured otherwise.
pub const CONNECTIONS_MAX: usize = 64;
/// Threads that queries run on: others of the process have theirs.
const QUERY_THREADS: usize = 2;
/// How long open connections are waited for at the end.
const STOP_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(5);

/// Who may connect.
#[derive(Clone)]
pub struct PostgresUser {
    /// Name.
    pub name: String,
    /// Password.
    pub password: String,
}

/// Without the password.
impl std::fmt::Debug for PostgresUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresUser")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// PEM files.
#[derive(Debug, Clone)]
pub struct PostgresTls {
    /// Certificate, and those between it and the root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Where the server listens and what it allows.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Address.
    pub listen: SocketAddr,
    /// Who may connect, with SCRAM-SHA-256. Nobody is asked where there is none.
    pub users: Vec<PostgresUser>,
    /// Clients may speak TLS; those of other machines must.
    pub tls: Option<PostgresTls>,
    /// Most connections at a time.
    pub connections_max: usize,
    /// What one query may use.
    pub limits: QueryLimits,
}

/// The server could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The address is taken.
    #[error(
        "cannot listen on {address} (PostgreSQL's protocol): `postgres.listen`, or --port-offset, which moves all ports"
    )]
    Listen {
        /// Address.
        address: SocketAddr,
        /// From the operating system.
        #[source]
        source: std::io::Error,
    },
    /// A certificate or key cannot be used. Retrying helps when the file was changed.
    #[error(transparent)]
    Pem(#[from] pem::PemError),
    /// Certificate and key do not fit each other. Retrying helps when the files were changed.
    #[error("the certificate {path} cannot be used with its key")]
    Certificate {
        /// The certificate.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// No threads for queries could be started.
    #[error("cannot start threads for queries")]
    Threads(#[source] std::io::Error),
    /// The operating system has no randomness.
    #[error("no random numbers for passwords' salts")]
    Random,
}

/// Checks what [`Server::bind`] would use of files.
///
/// # Errors
///
/// [`ServerError`] of the files.
pub fn load_tls(files: &PostgresTls) -> Result<ServerConfig, ServerError> {
    let certificate = |source| ServerError::Certificate {
        path: files.certificate.clone(),
        source,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(certificate)?
        .with_no_client_auth()
        .with_single_cert(
            pem::certificates(&files.certificate)?,
            pem::key(&files.key)?,
        )
        .map_err(certificate)?;
    // Clients that begin with TLS at once say what they will speak.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(config)
}

/// Listens, and answers until it is stopped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
    runtime: Option<Runtime>,
}

impl Server {
    /// Listens and answers queries of `tables`. `version` is what `version()` says after PostgreSQL's.
    ///
    /// # Errors
    ///
    /// [`ServerError`].
    pub fn bind<'a>(
        options: PostgresOptions,
        tables: &'a Tables,
        version: &'a str,
        telemetry: &'a Telemetry,
    ) -> Boxed<'a, Result<Self, ServerError>> {
        Box::pin(Self::begin(options, tables, version, telemetry))
    }

    async fn begin(
        options: PostgresOptions,
        tables: &Tables,
        version: &str,
        telemetry: &Telemetry,
    ) -> Result<Self, ServerError> {
        let tls = options.tls.as_ref().map(load_tls).transpose()?;
        let address = options.listen;
        let listening = |source| ServerError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(QUERY_THREADS)
            .thread_name("query")
            .thread_stack_size(QUERY_STACK_BYTES)
            .enable_time()
            .build()
            .map_err(ServerError::Threads)?;
        let engine = engine(&options, tables, version, &runtime);
        let connections = Arc::new(ConnectionManager::new());
        let door = Door::new(&options, Arc::clone(&connections))?;
        let acceptor = Acceptor {
            connections_max: options.connections_max,
            // A message holds a statement and its parameters.
            message_bytes_max: options.limits.statement_bytes_max
                + connection::PARAMETERS_BYTES_MAX,
            tls: tls.map(|config| TlsAcceptor::from(Arc::new(config))),
            service: Arc::new(Service::new(engine, telemetry)),
            door: Arc::new(door),
            connections,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let (stop, tasks) = (acceptor.stop.clone(), acceptor.tasks.clone());
        tasks.spawn(acceptor.run(listener));
        tasks.close();
        Ok(Self {
            address,
            stop,
            tasks,
            runtime: Some(runtime),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening, ends what runs, and waits until connections are closed, at most 5 s.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let _ = tokio::time::timeout(STOP_TIME_MAX, self.tasks.wait()).await;
        self.end();
    }

    fn end(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A runtime may not end by being dropped where others run.
impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        self.end();
    }
}

fn engine(options: &PostgresOptions, tables: &Tables, version: &str, runtime: &Runtime) -> Engine {
    let catalog = Catalog::new(&tables.sources());
    let version = format!(
        "PostgreSQL {} (Daybook {version})",
        settings::SERVER_VERSION
    );
    tables.engine(
        catalog.functions(&version),
        catalog.sources(),
        options.limits.clone(),
        Some(runtime.handle().clone()),
    )
}

/// Takes connections in.
struct Acceptor {
    connections_max: usize,
    message_bytes_max: usize,
    tls: Option<TlsAcceptor>,
    service: Arc<Service>,
    door: Arc<Door>,
    connections: Arc<ConnectionManager>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Acceptor {
    async fn run(self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, _)) => self.take_in(socket),
                // Too many open files: others will be closed.
                Err(error) => {
                    tracing::warn!(error = %error, "a connection of PostgreSQL's protocol was not accepted");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn take_in(&self, socket: TcpStream) {
        let opened = self.service.metrics().opened();
        // The connections of those who cancel are among them: they are short.
        let is_full = opened.count() > self.connections_max;
        if is_full {
            self.service.metrics().refused("connections");
        }
        let connection = Connection {
            is_full: is_full.then_some(self.connections_max),
            message_bytes_max: self.message_bytes_max,
            tls: self.tls.clone(),
            service: Arc::clone(&self.service),
            door: Arc::clone(&self.door),
            connections: Arc::clone(&self.connections),
            stop: self.stop.clone(),
        };
        self.tasks.spawn(async move {
            let _opened = opened;
            // Whoever is gone needs no answer.
            if let Err(error) = connection.run(socket).await {
                tracing::debug!(error = %error, "a connection of PostgreSQL's protocol ended");
            }
        });
    }
}
