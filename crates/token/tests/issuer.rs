//! An issuer that lies, changes his keys, is slow or away, over a real socket.
#![allow(missing_docs)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use token::{Keys, Place, Rules, TokenError, system_roots, trusting, verify};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Notify;

const ISSUER: &str = "https://issuer.example";
const LONG: Duration = Duration::from_secs(600);

struct Signer {
    pair: rcgen::KeyPair,
    key: EncodingKey,
}

fn signer() -> Signer {
    let pair = rcgen::KeyPair::generate().expect("a key");
    let key = EncodingKey::from_ec_der(&pair.serialize_der());
    Signer { pair, key }
}

impl Signer {
    fn public(&self, id: &str) -> Jwk {
        let mut key = Jwk::from_encoding_key(&self.key, Algorithm::ES256).expect("a public key");
        key.common.key_id = Some(id.to_owned());
        key
    }

    fn sign(&self, id: &str, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(id.to_owned());
        encode(&header, claims, &self.key).expect("signs")
    }
}

#[derive(Default)]
struct Issuer {
    keys: Mutex<Vec<Jwk>>,
    asked: AtomicU32,
    is_away: Mutex<bool>,
    /// While it is there, answers wait for it.
    gate: Mutex<Option<Arc<Notify>>>,
    address: String,
}

impl Issuer {
    async fn start(keys: Vec<Jwk>) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("an address");
        let issuer = Arc::new(Self {
            keys: Mutex::new(keys),
            address: format!("http://{address}/keys"),
            ..Self::default()
        });
        let answering = Arc::clone(&issuer);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let issuer = Arc::clone(&answering);
                tokio::spawn(async move {
                    let mut asked = [0; 2_000];
                    let _ = stream.read(&mut asked).await;
                    issuer.asked.fetch_add(1, Ordering::Relaxed);
                    let gate = issuer.gate.lock().expect("no panic").clone();
                    if let Some(gate) = gate {
                        gate.notified().await;
                    }
                    let keys = issuer.keys.lock().expect("no panic").clone();
                    let body = serde_json::to_string(&JwkSet { keys }).expect("JSON");
                    let status = match *issuer.is_away.lock().expect("no panic") {
                        true => "503 Away",
                        false => "200 OK",
                    };
                    let head = format!(
                        "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n",
                        body.len()
                    );
                    let _ = stream.write_all((head + &body).as_bytes()).await;
                });
            }
        });
        issuer
    }

    fn keys(&self, age_min: Duration) -> Arc<Keys> {
        let tls = trusting(system_roots()).expect("usable");
        let address = self.address.clone();
        Keys::with_age_min(Place::Web { address, tls }, age_min)
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }
}

fn seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_secs() as i64
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": "daybook", "sub": "17", "exp": seconds() + 60 })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

/// Its subject, or why it does not count.
async fn outcome(keys: &Arc<Keys>, token: &str) -> String {
    let rules = Rules {
        issuer: ISSUER,
        audience: "daybook",
        required: &["sub"],
    };
    match verify(keys, token, &rules).await {
        Ok(claims) => claims["sub"].as_str().unwrap_or_default().to_owned(),
        Err(TokenError::Away(reason)) => format!("away: {reason}"),
        Err(error) => error.to_string(),
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let bits = part
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - part.len()));
        for digit in 0..=part.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63]));
        }
    }
    text
}

#[tokio::test]
async fn what_is_not_all_right_does_not_count() {
    let (signer, stranger) = (signer(), signer());
    let mut other = signer.public("other");
    other.common.key_algorithm = Some(KeyAlgorithm::ES384);
    let mut hidden = signer.public("hidden");
    hidden.common.public_key_use = Some(PublicKeyUse::Encryption);
    let issuer = Issuer::start(vec![signer.public("1"), other, hidden]).await;
    let keys = issuer.keys(LONG);
    assert_eq!(outcome(&keys, &signer.sign("1", &claims())).await, "17");
    let several = with("aud", json!(["else", "daybook"]));
    assert_eq!(outcome(&keys, &signer.sign("1", &several)).await, "17");
    // Clocks differ a little.
    for (name, value) in [("exp", seconds() - 30), ("nbf", seconds() + 30)] {
        let close = with(name, value.into());
        assert_eq!(
            outcome(&keys, &signer.sign("1", &close)).await,
            "17",
            "{name}"
        );
    }
    for (name, value, expected) in [
        ("iss", json!("https://other.example"), "InvalidIssuer"),
        ("aud", json!("other"), "InvalidAudience"),
        ("aud", json!(["other"]), "InvalidAudience"),
        ("exp", json!(seconds() - 120), "ExpiredSignature"),
        ("nbf", json!(seconds() + 120), "ImmatureSignature"),
    ] {
        let found = outcome(&keys, &signer.sign("1", &with(name, value))).await;
        assert_eq!(found, expected, "{name}");
    }
    for name in ["iss", "aud", "exp", "sub"] {
        let mut lacking = claims();
        lacking.as_object_mut().expect("claims").remove(name);
        let found = outcome(&keys, &signer.sign("1", &lacking)).await;
        assert!(found.contains(name), "{name}: {found}");
    }
    let found = outcome(&keys, &stranger.sign("1", &claims())).await;
    assert_eq!(found, "InvalidSignature");
    let found = outcome(&keys, &signer.sign("other", &claims())).await;
    assert_eq!(found, "its key is not for ES256");
    for id in ["hidden", "unknown"] {
        let found = outcome(&keys, &signer.sign(id, &claims())).await;
        assert_eq!(found, format!("the issuer has no key {id}"));
    }
    // The public key as a shared secret.
    for secret in [
        signer.pair.public_key_pem().into_bytes(),
        serde_json::to_vec(&signer.public("1")).expect("JSON"),
    ] {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some("1".to_owned());
        let forged = encode(
            &header,
            &claims(),
            &EncodingKey::from_secret(&secret).expect("a key"),
        )
        .expect("signs");
        assert_eq!(outcome(&keys, &forged).await, "it is signed with HS256");
    }
    for alg in ["none", "None", "NONE", ""] {
        let header = base64(format!("{{\"alg\":\"{alg}\",\"kid\":\"1\"}}").as_bytes());
        let unsigned = format!("{header}.{}.", base64(claims().to_string().as_bytes()));
        assert_ne!(outcome(&keys, &unsigned).await, "17", "{alg}");
    }
    for nonsense in [
        "",
        "a",
        "a.b",
        "a.b.c",
        "..",
        "a.b.c.d",
        &"x.".repeat(9_000),
    ] {
        assert_ne!(outcome(&keys, nonsense).await, "17");
    }
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn new_keys_are_found_and_old_ones_end() {
    let (first, second) = (signer(), signer());
    let issuer = Issuer::start(vec![first.public("1")]).await;
    let keys = issuer.keys(Duration::ZERO);
    assert_eq!(outcome(&keys, &first.sign("1", &claims())).await, "17");
    *issuer.keys.lock().expect("no panic") = vec![second.public("2")];
    assert_eq!(outcome(&keys, &second.sign("2", &claims())).await, "17");
    let old = outcome(&keys, &first.sign("1", &claims())).await;
    assert_eq!(old, "the issuer has no key 1");
}

#[tokio::test]
async fn unknown_keys_do_not_hammer_the_issuer() {
    let signer = signer();
    let issuer = Issuer::start(vec![signer.public("1")]).await;
    let keys = issuer.keys(LONG);
    let mut asking = Vec::new();
    for number in 0..200 {
        let (keys, token) = (
            Arc::clone(&keys),
            signer.sign(&format!("x{number}"), &claims()),
        );
        asking.push(tokio::spawn(async move { outcome(&keys, &token).await }));
    }
    for asked in asking {
        assert!(
            asked
                .await
                .expect("no panic")
                .starts_with("the issuer has no key x")
        );
    }
    assert_eq!(issuer.asked(), 1);
    assert_eq!(outcome(&keys, &signer.sign("1", &claims())).await, "17");
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn who_goes_away_does_not_make_the_next_one_ask() {
    let signer = signer();
    let issuer = Issuer::start(vec![signer.public("1")]).await;
    let gate = Arc::new(Notify::new());
    *issuer.gate.lock().expect("no panic") = Some(Arc::clone(&gate));
    let keys = issuer.keys(LONG);
    let token = signer.sign("1", &claims());
    for _ in 0..20 {
        let (keys, token) = (Arc::clone(&keys), token.clone());
        let asking = tokio::spawn(async move { outcome(&keys, &token).await });
        while issuer.asked() == 0 {
            tokio::task::yield_now().await;
        }
        asking.abort();
    }
    *issuer.gate.lock().expect("no panic") = None;
    gate.notify_one();
    assert_eq!(outcome(&keys, &token).await, "17");
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn who_has_a_known_key_does_not_wait_for_the_issuer() {
    let signer = signer();
    let issuer = Issuer::start(vec![signer.public("1")]).await;
    let keys = issuer.keys(Duration::ZERO);
    assert_eq!(outcome(&keys, &signer.sign("1", &claims())).await, "17");
    let gate = Arc::new(Notify::new());
    *issuer.gate.lock().expect("no panic") = Some(Arc::clone(&gate));
    let (waiting, unknown) = (Arc::clone(&keys), signer.sign("x", &claims()));
    let waiting = tokio::spawn(async move { outcome(&waiting, &unknown).await });
    while issuer.asked() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(outcome(&keys, &signer.sign("1", &claims())).await, "17");
    assert!(!waiting.is_finished());
    *issuer.gate.lock().expect("no panic") = None;
    gate.notify_one();
    assert_eq!(waiting.await.expect("no panic"), "the issuer has no key x");
}

#[tokio::test]
async fn keys_are_kept_while_the_issuer_is_away() {
    let signer = signer();
    let issuer = Issuer::start(vec![signer.public("1")]).await;
    let away = |is_away| *issuer.is_away.lock().expect("no panic") = is_away;
    away(true);
    let keys = issuer.keys(Duration::ZERO);
    let good = signer.sign("1", &claims());
    let found = outcome(&keys, &good).await;
    assert!(
        found.starts_with("away: ") && found.ends_with("answers 503"),
        "{found}"
    );
    away(false);
    assert_eq!(outcome(&keys, &good).await, "17");
    away(true);
    assert_eq!(
        outcome(&keys, &signer.sign("2", &claims())).await,
        "the issuer has no key 2"
    );
    assert_eq!(outcome(&keys, &good).await, "17");
}

#[tokio::test]
async fn keys_may_be_in_a_file() {
    let signer = signer();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("keys.json");
    let keys = Keys::with_age_min(Place::File(path.clone()), Duration::ZERO);
    let good = signer.sign("1", &claims());
    assert!(outcome(&keys, &good).await.starts_with("away: "));
    let set = JwkSet {
        keys: vec![signer.public("1")],
    };
    std::fs::write(&path, serde_json::to_string(&set).expect("JSON")).expect("writes");
    assert_eq!(outcome(&keys, &good).await, "17");
    std::fs::write(&path, vec![b' '; (512 << 10) + 1]).expect("writes");
    let unknown = outcome(&keys, &signer.sign("2", &claims())).await;
    assert_eq!(unknown, "the issuer has no key 2");
    assert_eq!(outcome(&keys, &good).await, "17");
}
