//! Signing in elsewhere: a browser between our server and an issuer, over real sockets.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use crate::support::World;
use crate::support::server::Server;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use web::{AccessOptions, OidcOptions};

/// What the issuer is told to say.
#[derive(Default)]
struct Told {
    claims: Value,
    /// Signs with a key that it does not publish.
    forges: bool,
    /// Signs with the client's secret.
    symmetric: bool,
    keys: Vec<EncodingKey>,
    address: String,
    asked: HashMap<&'static str, u32>,
}

type Issuer = Arc<Mutex<Told>>;

fn new_key() -> EncodingKey {
    let pair = rcgen::KeyPair::generate().expect("a key");
    EncodingKey::from_ec_der(&pair.serialize_der())
}

fn seconds() -> u64 {
    u64::try_from(telemetry::now_micros() / 1_000_000).expect("after 1970")
}

async fn issuer() -> Issuer {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("binds");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let issuer = Issuer::default();
    {
        let mut told = issuer.lock().expect("no panic");
        told.keys = vec![new_key()];
        told.address = address;
    }
    let routes = Router::new()
        .route("/.well-known/openid-configuration", get(configuration))
        .route("/keys", get(keys))
        .route("/token", post(token))
        .with_state(Arc::clone(&issuer));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    issuer
}

async fn configuration(State(issuer): State<Issuer>) -> Json<Value> {
    let mut told = issuer.lock().expect("no panic");
    *told.asked.entry("configuration").or_default() += 1;
    let at = |path| format!("{}{path}", told.address);
    Json(
        json!({"issuer": told.address, "authorization_endpoint": at("/sign-in?theme=dark"),
        "token_endpoint": at("/token"), "jwks_uri": at("/keys")}),
    )
}

async fn keys(State(issuer): State<Issuer>) -> Json<JwkSet> {
    let mut told = issuer.lock().expect("no panic");
    *told.asked.entry("keys").or_default() += 1;
    let public = told.keys.iter().enumerate().map(|(number, key)| {
        let mut key = Jwk::from_encoding_key(key, Algorithm::ES256).expect("a public key");
        key.common.key_id = Some(number.to_string());
        key
    });
    Json(JwkSet {
        keys: public.collect(),
    })
}

/// The code is what the browser's address had: its nonce and challenge.
async fn token(State(issuer): State<Issuer>, headers: HeaderMap, body: String) -> Response {
    let form = format!("/?{body}").parse().expect("an address");
    let form = Query::<HashMap<String, String>>::try_from_uri(&form);
    let Query(form) = form.expect("a form");
    let mut told = issuer.lock().expect("no panic");
    *told.asked.entry("token").or_default() += 1;
    // daybook:s3 cret
    let right = "Basic ZGF5Ym9vazpzMyUyMGNyZXQ=";
    let basic = headers.get("authorization").map(|value| value.as_bytes());
    let (nonce, challenge) = form["code"].split_once(' ').expect("our code");
    let proof = URL_SAFE_NO_PAD.encode(Sha256::digest(form["code_verifier"].as_bytes()));
    if basic != Some(right.as_bytes())
        || proof != challenge
        || form["grant_type"] != "authorization_code"
    {
        return (StatusCode::BAD_REQUEST, "{\"error\":\"invalid_grant\"}").into_response();
    }
    let mut claims = json!({"iss": told.address, "aud": "daybook", "sub": "17",
        "exp": seconds() + 60, "iat": seconds(), "nonce": nonce});
    for (name, value) in told.claims.as_object().expect("claims") {
        claims[name] = value.clone();
    }
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some((told.keys.len() - 1).to_string());
    let forged = new_key();
    let key = match told.forges {
        true => &forged,
        false => told.keys.last().expect("a key"),
    };
    let token = match told.symmetric {
        true => {
            header.alg = Algorithm::HS256;
            let secret = EncodingKey::from_secret(b"s3 cret").expect("a key");
            encode(&header, &claims, &secret)
        }
        false => encode(&header, &claims, key),
    };
    Json(json!({"id_token": token.expect("signs"), "token_type": "Bearer"})).into_response()
}

async fn server(issuer: &Issuer) -> Server {
    let world = World::new(1);
    let address = issuer.lock().expect("no panic").address.clone();
    let server = Server::start_with(&world, |options| {
        options.access = AccessOptions {
            oidc: Some(OidcOptions {
                issuer: address,
                client_id: "daybook".to_owned(),
                client_secret: Some("s3 cret".to_owned()),
                address: "http://localhost:8080".to_owned(),
                scopes: vec!["profile".to_owned()],
                name_claim: "preferred_username".to_owned(),
                role_claim: "realm.groups".to_owned(),
                operators: vec!["payments operators".to_owned()],
                viewers: vec!["staff".to_owned()],
                ca: None,
            }),
            ..AccessOptions::default()
        };
    });
    server.await.live().await
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let mut lines = head.lines();
    lines
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .unwrap_or_default()
}

fn parameter(address: &str, name: &str) -> String {
    let query = address.split_once('?').expect("a query").1;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let found = pairs.find(|(known, _)| *known == name);
    found
        .unwrap_or_else(|| panic!("no {name} in {address}"))
        .1
        .to_owned()
}

/// Headers keep their case here: states and nonces have one.
async fn visit(server: &Server, path: &str, cookie: &str) -> (u16, String) {
    use tokio::io::AsyncReadExt as _;
    let headers = format!("Cookie: {cookie}\r\nConnection: close\r\n");
    let mut answer = String::new();
    let mut socket = server.request(path, &headers).await;
    socket.read_to_string(&mut answer).await.expect("reads");
    let head = answer.split("\r\n\r\n").next().expect("a head").to_owned();
    (head[9..12].parse().expect("a status"), head)
}

/// To the issuer: the cookie that stays, and the address that is called for.
async fn begin(server: &Server, page: &str) -> (String, String) {
    let (status, head) = visit(server, &format!("/api/v1/oidc/login?page={page}"), "").await;
    assert_eq!(status, 303, "{head}");
    let cookie = header(&head, "set-cookie");
    assert!(cookie.contains("HttpOnly; SameSite=Lax"), "{cookie}");
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    (cookie, header(&head, "location").to_owned())
}

/// And back: where the browser goes, and the session if there is one.
async fn come_back(server: &Server, cookie: &str, address: &str) -> (String, String) {
    let (state, nonce) = (parameter(address, "state"), parameter(address, "nonce"));
    let challenge = parameter(address, "code_challenge");
    let path = format!("/api/v1/oidc/callback?state={state}&code={nonce}%20{challenge}");
    let (status, head) = visit(server, &path, cookie).await;
    assert_eq!(status, 303, "{head}");
    let mut cookies = head
        .lines()
        .filter_map(|line| line.strip_prefix("set-cookie: "));
    let session = cookies.find(|cookie| cookie.starts_with("daybook="));
    let session = session.unwrap_or_default().split(';').next();
    (
        header(&head, "location").to_owned(),
        session.unwrap_or_default().to_owned(),
    )
}

/// Who somebody with these claims becomes, or where he is sent.
async fn signed_in(server: &Server, issuer: &Issuer, claims: Value) -> String {
    issuer.lock().expect("no panic").claims = claims;
    let (cookie, address) = begin(server, "/%3Fday=2026-11-23").await;
    let (page, session) = come_back(server, &cookie, &address).await;
    if session.is_empty() {
        return page;
    }
    assert_eq!(page, "/?day=2026-11-23");
    let (_, _, me) = server
        .get_with("/api/v1/me", &format!("Cookie: {session}\r\n"))
        .await;
    let me: Value = serde_json::from_str(&me).expect("JSON");
    format!("{} {}", me["name"], me["role"])
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_in_at_the_issuer_is_what_his_claims_say() {
    let issuer = issuer().await;
    let server = server(&issuer).await;
    assert_eq!(server.get("/api/v1/daily_totals/window").await.0, 401);
    let (_, me) = server.get("/api/v1/me").await;
    assert_eq!(me["oidc"], "/api/v1/oidc/login");
    assert_eq!(me["local"], false);
    let (_, address) = begin(&server, "/").await;
    let own = issuer.lock().expect("no panic").address.clone();
    assert!(address.starts_with(&format!(
        "{own}/sign-in?theme=dark&response_type=code&client_id=daybook&"
    )));
    assert_eq!(
        parameter(&address, "redirect_uri"),
        "http%3A%2F%2Flocalhost%3A8080%2Fapi%2Fv1%2Foidc%2Fcallback"
    );
    assert_eq!(parameter(&address, "scope"), "openid%20profile");
    for (claims, expected) in [
        (
            json!({"preferred_username": "ann", "realm": {"groups": ["payments operators", "staff"]}}),
            "\"ann\" \"operator\"",
        ),
        (
            json!({"preferred_username": "bob", "realm": {"groups": ["staff"]}}),
            "\"bob\" \"viewer\"",
        ),
        (
            json!({"realm": {"groups": "other staff"}}),
            "\"17\" \"viewer\"",
        ),
        (
            json!({"preferred_username": "eve", "realm": {"groups": ["others"]}}),
            "/?sign_in=denied",
        ),
        (json!({"preferred_username": "eve"}), "/?sign_in=denied"),
        (
            json!({"preferred_username": "a\u{0}b", "realm": {"groups": "staff"}}),
            "/?sign_in=failed",
        ),
    ] {
        assert_eq!(
            signed_in(&server, &issuer, claims.clone()).await,
            expected,
            "{claims}"
        );
    }
    let asked = issuer.lock().expect("no panic").asked.clone();
    assert_eq!(
        (asked["configuration"], asked["keys"]),
        (1, 1),
        "what is known is not asked again"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_proves_nothing_does_not_count() {
    let issuer = issuer().await;
    let server = server(&issuer).await;
    let good = json!({"preferred_username": "ann", "realm": {"groups": "staff"}});
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let own = issuer.lock().expect("no panic").address.clone();
    for claims in [
        with("iss", json!("http://127.0.0.1:1")),
        with("iss", json!(format!("{own}/"))),
        with("aud", json!("another")),
        with("aud", json!(["daybook", "another"])),
        with("azp", json!("another")),
        with("exp", json!(seconds() - 120)),
        with("exp", Value::Null),
        with("nbf", json!(seconds() + 120)),
        with("nonce", json!("another")),
        with("nonce", Value::Null),
        with("sub", Value::Null),
    ] {
        assert_eq!(
            signed_in(&server, &issuer, claims.clone()).await,
            "/?sign_in=failed",
            "{claims}"
        );
    }
    let several = with("aud", json!(["another", "daybook"]));
    let mut several = several;
    several["azp"] = json!("daybook");
    assert_eq!(
        signed_in(&server, &issuer, several).await,
        "\"ann\" \"viewer\""
    );
    issuer.lock().expect("no panic").symmetric = true;
    assert_eq!(
        signed_in(&server, &issuer, good.clone()).await,
        "/?sign_in=failed"
    );
    issuer.lock().expect("no panic").symmetric = false;
    issuer.lock().expect("no panic").forges = true;
    assert_eq!(
        signed_in(&server, &issuer, good.clone()).await,
        "/?sign_in=failed"
    );
    issuer.lock().expect("no panic").forges = false;
    assert_eq!(
        signed_in(&server, &issuer, good).await,
        "\"ann\" \"viewer\""
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_browser_that_went_comes_back() {
    let issuer = issuer().await;
    let server = server(&issuer).await;
    issuer.lock().expect("no panic").claims = json!({"realm": {"groups": "staff"}});
    let (cookie, address) = begin(&server, "/").await;
    let (other, _) = begin(&server, "/").await;
    let expired = ("/?sign_in=expired".to_owned(), String::new());
    assert_eq!(come_back(&server, "", &address).await, expired);
    assert_eq!(
        come_back(&server, &other, &address).await,
        expired,
        "somebody else's"
    );
    let forged = format!("{}0", &cookie[..cookie.len() - 1]);
    let forged = if forged == cookie {
        format!("{}1", &cookie[..cookie.len() - 1])
    } else {
        forged
    };
    assert_eq!(come_back(&server, &forged, &address).await, expired);
    assert_eq!(
        issuer.lock().expect("no panic").asked.get("token"),
        None,
        "the issuer was asked nothing"
    );
    // The challenge is of another browser's verifier.
    let (state, nonce) = (parameter(&address, "state"), parameter(&address, "nonce"));
    let path = format!("/api/v1/oidc/callback?state={state}&code={nonce}%20other");
    let (_, head) = visit(&server, &path, &cookie).await;
    assert_eq!(header(&head, "location"), "/?sign_in=failed");
    let path = format!("/api/v1/oidc/callback?state={state}&error=access_denied");
    let (_, head) = visit(&server, &path, &cookie).await;
    assert_eq!(header(&head, "location"), "/?sign_in=failed");
    assert_ne!(come_back(&server, &cookie, &address).await.1, "");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_keys_are_not_asked_for_again_at_once_and_an_issuer_that_is_gone_is_told() {
    let issuer = issuer().await;
    let server = server(&issuer).await;
    let claims = json!({"preferred_username": "ann", "realm": {"groups": "staff"}});
    assert_eq!(
        signed_in(&server, &issuer, claims.clone()).await,
        "\"ann\" \"viewer\""
    );
    issuer.lock().expect("no panic").keys.push(new_key());
    // Keys are not asked for again so soon, whoever sends tokens with made up ones.
    assert_eq!(
        signed_in(&server, &issuer, claims).await,
        "/?sign_in=failed"
    );
    assert_eq!(issuer.lock().expect("no panic").asked["keys"], 1);
    server.stop().await;
    let gone = Issuer::default();
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    gone.lock().expect("no panic").address = format!("http://{nowhere}");
    let server = self::server(&gone).await;
    let (status, head) = visit(&server, "/api/v1/oidc/login", "").await;
    assert_eq!(
        (status, header(&head, "location")),
        (303, "/?sign_in=failed")
    );
    server.stop().await;
}
