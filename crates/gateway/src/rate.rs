//! How much a client may send.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A limit of one client on one thing: requests, or records. Nothing is held for who sends too much.
#[derive(Debug)]
pub(crate) struct Rate {
    rate: types::Rate,
    due: Mutex<Option<Instant>>,
}

impl Rate {
    /// `burst` is how many may come at once; at least one.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        Self {
            rate: types::Rate::new(per_second, burst),
            due: Mutex::new(None),
        }
    }

    /// How many may come at once.
    pub(crate) fn burst(&self) -> u32 {
        self.rate.burst()
    }

    /// Lets `count` through together, or says after which time they would pass; more than the burst never do.
    pub(crate) fn take(&self, count: u32, now: Instant) -> Result<(), Duration> {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        self.rate.take(&mut due, count, now)
    }
}
