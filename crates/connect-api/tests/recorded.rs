//! A session with Kafka Connect 4.3.1, recorded, held with Daybook: every request of it, in its order,
//! with IBM's connector instead of the sample file connector. Status, message and shape must be the same
//! but for the differences named here, which `docs/specs/connect.md` names too.
#![allow(missing_docs)]

mod support;

use connector::ibm::CONNECTOR_CLASS;
use serde_json::Value;
use support::{FakeEngine, api, config, send, supervisor};

const FILE_SOURCE: &str = "org.apache.kafka.connect.file.FileStreamSourceConnector";

#[derive(Debug)]
struct Exchange {
    request: String,
    body: Option<String>,
    kind: String,
    status: u16,
    location: Option<String>,
    answer: String,
}

fn exchanges() -> Vec<Exchange> {
    let recorded = include_str!("recorded/connect-4.3.1.txt");
    let blocks = recorded.trim().split("\n\n");
    blocks
        .map(|block| {
            let mut lines = block.lines();
            let mut exchange = Exchange {
                request: lines.next().expect("a request").to_owned(),
                body: None,
                kind: "application/json".to_owned(),
                status: 0,
                location: None,
                answer: String::new(),
            };
            for line in lines {
                if let Some(kind) = line.strip_prefix("> type ") {
                    exchange.kind = kind.to_owned();
                } else if let Some(body) = line.strip_prefix("> ") {
                    exchange.body = Some(body.to_owned());
                } else if let Some(answer) = line.strip_prefix("<") {
                    exchange.answer = answer.trim().to_owned();
                } else if let Some(location) = line.strip_prefix("location ") {
                    exchange.location = Some(location.to_owned());
                } else {
                    let status = line.split(' ').next().expect("a status");
                    exchange.status = status.parse().expect("a number");
                }
            }
            exchange
        })
        .collect()
}

/// The same of IBM's connector.
fn translated(body: &str) -> String {
    let body = body.replace(FILE_SOURCE, CONNECTOR_CLASS);
    let Ok(mut value) = serde_json::from_str::<Value>(&body) else {
        return body;
    };
    let inner = value
        .as_object()
        .is_some_and(|object| object.contains_key("config"));
    let target = if inner {
        &mut value["config"]
    } else {
        &mut value
    };
    if let Some(settings) = target
        .as_object_mut()
        .filter(|map| map.get("file").is_some_and(Value::is_string))
    {
        settings.remove("file");
        for (key, value) in config("lines").as_object().expect("an object") {
            if key.starts_with("mq.") {
                settings.insert(key.clone(), value.clone());
            }
        }
    }
    value.to_string()
}

/// Our status and what our message begins with, where they are not Connect's. The request, and what
/// its body begins with.
const DIFFERENCES: &[(&str, &str, u16, &str)] = &[
    // What cannot be read is the client's fault.
    (
        "POST /connectors",
        "{nonsense",
        400,
        "the request's body cannot be read",
    ),
    (
        "POST /connectors",
        "{\"name\": \"d\"}",
        400,
        "the request's body cannot be read: missing field `config`",
    ),
    (
        "POST /connectors",
        "{\"name\": \"d\", \"config\": {\"connector.class\": \"org.apache.kafka.connect.file.FileStreamSourceConnector\", \"tasks.max\": \"1\", \"file\": \"/data/in.txt\", \"topic\": \"lines\"}, \"surplus\"",
        400,
        "the request's body cannot be read: unknown field `surplus`",
    ),
    (
        "POST /connectors",
        "{\"name\": \"d\", \"config\": {\"connector.class\": \"org.apache.kafka.connect.file.FileStreamSourceConnector\", \"tasks.max\": \"1\", \"file\": \"/data/in.txt\", \"topic\": \"lines\"}, \"initial_state\"",
        400,
        "initial_state \"x\" is none of",
    ),
    (
        "PUT /connectors/c/config",
        "[]",
        400,
        "the request's body cannot be read",
    ),
    (
        "PATCH /connectors/c/offsets",
        "{\"nothing\"",
        400,
        "the request's body cannot be read: unknown field",
    ),
    ("PUT /connector-plugins/NoSuch/config/validate", "", 400, ""),
    // Reasons in our words.
    (
        "POST /connectors",
        "{\"name\": \"d\", \"config\": {\"tasks.max\"",
        400,
        "Connector config {name, tasks.max} contains no connector type",
    ),
    (
        "POST /connectors",
        "{\"name\": \"d\", \"config\": {\"connector.class\": \"no.such.Class\"",
        400,
        "Failed to find any class that implements Connector and which name matches no.such.Class",
    ),
    (
        "POST /connectors",
        "{\"name\": \"d\", \"config\": {\"connector.class\": \"org.apache.kafka.connect.file.FileStreamSourceConnector\", \"tasks.max\": \"x\"",
        400,
        "Connector configuration is invalid and contains the following 1 error(s):\ntasks.max: \"x\" is no number",
    ),
    (
        "POST /connectors",
        "{\"config\"",
        400,
        "Connector configuration is invalid and contains the following 1 error(s):\nname: it must not be empty",
    ),
    (
        "PUT /connectors/c/config",
        "{\"connector.class\": \"org.apache.kafka.connect.file.FileStreamSourceConnector\", \"tasks.max\": \"0\"",
        400,
        "Connector configuration is invalid and contains the following 1 error(s):\ntasks.max: \"0\" is not from 1 to 64",
    ),
    (
        "PUT /connector-plugins/FileStreamSink/config/validate",
        "",
        400,
        "Included connector type com.ibm.eventstreams.connect.mqsource.MQSourceConnector does not match request type FileStreamSink",
    ),
    // A queue has no offsets.
    (
        "PATCH /connectors/c/offsets",
        "{\"offsets\": [{",
        400,
        "a queue has no offsets",
    ),
    (
        "DELETE /connectors/c/offsets",
        "",
        400,
        "a queue has no offsets",
    ),
];

/// Every member that Connect's answer has is in ours with a value of the same type, and no other is.
/// Configurations are maps of any keys; of lists the first elements are compared.
fn same_shape(place: &str, theirs: &Value, ours: &Value) {
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => {
            let open = place.ends_with(".config")
                || place.starts_with("GET /connectors/") && place.ends_with("/config")
                || place.ends_with("loggers");
            if open {
                let text = |value: &Value| value.is_string() || place.ends_with("loggers");
                assert!(ours.values().all(text), "{place}: {ours:?}");
                return;
            }
            let keys = |map: &serde_json::Map<String, Value>| {
                let mut keys: Vec<String> = map.keys().cloned().collect();
                keys.sort();
                keys
            };
            assert_eq!(keys(theirs), keys(ours), "{place}");
            for (key, value) in theirs {
                same_shape(&format!("{place}.{key}"), value, &ours[key]);
            }
        }
        (Value::Array(theirs), Value::Array(ours)) => {
            if let (Some(theirs), Some(ours)) = (theirs.first(), ours.first()) {
                same_shape(&format!("{place}[0]"), theirs, ours);
            }
        }
        // Where there may be nothing.
        (Value::Null, Value::String(_) | Value::Number(_))
        | (Value::String(_) | Value::Number(_), Value::Null) => {}
        (theirs, ours) => assert_eq!(
            std::mem::discriminant(theirs),
            std::mem::discriminant(ours),
            "{place}: {theirs} and {ours}"
        ),
    }
}

#[tokio::test]
async fn a_session_with_connect_is_the_same_with_daybook() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = FakeEngine::default();
    let supervisor = supervisor(directory.path(), &engine);
    let api = api(&supervisor);
    let exchanges = exchanges();
    assert_eq!(exchanges.len(), 100);
    let mut used = vec![0; DIFFERENCES.len()];
    for exchange in &exchanges {
        let request = exchange
            .request
            .replace("FileStreamSourceConnector", "MQSourceConnector");
        let request = request.replace("FileStreamSource/", "MQSource/");
        let (method, path) = request.split_once(' ').expect("a method");
        let body = exchange.body.as_deref();
        let kind = body.map(|_| exchange.kind.as_str());
        let sent = body.map(translated).unwrap_or_default();
        let answer = send(&api, method, path, kind, sent.clone().into_bytes()).await;
        let place = format!("{request} {sent}");
        let difference = DIFFERENCES.iter().position(|(request, begin, ..)| {
            *request == exchange.request && body.unwrap_or_default().starts_with(begin)
        });
        if let Some(at) = difference {
            used[at] += 1;
            let (_, _, status, message) = DIFFERENCES[at];
            assert_eq!(answer.status.as_u16(), status, "{place}: {}", answer.text);
            let said = answer.json();
            assert_eq!(said["error_code"], status, "{place}");
            assert!(
                said["message"]
                    .as_str()
                    .is_some_and(|said| said.starts_with(message)),
                "{place}: {said}"
            );
            continue;
        }
        assert_eq!(
            answer.status.as_u16(),
            exchange.status,
            "{place}: {}",
            answer.text
        );
        assert_eq!(
            answer.text.is_empty(),
            exchange.answer.is_empty(),
            "{place}: {}",
            answer.text
        );
        if let Some(location) = &exchange.location {
            let ours = answer.headers["location"].to_str().expect("text");
            assert!(location.ends_with(ours), "{place}: {ours}");
        }
        if answer.text.is_empty() {
            continue;
        }
        assert_eq!(
            answer.headers["content-type"], "application/json",
            "{place}"
        );
        let theirs: Value = serde_json::from_str(&exchange.answer).expect("JSON");
        let ours = answer.json();
        if exchange.status >= 400 {
            assert_eq!(ours, theirs, "{place}");
            continue;
        }
        same_shape(&place_of(&request), &theirs, &ours);
        // States are the same where the worker had time to come to rest.
        for pointer in ["/connector/state", "/state"] {
            assert_eq!(ours.pointer(pointer), theirs.pointer(pointer), "{place}");
        }
    }
    assert!(
        used.iter().all(|count| *count > 0),
        "a difference that there is not: {used:?}"
    );
}

fn place_of(request: &str) -> String {
    request.split('?').next().unwrap_or_default().to_owned()
}
