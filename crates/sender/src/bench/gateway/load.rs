//! The open loop of one phase: requests leave when they are due, whatever became of those before.
//!
//! A phase has threads of its own, each with its share of the connections; they draw requests from one counter.
//! What they measure goes into one [`Figures`]. A connection makes its next request before it is due, so that
//! making it delays nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::plan::Micros;
use super::figures::Figures;
use super::run::{Run, accepted_in};
use crate::http::{Answer, HttpError};
use crate::post::{Poster, detail, is_later};
use crate::random::Random;
use crate::retry::Backoff;

/// Between the start of the threads and the first request, to open nothing late.
const HEAD_START: Duration = Duration::from_millis(100);

/// One phase as arithmetic.
#[derive(Debug, Clone)]
pub(crate) struct Phase {
    /// Requests a second.
    pub(crate) rate: u64,
    pub(crate) duration: Duration,
    /// At the begin, not measured.
    pub(crate) settle: Duration,
    /// Number of the first request in the run.
    pub(crate) first: u64,
    /// How long a request is repeated that was answered with *later*, or not at all.
    pub(crate) retry_for: Duration,
    /// A request that finds no connection so long after the phase's end is not sent; never where it is `None`.
    pub(crate) grace: Option<Duration>,
}

fn micros(time: Duration) -> Micros {
    Micros::try_from(time.as_micros()).unwrap_or(Micros::MAX)
}

impl Phase {
    /// How many are due.
    pub(crate) fn requests(&self) -> u64 {
        let requests = u128::from(self.rate) * self.duration.as_micros() / 1_000_000;
        u64::try_from(requests).unwrap_or(u64::MAX).max(1)
    }

    /// When a request is due, from the phase's begin.
    pub(crate) fn due(&self, request: u64) -> Micros {
        let micros = u128::from(request) * 1_000_000 / u128::from(self.rate.max(1));
        u64::try_from(micros).unwrap_or(u64::MAX)
    }

    /// How many are due within second `second` of the phase.
    pub(crate) fn offered(&self, second: u64) -> u64 {
        let until = |second: u64| self.rate.saturating_mul(second).min(self.requests());
        until(second + 1) - until(second)
    }
}

/// A phase that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) phase: Phase,
    run: Arc<Run>,
    begun: Instant,
    next: AtomicU64,
    figures: Mutex<Figures>,
    stop: CancellationToken,
}

/// Threads of a phase; each channel ends with its thread.
pub(crate) type Ends = Vec<tokio::sync::oneshot::Receiver<()>>;

impl Running {
    /// Starts the threads of a phase.
    pub(crate) fn start(
        run: &Arc<Run>,
        phase: Phase,
        threads: usize,
        connections: usize,
        stop: &CancellationToken,
    ) -> std::io::Result<(Arc<Self>, Ends)> {
        let running = Arc::new(Self {
            figures: Mutex::new(Figures::new(run.mix.kinds.len())),
            run: Arc::clone(run),
            phase,
            begun: Instant::now() + HEAD_START,
            next: AtomicU64::new(0),
            stop: stop.clone(),
        });
        let threads = threads.clamp(1, connections.max(1));
        let mut ends = Vec::new();
        for thread in 0..threads {
            let share = connections / threads + usize::from(thread < connections % threads);
            let (sender, end) = tokio::sync::oneshot::channel();
            let running = Arc::clone(&running);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let body = move || {
                runtime.block_on(running.connections(share));
                // Nobody waits any more only if the run was dropped.
                let _ = sender.send(());
            };
            std::thread::Builder::new()
                .name(format!("bench-load-{thread}"))
                .spawn(body)?;
            ends.push(end);
        }
        Ok((running, ends))
    }

    /// Microseconds since the phase began.
    pub(crate) fn now(&self) -> Micros {
        micros(Instant::now().saturating_duration_since(self.begun))
    }

    /// A moment of the phase.
    pub(crate) fn at(&self, time: Duration) -> Instant {
        self.begun + time
    }

    pub(crate) fn figures(&self) -> MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connections(self: Arc<Self>, count: usize) {
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..count {
            all.spawn(Arc::clone(&self).connection());
        }
        while let Some(ended) = all.join_next().await {
            if let Err(error) = ended
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }

    /// Sends requests over one connection until none is left.
    async fn connection(self: Arc<Self>) {
        let target = self.run.target.clone();
        let mut poster = Poster::new(target, Duration::ZERO, self.stop.clone());
        let (mut body, mut bytes) = (Vec::new(), Vec::new());
        while !self.stop.is_cancelled() {
            let request = self.next.fetch_add(1, Ordering::Relaxed);
            if request >= self.phase.requests() {
                return;
            }
            let number = self.phase.first + request;
            let kind = self.run.make(number, &mut body, &mut bytes);
            let due = self.phase.due(request);
            let had_to_wait = self.now() > due;
            if !had_to_wait {
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return,
                    () = tokio::time::sleep_until(self.at(Duration::from_micros(due))) => {}
                }
            }
            if self.left_unsent() {
                continue;
            }
            self.leaves(due, had_to_wait);
            if let Some(answer) = self.exchange(&mut poster, &bytes).await {
                let now = self.now();
                // The clock is read before: keeping the books is the bench's time, not the server's.
                let expected = self.run.mix.kinds.get(kind).map_or(1, |kind| kind.expected);
                self.run.enter(number, accepted_in(&answer.body, expected));
                self.accepted(kind, due, now, body.len() as u64);
            }
        }
    }

    fn left_unsent(&self) -> bool {
        let Some(grace) = self.phase.grace else {
            return false;
        };
        let is_over = self.now() > micros(self.phase.duration.saturating_add(grace));
        if is_over {
            self.figures().unsent += 1;
        }
        is_over
    }

    fn leaves(&self, due: Micros, had_to_wait: bool) {
        let late = self.now().saturating_sub(due);
        self.run.books().sent += 1;
        let mut figures = self.figures();
        figures.requests += 1;
        if had_to_wait {
            figures.waited += 1;
        } else if due >= micros(self.phase.settle) {
            figures.late.saturating_record(late.max(1));
        }
    }

    /// Sends a request until it is accepted or refused, or for as long as may be; the answer that accepts.
    async fn exchange(&self, poster: &mut Poster, bytes: &[u8]) -> Option<Answer> {
        let begun = Instant::now();
        let mut backoff: Option<Backoff> = None;
        let mut is_unknown = false;
        loop {
            let attempt = tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    self.run.books().unknown += 1;
                    return None;
                }
                attempt = poster.attempt(bytes, b"") => attempt,
            };
            let retry_after = match attempt {
                Ok(answer) if answer.status == 202 => return Some(answer),
                Ok(answer) if is_later(answer.status) => {
                    self.later(&answer);
                    answer.retry_after
                }
                Ok(answer) => {
                    self.refused(&answer);
                    return None;
                }
                Err(error) => {
                    // A connection that was never open has carried nothing.
                    is_unknown |= !matches!(error, HttpError::Connect { .. });
                    self.broken(&error);
                    None
                }
            };
            let pause = backoff
                .get_or_insert_with(|| Backoff::new(Random::from_clock()))
                .next(retry_after);
            if begun.elapsed().saturating_add(pause) > self.phase.retry_for {
                self.give_up(is_unknown);
                return None;
            }
            self.figures().retries += 1;
            tokio::select! {
                biased;
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn later(&self, answer: &Answer) {
        let name = format!("{} later", answer.status);
        self.run.fault(&name, &detail(answer));
        let now = self.now();
        let mut figures = self.figures();
        figures.later += 1;
        figures.seconds.fault(now);
    }

    fn refused(&self, answer: &Answer) {
        let name = format!("{} refused", answer.status);
        self.run.fault(&name, &detail(answer));
        self.run.books().refused += 1;
        let now = self.now();
        let mut figures = self.figures();
        figures.refused += 1;
        figures.done += 1;
        figures.seconds.fault(now);
    }

    fn broken(&self, error: &HttpError) {
        let name = match error {
            HttpError::Connect { .. } => "cannot connect",
            HttpError::Broken(_) | HttpError::Closed => "the connection broke",
            HttpError::Slow(_) => "no answer in time",
            HttpError::Protocol(_) => "the answer is not HTTP/1.1",
        };
        self.run.fault(name, &types::report(error));
        let now = self.now();
        let mut figures = self.figures();
        figures.broken += 1;
        figures.seconds.fault(now);
    }

    fn give_up(&self, is_unknown: bool) {
        if is_unknown {
            self.run.books().unknown += 1;
        }
        let mut figures = self.figures();
        figures.given_up += 1;
        figures.done += 1;
    }

    fn accepted(&self, kind: usize, due: Micros, now: Micros, bytes: u64) {
        let latency = now.saturating_sub(due).max(1);
        let records = self.run.mix.kinds.get(kind).map_or(1, |kind| kind.expected);
        let settled = micros(self.phase.settle);
        let mut figures = self.figures();
        let figures = &mut *figures;
        figures.done += 1;
        figures.seconds.accepted(now, latency);
        if (settled..=micros(self.phase.duration)).contains(&now) {
            figures.within.0 += 1;
            figures.within.1 += records;
            figures.within.2 += bytes;
        }
        if due < settled {
            return;
        }
        figures.latency.saturating_record(latency);
        if let Some(kind) = figures.kinds.get_mut(kind) {
            kind.requests += 1;
            kind.records += records;
            kind.bytes += bytes;
            kind.latency.saturating_record(latency);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(rate: u64, seconds: u64) -> Phase {
        Phase {
            rate,
            duration: Duration::from_secs(seconds),
            settle: Duration::ZERO,
            first: 0,
            retry_for: Duration::ZERO,
            grace: None,
        }
    }

    #[test]
    fn requests_are_due_at_a_constant_rate() {
        let three = phase(3, 4);
        assert_eq!(three.requests(), 12);
        let due: Vec<Micros> = (0..4).map(|request| three.due(request)).collect();
        assert_eq!(due, [0, 333_333, 666_666, 1_000_000]);
        let offered: Vec<u64> = (0..6).map(|second| three.offered(second)).collect();
        assert_eq!(offered, [3, 3, 3, 3, 0, 0]);
        assert_eq!(phase(1, 0).requests(), 1, "a phase is never empty");
        assert!(phase(u64::MAX, u64::MAX / 2_000_000).due(u64::MAX) <= 1_000_000);
    }
}
