//! Who sends, and what they may: API keys, tokens, certificates, signed requests.
//!
//! # Invariants
//!
//! - **Nothing is read for who may not send**: the head decides, but for a signature, which is over the body as well.
//! - Keys are compared by their SHA-256, which is all that the configuration has; a key has 256 bits, so nothing slower is needed.
//! - A signed request counts once: its signature is remembered as long as its time would be taken.
//! - Limits are exact ([`Rate`]), and every refusal says how long to wait.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderName};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::bearer::{JwtOptions, Tokens, is_token};
use crate::metrics::{ClientMetrics, add};
use crate::options::InvalidOption;
use crate::problem::Problem;
use crate::rate::Rate;

/// An API key beside `Authorization: Bearer`.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Who signs.
const CLIENT: HeaderName = HeaderName::from_static("daybook-client");
/// `t=1795435200,v1=…`: when, in seconds since 1970, and the HMAC-SHA-256 in hexadecimal digits.
const SIGNATURE: HeaderName = HeaderName::from_static("daybook-signature");
/// By how much the time of a signed request may differ from ours, in seconds.
pub const SIGNATURE_SECONDS_MAX: i64 = 300;
/// Signatures remembered at a time; while there are as many, signed requests are asked to come later.
pub const SIGNATURES_MAX: usize = 1_000_000;
/// Bytes of a secret that requests are signed with, at least.
const SECRET_BYTES_MIN: usize = 16;
/// Seconds until a place for a signature may be free.
const SIGNATURES_RETRY_SECONDS: u64 = 10;

/// `[[gateway.client]]`: who may send, and how much.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientOptions {
    /// Name, in metrics and in the log.
    pub name: String,
    /// SHA-256 of API keys, in hexadecimal digits: `printf %s KEY | sha256sum`. Several, so that keys can be changed.
    #[serde(default)]
    pub key_sha256: Vec<String>,
    /// Subjects of certificates, as the log shows them: `CN=till-17, O=Bank`.
    #[serde(default)]
    pub subjects: Vec<String>,
    /// Addresses that are believed without more: for links that can do nothing else.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// File with the secret that requests are signed with.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// Tokens of an issuer that this client is known by.
    #[serde(default)]
    pub jwt: Option<JwtOptions>,
    /// Sources that may be sent to: `*` stands for any characters. All.
    #[serde(default = "all")]
    pub sources: Vec<String>,
    /// Requests a second, with as many at once; none: no limit.
    #[serde(default)]
    pub requests_per_second: Option<u32>,
    /// Records a second, with as many at once, and never more than these in one request; none: no limit.
    #[serde(default)]
    pub records_per_second: Option<u32>,
    /// It may ask for a probe, with the header `Daybook-Probe: 1`. false.
    #[serde(default)]
    pub probe: bool,
}

fn all() -> Vec<String> {
    vec!["*".to_owned()]
}

/// A client, ready to be recognised.
pub(crate) struct Client {
    pub(crate) name: Box<str>,
    sources: Vec<String>,
    secret: Option<Vec<u8>>,
    requests: Option<Rate>,
    records: Option<Rate>,
    /// It may ask for a probe.
    pub(crate) may_probe: bool,
    /// Its place in the metrics.
    index: usize,
}

/// Without the secret.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What a connection says of who is at its other end.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    /// Subject of a certificate that was verified.
    pub(crate) subject: Option<Box<str>>,
}

/// A signature that is still to be compared with the body.
#[derive(Debug)]
pub(crate) struct Signed {
    time: i64,
    signature: [u8; 32],
}

/// Who sends, as far as the head says.
#[derive(Debug)]
pub(crate) struct Sender {
    /// `None`: nobody has to say.
    pub(crate) client: Option<Arc<Client>>,
    pub(crate) signed: Option<Signed>,
}

/// All clients.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    by_key: HashMap<[u8; 32], Arc<Client>>,
    by_subject: HashMap<Box<str>, Arc<Client>>,
    by_address: HashMap<IpAddr, Arc<Client>>,
    by_name: HashMap<Box<str>, Arc<Client>>,
    tokens: Tokens,
    seen: Mutex<Seen>,
}

/// Signatures that were taken, in two halves: the older one is forgotten as a whole.
#[derive(Debug, Default)]
struct Seen {
    since: i64,
    now: HashSet<[u8; 32]>,
    before: HashSet<[u8; 32]>,
}

impl Seen {
    /// `None`: no place is left; or else whether it is new.
    fn is_new(&mut self, signature: [u8; 32], now: i64) -> Option<bool> {
        // A signature is taken from 300 s before its time to 300 s after it: after 600 s it is of no more use.
        if now - self.since >= 2 * SIGNATURE_SECONDS_MAX {
            self.before = std::mem::take(&mut self.now);
            if now - self.since >= 4 * SIGNATURE_SECONDS_MAX {
                self.before.clear();
            }
            self.since = now;
        }
        if self.now.contains(&signature) || self.before.contains(&signature) {
            return Some(false);
        }
        if self.now.len() + self.before.len() >= SIGNATURES_MAX {
            return None;
        }
        self.now.insert(signature);
        Some(true)
    }
}

impl Clients {
    /// Reads secrets, and refuses what cannot be meant.
    pub(crate) fn new(options: &[ClientOptions]) -> Result<Self, InvalidOption> {
        let mut clients = Self::default();
        for (index, option) in options.iter().enumerate() {
            let refused = |key, value: &str, rule| InvalidOption {
                key,
                value: format!("{value:?} of the client {:?}", option.name),
                rule,
            };
            if option.name.is_empty() || clients.by_name.contains_key(option.name.as_str()) {
                return Err(refused(
                    "client.name",
                    &option.name,
                    "a name, and each once",
                ));
            }
            let secret = option.secret_file.as_ref().map(|path| {
                let shown = path.display().to_string();
                let secret = std::fs::read(path).map_err(|_| {
                    refused("client.secret_file", &shown, "a file that can be read")
                })?;
                let secret = secret.trim_ascii().to_vec();
                match secret.len() < SECRET_BYTES_MIN {
                    true => Err(refused("client.secret_file", &shown, "of 16 bytes or more")),
                    false => Ok(secret),
                }
            });
            let rate = |limit: Option<u32>| limit.map(|limit| Rate::new(limit, limit));
            if option.requests_per_second == Some(0) || option.records_per_second == Some(0) {
                return Err(refused("client.requests_per_second", "0", "1 or more"));
            }
            let client = Arc::new(Client {
                name: option.name.as_str().into(),
                sources: option.sources.clone(),
                secret: secret.transpose()?,
                requests: rate(option.requests_per_second),
                records: rate(option.records_per_second),
                may_probe: option.probe,
                index,
            });
            for hash in &option.key_sha256 {
                let rule = "64 hexadecimal digits, as sha256sum prints them, of a key of its own";
                let key = from_hex(hash).ok_or_else(|| refused("client.key_sha256", hash, rule))?;
                if clients.by_key.insert(key, Arc::clone(&client)).is_some() {
                    return Err(refused("client.key_sha256", hash, rule));
                }
            }
            for subject in &option.subjects {
                let known = clients
                    .by_subject
                    .insert(subject.as_str().into(), Arc::clone(&client));
                if known.is_some() {
                    return Err(refused(
                        "client.subjects",
                        subject,
                        "the subject of one client",
                    ));
                }
            }
            for address in &option.addresses {
                let known = clients
                    .by_address
                    .insert(address.to_canonical(), Arc::clone(&client));
                if known.is_some() {
                    let address = address.to_string();
                    return Err(refused(
                        "client.addresses",
                        &address,
                        "the address of one client",
                    ));
                }
            }
            if let Some(jwt) = &option.jwt {
                clients.tokens.add(jwt, &client)?;
            }
            clients.by_name.insert(client.name.clone(), client);
        }
        Ok(clients)
    }

    /// Whose address or certificate this is.
    pub(crate) fn of_peer(&self, peer: &Peer) -> Option<Arc<Client>> {
        let by_subject = peer
            .subject
            .as_ref()
            .and_then(|subject| self.by_subject.get(subject));
        let found = by_subject.or_else(|| self.by_address.get(&peer.address.to_canonical()));
        found.cloned()
    }

    /// Who sends a request: by signature, key, token, certificate or address, in this order. Waits only for the keys of a token's issuer.
    pub(crate) async fn recognise(
        &self,
        peer: &Peer,
        headers: &HeaderMap,
        now: i64,
    ) -> Result<Sender, Problem> {
        let Some(token) = self.token_of(headers) else {
            return self.identify(peer, headers, now);
        };
        Ok(Sender {
            client: Some(self.tokens.client(token).await?),
            signed: None,
        })
    }

    /// What stands where a key would, and is none.
    fn token_of<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        if self.tokens.is_empty() || headers.contains_key(SIGNATURE) {
            return None;
        }
        headers.get(header::AUTHORIZATION)?;
        let key = key_of(headers)?;
        let hash: [u8; 32] = Sha256::digest(key).into();
        let token = std::str::from_utf8(key).ok()?;
        (is_token(token) && !self.by_key.contains_key(&hash)).then_some(token)
    }

    /// [`Clients::recognise`] without tokens.
    pub(crate) fn identify(
        &self,
        peer: &Peer,
        headers: &HeaderMap,
        now: i64,
    ) -> Result<Sender, Problem> {
        if headers.contains_key(SIGNATURE) {
            return self.signed(headers, now);
        }
        let client = match key_of(headers) {
            Some(key) => {
                let hash: [u8; 32] = Sha256::digest(key).into();
                let found = self.by_key.get(&hash).cloned();
                Some(found.ok_or_else(|| unknown("the key is not known"))?)
            }
            None => self.of_peer(peer),
        };
        let Some(client) = client else {
            let detail = match &peer.subject {
                Some(subject) => format!("no client has a certificate of {subject}"),
                None => "who sends must say so: with Authorization: Bearer KEY, a signature, or a certificate".to_owned(),
            };
            return Err(unknown(&detail));
        };
        Ok(Sender {
            client: Some(client),
            signed: None,
        })
    }

    fn signed(&self, headers: &HeaderMap, now: i64) -> Result<Sender, Problem> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let client = text(CLIENT).and_then(|name| self.by_name.get(name));
        let client = client.filter(|client| client.secret.is_some());
        let client = client.ok_or_else(|| unknown("Daybook-Client names nobody who signs"))?;
        let signed = read_signature(text(SIGNATURE).unwrap_or_default());
        let signed = signed.ok_or_else(|| {
            unknown("Daybook-Signature must be t=SECONDS,v1=HEX: when, and the HMAC-SHA-256 in 64 hexadecimal digits")
        })?;
        let seconds = now.div_euclid(1_000_000);
        if (seconds - signed.time).abs() > SIGNATURE_SECONDS_MAX {
            return Err(unknown(
                "the request was signed more than five minutes ago, or ahead",
            ));
        }
        Ok(Sender {
            client: Some(Arc::clone(client)),
            signed: Some(signed),
        })
    }

    /// Whether the body and path are what was signed, for the first time.
    pub(crate) fn verify(&self, signing: Signing, now: i64) -> Result<(), Problem> {
        let Some(signed) = signing.signed else {
            return Ok(());
        };
        let mac = signing.mac;
        let right = mac.is_some_and(|mac| mac.verify_slice(&signed.signature).is_ok());
        if !right {
            return Err(unknown("the signature is not that of this body and path"));
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.is_new(signed.signature, now.div_euclid(1_000_000)) {
            Some(true) => Ok(()),
            Some(false) => Err(unknown(
                "this signature has been taken before: sign it anew",
            )),
            None => {
                let detail = "as many signed requests as are remembered have come; repeat it later, signed anew";
                Err(Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "busy",
                    "the gateway is busy",
                    detail,
                )
                .retry_after(SIGNATURES_RETRY_SECONDS))
            }
        }
    }
}

/// A signature over a request, while its body comes.
pub(crate) struct Signing {
    signed: Option<Signed>,
    mac: Option<Hmac<Sha256>>,
}

impl Signing {
    /// Begins with what the head says.
    pub(crate) fn new(sender: Sender, path: &str) -> Self {
        let (signed, client) = (sender.signed, sender.client);
        let secret = client.as_ref().and_then(|client| client.secret.as_deref());
        let mac = signed.as_ref().zip(secret);
        let mac = mac.and_then(|(signed, secret)| signature(secret, signed.time, path));
        Self { signed, mac }
    }

    /// The next bytes of the body, as they were sent.
    pub(crate) fn update(&mut self, body: &[u8]) {
        if let Some(mac) = &mut self.mac {
            mac.update(body);
        }
    }
}

impl Client {
    /// Whether it may send a request to the source now.
    pub(crate) fn may_send(
        &self,
        source: &str,
        metrics: &[ClientMetrics],
        now: Instant,
    ) -> Result<(), Problem> {
        let counted = metrics.get(self.index);
        if !self
            .sources
            .iter()
            .any(|pattern| types::glob(pattern, source))
        {
            counted.inspect(|counted| add(&counted.refused, 1));
            let detail = format!("the client {} may not send to {source}", self.name);
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                "this client may not send here",
                detail,
            )
            .close());
        }
        counted.inspect(|counted| add(&counted.requests, 1));
        self.take(self.requests.as_ref(), 1, "requests", counted, now)
    }

    /// Whether so many records may follow.
    pub(crate) fn may_put(
        &self,
        records: usize,
        metrics: &[ClientMetrics],
        now: Instant,
    ) -> Result<(), Problem> {
        let counted = metrics.get(self.index);
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        self.take(self.records.as_ref(), records, "records", counted, now)
    }

    /// Records of it were accepted.
    pub(crate) fn accepted(&self, records: usize, metrics: &[ClientMetrics]) {
        if let Some(counted) = metrics.get(self.index) {
            add(&counted.accepted, records as u64);
        }
    }

    fn take(
        &self,
        rate: Option<&Rate>,
        count: u32,
        what: &str,
        counted: Option<&ClientMetrics>,
        now: Instant,
    ) -> Result<(), Problem> {
        let Some((rate, wait)) = rate.and_then(|rate| Some((rate, rate.take(count, now).err()?)))
        else {
            return Ok(());
        };
        counted.inspect(|counted| add(&counted.limited, 1));
        let most = rate.burst();
        let limited = |detail: String| {
            Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "rate",
                "the client sends too much",
                detail,
            )
        };
        if count > most {
            let detail = format!(
                "the client {} may send {most} {what} at once: send fewer in a request",
                self.name
            );
            return Err(limited(detail));
        }
        let detail = format!(
            "the client {} may send {most} {what} a second; nothing was accepted",
            self.name
        );
        Err(limited(detail).retry_after(ceil_seconds(wait)))
    }
}

fn ceil_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

pub(crate) fn unknown(detail: &str) -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "unauthenticated",
        "it is not known who sends",
        detail,
    )
    .close()
}

fn key_of(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let bytes = value.as_bytes();
        let (scheme, key) = bytes.split_at_checked(7)?;
        return scheme
            .eq_ignore_ascii_case(b"Bearer ")
            .then(|| key.trim_ascii());
    }
    headers
        .get(API_KEY)
        .map(|value| value.as_bytes().trim_ascii())
}

/// HMAC-SHA-256 of time, path and body, `SECONDS.PATH.BODY`, up to the body, which is taken as it is sent: compressed.
fn signature(secret: &[u8], time: i64, path: &str) -> Option<Hmac<Sha256>> {
    // Any length will do.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    mac.update(time.to_string().as_bytes());
    mac.update(b".");
    mac.update(path.as_bytes());
    mac.update(b".");
    Some(mac)
}

fn read_signature(text: &str) -> Option<Signed> {
    let (mut time, mut signature) = (None, None);
    for part in text.split(',') {
        match part.trim().split_once('=')? {
            ("t", value) => time = value.parse().ok(),
            ("v1", value) => signature = from_hex(value),
            _ => {}
        }
    }
    Some(Signed {
        time: time?,
        signature: signature?,
    })
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let bytes = text.as_bytes();
    if bytes.len() != 64 {
        return None;
    }
    let mut found = [0; 32];
    for (byte, pair) in found.iter_mut().zip(bytes.chunks_exact(2)) {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        // Two digits fit.
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_435_200;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn client(name: &str) -> ClientOptions {
        ClientOptions {
            name: name.to_owned(),
            key_sha256: vec![hex(&Sha256::digest(format!("{name}-key")))],
            subjects: vec![format!("CN={name}")],
            addresses: Vec::new(),
            secret_file: None,
            jwt: None,
            sources: all(),
            requests_per_second: None,
            records_per_second: None,
            probe: false,
        }
    }

    fn clients(dir: &std::path::Path) -> Clients {
        let secret = dir.join("secret");
        std::fs::write(&secret, "correct horse battery\n").expect("writes");
        let mut signer = client("signer");
        signer.secret_file = Some(secret);
        let mut link = client("link");
        link.addresses = vec!["10.0.0.7".parse().expect("an address")];
        Clients::new(&[client("till"), signer, link]).expect("usable")
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    value.parse().expect("a value"),
                )
            })
            .collect()
    }

    fn peer(address: &str, subject: Option<&str>) -> Peer {
        Peer {
            address: address.parse().expect("an address"),
            subject: subject.map(Into::into),
        }
    }

    fn who(clients: &Clients, peer: &Peer, pairs: &[(&'static str, &str)]) -> String {
        match clients.identify(peer, &headers(pairs), NOW * 1_000_000) {
            Ok(sender) => sender
                .client
                .map_or_else(String::new, |client| client.name.to_string()),
            Err(problem) => problem.status().as_str().to_owned(),
        }
    }

    #[test]
    fn keys_certificates_and_addresses_say_who_sends() {
        let dir = tempfile::tempdir().expect("a directory");
        let clients = clients(dir.path());
        let stranger = peer("10.0.0.1", None);
        for (pairs, expected) in [
            (vec![("authorization", "Bearer till-key")], "till"),
            (vec![("authorization", "bearer  till-key ")], "till"),
            (vec![("x-api-key", "link-key")], "link"),
            (vec![("authorization", "Bearer other")], "401"),
            (vec![("authorization", "Bearer ")], "401"),
            (vec![("authorization", "Basic dGlsbA==")], "401"),
            (vec![("authorization", "till")], "401"),
            (vec![], "401"),
        ] {
            assert_eq!(who(&clients, &stranger, &pairs), expected, "{pairs:?}");
        }
        assert_eq!(
            who(&clients, &peer("10.0.0.1", Some("CN=till")), &[]),
            "till"
        );
        assert_eq!(
            who(&clients, &peer("10.0.0.1", Some("CN=tilt")), &[]),
            "401"
        );
        assert_eq!(who(&clients, &peer("10.0.0.7", None), &[]), "link");
        assert_eq!(who(&clients, &peer("::ffff:10.0.0.7", None), &[]), "link");
        // A wrong key is not made good by where it comes from.
        let wrong = [("authorization", "Bearer other")];
        assert_eq!(who(&clients, &peer("10.0.0.7", None), &wrong), "401");
    }

    fn sign(time: i64, path: &str, body: &[u8]) -> String {
        let mut mac = signature(b"correct horse battery", time, path).expect("a secret");
        mac.update(body);
        format!("t={time},v1={}", hex(&mac.finalize().into_bytes()))
    }

    fn taken(
        clients: &Clients,
        signature: &str,
        path: &str,
        body: &[u8],
        now: i64,
    ) -> Result<(), u16> {
        let pairs = [
            ("daybook-client", "signer"),
            ("daybook-signature", signature),
        ];
        let stranger = peer("10.0.0.1", None);
        let sender = clients.identify(&stranger, &headers(&pairs), now * 1_000_000);
        let verified = sender.and_then(|sender| {
            let mut signing = Signing::new(sender, path);
            body.chunks(1).for_each(|part| signing.update(part));
            clients.verify(signing, now * 1_000_000)
        });
        verified.map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn a_signature_is_of_one_body_at_one_time_and_counts_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let clients = clients(dir.path());
        let good = sign(NOW, "/v1/transactions/json", b"{}");
        assert_eq!(
            taken(&clients, &good, "/v1/transactions/json", b"{ }", NOW),
            Err(401)
        );
        assert_eq!(
            taken(&clients, &good, "/v1/transactions/other", b"{}", NOW),
            Err(401)
        );
        assert_eq!(
            taken(&clients, &good, "/v1/transactions/json", b"{}", NOW + 300),
            Ok(())
        );
        assert_eq!(
            taken(&clients, &good, "/v1/transactions/json", b"{}", NOW),
            Err(401),
            "again"
        );
        for (shift, expected) in [
            (-301, Err(401)),
            (-300, Ok(())),
            (301, Err(401)),
            (299, Ok(())),
        ] {
            let signature = sign(NOW + shift, "/", b"");
            assert_eq!(
                taken(&clients, &signature, "/", b"", NOW),
                expected,
                "{shift}"
            );
        }
        for wrong in ["", "t=1", "v1=00", "t=x,v1=y", "nonsense"] {
            assert_eq!(taken(&clients, wrong, "/", b"", NOW), Err(401), "{wrong}");
        }
        let pairs = [
            ("daybook-client", "till"),
            ("daybook-signature", good.as_str()),
        ];
        assert_eq!(
            who(&clients, &peer("10.0.0.1", None), &pairs),
            "401",
            "it does not sign"
        );
    }

    #[test]
    fn signatures_are_remembered_as_long_as_they_would_be_taken() {
        let mut seen = Seen::default();
        let number = |number: u32| {
            let mut signature = [0; 32];
            signature[..4].copy_from_slice(&number.to_be_bytes());
            signature
        };
        assert_eq!(seen.is_new(number(1), 10_000), Some(true));
        assert_eq!(seen.is_new(number(1), 10_599), Some(false));
        assert_eq!(seen.is_new(number(1), 10_600), Some(false));
        assert_eq!(seen.is_new(number(2), 10_601), Some(true));
        assert_eq!(seen.is_new(number(2), 11_201), Some(false));
        assert_eq!(
            seen.is_new(number(1), 11_801),
            Some(true),
            "its time is long over"
        );
        let mut seen = Seen::default();
        for index in 0..SIGNATURES_MAX {
            assert_eq!(seen.is_new(number(index as u32), 0), Some(true));
        }
        assert_eq!(seen.is_new(number(u32::MAX), 0), None);
        assert_eq!(
            seen.is_new(number(7), 0),
            Some(false),
            "who is known is known"
        );
    }

    #[test]
    fn who_may_send_where_and_how_much() {
        let mut options = client("till");
        options.sources = vec!["card-*".to_owned(), "json".to_owned()];
        options.requests_per_second = Some(2);
        options.records_per_second = Some(10);
        let clients = Clients::new(&[options]).expect("usable");
        let till = Arc::clone(&clients.by_name["till"]);
        let metrics = [ClientMetrics::default()];
        let now = Instant::now();
        let send = |source| {
            till.may_send(source, &metrics, now)
                .map_err(|problem| problem.status().as_u16())
        };
        assert_eq!(send("pain.001"), Err(403));
        assert_eq!(
            (send("card-csv"), send("json"), send("json")),
            (Ok(()), Ok(()), Err(429))
        );
        let put = |records| {
            till.may_put(records, &metrics, now)
                .map_err(|problem| problem.status().as_u16())
        };
        assert_eq!((put(11), put(10), put(1)), (Err(429), Ok(()), Err(429)));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let refused = |change: fn(&mut ClientOptions)| {
            let mut second = client("second");
            change(&mut second);
            let clients = Clients::new(&[client("first"), second]);
            clients.expect_err("refused").to_string()
        };
        for (found, expected) in [
            (
                refused(|client| client.name = "first".to_owned()),
                "each once",
            ),
            (refused(|client| client.name = String::new()), "a name"),
            (
                refused(|client| client.key_sha256 = vec!["secret".to_owned()]),
                "64 hexadecimal digits",
            ),
            (
                refused(|client| client.subjects = vec!["CN=first".to_owned()]),
                "one client",
            ),
            (
                refused(|client| client.secret_file = Some("/nowhere".into())),
                "can be read",
            ),
            (
                refused(|client| client.records_per_second = Some(0)),
                "1 or more",
            ),
        ] {
            assert!(found.contains(expected), "{found}");
        }
    }
}
