//! What can go wrong with a store.

use std::path::PathBuf;

/// A call of the store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// SQLite refused. Retrying helps when the disk was full or the file was locked.
    #[error("the store {path} cannot {what}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// From SQLite.
        #[source]
        source: rusqlite::Error,
    },
    /// The store holds rows of a newer generation than the log. Retrying does not help: the log
    /// was restored from an older state, or this is another log's store.
    #[error(
        "the store has generation {stored} of {aggregation}, the log only {offered}: this store \
         belongs to another or a newer log"
    )]
    NewerGeneration {
        /// Which aggregation.
        aggregation: String,
        /// In the store.
        stored: u32,
        /// In the log.
        offered: u32,
    },
    /// No node can be connected to, or none answers in time. Retrying helps when one does.
    #[error("no node of Cassandra answers at {at}: is it running?")]
    Unreachable {
        /// Contact points.
        at: String,
        /// From the driver.
        #[source]
        source: DriverError,
    },
    /// The nodes want to know who asks. Retrying helps when somebody has changed that there.
    #[error("Cassandra at {at} does not let {who} in: see `store.user` and `store.password_file`")]
    Credentials {
        /// Contact points.
        at: String,
        /// User, or that there is none.
        who: String,
        /// From the driver.
        #[source]
        source: DriverError,
    },
    /// There are nodes, but none where they are looked for. Retrying helps when there is one.
    #[error(
        "no node of Cassandra at {at} is in the data centre {data_center:?}: see `store.data_center`"
    )]
    DataCenter {
        /// Contact points.
        at: String,
        /// Where.
        data_center: String,
        /// From the driver.
        #[source]
        source: DriverError,
    },
    /// Cassandra refused or was too slow. Retrying helps, unless somebody has changed its tables.
    #[error("Cassandra at {at} cannot {what}")]
    Cassandra {
        /// Contact points.
        at: String,
        /// What was tried.
        what: &'static str,
        /// From the driver.
        #[source]
        source: DriverError,
    },
    /// A column has changed its type so often that no name is left for it. Retrying does not help: give it another name in the SQL.
    #[error(
        "the table {table} of the store has the column {column:?} as {stored}, and as {wanted} only under a name \
         that is another column's: call it otherwise in the SQL (`AS`)"
    )]
    ColumnType {
        /// The aggregation.
        table: String,
        /// The column.
        column: String,
        /// What it is there.
        stored: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// A row cannot be kept. Retrying does not help.
    #[error("the row {key} of {table} cannot be kept in Cassandra: {detail}")]
    Row {
        /// The aggregation.
        table: String,
        /// The beginning of its key.
        key: String,
        /// What is in the way.
        detail: &'static str,
    },
    /// A certificate or key cannot be used. Retrying helps when the file was changed.
    #[error("TLS with Cassandra cannot be set up")]
    Pem(#[from] pem::PemError),
    /// Certificate and key do not fit each other. Retrying helps when the files were changed.
    #[error("the certificate {path} cannot be used with its key")]
    Identity {
        /// The certificate.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The password cannot be read. Retrying helps when the file was changed.
    #[error("cannot read Cassandra's password from {path}")]
    Password {
        /// The file.
        path: PathBuf,
        /// From the operating system.
        #[source]
        source: std::io::Error,
    },
    /// No thread for the connections could be started.
    #[error("cannot start a thread for the connections to Cassandra")]
    Thread(#[source] std::io::Error),
}

/// What Cassandra's driver said. Its text has its causes in it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DriverError(pub(crate) Box<dyn std::error::Error + Send + Sync>);

impl StoreError {
    /// Whether trying again can help without anybody changing the configuration.
    pub fn may_pass(&self) -> bool {
        !matches!(
            self,
            Self::NewerGeneration { .. } | Self::ColumnType { .. } | Self::Row { .. }
        )
    }

    /// Whether it is about a store elsewhere that may answer later.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Credentials { .. }
                | Self::DataCenter { .. }
                | Self::Cassandra { .. }
        )
    }
}
