//! Clients that are known by a token, over real sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::common::{Answer, Fixture, read_answer, record, start_with};
use gateway::{ClientOptions, GatewayOptions, HttpOptions};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

fn new_key() -> EncodingKey {
    let pair = rcgen::KeyPair::generate().expect("a key");
    EncodingKey::from_ec_der(&pair.serialize_der())
}

fn set_of(key: &EncodingKey) -> String {
    let mut public = Jwk::from_encoding_key(key, Algorithm::ES256).expect("a public key");
    public.common.key_id = Some("1".to_owned());
    serde_json::to_string(&JwkSet { keys: vec![public] }).expect("JSON")
}

fn token(key: &EncodingKey, id: &str, claims: Value) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since.expect("after 1970").as_secs();
    let mut all = json!({ "iss": "https://sso", "aud": "daybook", "exp": seconds + 60 });
    for (name, value) in claims.as_object().expect("claims") {
        all[name] = value.clone();
    }
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some(id.to_owned());
    encode(&header, &all, key).expect("signs")
}

/// A client that is known by these tokens.
fn client(name: &str, jwt: &str) -> ClientOptions {
    let text = format!(
        "name = \"{name}\"\nsources = [\"json\"]\njwt = {{ issuer = \"https://sso\", audience = \"daybook\", {jwt} }}"
    );
    toml::from_str(&text).expect("a client")
}

async fn gateway(clients: Vec<ClientOptions>) -> Fixture {
    let http: HttpOptions = toml::from_str("address = \"127.0.0.1:0\"").expect("an address");
    start_with(GatewayOptions {
        http: vec![http],
        clients,
        ..GatewayOptions::default()
    })
    .await
}

async fn post(gateway: &Fixture, source: &str, token: &str) -> Answer {
    let body = record("t-1", "1.00");
    let request = format!(
        "POST /v1/transactions/{source} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(gateway.further[0])
        .await
        .expect("listens");
    stream.write_all(request.as_bytes()).await.expect("sends");
    read_answer(&mut stream).await
}

#[tokio::test]
async fn a_token_says_who_sends() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("keys.json");
    let key = new_key();
    std::fs::write(&path, set_of(&key)).expect("writes");
    let jwks = format!("jwks = {path:?}");
    let clients = vec![
        client("till", &format!("{jwks}, subject = \"17\"")),
        client(
            "batch",
            &format!("{jwks}, claims = {{ \"realm.role\" = \"batch\" }}"),
        ),
    ];
    let gateway = gateway(clients).await;
    let with = |claims| token(&key, "1", claims);
    assert_eq!(
        post(&gateway, "json", &with(json!({ "sub": "17" })))
            .await
            .status,
        202
    );
    let batch = with(json!({ "realm": { "role": ["a", "batch"] } }));
    assert_eq!(post(&gateway, "json", &batch).await.status, 202);
    let elsewhere = post(&gateway, "card-csv", &batch).await;
    assert_eq!(
        (elsewhere.status, elsewhere.json()["detail"].as_str()),
        (403, Some("the client batch may not send to card-csv"))
    );
    let forged = token(&new_key(), "1", json!({ "sub": "17" }));
    for (token, detail) in [
        (
            with(json!({ "sub": "18" })),
            "the token does not count: no client is called as it says",
        ),
        (
            with(json!({ "sub": "17", "iss": "https://other" })),
            "the token does not count: its issuer is none that is known here",
        ),
        (
            with(json!({ "sub": "17", "aud": "other" })),
            "the token does not count: InvalidAudience",
        ),
        (forged, "the token does not count: InvalidSignature"),
        (
            "a.b.c".to_owned(),
            "the token does not count: its issuer is none that is known here",
        ),
        ("key".to_owned(), "the key is not known"),
    ] {
        let answer = post(&gateway, "json", &token).await;
        assert_eq!(
            (answer.status, answer.json()["detail"].as_str()),
            (401, Some(detail))
        );
    }
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let counted = &gateway.metrics.clients;
    assert_eq!(
        (count(&counted[0].accepted), count(&counted[1].accepted)),
        (1, 1)
    );
    assert_eq!(count(&gateway.metrics.unauthenticated), 6);
}

#[tokio::test]
async fn an_issuer_that_is_away_is_no_refusal() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address");
    let asked = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let _ = stream.read(&mut [0; 2_000]).await;
            let _ = stream
                .write_all(b"HTTP/1.1 500 Away\r\ncontent-length: 0\r\n\r\n")
                .await;
        }
    });
    let jwt = format!("jwks = \"http://{address}/keys\", subject = \"17\"");
    let gateway = gateway(vec![client("till", &jwt)]).await;
    let token = token(&new_key(), "1", json!({ "sub": "17" }));
    for _ in 0..5 {
        let answer = post(&gateway, "json", &token).await;
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (503, Some("10"))
        );
        assert_eq!(answer.json()["type"], "urn:daybook:problem:issuer");
    }
    assert_eq!(
        asked.load(Ordering::Relaxed),
        1,
        "asked once in ten seconds"
    );
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused() {
    for (jwts, expected) in [
        (vec!["jwks = \"/keys\""], "with a subject, or claims"),
        (
            vec!["jwks = \"http://sso.example/keys\", subject = \"17\""],
            "an https address",
        ),
        (
            vec![
                "jwks = \"/keys\", subject = \"17\"",
                "jwks = \"/keys\", subject = \"17\"",
            ],
            "of one client",
        ),
        (
            vec!["jwks = \"https://sso/keys\", subject = \"17\", ca = \"/nowhere\""],
            "that can be read",
        ),
    ] {
        let clients = jwts.iter().enumerate();
        let clients = clients.map(|(index, jwt)| client(&format!("c{index}"), jwt));
        let options = GatewayOptions {
            clients: clients.collect(),
            ..GatewayOptions::default()
        };
        let error = gateway::check(&options, &[])
            .expect_err("refused")
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
}
