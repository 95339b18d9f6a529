//! One phase from begin to end: its load runs, server and machine are watched, and what came of it is a [`Step`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::GatewayBenchError;
use super::figures::Figures;
use super::load::{Ends, Phase, Running};
use super::machine::CoreTime;
use super::number::{measured, whole};
use super::report::{KindReport, Second, Step};
use super::run::Run;
use super::totals::Totals;
use crate::bench::plan::Micros;
use crate::bench::report::Latency;
use crate::bench::usage::{Sample, Usage};
use crate::report::Reporter;

/// How phases are run.
pub(crate) struct Bench<'a> {
    pub(crate) run: Arc<Run>,
    pub(crate) threads: usize,
    pub(crate) connections: usize,
    pub(crate) pid: Option<u32>,
    pub(crate) progress: bool,
    pub(crate) stop: CancellationToken,
    /// Where the totals are asked for.
    pub(crate) totals: Option<&'a Totals>,
    /// They stood still before they had everything: nobody waits for them again before the end of the run.
    pub(crate) totals_stood_still: AtomicBool,
    /// How long the totals may stand still before nobody waits for them.
    pub(crate) still_max: Duration,
    pub(crate) reporter: &'a dyn Reporter,
}

/// What came of a phase.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) step: Step,
    pub(crate) kinds: Vec<KindReport>,
    pub(crate) server: Option<Usage>,
    pub(crate) timeline: Vec<Second>,
    pub(crate) retries: u64,
    pub(crate) given_up: u64,
}

/// What was used at one moment.
struct Watch {
    server: Option<Sample>,
    own: Option<Sample>,
    cores: Option<CoreTime>,
}

impl Bench<'_> {
    /// Where the totals are asked for, if what was accepted can be seen there: only what is built in has accounts.
    pub(crate) fn totals(&self) -> Option<&Totals> {
        self.totals.filter(|_| {
            !self.totals_stood_still.load(Ordering::Relaxed) && self.run.books().has_accounts()
        })
    }

    /// Runs a phase. Ends early when the run is stopped.
    pub(crate) async fn phase(
        &self,
        phase: Phase,
        title: &str,
    ) -> Result<Measured, GatewayBenchError> {
        let connections = self.connections_for(phase.rate);
        let (running, ends) = Running::start(
            &self.run,
            phase.clone(),
            self.threads,
            connections,
            &self.stop,
        )
        .map_err(GatewayBenchError::Thread)?;
        let (before, seconds) = self.follow(&running, ends, title).await?;
        let after = self.watch();
        let now = running.now();
        let figures = running.figures().clone();
        let server = self.process().and_then(|path| {
            let usage = after.server.as_ref()?.since(before.server.as_ref()?, &path);
            Some(usage)
        });
        let own = after.own.as_ref().zip(before.own.as_ref());
        let generator = own.map(|(after, before)| after.since(before, Path::new("/proc/self")));
        let mut step = step_of(&phase, &figures);
        step.server_cpu_percent = server.as_ref().map(|usage| usage.cpu_percent);
        step.generator_cpu_percent = generator.map_or(0.0, |usage| usage.cpu_percent);
        step.generator_threads = self.threads;
        step.machine_cpu_percent = after
            .cores
            .zip(before.cores)
            .map(|(after, before)| after.busy_percent(before));
        Ok(Measured {
            step,
            kinds: self.kinds(&figures),
            server,
            timeline: timeline(&phase, &figures, &seconds, now),
            retries: figures.retries,
            given_up: figures.given_up,
        })
    }

    /// Watches a phase until its threads have ended; answers what was used when it had settled, and what the server
    /// used in each second.
    async fn follow(
        &self,
        running: &Running,
        ends: Ends,
        title: &str,
    ) -> Result<(Watch, Vec<Option<Used>>), GatewayBenchError> {
        let process = self.process();
        let bar = self.bar(running.phase.requests());
        let (mut before, mut last): (Option<Watch>, Option<Sample>) = (None, None);
        let mut seconds = Vec::new();
        let ended = async {
            for end in ends {
                end.await.map_err(|_| GatewayBenchError::Failed)?;
            }
            Ok::<(), GatewayBenchError>(())
        };
        tokio::pin!(ended);
        let begin = running.at(Duration::ZERO);
        let mut ticks = tokio::time::interval_at(begin, Duration::from_secs(1));
        loop {
            tokio::select! {
                biased;
                ended = &mut ended => break ended?,
                () = tokio::time::sleep_until(running.at(running.phase.settle)), if before.is_none() => {
                    before = Some(self.watch());
                }
                _ = ticks.tick() => {
                    let sample = process.as_deref().and_then(Sample::of);
                    seconds.push(used(process.as_deref(), sample.as_ref(), last.as_ref()));
                    last = sample;
                    show(&bar, running, title);
                }
            }
        }
        bar.finish_and_clear();
        Ok((before.unwrap_or_else(|| self.watch()), seconds))
    }

    /// Where Linux tells about the server.
    fn process(&self) -> Option<PathBuf> {
        self.pid.map(|pid| PathBuf::from(format!("/proc/{pid}")))
    }

    fn watch(&self) -> Watch {
        Watch {
            server: self.process().as_deref().and_then(Sample::of),
            own: Sample::of(Path::new("/proc/self")),
            cores: CoreTime::read(),
        }
    }

    /// With a low rate not all: each would be idle for so long that the gateway closes it.
    fn connections_for(&self, rate: u64) -> usize {
        let rate = usize::try_from(rate).unwrap_or(usize::MAX);
        self.connections.min(rate.max(4))
    }

    fn bar(&self, length: u64) -> ProgressBar {
        if !self.progress {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(length);
        if let Ok(style) = ProgressStyle::with_template("{bar:20} {percent:>3} %  {msg}") {
            bar.set_style(style.progress_chars("━━ "));
        }
        bar
    }

    fn kinds(&self, figures: &Figures) -> Vec<KindReport> {
        let kinds = self.run.mix.kinds.iter().zip(&figures.kinds);
        kinds
            .map(|(kind, figures)| KindReport {
                name: kind.name.clone(),
                source: kind.source.clone(),
                requests: figures.requests,
                records: figures.records,
                bytes: figures.bytes,
                latency: Latency::of(&figures.latency),
            })
            .collect()
    }
}

/// What a process used in a second.
#[derive(Debug, Clone, Copy)]
struct Used {
    cpu_percent: f64,
    rss_mib: f64,
}

/// Processor and memory of the server in the second between two samples.
fn used(server: Option<&Path>, after: Option<&Sample>, before: Option<&Sample>) -> Option<Used> {
    let usage = after?.since(before?, server?);
    Some(Used {
        cpu_percent: usage.cpu_percent,
        rss_mib: usage.rss_mib,
    })
}

/// The seconds of a phase until `now`, with what was due and used in them.
fn timeline(phase: &Phase, figures: &Figures, used: &[Option<Used>], now: Micros) -> Vec<Second> {
    let mut timeline = figures.seconds.clone().close(now);
    timeline.truncate(usize::try_from(now.div_ceil(1_000_000)).unwrap_or(usize::MAX));
    for (second, place) in timeline.iter_mut().zip(0..) {
        second.offered = phase.offered(place);
    }
    // The first tick is the phase's begin: what the second one says is of the first second.
    for (second, used) in timeline.iter_mut().zip(used.iter().skip(1)) {
        second.cpu_percent = used.map(|used| used.cpu_percent);
        second.rss_mib = used.map(|used| used.rss_mib);
    }
    timeline
}

fn show(bar: &ProgressBar, running: &Running, title: &str) {
    let figures = running.figures();
    let p99 = Latency::of(&figures.latency).p99_ms;
    bar.set_position(figures.done + figures.unsent);
    bar.set_message(format!(
        "{title}: {} accepted, {} later, {} refused, {} broken, p99 {} ms",
        whole(figures.done - figures.refused - figures.given_up),
        whole(figures.later),
        whole(figures.refused),
        whole(figures.broken),
        measured(p99)
    ));
}

/// A phase's figures as rates and percentiles; who used what is not in them.
fn step_of(phase: &Phase, figures: &Figures) -> Step {
    let window = phase.duration.saturating_sub(phase.settle).as_secs_f64();
    // Counts and bytes of a run are below 2^53: exact as floats.
    let a_second = |count: u64| count as f64 / window.max(0.001);
    let offered = phase.rate as f64;
    let (requests, records, bytes) = figures.within;
    // What is due last is answered behind the end: one request is no lack.
    let achieved = match (requests + 1) as f64 >= offered * window {
        true => a_second(requests).max(offered),
        false => a_second(requests),
    };
    Step {
        offered,
        achieved,
        records_per_second: a_second(records),
        bytes_per_second: a_second(bytes),
        latency: Latency::of(&figures.latency),
        late_p99_ms: Latency::of(&figures.late).p99_ms,
        waited_percent: figures.waited as f64 / figures.requests.max(1) as f64 * 100.0,
        unsent: figures.unsent,
        later: figures.later,
        refused: figures.refused,
        broken: figures.broken,
        ..Step::default()
    }
}
