//! Who may ask, and what operators may do, over real sockets.

use std::sync::{Arc, Mutex};

use crate::support::World;
use crate::support::server::{Server, today};
use argon2::password_hash::{PasswordHasher as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use types::BusinessDay;
use web::{
    AccessOptions, Backstage, BackstageError, Done, Limit, LocalUser, Quarantine, QuarantineAsked,
    QuarantineRecord, Quarantined, RateOptions, RefusedBy, Role, TlsFiles, Transaction,
    Transactions, ViewerLimit,
};

/// Answers as it is told, and notes what it was asked.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<String>>);

impl Told {
    fn note(&self, asked: String) {
        self.0.lock().expect("no panic").push(asked);
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("no panic"))
    }
}

fn record(id: &str) -> QuarantineRecord {
    QuarantineRecord {
        id: id.to_owned(),
        from: RefusedBy::Gateway,
        source: "json".to_owned(),
        reason: "missing".to_owned(),
        detail: "account is missing".to_owned(),
        at: 1,
        bytes: 2,
        excerpt: "{}".to_owned(),
        replayed: false,
    }
}

#[async_trait]
impl Backstage for Told {
    async fn transactions(
        &self,
        aggregation: &str,
        day: BusinessDay,
        key: &str,
        before: Option<&str>,
    ) -> Result<Transactions, BackstageError> {
        self.note(format!("transactions {aggregation} {day} {key} {before:?}"));
        Ok(Transactions {
            transactions: vec![Transaction {
                id: "t-1".to_owned(),
                source: "json".to_owned(),
                received_at: 7,
                partition: 0,
                offset: 3,
                fields: [("amount".to_owned(), "1.50".to_owned())].into(),
            }],
            looked_at: 1,
            back_to: None,
            before: None,
        })
    }

    async fn trace(&self, id: &str, source: Option<&str>) -> Result<Vec<Value>, BackstageError> {
        self.note(format!("trace {id} {source:?}"));
        Err(BackstageError::Busy("others look".to_owned()))
    }

    async fn quarantine(&self, asked: &QuarantineAsked) -> Result<Quarantine, BackstageError> {
        self.note(format!("{asked:?}"));
        Ok(Quarantine {
            records: vec![record("g-1")],
            ..Quarantine::default()
        })
    }

    async fn quarantined(&self, id: &str) -> Result<Quarantined, BackstageError> {
        match id {
            "g-1" => Ok(Quarantined {
                record: record(id),
                input: "{}".to_owned(),
                audit: Vec::new(),
            }),
            id => Err(BackstageError::NotFound(format!("{id} is gone"))),
        }
    }

    async fn replay(&self, id: &str, who: &str) -> Result<Done, BackstageError> {
        self.note(format!("replay {id} by {who}"));
        Ok(Done {
            ok: true,
            detail: "accepted".to_owned(),
        })
    }

    async fn discard(&self, id: &str, who: &str) -> Result<Done, BackstageError> {
        self.note(format!("discard {id} by {who}"));
        Err(BackstageError::Unavailable("no queue manager".to_owned()))
    }
}

/// With their names as passwords.
fn user(name: &str, role: Role) -> LocalUser {
    let salt = SaltString::encode_b64(b"0123456789abcdef").expect("a salt");
    let params = Params::new(8, 1, 1, None).expect("small");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = argon2
        .hash_password(name.as_bytes(), &salt)
        .expect("hashes");
    LocalUser {
        name: name.to_owned(),
        password_hash: hash.to_string(),
        role,
    }
}

async fn server(told: &Arc<Told>, users: Vec<LocalUser>) -> Server {
    let world = World::new(1);
    let server = Server::start_with(&world, |options| {
        options.backstage = Some(Arc::clone(told) as Arc<dyn Backstage>);
        options.access = AccessOptions {
            users,
            ..AccessOptions::default()
        };
    });
    server.await.live().await
}

/// The cookie of a session.
async fn sign_in(server: &Server, name: &str, password: &str) -> (u16, String) {
    let body = json!({"name": name, "password": password}).to_string();
    let (status, head, _) = server
        .post("/api/v1/login", "Content-Type: application/json\r\n", &body)
        .await;
    let cookie = head
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "));
    let pair = cookie.and_then(|cookie| cookie.split(';').next());
    (status, format!("Cookie: {}\r\n", pair.unwrap_or_default()))
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_a_figure_before_he_has_signed_in() {
    let told = Arc::default();
    let server = server(
        &told,
        vec![user("ann", Role::Operator), user("bob", Role::Viewer)],
    )
    .await;
    for path in [
        "/api/v1/aggregations",
        "/api/v1/daily_totals/snapshot",
        "/api/v1/daily_totals/stream",
        "/api/v1/daily_totals/export.csv",
        "/api/v1/pipeline",
        "/api/v1/quarantine",
        "/api/v1/none",
    ] {
        let (status, body) = server.get(path).await;
        assert_eq!((status, &body["title"]), (401, &"Sign in".into()), "{path}");
    }
    for path in ["/", "/healthz", "/readyz", "/openapi.json"] {
        assert_eq!(server.get(path).await.0, 200, "{path}");
    }
    let (_, me) = server.get("/api/v1/me").await;
    assert_eq!(
        me,
        json!({"name": null, "role": null, "limited": false, "required": true, "local": true, "oidc": null})
    );
    assert_eq!(sign_in(&server, "ann", "bob").await.0, 401);
    assert_eq!(sign_in(&server, "kim", "kim").await.0, 401);
    let (status, cookie) = sign_in(&server, "bob", "bob").await;
    assert_eq!(status, 204);
    let (status, _, body) = server.get_with("/api/v1/me", &cookie).await;
    assert_eq!(status, 200);
    assert!(body.contains(r#""name":"bob","role":"viewer""#), "{body}");
    assert_eq!(
        server
            .get_with("/api/v1/daily_totals/snapshot", &cookie)
            .await
            .0,
        200
    );
    let (status, head, _) = server.post("/api/v1/logout", &cookie, "").await;
    assert_eq!(status, 204);
    assert!(head.contains("max-age=0"), "{head}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_alone_change_anything_and_no_other_page_does_it_for_them() {
    let told = Arc::default();
    let server = server(
        &told,
        vec![user("ann", Role::Operator), user("bob", Role::Viewer)],
    )
    .await;
    let (_, bob) = sign_in(&server, "bob", "bob").await;
    let (_, ann) = sign_in(&server, "ann", "ann").await;
    assert_eq!(
        server
            .post("/api/v1/quarantine/g-1/replay", &bob, "")
            .await
            .0,
        403
    );
    assert_eq!(
        server.post("/api/v1/quarantine/g-1/replay", "", "").await.0,
        401
    );
    let foreign = format!("{ann}Origin: http://evil.example\r\n");
    assert_eq!(
        server
            .post("/api/v1/quarantine/g-1/replay", &foreign, "")
            .await
            .0,
        403
    );
    assert!(told.asked().is_empty());
    let (status, _, body) = server.post("/api/v1/quarantine/g-1/replay", &ann, "").await;
    assert_eq!(
        (status, body.as_str()),
        (200, r#"{"ok":true,"detail":"accepted"}"#)
    );
    assert_eq!(told.asked(), ["replay g-1 by ann"]);
    assert_eq!(
        server
            .post("/api/v1/quarantine/g-1/discard", &ann, "")
            .await
            .0,
        503
    );
    assert_eq!(
        server
            .get_with("/api/v1/quarantine/g-1/replay", &ann)
            .await
            .0,
        405
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_to_sign_in_are_few() {
    let server = server(&Arc::default(), vec![user("ann", Role::Operator)]).await;
    let mut answers = Vec::new();
    for _ in 0..11 {
        answers.push(sign_in(&server, "ann", "wrong").await.0);
    }
    assert_eq!(answers[..10], [401; 10]);
    assert_eq!(answers[10], 429);
    assert_eq!(
        sign_in(&server, "ann", "ann").await.0,
        429,
        "also the right one"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_users_everybody_on_this_machine_is_an_operator() {
    let told = Arc::default();
    let server = server(&told, Vec::new()).await;
    let (_, me) = server.get("/api/v1/me").await;
    assert_eq!(
        me,
        json!({"name": null, "role": "operator", "limited": false, "required": false, "local": false, "oidc": null})
    );
    let (status, found) = server
        .get("/api/v1/daily_totals/transactions?day=2026-11-23&key=%5B%5D&before=1")
        .await;
    assert_eq!(
        (status, &found["transactions"][0]["id"]),
        (200, &"t-1".into())
    );
    assert_eq!(
        told.asked(),
        [r#"transactions daily_totals 2026-11-23 [] Some("1")"#]
    );
    for (path, expected) in [
        ("/api/v1/daily_totals/transactions", 400),
        ("/api/v1/other/transactions?key=1", 404),
        ("/api/v1/trace", 400),
        ("/api/v1/trace?id=t-1", 429),
        ("/api/v1/quarantine?q=a%20b&source=json", 200),
        ("/api/v1/quarantine/g-1", 200),
        ("/api/v1/quarantine/g-2", 404),
    ] {
        assert_eq!(server.get(path).await.0, expected, "{path}");
    }
    let long = "w".repeat(1_025);
    assert_eq!(
        server.get(&format!("/api/v1/quarantine?q={long}")).await.0,
        400
    );
    assert_eq!(
        server.post("/api/v1/quarantine/g-1/replay", "", "").await.0,
        200
    );
    assert_eq!(
        told.asked().last().map(String::as_str),
        Some("replay g-1 by anybody on this machine")
    );
    server.stop().await;
}

/// A certificate for 127.0.0.1, and its key.
fn certificate(dir: &std::path::Path) -> TlsFiles {
    let made = std::process::Command::new("openssl")
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split(' '))
        .args("-keyout key.pem -out certificate.pem -subj /CN=page -addext subjectAltName=IP:127.0.0.1".split(' '))
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .current_dir(dir)
        .output();
    let made = made.expect("openssl is installed");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    TlsFiles {
        certificate: dir.join("certificate.pem"),
        key: dir.join("key.pem"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_certificate_tls_is_spoken_and_the_cookie_is_for_it_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = certificate(dir.path());
    let roots = pem::roots(&files.certificate).expect("a root");
    let world = World::new(1);
    let server = Server::start_with(&world, |options| {
        options.tls = Some(files);
        options.access.users = vec![user("ann", Role::Operator)];
    });
    let server = server.await.live().await;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let socket = TcpStream::connect(server.address).await.expect("connects");
    let name = rustls::pki_types::ServerName::from(server.address.ip());
    let mut stream = connector.connect(name, socket).await.expect("shakes hands");
    let body = r#"{"name":"ann","password":"ann"}"#;
    let request = format!(
        "POST /api/v1/login HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        server.address,
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("sends");
    let mut answer = Vec::new();
    // The end may come without a goodbye.
    drop(stream.read_to_end(&mut answer).await);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    assert!(answer.contains("; Secure"), "{answer}");
    // Without TLS nothing is answered.
    let mut plain = TcpStream::connect(server.address).await.expect("connects");
    plain
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect("sends");
    let mut answer = Vec::new();
    drop(plain.read_to_end(&mut answer).await);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    server.stop().await;
}

/// `bob` sees accounts that begin with HR, in euros.
async fn limited() -> (World, Server, Arc<Told>) {
    let (world, told) = (World::new(2), Arc::<Told>::default());
    let server = Server::start_with(&world, |options| {
        options.backstage = Some(Arc::clone(&told) as Arc<dyn Backstage>);
        options.access.users = vec![user("ann", Role::Operator), user("bob", Role::Viewer)];
        let keys = [("account", "HR*"), ("currency", "EUR")];
        let keys = keys.map(|(column, pattern)| (column.to_owned(), vec![pattern.to_owned()]));
        options.access.limits = vec![ViewerLimit {
            name: "b*".to_owned(),
            limit: Limit::new(keys.into()),
        }];
    });
    let server = server.await.live().await;
    for (account, currency, cents) in [
        ("HR1", "EUR", 100),
        ("HR2", "EUR", 200),
        ("HR1", "USD", 400),
        ("SI1", "EUR", 800),
    ] {
        world.book(today(), account, currency, cents, 1);
    }
    (world, server, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sees_a_part_of_the_rows_learns_nothing_of_the_others() {
    let (_world, server, told) = limited().await;
    let (_, bob) = sign_in(&server, "bob", "bob").await;
    let (_, ann) = sign_in(&server, "ann", "ann").await;
    let get = async |path: &str, who: &str| {
        let path = format!("/api/v1/daily_totals/{path}");
        let (status, _, body) = server.get_with(&path, who).await;
        let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
        (status, body)
    };
    let (_, _, me) = server.get_with("/api/v1/me", &bob).await;
    assert!(me.contains(r#""limited":true"#), "{me}");
    let key = |account: &str| json!([today().to_string(), account, "EUR"]).to_string();
    let pinned = |account: &str| format!("pin={}", key(account).replace('"', "%22"));
    // All four rows are there before anything is said of them.
    let begun = std::time::Instant::now();
    while get("window", &ann).await.1["size"] != 4 {
        assert!(
            begun.elapsed() < crate::support::server::PATIENCE,
            "not all rows came"
        );
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let begun = std::time::Instant::now();
    let window = loop {
        let query = format!("window?{}&{}", pinned("SI1"), pinned("HR2"));
        let (status, window) = get(&query, &bob).await;
        assert_eq!(status, 200, "{window}");
        if window["matching"] == 2 {
            break window;
        }
        assert!(
            begun.elapsed() < crate::support::server::PATIENCE,
            "{window}"
        );
    };
    assert_eq!(window["size"], 2, "{window}");
    assert_eq!(
        window["groups"],
        json!([{"name": "EUR", "rows": 2, "sums": ["3.00", "2"]}])
    );
    assert_eq!(window["rows"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        window["pinned"].as_array().map(Vec::len),
        Some(1),
        "{window}"
    );
    assert!(!window.to_string().contains("SI1"), "{window}");
    let (_, export) = get("export.csv", &bob).await;
    let export = export.as_str().expect("text");
    assert_eq!(export.lines().count(), 3, "{export}");
    assert!(
        !export.contains("SI1") && !export.contains("USD"),
        "{export}"
    );
    let at = |account: &str| format!("key={}", key(account).replace('"', "%22"));
    assert_eq!(get(&format!("key?{}", at("HR1")), &bob).await.0, 200);
    assert_eq!(get(&format!("key?{}", at("SI1")), &bob).await.0, 404);
    assert_eq!(
        get(&format!("transactions?{}", at("HR1")), &bob).await.0,
        200
    );
    assert_eq!(
        get(&format!("transactions?{}", at("SI1")), &bob).await.0,
        404
    );
    assert_eq!(
        told.asked().len(),
        1,
        "the log was not looked through for the other"
    );
    let (_, sparks) = get(&format!("sparks?{}&{}", at("HR1"), at("SI1")), &bob).await;
    assert!(!sparks.to_string().contains("SI1"), "{sparks}");
    for path in [
        "snapshot",
        "stream?rows=all",
        "movers",
        "curve",
        "counts",
        "anything",
    ] {
        assert_eq!(get(path, &bob).await.0, 403, "{path}");
    }
    for path in [
        "/api/v1/pipeline",
        "/api/v1/pipeline/gateway",
        "/api/v1/quarantine",
        "/api/v1/quarantine/g-1",
        "/api/v1/trace?id=t-1",
    ] {
        assert_eq!(server.get_with(path, &bob).await.0, 403, "{path}");
    }
    assert_eq!(get("snapshot", &ann).await.0, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_tells_a_limited_viewer_of_his_rows_alone() {
    let (world, server, _) = limited().await;
    let (_, bob) = sign_in(&server, "bob", "bob").await;
    let mut events = server.open("count=10", &bob).await;
    for amount in 0..20 {
        world.book(today(), "SI1", "EUR", amount, 2);
        world.book(today(), "SI2", "EUR", amount, 2);
    }
    world.book(today(), "HR3", "EUR", 1_600, 3);
    // The last row of his is there when all before it has been told.
    loop {
        let (name, _, data) = events.next().await.expect("an event");
        let text = data.to_string();
        assert!(!text.contains("SI"), "{name} {text}");
        if name == "window" || name == "summary" {
            assert_eq!(data["size"], data["matching"], "{text}");
        }
        if name == "window" && text.contains("HR3") {
            assert_eq!(data["size"], 3, "{text}");
            break;
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_a_column_that_no_aggregation_has_does_not_start() {
    let world = World::new(1);
    let mut options = web::WebOptions::new(
        ([127, 0, 0, 1], 0).into(),
        store::StoreTarget::sqlite("/nonexistent"),
        kafka_client::Cluster::new("none"),
    );
    options.aggregations = vec![crate::support::daily_totals()];
    options.access.limits = vec![ViewerLimit {
        name: "*".to_owned(),
        limit: Limit::new([("acount".to_owned(), vec!["*".to_owned()])].into()),
    }];
    let bound = web::Web::bind_with(options, Arc::default(), vec![world.feed()]).await;
    let error = bound.expect_err("refused").to_string();
    assert!(
        error.contains("acount, but must be a key column"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_asks_so_often_and_has_so_many_streams() {
    let world = World::new(1);
    let server = Server::start_with(&world, |options| {
        options.access.users = vec![user("ann", Role::Operator), user("bob", Role::Viewer)];
        options.rates = RateOptions {
            requests_per_second: 1,
            burst: 20,
            streams: 2,
        };
    });
    let server = server.await.live().await;
    let (_, bob) = sign_in(&server, "bob", "bob").await;
    let (_, ann) = sign_in(&server, "ann", "ann").await;
    let streams = [server.open("", &bob).await, server.open("", &bob).await];
    let path = "/api/v1/daily_totals/stream";
    assert_eq!(server.get_with(path, &bob).await.0, 429, "a third stream");
    drop(server.open("", &ann).await);
    drop(streams);
    let begun = std::time::Instant::now();
    while server.get_with("/api/v1/me", &bob).await.0 == 200 {
        assert!(
            begun.elapsed() < crate::support::server::PATIENCE,
            "it never ends"
        );
    }
    let (status, head, body) = server.get_with("/api/v1/me", &bob).await;
    assert_eq!(status, 429, "{body}");
    assert!(
        head.contains("retry-after: 1") && body.contains("more often"),
        "{head}{body}"
    );
    assert_eq!(
        server.get_with("/api/v1/me", &ann).await.0,
        200,
        "others are others"
    );
    assert_eq!(
        server.get("/api/v1/me").await.0,
        200,
        "this machine's own are not counted"
    );
    server.stop().await;
}
