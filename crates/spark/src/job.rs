//! What a query is.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Where a query is to be found.
#[derive(Clone)]
pub struct Place {
    /// Address of the Connect server: `sc://host:port`.
    pub remote: String,
    /// Further parameters of the connection, such as `use_ssl=true` or a token. Never shown.
    pub parameters: Vec<(String, String)>,
    /// Id of the session, a UUID: who has the same finds the same queries.
    pub session: String,
    /// Name of the query in the session.
    pub name: String,
}

/// A streaming query from Kafka to Kafka.
#[derive(Clone)]
pub struct Job {
    /// Where it runs.
    pub place: Place,
    /// Settings of the session.
    pub settings: BTreeMap<String, String>,
    /// Options of the Kafka source.
    pub source: BTreeMap<String, String>,
    /// Name by which `sql` knows the source.
    pub view: String,
    /// The query; its columns are `key`, `value` and, optionally, `headers`.
    pub sql: String,
    /// Options of the Kafka sink.
    pub sink: BTreeMap<String, String>,
    /// Where Spark keeps how far it is, and its state.
    pub checkpoint: String,
    /// Least time from the beginning of one batch to that of the next.
    pub trigger: Duration,
}

/// Without what is secret.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("remote", &self.remote)
            .field("session", &self.session)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Without what is secret.
impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("place", &self.place)
            .field("sql", &self.sql)
            .field("checkpoint", &self.checkpoint)
            .finish_non_exhaustive()
    }
}

impl Place {
    /// The address with its parameters, as Spark's client wants it.
    #[cfg_attr(not(feature = "connect"), allow(dead_code))]
    pub(crate) fn url(&self) -> String {
        let mut url = format!(
            "{}/;session_id={}",
            self.remote.trim_end_matches('/'),
            self.session
        );
        for (name, value) in &self.parameters {
            url.push_str(&format!(";{name}={value}"));
        }
        url
    }
}
