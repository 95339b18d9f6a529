//! What the parts count: records in and out, lag, latency, and what was set aside.
//!
//! # Where this sits
//!
//! Layer 0. Every part holds an [`Arc<Hop>`](Hop) and adds to it, batch by batch; the admin
//! endpoint prints all of them for Prometheus, the page shows them as the pipeline.
//!
//! # Invariants
//!
//! - **Cheap.** One relaxed atomic addition a fact; no locks and no allocation on a hot path.
//! - **Latency is from the gateway.** Every histogram measures from `received_at`, so the hops'
//!   figures are cumulative and the last one is end to end.

mod histogram;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

pub use histogram::{Histogram, HistogramSnapshot};

/// Microseconds since 1970 by the wall clock.
pub fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    })
}

/// The counters of one hop of the path.
#[derive(Debug, Default)]
pub struct Hop {
    records_in: AtomicU64,
    records_out: AtomicU64,
    batches: AtomicU64,
    duplicates: AtomicU64,
    quarantined: AtomicU64,
    lag: AtomicI64,
    latency: Histogram,
}

impl Hop {
    /// Records that came in.
    pub fn add_in(&self, records: u64) {
        self.records_in.fetch_add(records, Relaxed);
    }
    /// Records that were passed on, durably; counts one batch.
    pub fn add_out(&self, records: u64) {
        self.records_out.fetch_add(records, Relaxed);
        self.batches.fetch_add(1, Relaxed);
    }
    /// Records recognised as already known.
    pub fn add_duplicates(&self, records: u64) {
        self.duplicates.fetch_add(records, Relaxed);
    }
    /// Records set aside with a reason.
    pub fn add_quarantined(&self, records: u64) {
        self.quarantined.fetch_add(records, Relaxed);
    }
    /// Records that wait in front of this hop now.
    pub fn set_lag(&self, records: i64) {
        self.lag.store(records, Relaxed);
    }
    /// Time since `received_at` of `records` that leave this hop now, both in microseconds since
    /// 1970. A negative time (clocks differ) counts as zero.
    pub fn observe(&self, received_at: i64, now: i64, records: u64) {
        self.latency.record(
            now.saturating_sub(received_at).max(0).unsigned_abs(),
            records,
        );
    }
    /// The figures now.
    pub fn snapshot(&self) -> HopSnapshot {
        HopSnapshot {
            records_in: self.records_in.load(Relaxed),
            records_out: self.records_out.load(Relaxed),
            batches: self.batches.load(Relaxed),
            duplicates: self.duplicates.load(Relaxed),
            quarantined: self.quarantined.load(Relaxed),
            lag: self.lag.load(Relaxed),
            latency: self.latency.snapshot(),
        }
    }
}

/// The figures of a [`Hop`] at one moment.
#[derive(Debug, Clone, Default)]
pub struct HopSnapshot {
    /// Records that came in.
    pub records_in: u64,
    /// Records that were passed on.
    pub records_out: u64,
    /// Batches they were passed on in.
    pub batches: u64,
    /// Records recognised as already known.
    pub duplicates: u64,
    /// Records set aside.
    pub quarantined: u64,
    /// Records that wait in front.
    pub lag: i64,
    /// Microseconds since `received_at`.
    pub latency: HistogramSnapshot,
}

/// A count or level with labels beside the hops' own.
#[derive(Debug, Default)]
pub struct Meter(AtomicI64);

impl Meter {
    /// Adds.
    pub fn add(&self, by: u64) {
        self.0
            .fetch_add(i64::try_from(by).unwrap_or(i64::MAX), Relaxed);
    }
    /// Sets.
    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }
    /// The value now.
    pub fn value(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// All hops of a process, in path order, and the labelled meters.
#[derive(Debug, Default)]
pub struct Telemetry {
    hops: Mutex<Vec<(&'static str, Arc<Hop>)>>,
    meters: Mutex<BTreeMap<(String, String), Arc<Meter>>>,
    timers: Mutex<BTreeMap<&'static str, Arc<Histogram>>>,
}

impl Telemetry {
    /// The hop of this name; made at the first call. Call in path order.
    pub fn hop(&self, name: &'static str) -> Arc<Hop> {
        let mut hops = self.hops.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, hop)) = hops.iter().find(|(known, _)| *known == name) {
            return Arc::clone(hop);
        }
        let hop = Arc::new(Hop::default());
        hops.push((name, Arc::clone(&hop)));
        hop
    }

    /// The meter of this name and labels (`source="json"`); made at the first call. Keep the
    /// `Arc`: the look-up takes a lock. The number of label values must be bounded by the caller.
    pub fn meter(&self, name: &str, labels: &str) -> Arc<Meter> {
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (name.to_owned(), labels.to_owned());
        Arc::clone(meters.entry(key).or_default())
    }

    /// The times of something that is no hop, in microseconds; made at the first call. Shown as `<name>_seconds`.
    pub fn timer(&self, name: &'static str) -> Arc<Histogram> {
        let mut timers = self.timers.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(timers.entry(name).or_default())
    }

    /// All hops now, in path order.
    pub fn snapshot(&self) -> Vec<(&'static str, HopSnapshot)> {
        let hops = self.hops.lock().unwrap_or_else(PoisonError::into_inner);
        hops.iter()
            .map(|(name, hop)| (*name, hop.snapshot()))
            .collect()
    }

    /// All labelled meters now, by name and labels: `(name, labels as in Prometheus' format, value)`.
    pub fn meters(&self) -> Vec<(String, String, i64)> {
        let meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        let meters = meters.iter();
        meters
            .map(|((name, labels), meter)| (name.clone(), labels.clone(), meter.value()))
            .collect()
    }

    /// Prometheus text exposition format 0.0.4.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let hops = self.snapshot();
        type Read = fn(&HopSnapshot) -> i64;
        let families: [(&str, &str, &str, Read); 6] = [
            (
                "records_in_total",
                "counter",
                "Records that came in.",
                |hop| hop.records_in.cast_signed(),
            ),
            (
                "records_out_total",
                "counter",
                "Records passed on, durably.",
                |hop| hop.records_out.cast_signed(),
            ),
            (
                "batches_total",
                "counter",
                "Batches they were passed on in.",
                |hop| hop.batches.cast_signed(),
            ),
            (
                "duplicates_total",
                "counter",
                "Records recognised as already known.",
                |hop| hop.duplicates.cast_signed(),
            ),
            (
                "quarantined_total",
                "counter",
                "Records set aside with a reason.",
                |hop| hop.quarantined.cast_signed(),
            ),
            (
                "lag_records",
                "gauge",
                "Records that wait in front of the hop.",
                |hop| hop.lag,
            ),
        ];
        // Writing to a String cannot fail.
        for (name, kind, help, read) in families {
            let _ = writeln!(
                text,
                "# HELP daybook_{name} {help}\n# TYPE daybook_{name} {kind}"
            );
            for (hop, snapshot) in &hops {
                let _ = writeln!(text, "daybook_{name}{{hop=\"{hop}\"}} {}", read(snapshot));
            }
        }
        let name = "daybook_latency_seconds";
        let _ = writeln!(
            text,
            "# HELP {name} From received_at to leaving the hop.\n# TYPE {name} histogram"
        );
        for (hop, snapshot) in &hops {
            let labels = format!("hop=\"{hop}\"");
            snapshot.latency.render(&mut text, name, &labels);
        }
        let timers = self.timers.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, histogram) in timers.iter() {
            let name = format!("daybook_{name}_seconds");
            let _ = writeln!(text, "# TYPE {name} histogram");
            histogram.snapshot().render(&mut text, &name, "");
        }
        let meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last = "";
        for ((name, labels), meter) in meters.iter() {
            if last != name {
                let kind = if name.ends_with("_total") {
                    "counter"
                } else {
                    "gauge"
                };
                let _ = writeln!(text, "# TYPE daybook_{name} {kind}");
                last = name;
            }
            let _ = writeln!(text, "daybook_{name}{{{labels}}} {}", meter.value());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_every_hop_and_meter() {
        let telemetry = Telemetry::default();
        let hop = telemetry.hop("gateway");
        hop.add_in(3);
        hop.add_out(2);
        hop.observe(1_000, 3_000, 2);
        telemetry.meter("refused_total", "source=\"json\"").add(1);
        telemetry.timer("answer").record(2_000, 1);
        let text = telemetry.render();
        for line in [
            "daybook_records_in_total{hop=\"gateway\"} 3",
            "daybook_records_out_total{hop=\"gateway\"} 2",
            "daybook_latency_seconds_bucket{hop=\"gateway\",le=\"0.001\"} 0",
            "daybook_latency_seconds_bucket{hop=\"gateway\",le=\"0.0025\"} 2",
            "daybook_latency_seconds_count{hop=\"gateway\"} 2",
            "daybook_refused_total{source=\"json\"} 1",
            "daybook_answer_seconds_bucket{le=\"0.001\"} 0",
            "daybook_answer_seconds_bucket{le=\"0.0025\"} 1",
            "daybook_answer_seconds_count 1",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is missing in\n{text}"
            );
        }
        let expected = ("refused_total".to_owned(), "source=\"json\"".to_owned(), 1);
        assert_eq!(telemetry.meters(), [expected]);
        assert!(Arc::ptr_eq(&hop, &telemetry.hop("gateway")));
    }
}
