//! Queries over PostgreSQL's protocol as a part of a pipeline: what is wrong with its settings, and its start.

use std::path::PathBuf;
use std::time::Duration;

use query::{AggregationTable, PostgresOptions, PostgresTls, PostgresUser, Server, Tables};
use sql::QueryLimits;
use store::StoreTarget;
use telemetry::Telemetry;

use crate::check::Plan;
use crate::config::{PostgresConfig, PostgresTlsConfig};
use crate::start::{StartError, failed};

/// Most connections.
const CONNECTIONS_MAX: usize = 10_000;
/// Most queries at a time.
const QUERIES_MAX: usize = 1_000;
/// Longest time of a query, in milliseconds: an hour.
const TIME_MS_MAX: u64 = 3_600_000;
/// Least bytes of memory of a query.
const MEMORY_BYTES_MIN: usize = 1 << 20;
/// Least and most bytes of a statement: what psql asks fits, and what would take long to parse does not.
const STATEMENT_BYTES: (usize, usize) = (1_024, 1 << 20);

/// A user's password cannot be used. Retrying helps when the file was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordError {
    /// It cannot be read.
    #[error("`postgres.user` {user:?}: cannot read the password from {path}")]
    Read {
        /// Whose.
        user: String,
        /// Which file.
        path: PathBuf,
        /// From the operating system.
        #[source]
        source: std::io::Error,
    },
    /// The file begins with an empty line.
    #[error(
        "`postgres.user` {user:?}: the first line of {path} is empty, but must be the password"
    )]
    Empty {
        /// Whose.
        user: String,
        /// Which file.
        path: PathBuf,
    },
}

/// What is wrong with `[postgres]`.
pub(crate) fn check(config: &PostgresConfig, refuse: &mut impl FnMut(String)) {
    let is_protected = config.tls.is_some() && !config.users.is_empty();
    if !config.listen.ip().is_loopback() && !is_protected {
        refuse(format!(
            "`postgres.listen` is {}: other than loopback addresses need `[postgres.tls]` and `[[postgres.user]]`",
            config.listen
        ));
    }
    let in_range = |value: usize, range: (usize, usize)| (range.0..=range.1).contains(&value);
    for (key, value, range) in [
        (
            "connections_max",
            config.connections_max,
            (1, CONNECTIONS_MAX),
        ),
        ("queries_max", config.queries_max, (1, QUERIES_MAX)),
        (
            "statement_bytes_max",
            config.statement_bytes_max,
            STATEMENT_BYTES,
        ),
    ] {
        if !in_range(value, range) {
            let (least, most) = range;
            refuse(format!(
                "`postgres.{key}` is {value}, but must be {least} to {most}"
            ));
        }
    }
    if !(1..=TIME_MS_MAX).contains(&config.time_ms_max) {
        refuse(format!(
            "`postgres.time_ms_max` is {}, but must be 1 to {TIME_MS_MAX}",
            config.time_ms_max
        ));
    }
    if config.rows_max == 0 || config.rows_read_max == 0 {
        refuse("`postgres.rows_max` or `rows_read_max` is 0: nothing could be answered".to_owned());
    }
    if config.memory_bytes_max < MEMORY_BYTES_MIN {
        refuse(format!(
            "`postgres.memory_bytes_max` is {}, but must be at least {MEMORY_BYTES_MIN}",
            config.memory_bytes_max
        ));
    }
    for (index, user) in config.users.iter().enumerate() {
        let earlier = &config.users[..index];
        if user.name.is_empty() || earlier.iter().any(|other| other.name == user.name) {
            refuse(format!(
                "`postgres.user` has the name {:?} twice, or without a letter",
                user.name
            ));
        }
    }
    if let Err(error) = users(config) {
        refuse(types::report(&error));
    }
    if let Some(tls) = &config.tls
        && let Err(error) = query::load_tls(&files(tls))
    {
        refuse(format!("`postgres.tls`: {}", types::report(&error)));
    }
}

fn files(config: &PostgresTlsConfig) -> PostgresTls {
    PostgresTls {
        certificate: config.certificate.clone(),
        key: config.key.clone(),
    }
}

fn users(config: &PostgresConfig) -> Result<Vec<PostgresUser>, PasswordError> {
    let read = |user: &crate::config::PostgresUserConfig| {
        let path = &user.password_file;
        let text = std::fs::read_to_string(path).map_err(|source| PasswordError::Read {
            user: user.name.clone(),
            path: path.clone(),
            source,
        })?;
        match text.lines().next() {
            None | Some("") => Err(PasswordError::Empty {
                user: user.name.clone(),
                path: path.clone(),
            }),
            Some(password) => Ok(PostgresUser {
                name: user.name.clone(),
                password: password.to_owned(),
            }),
        }
    };
    config.users.iter().map(read).collect()
}

impl Plan {
    /// The tables that can be asked for, of this store.
    pub fn query_tables(&self, store: StoreTarget) -> Tables {
        let aggregations = self.aggregations.iter().map(|planned| AggregationTable {
            spec: planned.table.clone(),
            keys: planned.keys.clone(),
            calendar: planned.options.calendar.clone(),
        });
        Tables::new(store, aggregations.collect())
    }
}

/// Listens.
pub(crate) async fn start(
    plan: &Plan,
    store: StoreTarget,
    telemetry: &Telemetry,
) -> Result<Server, StartError> {
    let config = &plan.config.postgres;
    let options = PostgresOptions {
        listen: config.listen,
        users: users(config).map_err(failed("postgres"))?,
        tls: config.tls.as_ref().map(files),
        connections_max: config.connections_max,
        limits: QueryLimits {
            rows_max: config.rows_max,
            rows_read_max: config.rows_read_max,
            time_max: Duration::from_millis(config.time_ms_max),
            memory_bytes_max: config.memory_bytes_max,
            queries_max: config.queries_max,
            statement_bytes_max: config.statement_bytes_max,
        },
    };
    let tables = plan.query_tables(store);
    let server = Server::bind(options, &tables, env!("CARGO_PKG_VERSION"), telemetry).await;
    server.map_err(failed("postgres"))
}
