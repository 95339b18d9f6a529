//! The open loop: requests leave when they are due, not when the one before was answered.

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::plan::{Micros, Plan};
use super::visible::{Tracker, histogram};
use crate::post::{PostError, Poster, detail};
use crate::target::Target;

/// Most failures that are described.
const FAILURES_MAX: usize = 5;

/// What all connections and the stream share. One thread runs them: the locks are never waited for.
pub(crate) struct Shared {
    pub(crate) plan: Plan,
    begun: Instant,
    next_request: AtomicU64,
    figures: Mutex<Figures>,
    tracker: Mutex<Tracker>,
    /// Rung when something became visible.
    pub(crate) changed: Notify,
}

/// Measured by the senders.
#[derive(Debug)]
pub(crate) struct Figures {
    /// From the intended time to the `202`, a transaction.
    pub(crate) accepted: Histogram<u64>,
    /// How late requests left though a connection was free.
    pub(crate) late: Histogram<u64>,
    /// Requests of the measured time, and those of them that waited for a connection.
    pub(crate) requests: u64,
    pub(crate) waited: u64,
    pub(crate) records_accepted: u64,
    pub(crate) retries: u64,
    pub(crate) refused_requests: Vec<u64>,
    pub(crate) failures: Vec<String>,
    /// When the last measured request was answered.
    pub(crate) last_answer: Micros,
}

impl Shared {
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            tracker: Mutex::new(Tracker::new(plan.clone())),
            plan,
            begun: Instant::now(),
            next_request: AtomicU64::new(0),
            figures: Mutex::new(Figures {
                accepted: histogram(),
                late: histogram(),
                requests: 0,
                waited: 0,
                records_accepted: 0,
                retries: 0,
                refused_requests: Vec::new(),
                failures: Vec::new(),
                last_answer: 0,
            }),
            changed: Notify::new(),
        }
    }

    /// Microseconds since the load began.
    pub(crate) fn now(&self) -> Micros {
        Micros::try_from(self.begun.elapsed().as_micros()).unwrap_or(Micros::MAX)
    }

    pub(crate) fn at(&self, micros: Micros) -> Instant {
        self.begun + Duration::from_micros(micros)
    }

    pub(crate) fn figures(&self) -> MutexGuard<'_, Figures> {
        // A panic ends the run anyway.
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tracker(&self) -> MutexGuard<'_, Tracker> {
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until a request is due; answers how late it is then, and whether it had to wait for its connection.
async fn wait_until_due(shared: &Shared, due: Micros) -> (Micros, bool) {
    let had_to_wait = shared.now() > due;
    if !had_to_wait {
        tokio::time::sleep_until(shared.at(due)).await;
    }
    (shared.now().saturating_sub(due), had_to_wait)
}

/// Sends requests over one connection until none is left.
pub(crate) async fn connection(
    shared: &Shared,
    target: &Target,
    source: &str,
    retry_for: Duration,
    stop: &CancellationToken,
) {
    let mut poster = Poster::new(target.clone(), retry_for, stop.clone());
    let plan = &shared.plan;
    let kind = if plan.bulk == 1 { "json" } else { "x-ndjson" };
    let front = format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/{kind}\r\ncontent-length: ",
        target.path(&format!("/v1/transactions/{source}")),
        target.authority(),
    );
    let mut body = String::new();
    let mut bytes: Vec<u8> = Vec::new();
    while !stop.is_cancelled() {
        let request = shared.next_request.fetch_add(1, Ordering::Relaxed);
        if request >= plan.requests() {
            return;
        }
        // Made before it is due, so that making it delays nothing.
        body.clear();
        plan.push_body(request, &mut body);
        bytes.clear();
        bytes.extend_from_slice(front.as_bytes());
        // Writing to memory cannot fail.
        let _ = write!(bytes, "{}\r\n\r\n", body.len());
        bytes.extend_from_slice(body.as_bytes());
        let due = plan.request_due(request);
        let (late, waited) = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            late = wait_until_due(shared, due) => late,
        };
        let mut on_retry = |_: &str, _| shared.figures().retries += 1;
        // Head and body in one piece: one system call, one packet.
        let answer = poster.exchange(&bytes, b"", &mut on_retry).await;
        let now = shared.now();
        let failure = match answer {
            Ok(answer) if answer.status == 202 => None,
            Ok(answer) => Some(format!("{}: {}", answer.status, detail(&answer))),
            Err(PostError::Stopped) => return,
            Err(error) => Some(error.to_string()),
        };
        shared.answered(request, failure, now, (late, waited));
    }
}

impl Shared {
    fn answered(
        &self,
        request: u64,
        failure: Option<String>,
        now: Micros,
        (late, waited): (Micros, bool),
    ) {
        let plan = &self.plan;
        let mut figures = self.figures();
        let is_measured = request * plan.bulk >= plan.measured_from;
        if let Some(failure) = failure {
            figures.refused_requests.push(request);
            if figures.failures.len() < FAILURES_MAX {
                figures.failures.push(failure);
            }
            return;
        }
        figures.records_accepted += plan.bulk;
        if !is_measured {
            return;
        }
        let latency = now.saturating_sub(plan.request_due(request)).max(1);
        // Beyond the histogram's end it counts as its end.
        let saturated = latency.min(figures.accepted.high());
        let _ = figures.accepted.record_n(saturated, plan.bulk);
        figures.requests += 1;
        figures.last_answer = figures.last_answer.max(now);
        if waited {
            figures.waited += 1;
        } else {
            figures.late.saturating_record(late.max(1));
        }
    }
}
