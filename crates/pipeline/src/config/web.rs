//! `[web]`: page and API, and who may ask.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use types::names::port;
use web::{AccessOptions, LocalUser, Role, TrustedProxy};

use super::loopback;

/// `[web]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebConfig {
    /// Address of page and API. 127.0.0.1:8080. Others than loopback need `[web.proxy]`, which also speaks TLS.
    pub address: SocketAddr,
    /// Names by which browsers may ask for a loopback address, beside `localhost` and addresses. None.
    pub names: Vec<String>,
    /// `[[web.user]]`: who may sign in. With any, or with `[web.proxy]`, nobody else sees anything.
    #[serde(rename = "user")]
    pub users: Vec<WebUser>,
    /// `[web.proxy]`.
    pub proxy: Option<WebProxy>,
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

/// `[web.proxy]`: a reverse proxy that signs people in, for instance with OpenID Connect.
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
    /// The key cannot be read.
    #[error("`web.session_key_file` {} cannot be read", path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// From the operating system.
        #[source]
        source: std::io::Error,
    },
}

impl WebConfig {
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
        let key = self.session_key_file.as_ref().map(|path| {
            std::fs::read(path).map_err(|source| WebConfigError::Key {
                path: path.clone(),
                source,
            })
        });
        Ok(AccessOptions {
            users: users.collect(),
            proxy: proxy.transpose()?,
            session_key: key.transpose()?,
            session_time_max: Some(Duration::from_secs(u64::from(self.session_hours) * 3_600)),
        })
    }
}
