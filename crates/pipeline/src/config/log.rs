//! `[log]`: Kafka, embedded or elsewhere.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use types::names::port;

use super::{Place, loopback};

/// `[log]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// `"embedded"` or `"external"`.
    #[serde(rename = "use")]
    pub place: Place,
    /// Embedded: address to listen on with the Kafka protocol. 127.0.0.1:9092. Other than loopback addresses need
    /// `tls`, and users or certificates of clients.
    pub address: SocketAddr,
    /// Embedded: `host:port` that clients are told to come to. The address that each of them came to.
    pub advertised: Option<String>,
    /// `[log.tls]`: clients must use TLS.
    pub tls: Option<LogTls>,
    /// `[[log.user]]`: who may connect with a password (SASL PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512). With any, or with
    /// `tls.client_ca`, clients must say who they are.
    #[serde(rename = "user")]
    pub users: Vec<LogUser>,
    /// `[[log.permission]]`: what they may do. What is not permitted is refused.
    #[serde(rename = "permission")]
    pub permissions: Vec<LogPermission>,
    /// Embedded: most connections of clients. 1,000.
    pub connections_max: usize,
    /// Embedded: largest request, in bytes, 16 MiB to 2 GiB - 1. 100 MiB.
    pub request_bytes_max: u32,
    /// External: `host:port`, comma separated.
    pub bootstrap_servers: Option<String>,
    /// Partitions of topics that are created. 1: what one process counts gains nothing from more, and
    /// each costs requests. Give as many as there may ever be aggregators at a time.
    pub partitions: i32,
    /// External: replicas of topics that are created. 1; 3 on a cluster that shall bear the loss of a broker.
    pub replicas: i32,
    /// External: `min.insync.replicas` of topics that are created. 1; 2 with 3 replicas.
    pub in_sync_replicas_min: i32,
    /// Further settings of librdkafka for Daybook's own clients, such as `"security.protocol"`, `"ssl.ca.location"`,
    /// `"sasl.mechanism"`, `"sasl.username"` and `"sasl.password"`. Clients of an embedded log on this data directory need none.
    pub properties: BTreeMap<String, String>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            place: Place::Embedded,
            address: loopback(port::KAFKA),
            advertised: None,
            tls: None,
            users: Vec::new(),
            permissions: Vec::new(),
            connections_max: 1_000,
            request_bytes_max: 100 << 20,
            bootstrap_servers: None,
            partitions: 1,
            replicas: 1,
            in_sync_replicas_min: 1,
            properties: BTreeMap::new(),
        }
    }
}

impl LogConfig {
    /// Whether clients of the embedded log must say who they are.
    pub fn asks_who(&self) -> bool {
        let certificates = self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        certificates || !self.users.is_empty()
    }
}

/// `[log.tls]`: PEM files, relative to the configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogTls {
    /// Certificate, and those between it and the root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Roots of clients' certificates. Who has one needs no password, and is known by its subject.
    pub client_ca: Option<PathBuf>,
}

/// `[[log.user]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogUser {
    /// Name.
    pub name: String,
    /// File whose first line is the password. Relative to the configuration file.
    pub password_file: PathBuf,
}

/// `[[log.permission]]`: exactly one of `topics`, `groups`, `transactional_ids` and `cluster`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogPermission {
    /// A user's name, the subject of a certificate, or `*` for everybody who is known.
    pub user: String,
    /// Topics that begin so; `""` is every one.
    pub topics: Option<String>,
    /// Groups that begin so.
    pub groups: Option<String>,
    /// Transactional ids that begin so.
    pub transactional_ids: Option<String>,
    /// What is about no name, such as listing groups; with `allow = "admin"` everything.
    #[serde(default)]
    pub cluster: bool,
    /// What is allowed.
    pub allow: LogAccess,
}

/// `allow` of a [`LogPermission`]; each also allows to look at what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogAccess {
    /// Fetch from topics; join groups and commit their offsets.
    Read,
    /// Produce to topics; write under transactional ids.
    Write,
    /// Everything, with creating, altering and deleting.
    Admin,
}
