//! What a run of the bench found, for people and as JSON.

use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::usage::Usage;

/// Percentiles of a latency, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Transactions or requests measured.
    pub count: u64,
    /// Median.
    pub p50_ms: f64,
    /// 90th percentile.
    pub p90_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// 99.9th percentile.
    pub p999_ms: f64,
    /// Largest.
    pub max_ms: f64,
}

impl Latency {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        // Microseconds below 2^53 are exact.
        let ms = |micros: u64| micros as f64 / 1_000.0;
        Self {
            count: histogram.len(),
            p50_ms: ms(histogram.value_at_quantile(0.5)),
            p90_ms: ms(histogram.value_at_quantile(0.9)),
            p99_ms: ms(histogram.value_at_quantile(0.99)),
            p999_ms: ms(histogram.value_at_quantile(0.999)),
            max_ms: ms(histogram.max()),
        }
    }
}

/// What a run of the bench found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct BenchReport {
    /// Transactions a second that were due.
    pub rate: u64,
    /// Transactions of one request.
    pub bulk: u64,
    /// Connections to the gateway.
    pub connections: usize,
    /// Accounts of the run.
    pub accounts: u64,
    /// Seed of the run; its accounts are named `bench-<seed>-<n>`.
    pub seed: u64,
    /// Transactions sent, warm-up included.
    pub sent: u64,
    /// Transactions of requests that were refused or never answered.
    pub failed: u64,
    /// Why, the first of them.
    pub failures: Vec<String>,
    /// Requests that were sent again.
    pub retries: u64,
    /// Transactions a second that were accepted in the measured time.
    pub achieved_rate: f64,
    /// From the intended time to the `202`, a transaction.
    pub accepted: Latency,
    /// From the intended time to the event in which the transaction is counted.
    pub visible: Latency,
    /// How late the generator itself was, a request: from the intended time to the moment it began to send,
    /// where a connection was free.
    pub late: Latency,
    /// Requests of the measured time that waited for a free connection, in percent. They wait for the server,
    /// or there are too few connections; their waiting is in the latencies.
    pub waited_percent: f64,
    /// How often the stream of events broke and was opened again.
    pub stream_breaks: u64,
    /// What the server used in the measured time.
    pub server: Option<Usage>,
    /// Percent of one core that this process used.
    pub generator_cpu_percent: f64,
    /// Transactions accepted that did not become visible in time.
    pub invisible: u64,
    /// Rows compared with what was sent.
    pub rows_verified: u64,
    /// Rows that differ, the first of them.
    pub differences: Vec<String>,
    /// Number of differences.
    pub differences_count: u64,
    /// What a reader of these figures has to know.
    pub warnings: Vec<String>,
    /// Whether everything sent was accepted, became visible, and adds up exactly.
    pub passed: bool,
}

impl BenchReport {
    /// The report as one JSON object.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Draws the conclusions: warnings, and whether the run passed.
    pub(crate) fn conclude(&mut self) {
        /// The generator's timers tick once a millisecond.
        const LATE_MS_MAX: f64 = 5.0;
        if self.late.p99_ms > LATE_MS_MAX {
            self.warnings.push(format!(
                "the generator was late itself (p99 {:.1} ms): the latencies are not the server's alone",
                self.late.p99_ms
            ));
        }
        if self.generator_cpu_percent > 85.0 {
            self.warnings.push(format!(
                "the generator used {:.0} % of a core: it may be the limit",
                self.generator_cpu_percent
            ));
        }
        if self.waited_percent > 1.0 {
            self.warnings.push(format!(
                "{:.1} % of the requests waited for a free connection: the server did not keep up, or {} connections are too few",
                self.waited_percent, self.connections
            ));
        }
        if self.stream_breaks > 0 {
            self.warnings.push(format!(
                "the stream of events broke {} times: what became visible meanwhile was seen late",
                self.stream_breaks
            ));
        }
        self.passed = self.failed == 0 && self.invisible == 0 && self.differences_count == 0;
    }
}

fn latency_row(f: &mut fmt::Formatter<'_>, name: &str, latency: &Latency) -> fmt::Result {
    writeln!(
        f,
        "{name:<24} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>9.2}",
        latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.p999_ms, latency.max_ms
    )
}

impl fmt::Display for BenchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} transactions to {} accounts, {} a request over {} connections; due {}/s, accepted {:.0}/s",
            self.sent, self.accounts, self.bulk, self.connections, self.rate, self.achieved_rate
        )?;
        writeln!(
            f,
            "{} failed, {} requests repeated",
            self.failed, self.retries
        )?;
        for failure in &self.failures {
            writeln!(f, "  {failure}")?;
        }
        writeln!(
            f,
            "\n{:<24} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "ms from intended time", "p50", "p90", "p99", "p99.9", "max"
        )?;
        latency_row(f, "to 202", &self.accepted)?;
        latency_row(f, "to event on the stream", &self.visible)?;
        latency_row(f, "generator late", &self.late)?;
        writeln!(
            f,
            "\n{:<24} {:>9.0} % of a core",
            "generator", self.generator_cpu_percent
        )?;
        if let Some(server) = &self.server {
            writeln!(
                f,
                "{:<24} {:>9.0} % of a core, RSS {:.0} MiB (peak {:.0} MiB)",
                "server", server.cpu_percent, server.rss_mib, server.rss_peak_mib
            )?;
            for thread in server
                .threads
                .iter()
                .filter(|thread| thread.cpu_percent >= 0.5)
            {
                let name = match thread.threads {
                    1 => thread.name.clone(),
                    threads => format!("{} ({threads})", thread.name),
                };
                writeln!(f, "  {name:<22} {:>9.0} %", thread.cpu_percent)?;
            }
        }
        writeln!(
            f,
            "\n{} rows compared with what was sent: {} differ, {} transactions invisible",
            self.rows_verified, self.differences_count, self.invisible
        )?;
        for difference in &self.differences {
            writeln!(f, "  {difference}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "note: {warning}")?;
        }
        f.write_str(if self.passed { "passed" } else { "FAILED" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_table_can_be_read() {
        let latency = Latency {
            count: 10,
            p50_ms: 1.5,
            p90_ms: 2.0,
            p99_ms: 12.25,
            p999_ms: 20.0,
            max_ms: 99.0,
        };
        let mut report = BenchReport {
            rate: 10_000,
            bulk: 1,
            connections: 64,
            accounts: 1_000,
            sent: 300_000,
            achieved_rate: 9_998.4,
            accepted: latency,
            visible: latency,
            late: latency,
            waited_percent: 3.0,
            generator_cpu_percent: 41.0,
            rows_verified: 1_000,
            server: Some(Usage {
                cpu_percent: 90.0,
                rss_mib: 120.0,
                rss_peak_mib: 130.0,
                threads: Vec::new(),
            }),
            ..BenchReport::default()
        };
        report.conclude();
        assert!(report.passed);
        expect![[r#"
            300000 transactions to 1000 accounts, 1 a request over 64 connections; due 10000/s, accepted 9998/s
            0 failed, 0 requests repeated

            ms from intended time          p50       p90       p99     p99.9       max
            to 202                        1.50      2.00     12.25     20.00     99.00
            to event on the stream        1.50      2.00     12.25     20.00     99.00
            generator late                1.50      2.00     12.25     20.00     99.00

            generator                       41 % of a core
            server                          90 % of a core, RSS 120 MiB (peak 130 MiB)

            1000 rows compared with what was sent: 0 differ, 0 transactions invisible
            note: the generator was late itself (p99 12.2 ms): the latencies are not the server's alone
            note: 3.0 % of the requests waited for a free connection: the server did not keep up, or 64 connections are too few
            passed"#]].assert_eq(&report.to_string());
        report.invisible = 1;
        report.conclude();
        assert!(!report.passed);
    }
}
