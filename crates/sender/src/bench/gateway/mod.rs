//! `daybook bench gateway`: how much inbound traffic a gateway takes, and how it bears it for long.
//!
//! # Where to start reading
//!
//! `mix` and `template` make documents, `load` sends them in an open loop, `measure` runs one phase of that and
//! watches the machine, `totals` waits for what is behind the gateway, `ramp` and `search` look for the knee, `verify`
//! checks the sums, `report` and `html` say what was found. [`run`] ties them together: a trial of each kind, the ramp,
//! the soak, the sums.
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
mod ramp;
mod report;
mod run;
mod search;
mod summary;
mod template;
mod totals;
mod verify;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::report::Reporter;
use crate::target::Target;

use load::Phase;
use machine::Machine;
use measure::{Bench, Measured};
use mix::Mix;
use number::whole;
use options::check;
use ramp::{ramp, step_line};
use run::Run;
use totals::Totals;

pub use machine::Machine as BenchMachine;
pub use mix::{MIX_DEFAULT, TemplateFile};
pub use options::{GatewayBenchError, GatewayBenchOptions};
pub use report::{ErrorReport, GatewayReport, KindReport, Knee, Second, Soak, Step, Sums};
pub use search::{StepLimits, Verdict};

/// At the begin of a soak, at most: connections are opened, caches are warm.
const SOAK_SETTLE_MAX: Duration = Duration::from_secs(5);
/// Runs trial, ramp, soak and sums; the report also says whether the run passed.
///
/// Takes a step's length for each of some 10 to 20 steps, the soak, and what the totals need after each of them, as
/// long as they move: up to `settle_max` where they stand still. Not cancel safe: to stop it cancel `shutdown`; a soak
/// that is stopped is still reported.
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
    let totals = match web {
        None => Err("no web server was given".to_owned()),
        Some(web) => Totals::open(web, &options.aggregation, &run.prefix)
            .await
            .map_err(|error| types::report(&error)),
    };
    let bench = Bench {
        run: Arc::new(run),
        threads,
        connections: options.connections,
        pid: options.pid,
        progress: options.progress,
        stop: shutdown.child_token(),
        totals: totals.as_ref().ok(),
        totals_stood_still: AtomicBool::new(false),
        still_max: options.settle_max,
        reporter: &*reporter,
    };
    let mut numbers = Numbers { next: first };
    if options.rate.is_none() {
        let ramp = ramp(&bench, &options, &mut numbers).await?;
        if let Some(knee) = &ramp.knee {
            report.kinds = ramp.kinds.get(knee.step).cloned().unwrap_or_default();
            report.kinds_of = "the step at the knee".to_owned();
            reporter.say(&format!("knee: {}", knee.text));
        }
        if let Some(knee) = &ramp.totals_knee {
            reporter.say(&format!("the totals keep up with {}", knee.text));
        }
        report.steps = ramp.steps;
        (report.knee, report.totals_knee) = (ramp.knee, ramp.totals_knee);
    }
    let knee = report.totals_knee.as_ref().or(report.knee.as_ref());
    if let Some(rate) = soak_rate(&options, knee) {
        let measured = soak(&bench, &options, rate, &mut numbers).await?;
        report.kinds = measured.kinds.clone();
        report.kinds_of = "the soak".to_owned();
        report.soak = Some(soak_report(measured, &options, &shutdown));
    }
    report.errors = errors(&bench.run);
    report.sums = verify::sums(
        &bench.run,
        totals.as_ref().map_err(Clone::clone),
        options.settle_max,
        &shutdown,
        &|line| reporter.say(line),
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

fn soak_rate(options: &GatewayBenchOptions, knee: Option<&Knee>) -> Option<u64> {
    if options.soak.is_zero() {
        return None;
    }
    let share = |knee: &Knee| (knee.rate.saturating_mul(options.soak_percent) / 100).max(1);
    options.rate.or_else(|| knee.map(share))
}

async fn soak(
    bench: &Bench<'_>,
    options: &GatewayBenchOptions,
    rate: u64,
    numbers: &mut Numbers,
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
    bench
        .judge(&mut found.step, options.soak, &options.limits)
        .await;
    bench.reporter.say(&step_line(&title, &found.step));
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
