//! The handle, the task that makes durable things visible, and the reclaiming of space.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use segment_log::{Changes, Log, LogError, LogOptions, Position};
use tokio::sync::{Notify, oneshot};
use tracing::{debug, error, info};

use crate::codec::{
    Placed, Record, decode, encode_backout, encode_carry, encode_commit, encode_ledger,
};
use crate::error::{QueueError, StartError};
use crate::ledger::{Declared, LedgerCopy};
use crate::message::{Message, MsgId};
use crate::options::QueueManagerOptions;
use crate::state::{InFlight, State};
use crate::uow::{Put, UnitOfWork};

/// Name length of queues and queue managers (MQ_Q_NAME_LENGTH).
const NAME_CHARS_MAX: usize = 48;
/// Puts of many senders are gathered this long for one sync; a single sender never waits.
const BUSY_INTERVAL: Duration = Duration::from_millis(1);
/// Space is reclaimed again when the log has grown by this part of its target.
const RECLAIM_STEPS: u64 = 8;
/// Room in a log record beside the bodies: properties, ids, headers.
const RECORD_BYTES_OVERHEAD: usize = 8 << 20;

/// A running queue manager. Cloning gives another handle.
#[derive(Debug, Clone)]
pub struct QueueManager {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) options: QueueManagerOptions,
    state: Mutex<State>,
    log: Log,
    reclaim: Arc<Notify>,
    /// Bytes of log above which it is woken.
    reclaim_at: AtomicU64,
}

/// What a queue looks like now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueStatus {
    /// Name.
    pub name: String,
    /// Messages, those in units of work included (CURDEPTH).
    pub depth: usize,
    /// Bytes of their bodies.
    pub bytes: usize,
    /// Messages got and not yet committed.
    pub uncommitted_gets: usize,
    /// When the next message was put, microseconds since 1970.
    pub oldest_put_time: Option<i64>,
    /// Messages put since the start (those found at the start included).
    pub puts_total: u64,
    /// Messages got and committed since the start.
    pub gets_total: u64,
}

impl QueueManager {
    /// Recovers the queues from the log and starts. Must be called within a tokio runtime.
    ///
    /// Messages of queues that are no longer defined are kept, with default limits.
    ///
    /// # Errors
    ///
    /// [`StartError`]: a wrong name, or the log cannot be opened.
    pub fn start(options: QueueManagerOptions) -> Result<Self, StartError> {
        let names = options.queues.iter().map(|queue| queue.name.as_str());
        if let Some(name) = names
            .chain([options.name.as_str()])
            .find(|name| !is_name(name))
        {
            return Err(StartError::Name {
                name: name.to_owned(),
            });
        }
        let mut state = State::default();
        options
            .queues
            .iter()
            .for_each(|queue| state.define(queue.clone()));
        let log_options = LogOptions {
            record_bytes_max: u32::try_from(options.uncommitted_bytes_max + RECORD_BYTES_OVERHEAD)
                .unwrap_or(u32::MAX),
            busy_interval: BUSY_INTERVAL,
            ..LogOptions::default()
        };
        let log = Log::open(&options.dir, log_options, &mut |position, record| {
            let record = decode(Bytes::copy_from_slice(record), &options.name)?;
            state.apply(record, position);
            Ok(())
        })?;
        // A message takes more than one byte of log, so no identifier is ever used again, even when
        // all records that show it were freed.
        state.sequence_next = state.sequence_next.max(log.end().0);
        let depth: usize = state.queues.values().map(|queue| queue.depth()).sum();
        info!(
            name = options.name,
            messages = depth,
            "queue manager started"
        );
        let reclaim_at = options.log_bytes_target;
        let inner = Arc::new(Inner {
            options,
            state: Mutex::new(state),
            reclaim: Arc::new(Notify::new()),
            reclaim_at: AtomicU64::new(reclaim_at),
            log: log.clone(),
        });
        tokio::spawn(apply_loop(Arc::downgrade(&inner), log.changes()));
        tokio::spawn(reclaim_loop(
            Arc::downgrade(&inner),
            Arc::clone(&inner.reclaim),
        ));
        Ok(Self { inner })
    }

    /// Begins a unit of work.
    pub fn begin(&self) -> UnitOfWork {
        UnitOfWork::new(Arc::clone(&self.inner))
    }

    /// Copies of up to `count_max` messages in the order they would be got, those behind the
    /// message with sequence `after`; takes nothing off.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownQueue`].
    pub fn browse(
        &self,
        queue: &str,
        after: Option<u64>,
        count_max: usize,
    ) -> Result<Vec<Message>, QueueError> {
        Ok(self.inner.lock().queue(queue)?.browse(after, count_max))
    }

    /// Messages on a queue, those in units of work included.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownQueue`].
    pub fn depth(&self, queue: &str) -> Result<usize, QueueError> {
        Ok(self.inner.lock().queue(queue)?.depth())
    }

    /// All queues, by name.
    pub fn status(&self) -> Vec<QueueStatus> {
        let state = self.inner.lock();
        let queues = state.queues.iter();
        queues
            .map(|(name, queue)| QueueStatus {
                name: name.clone(),
                depth: queue.depth(),
                bytes: queue.bytes(),
                uncommitted_gets: queue.uncommitted_gets(),
                oldest_put_time: queue.oldest_put_time(),
                puts_total: queue.puts_total,
                gets_total: queue.gets_total,
            })
            .collect()
    }

    /// What was put and got since the queues were made, by source and minute.
    pub fn ledger(&self) -> LedgerCopy {
        self.inner.lock().ledger.copy()
    }

    /// Bytes the log takes on disk.
    pub fn log_bytes(&self) -> u64 {
        self.inner.log.size_bytes()
    }

    /// Flushes and stops. Units of work that are open afterwards answer
    /// [`QueueError::Stopped`].
    ///
    /// # Errors
    ///
    /// [`QueueError::Stopped`] when the last flush failed.
    pub async fn stop(self) -> Result<(), QueueError> {
        self.inner.lock().stopped = true;
        let closed = self.inner.log.clone().close().await;
        closed.map_err(|source| QueueError::Stopped {
            source: Some(source),
        })
    }
}

/// Letters, digits and `. / _ %`, at most 48 (IBM MQ, "Rules for naming IBM MQ objects").
fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"./_%".contains(&byte);
    !name.is_empty() && name.len() <= NAME_CHARS_MAX && name.bytes().all(allowed)
}

fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    })
}

impl Inner {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the state is half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends the commit to the log; the receiver answers when it is durable and visible.
    pub(crate) fn commit(
        &self,
        puts: Vec<Put>,
        gets: Vec<(Arc<str>, u64)>,
        declared: Vec<Declared>,
    ) -> Result<oneshot::Receiver<()>, QueueError> {
        let (done, wait) = oneshot::channel();
        let put_time = now_micros();
        let mut state = self.lock();
        if state.stopped {
            return Err(QueueError::Stopped { source: None });
        }
        let reserved = reserve(&mut state, &puts)?;
        let sequence = state.sequence_next;
        let puts: Vec<Placed> = puts
            .into_iter()
            .zip(sequence..)
            .map(|(put, sequence)| Placed {
                queue: put.queue,
                message: Message {
                    msg_id: MsgId::new(&self.options.name, sequence),
                    sequence,
                    put_time,
                    priority: put.message.priority,
                    backout_count: 0,
                    properties: put.message.properties,
                    body: put.message.body,
                },
            })
            .collect();
        // Under the lock, so that sequences and log positions have the same order.
        let position = match self.log.append(&[&encode_commit(&puts, &gets, &declared)]) {
            Ok(position) => position,
            Err(source) => {
                for (queue, messages, bytes) in reserved {
                    state.queue(&queue)?.release(messages, bytes);
                }
                return Err(stopped(source));
            }
        };
        state.sequence_next += puts.len() as u64;
        state.in_flight.push_back(InFlight {
            position,
            record: Record::Commit {
                puts,
                gets,
                declared,
            },
            reserved,
            done: Some(done),
        });
        Ok(wait)
    }

    /// Returns messages to their queues, with their backout count raised.
    pub(crate) fn back_out(&self, gets: &[(Arc<str>, u64)]) {
        let mut state = self.lock();
        let mut counts = Vec::with_capacity(gets.len());
        for (name, sequence) in gets {
            let Ok(queue) = state.queue(name) else {
                continue;
            };
            if let Some(count) = queue.put_back(*sequence) {
                queue.arrivals.notify_one();
                counts.push((name.clone(), *sequence, count));
            }
        }
        if !counts.is_empty() {
            // Not waited for: after a crash the count may be one too low, as with MQ's default.
            if let Err(error) = self.log.append(&[&encode_backout(&counts)]) {
                debug!(error = %error, "backout counts are not in the log");
            }
        }
    }

    pub(crate) async fn wait_committed(
        &self,
        wait: oneshot::Receiver<()>,
    ) -> Result<(), QueueError> {
        // Given up when the log fails or is closed: see `apply_loop`.
        wait.await.map_err(|_| QueueError::Stopped { source: None })
    }
}

fn stopped(source: LogError) -> QueueError {
    QueueError::Stopped {
        source: Some(source),
    }
}

/// Room for all puts, or none of it.
fn reserve(state: &mut State, puts: &[Put]) -> Result<Vec<(Arc<str>, usize, usize)>, QueueError> {
    let mut reserved: Vec<(Arc<str>, usize, usize)> = Vec::new();
    for run in puts.chunk_by(|a, b| a.queue == b.queue) {
        let Some(first) = run.first() else { continue };
        let bytes = run.iter().map(|put| put.message.body.len()).sum();
        let queue = state.queue(&first.queue)?;
        if let Err(full) = queue.reserve(run.len(), bytes) {
            for (queue, messages, bytes) in reserved {
                state.queue(&queue)?.release(messages, bytes);
            }
            return Err(full);
        }
        reserved.push((first.queue.clone(), run.len(), bytes));
    }
    Ok(reserved)
}

/// Makes visible what became durable. Ends with the log or with the last handle.
async fn apply_loop(inner: std::sync::Weak<Inner>, mut changes: Changes) {
    while let Some(durable) = changes.next().await {
        let Some(inner) = inner.upgrade() else { return };
        let log_bytes = inner.log.size_bytes();
        inner.lock().apply_durable(durable);
        if log_bytes > inner.reclaim_at.load(Ordering::Relaxed) {
            inner.reclaim.notify_one();
        }
    }
    if let Some(inner) = inner.upgrade() {
        let mut state = inner.lock();
        state.apply_durable(inner.log.durable_position());
        state.stopped = true;
        // Their waiters learn that the outcome is unknown.
        state.in_flight.clear();
        for queue in state.queues.values() {
            queue.arrivals.notify_waiters();
        }
    }
}

/// Frees log space. Ends with the last handle.
async fn reclaim_loop(inner: std::sync::Weak<Inner>, wake: Arc<Notify>) {
    loop {
        wake.notified().await;
        let Some(inner) = inner.upgrade() else { return };
        if let Err(error) = reclaim(&inner).await {
            error!(error = %error, "cannot reclaim log space");
            return;
        }
        // A backlog cannot be freed. To look through all of it at each flush would make it longer.
        let target = inner.options.log_bytes_target;
        let next = inner.log.size_bytes() + target / RECLAIM_STEPS;
        inner.reclaim_at.store(next.max(target), Ordering::Relaxed);
    }
}

/// Writes messages of the oldest half of the log anew if they are few, then frees what is free.
async fn reclaim(inner: &Inner) -> Result<(), LogError> {
    let durable = inner.log.durable_position();
    let begin = durable.0.saturating_sub(inner.log.size_bytes());
    let half = Position(begin + (durable.0 - begin) / 2);
    let carried = {
        // A backlog is not worth rewriting: it will be got soon, and costs its size once more.
        let bytes_max = inner.options.log_bytes_target / 4;
        inner.lock().is_little_up_to(half, bytes_max)
    };
    if carried {
        loop {
            let position = {
                let mut state = inner.lock();
                let mut live = state.live_up_to(half);
                let mut bytes = 0;
                let fitting = live.iter().take_while(|placed| {
                    bytes += placed.message.body.len();
                    bytes <= inner.options.uncommitted_bytes_max
                });
                live.truncate(fitting.count().min(inner.options.uncommitted_messages_max));
                if live.is_empty() {
                    break;
                }
                let position = inner.log.append(&[&encode_carry(&live)])?;
                for placed in &live {
                    state.moved(placed, position);
                }
                position
            };
            inner.log.durable(position).await?;
        }
    }
    // Frees nothing that the ledger needs, nor a put whose get is not in the ledger: so both are
    // looked at in one moment.
    let (ledger, keep) = {
        let state = inner.lock();
        let ledger = inner.log.append(&[&encode_ledger(&state.ledger_ahead())])?;
        let in_flight = state.in_flight.front().map(|next| next.position);
        let oldest = state.oldest_position();
        let kept = [in_flight, oldest].into_iter().flatten();
        (ledger, kept.fold(ledger, Position::min))
    };
    inner.log.durable(ledger).await?;
    // A position is behind its record, so one less lies inside it.
    let free = Position(keep.0.saturating_sub(1));
    inner.log.truncate_before(free)?;
    debug!(log_bytes = inner.log.size_bytes(), "log space reclaimed");
    Ok(())
}
