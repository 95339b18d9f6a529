//! Compressed bodies over a real socket.

use std::io::Write as _;
use std::time::Duration;

use crate::common::{Answer, Fixture, read_answer, record, start, start_with};
use gateway::{ClientOptions, GatewayOptions, HttpOptions};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use types::names::{QUEUE_QUARANTINE, QUEUE_TRANSACTIONS};

const CODINGS: [&str; 3] = ["gzip", "deflate", "zstd"];

fn packed(coding: &str, text: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::best();
    match coding {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(text).expect("writes");
            encoder.finish().expect("ends")
        }
        "deflate" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(text).expect("writes");
            encoder.finish().expect("ends")
        }
        _ => zstd::encode_all(text, 19).expect("packs"),
    }
}

async fn post(gateway: &Fixture, coding: &str, body: &[u8]) -> Answer {
    let headers = format!("Content-Encoding: {coding}\r\n");
    gateway.post("json", &headers, body).await
}

#[tokio::test]
async fn a_compressed_body_is_what_it_holds_wherever_it_is_cut() {
    let gateway = start().await;
    for coding in CODINGS {
        let body = packed(coding, record("t-1", "1.00").as_bytes());
        for at in 0..=body.len() {
            let mut stream = TcpStream::connect(gateway.address).await.expect("listens");
            let head = format!(
                "POST /v1/transactions/json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                 Transfer-Encoding: chunked\r\nContent-Encoding: {coding}\r\n\r\n"
            );
            let mut bytes = head.into_bytes();
            let (first, second) = body.split_at(at);
            for part in [first, second].into_iter().filter(|part| !part.is_empty()) {
                bytes.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                bytes.extend_from_slice(part);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
            stream.write_all(&bytes).await.expect("sends");
            let answer = read_answer(&mut stream).await;
            assert_eq!(answer.status, 202, "{coding} {at}: {}", answer.body);
        }
        let cut = post(&gateway, coding, &body[..body.len() - 1]).await;
        assert_eq!(cut.status, 400, "{coding}: {}", cut.body);
        assert_eq!(cut.json()["type"], "urn:daybook:problem:content-encoding");
        let behind = post(&gateway, coding, &[&body[..], b"x"].concat()).await;
        assert_eq!(behind.status, 400, "{coding}: {}", behind.body);
    }
    let bodies = gateway.outbox.bodies(QUEUE_TRANSACTIONS);
    assert!(bodies.iter().all(|body| body.contains(r#""id":"t-1""#)));
    assert!(gateway.outbox.bodies(QUEUE_QUARANTINE).is_empty());
}

#[tokio::test]
async fn members_one_behind_the_other_are_one_body() {
    let gateway = start().await;
    for coding in ["gzip", "zstd"] {
        let one = packed(coding, format!("{}\n", record("a", "1")).as_bytes());
        let two = packed(coding, record("b", "1").as_bytes());
        let answer = post(&gateway, coding, &[one, two].concat()).await;
        assert_eq!(answer.body, r#"{"accepted":2,"ids":["a","b"]}"#);
    }
}

#[tokio::test]
async fn the_quarantine_has_what_was_compressed() {
    let gateway = start().await;
    let bad = record("b", "12.505");
    let answer = post(&gateway, "gzip", &packed("gzip", bad.as_bytes())).await;
    assert_eq!(answer.status, 422);
    assert_eq!(gateway.outbox.bodies(QUEUE_QUARANTINE), [bad]);
}

#[tokio::test]
async fn other_codings_are_told_which_are_read() {
    let gateway = start().await;
    for coding in ["br", "compress", "gzip, zstd"] {
        let answer = post(&gateway, coding, b"{}").await;
        assert_eq!(
            (answer.status, answer.header("accept-encoding")),
            (415, Some("gzip, zstd, deflate")),
            "{coding}"
        );
    }
    let plain = post(&gateway, "identity", record("a", "1").as_bytes()).await;
    assert_eq!(plain.status, 202);
}

/// A good record behind so many spaces.
fn padded(bytes: usize) -> Vec<u8> {
    let record = record("a", "1").into_bytes();
    let mut body = vec![b' '; bytes - record.len()];
    body.extend_from_slice(&record);
    body
}

#[tokio::test]
async fn bombs_are_refused_at_the_limit() {
    let mut options = GatewayOptions {
        decompression_ratio_max: 1_000_000,
        ..GatewayOptions::default()
    };
    options.limits.body_bytes_max = 1 << 20;
    let (by_ratio, by_bytes) = (start().await, start_with(options).await);
    for coding in CODINGS {
        let bomb = packed(coding, &vec![b' '; 16 << 20]);
        let answer = post(&by_ratio, coding, &bomb).await;
        assert_eq!(
            (answer.status, answer.json()["type"].as_str()),
            (413, Some("urn:daybook:problem:decompression-ratio")),
            "{coding}"
        );
        let answer = post(&by_bytes, coding, &bomb).await;
        assert_eq!(
            answer.reason(),
            "413 record null field null rule body-bytes",
            "{coding}"
        );
        let most = post(&by_bytes, coding, &packed(coding, &padded(1 << 20))).await;
        assert_eq!(most.status, 202, "{coding}: {}", most.body);
        let more = post(&by_bytes, coding, &packed(coding, &padded((1 << 20) + 1))).await;
        assert_eq!(more.status, 413, "{coding}: {}", more.body);
    }
    assert_eq!(
        by_ratio.post("json", "", record("a", "1")).await.status,
        202
    );
}

#[tokio::test]
async fn what_is_decompressed_counts_for_all_requests_together() {
    let mut options = GatewayOptions {
        inflight_bytes_max: 2_000_000,
        decompression_ratio_max: 1_000_000,
        ..GatewayOptions::default()
    };
    options.limits.body_bytes_max = 1_000_000;
    let gateway = start_with(options).await;
    let body = packed("gzip", &padded(900_000));
    // One that is all there but for its last byte holds what it has become.
    let mut slow = TcpStream::connect(gateway.address).await.expect("listens");
    let head = format!(
        "POST /v1/transactions/json HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    slow.write_all(head.as_bytes()).await.expect("sends");
    slow.write_all(&body[..body.len() - 1])
        .await
        .expect("sends");
    let refused = async {
        loop {
            let answer = post(&gateway, "gzip", &body).await;
            if answer.status != 202 {
                return answer;
            }
        }
    };
    let refused = tokio::time::timeout(Duration::from_secs(30), refused).await;
    let refused = refused.expect("refused while the budget is held");
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, Some("1"))
    );
    drop(slow);
    let free = async { while post(&gateway, "gzip", &body).await.status == 503 {} };
    let freed = tokio::time::timeout(Duration::from_secs(30), free).await;
    freed.expect("the budget is given back");
}

#[tokio::test]
async fn a_signature_is_over_what_is_sent() {
    let dir = tempfile::tempdir().expect("a directory");
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "correct horse battery").expect("writes");
    let client = format!("name = \"signer\"\nsecret_file = {secret:?}\n");
    let client: ClientOptions = toml::from_str(&client).expect("a client");
    let http: HttpOptions = toml::from_str("address = \"127.0.0.1:0\"").expect("an address");
    let gateway = start_with(GatewayOptions {
        http: vec![http],
        clients: vec![client],
        ..GatewayOptions::default()
    })
    .await;
    let plain = record("a", "1").into_bytes();
    let body = packed("gzip", &plain);
    for (signed, status) in [(&plain, 401), (&body, 202)] {
        let time = crate::common::NOON / 1_000_000;
        let mut mac = Hmac::<Sha256>::new_from_slice(b"correct horse battery").expect("any length");
        mac.update(format!("{time}./v1/transactions/json.").as_bytes());
        mac.update(signed);
        let hex: String = mac
            .finalize()
            .into_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let head = format!(
            "POST /v1/transactions/json HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Encoding: gzip\r\n\
             Daybook-Client: signer\r\nDaybook-Signature: t={time},v1={hex}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(gateway.further[0])
            .await
            .expect("listens");
        stream.write_all(head.as_bytes()).await.expect("sends");
        stream.write_all(&body).await.expect("sends");
        assert_eq!(read_answer(&mut stream).await.status, status);
    }
}
