//! The API: what each address answers, and what every answer carries.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use store::CellKind;
use tokio_util::sync::CancellationToken;
use types::BusinessDay;

use crate::api;
use crate::hub::Hub;
use crate::options::WebOptions;
use crate::pipeline::Sampler;
use crate::position::Position;
use crate::row::Change;
use crate::stream::{self, StreamRequest};
use crate::{csv, page, stored};

/// Frames a second that a client may ask for, and gets if it does not.
const HZ_MAX: u32 = 100;
const HZ_DEFAULT: u32 = 10;
/// Longest age of counts that are handed out again: every open page asks once a second.
const COUNTS_AGE_MAX: Duration = Duration::from_millis(500);

/// Headers of every answer. The policy lets the page load its own files and nothing else.
const SECURITY_HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// What requests share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) options: WebOptions,
    pub(crate) hubs: Vec<Arc<Hub>>,
    pub(crate) sampler: Sampler,
    loopback: bool,
    stop: CancellationToken,
    counts: Mutex<HashMap<String, (Instant, Bytes)>>,
}

impl App {
    pub(crate) fn new(
        options: WebOptions,
        address: SocketAddr,
        hubs: Vec<Arc<Hub>>,
        sampler: Sampler,
        stop: CancellationToken,
    ) -> Self {
        Self {
            loopback: address.ip().is_loopback(),
            options,
            hubs,
            sampler,
            stop,
            counts: Mutex::default(),
        }
    }

    fn hub(&self, name: &str) -> Result<&Arc<Hub>, Failure> {
        let found = self.hubs.iter().find(|hub| hub.name() == name);
        found.ok_or_else(|| Failure::NotFound(format!("there is no aggregation {name:?}")))
    }
}

/// All addresses. The parts behind `/api/v1/{aggregation}` take any name.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/api/v1/aggregations", get(aggregations))
        .route("/api/v1/pipeline", get(pipeline))
        .route("/api/v1/{aggregation}/snapshot", get(snapshot))
        .route("/api/v1/{aggregation}/stream", get(follow))
        .route("/api/v1/{aggregation}/export.csv", get(export))
        .route("/api/v1/{aggregation}/counts", get(counts))
        .fallback(fallback)
        .method_not_allowed_fallback(|| async { Failure::Method })
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guard))
        .with_state(app)
}

/// Why a request is not answered as asked.
#[derive(Debug)]
enum Failure {
    NotFound(String),
    BadQuery(String),
    Method,
    Forbidden(&'static str),
    NotReady { detail: String },
    Store(String),
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, title, detail) = match self {
            Self::NotFound(detail) => (StatusCode::NOT_FOUND, "Not found", detail),
            Self::BadQuery(detail) => (StatusCode::BAD_REQUEST, "Bad request", detail),
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "Method not allowed",
                "everything here is read with GET".to_owned(),
            ),
            Self::Forbidden(detail) => (StatusCode::FORBIDDEN, "Forbidden", detail.to_owned()),
            Self::NotReady { detail } => (StatusCode::SERVICE_UNAVAILABLE, "Not ready", detail),
            Self::Store(detail) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The store cannot be read",
                detail,
            ),
        };
        let problem = api::Problem {
            kind: "about:blank".to_owned(),
            title: title.to_owned(),
            status: status.as_u16(),
            detail,
        };
        let mut response = json(&problem);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

fn json(value: &impl Serialize) -> Response {
    // These are plain structs with text keys: serialising them cannot fail.
    json_bytes(serde_json::to_vec(value).unwrap_or_default().into())
}

fn json_bytes(body: Bytes) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, body).into_response()
}

/// Refuses requests that somebody else's page could have made, and dresses every answer.
async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let refused = foreign(&app, request.headers());
    let mut response = match refused {
        Some(detail) => Failure::Forbidden(detail).into_response(),
        None => next.run(request).await,
    };
    for (name, value) in SECURITY_HEADERS {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

fn foreign(app: &App, headers: &HeaderMap) -> Option<&'static str> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    if app.loopback {
        let name = host_name(host);
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let mut names = app.options.names.iter();
        let ours = is_address
            || name.eq_ignore_ascii_case("localhost")
            || names.any(|ours| ours.eq_ignore_ascii_case(name));
        if !ours {
            return Some("this server is asked for by a name that is not its own");
        }
    }
    match headers.get(header::ORIGIN) {
        None => None,
        Some(_) if text(header::ORIGIN).is_some_and(|origin| same_origin(origin, host)) => None,
        Some(_) => Some("this server answers its own pages only"),
    }
}

/// The host without its port.
fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn same_origin(origin: &str, host: &str) -> bool {
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

async fn fallback(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return Failure::Method.into_response();
    }
    let found = page::serve(uri.path(), &headers);
    found.unwrap_or_else(|| {
        let detail = format!("there is nothing at {:?}", uri.path());
        Failure::NotFound(detail).into_response()
    })
}

async fn readyz(State(app): State<Arc<App>>) -> Response {
    let mut reasons = Vec::new();
    let mut percent = 100;
    for hub in &app.hubs {
        let heartbeat = hub.heartbeat();
        percent = percent.min(heartbeat.percent);
        let name = hub.name();
        match (heartbeat.state, heartbeat.reason) {
            (api::State::Live, _) => {}
            (api::State::CatchingUp, None) => {
                reasons.push(format!("{name}: catching up, {} %", heartbeat.percent));
            }
            (_, reason) => reasons.push(format!("{name}: {}", reason.unwrap_or_default())),
        }
    }
    let ready = reasons.is_empty();
    let message = match ready {
        true => "live".to_owned(),
        false => reasons.join("; "),
    };
    let mut response = json(&api::Ready {
        ready,
        message,
        percent,
    });
    if !ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

async fn aggregations(State(app): State<Arc<App>>) -> Response {
    let aggregations = app.hubs.iter().map(|hub| api::Aggregation {
        name: hub.name().to_owned(),
        columns: hub.spec.table.columns.iter().map(column).collect(),
        keys: hub.spec.keys.clone(),
        sums: hub.spec.sums.clone(),
        zone: hub.spec.zone.clone(),
        today: hub.view().today().to_string(),
    });
    json(&api::Aggregations {
        aggregations: aggregations.collect(),
        demo: app.options.demo,
        gateway_url: app.options.gateway_url.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

fn column((name, kind): &(String, CellKind)) -> api::Column {
    api::Column {
        name: name.clone(),
        kind: match kind {
            CellKind::Text | CellKind::Date | CellKind::Timestamp => api::ColumnKind::Text,
            CellKind::Decimal => api::ColumnKind::Decimal,
            CellKind::Int => api::ColumnKind::Int,
        },
    }
}

async fn pipeline(State(app): State<Arc<App>>) -> Response {
    json(&app.sampler.latest())
}

/// What may be asked for behind `?`. Other names are passed over.
#[derive(Debug, Default, Deserialize)]
struct Asked {
    day: Option<String>,
    from: Option<String>,
    hz: Option<String>,
}

impl Asked {
    fn day(&self) -> Result<Option<BusinessDay>, Failure> {
        let read = |text: &String| {
            let refused = |error| Failure::BadQuery(types::report(&error));
            text.parse().map_err(refused)
        };
        self.day.as_ref().map(read).transpose()
    }

    fn interval(&self) -> Result<Duration, Failure> {
        let hz = match &self.hz {
            None => HZ_DEFAULT,
            Some(text) => text
                .parse()
                .ok()
                .filter(|hz| (1..=HZ_MAX).contains(hz))
                .ok_or_else(|| Failure::BadQuery(format!("hz must be 1 to {HZ_MAX}")))?,
        };
        Ok(Duration::from_secs(1) / hz)
    }
}

type Shared = State<Arc<App>>;

/// Nothing is shown before the log has been read to its end: old figures would go backwards.
fn must_serve(hub: &Hub) -> Result<(), Failure> {
    if hub.serves() {
        return Ok(());
    }
    let heartbeat = hub.heartbeat();
    let detail = match heartbeat.reason {
        Some(reason) => reason,
        None => format!("catching up, {} %", heartbeat.percent),
    };
    Err(Failure::NotReady { detail })
}

/// Rows of a day that the view does not hold.
async fn stored_rows(app: &App, hub: &Hub, day: BusinessDay) -> Result<Vec<Change>, Failure> {
    let store = app.options.store.clone();
    let table = hub.spec.table.clone();
    let read = move || {
        let mut rows = Vec::new();
        stored::scan_days(&store, &table, &[day], &mut |row| rows.push(row)).map(|_| rows)
    };
    blocking(read).await
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, store::StoreError> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(Failure::Store(types::report(&error))),
        Err(error) => Err(Failure::Store(error.to_string())),
    }
}

/// The aggregation that is asked for, if it has something to show, and the day: today unless asked otherwise.
fn served(app: &App, name: &str, asked: &Asked) -> Result<(Arc<Hub>, BusinessDay), Failure> {
    let hub = Arc::clone(app.hub(name)?);
    let day = asked.day()?;
    must_serve(&hub)?;
    let day = day.unwrap_or_else(|| hub.view().today());
    Ok((hub, day))
}

async fn snapshot(
    State(app): Shared,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let (hub, day) = served(&app, &name, &asked)?;
    if !hub.view().holds(day) {
        let rows = stored_rows(&app, &hub, day).await?;
        return Ok(json_bytes(hub.stored_snapshot(day, &rows)));
    }
    // A hundred thousand rows take tens of milliseconds to encode: not on a thread for sockets.
    let encode = tokio::task::spawn_blocking(move || hub.snapshot(day)).await;
    match encode.ok().flatten() {
        Some(body) => Ok(json_bytes(body)),
        // The day left the view this very moment.
        None => Err(Failure::NotReady {
            detail: "a new day has begun; ask again".to_owned(),
        }),
    }
}

async fn follow(
    State(app): Shared,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let hub = Arc::clone(app.hub(&name)?);
    let day = asked.day()?;
    let last = headers.get("last-event-id");
    // What the browser saw last is newer than what the page knew when it opened the stream.
    let last = last
        .and_then(|last| last.to_str().ok())
        .filter(|last| !last.is_empty());
    let from = match last.or(asked.from.as_deref()) {
        None => None,
        Some(text) => Some(Position::parse(text).ok_or_else(|| {
            Failure::BadQuery("from is no position: take one from a snapshot".to_owned())
        })?),
    };
    let request = StreamRequest {
        follows: day.is_none(),
        day: day.unwrap_or_else(|| hub.view().today()),
        from,
        interval: asked.interval()?,
        heartbeat: app.options.heartbeat,
    };
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let body = stream::body(hub, request, app.stop.clone());
    Ok((headers, body).into_response())
}

async fn export(
    State(app): Shared,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let (hub, day) = served(&app, &name, &asked)?;
    let in_view = hub.view().holds(day);
    let stored = match in_view {
        true => None,
        false => Some(stored_rows(&app, &hub, day).await?),
    };
    let encode = move || {
        let table = &hub.spec.table;
        match stored {
            Some(rows) => {
                let rows = rows.iter().filter(|row| !row.deleted);
                csv::export(table, rows.map(|row| &*row.json))
            }
            None => {
                // Copied out, as the view must not wait for the encoding.
                let rows: Vec<String> = hub.view().rows(day).map(str::to_owned).collect();
                csv::export(table, rows.iter().map(String::as_str))
            }
        }
    };
    let text = tokio::task::spawn_blocking(encode).await;
    let text = text.map_err(|error| Failure::Store(error.to_string()))?;
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || c == '_' {
            c
        } else {
            '-'
        }
    };
    let file: String = name.chars().map(safe).collect();
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{file}-{day}.csv\""),
        ),
    ];
    Ok((headers, text).into_response())
}

async fn counts(State(app): Shared, Path(name): Path<String>) -> Result<Response, Failure> {
    app.hub(&name)?;
    let cache = || app.counts.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((made, body)) = cache().get(&name)
        && made.elapsed() < COUNTS_AGE_MAX
    {
        return Ok(json_bytes(body.clone()));
    }
    let (store, aggregation) = (app.options.store.clone(), name.clone());
    let days = blocking(move || stored::counts(&store, &aggregation)).await?;
    let days = days.into_iter().map(|(day, counts)| api::CountsOfDay {
        day: day.to_string(),
        counted: counts.counted,
        reversing: counts.reversing,
        duplicate: counts.duplicate,
        late_corrected: counts.late_corrected,
        quarantined: counts.quarantined,
        total: counts.total(),
    });
    let body = serde_json::to_vec(&api::CountsOfDays {
        days: days.collect(),
    });
    let body = Bytes::from(body.unwrap_or_default());
    cache().insert(name, (Instant::now(), body.clone()));
    Ok(json_bytes(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_told_from_its_port() {
        for (host, name) in [
            ("localhost:8080", "localhost"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]:8080", "[::1]"),
            ("[::1]", "[::1]"),
            ("evil.example:80", "evil.example"),
        ] {
            assert_eq!(host_name(host), name);
        }
    }

    #[test]
    fn an_origin_must_be_the_host_asked() {
        assert!(same_origin("http://127.0.0.1:8080", "127.0.0.1:8080"));
        assert!(!same_origin("http://evil.example", "127.0.0.1:8080"));
        assert!(!same_origin("null", "127.0.0.1:8080"));
    }
}
