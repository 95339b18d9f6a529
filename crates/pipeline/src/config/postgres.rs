//! `[postgres]`: queries over PostgreSQL's protocol.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use types::names::port;

use super::loopback;

/// `[postgres]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PostgresConfig {
    /// Whether `daybook up` listens. True.
    pub enabled: bool,
    /// Address to listen on with PostgreSQL's protocol. 127.0.0.1:5433. Other than loopback addresses need `tls` and users.
    pub listen: SocketAddr,
    /// `[postgres.tls]`: clients may speak TLS; those of other machines must.
    pub tls: Option<PostgresTlsConfig>,
    /// `[[postgres.user]]`: who may connect, with a password (SCRAM-SHA-256). Without any, whoever is on this machine.
    #[serde(rename = "user")]
    pub users: Vec<PostgresUserConfig>,
    /// Most connections of clients, 1 to 10,000. 64.
    pub connections_max: usize,
    /// Most queries that run at a time, 1 to 1,000; others wait for 5 s. 4.
    pub queries_max: usize,
    /// Longest time of a query, in milliseconds, 1 to 3,600,000. 30,000. A session may want less (`SET statement_timeout`).
    pub time_ms_max: u64,
    /// Most rows of an answer, at least 1. 100,000.
    pub rows_max: usize,
    /// Most rows that a query reads from the store, at least 1. 10,000,000.
    pub rows_read_max: u64,
    /// Most bytes of memory of one query, at least 1,048,576; and for its answer as much again. 268,435,456.
    pub memory_bytes_max: usize,
    /// Longest statement, in bytes, 1,024 to 1,048,576. 65,536.
    pub statement_bytes_max: usize,
}

impl Default for PostgresConfig {
    fn default() -> Self {
        let limits = sql::QueryLimits::default();
        Self {
            enabled: true,
            listen: loopback(port::POSTGRES),
            tls: None,
            users: Vec::new(),
            connections_max: query::CONNECTIONS_MAX,
            queries_max: limits.queries_max,
            time_ms_max: u64::try_from(limits.time_max.as_millis()).unwrap_or(u64::MAX),
            rows_max: limits.rows_max,
            rows_read_max: limits.rows_read_max,
            memory_bytes_max: limits.memory_bytes_max,
            statement_bytes_max: limits.statement_bytes_max,
        }
    }
}

/// `[postgres.tls]`: PEM files, relative to the configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresTlsConfig {
    /// Certificate, and those between it and the root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// `[[postgres.user]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresUserConfig {
    /// Name.
    pub name: String,
    /// File whose first line is the password. Relative to the configuration file.
    pub password_file: PathBuf,
}
