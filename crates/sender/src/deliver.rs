//! Several connections that work off one list of requests, and the sums of what became of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::post::{Parcel, PostError, Poster};
use crate::progress::Progress;
use crate::report::{Outcome, Problem, SendReport};
use crate::target::Target;

/// Why sending ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The gateway's address cannot be used.
    #[error(transparent)]
    Target(#[from] crate::target::BadTarget),
    /// The name of the source cannot be one.
    #[error("the source {0:?} cannot be one: a name has 1 to 64 of a-z 0-9 . _ -")]
    SourceName(String),
    /// A setting cannot be used.
    #[error("`{name}` is {value}, but must be {rule}")]
    Option {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        rule: &'static str,
    },
    /// A file cannot be read.
    #[error("cannot read {path}")]
    File {
        /// Which.
        path: String,
        /// From the operating system.
        #[source]
        source: std::io::Error,
    },
    /// The gateway has no such source.
    #[error("{detail}")]
    UnknownSource {
        /// What the gateway says, with the sources it has.
        detail: String,
    },
    /// There was no answer that counts for as long as was allowed.
    #[error("gave up at {at} after {} s: {last}", .waited.as_secs())]
    GaveUp {
        /// File and record.
        at: String,
        /// How long it was tried.
        waited: Duration,
        /// What happened last.
        last: String,
        /// What was sent until then.
        report: Box<SendReport>,
    },
    /// The gateway found more records in a request than numbers were set aside for.
    #[error(
        "{at}: the gateway counts {found} records where {expected} were expected, so that ids would collide"
    )]
    Miscounted {
        /// File and record.
        at: String,
        /// Records by the gateway's count.
        found: u64,
        /// Records by ours.
        expected: u64,
    },
}

/// One request of a run.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) parcel: Parcel,
    pub(crate) file: Arc<str>,
    /// Records in it, at most; `None` where they were not counted.
    pub(crate) records: Option<u64>,
    /// How far the bar moves when it is answered.
    pub(crate) weight: u64,
}

impl Job {
    fn place(&self) -> String {
        match self.parcel.first_record {
            Some(first) => format!("{}, record {first}", self.file),
            None => self.file.to_string(),
        }
    }
}

/// How a run is delivered.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) target: Target,
    pub(crate) connections: usize,
    pub(crate) retry_for: Duration,
    pub(crate) records_per_second: Option<u64>,
    pub(crate) shutdown: CancellationToken,
}

/// Sums of a run, shared by its connections.
pub(crate) struct Tally {
    report: Mutex<(SendReport, u64)>,
    pub(crate) progress: Progress,
    begun: std::time::Instant,
}

impl Tally {
    pub(crate) fn new(progress: Progress) -> Self {
        Self {
            report: Mutex::default(),
            progress,
            begun: std::time::Instant::now(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, (SendReport, u64)> {
        // Sums stay true when a holder panicked between two additions; the panic is reported itself.
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn file_done(&self) {
        self.lock().0.files += 1;
    }

    pub(crate) fn problem(&self, problem: Problem) {
        self.lock().0.add_problem(problem);
    }

    pub(crate) fn refused_unsent(&self, problem: Problem) {
        self.lock().0.refused += 1;
        self.problem(problem);
    }

    fn retry(&self, error: &str, pause: Duration) {
        self.lock().0.retries += 1;
        self.progress.retrying(error, pause);
    }

    fn answered(&self, job: &Job, outcome: Outcome) {
        let mut shared = self.lock();
        let (report, position) = &mut *shared;
        *position += job.weight;
        report.requests += 1;
        report.bytes += job.parcel.body.len() as u64;
        report.records += outcome.accepted + outcome.refused;
        report.accepted += outcome.accepted;
        report.refused += outcome.refused;
        for problem in outcome.problems {
            report.add_problem(problem);
        }
        self.progress.answered(*position, report);
    }

    /// The sums so far.
    pub(crate) fn report(&self) -> SendReport {
        let mut report = self.lock().0.clone();
        report.elapsed = self.begun.elapsed();
        report
    }
}

/// Spreads requests over time, whatever the number of connections.
#[derive(Debug)]
struct Pacer {
    records_per_second: u64,
    next: Instant,
}

impl Pacer {
    /// When a request of so many records may be sent. What was missed is not made up for.
    fn reserve(&mut self, records: u64, now: Instant) -> Instant {
        let at = self.next.max(now);
        let micros = records.saturating_mul(1_000_000) / self.records_per_second.max(1);
        self.next = at + Duration::from_micros(micros);
        at
    }
}

/// Posts all jobs; returns when there are no more, or at the first error.
pub(crate) async fn deliver(
    setup: &Setup,
    jobs: mpsc::Receiver<Job>,
    tally: &Arc<Tally>,
) -> Result<(), SendError> {
    let jobs = Arc::new(tokio::sync::Mutex::new(jobs));
    let pacer = setup.records_per_second.map(|records_per_second| {
        Arc::new(Mutex::new(Pacer {
            records_per_second,
            next: Instant::now(),
        }))
    });
    // An error of one connection stops the others, and nobody else's token.
    let stop = setup.shutdown.child_token();
    let mut workers = JoinSet::new();
    for _ in 0..setup.connections.max(1) {
        let poster = Poster::new(setup.target.clone(), setup.retry_for, stop.clone());
        let (jobs, tally, pacer) = (Arc::clone(&jobs), Arc::clone(tally), pacer.clone());
        let stop = stop.clone();
        workers.spawn(async move { work(poster, &jobs, &tally, pacer.as_deref(), &stop).await });
    }
    let mut result = Ok(());
    while let Some(ended) = workers.join_next().await {
        let ended = match ended {
            Ok(ended) => ended,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        if ended.is_err() && result.is_ok() {
            result = ended;
            stop.cancel();
        }
    }
    result
}

async fn work(
    mut poster: Poster,
    jobs: &tokio::sync::Mutex<mpsc::Receiver<Job>>,
    tally: &Tally,
    pacer: Option<&Mutex<Pacer>>,
    stop: &CancellationToken,
) -> Result<(), SendError> {
    loop {
        let next = async { jobs.lock().await.recv().await };
        let job = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            job = next => job,
        };
        let Some(job) = job else { return Ok(()) };
        if let Some(pacer) = pacer {
            let records = job.records.unwrap_or(1);
            let at = pacer
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .reserve(records, Instant::now());
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep_until(at) => {}
            }
        }
        let mut on_retry = |error: &str, pause| tally.retry(error, pause);
        let answer = match poster.post(&job.parcel, &mut on_retry).await {
            Ok(answer) => answer,
            Err(PostError::Stopped) => return Ok(()),
            Err(PostError::GaveUp { waited, last }) => {
                return Err(SendError::GaveUp {
                    at: job.place(),
                    waited,
                    last,
                    report: Box::new(tally.report()),
                });
            }
        };
        let outcome = Outcome::read(&answer, &job.file, job.records);
        if outcome.unknown_source {
            let detail = crate::post::detail(&answer);
            return Err(SendError::UnknownSource { detail });
        }
        let found = outcome.accepted + outcome.refused;
        if let Some(expected) = job.records
            && found > expected.max(1)
        {
            return Err(SendError::Miscounted {
                at: job.place(),
                found,
                expected,
            });
        }
        tally.answered(&job, outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pacer_keeps_the_rate_and_makes_up_for_nothing() {
        let start = Instant::now();
        let mut pacer = Pacer {
            records_per_second: 1_000,
            next: start,
        };
        let after = |at: Instant| at.duration_since(start).as_millis();
        assert_eq!(after(pacer.reserve(100, start)), 0);
        assert_eq!(after(pacer.reserve(50, start)), 100);
        assert_eq!(after(pacer.reserve(50, start)), 150);
        let late = start + Duration::from_secs(5);
        assert_eq!(after(pacer.reserve(1, late)), 5_000);
        assert_eq!(after(pacer.reserve(1, late)), 5_001);
    }
}
