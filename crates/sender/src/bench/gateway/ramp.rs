//! Rates one after the other: until the gateway does not keep up, then between those until the totals do.
//!
//! After each step everything goes its way into the totals before the next begins, so that no step is judged by what
//! another left behind.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::load::Phase;
use super::measure::Bench;
use super::number::{bytes, measured, whole};
use super::report::{KindReport, Knee, Step};
use super::search::{Search, Verdict, judge, judge_totals};
use super::{GatewayBenchError, GatewayBenchOptions, Numbers, StepLimits};

/// Between two steps where nobody can be asked for the totals: what was still queued goes on its way.
const PAUSE: Duration = Duration::from_secs(1);
/// At the begin of a step, at most: connections are opened, caches are warm again.
const SETTLE_MAX: Duration = Duration::from_secs(1);
/// A request that finds no connection so long after its step's end is not sent.
const GRACE: Duration = Duration::from_secs(1);
/// How long a step repeats a request: its rate is too much in any case then.
const STEP_RETRY_FOR: Duration = Duration::from_secs(5);

/// What the ramp found.
#[derive(Debug, Default)]
pub(crate) struct Ramp {
    pub(crate) steps: Vec<Step>,
    /// By kind, a step.
    pub(crate) kinds: Vec<Vec<KindReport>>,
    pub(crate) knee: Option<Knee>,
    pub(crate) totals_knee: Option<Knee>,
}

pub(crate) async fn ramp(
    bench: &Bench<'_>,
    options: &GatewayBenchOptions,
    numbers: &mut Numbers,
) -> Result<Ramp, GatewayBenchError> {
    let mut search = Search::new(
        options.start,
        options.factor,
        options.rate_max,
        options.bisections,
    );
    let mut ramp = Ramp::default();
    while let Some(rate) = search.next() {
        let verdict = ramp.step(rate, bench, options, numbers).await?;
        search.record(rate, verdict.of_gateway());
    }
    ramp.knee = knee(&search, &ramp.steps, Verdict::of_gateway);
    if bench.totals().is_none() || ramp.knee.is_none() {
        return Ok(ramp);
    }
    let Some(mut search) = Search::of_totals(&ramp.steps, options.bisections) else {
        ramp.totals_knee.clone_from(&ramp.knee);
        return Ok(ramp);
    };
    while let Some(rate) = search.next() {
        let verdict = ramp.step(rate, bench, options, numbers).await?;
        search.record(rate, verdict);
    }
    ramp.totals_knee = knee(&search, &ramp.steps, |verdict| verdict);
    Ok(ramp)
}

impl Ramp {
    /// Runs one step, and waits for the totals of what was accepted in it.
    async fn step(
        &mut self,
        rate: u64,
        bench: &Bench<'_>,
        options: &GatewayBenchOptions,
        numbers: &mut Numbers,
    ) -> Result<Verdict, GatewayBenchError> {
        let phase = numbers.take(Phase {
            rate,
            duration: options.step,
            settle: SETTLE_MAX.min(options.step / 4),
            first: 0,
            retry_for: STEP_RETRY_FOR,
            grace: Some(GRACE),
        });
        let title = format!("step {}, {}/s", self.steps.len() + 1, whole(rate));
        let mut found = bench.phase(phase, &title).await?;
        bench
            .judge(&mut found.step, options.step, &options.limits)
            .await;
        if bench.stop.is_cancelled() {
            return Err(GatewayBenchError::Stopped);
        }
        bench.reporter.say(&step_line(&title, &found.step));
        let verdict = found.step.verdict;
        self.steps.push(found.step);
        self.kinds.push(found.kinds);
        if bench.totals().is_none() {
            tokio::time::sleep(PAUSE.min(options.step)).await;
        }
        Ok(verdict)
    }
}

impl Bench<'_> {
    /// Says of a step that has ended whether gateway and totals kept up; waits until the totals have everything.
    pub(crate) async fn judge(&self, step: &mut Step, length: Duration, limits: &StepLimits) {
        (step.verdict, step.why) = judge(step, limits);
        let Some(totals) = self.totals() else { return };
        let all = self.run.books().in_accounts();
        let say = |line: &str| self.reporter.say(line);
        let behind = match totals.wait(all, self.still_max, &self.stop, &say).await {
            Ok(behind) => behind,
            Err(error) => {
                say(&format!(
                    "the totals cannot be asked for: {}",
                    types::report(&error)
                ));
                return;
            }
        };
        if behind.is_none() {
            self.totals_stood_still.store(true, Ordering::Relaxed);
        }
        step.behind_ms = behind.map(|behind| behind.as_secs_f64() * 1_000.0);
        // Where the gateway had enough, or nothing was measured, that is what there is to say.
        if step.verdict == Verdict::Good && !self.stop.is_cancelled() {
            (step.verdict, step.why) = judge_totals(step, length, behind, limits);
        }
    }
}

pub(crate) fn step_line(title: &str, step: &Step) -> String {
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

/// What a search has found, with the step that says it; `as_searched` is what the search was told of a verdict.
fn knee(search: &Search, steps: &[Step], as_searched: fn(Verdict) -> Verdict) -> Option<Knee> {
    let rate = search.knee()?;
    let is_good = |step: &Step| as_searched(step.verdict) == Verdict::Good;
    let place = steps
        .iter()
        .rposition(|step| is_good(step) && step.offered == rate as f64)?;
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
    let failed = |step: &&Step| !is_good(step) && step.offered == too_much as f64;
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
