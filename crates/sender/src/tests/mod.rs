//! Sending against a small server that does as it is told: fails, hangs up, asks for patience.

pub(crate) mod server;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::cut::Cut;
use crate::post::{Parcel, PostError, Poster};
use crate::retry::Waiter;
use crate::{GenerateOptions, SendError, SendOptions, Silent, Target, generate, send};
use server::{Act, Server, ok};

fn parcel(body: &str) -> Parcel {
    Parcel {
        source: "json".to_owned(),
        content_type: "application/json",
        key: Some("k".to_owned()),
        first_record: Some(1),
        lenient: false,
        body: body.to_owned().into(),
    }
}

type Pauses = Arc<Mutex<Vec<Duration>>>;

fn poster(server: &Server, retry_for: Duration) -> (Poster, Pauses) {
    let target = Target::parse(&server.url()).expect("an address");
    let pauses = Pauses::default();
    let poster = Poster::new(target, retry_for, CancellationToken::new())
        .with_waiter(Waiter::Recorded(Arc::clone(&pauses)));
    (poster, pauses)
}

#[tokio::test]
async fn the_same_bytes_are_sent_until_they_are_answered() {
    let server = Server::start(vec![
        Act::Hangup,
        Act::Answer("HTTP/1.1 503 x\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n".to_owned()),
        Act::AnswerAndHangup(
            "HTTP/1.1 202 Accepted\r\ncontent-length: 14\r\n\r\n{\"acc".to_owned(),
        ),
        Act::AnswerAndHangup("HTTP/1.1 20".to_owned()),
        Act::Answer("HTTP/1.1 429 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned()),
        Act::Answer(ok(1)),
    ])
    .await;
    let (mut poster, pauses) = poster(&server, Duration::MAX);
    let mut errors = Vec::new();
    let answer = poster
        .post(&parcel("{}"), &mut |error, _| errors.push(error.to_owned()))
        .await
        .expect("an answer");
    assert_eq!(
        (answer.status, answer.body.as_slice()),
        (202, &b"{\"accepted\":1}"[..])
    );
    let requests = server.requests();
    assert_eq!(requests.len(), 6);
    assert!(requests.iter().all(|request| *request == requests[0]));
    assert!(
        requests[0].contains("idempotency-key: \"k\"\r\n"),
        "{}",
        requests[0]
    );
    assert!(requests[0].contains("daybook-first-record: 1\r\n"));
    assert!(requests[0].ends_with("\r\n\r\n{}"));
    assert_eq!(errors.len(), 5, "{errors:?}");
    let pauses = pauses.lock().expect("no panic under it").clone();
    assert!(
        pauses[1] >= Duration::from_secs(7),
        "Retry-After is kept: {pauses:?}"
    );
    assert!(pauses[4] < Duration::from_secs(2), "only once: {pauses:?}");
}

#[tokio::test]
async fn a_connection_is_kept_and_a_new_one_made_when_it_is_closed() {
    let server = Server::start(vec![
        Act::Answer(ok(1)),
        Act::Answer("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n".to_owned()),
        Act::Answer("HTTP/1.1 202 x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}".to_owned()),
        Act::Answer(ok(1)),
    ])
    .await;
    let (mut poster, pauses) = poster(&server, Duration::MAX);
    for _ in 0..4 {
        let answer = poster.post(&parcel("{}"), &mut |_, _| {}).await;
        assert_eq!(answer.expect("an answer").status, 202);
    }
    assert!(pauses.lock().expect("no panic under it").is_empty());
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_giving_up_names_the_reason() {
    let refusal = "HTTP/1.1 422 x\r\ncontent-length: 2\r\n\r\n{}".to_owned();
    let server = Server::start(vec![Act::Answer(refusal)]).await;
    let (mut poster, _) = poster(&server, Duration::ZERO);
    let answer = poster.post(&parcel("{}"), &mut |_, _| {}).await;
    assert_eq!(answer.expect("an answer").status, 422);
    // The script is at its end: from now on the server hangs up.
    let error = poster.post(&parcel("{}"), &mut |_, _| {}).await;
    let Err(PostError::GaveUp { last, .. }) = error else {
        panic!("{error:?}");
    };
    assert!(last.contains("connection"), "{last}");
}

fn silent() -> Arc<Silent> {
    Arc::new(Silent)
}

fn options(server: &Server, source: &str, path: &std::path::Path) -> SendOptions {
    SendOptions {
        gateway: server.url(),
        source: source.to_owned(),
        files: vec![path.to_owned()],
        batch_records: 2,
        connections: 1,
        progress: false,
        ..SendOptions::default()
    }
}

fn header<'r>(request: &'r str, name: &str) -> &'r str {
    let line = request.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.strip_prefix(": "))
        .unwrap_or_default()
}

#[tokio::test]
async fn a_file_keeps_its_key_and_its_numbers() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("a.ndjson");
    std::fs::write(&path, "{}\n{}\n\n{}\n{}\n{}").expect("written");
    std::fs::write(dir.path().join(".hidden"), "x").expect("written");
    let server = Server::start((0..3).map(|_| Act::Count).collect()).await;
    let report = send(
        &options(&server, "json", dir.path()),
        &Cut::Json,
        silent(),
        CancellationToken::new(),
    )
    .await
    .expect("sent");
    assert_eq!(
        (
            report.files,
            report.records,
            report.accepted,
            report.refused,
            report.requests
        ),
        (1, 5, 5, 0, 3)
    );
    let requests = server.requests();
    let numbers: Vec<&str> = requests
        .iter()
        .map(|request| header(request, "daybook-first-record"))
        .collect();
    assert_eq!(numbers, ["1", "3", "5"]);
    let key = blake3::hash(b"{}\n{}\n\n{}\n{}\n{}").to_hex();
    for request in &requests {
        assert_eq!(header(request, "idempotency-key"), format!("\"{key}\""));
        assert_eq!(header(request, "content-type"), "application/x-ndjson");
    }
}

#[tokio::test]
async fn refusals_are_reported_and_do_not_stop_the_rest() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("a.ndjson");
    std::fs::write(&path, "{}\n{}\n{}\n").expect("written");
    let problem = r#"{"type":"urn:daybook:problem:decimal","detail":"no number","record":2,"field":"amount","rule":"decimal","records":2}"#;
    let refusal = format!(
        "HTTP/1.1 422 x\r\ncontent-length: {}\r\n\r\n{problem}",
        problem.len()
    );
    let server = Server::start(vec![Act::Answer(refusal), Act::Count]).await;
    let report = send(
        &options(&server, "json", &path),
        &Cut::Json,
        silent(),
        CancellationToken::new(),
    )
    .await
    .expect("sent");
    assert_eq!(
        (report.accepted, report.refused, report.requests),
        (1, 2, 2)
    );
    let problem = &report.problems[0];
    assert_eq!((problem.status, problem.record), (422, Some(2)));
    assert!(
        problem
            .to_string()
            .ends_with("a.ndjson, record 2, field amount: no number (decimal)")
    );
}

#[tokio::test]
async fn an_unknown_source_ends_the_run() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("a.ndjson");
    std::fs::write(&path, "{}\n{}\n{}\n").expect("written");
    let problem = r#"{"type":"urn:daybook:problem:unknown-source","detail":"there is no source \"jsn\"; configured are json"}"#;
    let refusal = format!(
        "HTTP/1.1 404 x\r\ncontent-length: {}\r\n\r\n{problem}",
        problem.len()
    );
    let server = Server::start(vec![Act::Answer(refusal)]).await;
    let mut options = options(&server, "jsn", &path);
    let shutdown = CancellationToken::new();
    let error = send(&options, &Cut::Json, silent(), shutdown.clone()).await;
    let error = error.expect_err("unknown").to_string();
    assert_eq!(error, "there is no source \"jsn\"; configured are json");
    options.source = "a/b".to_owned();
    let error = send(&options, &Cut::Json, silent(), shutdown.clone()).await;
    assert!(matches!(error, Err(SendError::SourceName(_))));
    options.source = "json".to_owned();
    options.files = vec![dir.path().join("missing")];
    let error = send(&options, &Cut::Json, silent(), shutdown).await;
    assert!(matches!(error, Err(SendError::File { .. })));
}

#[tokio::test]
async fn more_records_than_numbers_are_an_error() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("a.ndjson");
    std::fs::write(&path, "{}\n").expect("written");
    let server = Server::start(vec![Act::Answer(ok(9))]).await;
    let error = send(
        &options(&server, "json", &path),
        &Cut::Json,
        silent(),
        CancellationToken::new(),
    )
    .await;
    assert!(matches!(
        error,
        Err(SendError::Miscounted {
            found: 9,
            expected: 1,
            ..
        })
    ));
}

#[tokio::test]
async fn generated_load_is_cut_and_counted() {
    let server = Server::start((0..3).map(|_| Act::Count).collect()).await;
    let options = GenerateOptions {
        gateway: server.url(),
        records: 25,
        batch_records: 10,
        connections: 1,
        booked_at: Some(jiff::Timestamp::UNIX_EPOCH),
        progress: false,
        ..GenerateOptions::default()
    };
    let report = generate(&options, silent(), CancellationToken::new()).await;
    let report = report.expect("sent");
    assert_eq!((report.accepted, report.requests), (25, 3));
    assert!(server.requests()[2].contains("\"id\":\"generated-1-21\""));
}

#[tokio::test]
async fn stopping_is_no_error() {
    let server = Server::start(Vec::new()).await;
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    let options = GenerateOptions {
        gateway: server.url(),
        progress: false,
        ..GenerateOptions::default()
    };
    let report = generate(&options, silent(), shutdown)
        .await
        .expect("stopped");
    assert!(report.interrupted);
    assert_eq!(report.accepted, 0);
}
