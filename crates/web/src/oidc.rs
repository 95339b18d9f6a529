//! Signing in elsewhere: OpenID Connect's authorization code flow (OpenID Connect Core 1.0, §3.1) with PKCE (RFC 7636).
//!
//! ```text
//! page ──▶ begin ──▶ the issuer's page ──▶ finish ──▶ a session of ours, as after a password
//! ```
//!
//! # Invariants
//!
//! - What was begun here is finished by the same browser: `state`, `nonce` and the verifier are in a cookie that we have signed, and live ten
//!   minutes. Nothing is kept meanwhile, so any replica finishes it.
//! - **A token counts when all of it holds**: signature by a key of the issuer with an asymmetric algorithm, issuer, audience, time and nonce.
//! - The tokens are forgotten at once. What somebody may do is decided when he signs in, and lasts as long as the session.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use argon2::password_hash::rand_core::{OsRng, RngCore as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Uri, header};
use rustls::ClientConfig;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use token::{FetchError, Keys, Place, Rules, TokenError, fetch, is_safe, system_roots, trusting};
use tokio::sync::Mutex;

use crate::access::Role;
use crate::error::WebError;

/// Path that the issuer sends people back to; it is known to the issuer with the address before it.
pub(crate) const CALLBACK: &str = "/api/v1/oidc/callback";
/// Where it begins.
pub(crate) const BEGIN: &str = "/api/v1/oidc/login";
/// Time to sign in.
pub(crate) const BEGUN_TIME_MAX: Duration = Duration::from_secs(600);
/// How long what the issuer says of itself is believed.
const DISCOVERY_AGE_MAX: Duration = Duration::from_secs(3_600);
/// Longest name that is taken from a token, in bytes.
const NAME_BYTES_MAX: usize = 256;
/// Longest code that the issuer may give, in bytes.
pub(crate) const CODE_BYTES_MAX: usize = 4_096;

/// An issuer of identities.
#[derive(Clone)]
pub struct OidcOptions {
    /// Its address: `https`, or `http` on loopback.
    pub issuer: String,
    /// What it knows us as.
    pub client_id: String,
    /// What we prove it with; without one PKCE alone.
    pub client_secret: Option<String>,
    /// Address of this page as browsers know it, without a path: `https://daybook.example.com`.
    pub address: String,
    /// What is asked for beside `openid`.
    pub scopes: Vec<String>,
    /// The claim that somebody is called by: `a.b` is `b` in `a`.
    pub name_claim: String,
    /// The claim with his roles or groups, a text or a list of them.
    pub role_claim: String,
    /// Values of it that make an operator.
    pub operators: Vec<String>,
    /// Values of it that make a viewer; empty: everybody is one.
    pub viewers: Vec<String>,
    /// Certificates that the issuer's must come from; those of the system without.
    pub ca: Option<PathBuf>,
}

/// Without the secret.
impl std::fmt::Debug for OidcOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OidcOptions")
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Signing in elsewhere did not work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OidcError {
    /// The issuer does not answer. Trying again may help.
    #[error("the issuer cannot be asked")]
    Fetch(#[from] FetchError),
    /// It refuses. Trying again helps when the configuration was changed.
    #[error("{asked} answers {status}: {detail}")]
    Refused {
        asked: &'static str,
        status: u16,
        detail: String,
    },
    /// What it says of itself cannot be used.
    #[error("the issuer's {what} cannot be used: {reason}")]
    Unusable { what: &'static str, reason: String },
    /// The token does not prove who somebody is.
    #[error("the issuer's token does not count: {0}")]
    Token(String),
    /// He may not look.
    #[error(
        "{name} has none of the roles that may look (`web.oidc.viewers`, `web.oidc.operators`)"
    )]
    NotAllowed { name: String },
}

/// What must come back with somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Begun {
    pub(crate) state: String,
    pub(crate) nonce: String,
    pub(crate) verifier: String,
}

/// What an issuer says of itself (OpenID Connect Discovery 1.0, §3).
#[derive(Debug, Clone, Deserialize)]
struct Discovery {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
}

#[derive(Default)]
struct Known {
    discovery: Option<(Instant, Discovery)>,
    keys: Option<(String, Arc<Keys>)>,
}

/// See the module.
pub(crate) struct Oidc {
    options: OidcOptions,
    tls: Arc<ClientConfig>,
    known: Mutex<Known>,
}

impl std::fmt::Debug for Oidc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.options.fmt(f)
    }
}

impl Oidc {
    /// Refuses what would be signed in over the open.
    pub(crate) fn new(options: OidcOptions) -> Result<Self, WebError> {
        let refused = |option, value: &str, rule| WebError::Option {
            option,
            value: value.to_owned(),
            rule,
        };
        if !is_safe(&options.issuer) {
            let rule = "an https address, or http on loopback";
            return Err(refused("web.oidc.issuer", &options.issuer, rule));
        }
        let path = options.address.parse::<Uri>().ok();
        let path = path.map(|uri| uri.path().to_owned());
        if !is_safe(&options.address) || path.is_none_or(|path| path != "/") {
            let rule =
                "this page's address for browsers, https (or http on loopback) and without a path";
            return Err(refused("web.oidc.address", &options.address, rule));
        }
        if options.client_id.is_empty() {
            let rule = "what the issuer knows this page as";
            return Err(refused("web.oidc.client_id", "empty", rule));
        }
        let roots = match &options.ca {
            Some(path) => pem::roots(path).map_err(crate::tls::TlsError::from)?,
            None => system_roots(),
        };
        let tls = trusting(roots)
            .map_err(|_| refused("web.oidc", "TLS", "something that this build can do"))?;
        Ok(Self {
            options,
            tls,
            known: Mutex::default(),
        })
    }

    fn redirect_uri(&self) -> String {
        let address = self.options.address.trim_end_matches('/');
        format!("{address}{CALLBACK}")
    }

    /// Whether browsers come over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.options.address.starts_with("https:")
    }

    /// Where to sign in, and what must come back from there.
    pub(crate) async fn begin(&self) -> Result<(String, Begun), OidcError> {
        let discovery = self.discovery().await?;
        let begun = Begun {
            state: random(),
            nonce: random(),
            verifier: random(),
        };
        let scopes = ["openid"].into_iter();
        let scopes = scopes.chain(self.options.scopes.iter().map(String::as_str));
        let scopes: Vec<&str> = scopes.collect();
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(begun.verifier.as_bytes()));
        let query = form(&[
            ("response_type", "code"),
            ("client_id", &self.options.client_id),
            ("redirect_uri", &self.redirect_uri()),
            ("scope", &scopes.join(" ")),
            ("state", &begun.state),
            ("nonce", &begun.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let endpoint = &discovery.authorization_endpoint;
        let mark = if endpoint.contains('?') { '&' } else { '?' };
        Ok((format!("{endpoint}{mark}{query}"), begun))
    }

    /// Who came back with this code. `now`: seconds since 1970.
    pub(crate) async fn finish(
        &self,
        begun: &Begun,
        code: &str,
    ) -> Result<(String, Role), OidcError> {
        let discovery = self.discovery().await?;
        let redirect = self.redirect_uri();
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &redirect),
            ("code_verifier", &begun.verifier),
        ];
        let mut request = Request::post(&discovery.token_endpoint)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json");
        match &self.options.client_secret {
            // RFC 6749, §2.3.1: both are encoded as in a form first.
            Some(secret) => {
                let pair = format!("{}:{}", escape(&self.options.client_id), escape(secret));
                let basic = format!("Basic {}", STANDARD.encode(pair));
                request = request.header(header::AUTHORIZATION, basic);
            }
            None => fields.push(("client_id", &self.options.client_id)),
        }
        let body = Full::new(Bytes::from(form(&fields)));
        let tokens: Tokens = self.ask("token endpoint", request.body(body)).await?;
        let claims = self
            .claims(&discovery, &tokens.id_token, &begun.nonce)
            .await?;
        self.role(&claims)
    }

    async fn claims(
        &self,
        discovery: &Discovery,
        token: &str,
        nonce: &str,
    ) -> Result<Value, OidcError> {
        let keys = self.keys(discovery).await;
        let rules = Rules {
            issuer: &self.options.issuer,
            audience: &self.options.client_id,
            required: &["sub"],
        };
        let verified = token::verify(&keys, token, &rules).await;
        let claims = verified.map_err(|error| match error {
            TokenError::Away(reason) => OidcError::Unusable {
                what: "keys",
                reason,
            },
            error => OidcError::Token(error.to_string()),
        })?;
        if !is_given_to(&claims, &self.options.client_id) {
            return Err(OidcError::Token("it was given to somebody else".to_owned()));
        }
        match claims.get("nonce").and_then(Value::as_str) == Some(nonce) {
            true => Ok(claims),
            false => Err(OidcError::Token(
                "it is not the answer to this question".to_owned(),
            )),
        }
    }

    fn role(&self, claims: &Value) -> Result<(String, Role), OidcError> {
        let name = claim(claims, &self.options.name_claim).and_then(Value::as_str);
        let name = name.or_else(|| claims.get("sub").and_then(Value::as_str));
        let name = name.unwrap_or_default().trim();
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(char::is_control) {
            let claim = &self.options.name_claim;
            return Err(OidcError::Token(format!("its {claim} is no name")));
        }
        let roles = texts(claim(claims, &self.options.role_claim));
        let any = |wanted: &[String]| wanted.iter().any(|role| roles.contains(&role.as_str()));
        let name = name.to_owned();
        if any(&self.options.operators) {
            return Ok((name, Role::Operator));
        }
        match self.options.viewers.is_empty() || any(&self.options.viewers) {
            true => Ok((name, Role::Viewer)),
            false => Err(OidcError::NotAllowed { name }),
        }
    }

    async fn discovery(&self) -> Result<Discovery, OidcError> {
        // Whoever asks meanwhile waits for the answer.
        let mut known = self.known.lock().await;
        if let Some((since, discovery)) = &known.discovery
            && since.elapsed() < DISCOVERY_AGE_MAX
        {
            return Ok(discovery.clone());
        }
        let issuer = self.options.issuer.trim_end_matches('/');
        let address = format!("{issuer}/.well-known/openid-configuration");
        let discovery: Discovery = self.get("configuration", &address).await?;
        let unusable = |reason: String| OidcError::Unusable {
            what: "configuration",
            reason,
        };
        // §4.3: exactly the one that was asked, or tokens of another one would count.
        if discovery.issuer != self.options.issuer {
            let issuer = &discovery.issuer;
            return Err(unusable(format!(
                "it calls itself {issuer}, write it so in `web.oidc.issuer`"
            )));
        }
        let addresses = [
            &discovery.authorization_endpoint,
            &discovery.token_endpoint,
            &discovery.jwks_uri,
        ];
        if let Some(address) = addresses.into_iter().find(|address| !is_safe(address)) {
            return Err(unusable(format!("{address} is not https")));
        }
        known.discovery = Some((Instant::now(), discovery.clone()));
        Ok(discovery)
    }

    /// The issuer's keys, where he says that they are.
    async fn keys(&self, discovery: &Discovery) -> Arc<Keys> {
        let mut known = self.known.lock().await;
        if let Some((address, keys)) = &known.keys
            && *address == discovery.jwks_uri
        {
            return Arc::clone(keys);
        }
        let address = discovery.jwks_uri.clone();
        let tls = Arc::clone(&self.tls);
        let keys = Keys::new(Place::Web {
            address: address.clone(),
            tls,
        });
        known.keys = Some((address, Arc::clone(&keys)));
        keys
    }

    async fn get<T: DeserializeOwned>(
        &self,
        what: &'static str,
        address: &str,
    ) -> Result<T, OidcError> {
        let request = Request::get(address).header(header::ACCEPT, "application/json");
        self.ask(what, request.body(Full::default())).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        what: &'static str,
        request: Result<Request<Full<Bytes>>, hyper::http::Error>,
    ) -> Result<T, OidcError> {
        let unusable = |reason: String| OidcError::Unusable { what, reason };
        let request = request.map_err(|error| unusable(error.to_string()))?;
        let (status, body) = fetch(&self.tls, request).await?;
        if !status.is_success() {
            let detail = String::from_utf8_lossy(&body);
            return Err(OidcError::Refused {
                asked: what,
                status: status.as_u16(),
                detail: detail.chars().take(200).collect(),
            });
        }
        serde_json::from_slice(&body).map_err(|error| unusable(error.to_string()))
    }
}

/// §3.1.3.7: with several audiences a token is ours only if we are the one it was given to.
fn is_given_to(claims: &Value, client_id: &str) -> bool {
    let azp = claims.get("azp").and_then(Value::as_str);
    let several = claims.get("aud").and_then(Value::as_array);
    let several = several.is_some_and(|all| all.len() > 1);
    azp.map_or(!several, |azp| azp == client_id)
}

/// `a.b`: `b` in `a`; a claim whose own name is that comes first.
fn claim<'a>(claims: &'a Value, path: &str) -> Option<&'a Value> {
    let whole = claims.get(path);
    whole.or_else(|| {
        path.split('.')
            .try_fold(claims, |value, name| value.get(name))
    })
}

fn texts(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(text)) => text.split_whitespace().collect(),
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// 256 bits, which nobody guesses.
fn random() -> String {
    let mut bytes = [0; 32];
    OsRng.fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// As in a form (`application/x-www-form-urlencoded`).
fn form(fields: &[(&str, &str)]) -> String {
    let fields = fields.iter();
    let fields = fields.map(|(name, value)| format!("{name}={}", escape(value)));
    fields.collect::<Vec<_>>().join("&")
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            byte => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
