//! What a run against the gateway found, for people and as JSON. `html` draws the same.

use serde::Serialize;

use super::super::report::Latency;
use super::super::usage::Usage;
use super::machine::Machine;
use super::search::{StepLimits, Verdict};

/// One step of the ramp.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Step {
    /// Requests a second that were due.
    pub offered: f64,
    /// Requests a second that were accepted behind the settling and before the end.
    pub achieved: f64,
    /// Records a second of these.
    pub records_per_second: f64,
    /// Bytes of bodies a second of these.
    pub bytes_per_second: f64,
    /// From the intended time to the `202`, a request due behind the settling.
    pub latency: Latency,
    /// 99th percentile of how late requests left though a connection was free.
    pub late_p99_ms: f64,
    /// Requests that waited for a free connection, in percent; their waiting is in the latencies.
    pub waited_percent: f64,
    /// Requests that found no connection in time and were never sent.
    pub unsent: u64,
    /// Attempts answered with 503 or another status that asks to come again.
    pub later: u64,
    /// Requests refused for good.
    pub refused: u64,
    /// Attempts whose connection failed.
    pub broken: u64,
    /// Milliseconds from the last answer until the totals had everything; `None` where they were not compared, or never had.
    pub behind_ms: Option<f64>,
    /// Percent of one core that the server used, where it is known.
    pub server_cpu_percent: Option<f64>,
    /// Percent of one core that the generator used.
    pub generator_cpu_percent: f64,
    /// Threads of the generator.
    pub generator_threads: usize,
    /// Percent of all cores of this machine that anybody used.
    pub machine_cpu_percent: Option<f64>,
    /// Whether the gateway kept up.
    pub verdict: Verdict,
    /// Why not.
    pub why: String,
}

/// The largest rate that the gateway kept up with.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Knee {
    /// Requests a second.
    pub rate: u64,
    /// Its step in the ramp, from 0.
    pub step: usize,
    /// The smallest rate that was too much; `None` where the largest allowed was not.
    pub too_much: Option<u64>,
    /// What was wrong there.
    pub limited_by: Verdict,
    /// The same as a sentence.
    pub text: String,
}

/// One second of the soak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Second {
    /// Requests due in it.
    pub offered: u64,
    /// Requests accepted in it.
    pub accepted: u64,
    /// Attempts that failed or were refused in it.
    pub faults: u64,
    /// Of the answers in it, from the intended time.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Largest.
    pub max_ms: f64,
    /// Percent of one core that the server used.
    pub cpu_percent: Option<f64>,
    /// Its resident memory in MiB.
    pub rss_mib: Option<f64>,
}

/// The long run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Soak {
    /// What a step says, of the whole soak.
    pub step: Step,
    /// Length in seconds.
    pub seconds: f64,
    /// Requests sent again.
    pub retries: u64,
    /// Requests that were repeated in vain.
    pub given_up: u64,
    /// What the server used.
    pub server: Option<Usage>,
    /// Every second.
    pub timeline: Vec<Second>,
}

/// One kind of document.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct KindReport {
    /// As the mix calls it.
    pub name: String,
    /// Source of the gateway.
    pub source: String,
    /// Requests accepted.
    pub requests: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// From the intended time to the `202`, a request.
    pub latency: Latency,
}

/// Errors of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ErrorReport {
    /// Status, or what happened to the connection.
    pub name: String,
    /// How often.
    pub count: u64,
    /// What the first one said.
    pub example: String,
}

/// Whether everything that was sent is there.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Sums {
    /// Requests of the whole run, the first trial of each kind too.
    pub requests_sent: u64,
    /// Answered with `202`.
    pub requests_accepted: u64,
    /// Refused for good.
    pub requests_refused: u64,
    /// Whose fate nobody knows.
    pub requests_unknown: u64,
    /// Records in accepted documents, as they were made.
    pub records_sent: u64,
    /// The same by what the answers said.
    pub records_accepted: u64,
    /// Documents where the two differ.
    pub miscounted_count: u64,
    /// The first of them.
    pub miscounted: Vec<String>,
    /// Accounts whose count and sum on the page's API were compared; 0 where they were not.
    pub accounts_compared: u64,
    /// Why not.
    pub not_compared: String,
    /// Accounts that differ, and how.
    pub differences_count: u64,
    /// The first of them.
    pub differences: Vec<String>,
}

impl Sums {
    fn add_up(&self) -> bool {
        self.miscounted_count == 0 && self.differences_count == 0
    }
}

/// What a run against the gateway found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct GatewayReport {
    /// Daybook's version.
    pub version: String,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// The command, as it was given.
    pub command: String,
    /// Where the generator ran.
    pub machine: Machine,
    /// Address of the gateway.
    pub gateway: String,
    /// Whether that is the generator's machine too.
    pub same_machine: bool,
    /// The mix, with records and weights.
    pub mix: String,
    /// Seed of the run; its accounts are named `bench-<seed>-<n>`.
    pub seed: u64,
    /// Number of these.
    pub accounts: u64,
    /// Connections at most.
    pub connections: usize,
    /// Seconds of a step.
    pub step_seconds: f64,
    /// What a step has to keep.
    pub limits: StepLimits,
    /// The ramp, in the order of time.
    pub steps: Vec<Step>,
    /// The largest rate that the gateway kept up with.
    pub knee: Option<Knee>,
    /// The largest that the totals behind it kept up with too; `None` where they were not compared.
    pub totals_knee: Option<Knee>,
    /// The soak.
    pub soak: Option<Soak>,
    /// Which part of the run `kinds` is of.
    pub kinds_of: String,
    /// By kind of document.
    pub kinds: Vec<KindReport>,
    /// Errors of the whole run.
    pub errors: Vec<ErrorReport>,
    /// The sums of the whole run.
    pub sums: Sums,
    /// What a reader of these figures has to know.
    pub notes: Vec<String>,
    /// Whether a knee was found where one was looked for, nothing was lost in the soak, and all sums add up.
    pub passed: bool,
}

impl GatewayReport {
    /// The report as one JSON object.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// The report as one HTML page that needs nothing else.
    pub fn to_html(&self) -> String {
        super::html::page(self)
    }

    /// What a step of the ramp was found to be; empty for most.
    pub(crate) fn mark_of(&self, step: usize) -> &'static str {
        let is = |knee: &Option<Knee>| knee.as_ref().is_some_and(|knee| knee.step == step);
        match (is(&self.knee), is(&self.totals_knee)) {
            (true, _) => "knee",
            (false, true) => "totals keep up",
            (false, false) => "",
        }
    }

    /// Draws the conclusions: notes, and whether the run passed.
    pub(crate) fn conclude(&mut self) {
        let mut notes = Vec::new();
        if self.same_machine {
            notes.push(
                "Generator and server shared this machine's cores: a server alone on it does more than the knee says, and clients \
                 over a network see its latency too."
                    .to_owned(),
            );
        }
        let cores = self.machine.cores.max(1) as f64;
        if self.machine.load_before > cores * 0.5 {
            notes.push(format!(
                "Other work ran: a load of {:.1} on {} cores before the bench began. The same run on an idle machine gives other figures.",
                self.machine.load_before, self.machine.cores
            ));
        }
        if let Some(limit) = self.knee.as_ref().map(|knee| knee.limited_by)
            && limit == Verdict::Generator
        {
            notes.push("The generator was the limit: the gateway's knee is at least what stands here, and may be far above. Give it priority \
                        (nice -n -5), more --threads, or a machine of its own.".to_owned());
        }
        if let (Some(knee), Some(totals)) = (&self.knee, &self.totals_knee)
            && totals.rate < knee.rate
        {
            notes.push(format!(
                "Above {} requests a second the gateway takes more than the totals bear for long: the queue holds what is between, up to its \
                 limit. The soak's rate is a share of what the totals bear.",
                super::number::whole(totals.rate)
            ));
        }
        self.soak_notes(&mut notes);
        if !self.sums.not_compared.is_empty() {
            notes.push(format!(
                "Totals were not compared: {}.",
                self.sums.not_compared
            ));
        }
        notes.push(
            "A latency ends with the answer 202: the transaction is then durable in the queue, not yet in the totals. `daybook bench` \
             measures until it is on the page."
                .to_owned(),
        );
        notes.push("Documents are made up and alike: real ones differ in size and content. A template of your own is closer.".to_owned());
        self.notes = notes;
        let soaked = self.soak.as_ref().is_none_or(|soak| {
            soak.step.refused == 0 && soak.given_up == 0 && soak.step.achieved > 0.0
        });
        let searched = self.steps.is_empty() || self.knee.is_some();
        self.passed = soaked && searched && self.sums.add_up();
    }

    fn soak_notes(&self, notes: &mut Vec<String>) {
        let Some(soak) = &self.soak else { return };
        match soak.step.verdict {
            Verdict::Good => {}
            Verdict::Generator => notes.push(format!(
                "In the soak {}: its latencies are not the server's alone.",
                soak.step.why
            )),
            _ => notes.push(format!(
                "The soak did not keep what a step has to keep: {}.",
                soak.step.why
            )),
        }
        if soak.step.verdict == Verdict::Good
            && soak.step.late_p99_ms > soak.step.latency.p99_ms / 2.0
        {
            notes.push(format!(
                "Much of the soak's latency is the generator's own: its p99 was {:.1} ms late where a connection was free.",
                soak.step.late_p99_ms
            ));
        }
        if soak.step.waited_percent > 1.0 {
            notes.push(format!(
                "{:.1} % of the soak's requests waited for a free connection: the server did not keep up at times, or {} connections are \
                 too few.",
                soak.step.waited_percent, self.connections
            ));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn latency(p50_ms: f64) -> Latency {
        Latency {
            count: 1_000,
            p50_ms,
            p90_ms: p50_ms * 1.5,
            p99_ms: p50_ms * 4.0,
            p999_ms: p50_ms * 9.0,
            max_ms: p50_ms * 20.0,
        }
    }

    /// A step that kept up.
    pub(crate) fn step(offered: u64) -> Step {
        Step {
            offered: offered as f64,
            achieved: offered as f64,
            records_per_second: offered as f64 * 10.6,
            bytes_per_second: offered as f64 * 2_600.0,
            latency: latency(1.5),
            late_p99_ms: 1.2,
            behind_ms: Some(120.0),
            generator_cpu_percent: 30.0,
            generator_threads: 1,
            server_cpu_percent: Some(60.0),
            machine_cpu_percent: Some(55.0),
            ..Step::default()
        }
    }

    /// A report with everything in it, and text that has to be escaped.
    pub(crate) fn report() -> GatewayReport {
        let mut bad = step(2_000);
        bad.achieved = 1_500.0;
        bad.latency = latency(180.0);
        bad.later = 12;
        bad.verdict = Verdict::Errors;
        bad.why = "12 answers 503 or like it, 0 refusals, 0 broken connections".to_owned();
        let mut late = step(1_400);
        late.verdict = Verdict::Generator;
        late.why = "the generator sent late itself".to_owned();
        let second = |number: u64| Second {
            offered: 700,
            accepted: if number == 30 { 0 } else { 700 },
            faults: u64::from(number == 30),
            p50_ms: 1.0 + number as f64 / 100.0,
            p99_ms: 4.0,
            max_ms: 25.0,
            cpu_percent: Some(40.0 + (number % 7) as f64),
            rss_mib: Some(100.0 + number as f64 / 10.0),
        };
        let mut report = GatewayReport {
            version: "0.1.0".to_owned(),
            started_at: "2026-11-23T10:15:00Z".to_owned(),
            command: "daybook bench gateway --mix 'a<b>&\"c\"'".to_owned(),
            machine: Machine {
                processor: "Some <Processor> & Co".to_owned(),
                cores: 2,
                memory_mib: 24_000,
                system: "linux 6.1".to_owned(),
                load_before: 0.3,
            },
            gateway: "http://127.0.0.1:8081".to_owned(),
            same_machine: true,
            mix: "json:1=60,pain.001:10=40".to_owned(),
            seed: 7,
            accounts: 1_000,
            connections: 128,
            step_seconds: 10.0,
            steps: vec![step(1_000), bad, late],
            knee: Some(Knee {
                rate: 1_000,
                step: 0,
                too_much: Some(2_000),
                limited_by: Verdict::Errors,
                text: "1,000 requests/s, 10,600 records/s; 2,000/s was too much: errors".to_owned(),
            }),
            totals_knee: Some(Knee {
                rate: 1_000,
                step: 0,
                too_much: None,
                limited_by: Verdict::Good,
                text: "1,000 requests/s, 10,600 records/s".to_owned(),
            }),
            soak: Some(Soak {
                step: step(700),
                seconds: 60.0,
                retries: 1,
                given_up: 0,
                server: Some(Usage {
                    cpu_percent: 42.0,
                    rss_mib: 106.0,
                    rss_peak_mib: 110.0,
                    threads: Vec::new(),
                }),
                timeline: (0..60).map(second).collect(),
            }),
            kinds_of: "the soak".to_owned(),
            kinds: vec![KindReport {
                name: "json".to_owned(),
                source: "json".to_owned(),
                requests: 25_200,
                records: 25_200,
                bytes: 5_166_000,
                latency: latency(1.4),
            }],
            errors: vec![ErrorReport {
                name: "503 later".to_owned(),
                count: 12,
                example: "the queue is full <script>alert(1)</script>".to_owned(),
            }],
            sums: Sums {
                requests_sent: 60_012,
                requests_accepted: 60_000,
                records_sent: 636_000,
                records_accepted: 636_000,
                accounts_compared: 1_000,
                ..Sums::default()
            },
            ..GatewayReport::default()
        };
        report.conclude();
        report
    }

    #[test]
    fn what_fails_a_run() {
        let passed = |change: &dyn Fn(&mut GatewayReport)| {
            let mut report = report();
            change(&mut report);
            report.conclude();
            report.passed
        };
        let soak = |report: &mut GatewayReport, change: fn(&mut Soak)| {
            report.soak.as_mut().map(change).expect("a soak");
        };
        assert!(passed(&|_| {}));
        assert!(passed(&|report| report.soak = None));
        assert!(!passed(&|report| report.knee = None));
        assert!(!passed(&|report| report.sums.miscounted_count = 1));
        assert!(!passed(&|report| report.sums.differences_count = 1));
        assert!(!passed(&|report| soak(report, |soak| soak.given_up = 1)));
        assert!(!passed(&|report| soak(report, |soak| soak.step.refused = 1)));
        assert!(!passed(
            &|report| soak(report, |soak| soak.step.achieved = 0.0)
        ));
        assert!(passed(&|report| soak(report, |soak| soak.step.later = 1)));
    }
}
