//! What only administration needs: clearing queues, and what was counted since the last time.

use std::sync::Arc;

use crate::codec::{Record, encode_clear};
use crate::error::QueueError;
use crate::manager::{QueueManager, now_micros, stopped};
use crate::options::QueueDefinition;

/// What happened on a queue since the last reset, or since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueStatistics {
    /// Since then, in microseconds.
    pub micros: i64,
    /// Messages put.
    pub puts: u64,
    /// Messages got and committed, or cleared.
    pub gets: u64,
    /// Most messages at a time.
    pub depth_high: usize,
}

impl QueueManager {
    /// Takes all messages off a queue (CLEAR QLOCAL); how many there were. Either all are gone after a
    /// crash, or none; they are gone for good when the future ends. The ledger counts them as got.
    ///
    /// Cancel safety: after the first poll it is done all the same.
    ///
    /// # Errors
    ///
    /// [`QueueError::InUse`] while anybody has the queue open; [`QueueError::Uncommitted`] while a unit
    /// of work has messages of it; [`QueueError::UnknownQueue`], [`QueueError::Stopped`].
    pub async fn clear(&self, queue: &str) -> Result<usize, QueueError> {
        let (position, messages) = {
            let mut state = self.inner.lock();
            if state.stopped {
                return Err(QueueError::Stopped { source: None });
            }
            let found = state.queue(queue)?;
            found.check_idle()?;
            let messages = found.depth();
            if messages == 0 {
                return Ok(0);
            }
            // Under the lock: nothing of this queue is in the log's buffer, and nothing gets there
            // before this record.
            let written = self.inner.log.append(&[&encode_clear(queue)]);
            let position = written.map_err(stopped)?;
            state.now = now_micros();
            let queue = Arc::from(queue);
            state.apply(Record::Clear { queue }, position);
            (position, messages)
        };
        let durable = self.inner.log.durable(position).await;
        durable.map_err(stopped)?;
        Ok(messages)
    }

    /// What happened on a queue since the last call (RESET QSTATS).
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownQueue`].
    pub fn reset_statistics(&self, queue: &str) -> Result<QueueStatistics, QueueError> {
        let mut state = self.inner.lock();
        let queue = state.queue(queue)?;
        let (now, since) = (now_micros(), queue.since_reset);
        let statistics = QueueStatistics {
            micros: now.saturating_sub(since.at).max(0),
            puts: queue.puts_total.saturating_sub(since.puts_before),
            gets: queue.gets_total.saturating_sub(since.gets_before),
            depth_high: since.depth_high,
        };
        queue.reset_statistics(now);
        Ok(statistics)
    }

    /// All queues and models, by name.
    pub fn definitions(&self) -> Vec<QueueDefinition> {
        let state = self.inner.lock();
        let queues = state.queues.values();
        queues.map(|queue| queue.definition.clone()).collect()
    }
}
