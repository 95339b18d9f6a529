//! Paths and methods of Kafka Connect's REST API 4.3.1.
//!
//! Invariant: a handler is never dropped in the middle. It runs in a task of its own, and the client or
//! the clock only stop waiting for it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, LOCATION, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use connector::ibm::{ConfigMap, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::body;
use crate::error::{WorkerError, answer};
use crate::levels::Level;
use crate::registry::TargetState;
use crate::worker::{
    ConnectorInfo, ConnectorOffsets, ConnectorStatus, Plugin, PluginConfig, RestartRequest,
    ServerInfo, TaskInfo, TaskPart, Worker,
};

/// Limits of the API.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// Most bytes of a request's body. Default 1 MiB.
    pub body_bytes_max: usize,
    /// Longest time until an answer. Default 90 s, as Kafka Connect.
    pub request_time_max: Duration,
    /// Only `localhost` and IP addresses are taken for names of this server, so that no site can let its
    /// own name point here (DNS rebinding). [`ConnectApi`](crate::ConnectApi) sets it when it listens
    /// on loopback. Default false.
    pub local_names_only: bool,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            body_bytes_max: 1 << 20,
            request_time_max: Duration::from_secs(90),
            local_names_only: false,
        }
    }
}

struct App {
    worker: Arc<dyn Worker>,
    options: ApiOptions,
}

type Shared = State<Arc<App>>;
type Answer<T> = Result<Json<T>, WorkerError>;

/// All paths over a worker.
pub fn router(worker: Arc<dyn Worker>, options: ApiOptions) -> Router {
    let app = Arc::new(App { worker, options });
    Router::new()
        .route("/", get(server))
        .route("/health", get(health))
        .route("/connectors", get(list).post(create))
        .route("/connectors/", get(list).post(create))
        .route("/connectors/{connector}", get(info).delete(delete))
        .route(
            "/connectors/{connector}/config",
            get(config).put(put_config).patch(patch_config),
        )
        .route("/connectors/{connector}/status", get(status))
        .route("/connectors/{connector}/restart", post(restart))
        .route("/connectors/{connector}/pause", put(pause))
        .route("/connectors/{connector}/resume", put(resume))
        .route("/connectors/{connector}/stop", put(stop))
        .route("/connectors/{connector}/tasks", get(tasks))
        .route(
            "/connectors/{connector}/tasks/{task}/status",
            get(task_status),
        )
        .route(
            "/connectors/{connector}/tasks/{task}/restart",
            post(restart_task),
        )
        .route("/connectors/{connector}/topics", get(topics))
        .route("/connectors/{connector}/topics/reset", put(reset_topics))
        .route(
            "/connectors/{connector}/offsets",
            get(offsets).patch(alter_offsets).delete(reset_offsets),
        )
        .route("/connector-plugins", get(plugins))
        .route("/connector-plugins/", get(plugins))
        .route("/connector-plugins/{plugin}/config", get(plugin_config))
        .route("/connector-plugins/{plugin}/config/validate", put(validate))
        .route("/admin/loggers", get(loggers))
        .route("/admin/loggers/", get(loggers))
        .route("/admin/loggers/{logger}", get(logger).put(set_logger))
        .method_not_allowed_fallback(|| async { plain(StatusCode::METHOD_NOT_ALLOWED) })
        .fallback(|| async { plain(StatusCode::NOT_FOUND) })
        .layer(middleware::from_fn_with_state(Arc::clone(&app), to_the_end))
        .with_state(app)
}

/// As Jersey says it.
fn plain(status: StatusCode) -> Response {
    answer(status, format!("HTTP {status}"))
}

/// Why a browser's page is refused: there is no authentication, and nobody's page is ours. Scripts and
/// the servers of user interfaces send no `Origin`.
fn foreign(options: &ApiOptions, headers: &HeaderMap) -> Option<&'static str> {
    if headers.contains_key(ORIGIN) {
        return Some("pages of browsers are not answered: the request has an Origin");
    }
    let host = headers.get(HOST)?.to_str().unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let known = is_address || name.eq_ignore_ascii_case("localhost");
    (options.local_names_only && !known)
        .then_some("this server is asked for by a name that is not its own")
}

async fn to_the_end(State(app): Shared, request: Request, next: Next) -> Response {
    if let Some(reason) = foreign(&app.options, request.headers()) {
        return answer(StatusCode::FORBIDDEN, reason.to_owned());
    }
    let handler = tokio::spawn(next.run(request));
    let mut response = match tokio::time::timeout(app.options.request_time_max, handler).await {
        // axum's own refusals, of a path that is no UTF-8 for instance, are plain text.
        Ok(Ok(response)) if response.status().is_client_error() && !is_json(&response) => {
            plain(response.status())
        }
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            let message = format!("the request ended without an answer: {error}");
            WorkerError::Internal { message }.into_response()
        }
        Err(_) => WorkerError::TimedOut.into_response(),
    };
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response
}

fn is_json(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes() == b"application/json")
}

async fn server(State(app): Shared) -> Json<ServerInfo> {
    Json(app.worker.server())
}

async fn health(State(app): Shared) -> Response {
    let (status, state, message) = match app.worker.unready() {
        None => (
            StatusCode::OK,
            "healthy",
            "Worker has completed startup and is ready to handle requests.".to_owned(),
        ),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, "starting", reason),
    };
    (status, Json(json!({"status": state, "message": message}))).into_response()
}

/// Pairs of the query, decoded; `expand` may be there several times.
fn query(uri: &Uri) -> Vec<(String, String)> {
    Query::try_from_uri(uri).map_or_else(|_| Vec::new(), |Query(pairs)| pairs)
}

/// Whether the query has this as `true`. Java's parser takes everything else for false.
fn flag(pairs: &[(String, String)], name: &str) -> Option<bool> {
    let found = pairs.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.eq_ignore_ascii_case("true"))
}

async fn list(State(app): Shared, uri: Uri) -> Json<Value> {
    let pairs = query(&uri);
    let wanted = |what: &str| {
        pairs
            .iter()
            .any(|pair| pair.0 == "expand" && pair.1 == what)
    };
    let names = app.worker.connectors();
    if !pairs.iter().any(|(key, _)| key == "expand") {
        return Json(json!(names));
    }
    let mut all = Map::new();
    for name in names {
        let mut one = Map::new();
        // One that was deleted in the meantime is left out.
        if wanted("status") {
            let Ok(status) = app.worker.status(&name) else {
                continue;
            };
            one.insert("status".to_owned(), json!(status));
        }
        if wanted("info") {
            let Ok(info) = app.worker.info(&name) else {
                continue;
            };
            one.insert("info".to_owned(), json!(info));
        }
        all.insert(name, Value::Object(one));
    }
    Json(Value::Object(all))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    #[serde(default)]
    name: Option<String>,
    config: Scalars,
    #[serde(default)]
    initial_state: Option<String>,
}

/// A configuration; numbers and booleans are taken for the text that they are, as Jackson does it.
struct Scalars(BTreeMap<String, Option<String>>);

impl<'de> Deserialize<'de> for Scalars {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<String, Value>::deserialize(from)?;
        let text = |(key, value): (String, Value)| match value {
            Value::Null => Ok((key, None)),
            Value::String(text) => Ok((key, Some(text))),
            Value::Number(number) => Ok((key, Some(number.to_string()))),
            Value::Bool(value) => Ok((key, Some(value.to_string()))),
            _ => Err(serde::de::Error::custom(format!(
                "the value of {key} must be text, a number or a boolean"
            ))),
        };
        map.into_iter()
            .map(text)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl Scalars {
    /// Keys without a value are as absent.
    fn config(self) -> ConfigMap {
        let some = |(key, value): (String, Option<String>)| value.map(|value| (key, value));
        self.0.into_iter().filter_map(some).collect()
    }
}

/// The name goes into the configuration, where it must not be another one.
fn named(name: &str, mut config: ConfigMap) -> Result<ConfigMap, WorkerError> {
    match config.get("name") {
        Some(other) if other.trim() != name => Err(WorkerError::BadRequest {
            message: format!(
                "Connector name configuration ({other}) doesn't match connector name in the URL ({name})"
            ),
        }),
        _ => {
            config.insert("name".to_owned(), name.to_owned());
            Ok(config)
        }
    }
}

fn created(info: ConnectorInfo) -> Response {
    let mut response = (StatusCode::CREATED, Json(&info)).into_response();
    let mut place = String::from("/connectors/");
    for byte in info.name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                place.push(char::from(byte))
            }
            byte => place.push_str(&format!("%{byte:02X}")),
        }
    }
    if let Ok(place) = HeaderValue::from_str(&place) {
        response.headers_mut().insert(LOCATION, place);
    }
    response
}

async fn create(State(app): Shared, request: Request) -> Result<Response, WorkerError> {
    let create: Create = body::json(request, app.options.body_bytes_max).await?;
    let name = create.name.as_deref().unwrap_or_default().trim();
    let target = match create.initial_state.as_deref() {
        None => TargetState::Running,
        Some(state) if state.eq_ignore_ascii_case("running") => TargetState::Running,
        Some(state) if state.eq_ignore_ascii_case("paused") => TargetState::Paused,
        Some(state) if state.eq_ignore_ascii_case("stopped") => TargetState::Stopped,
        Some(other) => {
            return Err(WorkerError::BadRequest {
                message: format!("initial_state {other:?} is none of RUNNING, PAUSED, STOPPED"),
            });
        }
    };
    let config = named(name, create.config.config())?;
    let info = app.worker.create(name, config, target).await?;
    Ok(created(info))
}

async fn info(State(app): Shared, Path(name): Path<String>) -> Answer<ConnectorInfo> {
    app.worker.info(&name).map(Json)
}

async fn delete(State(app): Shared, Path(name): Path<String>) -> Result<StatusCode, WorkerError> {
    app.worker.delete(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn config(State(app): Shared, Path(name): Path<String>) -> Answer<ConfigMap> {
    app.worker.info(&name).map(|info| Json(info.config))
}

async fn put_config(
    State(app): Shared,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, WorkerError> {
    let config: Scalars = body::json(request, app.options.body_bytes_max).await?;
    let config = named(&name, config.config())?;
    let (info, new) = app.worker.put_config(&name, config).await?;
    Ok(match new {
        true => created(info),
        false => Json(info).into_response(),
    })
}

async fn patch_config(
    State(app): Shared,
    Path(name): Path<String>,
    request: Request,
) -> Answer<ConnectorInfo> {
    let Scalars(changes) = body::json(request, app.options.body_bytes_max).await?;
    app.worker.patch_config(&name, changes).await.map(Json)
}

async fn status(State(app): Shared, Path(name): Path<String>) -> Answer<ConnectorStatus> {
    app.worker.status(&name).map(Json)
}

async fn restart(
    State(app): Shared,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Response, WorkerError> {
    let pairs = query(&uri);
    let request = RestartRequest {
        include_tasks: flag(&pairs, "includeTasks").unwrap_or(false),
        only_failed: flag(&pairs, "onlyFailed").unwrap_or(false),
    };
    let status = app.worker.restart(&name, request).await?;
    Ok(match request == RestartRequest::default() {
        true => StatusCode::NO_CONTENT.into_response(),
        false => (StatusCode::ACCEPTED, Json(status)).into_response(),
    })
}

async fn pause(State(app): Shared, Path(name): Path<String>) -> Result<StatusCode, WorkerError> {
    app.worker.set_target(&name, TargetState::Paused).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn resume(State(app): Shared, Path(name): Path<String>) -> Result<StatusCode, WorkerError> {
    app.worker.set_target(&name, TargetState::Running).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn stop(State(app): Shared, Path(name): Path<String>) -> Result<StatusCode, WorkerError> {
    app.worker.set_target(&name, TargetState::Stopped).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn tasks(State(app): Shared, Path(name): Path<String>) -> Answer<Vec<TaskInfo>> {
    app.worker.tasks(&name).map(Json)
}

/// A number, or there is no such path.
fn number(task: &str) -> Result<usize, Box<Response>> {
    task.parse()
        .map_err(|_| Box::new(plain(StatusCode::NOT_FOUND)))
}

async fn task_status(
    State(app): Shared,
    Path((name, task)): Path<(String, String)>,
) -> Result<Json<TaskPart>, Response> {
    let task = number(&task).map_err(|response| *response)?;
    let missing = || WorkerError::NotFound {
        message: format!("No status found for task {name}-{task}"),
    };
    let found = app.worker.status(&name).ok();
    let found = found.and_then(|status| status.tasks.into_iter().find(|part| part.id == task));
    found.map(Json).ok_or_else(|| missing().into_response())
}

async fn restart_task(
    State(app): Shared,
    Path((name, task)): Path<(String, String)>,
) -> Result<StatusCode, Response> {
    let task = number(&task).map_err(|response| *response)?;
    let done = app.worker.restart_task(&name, task).await;
    done.map_err(IntoResponse::into_response)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn topics(State(app): Shared, Path(name): Path<String>) -> Answer<Value> {
    let topics = app.worker.topics(&name)?;
    Ok(Json(json!({name: {"topics": topics}})))
}

async fn reset_topics(
    State(app): Shared,
    Path(name): Path<String>,
) -> Result<StatusCode, WorkerError> {
    app.worker.reset_topics(&name)?;
    Ok(StatusCode::ACCEPTED)
}

async fn offsets(State(app): Shared, Path(name): Path<String>) -> Answer<ConnectorOffsets> {
    app.worker.offsets(&name).await.map(Json)
}

#[derive(Serialize)]
struct Message {
    message: String,
}

async fn alter_offsets(
    State(app): Shared,
    Path(name): Path<String>,
    request: Request,
) -> Answer<Message> {
    let offsets: ConnectorOffsets = body::json(request, app.options.body_bytes_max).await?;
    if offsets.offsets.is_empty() {
        return Err(WorkerError::BadRequest {
            message: "Partitions / offsets need to be provided for an alter offsets request"
                .to_owned(),
        });
    }
    let message = app.worker.alter_offsets(&name, offsets).await?;
    Ok(Json(Message { message }))
}

async fn reset_offsets(State(app): Shared, Path(name): Path<String>) -> Answer<Message> {
    let message = app.worker.reset_offsets(&name).await?;
    Ok(Json(Message { message }))
}

async fn plugins(State(app): Shared, uri: Uri) -> Json<Vec<Plugin>> {
    let only = flag(&query(&uri), "connectorsOnly").unwrap_or(true);
    let mut plugins = app.worker.plugins();
    plugins.retain(|plugin| !only || matches!(plugin.kind.as_str(), "source" | "sink"));
    Json(plugins)
}

async fn plugin_config(State(app): Shared, Path(plugin): Path<String>) -> Answer<PluginConfig> {
    app.worker.plugin_config(&plugin).map(Json)
}

async fn validate(
    State(app): Shared,
    Path(plugin): Path<String>,
    request: Request,
) -> Answer<Validation> {
    let config: Scalars = body::json(request, app.options.body_bytes_max).await?;
    let judged = app.worker.validate(&plugin, config.config()).await;
    judged.map(Json)
}

async fn loggers(State(app): Shared) -> Json<BTreeMap<String, Level>> {
    Json(app.worker.log_levels().all())
}

async fn logger(State(app): Shared, Path(logger): Path<String>) -> Answer<Level> {
    app.worker.log_levels().one(&logger).map(Json)
}

async fn set_logger(
    State(app): Shared,
    Path(logger): Path<String>,
    uri: Uri,
    request: Request,
) -> Result<Response, WorkerError> {
    let body: BTreeMap<String, Value> = body::json(request, app.options.body_bytes_max).await?;
    let Some(level) = body.get("level").and_then(Value::as_str) else {
        return Err(WorkerError::BadRequest {
            message: "Desired 'level' parameter was not specified in request.".to_owned(),
        });
    };
    let names = app.worker.log_levels().set(&logger, level)?;
    let cluster = query(&uri)
        .iter()
        .any(|(key, value)| key == "scope" && value.eq_ignore_ascii_case("cluster"));
    Ok(match cluster {
        true => StatusCode::NO_CONTENT.into_response(),
        false => Json(names).into_response(),
    })
}
