//! The report as text for a terminal.

use std::fmt;

use super::number::{bytes, measured, time, whole};
use super::report::{GatewayReport, Step};

fn step_row(f: &mut fmt::Formatter<'_>, step: &Step, mark: &str) -> fmt::Result {
    writeln!(
        f,
        "{:>10} {:>10} {:>10} {:>9} {:>9} {:>9} {:>9}  {}{mark}",
        measured(step.offered),
        measured(step.achieved),
        measured(step.records_per_second),
        measured(step.latency.p50_ms),
        measured(step.latency.p99_ms),
        measured(step.latency.max_ms),
        step.behind_ms.map_or_else(|| "-".to_owned(), measured),
        step.verdict.text(),
    )
}

impl GatewayReport {
    fn write_ramp(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "\n{:>10} {:>10} {:>10} {:>9} {:>9} {:>9} {:>9}",
            "offered/s", "accepted/s", "records/s", "p50 ms", "p99 ms", "max ms", "behind ms"
        )?;
        for (index, step) in self.steps.iter().enumerate() {
            let mark = match self.mark_of(index) {
                "" => String::new(),
                mark => format!("  <- {mark}"),
            };
            step_row(f, step, &mark)?;
        }
        match &self.knee {
            Some(knee) => writeln!(f, "\nknee: {}", knee.text)?,
            None => writeln!(f, "\nno knee: the gateway kept up with none of these rates")?,
        }
        match &self.totals_knee {
            Some(knee) => writeln!(f, "the totals keep up with {}", knee.text),
            None => Ok(()),
        }
    }

    fn write_soak(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(soak) = &self.soak else {
            return Ok(());
        };
        let step = &soak.step;
        writeln!(
            f,
            "\nsoak: {} at {}/s, accepted {}/s, {} records/s, {}/s",
            time(soak.seconds),
            measured(step.offered),
            measured(step.achieved),
            measured(step.records_per_second),
            bytes(step.bytes_per_second)
        )?;
        writeln!(
            f,
            "{} answers 503 or like it, {} refused, {} broken connections, {} repeated, {} given up",
            whole(step.later),
            whole(step.refused),
            whole(step.broken),
            whole(soak.retries),
            whole(soak.given_up)
        )?;
        write!(
            f,
            "generator {:.0} % of a core, late p99 {:.1} ms",
            step.generator_cpu_percent, step.late_p99_ms
        )?;
        if let Some(server) = &soak.server {
            write!(
                f,
                "; server {:.0} %, RSS {:.0} MiB (peak {:.0} MiB)",
                server.cpu_percent, server.rss_mib, server.rss_peak_mib
            )?;
        }
        writeln!(f)
    }

    fn write_kinds(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kinds.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "\n{:<14} {:>10} {:>11} {:>10} {:>8} {:>8} {:>8} {:>8} {:>8}",
            format!("of {}", self.kinds_of),
            "requests",
            "records",
            "bytes",
            "p50 ms",
            "p90",
            "p99",
            "p99.9",
            "max"
        )?;
        for kind in &self.kinds {
            writeln!(
                f,
                "{:<14} {:>10} {:>11} {:>10} {:>8} {:>8} {:>8} {:>8} {:>8}",
                kind.name,
                whole(kind.requests),
                whole(kind.records),
                bytes(kind.bytes as f64),
                measured(kind.latency.p50_ms),
                measured(kind.latency.p90_ms),
                measured(kind.latency.p99_ms),
                measured(kind.latency.p999_ms),
                measured(kind.latency.max_ms)
            )?;
        }
        Ok(())
    }

    fn write_sums(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sums = &self.sums;
        writeln!(
            f,
            "\n{} requests: {} accepted, {} refused, {} of unknown fate; {} records sent in accepted ones, {} accepted by the answers",
            whole(sums.requests_sent),
            whole(sums.requests_accepted),
            whole(sums.requests_refused),
            whole(sums.requests_unknown),
            whole(sums.records_sent),
            whole(sums.records_accepted)
        )?;
        if sums.not_compared.is_empty() {
            writeln!(
                f,
                "{} accounts compared with the page's API: {} differences",
                whole(sums.accounts_compared),
                whole(sums.differences_count)
            )?;
        }
        for line in sums.miscounted.iter().chain(&sums.differences) {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}

impl fmt::Display for GatewayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} over at most {} connections, {} accounts; milliseconds from the intended time to 202",
            self.mix,
            whole(self.connections as u64),
            whole(self.accounts)
        )?;
        self.write_ramp(f)?;
        self.write_soak(f)?;
        self.write_kinds(f)?;
        if !self.errors.is_empty() {
            writeln!(f)?;
        }
        for error in &self.errors {
            writeln!(
                f,
                "{} times {}, the first: {}",
                whole(error.count),
                error.name,
                error.example
            )?;
        }
        self.write_sums(f)?;
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        f.write_str(if self.passed { "passed" } else { "FAILED" })
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use expect_test::expect;

    #[test]
    fn the_table_can_be_read() {
        expect![[r#"
            json:1=60,pain.001:10=40 over at most 128 connections, 1,000 accounts; milliseconds from the intended time to 202

             offered/s accepted/s  records/s    p50 ms    p99 ms    max ms behind ms
                 1,000      1,000     10,600      1.50      6.00      30.0       120  good  <- knee
                 2,000      1,500     21,200       180       720     3,600       120  errors
                 1,400      1,400     14,840      1.50      6.00      30.0       120  generator late: no measurement

            knee: 1,000 requests/s, 10,600 records/s; 2,000/s was too much: errors
            the totals keep up with 1,000 requests/s, 10,600 records/s

            soak: 1 min at 700/s, accepted 700/s, 7,420 records/s, 1.82 MB/s
            0 answers 503 or like it, 0 refused, 0 broken connections, 1 repeated, 0 given up
            generator 30 % of a core, late p99 1.2 ms; server 42 %, RSS 106 MiB (peak 110 MiB)

            of the soak      requests     records      bytes   p50 ms      p90      p99    p99.9      max
            json               25,200      25,200    5.17 MB     1.40     2.10     5.60     12.6     28.0

            12 times 503 later, the first: the queue is full <script>alert(1)</script>

            60,012 requests: 60,000 accepted, 0 refused, 0 of unknown fate; 636,000 records sent in accepted ones, 636,000 accepted by the answers
            1,000 accounts compared with the page's API: 0 differences
            note: Generator and server shared this machine's cores: a server alone on it does more than the knee says, and clients over a network see its latency too.
            note: A latency ends with the answer 202: the transaction is then durable in the queue, not yet in the totals. `daybook bench` measures until it is on the page.
            note: Documents are made up and alike: real ones differ in size and content. A template of your own is closer.
            passed"#]].assert_eq(&report().to_string());
    }
}
