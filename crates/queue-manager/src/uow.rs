//! Units of work: what an application does between two commits.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use types::{Micros, Tally, minute_of};

use crate::error::QueueError;
use crate::ledger::Declared;
use crate::manager::{Inner, now_micros};
use crate::message::{Message, NewMessage};
use crate::selection::{Found, Selection};
use crate::state::{Queue, Reserved, State};

/// A get that waits for its commit.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) queue: Arc<str>,
    pub(crate) sequence: u64,
    /// The log knows the message.
    pub(crate) persistent: bool,
}

/// A put that waits for its commit.
#[derive(Debug)]
pub(crate) struct Put {
    pub(crate) queue: Arc<str>,
    pub(crate) message: NewMessage,
}

/// Puts and gets that happen together or not at all.
///
/// Dropping it backs it out, as a lost connection does.
#[derive(Debug)]
pub struct UnitOfWork {
    inner: Arc<Inner>,
    puts: Vec<Put>,
    put_bytes: usize,
    /// Room on the queues that the puts go to.
    reserved: Reserved,
    gets: Vec<Got>,
    declared: Vec<Declared>,
}

impl UnitOfWork {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        Self {
            inner,
            puts: Vec::new(),
            put_bytes: 0,
            reserved: Reserved::new(),
            gets: Vec::new(),
            declared: Vec::new(),
        }
    }

    /// Says for the ledger what this unit of work puts to a queue, by the putter's own count. It
    /// is committed with the messages, and what is wrong with either shows in the other.
    pub fn declare(&mut self, queue: &str, source: &str, received_at: Micros, tally: Tally) {
        self.declared.push(Declared {
            queue: queue.into(),
            source: source.into(),
            minute: minute_of(received_at),
            tally,
        });
    }

    /// Puts a message (MQPUT under syncpoint); visible to others after the commit. Its room on the
    /// queue is taken now.
    ///
    /// # Errors
    ///
    /// Unknown queue, puts are inhibited, the message is too big, the queue or the unit of work is
    /// full: nothing was added then.
    pub fn put(
        &mut self,
        queue: impl Into<Arc<str>>,
        message: NewMessage,
    ) -> Result<(), QueueError> {
        let queue = queue.into();
        self.add(vec![Put { queue, message }], false).map(drop)
    }

    /// Puts many messages to one queue: all are added, or none.
    ///
    /// # Errors
    ///
    /// As [`UnitOfWork::put`].
    pub fn put_all(&mut self, queue: &str, messages: Vec<NewMessage>) -> Result<(), QueueError> {
        let queue: Arc<str> = queue.into();
        let puts = messages.into_iter().map(|message| Put {
            queue: Arc::clone(&queue),
            message,
        });
        self.add(puts.collect(), false).map(drop)
    }

    /// Puts a message to each of several queues, for instance those of a topic's subscriptions: all
    /// are added, or none. Queues that are not there any more are left out. Says how many were added.
    ///
    /// # Errors
    ///
    /// As [`UnitOfWork::put`].
    pub fn put_each(&mut self, copies: Vec<(Arc<str>, NewMessage)>) -> Result<usize, QueueError> {
        let puts = copies
            .into_iter()
            .map(|(queue, message)| Put { queue, message });
        self.add(puts.collect(), true)
    }

    /// Checks all, then reserves all, then adds all.
    fn add(&mut self, mut puts: Vec<Put>, leave_out: bool) -> Result<usize, QueueError> {
        let inner = Arc::clone(&self.inner);
        let mut state = inner.lock();
        if state.stopped {
            return Err(QueueError::Stopped { source: None });
        }
        if leave_out {
            puts.retain(|put| state.queues.contains_key(&*put.queue));
        }
        let runs = || puts.chunk_by(|a, b| a.queue == b.queue);
        for run in runs() {
            check_put(&mut state, run)?;
        }
        let bytes = puts.iter().map(|put| put.message.body.len()).sum();
        self.check_room(puts.len(), bytes)?;
        let mut reserved = Reserved::new();
        for run in runs() {
            let Some(first) = run.first() else { continue };
            let bytes = run.iter().map(|put| put.message.body.len()).sum();
            let queue = state.queue(&first.queue)?;
            if let Err(full) = queue.reserve(run.len(), bytes) {
                state.release(&reserved);
                return Err(full);
            }
            reserved.push((Arc::clone(&first.queue), run.len(), bytes));
        }
        drop(state);
        for (queue, messages, bytes) in reserved {
            match self.reserved.last_mut() {
                Some(last) if last.0 == queue => {
                    last.1 += messages;
                    last.2 += bytes;
                }
                _ => self.reserved.push((queue, messages, bytes)),
            }
        }
        self.put_bytes += bytes;
        let added = puts.len();
        self.puts.append(&mut puts);
        Ok(added)
    }

    fn check_room(&self, messages: usize, bytes: usize) -> Result<(), QueueError> {
        let messages = self.puts.len() + self.gets.len() + messages;
        let bytes = self.put_bytes + bytes;
        let options = &self.inner.options;
        if messages > options.uncommitted_messages_max || bytes > options.uncommitted_bytes_max {
            return Err(QueueError::SyncpointLimit { messages, bytes });
        }
        Ok(())
    }

    /// Gets the next message (MQGET under syncpoint), waiting up to `wait` for one.
    ///
    /// `None` when none came (MQRC_NO_MSG_AVAILABLE). Cancel safe: a cancelled call has got nothing.
    ///
    /// # Errors
    ///
    /// Unknown queue, the unit of work is full, or the queue manager stopped.
    pub async fn get(
        &mut self,
        queue: &str,
        wait: Duration,
    ) -> Result<Option<Message>, QueueError> {
        let mut got = self.get_batch(queue, wait, 1, usize::MAX).await?;
        Ok(got.pop())
    }

    /// Gets what is there, at most `count_max` messages and about `bytes_max` bytes of bodies;
    /// waits up to `wait` only while there is nothing. The first message comes whatever its size.
    ///
    /// Cancel safe, as [`UnitOfWork::get`].
    ///
    /// # Errors
    ///
    /// As [`UnitOfWork::get`].
    pub async fn get_batch(
        &mut self,
        queue: &str,
        wait: Duration,
        count_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Message>, QueueError> {
        self.check_room(1, 0)?;
        let room = self.inner.options.uncommitted_messages_max - self.puts.len() - self.gets.len();
        let count_max = count_max.min(room);
        let deadline = Instant::now() + wait;
        let arrivals = Arc::clone(&self.inner.lock().queue(queue)?.arrivals);
        loop {
            // Created before looking: an arrival between the look and the wait is not missed.
            let arrival = arrivals.notified();
            let got = self.take(queue, count_max, bytes_max)?;
            if !got.is_empty() || wait.is_zero() {
                return Ok(got);
            }
            if tokio::time::timeout_at(deadline, arrival).await.is_err() {
                return self.take(queue, count_max, bytes_max);
            }
        }
    }

    fn take(
        &mut self,
        name: &str,
        count_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Message>, QueueError> {
        if self.puts.iter().any(|put| *put.queue == *name) {
            // Its own puts take part, by priority: one at a time.
            let found = self.get_matching(name, &Selection::default(), &mut |_| true)?;
            return Ok(match found {
                Found::Got(message) => vec![*message],
                Found::Refused(_) | Found::Nothing => Vec::new(),
            });
        }
        let mut state = self.inner.lock();
        if state.stopped {
            return Err(QueueError::Stopped { source: None });
        }
        self.inner.tick(&mut state, name);
        let queue = state.queue(name)?;
        check_get(queue)?;
        let name: Arc<str> = name.into();
        let mut got = Vec::new();
        let mut bytes_left = usize::MAX;
        while got.len() < count_max
            && let Some(message) = queue.take_next(bytes_left)
        {
            if got.is_empty() {
                bytes_left = bytes_max;
            }
            bytes_left = bytes_left.saturating_sub(message.body.len());
            self.gets.push(Got {
                queue: Arc::clone(&name),
                sequence: message.sequence,
                persistent: message.descriptor.persistent,
            });
            got.push(message);
        }
        Ok(got)
    }

    /// Gets the first message that matches, if it is accepted; does not wait. Messages that this
    /// unit of work has put count too, behind committed ones of the same priority.
    ///
    /// `accept` is called under the queue manager's lock: it must be quick and not call back.
    ///
    /// # Errors
    ///
    /// Unknown queue, gets are inhibited, the unit of work is full, or the queue manager stopped.
    pub fn get_matching(
        &mut self,
        queue: &str,
        selection: &Selection,
        accept: &mut dyn FnMut(&Message) -> bool,
    ) -> Result<Found, QueueError> {
        self.check_room(1, 0)?;
        let inner = Arc::clone(&self.inner);
        let mut state = inner.lock();
        if state.stopped {
            return Err(QueueError::Stopped { source: None });
        }
        inner.tick(&mut state, queue);
        let found = state.queue(queue)?;
        check_get(found)?;
        let own = self.own_put(queue, selection);
        let committed = found.find(selection, None).map(|first| first.priority);
        if let Some((index, message)) = own
            && committed.is_none_or(|priority| priority < message.priority)
        {
            if !accept(&message) {
                return Ok(Found::Refused(Box::new(message)));
            }
            let put = self.puts.remove(index);
            let bytes = put.message.body.len();
            self.put_bytes -= bytes;
            let mut reserved = self.reserved.iter_mut();
            if let Some(of) = reserved.find(|of| of.0 == put.queue && of.1 > 0 && of.2 >= bytes) {
                of.1 -= 1;
                of.2 -= bytes;
            }
            found.release(1, bytes);
            return Ok(Found::Got(Box::new(message)));
        }
        let found = found.take_matching(selection, accept);
        if let Found::Got(message) = &found {
            self.gets.push(Got {
                queue: queue.into(),
                sequence: message.sequence,
                persistent: message.descriptor.persistent,
            });
        }
        Ok(found)
    }

    /// The message that this unit of work has put and would get next, as it will look.
    fn own_put(&self, queue: &str, selection: &Selection) -> Option<(usize, Message)> {
        let puts = self.puts.iter().enumerate();
        let own = puts.filter(|(_, put)| *put.queue == *queue);
        let shown = own.map(|(index, put)| (index, put.message.preview()));
        let now = now_micros();
        shown
            .filter(|(_, message)| {
                let ready = message.available_at.is_none_or(|at| at <= now);
                ready && !message.is_expired(now) && selection.matches(message)
            })
            .min_by_key(|(index, message)| (std::cmp::Reverse(message.priority), *index))
    }

    /// Hands the decision to somebody else: after this the unit of work survives everything until
    /// [`crate::QueueManager::resolve`] is called with the same identifier. Nothing of it is visible
    /// before.
    ///
    /// # Errors
    ///
    /// As [`UnitOfWork::commit`]; [`QueueError::Prepared`] if the identifier is in use. It is backed
    /// out then.
    pub async fn prepare(mut self, xid: &[u8]) -> Result<(), QueueError> {
        let puts = std::mem::take(&mut self.puts);
        let reserved = self.reserved.clone();
        let wait = self.inner.prepare(xid, puts, &self.gets, reserved)?;
        self.gets.clear();
        self.reserved.clear();
        self.inner.wait_committed(wait).await
    }

    /// Messages put and got so far.
    pub fn messages(&self) -> usize {
        self.puts.len() + self.gets.len()
    }

    /// Makes everything durable and visible (MQCMIT); returns when it is forced to disk.
    ///
    /// Cancel safety: if this future is dropped after its first poll, the unit of work is
    /// committed all the same.
    ///
    /// # Errors
    ///
    /// [`QueueError::Stopped`]: whether it is committed is unknown until the next start.
    pub async fn commit(mut self) -> Result<(), QueueError> {
        if self.messages() == 0 {
            return Ok(());
        }
        let puts = std::mem::take(&mut self.puts);
        let declared = std::mem::take(&mut self.declared);
        let (gets, reserved) = (self.gets.clone(), self.reserved.clone());
        let wait = self.inner.commit(puts, gets, declared, reserved)?;
        // From here on the log decides: dropping must not back out.
        self.gets.clear();
        self.reserved.clear();
        self.inner.wait_committed(wait).await
    }

    /// Undoes everything (MQBACK): gets return to their place with their backout count raised.
    pub fn back_out(self) {}
}

/// Whether a queue takes these messages, which are all for it.
fn check_put(state: &mut State, run: &[Put]) -> Result<(), QueueError> {
    let Some(first) = run.first() else {
        return Ok(());
    };
    let found = state.queue(&first.queue)?;
    let bytes = run.iter().map(|put| put.message.body.len()).max();
    let (bytes, bytes_max) = (bytes.unwrap_or(0), found.definition.message_bytes_max);
    let persistent = |put: &Put| put.message.descriptor.persistent;
    let queue = || first.queue.to_string();
    if found.definition.put_inhibited {
        Err(QueueError::PutInhibited { queue: queue() })
    } else if found.temporary && run.iter().any(persistent) {
        Err(QueueError::PersistentNotAllowed { queue: queue() })
    } else if bytes > bytes_max {
        Err(QueueError::MessageTooBig { bytes, bytes_max })
    } else {
        Ok(())
    }
}

fn check_get(queue: &Queue) -> Result<(), QueueError> {
    if queue.definition.get_inhibited {
        return Err(QueueError::GetInhibited {
            queue: queue.definition.name.clone(),
        });
    }
    Ok(())
}

impl Drop for UnitOfWork {
    fn drop(&mut self) {
        if !self.gets.is_empty() || !self.reserved.is_empty() {
            self.inner.back_out(&self.gets, &self.reserved);
        }
    }
}
