//! Who may look, and who may do something: local users, an OpenID Connect issuer's, or a reverse proxy that says who it is.
//!
//! # Invariants
//!
//! - **Without any of it everybody may do everything, on loopback only**: the server does not start elsewhere.
//! - **A session says who somebody is, the configuration what he may**: who is taken out of it may nothing from the next start on. What the
//!   issuer said of somebody lasts as long as his session.
//! - A session is a text that the server signs and does not keep, so every replica with the same key takes it.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::password_hash::rand_core::{OsRng, RngCore as _};
use argon2::{Argon2, PasswordHash, PasswordVerifier as _};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use types::Micros;
use utoipa::ToSchema;

use crate::error::WebError;
use crate::limit::{Limit, PATTERNS_MAX};
use crate::oidc::{BEGUN_TIME_MAX, Begun, Oidc, OidcOptions};

/// Bytes of the key that sessions are signed with, at least.
pub const SESSION_KEY_BYTES_MIN: usize = 32;
/// Failed attempts to sign in from one address; then each further one waits its turn.
pub(crate) const ATTEMPTS_MAX: u32 = 10;
/// After this long another attempt is allowed.
const ATTEMPT_EVERY: Duration = Duration::from_secs(6);
/// Addresses whose failed attempts are remembered; when there are more, all are forgotten that may try again anyway.
const ADDRESSES_MAX: usize = 10_000;
/// Longest password, in bytes: hashing it takes memory and time.
pub(crate) const PASSWORD_BYTES_MAX: usize = 1_024;
/// Name of the cookie.
const COOKIE: &str = "daybook";
/// Name of the cookie of those who sign in elsewhere.
const OIDC_COOKIE: &str = "daybook-oidc";

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look.
    Viewer,
    /// Also replay and discard what was refused.
    Operator,
}

/// Somebody with a password.
#[derive(Clone)]
pub struct LocalUser {
    /// Name.
    pub name: String,
    /// Argon2 hash, as `daybook queue password` prints it.
    pub password_hash: String,
    /// What he may do.
    pub role: Role,
}

/// Without the hash.
impl fmt::Debug for LocalUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalUser")
            .field("name", &self.name)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// A reverse proxy that knows who asks.
#[derive(Debug, Clone)]
pub struct TrustedProxy {
    /// Header with the user's name.
    pub header: HeaderName,
    /// Addresses that the header is believed from.
    pub addresses: Vec<IpAddr>,
    /// Names of operators; everybody else is a viewer.
    pub operators: Vec<String>,
}

/// Viewers who see a part of the rows.
#[derive(Debug, Clone)]
pub struct ViewerLimit {
    /// Their names, however they signed in: `*` stands for any characters.
    pub name: String,
    /// What they see.
    pub limit: Limit,
}

/// Who may ask. Empty: everybody, on loopback only.
#[derive(Clone, Default)]
pub struct AccessOptions {
    /// Those who sign in with a password.
    pub users: Vec<LocalUser>,
    /// Who is believed about others.
    pub proxy: Option<TrustedProxy>,
    /// Where others sign in.
    pub oidc: Option<OidcOptions>,
    /// Who of the viewers sees a part; the first that fits his name counts.
    pub limits: Vec<ViewerLimit>,
    /// What sessions are signed with; without it a key of this process, which is gone with it.
    pub session_key: Option<Vec<u8>>,
    /// How long a session lasts; 12 h without.
    pub session_time_max: Option<Duration>,
}

impl AccessOptions {
    /// Whether a server on loopback could start with it.
    ///
    /// # Errors
    ///
    /// [`WebError::Option`] naming what it cannot be meant like, [`WebError::Tls`] for the issuer's certificates.
    pub fn check(&self) -> Result<(), WebError> {
        Access::new(self.clone(), true).map(drop)
    }
}

/// Without the key.
impl fmt::Debug for AccessOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessOptions")
            .field("users", &self.users)
            .field("proxy", &self.proxy)
            .field("oidc", &self.oidc)
            .finish_non_exhaustive()
    }
}

/// Somebody who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// `None`: nobody has to say.
    pub(crate) name: Option<String>,
    pub(crate) role: Role,
    pub(crate) limit: Limit,
}

/// How somebody has signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignedIn {
    /// The configuration says what he may.
    Password,
    /// The issuer said what he may.
    Oidc(Role),
}

impl SignedIn {
    fn text(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Oidc(Role::Viewer) => "oidc viewer",
            Self::Oidc(Role::Operator) => "oidc operator",
        }
    }

    fn read(text: &str) -> Option<Self> {
        let all = [
            Self::Password,
            Self::Oidc(Role::Viewer),
            Self::Oidc(Role::Operator),
        ];
        all.into_iter().find(|by| by.text() == text)
    }
}

/// See the module.
pub(crate) struct Access {
    options: AccessOptions,
    oidc: Option<Oidc>,
    key: Vec<u8>,
    attempts: Mutex<HashMap<IpAddr, (u32, Instant)>>,
}

/// Without the key.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options.fmt(f)
    }
}

const SESSION_TIME_MAX: Duration = Duration::from_secs(12 * 3600);

impl Access {
    /// Refuses what would leave the door open.
    pub(crate) fn new(options: AccessOptions, loopback: bool) -> Result<Self, WebError> {
        let refused = |option, value: String, rule| WebError::Option {
            option,
            value,
            rule,
        };
        let nobody = options.users.is_empty() && options.proxy.is_none() && options.oidc.is_none();
        if !loopback && nobody {
            let rule = "a loopback address, unless [[web.user]], [web.oidc] or [web.proxy] says who may look";
            return Err(refused("web.address", "open to others".to_owned(), rule));
        }
        for user in &options.users {
            let hash = PasswordHash::new(&user.password_hash);
            if !hash.is_ok_and(|hash| hash.algorithm.as_str().starts_with("argon2")) {
                let rule = "an argon2 hash, as `daybook queue password` prints it";
                return Err(refused("web.user.password_hash", user.name.clone(), rule));
            }
            let named = options.users.iter().filter(|other| other.name == user.name);
            if named.count() > 1 || user.name.is_empty() {
                return Err(refused("web.user.name", user.name.clone(), "a name once"));
            }
        }
        for ViewerLimit { name, limit } in &options.limits {
            if limit.patterns() > PATTERNS_MAX {
                let rule = "of 64 patterns at most";
                return Err(refused("web.limit.keys", name.clone(), rule));
            }
        }
        let key = match &options.session_key {
            Some(key) if key.len() < SESSION_KEY_BYTES_MIN => {
                let rule = "32 bytes or more";
                return Err(refused(
                    "web.session_key_file",
                    format!("{} bytes", key.len()),
                    rule,
                ));
            }
            Some(key) => key.clone(),
            None => {
                let mut key = vec![0; SESSION_KEY_BYTES_MIN];
                OsRng.fill_bytes(&mut key);
                key
            }
        };
        Ok(Self {
            oidc: options.oidc.clone().map(Oidc::new).transpose()?,
            options,
            key,
            attempts: Mutex::default(),
        })
    }

    /// Whether somebody must say who he is.
    pub(crate) fn is_required(&self) -> bool {
        let options = &self.options;
        !options.users.is_empty() || options.proxy.is_some() || options.oidc.is_some()
    }

    /// Where others sign in.
    pub(crate) fn oidc(&self) -> Option<&Oidc> {
        self.oidc.as_ref()
    }

    /// Whether that may be done with a password.
    pub(crate) fn has_users(&self) -> bool {
        !self.options.users.is_empty()
    }

    /// Who asks, if he may. `peer` is the address at the socket's other end.
    pub(crate) fn identify(
        &self,
        peer: IpAddr,
        headers: &HeaderMap,
        now: Micros,
    ) -> Option<Identity> {
        if !self.is_required() {
            return Some(Identity {
                name: None,
                role: Role::Operator,
                limit: Limit::default(),
            });
        }
        self.by_proxy(peer, headers).or_else(|| {
            let (name, by) = self.signed_in(headers, now)?;
            let role = match by {
                SignedIn::Password => {
                    let mut users = self.options.users.iter();
                    users.find(|user| user.name == name)?.role
                }
                SignedIn::Oidc(role) => self.oidc.as_ref().map(|_| role)?,
            };
            Some(self.identity(name, role))
        })
    }

    fn by_proxy(&self, peer: IpAddr, headers: &HeaderMap) -> Option<Identity> {
        let proxy = self.options.proxy.as_ref()?;
        if !proxy.addresses.contains(&peer.to_canonical()) {
            return None;
        }
        // Two of them are one too many: which the proxy has set is not known.
        let mut values = headers.get_all(&proxy.header).iter();
        let name = values.next()?.to_str().ok()?.trim();
        if name.is_empty() || values.next().is_some() {
            return None;
        }
        let role = match proxy.operators.iter().any(|operator| operator == name) {
            true => Role::Operator,
            false => Role::Viewer,
        };
        Some(self.identity(name.to_owned(), role))
    }

    fn identity(&self, name: String, role: Role) -> Identity {
        let mut limits = self.options.limits.iter();
        let limit = limits.find(|limit| role == Role::Viewer && types::glob(&limit.name, &name));
        Identity {
            limit: limit.map(|found| found.limit.clone()).unwrap_or_default(),
            name: Some(name),
            role,
        }
    }

    fn signed_in(&self, headers: &HeaderMap, now: Micros) -> Option<(String, SignedIn)> {
        self.cookie_of(COOKIE, headers, |session| self.read(session, now))
    }

    fn cookie_of<T>(
        &self,
        wanted: &str,
        headers: &HeaderMap,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let cookies = headers.get_all(header::COOKIE).iter();
        let cookies = cookies.filter_map(|value| value.to_str().ok());
        let mut cookies = cookies.flat_map(|text| text.split(';'));
        cookies.find_map(|cookie| {
            let (name, value) = cookie.trim().split_once('=')?;
            (name == wanted).then(|| read(value))?
        })
    }

    /// Who a session that we have signed and that has not ended is of.
    fn read(&self, session: &str, now: Micros) -> Option<(String, SignedIn)> {
        let [name, by] = self.signed(session, now)?;
        Some((name, SignedIn::read(&by)?))
    }

    /// The parts of a text that we have signed and that has not ended.
    fn signed<const N: usize>(&self, text: &str, now: Micros) -> Option<[String; N]> {
        let (signed, signature) = text.rsplit_once('.')?;
        let mut mac = self.mac()?;
        mac.update(signed.as_bytes());
        mac.verify_slice(&from_hex(signature)?).ok()?;
        let (parts, ends) = signed.rsplit_once('.')?;
        let parts = parts
            .split('.')
            .map(|part| String::from_utf8(from_hex(part)?).ok());
        let is_open = ends.parse::<Micros>().ok()? > now;
        is_open.then(|| parts.collect::<Option<Vec<_>>>()?.try_into().ok())?
    }

    fn sign(&self, parts: &[&str], now: Micros, lasts: Duration) -> Option<String> {
        let ends = now.saturating_add(Micros::try_from(lasts.as_micros()).unwrap_or(Micros::MAX));
        let parts: Vec<String> = parts.iter().map(|part| hex(part.as_bytes())).collect();
        let signed = format!("{}.{ends}", parts.join("."));
        let mut mac = self.mac()?;
        mac.update(signed.as_bytes());
        Some(format!("{signed}.{}", hex(&mac.finalize().into_bytes())))
    }

    /// The cookie of somebody who goes to sign in elsewhere, and comes back to `page`.
    pub(crate) fn oidc_cookie(
        &self,
        begun: &Begun,
        page: &str,
        now: Micros,
    ) -> Option<HeaderValue> {
        let parts = [begun.state.as_str(), &begun.nonce, &begun.verifier, page];
        let text = self.sign(&parts, now, BEGUN_TIME_MAX)?;
        let secure = self.oidc.as_ref().is_some_and(Oidc::is_secure);
        let secure = if secure { "; Secure" } else { "" };
        // He comes back from another site, where `Strict` cookies are not sent.
        let text = format!(
            "{OIDC_COOKIE}={text}; Path=/api/v1/oidc; HttpOnly; SameSite=Lax; Max-Age={}{secure}",
            BEGUN_TIME_MAX.as_secs()
        );
        HeaderValue::from_str(&text).ok()
    }

    /// What was begun, if `state` is what came back from there, and where he wants to go.
    pub(crate) fn oidc_begun(
        &self,
        headers: &HeaderMap,
        state: &str,
        now: Micros,
    ) -> Option<(Begun, String)> {
        let [known, nonce, verifier, page] =
            self.cookie_of(OIDC_COOKIE, headers, |text| self.signed(text, now))?;
        let begun = Begun {
            state: known,
            nonce,
            verifier,
        };
        (begun.state == state).then_some((begun, page))
    }

    /// What takes that cookie away.
    pub(crate) fn no_oidc_cookie() -> HeaderValue {
        HeaderValue::from_static(
            "daybook-oidc=; Path=/api/v1/oidc; HttpOnly; SameSite=Lax; Max-Age=0",
        )
    }

    fn mac(&self) -> Option<Hmac<Sha256>> {
        // Any length will do.
        Hmac::new_from_slice(&self.key).ok()
    }

    /// Whether the address may try to sign in; a failed attempt is noted with [`Access::failed`].
    pub(crate) fn may_try(&self, peer: IpAddr) -> bool {
        let mut attempts = self.attempts();
        match attempts.get_mut(&peer) {
            None => true,
            Some((failed, since)) => {
                let passed = since.elapsed().as_secs() / ATTEMPT_EVERY.as_secs();
                let passed = u32::try_from(passed).unwrap_or(u32::MAX);
                if passed > 0 {
                    *failed = failed.saturating_sub(passed);
                    *since = Instant::now();
                }
                *failed < ATTEMPTS_MAX
            }
        }
    }

    pub(crate) fn failed(&self, peer: IpAddr) {
        let mut attempts = self.attempts();
        if attempts.len() >= ADDRESSES_MAX {
            attempts.retain(|_, (failed, _)| *failed >= ATTEMPTS_MAX);
        }
        if attempts.len() < ADDRESSES_MAX || attempts.contains_key(&peer) {
            let (failed, _) = attempts.entry(peer).or_insert((0, Instant::now()));
            *failed += 1;
        }
    }

    fn attempts(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, (u32, Instant)>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether name and password are somebody's. Takes some 20 ms and 19 MiB, also where there is nobody of that name.
    pub(crate) fn is_user(&self, name: &str, password: &str) -> bool {
        if password.len() > PASSWORD_BYTES_MAX {
            return false;
        }
        let user = self.options.users.iter().find(|user| user.name == name);
        // So that the time does not tell who there is.
        let hash = user
            .or(self.options.users.first())
            .map(|user| &user.password_hash);
        let hash = hash.and_then(|hash| PasswordHash::new(hash).ok());
        let is_right = hash.is_some_and(|hash| {
            let verified = Argon2::default().verify_password(password.as_bytes(), &hash);
            verified.is_ok()
        });
        is_right && user.is_some()
    }

    /// The cookie of a session that begins now. `secure`: the browser sends it over TLS only.
    pub(crate) fn cookie(
        &self,
        name: &str,
        by: SignedIn,
        now: Micros,
        secure: bool,
    ) -> Option<HeaderValue> {
        let lasts = self.options.session_time_max.unwrap_or(SESSION_TIME_MAX);
        let session = self.sign(&[name, by.text()], now, lasts)?;
        let secure = if secure { "; Secure" } else { "" };
        let text = format!(
            "{COOKIE}={session}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}",
            lasts.as_secs()
        );
        HeaderValue::from_str(&text).ok()
    }

    /// What ends a session.
    pub(crate) fn no_cookie() -> HeaderValue {
        HeaderValue::from_static("daybook=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let pairs = (0..text.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::password_hash::{PasswordHasher as _, SaltString};

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 7));

    fn user(name: &str, role: Role) -> LocalUser {
        let salt = SaltString::encode_b64(b"0123456789abcdef").expect("a salt");
        let params = argon2::Params::new(8, 1, 1, None).expect("small");
        let argon2 = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let hash = argon2
            .hash_password(name.as_bytes(), &salt)
            .expect("hashes");
        LocalUser {
            name: name.to_owned(),
            password_hash: hash.to_string(),
            role,
        }
    }

    fn access() -> Access {
        let options = AccessOptions {
            users: vec![user("ann", Role::Operator), user("bob", Role::Viewer)],
            proxy: Some(TrustedProxy {
                header: HeaderName::from_static("x-user"),
                addresses: vec![THERE],
                operators: vec!["eve".to_owned()],
            }),
            oidc: None,
            limits: vec![ViewerLimit {
                name: "b*".to_owned(),
                limit: Limit::new([("account".to_owned(), vec!["HR*".to_owned()])].into()),
            }],
            session_key: Some(vec![7; 32]),
            session_time_max: Some(Duration::from_secs(60)),
        };
        Access::new(options, false).expect("usable")
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    fn who(access: &Access, peer: IpAddr, pairs: &[(&'static str, &str)], now: Micros) -> String {
        match access.identify(peer, &headers(pairs), now) {
            None => "nobody".to_owned(),
            Some(identity) => format!("{} {:?}", identity.name.unwrap_or_default(), identity.role),
        }
    }

    #[test]
    fn without_anybody_only_loopback_is_served_and_may_everything() {
        let open = Access::new(AccessOptions::default(), true).expect("usable");
        assert_eq!(who(&open, HERE, &[], 0), " Operator");
        let error = Access::new(AccessOptions::default(), false).expect_err("refused");
        assert!(error.to_string().contains("loopback"), "{error}");
    }

    #[test]
    fn a_session_is_what_was_signed_until_it_ends() {
        let access = access();
        let cookie = access
            .cookie("bob", SignedIn::Password, 1_000_000, false)
            .expect("a cookie");
        let cookie = cookie
            .to_str()
            .expect("text")
            .split(';')
            .next()
            .expect("a pair")
            .to_owned();
        assert_eq!(
            who(&access, HERE, &[("cookie", &cookie)], 2_000_000),
            "bob Viewer"
        );
        let among = format!("a=b; {cookie}; c=d");
        assert_eq!(
            who(&access, HERE, &[("cookie", &among)], 60_999_999),
            "bob Viewer"
        );
        assert_eq!(
            who(&access, HERE, &[("cookie", &cookie)], 61_000_000),
            "nobody"
        );
        // Each character of it counts.
        for at in COOKIE.len() + 1..cookie.len() {
            let mut forged = cookie.clone().into_bytes();
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            let forged = String::from_utf8(forged).expect("text");
            assert_eq!(
                who(&access, HERE, &[("cookie", &forged)], 2_000_000),
                "nobody",
                "{forged}"
            );
        }
        assert_eq!(who(&access, HERE, &[("cookie", "daybook=")], 0), "nobody");
        let gone = access
            .cookie("kim", SignedIn::Password, 0, true)
            .expect("a cookie");
        assert!(gone.to_str().expect("text").ends_with("; Secure"));
        let gone = gone
            .to_str()
            .expect("text")
            .split(';')
            .next()
            .expect("a pair")
            .to_owned();
        assert_eq!(
            who(&access, HERE, &[("cookie", &gone)], 1),
            "nobody",
            "no longer configured"
        );
    }

    #[test]
    fn a_header_is_believed_from_the_proxy_alone() {
        let access = access();
        assert_eq!(who(&access, THERE, &[("x-user", "eve")], 0), "eve Operator");
        assert_eq!(who(&access, THERE, &[("x-user", "kim")], 0), "kim Viewer");
        assert_eq!(who(&access, HERE, &[("x-user", "eve")], 0), "nobody");
        assert_eq!(
            who(&access, THERE, &[("x-user", "kim"), ("x-user", "eve")], 0),
            "nobody"
        );
        assert_eq!(who(&access, THERE, &[("x-user", " ")], 0), "nobody");
        assert_eq!(who(&access, THERE, &[], 0), "nobody");
    }

    #[test]
    fn passwords_are_checked_and_attempts_are_few() {
        let access = access();
        assert!(access.is_user("ann", "ann"));
        assert!(!access.is_user("ann", "bob"));
        assert!(!access.is_user("kim", "ann"), "there is no such user");
        assert!(!access.is_user("ann", &"a".repeat(PASSWORD_BYTES_MAX + 1)));
        for _ in 0..ATTEMPTS_MAX {
            assert!(access.may_try(THERE));
            access.failed(THERE);
        }
        assert!(!access.may_try(THERE));
        assert!(access.may_try(HERE), "others may");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let refused = |change: fn(&mut AccessOptions)| {
            let mut options = access().options;
            change(&mut options);
            Access::new(options, true).expect_err("refused").to_string()
        };
        assert!(
            refused(|options| options.users[0].password_hash = "secret".to_owned())
                .contains("argon2")
        );
        assert!(refused(|options| options.users[1].name = "ann".to_owned()).contains("once"));
        assert!(refused(|options| options.session_key = Some(vec![0; 31])).contains("32 bytes"));
    }
}
