//! The handle, the task that makes durable things visible, and the reclaiming of space.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use segment_log::{Changes, Log, LogError, LogOptions, Position};
use tokio::sync::{Notify, oneshot};
use tracing::{debug, error, info};

use crate::codec::{
    Placed, Record, decode, encode_backout, encode_carry, encode_commit, encode_define,
    encode_delete, encode_epoch, encode_ledger, encode_prepare, encode_resolve,
};
use crate::error::{QueueError, StartError};
use crate::ledger::{Declared, LedgerCopy};
use crate::message::{Message, MsgId};
use crate::open::{OpenMode, OpenQueue};
use crate::options::{QueueDefinition, QueueManagerOptions};
use crate::selection::{Cursor, Selection};
use crate::state::{InFlight, Queue, Reserved, State};
use crate::uow::{Got, Put, UnitOfWork};

/// Name length of queues and queue managers (MQ_Q_NAME_LENGTH).
const NAME_CHARS_MAX: usize = 48;
/// Highest priority (MAXPRTY).
pub const PRIORITY_MAX: u8 = 9;
/// Puts of many senders are gathered this long for one sync; a single sender never waits.
const BUSY_INTERVAL: Duration = Duration::from_millis(1);
/// Space is reclaimed again when the log has grown by this part of its target, or of its size where a backlog has made it larger: the look
/// through a backlog costs its length, so a put's part of it stays the same however long it is.
const RECLAIM_STEPS: u64 = 8;
/// The part of a log's size.
const RECLAIM_PARTS: u64 = 3;
/// Expired messages are looked for this often.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);
/// Prepared units of work that may wait for their decision; more are refused.
pub(crate) const PREPARED_MAX: usize = 10_000;
/// Room in a log record beside the bodies: properties, ids, headers.
const RECORD_BYTES_OVERHEAD: usize = 8 << 20;

/// A running queue manager. Cloning gives another handle.
#[derive(Debug, Clone)]
pub struct QueueManager {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) options: QueueManagerOptions,
    state: Mutex<State>,
    pub(crate) log: Log,
    reclaim: Arc<Notify>,
    /// Bytes of log above which it is woken.
    reclaim_at: AtomicU64,
    /// Wakes the task that offers delayed messages and drops expired ones.
    clock: Arc<Notify>,
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
    /// Messages put and not yet committed; `depth` does not have them.
    pub uncommitted_puts: usize,
    /// Handles that may get (IPPROCS).
    pub open_inputs: usize,
    /// Handles that may put (OPPROCS).
    pub open_outputs: usize,
    /// Made from a model queue.
    pub temporary: bool,
    /// When the oldest message that may be got was put, microseconds since 1970. Within a priority the
    /// first one counts.
    pub oldest_put_time: Option<i64>,
    /// When a message was put the last time since the start, microseconds since 1970.
    pub last_put_time: Option<i64>,
    /// When a get was committed the last time since the start, microseconds since 1970.
    pub last_get_time: Option<i64>,
    /// Messages put since the start (those found at the start included).
    pub puts_total: u64,
    /// Messages got and committed since the start.
    pub gets_total: u64,
    /// Messages dropped since the start because their time was over.
    pub expired_total: u64,
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
        let mut state = State {
            now: now_micros(),
            ..State::default()
        };
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
        state.recovered();
        for configured in &options.queues {
            let name = &configured.name;
            let now = state.queues.get(name).map(|queue| &queue.definition);
            if state.altered.contains(name) && now != Some(configured) {
                info!(
                    queue = name,
                    "altered while running: the configuration's attributes do not count"
                );
            }
        }
        // A message takes more than one byte of log, so no identifier is ever used again, even when
        // all records that show it were freed.
        state.sequence_next = state.sequence_next.max(log.end().0);
        // Identifiers of this life differ from all before, whatever the clock says.
        state.epoch += 1;
        log.append_lazily(&[&encode_epoch(state.epoch)])?;
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
            clock: Arc::new(Notify::new()),
            log: log.clone(),
        });
        tokio::spawn(apply_loop(Arc::downgrade(&inner), log.changes()));
        tokio::spawn(reclaim_loop(
            Arc::downgrade(&inner),
            Arc::clone(&inner.reclaim),
        ));
        tokio::spawn(clock_loop(Arc::downgrade(&inner), Arc::clone(&inner.clock)));
        Ok(Self { inner })
    }

    /// Begins a unit of work.
    pub fn begin(&self) -> UnitOfWork {
        UnitOfWork::new(Arc::clone(&self.inner))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.inner.options.name
    }

    /// Its limits.
    pub fn options(&self) -> &QueueManagerOptions {
        &self.inner.options
    }

    /// Copies of up to `count_max` messages in the order they would be got, those behind `after`;
    /// takes nothing off.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownQueue`].
    pub fn browse(
        &self,
        queue: &str,
        after: Option<Cursor>,
        count_max: usize,
    ) -> Result<Vec<Message>, QueueError> {
        let mut state = self.inner.lock();
        self.inner.tick(&mut state, queue);
        Ok(state.queue(queue)?.browse(after, count_max))
    }

    /// A copy of the first message behind `after` that matches.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownQueue`], [`QueueError::GetInhibited`].
    pub fn browse_next(
        &self,
        queue: &str,
        after: Option<Cursor>,
        selection: &Selection,
    ) -> Result<Option<Message>, QueueError> {
        let mut state = self.inner.lock();
        self.inner.tick(&mut state, queue);
        let queue = state.queue(queue)?;
        if queue.definition.get_inhibited {
            return Err(QueueError::GetInhibited {
                queue: queue.definition.name.clone(),
            });
        }
        Ok(queue.find(selection, after).cloned())
    }

    /// Waits until something may have arrived on a queue, or `until`. Spurious wake-ups happen.
    ///
    /// Cancel safe. `look` is called first; if it finds something nothing is waited for. It is called
    /// again when an arrival can no longer be missed.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownQueue`], or the error of `look`.
    pub async fn wait_for<T>(
        &self,
        queue: &str,
        until: Option<tokio::time::Instant>,
        mut look: impl FnMut() -> Result<Option<T>, QueueError>,
    ) -> Result<Option<T>, QueueError> {
        // Nearly always there is something: no wait is prepared for then.
        if let Some(found) = look()? {
            return Ok(Some(found));
        }
        loop {
            let selective = Arc::clone(&self.inner.lock().queue(queue)?.selective);
            let arrival = selective.notified();
            if let Some(found) = look()? {
                return Ok(Some(found));
            }
            match until {
                None => arrival.await,
                Some(until) => {
                    if tokio::time::timeout_at(until, arrival).await.is_err() {
                        return look();
                    }
                }
            }
        }
    }

    /// Tells of every arrival on a queue, and of everything else a waiting get must look at.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownQueue`].
    pub fn arrivals(&self, queue: &str) -> Result<Arc<Notify>, QueueError> {
        Ok(Arc::clone(&self.inner.lock().queue(queue)?.selective))
    }

    /// Message identifiers for messages that are put later: the first, and how many more come from
    /// counting its last four bytes up as a little-endian number. At least one, at most `count_max`.
    ///
    /// # Errors
    ///
    /// [`QueueError::Stopped`].
    pub fn make_ids(&self, count_max: u32) -> Result<(MsgId, u32), QueueError> {
        let mut state = self.inner.lock();
        if state.ids_used == u32::MAX {
            let epoch = encode_epoch(state.epoch + 1);
            self.inner.log.append_lazily(&[&epoch]).map_err(stopped)?;
            state.epoch += 1;
            state.ids_used = 0;
        }
        let count = count_max.clamp(1, u32::MAX - state.ids_used);
        let first = MsgId::of_epoch(self.name(), state.epoch, state.ids_used);
        state.ids_used += count;
        Ok((first, count))
    }

    /// Opens a queue; the handle closes it when it is dropped. Opening a model queue makes a
    /// temporary one, named `dynamic_name`, where a `*` at the end stands for anything unique.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownQueue`], [`QueueError::InUse`], [`QueueError::Name`],
    /// [`QueueError::Exists`].
    pub fn open(
        &self,
        queue: &str,
        mode: OpenMode,
        dynamic_name: &str,
    ) -> Result<OpenQueue, QueueError> {
        let mut state = self.inner.lock();
        let definition = &state.queue(queue)?.definition;
        let (name, maker) = if definition.model {
            let mut made = definition.clone();
            made.model = false;
            made.name = match dynamic_name.strip_suffix('*') {
                Some(stem) => {
                    state.epoch_name += 1;
                    format!("{stem}{:08X}{:08X}", state.epoch, state.epoch_name)
                }
                None => dynamic_name.to_owned(),
            };
            if !is_name(&made.name) {
                return Err(QueueError::Name { name: made.name });
            }
            if state.queues.contains_key(&made.name) {
                return Err(QueueError::Exists { queue: made.name });
            }
            let name = made.name.clone();
            state.define(made);
            state.queue(&name)?.temporary = true;
            (name, true)
        } else {
            (queue.to_owned(), false)
        };
        let opened = state.queue(&name)?;
        let opens = &mut opened.opens;
        let wants_input = mode.input || mode.exclusive;
        if wants_input && (opens.exclusive || mode.exclusive && opens.inputs > 0) {
            return Err(QueueError::InUse { queue: name });
        }
        opens.handles += 1;
        opens.inputs += usize::from(wants_input);
        opens.outputs += usize::from(mode.output);
        opens.exclusive |= mode.exclusive;
        Ok(OpenQueue::new(
            Arc::clone(&self.inner),
            name.into(),
            mode,
            maker,
        ))
    }

    /// What a queue is defined as.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownQueue`].
    pub fn definition(&self, queue: &str) -> Result<QueueDefinition, QueueError> {
        Ok(self.inner.lock().queue(queue)?.definition.clone())
    }

    /// Priority and persistence of messages whose putter leaves them to the queue.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownQueue`].
    pub fn put_defaults(&self, queue: &str) -> Result<(u8, bool), QueueError> {
        let mut state = self.inner.lock();
        let definition = &state.queue(queue)?.definition;
        Ok((definition.default_priority, definition.default_persistent))
    }

    /// State of one queue.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownQueue`].
    pub fn status_of(&self, queue: &str) -> Result<QueueStatus, QueueError> {
        let mut state = self.inner.lock();
        self.inner.tick(&mut state, queue);
        Ok(status_of(queue, state.queue(queue)?))
    }

    /// Defines a queue; durable when the future ends.
    ///
    /// # Errors
    ///
    /// [`QueueError::Exists`], [`QueueError::Name`], [`QueueError::Stopped`].
    pub async fn define(&self, definition: QueueDefinition) -> Result<(), QueueError> {
        self.write_definition(definition, false).await
    }

    /// Changes a queue's attributes; durable when the future ends.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownQueue`], [`QueueError::Stopped`].
    pub async fn alter(&self, definition: QueueDefinition) -> Result<(), QueueError> {
        self.write_definition(definition, true).await
    }

    async fn write_definition(
        &self,
        definition: QueueDefinition,
        alter: bool,
    ) -> Result<(), QueueError> {
        if !is_name(&definition.name) {
            return Err(QueueError::Name {
                name: definition.name,
            });
        }
        let mut written = None;
        {
            let mut state = self.inner.lock();
            let temporary = match state.queues.get(&definition.name) {
                None if alter => {
                    return Err(QueueError::UnknownQueue {
                        queue: definition.name,
                    });
                }
                Some(_) if !alter => {
                    return Err(QueueError::Exists {
                        queue: definition.name,
                    });
                }
                found => found.is_some_and(|queue| queue.temporary),
            };
            if !temporary {
                let record = encode_define(&definition);
                written = Some(self.inner.log.append(&[&record]).map_err(stopped)?);
                state.altered.insert(definition.name.clone());
            }
            let name = definition.name.clone();
            state.define(definition);
            state.queue(&name)?.wake_all();
        }
        match written {
            Some(position) => self.inner.log.durable(position).await.map_err(stopped),
            None => Ok(()),
        }
    }

    /// Deletes a queue and what is on it.
    ///
    /// # Errors
    ///
    /// [`QueueError::NotEmpty`] unless `purge`; [`QueueError::InUse`] while somebody has it open;
    /// [`QueueError::Uncommitted`].
    pub async fn delete(&self, queue: &str, purge: bool) -> Result<(), QueueError> {
        let position = {
            let mut state = self.inner.lock();
            let found = state.queue(queue)?;
            found.check_idle()?;
            if found.depth() > 0 && !purge {
                return Err(QueueError::NotEmpty {
                    queue: queue.to_owned(),
                    depth: found.depth(),
                });
            }
            let record = encode_delete(queue);
            let position = self.inner.log.append(&[&record]).map_err(stopped)?;
            let name = queue.into();
            state.apply(Record::Delete { queue: name }, position);
            position
        };
        self.inner.log.durable(position).await.map_err(stopped)
    }

    /// Identifiers of the units of work that are prepared and not decided.
    pub fn prepared(&self) -> Vec<Bytes> {
        let state = self.inner.lock();
        let open = state.prepared.iter();
        open.filter(|(_, prepared)| !prepared.resolving)
            .map(|(xid, _)| xid.clone())
            .collect()
    }

    /// Decides about a prepared unit of work; durable when the future ends.
    ///
    /// # Errors
    ///
    /// [`QueueError::NotPrepared`], [`QueueError::Stopped`].
    pub async fn resolve(&self, xid: &[u8], commit: bool) -> Result<(), QueueError> {
        let (done, wait) = oneshot::channel();
        {
            let mut state = self.inner.lock();
            let not_prepared = || QueueError::NotPrepared {
                xid: String::from_utf8_lossy(xid).into_owned(),
            };
            let prepared = state.prepared.get_mut(xid).ok_or_else(not_prepared)?;
            if prepared.resolving {
                return Err(not_prepared());
            }
            let gets = prepared.gets.clone();
            let record = encode_resolve(xid, commit, &gets);
            let position = self.inner.log.append(&[&record]).map_err(stopped)?;
            prepared.resolving = true;
            state.in_flight.push_back(InFlight {
                position,
                record: Record::Resolve {
                    xid: Bytes::copy_from_slice(xid),
                    commit,
                    gets,
                },
                reserved: Reserved::new(),
                done: Some(done),
            });
        }
        self.inner.wait_committed(wait).await
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
            .filter(|(_, queue)| !queue.definition.model)
            .map(|(name, queue)| status_of(name, queue))
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

fn status_of(name: &str, queue: &Queue) -> QueueStatus {
    QueueStatus {
        name: name.to_owned(),
        depth: queue.depth(),
        bytes: queue.bytes(),
        uncommitted_gets: queue.uncommitted_gets(),
        uncommitted_puts: queue.uncommitted_puts(),
        open_inputs: queue.opens.inputs,
        open_outputs: queue.opens.outputs,
        temporary: queue.temporary,
        oldest_put_time: queue.oldest_put_time(),
        last_put_time: queue.last_put_at,
        last_get_time: queue.last_get_at,
        puts_total: queue.puts_total,
        gets_total: queue.gets_total,
        expired_total: queue.expired_total,
    }
}

/// Letters, digits and `. / _ %`, at most 48 (IBM MQ, "Rules for naming IBM MQ objects").
fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"./_%".contains(&byte);
    !name.is_empty() && name.len() <= NAME_CHARS_MAX && name.bytes().all(allowed)
}

/// Microseconds since 1970.
pub(crate) fn now_micros() -> i64 {
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

    /// Appends the commit to the log; the receiver answers when it is durable and visible. `reserved`
    /// is the puts' room: the commit's when it succeeds, the caller's when not.
    pub(crate) fn commit(
        &self,
        puts: Vec<Put>,
        gets: Vec<Got>,
        declared: Vec<Declared>,
        reserved: Reserved,
    ) -> Result<oneshot::Receiver<()>, QueueError> {
        let (done, wait) = oneshot::channel();
        let mut state = self.lock();
        if state.stopped {
            return Err(QueueError::Stopped { source: None });
        }
        let puts = self.place(&mut state, puts);
        let durable_gets = durable(&gets);
        let in_log = puts.iter().any(|put| put.message.descriptor.persistent)
            || !durable_gets.is_empty()
            || !declared.is_empty();
        // Under the lock, so that sequences and log positions have the same order.
        let position = if in_log {
            let name = &self.options.name;
            let record = match puts.iter().all(|put| put.message.descriptor.persistent) {
                true => encode_commit(&puts, &durable_gets, &declared, name),
                false => {
                    let persistent = puts.iter();
                    let persistent = persistent.filter(|put| put.message.descriptor.persistent);
                    let persistent: Vec<Placed> = persistent.cloned().collect();
                    encode_commit(&persistent, &durable_gets, &declared, name)
                }
            };
            self.log.append(&[&record]).map_err(stopped)?
        } else {
            // Nothing for the disk: visible at once, but not before what was committed earlier.
            match state.in_flight.back() {
                Some(last) => last.position,
                None => Position(0),
            }
        };
        let record = Record::Commit {
            puts,
            gets: gets
                .into_iter()
                .map(|got| (got.queue, got.sequence))
                .collect(),
            declared,
        };
        state.in_flight.push_back(InFlight {
            position,
            record,
            reserved,
            done: Some(done),
        });
        if !in_log && state.in_flight.len() == 1 {
            state.now = now_micros();
            state.apply_durable(position);
        }
        Ok(wait)
    }

    /// Gives messages their sequences and identifiers.
    fn place(&self, state: &mut State, puts: Vec<Put>) -> Vec<Placed> {
        let now = now_micros();
        let sequence = state.sequence_next;
        state.sequence_next += puts.len() as u64;
        let puts = puts.into_iter().zip(sequence..);
        let placed = puts.map(|(put, sequence)| {
            let message = put.message;
            Placed {
                queue: put.queue,
                message: Message {
                    msg_id: message
                        .msg_id
                        .unwrap_or_else(|| MsgId::new(&self.options.name, sequence)),
                    correl_id: message.correl_id,
                    sequence,
                    put_time: message.put_time.unwrap_or(now),
                    priority: message.priority.min(PRIORITY_MAX),
                    backout_count: 0,
                    expires_at: message.expires_at,
                    available_at: message.available_at,
                    descriptor: message.descriptor,
                    properties: message.properties,
                    body: message.body,
                },
            }
        });
        placed.collect()
    }

    /// Writes a unit of work to the log that will be decided later. Its persistent messages
    /// survive; those that are not, do not survive a restart before the decision.
    pub(crate) fn prepare(
        &self,
        xid: &[u8],
        puts: Vec<Put>,
        gets: &[Got],
        reserved: Reserved,
    ) -> Result<oneshot::Receiver<()>, QueueError> {
        let (done, wait) = oneshot::channel();
        let mut state = self.lock();
        if state.stopped {
            return Err(QueueError::Stopped { source: None });
        }
        let shown = || String::from_utf8_lossy(xid).into_owned();
        if state.prepared.contains_key(xid) {
            return Err(QueueError::Prepared { xid: shown() });
        }
        if state.prepared.len() >= PREPARED_MAX {
            return Err(QueueError::SyncpointLimit {
                messages: PREPARED_MAX,
                bytes: 0,
            });
        }
        let puts = self.place(&mut state, puts);
        let gets = gets
            .iter()
            .map(|got| (Arc::clone(&got.queue), got.sequence));
        let gets: Vec<(Arc<str>, u64)> = gets.collect();
        let record = encode_prepare(xid, &puts, &gets, &self.options.name);
        let position = self.log.append(&[&record]).map_err(stopped)?;
        state.in_flight.push_back(InFlight {
            position,
            record: Record::Prepare {
                xid: Bytes::copy_from_slice(xid),
                puts,
                gets,
            },
            reserved,
            done: Some(done),
        });
        Ok(wait)
    }

    /// Drops what has expired on a queue and offers what is due. Unknown queues are no error.
    pub(crate) fn tick(&self, state: &mut State, queue: &str) {
        let Ok(found) = state.queue(queue) else {
            return;
        };
        if found.next_expiry().is_none() && !found.has_delayed() {
            return;
        }
        let now = now_micros();
        found.promote(now);
        let expired = found.take_expired(now);
        if expired.is_empty() {
            return;
        }
        let name: Arc<str> = queue.into();
        let durable = expired.iter().filter(|(_, persistent)| *persistent);
        let durable: Vec<_> = durable
            .map(|(sequence, _)| (Arc::clone(&name), *sequence))
            .collect();
        let mut position = state.in_flight.back().map(|last| last.position);
        if !durable.is_empty() {
            let record = encode_commit(&[], &durable, &[], &self.options.name);
            // After a crash they expire again.
            position = self.log.append(&[&record]).ok();
        }
        let gets = expired.into_iter();
        let gets = gets.map(|(sequence, _)| (Arc::clone(&name), sequence));
        let record = Record::Commit {
            puts: Vec::new(),
            gets: gets.collect(),
            declared: Vec::new(),
        };
        match position {
            Some(position) => state.in_flight.push_back(InFlight {
                position,
                record,
                reserved: Reserved::new(),
                done: None,
            }),
            None => state.apply(record, Position(0)),
        }
    }

    /// Returns messages to their queues, with their backout count raised, and the room of puts.
    pub(crate) fn back_out(&self, gets: &[Got], reserved: &Reserved) {
        let mut state = self.lock();
        state.release(reserved);
        let mut counts = Vec::with_capacity(gets.len());
        for got in gets {
            let Ok(queue) = state.queue(&got.queue) else {
                continue;
            };
            if let Some(count) = queue.put_back(got.sequence)
                && got.persistent
            {
                counts.push((Arc::clone(&got.queue), got.sequence, count));
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

pub(crate) fn stopped(source: LogError) -> QueueError {
    QueueError::Stopped {
        source: Some(source),
    }
}

/// Those that the log has to know.
fn durable(gets: &[Got]) -> Vec<(Arc<str>, u64)> {
    let persistent = gets.iter().filter(|got| got.persistent);
    persistent
        .map(|got| (Arc::clone(&got.queue), got.sequence))
        .collect()
}

/// Makes visible what became durable. Ends with the log or with the last handle.
async fn apply_loop(inner: std::sync::Weak<Inner>, mut changes: Changes) {
    while let Some(durable) = changes.next().await {
        let Some(inner) = inner.upgrade() else { return };
        let log_bytes = inner.log.size_bytes();
        {
            let mut state = inner.lock();
            state.now = now_micros();
            state.apply_durable(durable);
            if state.queues.values().any(Queue::has_delayed) {
                inner.clock.notify_one();
            }
        }
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
            queue.wake_all();
        }
    }
}

/// Offers delayed messages when they are due and drops expired ones. Ends with the last handle.
async fn clock_loop(inner: std::sync::Weak<Inner>, wake: Arc<Notify>) {
    loop {
        let Some(strong) = inner.upgrade() else {
            return;
        };
        let now = now_micros();
        let mut next: Option<i64> = None;
        {
            let mut state = strong.lock();
            if state.stopped {
                return;
            }
            let names: Vec<String> = state
                .queues
                .iter()
                .filter(|(_, queue)| queue.next_expiry().is_some() || queue.has_delayed())
                .map(|(name, _)| name.clone())
                .collect();
            for name in names {
                strong.tick(&mut state, &name);
                let due = state.queue(&name).ok().and_then(|queue| queue.promote(now));
                next = [next, due].into_iter().flatten().min();
            }
        }
        let due = next.map(|at| Duration::from_micros(u64::try_from(at - now).unwrap_or(0)));
        let wait = due.unwrap_or(EXPIRY_INTERVAL).min(EXPIRY_INTERVAL);
        // Without the handle, so that the last one may go meanwhile.
        drop(strong);
        let _ = tokio::time::timeout(wait, wake.notified()).await;
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
        let size = inner.log.size_bytes();
        let next = size + (target / RECLAIM_STEPS).max(size / RECLAIM_PARTS);
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
                let position = inner
                    .log
                    .append(&[&encode_carry(&live, &inner.options.name)])?;
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
        // What is needed beside messages and ledger lies behind it, so it is kept with it.
        inner.log.append(&[&encode_epoch(state.epoch)])?;
        for name in &state.altered {
            if let Some(queue) = state.queues.get(name) {
                inner.log.append(&[&encode_define(&queue.definition)])?;
            }
        }
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
