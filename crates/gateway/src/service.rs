//! Sockets, connections and routes.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use mapping::Mapping;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::budget::Budget;
use crate::guide;
use crate::ingest;
use crate::metrics::{GatewayMetrics, LatencyHook, add};
use crate::options::{GatewayOptions, InvalidOption};
use crate::outbox::Outbox;
use crate::problem::Problem;
use crate::trace::TraceIds;

/// Where the time comes from. Tests hand in one that stands still.
pub trait Clock: Send + Sync + 'static {
    /// Microseconds since 1970, UTC.
    fn now_micros(&self) -> i64;
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_micros(&self) -> i64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }
}

/// Why the gateway does not listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {}; {hint}", source.kind())]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// What can be done.
        hint: &'static str,
        /// From the operating system.
        #[source]
        source: std::io::Error,
    },
    /// A setting cannot be used.
    #[error(transparent)]
    Option(#[from] InvalidOption),
    /// Two mappings have the same source.
    #[error("the source {name} is configured twice")]
    DuplicateSource {
        /// Its name.
        name: String,
    },
}

/// A configured source.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) mapping: Mapping,
    pub(crate) name: Arc<str>,
    /// Its place in the metrics.
    pub(crate) index: usize,
}

/// What all requests share.
pub(crate) struct State<O> {
    pub(crate) options: GatewayOptions,
    pub(crate) sources: HashMap<Arc<str>, Arc<Source>>,
    pub(crate) outbox: O,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<GatewayMetrics>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) traces: TraceIds,
    address: SocketAddr,
}

/// A gateway that listens but does not answer until it [runs](Gateway::run).
pub struct Gateway<O> {
    state: Arc<State<O>>,
    listener: TcpListener,
}

impl<O> fmt::Debug for Gateway<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("address", &self.state.address)
            .field("sources", &self.state.sources.len())
            .finish_non_exhaustive()
    }
}

/// Pause after the system could not hand out a connection, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Most requests at a time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;

impl<O: Outbox> Gateway<O> {
    /// Listens on the configured address. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`BindError`], which names the address or setting and what can be done.
    pub async fn bind(
        options: GatewayOptions,
        sources: Vec<Mapping>,
        outbox: O,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BindError> {
        Self::bind_with_latency(options, sources, outbox, clock, None).await
    }

    /// [`Gateway::bind`] with a function that is told each request's latency.
    ///
    /// # Errors
    ///
    /// As [`Gateway::bind`].
    pub async fn bind_with_latency(
        options: GatewayOptions,
        sources: Vec<Mapping>,
        outbox: O,
        clock: Arc<dyn Clock>,
        latency: Option<LatencyHook>,
    ) -> Result<Self, BindError> {
        options.validate()?;
        let metrics = GatewayMetrics::new(sources.iter().map(Mapping::source), latency);
        let mut by_name = HashMap::new();
        for (index, mapping) in sources.into_iter().enumerate() {
            let name: Arc<str> = mapping.source().into();
            let source = Source {
                mapping,
                name: Arc::clone(&name),
                index,
            };
            if by_name
                .insert(Arc::clone(&name), Arc::new(source))
                .is_some()
            {
                return Err(BindError::DuplicateSource {
                    name: name.to_string(),
                });
            }
        }
        let listen = |source| listen_error(options.address, source);
        let listener = TcpListener::bind(options.address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let state = State {
            budget: Budget::new(options.inflight_bytes_max),
            options,
            sources: by_name,
            outbox,
            clock,
            metrics: Arc::new(metrics),
            traces: TraceIds::new(),
            address,
        };
        Ok(Self {
            state: Arc::new(state),
            listener,
        })
    }

    /// The address it listens on, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.state.address
    }

    /// What it counts.
    pub fn metrics(&self) -> Arc<GatewayMetrics> {
        Arc::clone(&self.state.metrics)
    }

    /// Answers requests until `shutdown` fires; then takes no more, finishes those begun, for at most
    /// `drain_time_ms_max`, and returns.
    pub async fn run(self, shutdown: CancellationToken) {
        info!(address = %self.state.address, sources = self.state.sources.len(), "gateway started");
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(self.state.options.connections_max));
        let server = Arc::new(server(&self.state.options));
        loop {
            let accept = async {
                // A place first: a connection that nobody serves would only wait inside.
                let place = Arc::clone(&places).acquire_owned().await;
                (place, self.listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                biased; // Shutdown first: under load there is always a connection to accept.
                () = shutdown.cancelled() => break,
                accepted = accept => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    // Answers are small; waiting to fill a packet would only delay them.
                    let _ = stream.set_nodelay(true);
                    let watcher = graceful.watcher();
                    let connection = serve(
                        Arc::clone(&self.state),
                        Arc::clone(&server),
                        stream,
                        watcher,
                    );
                    tokio::spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        let open = graceful.count();
        if tokio::time::timeout(self.state.options.drain_time_max(), graceful.shutdown())
            .await
            .is_err()
        {
            warn!(
                open,
                "connections were cut off at the end of the time for a clean stop"
            );
        }
        info!("gateway stopped");
    }
}

fn listen_error(address: SocketAddr, source: std::io::Error) -> BindError {
    let hint = match source.kind() {
        std::io::ErrorKind::AddrInUse => {
            "another program has the port: stop it, or set gateway.address or --port-offset"
        }
        std::io::ErrorKind::PermissionDenied => {
            "ports below 1024 need a privilege: set gateway.address to a higher one"
        }
        std::io::ErrorKind::AddrNotAvailable => {
            "this machine does not have the address: set gateway.address to one it has"
        }
        _ => "set gateway.address to an address of this machine",
    };
    BindError::Listen {
        address,
        hint,
        source,
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

/// Serves one connection to its end.
async fn serve<O: Outbox>(
    state: Arc<State<O>>,
    server: Arc<auto::Builder<TokioExecutor>>,
    stream: TcpStream,
    watcher: Watcher,
) {
    let has_asked = AtomicBool::new(false);
    let first_request_time_max = state.options.header_time_max();
    let connection = server.serve_connection(
        TokioIo::new(stream),
        service_fn(|request| {
            has_asked.store(true, Ordering::Relaxed);
            let state = Arc::clone(&state);
            async move { Ok::<_, Infallible>(answer(&state, request).await) }
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

/// Routes a request, measures it, counts it.
async fn answer<O: Outbox>(
    state: &Arc<State<O>>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let begun = Instant::now();
    add(&state.metrics.requests, 1);
    let response = match route(state, request).await {
        Ok(response) => response,
        Err(problem) => {
            if problem.status() == StatusCode::SERVICE_UNAVAILABLE {
                add(&state.metrics.retry_later, 1);
            }
            problem.into_response()
        }
    };
    state
        .metrics
        .answered(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
    response
}

const PREFIX: &str = "/v1/transactions/";

async fn route<O: Outbox>(
    state: &Arc<State<O>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Problem> {
    let path = request.uri().path();
    if let Some(name) = path.strip_prefix(PREFIX) {
        let Some(source) = state.sources.get(name).cloned() else {
            return Err(unknown_source(state, name));
        };
        if request.method() != Method::POST {
            return Err(wrong_method(request.method(), "POST"));
        }
        same_origin(request.headers())?;
        return ingest::post(state, &source, request).await;
    }
    let is_get = matches!(*request.method(), Method::GET | Method::HEAD);
    match path {
        "/" | "/v1/sources" if !is_get => Err(wrong_method(request.method(), "GET, HEAD")),
        "/" => {
            let text = guide::text(&mappings(state), state.address);
            Ok(ok(text.into(), "text/plain; charset=utf-8"))
        }
        "/v1/sources" => {
            let json = guide::sources(&mappings(state)).to_string();
            Ok(ok(json.into(), "application/json"))
        }
        _ => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "there is nothing here",
            "transactions are posted to /v1/transactions/{source}; GET / explains how",
        )),
    }
}

/// A page of another site must not post in its visitor's name: browsers send `Origin` with each POST.
///
/// Names other than `localhost` are refused too, since a site can let its own name point to this
/// machine (DNS rebinding) and is then "the same origin".
fn same_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let host = headers.get(header::HOST).map(text).unwrap_or_default();
    let origin = text(origin);
    let origin_host = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    if origin_host == Some(host.as_str()) && is_address(&host) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "cross-origin",
        "pages of other sites cannot post here",
        "the request has an Origin that is not the gateway's own",
    )
    .close())
}

/// Whether a `Host` is `localhost` or an IP address, with or without port.
fn is_address(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let inner = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(name);
    name == "localhost" || inner.parse::<std::net::IpAddr>().is_ok()
}

fn mappings<O>(state: &State<O>) -> Vec<&Mapping> {
    let mut mappings: Vec<&Mapping> = state
        .sources
        .values()
        .map(|source| &source.mapping)
        .collect();
    mappings.sort_by_key(|mapping| mapping.source());
    mappings
}

fn unknown_source<O>(state: &State<O>, name: &str) -> Problem {
    let known: Vec<&str> = mappings(state)
        .iter()
        .map(|mapping| mapping.source())
        .collect();
    let short: String = name.chars().take(64).collect();
    let detail = format!(
        "there is no source {short:?}; configured are {}",
        known.join(", ")
    );
    Problem::new(
        StatusCode::NOT_FOUND,
        "unknown-source",
        "the source is not configured",
        detail,
    )
    .with("sources", known)
    .close()
}

fn wrong_method(method: &Method, allowed: &'static str) -> Problem {
    let detail = format!("{method} means nothing here; allowed: {allowed}");
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method",
        "the method is not allowed",
        detail,
    )
    .allow(allowed)
    .close()
}

fn ok(body: Bytes, content_type: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
