//! The log as a part of a pipeline: the embedded broker's settings, and how Daybook's own clients reach it.
//!
//! # Invariants
//!
//! - **Our own clients need no configuration.** Where the embedded log asks who comes, they say a name and a secret that the
//!   broker's process once made and keeps in the data directory, readable by its owner alone.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kafka_broker::{Access, Broker, BrokerConfig, Permission, Resource, TlsFiles, User};
use kafka_client::Cluster;

use crate::config::{LogAccess, LogConfig, LogPermission, LogUser, Place};
use crate::start::{StartError, failed};

/// Name under which Daybook's own clients come to an embedded log that asks.
pub(crate) const OWN_USER: &str = "daybook";
/// Where their secret is, in the data directory.
const SECRET_FILE: &str = "log-secret";
/// How long one question to a log of another process may take.
const REACH_TIME_MAX: Duration = Duration::from_secs(5);
/// First and longest pause between two questions.
const REACH_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Two random UUIDs as text.
const SECRET_CHARS: usize = 72;

/// `[log]` cannot be used as it is. Retrying helps when files were changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogConfigError {
    /// A password cannot be read.
    #[error("`log.user` {user:?}: cannot read the password from {path}")]
    Password {
        /// Whose.
        user: String,
        /// Which file.
        path: PathBuf,
        /// From the operating system.
        #[source]
        source: std::io::Error,
    },
    /// A file begins with an empty line.
    #[error("`log.user` {user:?}: the first line of {path} is empty, but must be the password")]
    NoPassword {
        /// Whose.
        user: String,
        /// Which file.
        path: PathBuf,
    },
    /// The secret of our own clients cannot be kept.
    #[error("cannot {what} the log's secret {path}")]
    Secret {
        /// What was tried.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// From the operating system.
        #[source]
        source: std::io::Error,
    },
}

/// How parts and commands reach the log. The secret of an embedded log that asks is read from `data_dir`; without it (another
/// machine, another directory) `[log.properties]` must say who we are.
///
/// # Errors
///
/// [`LogConfigError::Secret`] when it is there and cannot be read.
pub fn log_cluster(config: &LogConfig, data_dir: &Path) -> Result<Cluster, LogConfigError> {
    if config.place == Place::External {
        return Ok(Cluster {
            bootstrap_servers: config.bootstrap_servers.clone().unwrap_or_default(),
            properties: config.properties.clone(),
            replicas: config.replicas,
        });
    }
    let mut cluster = Cluster::new(&reachable_address(config.address).to_string());
    cluster.properties.clone_from(&config.properties);
    if config.properties.contains_key("security.protocol") {
        return Ok(cluster);
    }
    let mut set = |key: &str, value: &str| {
        cluster.properties.insert(key.to_owned(), value.to_owned());
    };
    if config.asks_who()
        && let Some(secret) = read_secret(data_dir)?
    {
        // SCRAM: the broker too shows that it knows the secret.
        set("sasl.mechanism", "SCRAM-SHA-256");
        set("sasl.username", OWN_USER);
        set("sasl.password", &secret);
        let protocol = match config.tls {
            Some(_) => "sasl_ssl",
            None => "sasl_plaintext",
        };
        set("security.protocol", protocol);
    } else if config.tls.is_some() {
        set("security.protocol", "ssl");
    }
    if config.tls.is_some() {
        // The certificate is for the names that clients elsewhere know, not for this machine's address.
        set("enable.ssl.certificate.verification", "false");
    }
    Ok(cluster)
}

/// Where this machine finds a listener of all its addresses.
fn reachable_address(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// Waits until a log of another process answers, and says what it waits for: processes are started in any order.
pub(crate) async fn reached(cluster: &Cluster) {
    let mut pause = REACH_PAUSE.0;
    loop {
        let asked = cluster.clone();
        let answered = tokio::task::spawn_blocking(move || asked.answers(REACH_TIME_MAX)).await;
        match answered {
            Ok(Ok(())) => return,
            Ok(Err(error)) => tracing::warn!(
                servers = cluster.bootstrap_servers,
                error = types::report(&error),
                "the log does not answer; tries again until it does"
            ),
            Err(error) => tracing::warn!(error = %error, "the log could not be asked; tries again"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(REACH_PAUSE.1);
    }
}

/// Starts the embedded broker.
pub(crate) async fn start(config: &LogConfig, data_dir: &Path) -> Result<Broker, StartError> {
    let mut broker = BrokerConfig::new(config.address, data_dir.join("log"));
    broker.partitions_default = config.partitions;
    broker.connections_max = config.connections_max;
    broker.request_bytes_max = config.request_bytes_max;
    broker.advertised = config.advertised.as_deref().and_then(host_and_port);
    broker.tls = config.tls.as_ref().map(|tls| TlsFiles {
        certificate: tls.certificate.clone(),
        key: tls.key.clone(),
        client_roots: tls.client_ca.clone(),
    });
    if config.asks_who() {
        broker.users = users(&config.users).map_err(failed("log"))?;
        broker.users.push(User {
            name: OWN_USER.to_owned(),
            password: own_secret(data_dir).map_err(failed("log"))?,
        });
        broker.permissions = config.permissions.iter().filter_map(permission).collect();
        broker.permissions.extend(Permission::everything(OWN_USER));
    }
    Broker::start(broker).await.map_err(failed("log"))
}

fn users(users: &[LogUser]) -> Result<Vec<User>, LogConfigError> {
    let read = |user: &LogUser| {
        let text = std::fs::read_to_string(&user.password_file);
        let text = text.map_err(|source| LogConfigError::Password {
            user: user.name.clone(),
            path: user.password_file.clone(),
            source,
        })?;
        match text.lines().next() {
            None | Some("") => Err(LogConfigError::NoPassword {
                user: user.name.clone(),
                path: user.password_file.clone(),
            }),
            Some(password) => Ok(User {
                name: user.name.clone(),
                password: password.to_owned(),
            }),
        }
    };
    users.iter().map(read).collect()
}

fn permission(config: &LogPermission) -> Option<Permission> {
    let topics = config.topics.clone().map(Resource::Topics);
    let groups = config.groups.clone().map(Resource::Groups);
    let ids = config.transactional_ids.clone();
    let cluster = config.cluster.then_some(Resource::Cluster);
    let resource = topics
        .or(groups)
        .or(ids.map(Resource::TransactionalIds))
        .or(cluster)?;
    Some(Permission {
        principal: config.user.clone(),
        resource,
        access: match config.allow {
            LogAccess::Read => Access::Read,
            LogAccess::Write => Access::Write,
            LogAccess::Admin => Access::Admin,
        },
    })
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

/// The secret; made at the first start.
fn own_secret(data_dir: &Path) -> Result<String, LogConfigError> {
    // A file that was not written to its end is made anew.
    if let Some(secret) = read_secret(data_dir)?.filter(|secret| secret.len() == SECRET_CHARS) {
        return Ok(secret);
    }
    let path = data_dir.join(SECRET_FILE);
    let secret = format!("{}{}", uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(secret.as_bytes()));
    let what = "write";
    written.map_err(|source| LogConfigError::Secret { what, path, source })?;
    Ok(secret)
}

fn read_secret(data_dir: &Path) -> Result<Option<String>, LogConfigError> {
    let path = data_dir.join(SECRET_FILE);
    match std::fs::read_to_string(&path) {
        Ok(secret) => Ok(Some(secret)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => {
            let what = "read";
            Err(LogConfigError::Secret { what, path, source })
        }
    }
}

/// What is wrong with `[log]`, each with its place.
pub(crate) fn check(config: &LogConfig, refuse: &mut impl FnMut(String)) {
    let (replicas, in_sync) = (config.replicas, config.in_sync_replicas_min);
    if !(1..=replicas).contains(&in_sync) {
        refuse(format!(
            "`log.in_sync_replicas_min` is {in_sync}, but must be 1 to `log.replicas`, which is {replicas}"
        ));
    }
    if config.place == Place::External && config.bootstrap_servers.is_none() {
        refuse(
            "`log.use` is \"external\", so `log.bootstrap_servers` must say where: \"host:9092\""
                .to_owned(),
        );
    }
    if !(1..=1024).contains(&config.partitions) {
        refuse(format!(
            "`log.partitions` is {}, but must be 1 to 1024",
            config.partitions
        ));
    }
    let is_protected = config.tls.is_some() && config.asks_who();
    if !config.address.ip().is_loopback() && !is_protected {
        refuse(format!(
            "`log.address` is {}: other than loopback addresses need `[log.tls]`, and `[[log.user]]` or `log.tls.client_ca`",
            config.address
        ));
    }
    if let Some(text) = config
        .advertised
        .as_deref()
        .filter(|text| host_and_port(text).is_none())
    {
        refuse(format!(
            "`log.advertised` is {text:?}, but must be \"host:port\""
        ));
    }
    if config.connections_max == 0 {
        refuse("`log.connections_max` is 0: nobody could connect".to_owned());
    }
    if !(REQUEST_BYTES_MIN..=REQUEST_BYTES_LIMIT).contains(&config.request_bytes_max) {
        refuse(format!(
            "`log.request_bytes_max` is {}, but must be {REQUEST_BYTES_MIN} to {REQUEST_BYTES_LIMIT}",
            config.request_bytes_max
        ));
    }
    for (at, user) in config.users.iter().enumerate() {
        let name = &user.name;
        if name.is_empty() || name == OWN_USER || name == "*" {
            refuse(format!(
                "`log.user` has the name {name:?}: \"\", \"*\" and {OWN_USER:?} (our own clients) are not free"
            ));
        }
        if config
            .users
            .iter()
            .take(at)
            .any(|other| other.name == *name)
        {
            refuse(format!("`log.user` {name:?} is there twice"));
        }
    }
    if let Err(error) = users(&config.users) {
        refuse(types::report(&error));
    }
    for permission in &config.permissions {
        let about = [
            permission.topics.is_some(),
            permission.groups.is_some(),
            permission.transactional_ids.is_some(),
            permission.cluster,
        ];
        if about.iter().filter(|given| **given).count() != 1 {
            refuse(format!(
                "`log.permission` for user {:?}: exactly one of `topics`, `groups`, `transactional_ids` and \
                 `cluster = true` says what it is about",
                permission.user
            ));
        }
    }
    if !config.permissions.is_empty() && !config.asks_who() {
        refuse(
            "`log.permission` is there, but nobody is asked who they are: `[[log.user]]` or `log.tls.client_ca` is missing"
                .to_owned(),
        );
    }
    let secured = config.tls.is_some() || config.asks_who();
    if config.place == Place::External && secured {
        refuse(
            "`[log.tls]` and `[[log.user]]` are for the embedded log; how to reach an external one is said in `[log.properties]`"
                .to_owned(),
        );
    }
}

/// A record batch of the largest size must fit.
const REQUEST_BYTES_MIN: u32 = 16 << 20;
/// What a request can be long in Kafka's protocol.
const REQUEST_BYTES_LIMIT: u32 = i32::MAX as u32;
