//! `daybook bench gateway`: how much inbound traffic a gateway takes, and how it bears it for long.
//!
//! # Where to start reading
//!
//! `mix` and `template` make documents, `load` sends them in an open loop, `measure` runs one phase of that and
//! watches the machine, `search` looks for the knee, `verify` checks the sums, `report` and `html` say what was
//! found. [`run`] ties them together: a trial of each kind, the ramp, the soak, the sums.
//!
//! # Invariants
//!
//! - **Latency begins when a request was due**, not when it was sent.
//! - **A late generator is no slow server**: such a step is no measurement, and says so.
//! - **Everything is accounted for**: what was accepted adds up, by the answers and on the page's API.
//! - Memory depends on accounts, kinds and seconds, not on the number of requests.

mod chart;
mod figures;
mod html;
mod load;
mod machine;
mod measure;
mod mix;
mod number;
mod options;
mod plots;
mod report;
mod run;
mod search;
mod summary;
mod template;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::report::Reporter;
use crate::target::Target;

use load::Phase;
use machine::Machine;
use measure::{Bench, Measured};
use mix::Mix;
use number::{bytes, measured, whole};
use options::check;
use run::Run;
use search::{Search, judge};

pub use machine::Machine as BenchMachine;
pub use mix::{MIX_DEFAULT, TemplateFile};
pub use options::{GatewayBenchError, GatewayBenchOptions};
pub use report::{ErrorReport, GatewayReport, KindReport, Knee, Second, Soak, Step, Sums};
pub use search::{StepLimits, Verdict};

/// Between two steps: what was still queued goes on its way.
const PAUSE: Duration = Duration::from_secs(1);
/// At the begin of a step, at most: connections are opened, caches are warm again.
const SETTLE_MAX: Duration = Duration::from_secs(1);
/// The same of a soak.
const SOAK_SETTLE_MAX: Duration = Duration::from_secs(5);
/// A request that finds no connection so long after its step's end is not sent.
const GRACE: Duration = Duration::from_secs(1);
/// How long a step repeats a request: its rate is too much in any case then.
const STEP_RETRY_FOR: Duration = Duration::from_secs(5);
/// What the ramp found.
#[derive(Debug, Default)]
struct Ramp {
    steps: Vec<Step>,
    /// By kind, a step.
    kinds: Vec<Vec<KindReport>>,
    knee: Option<Knee>,
}

/// Runs trial, ramp, soak and sums; the report also says whether the run passed.
///
/// Takes a step's length and a second for each of some 10 to 20 steps, the soak, and up to `settle_max`. Not cancel
/// safe: to stop it cancel `shutdown`; a soak that is stopped is still reported.
///
/// # Errors
///
/// [`GatewayBenchError`] when nothing could be measured. A gateway that fails under the load is no error: it is in
/// the report.
pub async fn run(
    options: GatewayBenchOptions,
    reporter: Arc<dyn Reporter>,
    shutdown: CancellationToken,
) -> Result<GatewayReport, GatewayBenchError> {
    check(&options)?;
    let now = Timestamp::now();
    let clock = u64::try_from(now.as_millisecond()).unwrap_or(0);
    let target = Target::parse(&options.gateway)?;
    let web = options.web.as_deref().map(Target::parse).transpose()?;
    // One time for all keeps the whole run in one business day.
    let mix = Mix::parse(options.mix.as_deref(), &options.templates, now)?;
    let seed = options.seed.unwrap_or(clock);
    let machine = Machine::read();
    let threads = match options.threads {
        0 => (machine.cores / 4).clamp(1, 4),
        given => given,
    };
    let mut run = Run::new(mix, target, seed, options.accounts);
    verify::trial(&mut run).await?;
    let mut report = GatewayReport {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: format!("{now:.0}"),
        command: options.command.clone(),
        machine,
        gateway: options.gateway.clone(),
        same_machine: is_loopback(run.target.host()),
        mix: run.mix.to_string(),
        seed,
        accounts: options.accounts,
        connections: options.connections,
        step_seconds: options.step.as_secs_f64(),
        limits: options.limits,
        ..GatewayReport::default()
    };
    reporter.say(&format!(
        "{}: {:.1} records a request on average; accounts {}0 to {}",
        report.mix,
        run.mix.records_a_request(),
        run.prefix,
        options.accounts - 1
    ));
    // What the trial has used is not used again.
    let first = run.mix.turns();
    let bench = Bench {
        run: Arc::new(run),
        threads,
        connections: options.connections,
        pid: options.pid,
        progress: options.progress,
        stop: shutdown.child_token(),
    };
    let mut numbers = Numbers { next: first };
    if options.rate.is_none() {
        let ramp = ramp(&bench, &options, &mut numbers, &*reporter).await?;
        if let Some(knee) = &ramp.knee {
            report.kinds = ramp.kinds.get(knee.step).cloned().unwrap_or_default();
            report.kinds_of = "the step at the knee".to_owned();
            reporter.say(&format!("knee: {}", knee.text));
        }
        (report.steps, report.knee) = (ramp.steps, ramp.knee);
    }
    let rate = soak_rate(&options, report.knee.as_ref());
    if let Some(rate) = rate {
        let measured = soak(&bench, &options, rate, &mut numbers, &*reporter).await?;
        report.kinds = measured.kinds.clone();
        report.kinds_of = "the soak".to_owned();
        report.soak = Some(soak_report(measured, &options, &shutdown));
    }
    report.errors = errors(&bench.run);
    report.sums = verify::sums(
        &bench.run,
        web.as_ref(),
        &options.aggregation,
        options.settle_max,
        &shutdown,
    )
    .await;
    report.conclude();
    Ok(report)
}

/// Numbers of requests, each used once.
#[derive(Debug)]
struct Numbers {
    next: u64,
}

impl Numbers {
    fn take(&mut self, mut phase: Phase) -> Phase {
        phase.first = self.next;
        self.next += phase.requests();
        phase
    }
}

async fn ramp(
    bench: &Bench,
    options: &GatewayBenchOptions,
    numbers: &mut Numbers,
    reporter: &dyn Reporter,
) -> Result<Ramp, GatewayBenchError> {
    let mut search = Search::new(
        options.start,
        options.factor,
        options.rate_max,
        options.bisections,
    );
    let mut ramp = Ramp::default();
    while let Some(rate) = search.next() {
        let phase = numbers.take(Phase {
            rate,
            duration: options.step,
            settle: SETTLE_MAX.min(options.step / 4),
            first: 0,
            retry_for: STEP_RETRY_FOR,
            grace: Some(GRACE),
        });
        let title = format!("step {}, {}/s", ramp.steps.len() + 1, whole(rate));
        let mut found = bench.phase(phase, &title).await?;
        if bench.stop.is_cancelled() {
            return Err(GatewayBenchError::Stopped);
        }
        let step = &mut found.step;
        (step.verdict, step.why) = judge(step, &options.limits);
        search.record(rate, step.verdict);
        reporter.say(&step_line(&title, step));
        ramp.steps.push(found.step);
        ramp.kinds.push(found.kinds);
        tokio::time::sleep(PAUSE.min(options.step)).await;
    }
    ramp.knee = knee(&search, &ramp.steps);
    Ok(ramp)
}

fn step_line(title: &str, step: &Step) -> String {
    let why = match step.why.is_empty() {
        true => String::new(),
        false => format!(" ({})", step.why),
    };
    format!(
        "{title}: accepted {}/s, {} records/s, p50 {} ms, p99 {} ms, max {} ms: {}{why}",
        measured(step.achieved),
        measured(step.records_per_second),
        measured(step.latency.p50_ms),
        measured(step.latency.p99_ms),
        measured(step.latency.max_ms),
        step.verdict.text()
    )
}

/// What a search has found, with the step that says it.
fn knee(search: &Search, steps: &[Step]) -> Option<Knee> {
    let rate = search.knee()?;
    let is_it = |step: &Step| step.verdict == Verdict::Good && step.offered == rate as f64;
    let place = steps.iter().rposition(is_it)?;
    let step = steps.get(place)?;
    let mut text = format!(
        "{} requests/s, {} records/s, {}/s, with p50 {} ms and p99 {} ms",
        whole(rate),
        measured(step.records_per_second),
        bytes(step.bytes_per_second),
        measured(step.latency.p50_ms),
        measured(step.latency.p99_ms)
    );
    let Some((too_much, limited_by)) = search.limit() else {
        text.push_str("; the largest rate allowed, so the knee is at least there");
        return Some(Knee {
            rate,
            step: place,
            text,
            ..Knee::default()
        });
    };
    let failed = |step: &&Step| step.verdict != Verdict::Good && step.offered == too_much as f64;
    let why = steps.iter().rfind(failed).map_or("", |step| &*step.why);
    let said = match limited_by {
        Verdict::Generator => "the knee is at least there, for at",
        _ => "limited at",
    };
    text.push_str(&format!("; {said} {}/s: {why}", whole(too_much)));
    Some(Knee {
        rate,
        step: place,
        too_much: Some(too_much),
        limited_by,
        text,
    })
}

fn soak_rate(options: &GatewayBenchOptions, knee: Option<&Knee>) -> Option<u64> {
    if options.soak.is_zero() {
        return None;
    }
    let share = |knee: &Knee| (knee.rate.saturating_mul(options.soak_percent) / 100).max(1);
    options.rate.or_else(|| knee.map(share))
}

async fn soak(
    bench: &Bench,
    options: &GatewayBenchOptions,
    rate: u64,
    numbers: &mut Numbers,
    reporter: &dyn Reporter,
) -> Result<Measured, GatewayBenchError> {
    let phase = numbers.take(Phase {
        rate,
        duration: options.soak,
        settle: SOAK_SETTLE_MAX.min(options.soak / 10),
        first: 0,
        retry_for: options.retry_for,
        grace: None,
    });
    let title = format!("soak, {}/s", whole(rate));
    let mut found = bench.phase(phase, &title).await?;
    let step = &mut found.step;
    (step.verdict, step.why) = judge(step, &options.limits);
    reporter.say(&step_line(&title, step));
    Ok(found)
}

fn soak_report(
    measured: Measured,
    options: &GatewayBenchOptions,
    shutdown: &CancellationToken,
) -> Soak {
    // A stopped soak is as long as its seconds.
    let seconds = match shutdown.is_cancelled() {
        true => measured.timeline.len() as f64,
        false => options.soak.as_secs_f64(),
    };
    Soak {
        step: measured.step,
        seconds,
        retries: measured.retries,
        given_up: measured.given_up,
        server: measured.server,
        timeline: measured.timeline,
    }
}

fn errors(run: &Run) -> Vec<ErrorReport> {
    let books = run.books();
    let errors = books.errors.iter();
    errors
        .map(|(name, (count, example))| ErrorReport {
            name: name.clone(),
            count: *count,
            example: example.clone(),
        })
        .collect()
}

fn is_loopback(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests;
