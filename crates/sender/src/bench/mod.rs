//! `daybook bench`: an open loop from the intended send time to the event on the stream, with sums checked.
//!
//! # Where to start reading
//!
//! `plan` is the load as arithmetic, `load` sends it, `events` and `visible` see it come out, `report`
//! says what was found. [`run`] ties them together on a thread of its own, so that the load is one
//! thread's work and its cost can be told from the server's.
//!
//! # Invariants
//!
//! - **Latency begins when a transaction was due**, not when it was sent: a server that stalls cannot
//!   hide what waited behind the stall.
//! - **Everything is accounted for**: each transaction is accepted or failed, visible or not, and the
//!   sums of all are compared exactly at the end.
//! - Memory depends on the number of accounts, not on the length of the run.

mod events;
pub mod gateway;
mod load;
mod plan;
mod report;
mod usage;
mod visible;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::post::is_source;
use crate::report::Reporter;
use crate::target::{BadTarget, Target};

use events::{Stream, WebError};
use load::Shared;
use plan::Plan;
use usage::Sample;
use visible::Columns;

pub use report::{BenchReport, Latency};
pub use usage::{ThreadUsage, Usage};

/// Most differences that a report names.
const DIFFERENCES_MAX: usize = 20;

/// What is measured.
#[derive(Debug, Clone)]
pub struct BenchOptions {
    /// Address of the gateway.
    pub gateway: String,
    /// Address of the web server.
    pub web: String,
    /// Source that takes Daybook's own JSON.
    pub source: String,
    /// Aggregation with the columns `account` and `transactions`, and `total` where sums are to be compared.
    pub aggregation: String,
    /// Transactions a second.
    pub rate: u64,
    /// Transactions of one request; 1 for single posts. At most 10,000. All of a request are due at its time.
    pub bulk: u64,
    /// Connections to the gateway; 0: 128 for single posts, 8 for bulk.
    pub connections: usize,
    /// Time that is measured.
    pub duration: Duration,
    /// Time before that.
    pub warm_up: Duration,
    /// Accounts, all of this run alone.
    pub accounts: u64,
    /// Seed of amounts and part of all ids; a seed used before gives duplicates. `None`: from the clock.
    pub seed: Option<u64>,
    /// Process whose memory and processor time are reported.
    pub pid: Option<u32>,
    /// How long one request is repeated before it counts as failed.
    pub retry_for: Duration,
    /// How long to wait at the end until everything is visible.
    pub settle_max: Duration,
    /// Show a bar on standard error if that is a terminal.
    pub progress: bool,
}

impl Default for BenchOptions {
    fn default() -> Self {
        Self {
            gateway: "http://127.0.0.1:8081".to_owned(),
            web: "http://127.0.0.1:8080".to_owned(),
            source: "json".to_owned(),
            aggregation: "daily_totals".to_owned(),
            rate: 10_000,
            bulk: 1,
            connections: 0,
            duration: Duration::from_secs(30),
            warm_up: Duration::from_secs(5),
            accounts: 1_000,
            seed: None,
            pid: None,
            retry_for: Duration::from_secs(30),
            settle_max: Duration::from_secs(60),
            progress: true,
        }
    }
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// An address cannot be used.
    #[error(transparent)]
    Target(#[from] BadTarget),
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
    /// The web server does not answer as needed.
    #[error("the web server cannot be used for a bench: {0}")]
    Web(String),
    /// It was stopped.
    #[error("stopped before the end, nothing was measured")]
    Stopped,
    /// The thread of the load could not be started.
    #[error("cannot start the thread of the load")]
    Thread(#[source] std::io::Error),
    /// The thread of the load has panicked.
    #[error("the thread of the load has failed")]
    Failed,
}

impl From<WebError> for BenchError {
    fn from(error: WebError) -> Self {
        Self::Web(types::report(&error))
    }
}

/// A bench with its settings checked.
struct Bench {
    options: BenchOptions,
    gateway: Target,
    web: Target,
    plan: Plan,
    connections: usize,
    reporter: Arc<dyn Reporter>,
    shutdown: CancellationToken,
}

/// Runs the load and reports what was found; the report also says whether the run passed.
///
/// Takes warm-up and duration, and at the end up to `settle_max` until everything is visible.
///
/// # Errors
///
/// [`BenchError`] when nothing could be measured. A server that fails under the load is no error: it is
/// in the report.
pub async fn run(
    options: BenchOptions,
    reporter: Arc<dyn Reporter>,
    shutdown: CancellationToken,
) -> Result<BenchReport, BenchError> {
    let bench = Bench::new(options, reporter, shutdown)?;
    let (sender, result) = tokio::sync::oneshot::channel();
    let body = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let result = match runtime {
            Ok(runtime) => runtime.block_on(bench.run()),
            Err(error) => Err(BenchError::Thread(error)),
        };
        // Nobody waits any more only if the caller was dropped.
        let _ = sender.send(result);
    };
    std::thread::Builder::new()
        .name("bench".to_owned())
        .spawn(body)
        .map_err(BenchError::Thread)?;
    result.await.map_err(|_| BenchError::Failed)?
}

impl Bench {
    fn new(
        options: BenchOptions,
        reporter: Arc<dyn Reporter>,
        shutdown: CancellationToken,
    ) -> Result<Self, BenchError> {
        let check = |name, value: u64, max: u64, rule| match (1..=max).contains(&value) {
            true => Ok(()),
            false => Err(BenchError::Option {
                name,
                value: value.to_string(),
                rule,
            }),
        };
        check("rate", options.rate, 10_000_000, "between 1 and 10000000")?;
        check("bulk", options.bulk, 10_000, "between 1 and 10000")?;
        check(
            "accounts",
            options.accounts,
            10_000_000,
            "between 1 and 10000000",
        )?;
        if !is_source(&options.source) {
            return Err(BenchError::Option {
                name: "source",
                value: options.source,
                rule: "the name of a source",
            });
        }
        let connections = match (options.connections, options.bulk) {
            (0, 1) => 128,
            (0, _) => 8,
            (given, _) => given,
        };
        check(
            "connections",
            connections as u64,
            10_000,
            "between 1 and 10000",
        )?;
        let due_in = |time: Duration| {
            let records = u128::from(options.rate) * time.as_micros() / 1_000_000;
            u64::try_from(records)
                .unwrap_or(u64::MAX)
                .next_multiple_of(options.bulk)
        };
        let measured_from = due_in(options.warm_up);
        let now = Timestamp::now();
        let clock = u64::try_from(now.as_millisecond()).unwrap_or(0);
        Ok(Self {
            gateway: Target::parse(&options.gateway)?,
            web: Target::parse(&options.web)?,
            plan: Plan {
                seed: options.seed.unwrap_or(clock),
                rate: options.rate,
                bulk: options.bulk,
                accounts: options.accounts,
                records: measured_from + due_in(options.duration).max(options.bulk),
                measured_from,
                // One time for all keeps the whole run in one business day.
                booked_at: format!("{now:.3}"),
            },
            connections,
            options,
            reporter,
            shutdown,
        })
    }

    async fn run(self) -> Result<BenchReport, BenchError> {
        let columns = events::columns(&self.web, &self.options.aggregation).await?;
        let stream = Stream::open(&self.web, &self.options.aggregation).await?;
        self.reporter.say(&format!(
            "{} transactions, {}/s, {} a request, {} connections, accounts {}0 to {}",
            self.plan.records,
            self.plan.rate,
            self.plan.bulk,
            self.connections,
            self.plan.account_prefix(),
            self.plan.accounts - 1,
        ));
        let shared = Arc::new(Shared::new(self.plan.clone()));
        let stop = self.shutdown.child_token();
        let watching = tokio::spawn(watch(
            Arc::clone(&shared),
            self.web.clone(),
            self.options.aggregation.clone(),
            columns,
            stream,
            stop.clone(),
        ));
        let (server, generator) = self.load(&shared, &stop).await?;
        self.settle(&shared).await?;
        stop.cancel();
        let stream_breaks = watching.await.map_err(|_| BenchError::Failed)?;
        let mut report = self.report(&shared);
        report.stream_breaks = stream_breaks;
        report.server = server;
        report.generator_cpu_percent = generator.map_or(0.0, |usage| usage.cpu_percent);
        self.verify(&shared, columns, &mut report).await?;
        report.conclude();
        Ok(report)
    }

    /// Sends everything; answers what server and generator used in the measured time.
    async fn load(
        &self,
        shared: &Arc<Shared>,
        stop: &CancellationToken,
    ) -> Result<(Option<usage::Usage>, Option<usage::Usage>), BenchError> {
        let mut senders = tokio::task::JoinSet::new();
        for _ in 0..self.connections {
            let (shared, stop) = (Arc::clone(shared), stop.clone());
            let (target, source) = (self.gateway.clone(), self.options.source.clone());
            let retry_for = self.options.retry_for;
            senders.spawn(async move {
                load::connection(&shared, &target, &source, retry_for, &stop).await;
            });
        }
        let server = self
            .options
            .pid
            .map(|pid| PathBuf::from(format!("/proc/{pid}")));
        let own = Path::new("/proc/self");
        let sample = || (server.as_deref().and_then(Sample::of), Sample::of(own));
        let warm = shared.at(self.plan.due(self.plan.measured_from));
        let bar = self.bar();
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        let mut before = None;
        loop {
            tokio::select! {
                ended = senders.join_next() => match ended {
                    None => break,
                    Some(Err(_)) => return Err(BenchError::Failed),
                    Some(Ok(())) => {}
                },
                () = tokio::time::sleep_until(warm), if before.is_none() => before = Some(sample()),
                _ = ticks.tick() => show(&bar, shared),
            }
        }
        bar.finish_and_clear();
        if self.shutdown.is_cancelled() {
            return Err(BenchError::Stopped);
        }
        let (after_server, after_own) = sample();
        let (before_server, before_own) = before.unwrap_or((None, None));
        let used = |after: Option<Sample>, before: Option<Sample>, path: &Path| {
            Some(after?.since(&before?, path))
        };
        let server = server.and_then(|path| used(after_server, before_server, &path));
        Ok((server, used(after_own, before_own, own)))
    }

    fn bar(&self) -> ProgressBar {
        if !self.options.progress {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(self.plan.records);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}  ETA {eta}")
        {
            bar.set_style(style.progress_chars("━━ "));
        }
        bar
    }

    /// Waits until all that was accepted is visible, but not for ever.
    async fn settle(&self, shared: &Shared) -> Result<(), BenchError> {
        let all = shared.figures().records_accepted;
        let visible = async {
            loop {
                let changed = shared.changed.notified();
                if shared.tracker().seen >= all {
                    return;
                }
                changed.await;
            }
        };
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => Err(BenchError::Stopped),
            // What is invisible then is in the report.
            _ = tokio::time::timeout(self.options.settle_max, visible) => Ok(()),
        }
    }

    fn report(&self, shared: &Shared) -> BenchReport {
        let figures = shared.figures();
        let tracker = shared.tracker();
        let begin = self.plan.due(self.plan.measured_from);
        let seconds =
            Duration::from_micros(figures.last_answer.saturating_sub(begin)).as_secs_f64();
        let measured = figures.accepted.len();
        // Counts of transactions, far below 2^53: exact as floats.
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        let failed = figures.refused_requests.len() as u64 * self.plan.bulk;
        BenchReport {
            rate: self.plan.rate,
            bulk: self.plan.bulk,
            connections: self.connections,
            accounts: self.plan.accounts,
            seed: self.plan.seed,
            sent: self.plan.records,
            failed,
            failures: figures.failures.clone(),
            retries: figures.retries,
            achieved_rate: measured as f64 / seconds.max(0.001),
            accepted: Latency::of(&figures.accepted),
            visible: Latency::of(&tracker.latencies),
            late: Latency::of(&figures.late),
            waited_percent: share(figures.waited, figures.requests) * 100.0,
            invisible: figures.records_accepted.saturating_sub(tracker.seen),
            differences: Vec::new(),
            differences_count: tracker.excess,
            ..BenchReport::default()
        }
    }

    /// Compares the sums of all accounts with what was sent.
    async fn verify(
        &self,
        shared: &Shared,
        columns: Columns,
        report: &mut BenchReport,
    ) -> Result<(), BenchError> {
        let path = format!("/api/v1/{}/snapshot", self.options.aggregation);
        let json = events::fetch(&self.web, &path).await?;
        let refused = shared.figures().refused_requests.clone();
        let expected = self.plan.expected(&refused);
        let prefix = self.plan.account_prefix();
        let differences = visible::verify(&json, &prefix, columns, &expected)
            .map_err(|source| WebError::Json { path, source })?;
        if columns.total.is_none() {
            let note = "there is no column `total`: only counts were compared";
            report.warnings.push(note.to_owned());
        }
        report.rows_verified = expected.len() as u64;
        report.differences_count += differences.len() as u64;
        report.differences = differences.into_iter().take(DIFFERENCES_MAX).collect();
        Ok(())
    }
}

fn show(bar: &ProgressBar, shared: &Shared) {
    let (accepted, retries, p99) = {
        let figures = shared.figures();
        let p99 = Latency::of(&figures.accepted).p99_ms;
        (figures.records_accepted, figures.retries, p99)
    };
    let tracker = shared.tracker();
    let behind = accepted.saturating_sub(tracker.seen);
    let visible = Latency::of(&tracker.latencies).p99_ms;
    bar.set_position(accepted);
    bar.set_message(format!(
        "{accepted} accepted, {behind} not visible yet, p99 {p99:.1} ms to 202, {visible:.1} ms to event, {retries} repeated"
    ));
}

/// Follows the stream until `stop`; answers how often it broke.
async fn watch(
    shared: Arc<Shared>,
    target: Target,
    aggregation: String,
    columns: Columns,
    stream: Stream,
    stop: CancellationToken,
) -> u64 {
    /// Between two attempts to open the stream again.
    const PAUSE: Duration = Duration::from_millis(100);
    let prefix = shared.plan.account_prefix();
    let mut breaks = 0;
    let mut stream = Some(stream);
    loop {
        let follow = async {
            let mut open = match stream.take() {
                Some(open) => open,
                // From the beginning: its first frame has all rows.
                None => Stream::open(&target, &aggregation).await?,
            };
            loop {
                follow_once(&shared, &mut open, &prefix, columns).await?;
            }
        };
        let result: Result<std::convert::Infallible, WebError> = tokio::select! {
            biased;
            () = stop.cancelled() => return breaks,
            result = follow => result,
        };
        let Err(error) = result;
        tracing::debug!(%error, "the stream of events broke");
        breaks += 1;
        tokio::select! {
            biased;
            () = stop.cancelled() => return breaks,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

async fn follow_once(
    shared: &Shared,
    stream: &mut Stream,
    prefix: &str,
    columns: Columns,
) -> Result<(), WebError> {
    stream.read().await?;
    // The clock is read before the events are: reading them is the bench's time, not the server's.
    let now = shared.now();
    let mut bad = None;
    let mut tracker = shared.tracker();
    stream.drain(|name, data| {
        if name != "message" {
            return;
        }
        let read = visible::read_rows(data, prefix, columns, |seen| {
            tracker.row(seen.account, seen.transactions, now);
        });
        bad = bad.take().or(read.err());
    });
    drop(tracker);
    shared.changed.notify_waiters();
    match bad {
        None => Ok(()),
        Some(source) => Err(WebError::Json {
            path: "the stream".to_owned(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests;
