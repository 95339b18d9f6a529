//! One phase from begin to end: its load runs, server and machine are watched, and what came of it is a [`Step`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::GatewayBenchError;
use super::figures::Figures;
use super::load::{Phase, Running};
use super::machine::CoreTime;
use super::number::{measured, whole};
use super::report::{KindReport, Second, Step};
use super::run::Run;
use crate::bench::report::Latency;
use crate::bench::usage::{Sample, Usage};

/// How phases are run.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) run: Arc<Run>,
    pub(crate) threads: usize,
    pub(crate) connections: usize,
    pub(crate) pid: Option<u32>,
    pub(crate) progress: bool,
    pub(crate) stop: CancellationToken,
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

impl Bench {
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
        let server = self.pid.map(|pid| PathBuf::from(format!("/proc/{pid}")));
        let bar = self.bar(phase.requests());
        let mut watched = Vec::new();
        let mut before: Option<Watch> = None;
        let mut last: Option<Sample> = None;
        let ended = async {
            for end in ends {
                end.await.map_err(|_| GatewayBenchError::Failed)?;
            }
            Ok::<(), GatewayBenchError>(())
        };
        tokio::pin!(ended);
        let mut ticks =
            tokio::time::interval_at(running.at(Duration::ZERO), Duration::from_secs(1));
        loop {
            tokio::select! {
                biased;
                ended = &mut ended => break ended?,
                () = tokio::time::sleep_until(running.at(phase.settle)), if before.is_none() => {
                    before = Some(watch(server.as_deref()));
                }
                _ = ticks.tick() => {
                    let sample = server.as_deref().and_then(Sample::of);
                    watched.push(used(server.as_deref(), sample.as_ref(), last.as_ref()));
                    last = sample;
                    show(&bar, &running, title);
                }
            }
        }
        bar.finish_and_clear();
        let after = watch(server.as_deref());
        let now = running.now();
        let figures = running.figures().clone();
        let mut timeline = figures.seconds.clone().close(now);
        timeline.truncate(usize::try_from(now.div_ceil(1_000_000)).unwrap_or(usize::MAX));
        for (second, place) in timeline.iter_mut().zip(0..) {
            second.offered = phase.offered(place);
        }
        // The first tick is the phase's begin: what the second one says is of the first second.
        for (second, used) in timeline.iter_mut().zip(watched.iter().skip(1)) {
            second.cpu_percent = used.map(|(cpu, _)| cpu);
            second.rss_mib = used.map(|(_, rss)| rss);
        }
        let before = before.unwrap_or_else(|| watch(server.as_deref()));
        let usage = |after: &Option<Sample>, before: &Option<Sample>, path: &Path| {
            Some(after.as_ref()?.since(before.as_ref()?, path))
        };
        let used_by_server = server.and_then(|path| usage(&after.server, &before.server, &path));
        let used_by_us = usage(&after.own, &before.own, Path::new("/proc/self"));
        let mut step = step_of(&phase, &figures);
        step.server_cpu_percent = used_by_server.as_ref().map(|usage| usage.cpu_percent);
        step.generator_cpu_percent = used_by_us.map_or(0.0, |usage| usage.cpu_percent);
        step.generator_threads = self.threads;
        step.machine_cpu_percent = after
            .cores
            .and_then(|after| Some(after.busy_percent(before.cores?)));
        Ok(Measured {
            step,
            kinds: self.kinds(&figures),
            server: used_by_server,
            timeline,
            retries: figures.retries,
            given_up: figures.given_up,
        })
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

fn watch(server: Option<&Path>) -> Watch {
    Watch {
        server: server.and_then(Sample::of),
        own: Sample::of(Path::new("/proc/self")),
        cores: CoreTime::read(),
    }
}

/// Processor and memory of the server in the second between two samples.
fn used(
    server: Option<&Path>,
    after: Option<&Sample>,
    before: Option<&Sample>,
) -> Option<(f64, f64)> {
    let usage = after?.since(before?, server?);
    Some((usage.cpu_percent, usage.rss_mib))
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
