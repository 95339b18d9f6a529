//! Listens, and serves until it is told to end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::routes::{ApiOptions, router};
use crate::worker::Worker;

/// Pause after the system could not hand out a connection, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where and within which limits.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Default 127.0.0.1:8083. Whoever reaches it can run connectors: there is no authentication.
    pub listen: SocketAddr,
    /// Most connections at a time; further ones wait. Default 100.
    pub connections_max: usize,
    /// Longest wait for a request's head. Default 30 s.
    pub head_time_max: Duration,
    /// Longest wait for requests that are under way when it ends. Default 10 s.
    pub drain_time_max: Duration,
    /// Of the requests.
    pub api: ApiOptions,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8083)),
            connections_max: 100,
            head_time_max: Duration::from_secs(30),
            drain_time_max: Duration::from_secs(10),
            api: ApiOptions::default(),
        }
    }
}

/// The address cannot be listened on. Trying again helps when whoever has it has gone.
#[derive(Debug, thiserror::Error)]
#[error("the Connect API cannot listen on {address}")]
pub struct ListenError {
    /// The configured address.
    address: SocketAddr,
    /// Why not.
    source: std::io::Error,
}

/// The API, listening but not yet serving.
#[derive(Debug)]
pub struct ConnectApi {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    options: ServerOptions,
}

impl ConnectApi {
    /// Listens. Connections wait until [`ConnectApi::run`].
    ///
    /// # Errors
    ///
    /// [`ListenError`].
    pub async fn bind(
        options: ServerOptions,
        worker: Arc<dyn Worker>,
    ) -> Result<Self, ListenError> {
        let failed = |source| ListenError {
            address: options.listen,
            source,
        };
        let listener = TcpListener::bind(options.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let api = ApiOptions {
            local_names_only: options.api.local_names_only || address.ip().is_loopback(),
            ..options.api.clone()
        };
        Ok(Self {
            listener,
            address,
            router: router(worker, api),
            options,
        })
    }

    /// Where it listens, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` fires; then takes no more and finishes requests that are under way, for at
    /// most `drain_time_max`.
    pub async fn run(self, shutdown: CancellationToken) {
        let options = self.options;
        info!(address = %self.address, "the Connect API serves");
        let places = Arc::new(Semaphore::new(options.connections_max));
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                accepted = async {
                    // The semaphore is never closed.
                    let place = Arc::clone(&places).acquire_owned().await.ok();
                    (self.listener.accept().await, place)
                } => accepted,
            };
            let (socket, place) = match accepted {
                (Ok((socket, _)), place) => (socket, place),
                (Err(error), _) => {
                    warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let mut server = auto::Builder::new(hyper_util::rt::TokioExecutor::new());
            server
                .http1()
                .timer(TokioTimer::new())
                .header_read_timeout(options.head_time_max);
            server.http2().timer(TokioTimer::new());
            let service = TowerToHyperService::new(self.router.clone());
            let connection = server.serve_connection(TokioIo::new(socket), service);
            let connection = graceful.watch(connection.into_owned());
            tokio::spawn(async move {
                let _place = place;
                if let Err(error) = connection.await {
                    debug!(%error, "a connection to the Connect API ended");
                }
            });
        }
        drop(self.listener);
        let drained = tokio::time::timeout(options.drain_time_max, graceful.shutdown()).await;
        if drained.is_err() {
            warn!("requests to the Connect API were cut off");
        }
    }
}
