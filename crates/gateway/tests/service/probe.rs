//! What requests went through is kept, masked, and read at the gateway's own address.

use std::io::Write as _;

use crate::common::{Answer, Fixture, read_answer, record, start, start_with};
use gateway::{ClientOptions, Framing, GatewayOptions, HttpOptions, ProbeOptions, TcpOptions};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PAN: &str = "4111111111111111";
const PAN_MASKED: &str = "411111******1111";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

async fn get(gateway: &Fixture, path: &str, headers: &str) -> Answer {
    gateway.request("GET", path, headers, b"").await
}

async fn list(gateway: &Fixture, query: &str) -> Vec<Value> {
    let answer = get(gateway, &format!("/v1/probes{query}"), "").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["probes"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

/// Without what differs from run to run.
fn without_times(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let Some(before) = line.strip_suffix(" µs") else {
            return line.to_owned();
        };
        let before = before.trim_end_matches(|c: char| c.is_ascii_digit());
        format!("{} N µs", before.trim_end())
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn parent() -> String {
    format!("traceparent: 00-{TRACE}-b7ad6b7169203331-01\r\n")
}

#[tokio::test]
async fn a_refused_request_is_kept_and_masked() {
    let gateway = start().await;
    let body = format!("{}\n{}", record("t-1", "1.00"), record(PAN, "1.005"));
    let headers = format!(
        "{}Authorization: Bearer secret\r\nContent-Type: application/x-ndjson\r\n",
        parent()
    );
    assert_eq!(gateway.post("json", &headers, &body).await.status, 422);
    assert_eq!(
        gateway.post("json", "", record("t-2", "1.00")).await.status,
        202
    );

    let listed = list(&gateway, "").await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(
        (listed[0]["id"].as_str(), listed[0]["outcome"].as_str()),
        (Some(TRACE), Some("refused"))
    );
    let answer = get(&gateway, &format!("/v1/probes/{TRACE}"), "").await;
    assert!(
        !answer.body.contains("11111111") && !answer.body.contains("secret"),
        "{}",
        answer.body
    );
    let probe = answer.json();
    assert_eq!(probe["input"]["text"], body.replace(PAN, PAN_MASKED));
    assert_eq!(probe["headers"]["content-type"], "application/x-ndjson");
    assert_eq!(probe["refused"], 1);
    let refusal = probe["refusals"][0].as_str().expect("a text");
    assert!(
        refusal.starts_with("record 2, line 2, field amount"),
        "{refusal}"
    );
    assert_eq!(probe["answer"]["status"], 422);
    assert_eq!(probe["answer"]["body"]["rule"], "currency-digits");
    for step in [
        "authentication",
        "head",
        "body",
        "translation",
        "put",
        "answer",
    ] {
        assert!(probe["steps_micros"][step].is_u64(), "{step}");
    }
}

#[tokio::test]
async fn a_probe_that_is_asked_for_is_text_for_people() {
    let gateway = start().await;
    let headers = format!("{}Daybook-Probe: 1\r\nUser-Agent: test\r\n", parent());
    let body = record("t-1", "1.00").replace("A-1", "HR1210010051863000160");
    let answer = gateway.post("json", &headers, &body).await;
    assert_eq!(
        (answer.status, answer.header("Daybook-Probe")),
        (202, Some(TRACE))
    );
    let text = get(
        &gateway,
        &format!("/v1/probes/{TRACE}"),
        "User-Agent: curl/8.5.0\r\nAccept: */*\r\n",
    )
    .await
    .body;
    let text = without_times(&text).replace(&gateway.address.to_string(), "ADDRESS");
    expect_test::expect![[r#"
        2026-11-23T12:00:00.000000Z  0af7651916cd43dd8448eb211c80319c  json          accepted 202 N µs
              listener http://127.0.0.1:0
               address 127.0.0.1
                header content-length: 119
                header traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
                header user-agent: test
        authentication N µs
                  head N µs
                  body N µs
                 input 119 bytes, ASCII
                       {"id":"t-1","account":"HR12*************0160","amount":"1.00","currency":"EUR","booked_at":"2026-11-23T10:15:00+01:00"}
           translation N µs
                format json
               records 1 accepted, 0 refused
                record {"id":"t-1","source":"json","account":"HR12*************0160","amount":"1.00","currency":"EUR","booked_at":"2026-11-23T10:15:00+01:00","received_at":"2026-11-23T12:00:00.000000Z"}
                   put N µs
                answer N µs
                status 202
                answer {"accepted":1,"ids":["t-1"]}"#]].assert_eq(&text);
    let text = get(&gateway, "/v1/probes", "Accept: text/plain\r\n")
        .await
        .body;
    expect_test::expect!["2026-11-23T12:00:00.000000Z  0af7651916cd43dd8448eb211c80319c  json          accepted 202 N µs"].assert_eq(&without_times(&text));
}

#[tokio::test]
async fn lists_are_filtered_and_newest_first() {
    let gateway = start_with(GatewayOptions {
        probe: ProbeOptions {
            sample: 1,
            ..ProbeOptions::default()
        },
        ..GatewayOptions::default()
    })
    .await;
    gateway.post("json", "", record("t-1", "1.00")).await;
    gateway.post("card-csv", "", "nonsense").await;
    gateway
        .post("json", "Idempotency-Key: \r\n", record("t-2", "1.00"))
        .await;
    let of = |entries: Vec<Value>| {
        let of = |entry: &Value| {
            format!(
                "{} {}",
                entry["source"].as_str().unwrap_or_default(),
                entry["outcome"].as_str().unwrap_or_default()
            )
        };
        entries.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(
        of(list(&gateway, "").await),
        ["json refused", "card-csv refused", "json accepted"]
    );
    assert_eq!(
        of(list(&gateway, "?outcome=accepted").await),
        ["json accepted"]
    );
    assert_eq!(
        of(list(&gateway, "?source=json&outcome=refused").await),
        ["json refused"]
    );
    assert_eq!(get(&gateway, "/v1/probes?limit=1", "").await.status, 400);
    assert_eq!(get(&gateway, "/v1/probes/none", "").await.status, 404);
    assert_eq!(
        gateway.request("POST", "/v1/probes", "", b"").await.status,
        405
    );
    assert_eq!(
        get(&gateway, "/v1/probes", "Origin: http://evil.example\r\n")
            .await
            .status,
        403
    );
    let document = get(&gateway, "/openapi.json", "").await.json();
    assert!(document["paths"]["/v1/probes/{id}"]["get"].is_object());
}

#[tokio::test]
async fn other_names_of_this_machine_do_not_read() {
    let gateway = start().await;
    let mut stream = TcpStream::connect(gateway.address).await.expect("listens");
    let request = "GET /v1/probes HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("sends");
    assert_eq!(read_answer(&mut stream).await.status, 403);
}

#[tokio::test]
async fn compressed_bodies_and_events_say_so() {
    let gateway = start().await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(record("t-1", "1.005").repeat(20).as_bytes())
        .expect("in memory");
    let body = gzip.finish().expect("in memory");
    let answer = gateway
        .post(
            "json",
            &format!("{}Content-Encoding: gzip\r\n", parent()),
            &body,
        )
        .await;
    assert_eq!(answer.status, 422);
    let probe = get(&gateway, &format!("/v1/probes/{TRACE}"), "")
        .await
        .json();
    assert_eq!(probe["compression"]["coding"], "gzip");
    assert_eq!(probe["compression"]["bytes"], body.len());
    assert_eq!(probe["refusals"].as_array().map(Vec::len), Some(10));
    assert_eq!(probe["refused"], 20);

    let event = format!(
        "{{\"specversion\":\"1.0\",\"id\":\"e\",\"source\":\"s\",\"type\":\"t\",\"data\":{}}}",
        record("t-1", "1.005")
    );
    let headers = format!("{}Content-Type: application/cloudevents+json\r\n", parent());
    assert_eq!(gateway.post("json", &headers, &event).await.status, 422);
    let probe = get(&gateway, &format!("/v1/probes/{TRACE}"), "")
        .await
        .json();
    assert_eq!(probe["events"], "structured");
}

#[tokio::test]
async fn documents_and_links_are_masked() {
    let gateway = start_with(GatewayOptions {
        tcp: vec![TcpOptions {
            address: ([127, 0, 0, 1], 0).into(),
            source: "iso8583".to_owned(),
            framing: Framing::Lines,
            length_counts_itself: false,
            reply: Some(gateway::Reply::Json),
            tls: None,
            idle_time_ms_max: 60_000,
            in_flight_max: 64,
        }],
        ..GatewayOptions::default()
    })
    .await;
    let xml = "<Document><IBAN>DE89370400440532013000</IBAN></Document>";
    assert!(gateway.post("pain.001", "", xml).await.status >= 400);
    let mut stream = TcpStream::connect(gateway.further[0])
        .await
        .expect("listens");
    let message = format!("02007224648108C0800016{PAN}000000000000012500\n");
    stream.write_all(message.as_bytes()).await.expect("sends");
    let mut answer = [0; 4_096];
    let length = stream.read(&mut answer).await.expect("an answer");
    assert!(length > 0);
    let listed = list(&gateway, "").await;
    assert_eq!(listed.len(), 2, "{listed:?}");
    for entry in listed {
        let id = entry["id"].as_str().expect("an id");
        for accept in ["application/json", "text/plain"] {
            let shown = get(
                &gateway,
                &format!("/v1/probes/{id}"),
                &format!("Accept: {accept}\r\n"),
            )
            .await
            .body;
            assert!(
                !shown.contains("11111111") && !shown.contains("370400440532"),
                "{shown}"
            );
            assert!(
                shown.contains("DE89**************3000") || shown.contains("*****"),
                "{shown}"
            );
        }
    }
}

fn client(name: &str, probe: bool) -> ClientOptions {
    let hash = Sha256::digest(name);
    ClientOptions {
        name: name.to_owned(),
        key_sha256: vec![hash.iter().map(|byte| format!("{byte:02x}")).collect()],
        subjects: Vec::new(),
        addresses: Vec::new(),
        secret_file: None,
        jwt: None,
        sources: vec!["*".to_owned()],
        requests_per_second: None,
        records_per_second: None,
        probe,
    }
}

#[tokio::test]
async fn clients_ask_who_may_and_nobody_reads_elsewhere() {
    let gateway = start_with(GatewayOptions {
        http: vec![HttpOptions {
            address: ([127, 0, 0, 1], 0).into(),
            tls: None,
            sources: vec!["*".to_owned()],
        }],
        clients: vec![client("may", true), client("may-not", false)],
        ..GatewayOptions::default()
    })
    .await;
    let send = async |request: String| {
        let mut stream = TcpStream::connect(gateway.further[0])
            .await
            .expect("listens");
        stream.write_all(request.as_bytes()).await.expect("sends");
        read_answer(&mut stream).await
    };
    let post = |key: &str, body: &str| {
        format!(
            "POST /v1/transactions/json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Api-Key: {key}\r\nDaybook-Probe: 1\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let body = record("t-1", "1.00");
    assert!(
        send(post("may", &body))
            .await
            .header("Daybook-Probe")
            .is_some()
    );
    assert_eq!(
        send(post("may-not", &body)).await.header("Daybook-Probe"),
        None
    );
    assert_eq!(send(post("nobody", &body)).await.status, 401);
    // One that is refused is kept, but not by his asking.
    let refused = send(post("may-not", "{")).await;
    assert_eq!(
        (refused.status, refused.header("Daybook-Probe")),
        (400, None)
    );
    let read =
        "GET /v1/probes HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Api-Key: may\r\n\r\n";
    assert_eq!(send(read.to_owned()).await.status, 404);
    let listed = list(&gateway, "").await;
    assert_eq!(listed.len(), 2, "{listed:?}");
    let id = listed[1]["id"].as_str().expect("an id");
    let probe = get(&gateway, &format!("/v1/probes/{id}"), "").await.json();
    assert_eq!(probe["client"], "may");
    assert_eq!(probe["records"][0]["id"], "t-1");
}

#[tokio::test]
async fn off_it_keeps_nothing() {
    let gateway = start_with(GatewayOptions {
        probe: ProbeOptions {
            on_refusal: false,
            ..ProbeOptions::default()
        },
        ..GatewayOptions::default()
    })
    .await;
    assert_eq!(gateway.post("json", "", "{").await.status, 400);
    assert!(list(&gateway, "").await.is_empty());
    assert_eq!(
        gateway
            .post("json", "Daybook-Probe: 1\r\n", "{")
            .await
            .status,
        400
    );
    assert_eq!(list(&gateway, "").await.len(), 1);
}
