//! Accepts sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use queue_manager::QueueManager;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::command;
use crate::options::ServerOptions;
use crate::put::now_micros;
use crate::registry::Registry;
use crate::security::Gatekeeper;
use crate::socket;
use crate::topics::Topics;

/// After a failed accept (too many open files) this long nothing is tried.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all sockets share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) manager: QueueManager,
    pub(crate) options: ServerOptions,
    pub(crate) gatekeeper: Arc<Gatekeeper>,
    pub(crate) topics: Arc<Topics>,
    pub(crate) stop: CancellationToken,
    /// Who is connected.
    pub(crate) registry: Registry,
    connections: AtomicUsize,
    conversations: AtomicU64,
}

impl Shared {
    /// A number for a conversation that no other one has.
    pub(crate) fn conversation_number(&self) -> u64 {
        self.conversations.fetch_add(1, Ordering::Relaxed)
    }
}

/// Serves IBM MQ's client channel protocol in front of a queue manager.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    sockets: TaskTracker,
    address: SocketAddr,
}

impl Server {
    /// Begins to accept on a socket that is listening already, and to carry out commands if the queue
    /// manager has [`crate::command_queue`].
    ///
    /// # Errors
    ///
    /// The listener's address cannot be had.
    pub fn start(
        manager: QueueManager,
        listener: TcpListener,
        options: ServerOptions,
    ) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            manager,
            gatekeeper: Arc::new(Gatekeeper::new(options.security.clone())),
            topics: Topics::new(options.subscriptions_max),
            options,
            stop: CancellationToken::new(),
            registry: Registry::default(),
            connections: AtomicUsize::new(0),
            // So that none has the number of one before a restart.
            conversations: AtomicU64::new(u64::try_from(now_micros()).unwrap_or(1)),
        });
        let sockets = TaskTracker::new();
        sockets.spawn(command::serve(Arc::clone(&shared)));
        sockets.spawn(accept_loop(Arc::clone(&shared), listener, sockets.clone()));
        info!(%address, "MQ clients are welcome");
        Ok(Self {
            shared,
            sockets,
            address,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sockets that are open.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Tells clients that the queue manager ends, backs out what is open, and waits for the sockets.
    pub async fn stop(self) {
        self.shared.stop.cancel();
        self.sockets.close();
        self.sockets.wait().await;
    }
}

async fn accept_loop(shared: Arc<Shared>, listener: TcpListener, sockets: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let open = shared.connections.fetch_add(1, Ordering::Relaxed);
        if open >= shared.options.connections_max {
            warn!(%peer, connections_max = shared.options.connections_max, "too many connections: refused");
            shared.connections.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        // Replies are small and waited for.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "cannot switch Nagle's algorithm off");
        }
        let place = Place(Arc::clone(&shared));
        sockets.spawn(async move { accept(&place.0, stream, peer).await });
    }
}

/// One of the connections; given back also should its task panic.
struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Speaks TLS first where that is wanted.
async fn accept(shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr) {
    let Some(tls) = &shared.options.tls else {
        return socket::serve(shared, stream, peer, None).await;
    };
    let limit = Duration::from_secs(shared.options.handshake_seconds);
    let handshake = tokio::time::timeout(limit, tls.accept(stream));
    let accepted = tokio::select! {
        () = shared.stop.cancelled() => return,
        accepted = handshake => accepted,
    };
    match accepted {
        Ok(Ok((stream, certificate))) => socket::serve(shared, stream, peer, certificate).await,
        Ok(Err(error)) => info!(%peer, %error, "no TLS with this client"),
        Err(_) => info!(%peer, seconds = limit.as_secs(), "the TLS handshake took too long"),
    }
}
