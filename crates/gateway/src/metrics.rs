//! What the gateway counts. Plain atomics, read by whoever publishes them.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use mapping::rule;

/// Called with the microseconds from a request's head to its answer.
pub type LatencyHook = Box<dyn Fn(u64) + Send + Sync>;

/// Upper bounds of the latency buckets in microseconds; one more bucket counts what is slower.
pub const LATENCY_BOUNDS_MICROS: [u64; 12] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000,
];

/// Counts of one source.
#[derive(Debug, Default)]
pub struct SourceMetrics {
    /// Name of the source.
    pub source: Box<str>,
    /// Requests for it.
    pub requests: AtomicU64,
    /// Records read, whether accepted or refused.
    pub records: AtomicU64,
    /// Records put to the queue.
    pub accepted: AtomicU64,
    /// Records and unreadable requests refused for what they contain.
    pub refused: AtomicU64,
    /// Messages put to the quarantine.
    pub quarantined: AtomicU64,
}

/// Counts of one client.
#[derive(Debug, Default)]
pub struct ClientMetrics {
    /// Its name.
    pub client: Box<str>,
    /// Requests and messages that it may send.
    pub requests: AtomicU64,
    /// Records of it put to the queue.
    pub accepted: AtomicU64,
    /// Requests and messages for sources that it may not send to.
    pub refused: AtomicU64,
    /// Requests and messages beyond its rates.
    pub limited: AtomicU64,
}

/// Counts of the gateway since it started.
pub struct GatewayMetrics {
    /// Requests of any kind.
    pub requests: AtomicU64,
    /// Bytes of request bodies.
    pub bytes: AtomicU64,
    /// Requests answered 429 or 503: the sender should try again.
    pub retry_later: AtomicU64,
    /// Requests answered 5xx because the outcome of a commit is not known.
    pub unknown: AtomicU64,
    /// Requests and connections of nobody who is known.
    pub unauthenticated: AtomicU64,
    /// Connections that ended because their messages could not be told apart.
    pub unframed: AtomicU64,
    /// Connections refused because their address had as many as it may.
    pub connections_refused: AtomicU64,
    /// Connections cut because they had waited longest when others wanted their place.
    pub connections_cut: AtomicU64,
    /// Refused requests of which no probe was kept, because there were too many of them.
    pub probes_passed_over: AtomicU64,
    /// One entry a configured client.
    pub clients: Vec<ClientMetrics>,
    /// One entry a source that is or was configured. Who counts has the entry itself; the lock is for reading them out.
    sources: RwLock<Vec<Arc<SourceMetrics>>>,
    refused_by_rule: Vec<AtomicU64>,
    latency: [AtomicU64; LATENCY_BOUNDS_MICROS.len() + 1],
    latency_sum_micros: AtomicU64,
    hook: Option<LatencyHook>,
}

impl fmt::Debug for GatewayMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayMetrics")
            .field("requests", &self.requests)
            .field("bytes", &self.bytes)
            .field("sources", &self.sources)
            .finish_non_exhaustive()
    }
}

impl GatewayMetrics {
    pub(crate) fn new<'n>(
        clients: impl Iterator<Item = &'n str>,
        hook: Option<LatencyHook>,
    ) -> Self {
        Self {
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            retry_later: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            unauthenticated: AtomicU64::new(0),
            unframed: AtomicU64::new(0),
            connections_refused: AtomicU64::new(0),
            connections_cut: AtomicU64::new(0),
            probes_passed_over: AtomicU64::new(0),
            clients: clients
                .map(|client| ClientMetrics {
                    client: client.into(),
                    ..ClientMetrics::default()
                })
                .collect(),
            sources: RwLock::default(),
            refused_by_rule: rule::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            latency: Default::default(),
            latency_sum_micros: AtomicU64::new(0),
            hook,
        }
    }

    /// One entry a source that is or was configured since the start, by name.
    pub fn sources(&self) -> Vec<Arc<SourceMetrics>> {
        let sources = self.sources.read().unwrap_or_else(PoisonError::into_inner);
        sources.clone()
    }

    /// Adds those that are not there yet.
    pub(crate) fn add_sources<'m>(&self, added: impl Iterator<Item = &'m Arc<SourceMetrics>>) {
        let mut sources = self.sources.write().unwrap_or_else(PoisonError::into_inner);
        for source in added {
            if !sources.iter().any(|known| Arc::ptr_eq(known, source)) {
                sources.push(Arc::clone(source));
            }
        }
        sources.sort_by(|a, b| a.source.cmp(&b.source));
    }

    /// Refused records and requests by rule, rules without any left out.
    pub fn refused_by_rule(&self) -> impl Iterator<Item = (&'static str, u64)> {
        rule::ALL
            .iter()
            .zip(&self.refused_by_rule)
            .map(|(rule, count)| (*rule, count.load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
    }

    /// Requests by latency: one count for each of [`LATENCY_BOUNDS_MICROS`] and one for what is
    /// slower; and the sum in microseconds.
    pub fn latency(&self) -> ([u64; LATENCY_BOUNDS_MICROS.len() + 1], u64) {
        let counts = std::array::from_fn(|index| self.latency[index].load(Ordering::Relaxed));
        (counts, self.latency_sum_micros.load(Ordering::Relaxed))
    }

    pub(crate) fn refused(&self, rule_name: &str) {
        if let Some(index) = rule::ALL.iter().position(|known| *known == rule_name) {
            add(&self.refused_by_rule[index], 1);
        }
    }

    pub(crate) fn answered(&self, micros: u64) {
        let bucket = LATENCY_BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        add(&self.latency[bucket], 1);
        add(&self.latency_sum_micros, micros);
        if let Some(hook) = &self.hook {
            hook(micros);
        }
    }
}

pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
