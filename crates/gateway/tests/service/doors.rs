//! The ways in beside this machine's own: HTTP for clients that are known, and messages without HTTP.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::common::{Answer, Fixture, read_answer, record, start_with};
use gateway::{
    ClientOptions, Framing, GatewayOptions, HttpOptions, PutError, TcpOptions, TlsOptions,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use types::names::{QUEUE_QUARANTINE, QUEUE_TRANSACTIONS};

const PATIENCE: Duration = Duration::from_secs(20);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn client(name: &str) -> ClientOptions {
    ClientOptions {
        name: name.to_owned(),
        key_sha256: vec![hex(&Sha256::digest(format!("{name} key")))],
        subjects: vec![format!("CN={name}")],
        addresses: Vec::new(),
        secret_file: None,
        jwt: None,
        sources: vec!["*".to_owned()],
        requests_per_second: None,
        records_per_second: None,
        probe: false,
    }
}

fn http() -> HttpOptions {
    HttpOptions {
        address: ([127, 0, 0, 1], 0).into(),
        tls: None,
        sources: vec!["*".to_owned()],
    }
}

fn tcp(framing: Framing) -> TcpOptions {
    TcpOptions {
        address: ([127, 0, 0, 1], 0).into(),
        source: "iso8583".to_owned(),
        framing,
        length_counts_itself: false,
        reply: None,
        tls: None,
        idle_time_ms_max: 60_000,
        in_flight_max: 64,
    }
}

async fn post_to(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    path: &str,
    headers: &str,
    body: &str,
) -> Answer {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("sends");
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    // TLS may end without a goodbye.
    let _ = read.expect("in time");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    Answer {
        status: head
            .get(9..12)
            .and_then(|status| status.parse().ok())
            .unwrap_or(0),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

async fn post(fixture: &Fixture, headers: &str, body: &str) -> Answer {
    let stream = TcpStream::connect(fixture.further[0])
        .await
        .expect("connects");
    post_to(stream, "/v1/transactions/json", headers, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn further_addresses_want_to_know_who_sends() {
    let mut till = client("till");
    till.sources = vec!["js*".to_owned()];
    till.requests_per_second = Some(3);
    till.records_per_second = Some(2);
    let fixture = start_with(GatewayOptions {
        http: vec![http()],
        clients: vec![till],
        ..GatewayOptions::default()
    })
    .await;
    let one = record("t-1", "1.00");
    let nobody = post(&fixture, "", &one).await;
    assert_eq!(
        (nobody.status, nobody.json()["type"].as_str()),
        (401, Some("urn:daybook:problem:unauthenticated"))
    );
    assert_eq!(
        post(&fixture, "X-Api-Key: other\r\n", &one).await.status,
        401
    );
    let key = "Authorization: Bearer till key\r\n";
    let stream = TcpStream::connect(fixture.further[0])
        .await
        .expect("connects");
    let elsewhere = post_to(stream, "/v1/transactions/card-csv", key, "a\n").await;
    assert_eq!(
        (elsewhere.status, elsewhere.json()["detail"].as_str()),
        (403, Some("the client till may not send to card-csv"))
    );
    assert_eq!(post(&fixture, key, &one).await.status, 202);
    // Two records a second and one is gone: three are never possible at once.
    let three = [one.as_str(); 3].join("\n");
    let many = post(&fixture, key, &three).await;
    assert_eq!(
        (many.status, many.header("retry-after")),
        (429, None),
        "{}",
        many.body
    );
    let two = [record("t-2", "1.00"), record("t-3", "1.00")].join("\n");
    let soon = post(&fixture, key, &two).await;
    assert_eq!(
        (soon.status, soon.header("retry-after")),
        (429, Some("1")),
        "{}",
        soon.body
    );
    assert_eq!(
        post(&fixture, key, &one).await.status,
        429,
        "a fourth request"
    );
    // This machine's own address is open.
    assert_eq!(fixture.post("json", "", &one).await.status, 202);
    assert_eq!(fixture.outbox.bodies(QUEUE_TRANSACTIONS).len(), 2);
    assert!(
        fixture.outbox.bodies(QUEUE_QUARANTINE).is_empty(),
        "who may not send fills nothing"
    );
    let counted = &fixture.metrics.clients[0];
    let count =
        |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!((count(&counted.requests), count(&counted.accepted)), (4, 1));
    assert_eq!((count(&counted.refused), count(&counted.limited)), (1, 3));
    assert_eq!(count(&fixture.metrics.unauthenticated), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_request_counts_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "correct horse battery").expect("writes");
    let mut signer = client("signer");
    signer.secret_file = Some(secret);
    let fixture = start_with(GatewayOptions {
        http: vec![http()],
        clients: vec![signer],
        ..GatewayOptions::default()
    })
    .await;
    let body = record("t-1", "1.00");
    let time = crate::common::NOON / 1_000_000;
    let sign = |path: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"correct horse battery").expect("any length");
        mac.update(format!("{time}.{path}.{body}").as_bytes());
        let signature = hex(&mac.finalize().into_bytes());
        format!("Daybook-Client: signer\r\nDaybook-Signature: t={time},v1={signature}\r\n")
    };
    let good = sign("/v1/transactions/json");
    assert_eq!(
        post(&fixture, &sign("/v1/transactions/other"), &body)
            .await
            .status,
        401
    );
    assert_eq!(
        post(&fixture, &good, &record("t-1", "9.00")).await.status,
        401
    );
    assert_eq!(post(&fixture, &good, &body).await.status, 202);
    let again = post(&fixture, &good, &body).await;
    assert!(
        again.status == 401 && again.body.contains("taken before"),
        "{}",
        again.body
    );
    assert_eq!(fixture.outbox.bodies(QUEUE_TRANSACTIONS).len(), 1);
}

/// An authority, a certificate of it for localhost, and one of a client.
struct Authority {
    dir: tempfile::TempDir,
    client: tokio_rustls::TlsConnector,
    stranger: tokio_rustls::TlsConnector,
}

fn authority() -> Authority {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let dir = tempfile::tempdir().expect("a directory");
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&key).expect("signs");
    let issuer = Issuer::new(params, key);
    let made = |name: &str| {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &issuer).expect("signs");
        (certificate, key)
    };
    let (server, server_key) = made("gateway");
    let write =
        |name: &str, text: String| std::fs::write(dir.path().join(name), text).expect("writes");
    write("ca.pem", root.pem());
    write("server.pem", server.pem());
    write("server.key", server_key.serialize_pem());
    let connector = |identity: Option<&str>| {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(root.der().clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let (certificate, key) = made(name);
                let key =
                    rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
                builder
                    .with_client_auth_cert(vec![certificate.der().clone()], key)
                    .expect("usable")
            }
        };
        tokio_rustls::TlsConnector::from(Arc::new(config))
    };
    Authority {
        client: connector(Some("till")),
        stranger: connector(None),
        dir,
    }
}

impl Authority {
    fn options(&self) -> TlsOptions {
        TlsOptions {
            certificate: self.dir.path().join("server.pem"),
            key: self.dir.path().join("server.key"),
            client_ca: Some(self.dir.path().join("ca.pem")),
        }
    }
}

async fn secured(
    connector: &tokio_rustls::TlsConnector,
    address: std::net::SocketAddr,
) -> impl AsyncRead + AsyncWrite + Unpin {
    let stream = TcpStream::connect(address).await.expect("connects");
    let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
    connector.connect(name, stream).await.expect("shakes hands")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_says_who_sends_over_http_and_without() {
    let authority = authority();
    let mut door = http();
    door.tls = Some(authority.options());
    let mut link = tcp(Framing::Length2);
    link.tls = Some(authority.options());
    let fixture = start_with(GatewayOptions {
        http: vec![door],
        tcp: vec![link],
        clients: vec![client("till")],
        ..GatewayOptions::default()
    })
    .await;
    let path = "/v1/transactions/json";
    let stream = secured(&authority.client, fixture.further[0]).await;
    assert_eq!(
        post_to(stream, path, "", &record("t-1", "1.00"))
            .await
            .status,
        202
    );
    let stream = secured(&authority.stranger, fixture.further[0]).await;
    assert_eq!(
        post_to(stream, path, "", &record("t-2", "1.00"))
            .await
            .status,
        401
    );
    let stream = secured(&authority.stranger, fixture.further[0]).await;
    let key = "Authorization: Bearer till key\r\n";
    assert_eq!(
        post_to(stream, path, key, &record("t-3", "1.00"))
            .await
            .status,
        202,
        "or a key"
    );
    let plain = TcpStream::connect(fixture.further[0])
        .await
        .expect("connects");
    assert_eq!(
        post_to(plain, path, key, &record("t-4", "1.00"))
            .await
            .status,
        0,
        "no TLS, no answer"
    );
    let mut link = secured(&authority.client, fixture.further[1]).await;
    link.write_all(&framed(&message(1))).await.expect("sends");
    assert_eq!(answered(&mut link).await, "0210 000001 00");
    let mut link = secured(&authority.stranger, fixture.further[1]).await;
    let _ = link.write_all(&framed(&message(2))).await;
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, link.read_to_end(&mut rest))
        .await
        .expect("in time");
    assert!(rest.is_empty(), "nobody's link is closed");
    assert_eq!(fixture.outbox.bodies(QUEUE_TRANSACTIONS).len(), 3);
}

/// A purchase of 12.34 EUR with this number, of today (2026-11-23).
fn message(number: u32) -> Vec<u8> {
    let bitmap = bitmap(&[2, 3, 4, 7, 11, 12, 13, 32, 37, 41, 49]);
    let (pan, amount, at) = ("164111111111111111", 1_234, "1123101500");
    format!(
        "0200{bitmap}{pan}000000{amount:012}{at}{number:06}1015001123{}{number:012}TERM0001978",
        "0512345"
    )
    .into_bytes()
}

fn bitmap(elements: &[u32]) -> String {
    let bits = elements
        .iter()
        .fold(0_u64, |bits, element| bits | 1 << (64 - element));
    format!("{bits:016X}")
}

fn echo(number: u32) -> Vec<u8> {
    format!("0800{}1123101500{number:06}", bitmap(&[7, 11])).into_bytes()
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("short");
    [&length.to_be_bytes(), message].concat()
}

async fn read_framed(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut length = [0; 2];
    let read = timeout(PATIENCE, stream.read_exact(&mut length)).await;
    read.expect("in time").expect("an answer");
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream
        .read_exact(&mut message)
        .await
        .expect("the whole of it");
    message
}

/// Type, number (element 11) and response code (39) of the next answer, read by the source's own table.
async fn answered(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let message = read_framed(stream).await;
    let mut shown = String::new();
    let mapping = crate::common::ready_made("iso8583");
    let read = mapping.show(&message, &mapping::Limits::default(), &mut |json| {
        json.clone_into(&mut shown)
    });
    read.expect("binary").expect("readable");
    let json: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("none").to_owned();
    let elements = &json["elements"];
    format!(
        "{} {} {}",
        text(&json["mti"]),
        text(&elements["11"]),
        text(&elements["39"])
    )
}

async fn link(fixture: &Fixture) -> TcpStream {
    TcpStream::connect(fixture.further[0])
        .await
        .expect("connects")
}

async fn card_gateway() -> Fixture {
    start_with(GatewayOptions {
        tcp: vec![tcp(Framing::Length2)],
        ..GatewayOptions::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn card_messages_are_answered_in_their_order_once_they_are_on_disk() {
    let fixture = card_gateway().await;
    let mut link = link(&fixture).await;
    let mut bytes = Vec::new();
    for number in 1..=100 {
        bytes.extend(framed(&message(number)));
    }
    // Cut anywhere.
    for piece in bytes.chunks(333) {
        link.write_all(piece).await.expect("sends");
    }
    for number in 1..=100 {
        assert_eq!(answered(&mut link).await, format!("0210 {number:06} 00"));
    }
    let put = fixture.outbox.bodies(QUEUE_TRANSACTIONS);
    assert_eq!(put.len(), 100);
    assert!(
        put[0].contains("\"amount\":\"-12.34\"") && put[0].contains("\"currency\":\"EUR\""),
        "{}",
        put[0]
    );
    link.write_all(&framed(&echo(101))).await.expect("sends");
    assert_eq!(answered(&mut link).await, "0810 000101 00");
    assert_eq!(
        fixture.outbox.bodies(QUEUE_TRANSACTIONS).len(),
        100,
        "an echo test is no transaction"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_lasts_gives_back_all_the_memory_it_was_counted_for() {
    let mut options = GatewayOptions {
        tcp: vec![tcp(Framing::Length2)],
        inflight_bytes_max: 2_000,
        body_time_ms_max: 500,
        ..GatewayOptions::default()
    };
    options.limits.body_bytes_max = 1_000;
    let fixture = start_with(options).await;
    let mut link = link(&fixture).await;
    // Their lengths alone, and those of the empty ones, are more than all may hold together.
    for number in 1..=600 {
        let both = [framed(&message(number)), framed(b"")].concat();
        link.write_all(&both).await.expect("sends");
        assert_eq!(answered(&mut link).await, format!("0210 {number:06} 00"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_or_cannot_be_put_is_answered_so() {
    let fixture = card_gateway().await;
    let mut link = link(&fixture).await;
    let wrong = String::from_utf8(message(7))
        .expect("text")
        .replace("1123101500", "1399101500");
    link.write_all(&framed(wrong.as_bytes()))
        .await
        .expect("sends");
    assert_eq!(answered(&mut link).await, "0210 000007 30");
    assert_eq!(
        fixture.outbox.bodies(QUEUE_QUARANTINE),
        [wrong],
        "with its reason"
    );
    *fixture.outbox.failure.lock().expect("no panic under it") = Some((
        QUEUE_TRANSACTIONS,
        PutError::Full {
            queue: QUEUE_TRANSACTIONS.into(),
            retry_after: None,
        },
    ));
    link.write_all(&framed(&message(8))).await.expect("sends");
    assert_eq!(answered(&mut link).await, "0210 000008 96");
    *fixture.outbox.failure.lock().expect("no panic under it") = None;
    link.write_all(&framed(&message(8))).await.expect("sends");
    assert_eq!(answered(&mut link).await, "0210 000008 00");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_whose_messages_cannot_be_told_apart_ends_and_nothing_is_lost() {
    let mut options = tcp(Framing::Digits4);
    options.source = "json".to_owned();
    let fixture = start_with(GatewayOptions {
        tcp: vec![options],
        ..GatewayOptions::default()
    })
    .await;
    let mut link = link(&fixture).await;
    let good = record("t-1", "1.00");
    let sent = format!("{:04}{good}garbage", good.len());
    link.write_all(sent.as_bytes()).await.expect("sends");
    let mut answers = String::new();
    let read = timeout(PATIENCE, link.read_to_string(&mut answers)).await;
    read.expect("in time")
        .expect("closed, with an answer for the first");
    assert_eq!(answers, "0028{\"accepted\":1,\"ids\":[\"t-1\"]}");
    assert_eq!(fixture.outbox.bodies(QUEUE_TRANSACTIONS).len(), 1);
    assert_eq!(fixture.outbox.bodies(QUEUE_QUARANTINE), ["garbage"]);
    assert!(fixture.outbox.properties(QUEUE_QUARANTINE)[0].contains("rule=framing"));
    assert_eq!(
        fixture
            .metrics
            .unframed
            .load(std::sync::atomic::Ordering::Relaxed),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_answered_in_lines_and_a_stop_answers_what_has_come() {
    let mut options = tcp(Framing::Lines);
    options.source = "json".to_owned();
    let fixture = start_with(GatewayOptions {
        tcp: vec![options],
        ..GatewayOptions::default()
    })
    .await;
    let mut link = link(&fixture).await;
    let lines = format!("{}\r\n{}\n", record("t-1", "1.00"), record("t-2", "x"));
    link.write_all(lines.as_bytes()).await.expect("sends");
    let mut answers = String::new();
    let mut reader = tokio::io::BufReader::new(&mut link);
    for _ in 0..2 {
        let read = timeout(
            PATIENCE,
            tokio::io::AsyncBufReadExt::read_line(&mut reader, &mut answers),
        )
        .await;
        read.expect("in time").expect("a line");
    }
    let mut lines = answers.lines();
    assert_eq!(lines.next(), Some("{\"accepted\":1,\"ids\":[\"t-1\"]}"));
    assert!(
        lines
            .next()
            .is_some_and(|line| line.contains("\"rule\":\"amount\"")),
        "{answers}"
    );
    fixture.shutdown.cancel();
    timeout(PATIENCE, fixture.running)
        .await
        .expect("in time")
        .expect("no panic");
    let mut rest = String::new();
    let read = timeout(PATIENCE, reader.read_to_string(&mut rest)).await;
    read.expect("in time").expect("closed");
    assert_eq!(rest, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_silent_or_slow_is_cut() {
    let mut idle = tcp(Framing::Length2);
    idle.idle_time_ms_max = 50;
    let fixture = start_with(GatewayOptions {
        tcp: vec![idle, tcp(Framing::Length2)],
        body_time_ms_max: 50,
        ..GatewayOptions::default()
    })
    .await;
    for address in &fixture.further {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        // Within a message; and silent on the first.
        let begun: &[u8] = if *address == fixture.further[0] {
            b""
        } else {
            b"\x01\x00x"
        };
        stream.write_all(begun).await.expect("sends");
        let mut rest = Vec::new();
        let read = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        let _ = read.expect("it is closed in time");
        assert!(rest.is_empty());
    }
    assert!(fixture.outbox.bodies(QUEUE_TRANSACTIONS).is_empty());
}

#[tokio::test]
async fn a_message_of_a_queue_is_taken_or_refused_whatever_its_size() {
    let mut options = GatewayOptions {
        address: ([127, 0, 0, 1], 0).into(),
        inflight_bytes_max: 2_000,
        ..GatewayOptions::default()
    };
    options.limits.body_bytes_max = 1_000;
    let outbox = Arc::new(crate::common::MemoryOutbox::default());
    let sources = ["json"].map(crate::common::ready_made).into();
    let clock = Arc::new(gateway::SystemClock);
    let bound = gateway::Gateway::bind(options, sources, Arc::clone(&outbox), clock).await;
    let intake = bound.expect("binds").intake();
    let good = intake
        .put("json", "mq-1", record("t-1", "1.00").into())
        .await;
    assert_eq!(good, Ok(1));
    // More than all requests together may hold: it would never be its turn.
    let long = intake.put("json", "mq-2", vec![b' '; 3_000].into()).await;
    assert!(
        matches!(long, Err(gateway::NotTaken::Refused(_))),
        "{long:?}"
    );
    assert_eq!(outbox.bodies(QUEUE_QUARANTINE).len(), 1);
    let nobody = intake.put("none", "mq-3", "{}".into()).await;
    assert_eq!(nobody, Err(gateway::NotTaken::Source("none".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_open_to_others_does_not_start() {
    let refused = async |options: GatewayOptions| {
        let outbox = Arc::new(crate::common::MemoryOutbox::default());
        let sources = ["json", "cdnow", "iso8583"]
            .map(crate::common::ready_made)
            .into();
        let clock = Arc::new(gateway::SystemClock);
        let bound = gateway::Gateway::bind(options, sources, outbox, clock).await;
        bound.expect_err("refused").to_string()
    };
    let mut everywhere = http();
    everywhere.address = ([0, 0, 0, 0], 0).into();
    let with = |http: Vec<HttpOptions>, tcp: Vec<TcpOptions>, clients| GatewayOptions {
        http,
        tcp,
        clients,
        ..GatewayOptions::default()
    };
    let mut open_link = tcp(Framing::Length2);
    open_link.address = ([0, 0, 0, 0], 0).into();
    let mut no_id = tcp(Framing::Length2);
    no_id.source = "cdnow".to_owned();
    let mut unknown = tcp(Framing::Length2);
    unknown.source = "iso".to_owned();
    let own = GatewayOptions {
        address: ([0, 0, 0, 0], 0).into(),
        ..GatewayOptions::default()
    };
    for (options, expected) in [
        (own, "others come through [[gateway.http]]"),
        (
            with(vec![everywhere.clone()], Vec::new(), Vec::new()),
            "unless [[gateway.client]] says who may send",
        ),
        (
            with(vec![everywhere], Vec::new(), vec![client("till")]),
            "unless it has `tls`",
        ),
        (
            with(Vec::new(), vec![open_link], vec![client("till")]),
            "unless it has `tls`",
        ),
        (
            with(Vec::new(), vec![unknown], Vec::new()),
            "a source that is configured",
        ),
        (
            with(Vec::new(), vec![no_id], Vec::new()),
            "a source with a natural id",
        ),
    ] {
        let found = refused(options).await;
        assert!(found.contains(expected), "{found}");
    }
}

/// Nobody's time runs out here: whoever is cut was cut for others.
fn few_places(all: usize, of_one: usize) -> GatewayOptions {
    GatewayOptions {
        connections_max: all,
        connections_per_address_max: of_one,
        header_time_ms_max: 600_000,
        body_time_ms_max: 600_000,
        ..GatewayOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn senders_of_a_byte_now_and_then_hold_no_places() {
    let fixture = start_with(few_places(8, 64)).await;
    let slow = [
        "",
        "P",
        "POST /v1/transactions/json HTTP/1.1\r\nHost: x\r\n",
        "POST /v1/transactions/json HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    ];
    let mut held = Vec::new();
    for begun in slow.iter().cycle().take(32) {
        let mut stream = TcpStream::connect(fixture.address).await.expect("connects");
        stream.write_all(begun.as_bytes()).await.expect("sends");
        held.push(stream);
    }
    for number in 0..100 {
        let body = record(&format!("t-{number}"), "1");
        let answer = timeout(PATIENCE, fixture.post("json", "", &body)).await;
        assert_eq!(answer.expect("in time").status, 202);
    }
    assert!(fixture.metrics.connections_cut.load(Ordering::Relaxed) >= 24);
    assert_eq!(fixture.outbox.bodies(QUEUE_TRANSACTIONS).len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_with_too_many_connections_is_told_so() {
    let fixture = start_with(few_places(8, 2)).await;
    let connect = || TcpStream::connect(fixture.address);
    let mut held = vec![
        connect().await.expect("connects"),
        connect().await.expect("connects"),
    ];
    let mut third = connect().await.expect("connects");
    let answer = timeout(PATIENCE, read_answer(&mut third)).await;
    let answer = answer.expect("in time");
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(answer.json()["type"], "urn:daybook:problem:connections");
    let refused = fixture.metrics.connections_refused.load(Ordering::Relaxed);
    assert_eq!(refused, 1);
    held.pop();
    let body = record("b", "1");
    let request = format!(
        "POST /v1/transactions/json HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // Until the gateway has noticed that one is gone; who is refused may not even be able to write.
    let again = async {
        loop {
            let mut stream = connect().await.expect("connects");
            let _ = stream.write_all(request.as_bytes()).await;
            if read_answer(&mut stream).await.status == 202 {
                return;
            }
        }
    };
    timeout(PATIENCE, again)
        .await
        .expect("a place is given back");
}
