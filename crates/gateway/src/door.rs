//! The sockets: connections are accepted, shake hands, and are served to their end.
//!
//! # Invariants
//!
//! - All doors share the places for connections and the budget of bytes; who has to go when all are taken says `places`.
//! - A stop takes no more connections, finishes what was begun for at most `drain_time_ms_max`, and then cuts.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::StatusCode;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::access::Peer;
use crate::options::GatewayOptions;
use crate::outbox::Outbox;
use crate::places::{Place, Places};
use crate::problem::Problem;
use crate::service::{State, answer};
use crate::tcp::{self, TcpDoor};
use crate::tls::Tls;

/// Pause after the system could not hand out a connection, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Most requests at a time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;

/// A door for HTTP.
#[derive(Debug)]
pub(crate) struct HttpDoor {
    /// This machine's own: what is kept of requests is read here.
    pub(crate) is_own: bool,
    /// As configured, for people.
    pub(crate) address: SocketAddr,
    /// Who sends must say so.
    pub(crate) must_say: bool,
    /// Patterns of the sources that are posted to here.
    pub(crate) sources: Vec<String>,
    pub(crate) tls: Option<Tls>,
}

/// What is behind a socket.
#[derive(Debug, Clone)]
pub(crate) enum Door {
    Http(Arc<HttpDoor>),
    Tcp(Arc<TcpDoor>),
}

/// A socket that listens.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) listener: TcpListener,
    pub(crate) address: SocketAddr,
    pub(crate) door: Door,
}

/// Accepts until `shutdown` fires, and then waits for what was begun.
pub(crate) async fn serve<O: Outbox>(
    state: Arc<State<O>>,
    bound: Bound,
    places: Arc<Places>,
    shutdown: CancellationToken,
) {
    match bound.door {
        Door::Http(door) => http(state, bound.listener, door, places, shutdown).await,
        Door::Tcp(door) => messages(state, bound.listener, door, places, shutdown).await,
    }
}

/// What somebody is told whose address has as many connections as it may; only where nothing has to be encrypted first.
fn refusal() -> Vec<u8> {
    let problem = Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "connections",
        "too many connections",
        "this address has as many connections as one may (gateway.connections_per_address_max)",
    )
    .into_json();
    let mut answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 1\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n",
        problem.len()
    )
    .into_bytes();
    answer.extend_from_slice(&problem);
    answer
}

/// The next connection and a place for it; `None` when it is over.
async fn next(
    listener: &TcpListener,
    places: &Arc<Places>,
    refusal: &[u8],
    shutdown: &CancellationToken,
) -> Option<(TcpStream, SocketAddr, Arc<Place>)> {
    loop {
        let accept = async {
            let (stream, address) = listener.accept().await?;
            let place = places.take(address.ip()).await;
            Ok::<_, std::io::Error>((stream, address, place))
        };
        let accepted = tokio::select! {
            biased; // Shutdown first: under load there is always a connection to accept.
            () = shutdown.cancelled() => return None,
            accepted = accept => accepted,
        };
        match accepted {
            Ok((stream, address, Some(place))) => {
                // Answers are small; waiting to fill a packet would only delay them.
                let _ = stream.set_nodelay(true);
                return Some((stream, address, Arc::new(place)));
            }
            Ok((stream, address, None)) => {
                debug!(%address, "refused: its address has as many connections as it may");
                // A new connection's buffer has room; who does not read it learns of it by the end.
                let _ = stream.try_write(refusal);
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn http<O: Outbox>(
    state: Arc<State<O>>,
    listener: TcpListener,
    door: Arc<HttpDoor>,
    places: Arc<Places>,
    shutdown: CancellationToken,
) {
    let graceful = GracefulShutdown::new();
    let server = Arc::new(server(&state.options));
    let refusal = if door.tls.is_none() {
        refusal()
    } else {
        Vec::new()
    };
    while let Some((stream, address, place)) = next(&listener, &places, &refusal, &shutdown).await {
        let watcher = graceful.watcher();
        let (state, server, door) = (Arc::clone(&state), Arc::clone(&server), Arc::clone(&door));
        tokio::spawn(async move {
            let context = (state, server, door);
            let connection = http_connection(context, stream, address, Arc::clone(&place), watcher);
            tokio::select! {
                () = connection => {}
                () = place.cut() => debug!(%address, "cut: it had waited longest when others wanted its place"),
            }
        });
    }
    drop(listener);
    let open = graceful.count();
    let drained = tokio::time::timeout(state.options.drain_time_max(), graceful.shutdown());
    if drained.await.is_err() {
        warn!(
            open,
            "connections were cut off at the end of the time for a clean stop"
        );
    }
}

type Context<O> = (
    Arc<State<O>>,
    Arc<auto::Builder<TokioExecutor>>,
    Arc<HttpDoor>,
);

async fn http_connection<O: Outbox>(
    context: Context<O>,
    stream: TcpStream,
    address: SocketAddr,
    place: Arc<Place>,
    watcher: Watcher,
) {
    let mut peer = Peer {
        address: address.ip(),
        subject: None,
    };
    let Some(tls) = context.2.tls.clone() else {
        return requests(context, stream, (peer, place), watcher).await;
    };
    match handshake(&tls, stream, context.0.options.header_time_max()).await {
        Some((stream, subject)) => {
            peer.subject = subject;
            requests(context, stream, (peer, place), watcher).await;
        }
        None => debug!(%address, "no TLS"),
    }
}

type Secured = (tokio_rustls::server::TlsStream<TcpStream>, Option<Box<str>>);

async fn handshake(tls: &Tls, stream: TcpStream, time_max: Duration) -> Option<Secured> {
    match tokio::time::timeout(time_max, tls.accept(stream)).await {
        Ok(Ok(secured)) => Some(secured),
        Ok(Err(error)) => {
            debug!(%error, "a connection did not shake hands");
            None
        }
        Err(_) => None,
    }
}

/// Serves one connection to its end.
async fn requests<O: Outbox, S>(
    (state, server, door): Context<O>,
    stream: S,
    (peer, place): (Peer, Arc<Place>),
    watcher: Watcher,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let has_asked = AtomicBool::new(false);
    let first_request_time_max = state.options.header_time_max();
    let connection = server.serve_connection(
        TokioIo::new(stream),
        service_fn(|mut request| {
            has_asked.store(true, Ordering::Relaxed);
            // For whoever reads the body: from then on the connection is at work.
            request.extensions_mut().insert(Arc::clone(&place));
            let (state, door, peer) = (Arc::clone(&state), Arc::clone(&door), peer.clone());
            async move { Ok::<_, Infallible>(answer(&state, &door, &peer, request).await) }
        }),
    );
    let connection = watcher.watch(connection.into_owned());
    tokio::pin!(connection);
    // hyper's own time-out begins when it knows the protocol; who sends nothing keeps it waiting.
    let result = tokio::select! {
        result = &mut connection => result,
        () = tokio::time::sleep(first_request_time_max) => {
            if !has_asked.load(Ordering::Relaxed) {
                debug!("a connection sent no request in time");
                return;
            }
            connection.await
        }
    };
    if let Err(error) = result {
        debug!(%error, "connection ended");
    }
}

fn server(options: &GatewayOptions) -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_time_max())
        .max_buf_size(HEAD_BYTES_MAX.max(64 << 10))
        .max_headers(100)
        .pipeline_flush(true);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    server
}

async fn messages<O: Outbox>(
    state: Arc<State<O>>,
    listener: TcpListener,
    door: Arc<TcpDoor>,
    places: Arc<Places>,
    shutdown: CancellationToken,
) {
    let tasks = TaskTracker::new();
    while let Some((stream, address, place)) = next(&listener, &places, &[], &shutdown).await {
        let (state, door, shutdown) = (Arc::clone(&state), Arc::clone(&door), shutdown.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = link(&state, &door, stream, (address, &place), &shutdown) => {}
                () = place.cut() => debug!(%address, "cut: it had waited longest when others wanted its place"),
            }
        });
    }
    drop(listener);
    tasks.close();
    let drained = tokio::time::timeout(state.options.drain_time_max(), tasks.wait());
    if drained.await.is_err() {
        let open = tasks.len();
        warn!(
            open,
            "links were cut off at the end of the time for a clean stop"
        );
    }
}

async fn link<O: Outbox>(
    state: &Arc<State<O>>,
    door: &Arc<TcpDoor>,
    stream: TcpStream,
    (address, place): (SocketAddr, &Arc<Place>),
    shutdown: &CancellationToken,
) {
    let mut peer = Peer {
        address: address.ip(),
        subject: None,
    };
    let Some(tls) = &door.tls else {
        return tcp::serve(state, door, (&peer, place), stream, shutdown).await;
    };
    match handshake(tls, stream, state.options.header_time_max()).await {
        Some((stream, subject)) => {
            peer.subject = subject;
            tcp::serve(state, door, (&peer, place), stream, shutdown).await;
        }
        None => debug!(%address, "no TLS"),
    }
}
