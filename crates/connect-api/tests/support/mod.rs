//! An engine that carries nothing and can be told what to report, and a client of the API.
#![allow(missing_docs, dead_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use connect_api::{
    ApiOptions, ConnectorOffset, Engine, Identity, LogLevels, Registry, Running, ServerInfo,
    StartError, State, Supervisor, SupervisorOptions, TaskReport, router,
};
use connector::ibm::{CONNECTOR_CLASS, IbmConfig};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

/// What the engine did and is to do.
#[derive(Default)]
pub(crate) struct Script {
    /// `start NAME TOPIC`, `stop NAME`, in order.
    pub(crate) log: Vec<String>,
    /// Reasons why a connector cannot begin, by name.
    pub(crate) refuse: BTreeMap<String, String>,
    /// Traces of tasks that have failed, by connector and number.
    pub(crate) failed: BTreeMap<(String, usize), String>,
    /// Topics that were reset, by connector.
    pub(crate) reset: BTreeSet<String>,
    /// Connectors whose end waits until it is let go.
    pub(crate) hold_stop: Option<Arc<tokio::sync::Semaphore>>,
}

#[derive(Clone, Default)]
pub(crate) struct FakeEngine(pub(crate) Arc<Mutex<Script>>);

impl FakeEngine {
    pub(crate) fn log(&self) -> Vec<String> {
        self.0.lock().expect("whole").log.clone()
    }
}

struct FakeRunning {
    script: Arc<Mutex<Script>>,
    name: String,
    topic: String,
    readers: usize,
}

#[async_trait]
impl Engine for FakeEngine {
    async fn start(&self, name: &str, config: &IbmConfig) -> Result<Box<dyn Running>, StartError> {
        let mut script = self.0.lock().expect("whole");
        if let Some(message) = script.refuse.get(name).cloned() {
            return Err(StartError { message });
        }
        let topic = config.topic.of("APP.IN");
        script.log.push(format!("start {name} {topic}"));
        Ok(Box::new(FakeRunning {
            script: Arc::clone(&self.0),
            name: name.to_owned(),
            topic,
            readers: config.readers as usize,
        }))
    }
}

#[async_trait]
impl Running for FakeRunning {
    fn tasks(&self) -> Vec<TaskReport> {
        let script = self.script.lock().expect("whole");
        let report = |task| {
            let trace = script.failed.get(&(self.name.clone(), task)).cloned();
            TaskReport {
                state: if trace.is_some() {
                    State::Failed
                } else {
                    State::Running
                },
                trace,
            }
        };
        (0..self.readers).map(report).collect()
    }

    fn topics(&self) -> BTreeSet<String> {
        let script = self.script.lock().expect("whole");
        match script.reset.contains(&self.name) {
            true => BTreeSet::new(),
            false => BTreeSet::from([self.topic.clone()]),
        }
    }

    fn reset_topics(&self) {
        self.script
            .lock()
            .expect("whole")
            .reset
            .insert(self.name.clone());
    }

    fn offsets(&self) -> Vec<ConnectorOffset> {
        let map = |key: &str, value: Value| BTreeMap::from([(key.to_owned(), value)]);
        vec![ConnectorOffset {
            partition: map("source", json!("QM1/APP.IN")),
            offset: Some(map("delivered", json!(7))),
        }]
    }

    async fn stop(self: Box<Self>) {
        let hold = self.script.lock().expect("whole").hold_stop.clone();
        if let Some(hold) = hold {
            let _permit = hold.acquire().await;
        }
        let mut script = self.script.lock().expect("whole");
        script.log.push(format!("stop {}", self.name));
        // A restart mends it.
        let name = self.name.clone();
        script.failed.retain(|(failed, _), _| *failed != name);
    }
}

pub(crate) fn supervisor(directory: &Path, engine: &FakeEngine) -> Supervisor {
    patient(directory, engine, Duration::from_secs(30))
}

pub(crate) fn patient(
    directory: &Path,
    engine: &FakeEngine,
    stop_time_max: Duration,
) -> Supervisor {
    let options = SupervisorOptions {
        stop_time_max,
        ..options()
    };
    with_options(directory, engine, options)
}

pub(crate) fn options() -> SupervisorOptions {
    SupervisorOptions::new(Identity {
        server: ServerInfo {
            version: "0.1.0".to_owned(),
            commit: "abc".to_owned(),
            kafka_cluster_id: "cluster".to_owned(),
        },
        worker_id: "127.0.0.1:8083".to_owned(),
    })
}

pub(crate) fn with_options(
    directory: &Path,
    engine: &FakeEngine,
    options: SupervisorOptions,
) -> Supervisor {
    let registry = Registry::open(directory).expect("opens");
    let levels = LogLevels::new("info", |_| Ok(()));
    Supervisor::new(engine.clone(), registry, options, levels)
}

pub(crate) fn api(supervisor: &Supervisor) -> Router {
    router(Arc::new(supervisor.clone()), ApiOptions::default())
}

/// A configuration that is valid, without a name.
pub(crate) fn config(topic: &str) -> Value {
    json!({
        "connector.class": CONNECTOR_CLASS,
        "tasks.max": "1",
        "mq.queue.manager": "QM1",
        "mq.connection.name.list": "localhost(1414)",
        "mq.channel.name": "APP.SVRCONN",
        "mq.queue": "APP.IN",
        "mq.record.builder": "DefaultRecordBuilder",
        "topic": topic
    })
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {:?}", self.text))
    }
}

pub(crate) async fn send(
    api: &Router,
    method: &str,
    path: &str,
    kind: Option<&str>,
    body: Vec<u8>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(kind) = kind {
        request = request.header("content-type", kind);
    }
    let request = request.body(Body::from(body)).expect("a request");
    let response = api.clone().oneshot(request).await.expect("never fails");
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("whole").to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8(body.to_vec()).expect("UTF-8"),
    }
}

/// Status and body in one line.
pub(crate) async fn call(
    api: &Router,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> (u16, Value) {
    let kind = body.as_ref().map(|_| "application/json");
    let bytes = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
    let answer = send(api, method, path, kind, bytes).await;
    let body = match answer.text.is_empty() {
        true => Value::Null,
        false => answer.json(),
    };
    (answer.status.as_u16(), body)
}
