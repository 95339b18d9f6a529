//! Units of work: what an application does between two commits.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use types::{Micros, Tally, minute_of};

use crate::error::QueueError;
use crate::ledger::Declared;
use crate::manager::Inner;
use crate::message::{Message, NewMessage};

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
    gets: Vec<(Arc<str>, u64)>,
    declared: Vec<Declared>,
}

impl UnitOfWork {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        Self {
            inner,
            puts: Vec::new(),
            put_bytes: 0,
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

    /// Puts a persistent message (MQPUT under syncpoint); visible to others after the commit.
    ///
    /// # Errors
    ///
    /// Unknown queue, message too big, or the unit of work is full: nothing was added then.
    pub fn put(&mut self, queue: &str, message: NewMessage) -> Result<(), QueueError> {
        let bytes = message.body.len();
        let bytes_max = self.inner.lock().queue(queue)?.definition.message_bytes_max;
        if bytes > bytes_max {
            return Err(QueueError::MessageTooBig { bytes, bytes_max });
        }
        self.check_room(1, bytes)?;
        self.put_bytes += bytes;
        self.puts.push(Put {
            queue: queue.into(),
            message,
        });
        Ok(())
    }

    /// Puts many messages to one queue: all are added, or none.
    ///
    /// # Errors
    ///
    /// As [`UnitOfWork::put`].
    pub fn put_all(&mut self, queue: &str, messages: Vec<NewMessage>) -> Result<(), QueueError> {
        let bytes_max = self.inner.lock().queue(queue)?.definition.message_bytes_max;
        let largest = messages.iter().map(|message| message.body.len()).max();
        if let Some(bytes) = largest.filter(|bytes| *bytes > bytes_max) {
            return Err(QueueError::MessageTooBig { bytes, bytes_max });
        }
        let bytes = messages.iter().map(|message| message.body.len()).sum();
        self.check_room(messages.len(), bytes)?;
        self.put_bytes += bytes;
        let queue: Arc<str> = queue.into();
        self.puts.extend(messages.into_iter().map(|message| Put {
            queue: Arc::clone(&queue),
            message,
        }));
        Ok(())
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
        let mut state = self.inner.lock();
        if state.stopped {
            return Err(QueueError::Stopped { source: None });
        }
        let queue = state.queue(name)?;
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
            self.gets.push((Arc::clone(&name), message.sequence));
            got.push(message);
        }
        Ok(got)
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
    /// [`QueueError::QueueFull`]: nothing was committed, and it is backed out.
    /// [`QueueError::Stopped`]: whether it is committed is unknown until the next start.
    pub async fn commit(mut self) -> Result<(), QueueError> {
        if self.messages() == 0 {
            return Ok(());
        }
        let puts = std::mem::take(&mut self.puts);
        let declared = std::mem::take(&mut self.declared);
        let wait = self.inner.commit(puts, self.gets.clone(), declared)?;
        // From here on the log decides: dropping must not back out.
        self.gets.clear();
        self.inner.wait_committed(wait).await
    }

    /// Undoes everything (MQBACK): gets return to their place with their backout count raised.
    pub fn back_out(self) {}
}

impl Drop for UnitOfWork {
    fn drop(&mut self) {
        if !self.gets.is_empty() {
            self.inner.back_out(&self.gets);
        }
    }
}
