//! `[web]`: page and API, and who may ask.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use types::names::port;
use web::{
    AccessOptions, Limit, LocalUser, OidcOptions, RateOptions, Role, TlsFiles, TrustedProxy,
    ViewerLimit,
};

use super::loopback;

/// `[web]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebConfig {
    /// Address of page and API. 127.0.0.1:8080. Others than loopback need `[web.tls]` with `[[web.user]]` or `[web.oidc]`,
    /// or `[web.proxy]`.
    pub address: SocketAddr,
    /// Names by which browsers may ask for a loopback address, beside `localhost` and addresses. None.
    pub names: Vec<String>,
    /// `[[web.user]]`: who may sign in. With any, or with `[web.proxy]`, nobody else sees anything.
    #[serde(rename = "user")]
    pub users: Vec<WebUser>,
    /// `[web.proxy]`.
    pub proxy: Option<WebProxy>,
    /// `[web.oidc]`.
    pub oidc: Option<WebOidc>,
    /// `[[web.limit]]`: viewers who see a part of the rows, and nothing of the pipeline. The first that fits a name counts.
    #[serde(rename = "limit")]
    pub limits: Vec<WebLimit>,
    /// `[web.rate]`.
    pub rate: WebRate,
    /// `[web.tls]`.
    pub tls: Option<WebTls>,
    /// File with 32 random bytes or more, which sessions are signed with: several web servers need the same. Without it sessions end with
    /// the process. None.
    pub session_key_file: Option<PathBuf>,
    /// Hours that a session lasts, 1 to 720. 12.
    pub session_hours: u32,
}

impl Default for WebConfig {
    fn default() -> Self {
        Self {
            address: loopback(port::WEB),
            names: Vec::new(),
            users: Vec::new(),
            proxy: None,
            oidc: None,
            limits: Vec::new(),
            rate: WebRate::default(),
            tls: None,
            session_key_file: None,
            session_hours: 12,
        }
    }
}

/// `[[web.user]]`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebUser {
    /// Name.
    pub name: String,
    /// What `daybook queue password` prints.
    pub password_hash: String,
    /// `"viewer"` looks; `"operator"` also replays and discards what was refused. Viewer.
    #[serde(default = "viewer")]
    pub role: Role,
}

fn viewer() -> Role {
    Role::Viewer
}

/// Without the hash.
impl std::fmt::Debug for WebUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebUser")
            .field("name", &self.name)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// `[[web.limit]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebLimit {
    /// Viewers' names, however they signed in: `*` stands for any characters. Operators see everything.
    pub name: String,
    /// Key columns, and patterns one of which the row's value must fit: `{ account = ["HR*", "SI*"] }`. Aggregations without one of the
    /// columns are not shown.
    pub keys: BTreeMap<String, Vec<String>>,
}

/// `[web.rate]`: how much one client may ask, by the name he signed in with, or else by address; loopback's own are not counted.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebRate {
    /// Requests a second, 1 to 100,000. 50.
    pub requests_per_second: u32,
    /// Requests at once before that counts, 1 to 100,000. 500.
    pub burst: u32,
    /// Streams at a time, 1 to 100,000. 100.
    pub streams: u32,
}

impl Default for WebRate {
    fn default() -> Self {
        Self {
            requests_per_second: 50,
            burst: 500,
            streams: 100,
        }
    }
}

/// `[web.oidc]`: an issuer that people sign in at with OpenID Connect. It must know `address` + `/api/v1/oidc/callback` as ours.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebOidc {
    /// Its address, exactly as it calls itself.
    pub issuer: String,
    /// What it knows this page as.
    pub client_id: String,
    /// File with what this page proves it with; without it PKCE alone. None.
    #[serde(default)]
    pub client_secret_file: Option<PathBuf>,
    /// This page's address for browsers, without a path: "https://daybook.example.com".
    pub address: String,
    /// What is asked for beside `openid`. ["profile", "email"].
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// The claim with a person's name, `a.b` for `b` in `a`. preferred_username.
    #[serde(default = "name_claim")]
    pub name_claim: String,
    /// The claim with his roles or groups. groups.
    #[serde(default = "role_claim")]
    pub role_claim: String,
    /// Values of it that make an operator. None.
    #[serde(default)]
    pub operators: Vec<String>,
    /// Values of it that make a viewer; empty: everybody whom the issuer signs in. Empty.
    #[serde(default)]
    pub viewers: Vec<String>,
    /// PEM file with the certificates that the issuer's must come from; without it those of the system. None.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

fn scopes() -> Vec<String> {
    vec!["profile".to_owned(), "email".to_owned()]
}

fn name_claim() -> String {
    "preferred_username".to_owned()
}

fn role_claim() -> String {
    "groups".to_owned()
}

/// `[web.tls]`: PEM files, relative to the configuration file. With it TLS is spoken, and nothing else.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebTls {
    /// Certificate, and those between it and the root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// `[web.proxy]`: a reverse proxy that signs people in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebProxy {
    /// Header with the user's name, which the proxy sets and takes away from what comes in. x-forwarded-user.
    #[serde(default = "forwarded_user")]
    pub header: String,
    /// Addresses of the proxy; the header counts from nobody else.
    pub addresses: Vec<IpAddr>,
    /// Names of operators. None.
    #[serde(default)]
    pub operators: Vec<String>,
}

fn forwarded_user() -> String {
    "x-forwarded-user".to_owned()
}

/// Access to the page that cannot be meant.
#[derive(Debug, thiserror::Error)]
pub enum WebConfigError {
    /// No header has this name.
    #[error("`web.proxy.header` is {0:?}, which no header is called")]
    Header(String),
    /// A file cannot be read.
    #[error("`{key}` {} cannot be read", path.display())]
    File {
        /// Its key.
        key: &'static str,
        /// Which file.
        path: PathBuf,
        /// From the operating system.
        #[source]
        source: std::io::Error,
    },
}

impl WebOidc {
    fn options(&self, client_secret: Option<String>) -> OidcOptions {
        OidcOptions {
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
            client_secret,
            address: self.address.clone(),
            scopes: self.scopes.clone(),
            name_claim: self.name_claim.clone(),
            role_claim: self.role_claim.clone(),
            operators: self.operators.clone(),
            viewers: self.viewers.clone(),
            ca: self.ca.clone(),
        }
    }
}

impl WebConfig {
    /// Certificate and key.
    pub fn tls_files(&self) -> Option<TlsFiles> {
        self.tls.as_ref().map(|tls| TlsFiles {
            certificate: tls.certificate.clone(),
            key: tls.key.clone(),
        })
    }

    /// How much one client may ask.
    pub fn rates(&self) -> RateOptions {
        RateOptions {
            requests_per_second: self.rate.requests_per_second,
            burst: self.rate.burst,
            streams: self.rate.streams as usize,
        }
    }

    /// Who may ask.
    ///
    /// # Errors
    ///
    /// [`WebConfigError`].
    pub fn access(&self) -> Result<AccessOptions, WebConfigError> {
        let users = self.users.iter().map(|user| LocalUser {
            name: user.name.clone(),
            password_hash: user.password_hash.clone(),
            role: user.role,
        });
        let proxy = self.proxy.as_ref().map(|proxy| {
            let header = proxy.header.parse();
            Ok(TrustedProxy {
                header: header.map_err(|_| WebConfigError::Header(proxy.header.clone()))?,
                addresses: proxy.addresses.clone(),
                operators: proxy.operators.clone(),
            })
        });
        let read = |key, path: &PathBuf| {
            std::fs::read(path).map_err(|source| WebConfigError::File {
                key,
                path: path.clone(),
                source,
            })
        };
        let key = self.session_key_file.as_ref();
        let key = key.map(|path| read("web.session_key_file", path));
        let oidc = self.oidc.as_ref().map(|oidc| {
            let secret = oidc.client_secret_file.as_ref();
            let secret = secret.map(|path| read("web.oidc.client_secret_file", path));
            let secret = secret.transpose()?;
            let secret = secret.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
            Ok::<_, WebConfigError>(oidc.options(secret))
        });
        let limits = self.limits.iter().map(|limit| ViewerLimit {
            name: limit.name.clone(),
            limit: Limit::new(limit.keys.clone()),
        });
        Ok(AccessOptions {
            users: users.collect(),
            proxy: proxy.transpose()?,
            oidc: oidc.transpose()?,
            limits: limits.collect(),
            session_key: key.transpose()?,
            session_time_max: Some(Duration::from_secs(u64::from(self.session_hours) * 3_600)),
        })
    }
}
