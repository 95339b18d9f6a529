//! The HTTP contract, over a real socket.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::common::{read_answer, record, start, start_with};
use expect_test::expect;
use gateway::{GatewayOptions, PutError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use types::names::{QUEUE_QUARANTINE, QUEUE_TRANSACTIONS};
use types::{Amount, Tally};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test]
async fn a_transaction_is_accepted_and_put() {
    let gateway = start().await;
    let answer = gateway
        .post(
            "json",
            &format!("traceparent: {TRACE}\r\n"),
            record("t-1", "-12.5"),
        )
        .await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (202, r#"{"accepted":1,"ids":["t-1"]}"#)
    );
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("daybook-warning"), None);
    expect![[r#"{"id":"t-1","source":"json","account":"A-1","amount":"-12.50","currency":"EUR","booked_at":"2026-11-23T10:15:00+01:00","received_at":"2026-11-23T12:00:00.000000Z"}"#]]
        .assert_eq(&gateway.outbox.bodies(QUEUE_TRANSACTIONS)[0]);
    expect!["id=t-1 source=json received_at=1795435200000000"]
        .assert_eq(&gateway.outbox.properties(QUEUE_TRANSACTIONS)[0]);
    let put = gateway.outbox.put.lock().expect("not poisoned");
    assert_eq!(&*put[0].1.traceparent, TRACE);
    assert_eq!(put[0].1.account(0), "A-1");
    let mut tally = Tally::default();
    tally.add(b"t-1", Amount::from_units(-1_250_000));
    assert_eq!(put[0].1.tally, tally);
}

#[tokio::test]
async fn a_bulk_is_one_unit_of_work() {
    let gateway = start().await;
    let lines: Vec<String> = (0..1_000)
        .map(|index| record(&format!("t-{index}"), "1"))
        .collect();
    let array = format!("[{}]", lines.join(","));
    let bodies = [
        ("application/x-ndjson", lines.join("\n")),
        ("application/json", array),
    ];
    for (content_type, body) in bodies {
        let answer = gateway
            .post("json", &format!("Content-Type: {content_type}\r\n"), body)
            .await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (202, r#"{"accepted":1000}"#)
        );
    }
    let put = gateway.outbox.put.lock().expect("not poisoned");
    assert_eq!(
        put.iter()
            .map(|(_, batch)| batch.records.len())
            .collect::<Vec<_>>(),
        [1_000, 1_000]
    );
    assert_eq!(put[1].1.id(999), "t-999");
}

#[tokio::test]
async fn all_ids_come_when_asked_for() {
    let gateway = start().await;
    let lines: Vec<String> = (0..101)
        .map(|index| record(&format!("t-{index}"), "1"))
        .collect();
    let answer = gateway
        .post(
            "json",
            "Prefer: return=representation\r\n",
            lines.join("\n"),
        )
        .await;
    assert_eq!(answer.json()["ids"].as_array().map(Vec::len), Some(101));
    assert_eq!(
        answer.header("preference-applied"),
        Some("return=representation")
    );
}

#[tokio::test]
async fn one_bad_record_refuses_the_request() {
    let gateway = start().await;
    let body = [record("a", "1"), record("b", "12.505"), record("c", "2")].join("\n");
    let answer = gateway.post("json", "", &body).await;
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    expect![[r#"
        {
          "detail": "nothing was accepted, because 1 of 3 records are refused; with \"Prefer: handling=lenient\" the others are accepted. First: record 2, line 2, field amount: \"12.505\" has more decimal digits than EUR has, which is 2 (currency-digits)",
          "field": "amount",
          "line": 2,
          "offset": 97,
          "record": 2,
          "records": 3,
          "rule": "currency-digits",
          "status": 422,
          "title": "the records were refused",
          "type": "urn:daybook:problem:currency-digits"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&answer.json()).expect("JSON"));
    assert!(gateway.outbox.bodies(QUEUE_TRANSACTIONS).is_empty());
    assert_eq!(gateway.outbox.bodies(QUEUE_QUARANTINE), [body]);
    expect![[r#"id=q-779a9e917715eff98b967577faa95b30 source=json received_at=1795435200000000 record=0 rule=currency-digits field=amount detail=record 2, line 2, field amount: "12.505" has more decimal digits than EUR has, which is 2 (currency-digits) original_bytes=295"#]]
        .assert_eq(&gateway.outbox.properties(QUEUE_QUARANTINE)[0]);
}

#[tokio::test]
async fn lenient_handling_accepts_the_others() {
    let gateway = start().await;
    let bad = record("b", "12.505");
    let body = [&record("a", "1"), &bad, "{\"id\":", &record("c", "2")]
        .map(String::from)
        .join("\n");
    let headers = "Prefer: handling=lenient\r\nContent-Type: application/x-ndjson\r\n";
    let answer = gateway.post("json", headers, body).await;
    assert_eq!(answer.status, 202);
    assert_eq!(
        answer.header("preference-applied"),
        Some("handling=lenient")
    );
    expect![[r#"
        {"accepted":2,"refused":2,"records":[
        {"record":1,"status":"accepted","id":"a"},
        {"detail":"\"12.505\" has more decimal digits than EUR has, which is 2","field":"amount","line":2,"record":2,"rule":"currency-digits","status":"refused"},
        {"detail":"the text ends where a value is expected","field":null,"line":3,"record":3,"rule":"json","status":"refused"},
        {"record":4,"status":"accepted","id":"c"}]}"#]]
    .assert_eq(&answer.body.replace("[{", "[\n{").replace("},{", "},\n{"));
    assert_eq!(gateway.outbox.bodies(QUEUE_TRANSACTIONS).len(), 2);
    assert_eq!(
        gateway.outbox.bodies(QUEUE_QUARANTINE),
        [bad, "{\"id\":".to_owned()]
    );
    assert!(
        gateway.outbox.properties(QUEUE_QUARANTINE)[0].contains("record=2 rule=currency-digits")
    );
    let sources = gateway.metrics.sources();
    let metrics = sources.iter().find(|metrics| &*metrics.source == "json");
    let metrics = metrics.expect("configured");
    assert_eq!(metrics.records.load(Ordering::Relaxed), 4);
    assert_eq!(metrics.accepted.load(Ordering::Relaxed), 2);
    assert_eq!(metrics.refused.load(Ordering::Relaxed), 2);
    assert_eq!(metrics.quarantined.load(Ordering::Relaxed), 2);
    let by_rule: Vec<_> = gateway.metrics.refused_by_rule().collect();
    assert_eq!(by_rule, [("json", 1), ("currency-digits", 1)]);
}

#[tokio::test]
async fn identity_comes_from_the_key_and_the_number() {
    let gateway = start().await;
    let row = " 00001 19970101  1   11.77\r\n";
    let ids = |headers: &'static str, rows: usize| {
        let post = gateway.post("cdnow", headers, row.repeat(rows));
        async move {
            let answer = post.await;
            let warned = answer.header("daybook-warning").is_some();
            (
                answer.json()["ids"].as_array().expect("ids").clone(),
                warned,
            )
        }
    };
    let (whole, warned) = ids("Idempotency-Key: \"file\"\r\n", 4).await;
    assert!(!warned);
    let (first, _) = ids("Idempotency-Key: file\r\nDaybook-First-Record: 1\r\n", 2).await;
    let (second, _) = ids("Idempotency-Key: file\r\nDaybook-First-Record: 3\r\n", 2).await;
    assert_eq!(whole, [first, second].concat());
    let (made_up, warned) = ids("", 1).await;
    assert!(warned && !whole.contains(&made_up[0]));
    assert_eq!(made_up[0].as_str().map(str::len), Some(36), "a UUID");
}

#[tokio::test]
async fn headers_that_cannot_be_used() {
    let gateway = start().await;
    let long = format!("Idempotency-Key: {}\r\n", "x".repeat(257));
    for (headers, status) in [
        (long.as_str(), 400),
        ("Daybook-First-Record: -1\r\n", 400),
        ("Content-Type: text/xml\r\n", 415),
        ("Content-Encoding: br\r\n", 415),
        ("Content-Encoding: gzip, gzip\r\n", 415),
        ("Content-Encoding: gzip\r\n", 400),
        ("Origin: http://evil.example\r\n", 403),
    ] {
        let answer = gateway.post("json", headers, record("a", "1")).await;
        assert_eq!(answer.status, status, "{headers}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
    }
    assert!(gateway.outbox.put.lock().expect("not poisoned").is_empty());
}

#[tokio::test]
async fn routes() {
    let gateway = start().await;
    let unknown = gateway.post("jsn", "", "{}").await;
    assert_eq!(unknown.status, 404);
    expect![[
        r#"there is no source "jsn"; configured are camt.053, card-csv, cdnow, iso8583, json, pacs.008, pain.001, pain.008"#
    ]]
    .assert_eq(unknown.json()["detail"].as_str().expect("a detail"));
    let wrong = gateway
        .request("GET", "/v1/transactions/json", "", b"")
        .await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST")));
    assert_eq!(gateway.request("DELETE", "/", "", b"").await.status, 405);
    assert_eq!(
        gateway.request("GET", "/nothing", "", b"").await.status,
        404
    );
    let guide = gateway.request("GET", "/", "", b"").await;
    assert!(
        guide.status == 200 && guide.body.contains("curl -i http://"),
        "{}",
        guide.body
    );
    let sources = gateway.request("GET", "/v1/sources", "", b"").await.json();
    assert_eq!(sources["sources"][4]["source"], "json");
    assert_eq!(sources["sources"][4]["natural_id"], true);
    let openapi = gateway
        .request("GET", "/openapi.json", "", b"")
        .await
        .json();
    let posts = openapi["paths"].as_object().expect("paths");
    assert_eq!(posts.len(), 8 + 2, "one a source, and two for probes");
    assert!(openapi.get("security").is_none(), "this address is open");
    let asyncapi = gateway
        .request("GET", "/asyncapi.json", "", b"")
        .await
        .json();
    assert_eq!(asyncapi["asyncapi"], "3.0.0");
}

#[tokio::test]
async fn queues_that_do_not_take_it() {
    let gateway = start().await;
    let queue: Box<str> = "Q".into();
    let reason: Box<str> = "connection lost".into();
    let full = PutError::Full {
        queue: queue.clone(),
        retry_after: Some(Duration::from_secs(7)),
    };
    let unavailable = PutError::Unavailable {
        queue: queue.clone(),
        reason: reason.clone(),
    };
    let unknown = PutError::Unknown { queue, reason };
    for (error, kind, retry) in [
        (full.clone(), "queue-full", "7"),
        (unavailable, "queue-unavailable", "1"),
        (unknown, "outcome-unknown", "1"),
    ] {
        *gateway.outbox.failure.lock().expect("not poisoned") = Some((QUEUE_TRANSACTIONS, error));
        let answer = gateway.post("json", "", record("a", "1")).await;
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (503, Some(retry))
        );
        assert_eq!(answer.json()["type"], format!("urn:daybook:problem:{kind}"));
    }
    // A refusal that cannot be kept is not answered as one.
    *gateway.outbox.failure.lock().expect("not poisoned") = Some((QUEUE_QUARANTINE, full));
    assert_eq!(gateway.post("json", "", "no JSON").await.status, 503);
    assert_eq!(gateway.metrics.retry_later.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn connections_are_kept_and_requests_may_be_pipelined() {
    let gateway = start().await;
    let body = record("a", "1");
    let request = format!(
        "POST /v1/transactions/json HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(gateway.address)
        .await
        .expect("listening");
    stream
        .write_all(request.repeat(10).as_bytes())
        .await
        .expect("writable");
    let mut answers = String::new();
    while answers.matches("202 Accepted").count() < 10 {
        let mut bytes = [0; 4_096];
        let count = stream.read(&mut bytes).await.expect("readable");
        assert!(count > 0, "closed after {answers}");
        answers.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    assert_eq!(gateway.outbox.bodies(QUEUE_TRANSACTIONS).len(), 10);
}

#[tokio::test]
async fn a_stop_lets_requests_finish_and_closes_the_port() {
    let gateway = start().await;
    let body = record("a", "1");
    let mut stream = TcpStream::connect(gateway.address)
        .await
        .expect("listening");
    let head = format!(
        "POST /v1/transactions/json HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{}",
        body.len(),
        &body[..10]
    );
    stream.write_all(head.as_bytes()).await.expect("writable");
    while gateway.metrics.requests.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    gateway.shutdown.cancel();
    let closed = async { while TcpStream::connect(gateway.address).await.is_ok() {} };
    let waited = tokio::time::timeout(Duration::from_secs(30), closed).await;
    waited.expect("the port is closed");
    stream
        .write_all(&body.as_bytes()[10..])
        .await
        .expect("writable");
    assert_eq!(read_answer(&mut stream).await.status, 202);
    gateway.running.await.expect("no panic");
    assert!(TcpStream::connect(gateway.address).await.is_err());
}

#[tokio::test]
async fn slow_senders_are_cut_off() {
    let options = GatewayOptions {
        header_time_ms_max: 200,
        body_time_ms_max: 200,
        ..GatewayOptions::default()
    };
    let gateway = start_with(options).await;
    for sent in [
        "",
        "P",
        "POST /v1/transactions/json HTTP/1.1\r\nHost: x\r\n",
    ] {
        let mut stream = TcpStream::connect(gateway.address)
            .await
            .expect("listening");
        stream.write_all(sent.as_bytes()).await.expect("writable");
        let closed = tokio::time::timeout(Duration::from_secs(5), read_answer(&mut stream)).await;
        assert!(closed.is_ok(), "{sent:?} still open");
    }
    let mut stream = TcpStream::connect(gateway.address)
        .await
        .expect("listening");
    let head = "POST /v1/transactions/json HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.expect("writable");
    assert_eq!(read_answer(&mut stream).await.status, 408);
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let gateway = start().await;
    let options = GatewayOptions {
        address: gateway.address,
        ..GatewayOptions::default()
    };
    let clock = std::sync::Arc::new(gateway::SystemClock);
    let outbox = crate::common::MemoryOutbox::default();
    let error = gateway::Gateway::bind(options, Vec::new(), outbox, clock)
        .await
        .expect_err("in use");
    let expected = format!(
        "cannot listen on {}: address in use; another program has the port",
        gateway.address
    );
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[tokio::test]
async fn http_2_without_tls_is_understood() {
    use http_body_util::{BodyExt as _, Full};
    let gateway = start().await;
    let stream = TcpStream::connect(gateway.address)
        .await
        .expect("listening");
    let executor = hyper_util::rt::TokioExecutor::new();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io)
        .await
        .expect("HTTP/2");
    tokio::spawn(connection);
    let uri = format!("http://{}/v1/transactions/json", gateway.address);
    let body = Full::new(bytes::Bytes::from(record("a", "1")));
    let request = hyper::Request::post(uri).body(body).expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    assert_eq!(response.status(), 202);
    let body = response
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    assert_eq!(&body[..], br#"{"accepted":1,"ids":["a"]}"#);
}
