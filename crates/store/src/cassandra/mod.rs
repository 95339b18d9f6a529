//! The store in an Apache Cassandra cluster.
//!
//! # Where to start reading
//!
//! `schema` has the tables, `write` and `read` what is done with them, `cells` how values look, `cluster` the connection.
//!
//! # Invariants
//!
//! - **The version is the write timestamp** ([`types::Version::timestamp`]): Cassandra itself keeps the newest of what it was
//!   ever told, in whatever order writes come, also when they are repeated. So there are no counters, no conditional writes and no reads
//!   before writes on the way of rows.
//! - **Every cell of a row is written, nulls too**, with the same timestamp: a row is never a mixture of two versions.
//! - **Never `DELETE`, never `DROP` of a column**: both mark with the clock's time, which is far above all our timestamps, and what is
//!   written later would be dead at birth. Rows that have left the results say so in `row_deleted`.
//! - **Progress is written when all rows below it were acknowledged** at the consistency that it is read with; any two of the
//!   consistencies that can be chosen meet in a replica.

mod cells;
mod cluster;
mod read;
mod schema;
mod write;

use std::path::PathBuf;

pub(crate) use cluster::{CassandraStore, Cluster};

/// Port of Cassandra's native protocol where a contact point has none.
pub const CASSANDRA_PORT: u16 = 9042;
/// Most parts that a day may be divided into.
pub const BUCKETS_MAX: u16 = 1_024;
/// Longest name of a keyspace or table, in characters.
pub const CASSANDRA_NAME_CHARS_MAX: usize = 48;
/// Most days after which rows may vanish: Cassandra's longest time to live is 20 years.
pub const DAYS_KEPT_MAX: u32 = 7_000;

/// A cluster, and how Daybook uses it.
#[derive(Debug, Clone)]
pub struct CassandraOptions {
    /// Nodes that are asked for the others: `host` or `host:port`.
    pub contact_points: Vec<String>,
    /// Keyspace. It is made if it is not there.
    pub keyspace: String,
    /// How a keyspace that is made is replicated.
    pub replication: Replication,
    /// Only nodes of this data centre are asked. All.
    pub data_center: Option<String>,
    /// How many replicas must answer, for reads and writes.
    pub consistency: Consistency,
    /// User, and the file whose first line is the password.
    pub user: Option<(String, PathBuf)>,
    /// Speak TLS.
    pub tls: Option<CassandraTls>,
    /// Parts that each day of a new table is divided into, 1 to [`BUCKETS_MAX`]. A table keeps the number that it was made with.
    pub buckets: u16,
    /// Days after the end of a business day after which its rows vanish, 1 to [`DAYS_KEPT_MAX`]. Never.
    pub days_kept: Option<u32>,
}

/// Replication of a keyspace that is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replication {
    /// So many replicas in each data centre.
    Factor(u16),
    /// CQL's map, such as `{'class': 'NetworkTopologyStrategy', 'dc1': 3}`.
    Map(String),
}

/// How many replicas must answer. Fewer than these could not promise that who finds the progress finds the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// A majority of all.
    #[default]
    Quorum,
    /// A majority in the data centre that is asked: every process must then ask the same one.
    LocalQuorum,
    /// All.
    All,
}

/// PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CassandraTls {
    /// Roots of the nodes' certificates, which must be for the addresses by which nodes know each other.
    pub ca: PathBuf,
    /// Our certificate and its key, where the cluster wants one.
    pub identity: Option<(PathBuf, PathBuf)>,
}
