//! CloudEvents over a real socket.

use crate::common::{record, start, start_with};
use base64::Engine as _;
use gateway::GatewayOptions;
use types::names::{QUEUE_QUARANTINE, QUEUE_TRANSACTIONS};

const ONE: &str = "Content-Type: application/cloudevents+json\r\n";
const BATCH: &str = "Content-Type: application/cloudevents-batch+json\r\n";
/// A row without an id of its own.
const ROW: &str = " 00001 19970101  1   11.77\r\n";

fn event(id: &str, data: &str) -> String {
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"/till/7\",\"type\":\"sale\",{data}}}"
    )
}

fn json_event(id: &str, amount: &str) -> String {
    event(id, &format!("\"data\":{}", record(id, amount)))
}

fn base64_event(id: &str, data: &str) -> String {
    let data = base64::engine::general_purpose::STANDARD.encode(data);
    event(
        id,
        &format!("\"datacontenttype\":\"text/plain\",\"data_base64\":\"{data}\""),
    )
}

#[tokio::test]
async fn an_event_is_its_data_in_every_mode() {
    let gateway = start().await;
    let binary = "ce-specversion: 1.0\r\nce-id: a\r\nce-source: /till/7\r\nce-type: sale\r\nContent-Type: application/json\r\n";
    let answer = gateway.post("json", binary, record("a", "1")).await;
    assert_eq!(answer.body, r#"{"accepted":1,"ids":["a"]}"#);
    let answer = gateway.post("json", ONE, json_event("a", "1")).await;
    assert_eq!(answer.body, r#"{"accepted":1,"ids":["a"]}"#);
    let batch = format!("[{},{}]", json_event("a", "1"), json_event("b", "2"));
    let answer = gateway.post("json", BATCH, batch).await;
    assert_eq!(answer.body, r#"{"accepted":2,"ids":["a","b"]}"#);
    let bodies = gateway.outbox.bodies(QUEUE_TRANSACTIONS);
    assert!(bodies[0] == bodies[1] && bodies[1] == bodies[2] && bodies.len() == 4);
}

#[tokio::test]
async fn id_and_source_are_the_identity() {
    let gateway = start().await;
    let ids = |headers: &'static str, body: String| {
        let post = gateway.post("cdnow", headers, body);
        async move {
            let answer = post.await;
            assert_eq!(answer.status, 202, "{}", answer.body);
            assert_eq!(answer.header("daybook-warning"), None);
            answer.json()["ids"].as_array().expect("ids").clone()
        }
    };
    let binary = "ce-specversion: 1.0\r\nce-id: a\r\nce-source: /till/7\r\nce-type: sale\r\n";
    let of_binary = ids(binary, ROW.repeat(2)).await;
    let of_one = ids(ONE, base64_event("a", &ROW.repeat(2))).await;
    assert_eq!(of_binary, of_one);
    let batch = format!(
        "[{},{}]",
        base64_event("b", ROW),
        base64_event("a", &ROW.repeat(2))
    );
    let of_batch = ids(BATCH, batch).await;
    assert_eq!(of_batch[1..], of_one[..], "the same in another batch");
    assert!(!of_one.contains(&of_batch[0]));
}

#[tokio::test]
async fn what_is_no_event_is_refused_with_what_would_be_right() {
    let gateway = start().await;
    let good = json_event("a", "1");
    for (headers, body, status, detail) in [
        (
            ONE,
            good.replace("1.0", "0.3"),
            400,
            "nothing was accepted: its specversion is 0.3; 1.0 would be right",
        ),
        (
            BATCH,
            format!("[{good},{}]", event("b", "\"x\":1")),
            400,
            "nothing was accepted: event 2: it has no data",
        ),
        (
            BATCH,
            "[]".to_owned(),
            400,
            "nothing was accepted: it has no events",
        ),
        (
            ONE,
            event("a", "\"datacontenttype\":\"text/xml\",\"data\":\"\""),
            415,
            "nothing was accepted: the source json takes json; the event's datacontenttype is text/xml",
        ),
    ] {
        let kept = gateway.outbox.bodies(QUEUE_QUARANTINE).len();
        let answer = gateway.post("json", headers, &body).await;
        assert_eq!(
            (answer.status, answer.json()["detail"].as_str()),
            (status, Some(detail))
        );
        assert_eq!(gateway.outbox.bodies(QUEUE_QUARANTINE)[kept..], [body]);
    }
    for (headers, detail) in [
        (
            "ce-specversion: 0.3\r\nce-id: a\r\nce-source: s\r\nce-type: t\r\n",
            "the ce- headers are no CloudEvent: its specversion is 0.3; 1.0 would be right",
        ),
        (
            "ce-id: a\r\n",
            "the ce- headers are no CloudEvent: its specversion is missing; 1.0 would be right",
        ),
        (
            "ce-specversion: 1.0\r\nce-id: a\r\nce-source: s\r\nce-type: t\r\nIdempotency-Key: k\r\n",
            "an event has its identity from its id and source: send it without Idempotency-Key",
        ),
        (
            "Content-Type: application/cloudevents+json\r\nIdempotency-Key: k\r\n",
            "an event has its identity from its id and source: send it without Idempotency-Key",
        ),
    ] {
        let answer = gateway.post("json", headers, record("a", "1")).await;
        assert_eq!(
            (answer.status, answer.json()["detail"].as_str()),
            (400, Some(detail))
        );
    }
    assert!(gateway.outbox.bodies(QUEUE_TRANSACTIONS).is_empty());
}

#[tokio::test]
async fn a_refusal_in_a_batch_says_which_event_it_is() {
    let gateway = start().await;
    let bad = json_event("b", "12.505");
    let batch = format!("[{},{bad},{}]", json_event("a", "1"), json_event("c", "2"));
    let answer = gateway.post("json", BATCH, &batch).await;
    assert_eq!(
        answer.reason(),
        "422 record 2 field amount rule currency-digits"
    );
    let detail = answer.json()["detail"]
        .as_str()
        .expect("a detail")
        .to_owned();
    assert!(
        detail.contains("event 2: \"12.505\" has more decimal digits"),
        "{detail}"
    );
    assert_eq!(
        gateway.outbox.bodies(QUEUE_QUARANTINE),
        std::slice::from_ref(&batch)
    );
    let lenient = format!("{BATCH}Prefer: handling=lenient\r\n");
    let answer = gateway.post("json", &lenient, &batch).await;
    assert_eq!(answer.json()["accepted"], 2);
    assert_eq!(
        gateway.outbox.bodies(QUEUE_QUARANTINE)[1],
        record("b", "12.505")
    );
    // One that is broken refuses all.
    let broken = format!(
        "[{},{}]",
        json_event("a", "1"),
        base64_event("b", "{").replace("text/plain", "application/json")
    );
    let answer = gateway.post("json", &lenient, broken).await;
    assert!(answer.body.contains("event 2: "), "{}", answer.body);
}

#[tokio::test]
async fn a_batch_has_the_limits_of_one_request() {
    let mut options = GatewayOptions::default();
    options.limits.records_max = 3;
    let gateway = start_with(options).await;
    let batch = |count: usize| {
        let events: Vec<String> = (0..count)
            .map(|index| json_event(&format!("t{index}"), "1"))
            .collect();
        format!("[{}]", events.join(","))
    };
    assert_eq!(gateway.post("json", BATCH, batch(3)).await.status, 202);
    let more = gateway.post("json", BATCH, batch(4)).await;
    assert_eq!(
        (more.status, more.json()["rule"].as_str()),
        (413, Some("records"))
    );
    let large = start().await;
    let answer = large.post("json", BATCH, batch(5_000)).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (202, r#"{"accepted":5000}"#)
    );
}

#[tokio::test]
async fn compressed_events_are_events() {
    use std::io::Write as _;
    let gateway = start().await;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder
        .write_all(json_event("a", "1").as_bytes())
        .expect("writes");
    let body = encoder.finish().expect("ends");
    let headers = format!("{ONE}Content-Encoding: gzip\r\n");
    assert_eq!(gateway.post("json", &headers, body).await.status, 202);
}

#[tokio::test]
async fn records_that_are_passed_over_are_counted() {
    let gateway = start().await;
    // An echo test is no transaction.
    let echo = "080002200000000000001123101500000001";
    let answer = gateway.post("iso8583", "", echo).await;
    assert_eq!(answer.body, r#"{"accepted":0,"passed_over":1,"ids":[]}"#);
    let answer = gateway
        .post("iso8583", "Prefer: handling=lenient\r\n", echo)
        .await;
    assert_eq!(
        answer.body,
        r#"{"accepted":0,"refused":0,"passed_over":1,"records":[]}"#
    );
}
