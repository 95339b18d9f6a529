//! How long to wait before a request is sent again.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::random::Random;

/// First pause.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause of our own; a server may ask for more.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Longest pause that a server can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// Exponential back-off with jitter; the server's `Retry-After` is the least that is waited.
#[derive(Debug)]
pub(crate) struct Backoff {
    random: Random,
    attempts: u32,
}

impl Backoff {
    pub(crate) fn new(random: Random) -> Self {
        Self {
            random,
            attempts: 0,
        }
    }

    /// The next pause: between half of the back-off and all of it, so that senders who failed
    /// together do not come back together.
    pub(crate) fn next(&mut self, retry_after: Option<Duration>) -> Duration {
        let full = PAUSE_MIN
            .saturating_mul(1_u32.checked_shl(self.attempts.min(16)).unwrap_or(u32::MAX))
            .min(PAUSE_MAX);
        self.attempts = self.attempts.saturating_add(1);
        let micros = u64::try_from(full.as_micros()).unwrap_or(u64::MAX);
        let jittered = Duration::from_micros(micros / 2 + self.random.below(micros / 2 + 1));
        match retry_after {
            Some(asked) => asked.min(RETRY_AFTER_MAX) + jittered.min(PAUSE_MIN),
            None => jittered,
        }
    }
}

/// Waits. Tests hand in one that does not.
#[derive(Debug, Clone)]
pub(crate) enum Waiter {
    Clock,
    #[cfg(test)]
    Recorded(std::sync::Arc<std::sync::Mutex<Vec<Duration>>>),
}

impl Waiter {
    /// Waits for `pause`; `false` if `shutdown` fired first.
    pub(crate) async fn wait(&self, pause: Duration, shutdown: &CancellationToken) -> bool {
        match self {
            Self::Clock => tokio::select! {
                biased;
                () = shutdown.cancelled() => false,
                () = tokio::time::sleep(pause) => true,
            },
            #[cfg(test)]
            Self::Recorded(pauses) => {
                pauses.lock().expect("no panic under it").push(pause);
                tokio::task::yield_now().await;
                !shutdown.is_cancelled()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit() {
        let mut backoff = Backoff::new(Random::new(1));
        let mut full = PAUSE_MIN;
        for _ in 0..40 {
            let pause = backoff.next(None);
            assert!(pause >= full / 2 && pause <= full, "{pause:?} of {full:?}");
            full = (full * 2).min(PAUSE_MAX);
        }
    }

    #[test]
    fn the_servers_wish_is_the_least() {
        let mut backoff = Backoff::new(Random::new(1));
        let asked = Duration::from_secs(7);
        let pause = backoff.next(Some(asked));
        assert!(pause >= asked && pause <= asked + PAUSE_MIN);
        let year = Duration::from_secs(31_536_000);
        assert!(backoff.next(Some(year)) <= RETRY_AFTER_MAX + PAUSE_MIN);
    }
}
