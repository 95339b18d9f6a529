//! `[store]`: a SQLite file, or an Apache Cassandra cluster.

use std::path::PathBuf;

use serde::Deserialize;

use super::Place;

/// `[store]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// `"embedded"`, a SQLite file, or `"external"`, an Apache Cassandra cluster.
    #[serde(rename = "use")]
    pub place: Place,
    /// Embedded: the file. `store.db` in the data directory.
    pub path: Option<PathBuf>,
    /// External: nodes that are asked for the others, `"host:port"`; without a port 9042.
    pub contact_points: Vec<String>,
    /// External: the keyspace. It is made if it is not there. `"daybook"`.
    pub keyspace: String,
    /// External: how a keyspace that is made is replicated: the replicas in each data centre, or CQL's map as text, such as
    /// `"{'class': 'NetworkTopologyStrategy', 'dc1': 3}"`. 1; 3 on a cluster that shall bear the loss of a node.
    pub replication: StoreReplication,
    /// External: only nodes of this data centre are asked. Nodes of all.
    pub data_center: Option<String>,
    /// External: how many replicas must answer, for reads and writes. `"quorum"`, `"local_quorum"` or `"all"`: with fewer, who
    /// finds the progress might not find the rows below it.
    pub consistency: StoreConsistency,
    /// External: user. None.
    pub user: Option<String>,
    /// External: file whose first line is the password. Relative to the configuration file.
    pub password_file: Option<PathBuf>,
    /// External: PEM file with the roots of the nodes' certificates, which must be for the addresses by which nodes know each other.
    /// With it TLS is spoken.
    pub ca: Option<PathBuf>,
    /// External: our certificate, where the cluster wants one.
    pub certificate: Option<PathBuf>,
    /// External: its key.
    pub key: Option<PathBuf>,
    /// External: parts that each day of a table is divided into, 1 to 1,024; they are read side by side. A table keeps the number that
    /// it was made with. 64.
    pub buckets: u16,
    /// External: days after the end of a business day after which its rows vanish; at least as long as aggregations keep days.
    /// Never.
    pub days_kept: Option<u32>,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            place: Place::Embedded,
            path: None,
            contact_points: Vec::new(),
            keyspace: "daybook".to_owned(),
            replication: StoreReplication::Factor(1),
            data_center: None,
            consistency: StoreConsistency::Quorum,
            user: None,
            password_file: None,
            ca: None,
            certificate: None,
            key: None,
            buckets: 64,
            days_kept: None,
        }
    }
}

/// `store.replication`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum StoreReplication {
    /// Replicas in each data centre.
    Factor(u16),
    /// CQL's map.
    Map(String),
}

/// `store.consistency`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreConsistency {
    /// A majority of all replicas.
    #[default]
    Quorum,
    /// A majority of those in the data centre that is asked.
    LocalQuorum,
    /// All replicas.
    All,
}
