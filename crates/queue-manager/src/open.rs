//! Handles: who has a queue open, and for what.

use std::sync::Arc;

use crate::manager::Inner;

/// What a queue is opened for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenMode {
    /// Gets (MQOO_INPUT_SHARED).
    pub input: bool,
    /// Gets, and nobody else may get (MQOO_INPUT_EXCLUSIVE).
    pub exclusive: bool,
    /// Puts (MQOO_OUTPUT).
    pub output: bool,
}

/// An open queue. Dropping it closes it; a temporary queue goes with the handle that made it.
#[derive(Debug)]
pub struct OpenQueue {
    inner: Arc<Inner>,
    name: Arc<str>,
    mode: OpenMode,
    maker: bool,
}

impl OpenQueue {
    pub(crate) fn new(inner: Arc<Inner>, name: Arc<str>, mode: OpenMode, maker: bool) -> Self {
        Self {
            inner,
            name,
            mode,
            maker,
        }
    }

    /// The queue's name; of a temporary queue the one that was made for it.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether opening it made the queue.
    pub fn is_maker(&self) -> bool {
        self.maker
    }
}

impl Drop for OpenQueue {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        let Ok(queue) = state.queue(&self.name) else {
            return;
        };
        let opens = &mut queue.opens;
        opens.handles = opens.handles.saturating_sub(1);
        if self.mode.input || self.mode.exclusive {
            opens.inputs = opens.inputs.saturating_sub(1);
        }
        if self.mode.output {
            opens.outputs = opens.outputs.saturating_sub(1);
        }
        if self.mode.exclusive {
            opens.exclusive = false;
        }
        if self.maker {
            queue.wake_all();
            state.queues.remove(&*self.name);
        }
    }
}
