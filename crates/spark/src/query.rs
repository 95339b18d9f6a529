//! A query that runs, or is being begun again.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::IS_BUILT;
use crate::call::Caller;
use crate::error::{SparkError, cut};
use crate::job::{Job, Place};
use crate::progress::Progress;

/// Longest wait for one of the short calls.
const CALL_TIME_MAX: Duration = Duration::from_secs(15);
/// Longest wait for a start: the first one after that of a server takes a while.
const START_TIME_MAX: Duration = Duration::from_secs(120);
/// Longest wait for the query to stop: a batch that runs is ended first.
const STOP_TIME_MAX: Duration = Duration::from_secs(30);
/// How often a query is looked at.
const LOOK: Duration = Duration::from_millis(400);
/// First and longest pause between attempts.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// A query that has run for so long is begun again after the first pause.
const STEADY: Duration = Duration::from_secs(60);

/// How a query is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stage {
    /// It is being started, or looked for.
    #[default]
    Starting,
    /// It runs.
    Running,
    /// It failed and will be started again.
    Failed,
    /// It was stopped, or is left alone.
    Over,
}

/// What is known of a query.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// How it is.
    pub stage: Stage,
    /// Its last batch.
    pub progress: Option<Progress>,
    /// When Spark last answered.
    pub heard: Option<Instant>,
    /// How often it was started or found.
    pub starts: u64,
    /// How often it failed.
    pub failures: u64,
    /// Rows that came behind the watermark, of the batches that were seen.
    pub dropped_rows: u64,
    /// Why it failed last.
    pub error: Option<SparkError>,
}

/// A query in Spark's session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) query: String,
    pub(crate) run: String,
}

enum Order {
    /// End it in Spark too.
    Stop,
}

/// Keeps a query running. Dropped, it lets go of it: the query runs on in Spark.
#[derive(Debug)]
pub struct Query {
    shared: Arc<Mutex<Snapshot>>,
    orders: Sender<Order>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Query {
    /// Starts the query on a thread of its own, or finds it where it runs already. Returns at once.
    ///
    /// # Errors
    ///
    /// [`SparkError::NotBuilt`], [`SparkError::Thread`].
    pub fn start(job: Job) -> Result<Self, SparkError> {
        if !IS_BUILT {
            return Err(SparkError::NotBuilt);
        }
        let shared = Arc::<Mutex<Snapshot>>::default();
        let (orders, ordered) = mpsc::channel();
        let keeper = Keeper {
            job,
            shared: Arc::clone(&shared),
            orders: ordered,
            seen: None,
        };
        let thread = thread::Builder::new().name("spark".to_owned());
        let thread = thread.spawn(move || keeper.run());
        let thread = thread.map_err(|error| SparkError::Thread(error.to_string()))?;
        Ok(Self {
            shared,
            orders,
            thread: Some(thread),
        })
    }

    /// What is known of it.
    pub fn snapshot(&self) -> Snapshot {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.clone()
    }

    /// Ends the query in Spark. Blocks until it has ended, at most a minute; where Spark does not answer it may run on, which
    /// harms nobody: it is found again by who starts it next.
    pub fn stop(mut self) {
        if self.orders.send(Order::Stop).is_ok()
            && let Some(thread) = self.thread.take()
        {
            // It never panics, and if it did there would be nothing to stop.
            let _ = thread.join();
        }
    }

    /// Ends a query of another session, if it runs there. Blocks, at most a minute and a half.
    ///
    /// # Errors
    ///
    /// [`SparkError`]. One whose session is gone is over.
    pub fn end(place: &Place) -> Result<bool, SparkError> {
        if !IS_BUILT {
            return Err(SparkError::NotBuilt);
        }
        let caller = Caller::start(&place.remote)?;
        let ended = find(&caller, place).and_then(|found| match found {
            Some(_) => caller
                .call("stop the query", STOP_TIME_MAX, |held| held.stop())
                .map(|()| true),
            None => Ok(false),
        });
        match ended {
            Err(error) if error.is_session_lost() => Ok(false),
            other => other,
        }
    }
}

fn find(caller: &Caller, place: &Place) -> Result<Option<Found>, SparkError> {
    let own = place.clone();
    caller.call("connect", CALL_TIME_MAX, move |held| held.connect(&own))?;
    let own = place.clone();
    caller.call("list queries", CALL_TIME_MAX, move |held| held.find(&own))
}

struct Keeper {
    job: Job,
    shared: Arc<Mutex<Snapshot>>,
    orders: Receiver<Order>,
    /// Newest batch whose rows behind the watermark are counted.
    seen: Option<i64>,
}

/// Whether to go on.
enum Next {
    GoOn,
    Stop,
    LetGo,
}

impl Keeper {
    fn run(mut self) {
        let mut pause = BACK_OFF.0;
        loop {
            let began = Instant::now();
            let next = self.live();
            let next = match next {
                Ok(next) => next,
                Err(error) => {
                    warn!(query = self.job.place.name, %error, "the query in Spark is started again");
                    self.note(|now| {
                        now.stage = Stage::Failed;
                        now.failures += 1;
                        now.error = Some(error);
                    });
                    if began.elapsed() > STEADY {
                        pause = BACK_OFF.0;
                    }
                    let next = self.wait(pause);
                    pause = (pause * 2).min(BACK_OFF.1);
                    next
                }
            };
            if !matches!(next, Next::GoOn) {
                break;
            }
        }
        self.note(|now| now.stage = Stage::Over);
    }

    fn note(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn wait(&self, time: Duration) -> Next {
        match self.orders.recv_timeout(time) {
            Ok(Order::Stop) => Next::Stop,
            Err(RecvTimeoutError::Timeout) => Next::GoOn,
            Err(RecvTimeoutError::Disconnected) => Next::LetGo,
        }
    }

    /// From connecting to the next failure, or the end.
    fn live(&mut self) -> Result<Next, SparkError> {
        let caller = Caller::start(&self.job.place.remote)?;
        let found = match find(&caller, &self.job.place)? {
            Some(found) => {
                info!(
                    query = self.job.place.name,
                    id = found.query,
                    run = found.run,
                    "found the query in Spark"
                );
                found
            }
            None => {
                let job = self.job.clone();
                let begin = caller.call("start the query", START_TIME_MAX, move |held| {
                    held.start(&job)
                });
                let found = begin?;
                info!(
                    query = self.job.place.name,
                    id = found.query,
                    run = found.run,
                    "started the query in Spark"
                );
                found
            }
        };
        drop(found);
        self.note(|now| {
            now.stage = Stage::Running;
            now.starts += 1;
            now.heard = Some(Instant::now());
        });
        loop {
            match self.wait(LOOK) {
                Next::GoOn => self.look(&caller)?,
                Next::LetGo => return Ok(Next::LetGo),
                Next::Stop => {
                    let stopped = caller.call("stop the query", STOP_TIME_MAX, |held| held.stop());
                    match stopped {
                        Ok(()) => info!(query = self.job.place.name, "stopped the query in Spark"),
                        Err(error) => {
                            warn!(query = self.job.place.name, %error, "the query in Spark may run on");
                        }
                    }
                    return Ok(Next::Stop);
                }
            }
        }
    }

    fn look(&mut self, caller: &Caller) -> Result<(), SparkError> {
        let progress = caller.call("ask for progress", CALL_TIME_MAX, |held| {
            held.last_progress()
        })?;
        let progress = progress.as_deref().and_then(Progress::parse);
        let is_active =
            caller.call("ask for the status", CALL_TIME_MAX, |held| held.is_active())?;
        if !is_active {
            let exception =
                caller.call("ask for the error", CALL_TIME_MAX, |held| held.exception())?;
            let message = exception.unwrap_or_else(|| "somebody stopped it".to_owned());
            return Err(SparkError::Ended {
                name: self.job.place.name.clone(),
                message: cut(&message),
            });
        }
        let newer = progress
            .as_ref()
            .filter(|progress| self.seen.is_none_or(|seen| progress.batch > seen));
        let dropped = newer.map_or(0, |progress| progress.dropped_rows);
        self.seen = newer.map(|progress| progress.batch).or(self.seen);
        if dropped > 0 {
            warn!(
                query = self.job.place.name,
                rows = dropped,
                "Spark left rows out that came behind its watermark: totals are too small. Raise `spark.watermark_days`, and change \
                 the definition to count anew"
            );
        }
        self.note(|now| {
            now.heard = Some(Instant::now());
            now.error = None;
            now.dropped_rows += dropped;
            if progress.is_some() {
                now.progress = progress;
            }
        });
        Ok(())
    }
}
