//! What the gateway consists of, and the routes of its HTTP.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use mapping::Mapping;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::access::{Clients, Peer, Sender};
use crate::budget::Budget;
use crate::documents;
use crate::door::{self, Bound, Door, HttpDoor};
use crate::guide;
use crate::headers::Preferences;
use crate::ingest::{self, Head};
use crate::metrics::{GatewayMetrics, LatencyHook, add};
use crate::options::{GatewayOptions, InvalidOption};
use crate::outbox::Outbox;
use crate::places::Places;
use crate::probe::{self, PROBE, Probes, Query, Reader, Step, Trail};
use crate::problem::Problem;
use crate::reply;
use crate::sources::{Registry, Reloader, Source, Sources, check_link};
use crate::tcp::TcpDoor;
use crate::tls::{Tls, TlsError};
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
    /// Certificate or key of a listener cannot be used.
    #[error("the gateway cannot speak TLS")]
    Tls(#[from] TlsError),
    /// Two mappings have the same source.
    #[error("the source {name} is configured twice")]
    DuplicateSource {
        /// Its name.
        name: String,
    },
}

/// What all requests share.
pub(crate) struct State<O> {
    pub(crate) options: GatewayOptions,
    pub(crate) sources: Arc<Registry>,
    pub(crate) outbox: O,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<GatewayMetrics>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) traces: TraceIds,
    pub(crate) clients: Clients,
    pub(crate) probes: Probes,
    address: SocketAddr,
}

/// A gateway that listens but does not answer until it [runs](Gateway::run).
pub struct Gateway<O> {
    state: Arc<State<O>>,
    /// The first one is this machine's own.
    doors: Vec<Bound>,
}

impl<O> fmt::Debug for Gateway<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("address", &self.state.address)
            .field("sources", &self.state.sources.current().len())
            .finish_non_exhaustive()
    }
}

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
        let names = options.clients.iter().map(|client| client.name.as_str());
        let metrics = Arc::new(GatewayMetrics::new(names, latency));
        let clients = Clients::new(&options.clients)?;
        let sources = Registry::new(&options, sources, Arc::clone(&metrics));
        let sources = sources.map_err(|name| BindError::DuplicateSource { name })?;
        let mut doors = Vec::new();
        for (address, door) in plan(&options, &sources.current())? {
            let listen = |source| listen_error(address, source);
            let listener = TcpListener::bind(address).await.map_err(listen)?;
            doors.push(Bound {
                address: listener.local_addr().map_err(listen)?,
                listener,
                door,
            });
        }
        // The plan begins with it.
        let address = doors.first().map_or(options.address, |door| door.address);
        let state = State {
            budget: Budget::new(options.inflight_bytes_max),
            probes: Probes::new(options.probe.clone(), Arc::clone(&metrics)),
            options,
            sources,
            outbox,
            clock,
            metrics,
            traces: TraceIds::new(),
            clients,
            address,
        };
        Ok(Self {
            state: Arc::new(state),
            doors,
        })
    }

    /// The address it listens on, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.state.address
    }

    /// A way in for other parts of this process.
    pub fn intake(&self) -> Intake<O> {
        Intake {
            state: Arc::clone(&self.state),
        }
    }

    /// Replaces the sources while it runs.
    pub fn reloader(&self) -> Reloader {
        Reloader::new(Arc::clone(&self.state.sources))
    }

    /// What it counts.
    pub fn metrics(&self) -> Arc<GatewayMetrics> {
        Arc::clone(&self.state.metrics)
    }

    /// The further addresses it listens on, with the real ports: those of `[[gateway.http]]`, then those of `[[gateway.tcp]]`.
    pub fn further_addrs(&self) -> Vec<SocketAddr> {
        self.doors.iter().skip(1).map(|door| door.address).collect()
    }

    /// The same for people, with what is spoken there.
    pub fn further(&self) -> Vec<String> {
        let described = self.doors.iter().skip(1).map(|bound| match &bound.door {
            Door::Http(door) => {
                let scheme = if door.tls.is_some() { "https" } else { "http" };
                format!("{scheme}://{}", bound.address)
            }
            Door::Tcp(door) => {
                let tls = if door.tls.is_some() { ", TLS" } else { "" };
                format!("tcp://{} ({}{tls})", bound.address, door.options.source)
            }
        });
        described.collect()
    }

    /// Answers until `shutdown` fires; then takes no more, finishes what was begun, for at most
    /// `drain_time_ms_max`, and returns.
    pub async fn run(self, shutdown: CancellationToken) {
        let (state, doors) = (self.state, self.doors);
        info!(address = %state.address, doors = doors.len(), sources = state.sources.current().len(), "gateway started");
        let options = &state.options;
        let (all, per_address) = (options.connections_max, options.connections_per_address_max);
        let places = Places::new(all, per_address, Arc::clone(&state.metrics));
        let serve = |bound| {
            let (state, places) = (Arc::clone(&state), Arc::clone(&places));
            tokio::spawn(door::serve(state, bound, places, shutdown.clone()))
        };
        let running: Vec<_> = doors.into_iter().map(serve).collect();
        for door in running {
            if let Err(error) = door.await {
                warn!(%error, "a listener failed");
            }
        }
        info!("gateway stopped");
    }
}

/// A way in for other parts of this process: messages that come from a queue.
pub struct Intake<O> {
    state: Arc<State<O>>,
}

impl<O> Clone for Intake<O> {
    fn clone(&self) -> Self {
        Self {
            state: Arc::clone(&self.state),
        }
    }
}

impl<O> fmt::Debug for Intake<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Intake")
    }
}

/// A message was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotTaken {
    /// It is in the quarantine, with the reason. Trying again does not help.
    #[error("refused: {0}")]
    Refused(String),
    /// Nothing is known of it, or whether it was accepted is not known. The same is to be tried again.
    #[error("not now: {0}")]
    Later(String),
    /// No source is called so.
    #[error("there is no source {0:?}")]
    Source(String),
}

impl<O: Outbox> Intake<O> {
    /// Translates and puts a message. Returns the number of its records when they are on disk.
    ///
    /// `key` names the message for as long as it may come again: records without a natural id get their identity from it, so that a
    /// message that comes twice counts once. Not cancel safe: it may be put though nobody learns of it.
    ///
    /// # Errors
    ///
    /// [`NotTaken`].
    pub async fn put(&self, source: &str, key: &str, body: Bytes) -> Result<usize, NotTaken> {
        let state = &self.state;
        let Some(source) = state.sources.get(source) else {
            return Err(NotTaken::Source(source.to_owned()));
        };
        add(&state.metrics.requests, 1);
        add(&source.metrics.requests, 1);
        let begun = Instant::now();
        let taken = self.take(&source, key, body, begun).await;
        let micros = u64::try_from(begun.elapsed().as_micros());
        state.metrics.answered(micros.unwrap_or(u64::MAX));
        taken.map_err(|problem| {
            let is_refused = problem.status().is_client_error();
            let problem = String::from_utf8_lossy(&problem.into_json()).into_owned();
            match is_refused {
                true => NotTaken::Refused(problem),
                false => NotTaken::Later(problem),
            }
        })
    }

    async fn take(
        &self,
        source: &Arc<Source>,
        key: &str,
        body: Bytes,
        begun: Instant,
    ) -> Result<usize, Problem> {
        let mut share = self.state.budget.share();
        // One that is too long is refused for it, and must not wait for room that there never is.
        let counted = body.len().min(self.state.options.limits.body_bytes_max);
        if !share.grow(counted) {
            return Err(ingest::busy());
        }
        let head = Head {
            key: Some(key.into()),
            first_record: 1,
            lines: false,
            preferences: Preferences::default(),
            parts: None,
            traceparent: self.state.traces.traceparent(None),
            client: None,
        };
        let state = &self.state;
        let mut trail = state.probes.begin(false, begun);
        let kept = trail.as_ref().map(|_| (head.clone(), body.clone()));
        let taken = ingest::take(state, source, head, body, share, &mut trail).await;
        if let (Some(mut trail), Some((head, body))) = (trail, kept) {
            ingest::saw(state, &mut trail, source, &head, None, &body, &taken);
            let now = state.clock.now_micros();
            trail.keep(
                &state.probes,
                now,
                "intake".to_owned(),
                None,
                ingest::status(&taken),
                &[],
            );
        }
        Ok(taken?.translated.len())
    }
}

/// Whether a gateway could start with these settings and sources, as far as can be told without listening.
///
/// # Errors
///
/// As [`Gateway::bind`].
pub fn check(options: &GatewayOptions, sources: &[Mapping]) -> Result<(), BindError> {
    options.validate()?;
    Clients::new(&options.clients)?;
    let tls = options.http.iter().map(|door| &door.tls);
    let tls = tls.chain(options.tcp.iter().map(|door| &door.tls));
    for tls in tls.flatten() {
        Tls::load(tls, &[])?;
    }
    for tcp in &options.tcp {
        let source = sources
            .iter()
            .find(|mapping| mapping.source() == tcp.source);
        check_link(tcp, source)?;
    }
    Ok(())
}

/// Every address and what is behind it, this machine's own first.
fn plan(options: &GatewayOptions, sources: &Sources) -> Result<Vec<(SocketAddr, Door)>, BindError> {
    let own = HttpDoor {
        is_own: true,
        address: options.address,
        must_say: false,
        sources: vec!["*".to_owned()],
        tls: None,
    };
    let mut doors = vec![(options.address, Door::Http(Arc::new(own)))];
    let must_say = !options.clients.is_empty();
    for http in &options.http {
        let tls = http
            .tls
            .as_ref()
            .map(|tls| Tls::load(tls, &[b"h2", b"http/1.1"]));
        let door = HttpDoor {
            is_own: false,
            address: http.address,
            must_say,
            sources: http.sources.clone(),
            tls: tls.transpose()?,
        };
        doors.push((http.address, Door::Http(Arc::new(door))));
    }
    for tcp in &options.tcp {
        let source = sources.get(&tcp.source);
        check_link(tcp, source.map(|source| &source.mapping))?;
        let tls = tcp.tls.as_ref().map(|tls| Tls::load(tls, &[]));
        let door = TcpDoor {
            options: tcp.clone(),
            tls: tls.transpose()?,
            must_say,
        };
        doors.push((tcp.address, Door::Tcp(Arc::new(door))));
    }
    Ok(doors)
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

/// Routes a request, measures it, counts it.
pub(crate) async fn answer<O: Outbox>(
    state: &Arc<State<O>>,
    door: &HttpDoor,
    peer: &Peer,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let begun = Instant::now();
    add(&state.metrics.requests, 1);
    let soap = reply::hint(request.headers());
    let asks = request.headers().contains_key(PROBE);
    let mut trail = state.probes.begin(asks, begun);
    let response = match route(state, door, peer, request, &mut trail).await {
        Ok(response) => response,
        Err(problem) => {
            if problem.asks_to_retry() {
                add(&state.metrics.retry_later, 1);
            }
            problem.or_in_soap(soap).into_response()
        }
    };
    state
        .metrics
        .answered(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
    if trail.as_ref().is_none_or(Trail::is_empty) {
        return response;
    }
    probe::mark(&mut trail, Step::Answer);
    let Some(trail) = trail else { return response };
    let scheme = if door.tls.is_some() { "https" } else { "http" };
    let listener = format!("{scheme}://{}", door.address);
    let (now, address) = (state.clock.now_micros(), peer.address.to_string());
    let kept = trail.keep_http(&state.probes, now, listener, address, response);
    kept.await
}

const PREFIX: &str = "/v1/transactions/";

/// Who sends, where that must be said.
async fn sender<O>(
    state: &State<O>,
    door: &HttpDoor,
    peer: &Peer,
    headers: &HeaderMap,
) -> Result<Sender, Problem> {
    if !door.must_say {
        return Ok(Sender {
            client: None,
            signed: None,
        });
    }
    let now = state.clock.now_micros();
    let found = state.clients.recognise(peer, headers, now).await;
    found.inspect_err(|_| {
        add(&state.metrics.unauthenticated, 1);
        let (address, subject) = (peer.address, peer.subject.as_deref());
        debug!(%address, subject, "a request of nobody who is known");
    })
}

async fn route<O: Outbox>(
    state: &Arc<State<O>>,
    door: &HttpDoor,
    peer: &Peer,
    request: Request<Incoming>,
    trail: &mut Option<Trail>,
) -> Result<Response<Full<Bytes>>, Problem> {
    let sender = sender(state, door, peer, request.headers()).await?;
    probe::mark(trail, Step::Authentication);
    let path = request.uri().path();
    if let Some(name) = path.strip_prefix(PREFIX) {
        let Some(source) = state.sources.get(name) else {
            return Err(unknown_source(state, name));
        };
        if request.method() != Method::POST {
            return Err(wrong_method(request.method(), "POST"));
        }
        if !door
            .sources
            .iter()
            .any(|pattern| types::glob(pattern, name))
        {
            let detail = format!("the source {name} is not posted to at this address");
            return Err(
                Problem::new(StatusCode::FORBIDDEN, "forbidden", "not here", detail).close(),
            );
        }
        if let Some(client) = &sender.client {
            client.may_send(name, &state.metrics.clients, Instant::now())?;
        }
        same_origin(request.headers())?;
        if let Some(trail) = trail {
            let may_ask = sender
                .client
                .as_ref()
                .is_some_and(|client| client.may_probe);
            trail.may_ask(door.is_own || may_ask);
        }
        return ingest::post(state, &source, sender, request, trail).await;
    }
    let is_get = matches!(*request.method(), Method::GET | Method::HEAD);
    if door.is_own && (path == PROBES || path.starts_with(PROBES_PREFIX)) {
        return match is_get {
            true => probes(state, &request),
            false => Err(wrong_method(request.method(), "GET, HEAD")),
        };
    }
    match path {
        "/" | "/v1/sources" | "/openapi.json" | "/asyncapi.json" if !is_get => {
            Err(wrong_method(request.method(), "GET, HEAD"))
        }
        "/" => {
            let text = guide::text(&state.sources.current().mappings(), state.address);
            Ok(ok(text.into(), "text/plain; charset=utf-8"))
        }
        "/v1/sources" => {
            let json = guide::sources(&state.sources.current().mappings()).to_string();
            Ok(ok(json.into(), "application/json"))
        }
        "/openapi.json" => {
            let current = state.sources.current();
            let mut sources = current.mappings();
            sources.retain(|mapping| {
                door.sources
                    .iter()
                    .any(|pattern| types::glob(pattern, mapping.source()))
            });
            let json = documents::openapi(&sources, door.must_say, door.is_own).to_string();
            Ok(ok(json.into(), "application/json"))
        }
        "/asyncapi.json" => Ok(ok(
            documents::asyncapi().to_string().into(),
            "application/json",
        )),
        _ => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "there is nothing here",
            "transactions are posted to /v1/transactions/{source}; GET / explains how",
        )),
    }
}

const PROBES: &str = "/v1/probes";
const PROBES_PREFIX: &str = "/v1/probes/";

/// What is kept of requests: the list, or one of them.
fn probes<O>(
    state: &State<O>,
    request: &Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Problem> {
    let headers = request.headers();
    same_origin(headers)?;
    let host = headers.get(header::HOST).map(HeaderValue::to_str);
    let authority = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    let host = authority.or(host.and_then(Result::ok)).unwrap_or_default();
    // A site that lets its own name point to this machine could read them.
    if !is_address(host) {
        let detail =
            "what is kept of requests is read at localhost or at an address, not at another name";
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "not by this name",
            detail,
        ));
    }
    let reader = Reader::of(headers);
    let content_type = match reader {
        Reader::Program => "application/json",
        Reader::Person => "text/plain; charset=utf-8",
    };
    let text = match request.uri().path().strip_prefix(PROBES_PREFIX) {
        Some(id) => state.probes.one(id, reader).ok_or_else(|| {
            let detail =
                "no request is kept under this id (any more); GET /v1/probes lists those that are";
            Problem::new(
                StatusCode::NOT_FOUND,
                "not-found",
                "there is nothing here",
                detail,
            )
        })?,
        None => {
            let query = Query::parse(request.uri().query().unwrap_or_default());
            let query = query.map_err(|detail| {
                Problem::new(
                    StatusCode::BAD_REQUEST,
                    "query",
                    "the query cannot be used",
                    detail,
                )
            })?;
            state.probes.list(&query, reader)
        }
    };
    Ok(ok(text.into(), content_type))
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

fn unknown_source<O>(state: &State<O>, name: &str) -> Problem {
    let current = state.sources.current();
    let mappings = current.mappings();
    let known: Vec<&str> = mappings.iter().map(|mapping| mapping.source()).collect();
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
