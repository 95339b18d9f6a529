//! What the web server is told at start, and every limit of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kafka_client::Cluster;
use store::{StoreTarget, TableSpec};
use types::{BusinessCalendar, Micros};

use crate::access::AccessOptions;
use crate::backstage::Backstage;
use crate::error::WebError;
use crate::rate::RateOptions;
use crate::tls::TlsFiles;

/// Settings of the web server. [`WebOptions::new`] gives limits that suit a laptop.
#[derive(Debug, Clone)]
pub struct WebOptions {
    /// Address to listen on. Port 0 takes any free one.
    pub listen: SocketAddr,
    /// Names by which browsers may ask for us beside IP addresses and `localhost`. Looked at when
    /// `listen` is a loopback address: there a page of somebody else's must not reach us through a
    /// name of its own (DNS rebinding).
    pub names: Vec<String>,
    /// What is shown.
    pub aggregations: Vec<AggregationView>,
    /// The store. It may appear later than the server.
    pub store: StoreTarget,
    /// Where the results topics are.
    pub cluster: Cluster,
    /// Whether the traffic is made up: the page then says so, and how to stop it.
    pub demo: bool,
    /// Base address of the gateway, for the line that posts a first transaction.
    pub gateway_url: String,
    /// Business days held in memory, today included; others are read from the store. 1 or more.
    pub days_in_view: u32,
    /// Longest time a client's socket may accept nothing while data waits for it. Then it is cut.
    pub client_stall_max: Duration,
    /// Longest silence on a stream. At most 5 s: the page calls itself stale after twice that.
    pub heartbeat: Duration,
    /// Most connections at a time; further ones wait in the system's queue. About 100 kB each.
    pub connections_max: usize,
    /// Bytes that wait for a client's socket; then no more is computed for it.
    pub client_buffer_bytes: usize,
    /// Longest age of a snapshot that is handed out again. Protects against reconnect storms.
    pub snapshot_age_max: Duration,
    /// Longest time that rows of a day out of view, once read, are kept for who pages through them.
    pub stored_age_max: Duration,
    /// Longest wait for open requests at shutdown.
    pub shutdown_time_max: Duration,
    /// The clock by which "today" is decided, in microseconds since 1970.
    pub clock: fn() -> Micros,
    /// Certificate and key: with them TLS is spoken, and nothing else.
    pub tls: Option<TlsFiles>,
    /// Who may ask.
    pub access: AccessOptions,
    /// How much one client may ask.
    pub rates: RateOptions,
    /// Who answers questions about single transactions and about what was refused; without it the page has none of that.
    pub backstage: Option<Arc<dyn Backstage>>,
}

impl WebOptions {
    /// The defaults: nothing to show yet, on `listen`.
    pub fn new(listen: SocketAddr, store: StoreTarget, cluster: Cluster) -> Self {
        Self {
            listen,
            names: Vec::new(),
            aggregations: Vec::new(),
            store,
            cluster,
            demo: false,
            gateway_url: "http://127.0.0.1:8081".to_owned(),
            days_in_view: 2,
            client_stall_max: Duration::from_secs(30),
            heartbeat: Duration::from_secs(4),
            connections_max: 20_000,
            client_buffer_bytes: 64 << 10,
            snapshot_age_max: Duration::from_secs(1),
            stored_age_max: Duration::from_secs(5),
            shutdown_time_max: Duration::from_secs(2),
            clock: telemetry::now_micros,
            backstage: None,
            access: AccessOptions::default(),
            rates: RateOptions::default(),
            tls: None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), WebError> {
        let refused = |option, value: String, rule| {
            Err(WebError::Option {
                option,
                value,
                rule,
            })
        };
        if self.days_in_view == 0 {
            return refused("days_in_view", "0".to_owned(), "1 or more");
        }
        if self.connections_max == 0 {
            return refused("connections_max", "0".to_owned(), "1 or more");
        }
        if self.client_buffer_bytes < 8 << 10 {
            let value = self.client_buffer_bytes.to_string();
            return refused("client_buffer_bytes", value, "8192 or more");
        }
        let beat = self.heartbeat;
        if beat.is_zero() || beat > Duration::from_secs(5) {
            return refused(
                "heartbeat",
                format!("{beat:?}"),
                "more than 0 and at most 5 s",
            );
        }
        Ok(())
    }
}

/// An aggregation as the page shows it.
#[derive(Debug, Clone)]
pub struct AggregationView {
    /// Name and columns.
    pub table: TableSpec,
    /// Names of the parts of a row's key, `business_day` first.
    pub keys: Vec<String>,
    /// Columns whose values may be added over the rows (sums and counts, not means or extremes).
    pub sums: Vec<String>,
    /// Decides which day is today, and which days are in view.
    pub calendar: BusinessCalendar,
    /// How far ahead of the clock the days of rows may begin, in microseconds: such rows are read
    /// from the store too, as they are shown when their day has come.
    pub ahead_max: Micros,
    /// Name of the calendar's zone, to be shown.
    pub zone: String,
}
