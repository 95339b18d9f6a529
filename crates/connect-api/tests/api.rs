//! The API's own rules, beyond the recorded session: limits, time, secrets.
#![allow(missing_docs)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use connect_api::{ApiOptions, ConnectApi, ServerOptions, Worker, router};
use serde_json::{Value, json};
use support::{FakeEngine, api, call, config, send, supervisor};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_body_at_the_limit_is_read_and_one_beyond_it_is_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let supervisor = supervisor(directory.path(), &FakeEngine::default());
    let api = api(&supervisor);
    let body = |bytes: usize| {
        let mut body = json!({"name": "c", "config": config("t")})
            .to_string()
            .into_bytes();
        body.resize(bytes, b' ');
        body
    };
    let limit = ApiOptions::default().body_bytes_max;
    let kind = Some("application/json; charset=utf-8");
    let answer = send(&api, "POST", "/connectors", kind, body(limit + 1)).await;
    assert_eq!(answer.status, 413);
    assert_eq!(
        answer.json(),
        json!({"error_code": 413, "message": "the request's body is longer than 1048576 bytes"})
    );
    let answer = send(&api, "POST", "/connectors", kind, body(limit)).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    assert_eq!(answer.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn an_operation_that_takes_too_long_is_finished_all_the_same() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = FakeEngine::default();
    let supervisor = supervisor(directory.path(), &engine);
    let options = ApiOptions {
        request_time_max: Duration::from_millis(200),
        ..ApiOptions::default()
    };
    let api = router(Arc::new(supervisor.clone()), options);
    call(&api, "PUT", "/connectors/c/config", Some(config("t"))).await;
    let hold = Arc::new(tokio::sync::Semaphore::new(0));
    engine.0.lock().expect("whole").hold_stop = Some(Arc::clone(&hold));
    let (status, body) = call(&api, "DELETE", "/connectors/c", None).await;
    assert_eq!(
        (status, body),
        (
            500,
            json!({"error_code": 500, "message": "Request timed out"})
        )
    );
    // It is on disk, and reading does not wait.
    assert_eq!(
        call(&api, "GET", "/connectors", None).await,
        (200, json!([]))
    );
    assert!(!engine.log().contains(&"stop c".to_owned()));
    hold.add_permits(1);
    while !engine.log().contains(&"stop c".to_owned()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn passwords_do_not_go_out_and_come_back_as_they_were() {
    let directory = tempfile::tempdir().expect("a directory");
    let supervisor = supervisor(directory.path(), &FakeEngine::default());
    let api = api(&supervisor);
    let mut secret = config("t");
    secret["mq.user.name"] = json!("app");
    secret["mq.password"] = json!("geheim");
    let (status, made) = call(
        &api,
        "POST",
        "/connectors",
        Some(json!({"name": "c", "config": secret})),
    )
    .await;
    assert_eq!(
        (status, &made["config"]["mq.password"]),
        (201, &json!("[hidden]"))
    );
    for path in [
        "/connectors/c",
        "/connectors/c/config",
        "/connectors/c/tasks",
        "/connectors?expand=info",
    ] {
        let (_, body) = call(&api, "GET", path, None).await;
        assert!(
            !body.to_string().contains("geheim") && body.to_string().contains("[hidden]"),
            "{path}"
        );
    }
    // As a user interface does it: read, change, write.
    let (_, mut shown) = call(&api, "GET", "/connectors/c/config", None).await;
    shown["topic"] = json!("t2");
    assert_eq!(
        call(&api, "PUT", "/connectors/c/config", Some(shown))
            .await
            .0,
        200
    );
    let kept = || std::fs::read_to_string(directory.path().join("connectors.json")).expect("reads");
    assert!(kept().contains("\"mq.password\": \"geheim\"") && kept().contains("\"t2\""));
    let patch = json!({"mq.password": "neu"});
    assert_eq!(
        call(&api, "PATCH", "/connectors/c/config", Some(patch))
            .await
            .0,
        200
    );
    assert!(kept().contains("\"mq.password\": \"neu\""));
    let validate = "/connector-plugins/MQSource/config/validate";
    let mut wrong = secret.clone();
    wrong["mq.batch.size"] = json!(0);
    wrong["name"] = json!("c");
    let (_, judged) = call(&api, "PUT", validate, Some(wrong)).await;
    assert_eq!(judged["error_count"], 1);
    assert!(!judged.to_string().contains("geheim"));
}

#[tokio::test]
async fn names_are_text_of_any_kind() {
    let directory = tempfile::tempdir().expect("a directory");
    let supervisor = supervisor(directory.path(), &FakeEngine::default());
    let api = api(&supervisor);
    let create = |name: &str| json!({"name": name, "config": config("t")});
    let sent = create(" a/b \u{e4} ").to_string().into_bytes();
    let answer = send(&api, "POST", "/connectors", Some("application/json"), sent).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    assert_eq!(answer.headers["location"], "/connectors/a%2Fb%20%C3%A4");
    let (status, info) = call(&api, "GET", "/connectors/a%2Fb%20%C3%A4", None).await;
    assert_eq!((status, &info["name"]), (200, &json!("a/b \u{e4}")));
    let (status, body) = call(&api, "POST", "/connectors", Some(create("a\nb"))).await;
    assert!(
        status == 400 && body.to_string().contains("control characters"),
        "{body}"
    );
    let fits = "x".repeat(200);
    assert_eq!(
        call(&api, "POST", "/connectors", Some(create(&fits)))
            .await
            .0,
        201
    );
    let (status, body) = call(
        &api,
        "POST",
        "/connectors",
        Some(create(&format!("{fits}x"))),
    )
    .await;
    assert!(
        status == 400 && body.to_string().contains("longer than 200 characters"),
        "{body}"
    );
    // What is no text on the wire is an answer too.
    assert_eq!(call(&api, "GET", "/connectors/%ff", None).await.0, 400);
}

#[tokio::test]
async fn it_serves_on_a_socket_until_it_is_told_to_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let supervisor = supervisor(directory.path(), &FakeEngine::default());
    let options = ServerOptions {
        listen: "127.0.0.1:0".parse().expect("an address"),
        head_time_max: Duration::from_millis(200),
        ..ServerOptions::default()
    };
    let server = ConnectApi::bind(options, Arc::new(supervisor))
        .await
        .expect("listens");
    let address = server.local_addr();
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(server.run(shutdown.clone()));
    let mut socket = tokio::net::TcpStream::connect(address)
        .await
        .expect("connects");
    let request = b"GET /health HTTP/1.1\r\nhost: localhost:8083\r\nconnection: close\r\n\r\n";
    socket.write_all(request).await.expect("writes");
    let mut text = String::new();
    socket.read_to_string(&mut text).await.expect("reads");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let body: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(body["status"], "healthy");
    // A site whose name points here is refused.
    let mut rebound = tokio::net::TcpStream::connect(address)
        .await
        .expect("connects");
    let request =
        b"GET /connectors HTTP/1.1\r\nhost: evil.example:8083\r\nconnection: close\r\n\r\n";
    rebound.write_all(request).await.expect("writes");
    let mut text = String::new();
    rebound.read_to_string(&mut text).await.expect("reads");
    assert!(text.starts_with("HTTP/1.1 403"), "{text}");
    // One who sends half a head is let go.
    let mut slow = tokio::net::TcpStream::connect(address)
        .await
        .expect("connects");
    slow.write_all(b"GET /hea").await.expect("writes");
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest).await;
    shutdown.cancel();
    serving.await.expect("ends");
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let supervisor = supervisor(directory.path(), &FakeEngine::default());
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("listens");
    let listen = taken.local_addr().expect("an address");
    let options = ServerOptions {
        listen,
        ..ServerOptions::default()
    };
    let error = ConnectApi::bind(options, Arc::new(supervisor))
        .await
        .expect_err("taken");
    assert_eq!(
        error.to_string(),
        format!("the Connect API cannot listen on {listen}")
    );
}

#[tokio::test]
async fn pages_of_browsers_are_refused() {
    use tower::ServiceExt;
    let directory = tempfile::tempdir().expect("a directory");
    let supervisor = supervisor(directory.path(), &FakeEngine::default());
    let api = api(&supervisor);
    call(&api, "PUT", "/connectors/c/config", Some(config("t"))).await;
    let request = axum::http::Request::post("/connectors/c/restart?includeTasks=true")
        .header("origin", "http://evil.example")
        .body(axum::body::Body::empty());
    let response = api
        .oneshot(request.expect("a request"))
        .await
        .expect("answers");
    assert_eq!(response.status(), 403);
}

/// The whole answer to a request on a connection of its own.
async fn ask(address: std::net::SocketAddr, method: &str, path: &str) -> String {
    let mut socket = tokio::net::TcpStream::connect(address)
        .await
        .expect("connects");
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.expect("writes");
    let mut text = String::new();
    socket.read_to_string(&mut text).await.expect("reads");
    text
}

#[tokio::test]
async fn a_connection_beyond_the_limit_waits_for_one_before_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let supervisor = supervisor(directory.path(), &FakeEngine::default());
    let options = ServerOptions {
        listen: "127.0.0.1:0".parse().expect("an address"),
        connections_max: 1,
        ..ServerOptions::default()
    };
    let server = ConnectApi::bind(options, Arc::new(supervisor))
        .await
        .expect("listens");
    let address = server.local_addr();
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(server.run(shutdown.clone()));
    // The one before keeps its connection.
    let mut first = tokio::net::TcpStream::connect(address)
        .await
        .expect("connects");
    first
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .expect("writes");
    let mut begin = [0; 12];
    first.read_exact(&mut begin).await.expect("reads");
    assert_eq!(&begin, b"HTTP/1.1 200");
    let second = tokio::spawn(ask(address, "GET", "/"));
    let waits = tokio::time::timeout(Duration::from_millis(100), async {
        while !second.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(
        waits.await.is_err(),
        "the second connection was served beside the first"
    );
    drop(first);
    assert!(second.await.expect("answers").starts_with("HTTP/1.1 200"));
    shutdown.cancel();
    serving.await.expect("ends");
}

#[tokio::test]
async fn a_request_under_way_is_finished_at_the_end_but_not_for_ever() {
    for (released, drain_time_max) in [
        (true, Duration::from_secs(30)),
        (false, Duration::from_millis(50)),
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let engine = FakeEngine::default();
        let supervisor = supervisor(directory.path(), &engine);
        let options = ServerOptions {
            listen: "127.0.0.1:0".parse().expect("an address"),
            drain_time_max,
            ..ServerOptions::default()
        };
        let worker = Arc::new(supervisor.clone());
        let server = ConnectApi::bind(options, worker).await.expect("listens");
        let address = server.local_addr();
        call(
            &api(&supervisor),
            "PUT",
            "/connectors/c/config",
            Some(config("t")),
        )
        .await;
        let hold = Arc::new(tokio::sync::Semaphore::new(0));
        engine.0.lock().expect("whole").hold_stop = Some(Arc::clone(&hold));
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(server.run(shutdown.clone()));
        let asking = tokio::spawn(ask(address, "DELETE", "/connectors/c"));
        // Gone from the registry: the request is under way, and waits for the connector's end.
        while !supervisor.connectors().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        shutdown.cancel();
        if released {
            hold.add_permits(1);
            assert!(asking.await.expect("answers").starts_with("HTTP/1.1 204"));
        }
        serving.await.expect("ends");
    }
}
