//! What is counted, and what a connection keeps.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use sql::{LimitError, QueryError};
use telemetry::{Histogram, Meter, Telemetry};

use super::settings::Settings;

/// Most statements that a connection has prepared by name.
pub(super) const PREPARED_MAX: usize = 1_000;
/// Most portals that a connection has open by name: each may hold an answer.
pub(super) const PORTALS_MAX: usize = 8;

/// Limits that a query or connection may be refused by, as labels.
const LIMITS: [&str; 7] = [
    "connections",
    "queries",
    "rows",
    "rows_read",
    "time",
    "memory",
    "statement",
];

/// Counters of the server.
#[derive(Debug)]
pub(super) struct Metrics {
    open: Arc<AtomicUsize>,
    connections: Arc<Meter>,
    answered: Arc<Meter>,
    failed: Arc<Meter>,
    refused: Vec<(&'static str, Arc<Meter>)>,
    logins_refused: Arc<Meter>,
    latency: Arc<Histogram>,
}

/// A connection that is open.
#[derive(Debug)]
pub(super) struct Opened {
    open: Arc<AtomicUsize>,
    meter: Arc<Meter>,
    count: usize,
}

impl Opened {
    /// How many were open when this one was opened, with it.
    pub(super) fn count(&self) -> usize {
        self.count
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let before = self.open.fetch_sub(1, Relaxed);
        show(&self.meter, before - 1);
    }
}

fn show(meter: &Meter, count: usize) {
    meter.set(i64::try_from(count).unwrap_or(i64::MAX));
}

impl Metrics {
    pub(super) fn new(telemetry: &Telemetry) -> Self {
        let queries = |outcome: &str| {
            telemetry.meter("postgres_queries_total", &format!("outcome=\"{outcome}\""))
        };
        let refused = LIMITS.map(|limit| {
            let labels = format!("limit=\"{limit}\"");
            (limit, telemetry.meter("postgres_refused_total", &labels))
        });
        Self {
            open: Arc::default(),
            connections: telemetry.meter("postgres_connections", ""),
            answered: queries("answered"),
            failed: queries("failed"),
            refused: refused.to_vec(),
            logins_refused: telemetry.meter("postgres_logins_refused_total", ""),
            latency: telemetry.timer("postgres_query"),
        }
    }

    pub(super) fn opened(&self) -> Opened {
        let count = self.open.fetch_add(1, Relaxed) + 1;
        show(&self.connections, count);
        Opened {
            open: Arc::clone(&self.open),
            meter: Arc::clone(&self.connections),
            count,
        }
    }

    pub(super) fn refused(&self, limit: &str) {
        let found = self.refused.iter().find(|(name, _)| *name == limit);
        if let Some((_, meter)) = found {
            meter.add(1);
        }
    }

    pub(super) fn login_refused(&self) {
        self.logins_refused.add(1);
    }

    /// Counts a query that ended now.
    pub(super) fn ended<T>(&self, began: Instant, result: &Result<T, QueryError>) {
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.latency.record(micros, 1);
        match result {
            Ok(_) => self.answered.add(1),
            Err(error) => {
                self.failed.add(1);
                if let QueryError::Limit(limit) = error {
                    self.refused(label(limit));
                }
            }
        }
    }
}

fn label(limit: &LimitError) -> &'static str {
    match limit {
        LimitError::Rows { .. } => "rows",
        LimitError::RowsRead { .. } => "rows_read",
        LimitError::Time { .. } => "time",
        LimitError::Memory { .. } => "memory",
        LimitError::Queries { .. } => "queries",
        _ => "statement",
    }
}

/// What a connection keeps.
#[derive(Debug, Default)]
pub(super) struct Session {
    settings: Mutex<Settings>,
    prepared: Names,
    portals: Names,
}

/// Names that are in use, at most so many.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<HashSet<String>>);

impl Names {
    /// Whether there is room for it.
    pub(super) fn add(&self, name: &str, max: usize) -> bool {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= max && !names.contains(name) {
            return false;
        }
        names.insert(name.to_owned());
        true
    }

    pub(super) fn all(&self) -> Vec<String> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().cloned().collect()
    }

    pub(super) fn remove(&self, name: &str) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.remove(name);
    }
}

impl Session {
    pub(super) fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn prepared(&self) -> &Names {
        &self.prepared
    }

    pub(super) fn portals(&self) -> &Names {
        &self.portals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        let names = Names::default();
        for number in 0..PORTALS_MAX {
            assert!(names.add(&number.to_string(), PORTALS_MAX));
        }
        assert!(!names.add("one more", PORTALS_MAX));
        assert!(names.add("0", PORTALS_MAX), "it is there already");
        names.remove("0");
        assert!(names.add("one more", PORTALS_MAX));
    }

    #[test]
    fn connections_and_refusals_are_counted() {
        let telemetry = Telemetry::default();
        let metrics = Metrics::new(&telemetry);
        let one = metrics.opened();
        let other = metrics.opened();
        assert_eq!((one.count(), other.count()), (1, 2));
        drop(one);
        metrics.ended::<()>(
            Instant::now(),
            &Err(QueryError::Limit(LimitError::Rows { max: 1 })),
        );
        metrics.ended(Instant::now(), &Ok(()));
        let text = telemetry.render();
        for line in [
            "daybook_postgres_connections{} 1",
            "daybook_postgres_queries_total{outcome=\"answered\"} 1",
            "daybook_postgres_queries_total{outcome=\"failed\"} 1",
            "daybook_postgres_refused_total{limit=\"rows\"} 1",
            "daybook_postgres_refused_total{limit=\"time\"} 0",
            "daybook_postgres_query_seconds_count 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
