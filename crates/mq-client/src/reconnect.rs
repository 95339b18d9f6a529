//! Connecting again: hosts in turn, waiting longer and longer, for ever.

use std::sync::Arc;
use std::time::Duration;

use crate::connection::Connection;
use crate::error::ClientError;
use crate::options::ClientOptions;
use crate::session::Session;

/// First pause, as IBM's connector has it.
const PAUSE_MIN: Duration = Duration::from_millis(64);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(8_192);

/// How long to wait before the next attempt: doubling from 64 ms to 8,192 ms, a part of it by chance, so
/// that many clients do not come back at once.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
    random: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self::seeded(seed.map_or(1, |since| u64::from(since.subsec_nanos())))
    }
}

impl Backoff {
    /// With pauses that follow from the seed.
    pub fn seeded(seed: u64) -> Self {
        Self {
            next: PAUSE_MIN,
            random: seed | 1,
        }
    }

    /// The next pause: between half of the doubled time and all of it.
    pub fn pause(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(PAUSE_MAX);
        // xorshift64: good enough to spread clients.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let half = whole / 2;
        let spread = u64::try_from(half.as_micros()).unwrap_or(u64::MAX).max(1);
        half + Duration::from_micros(self.random % spread)
    }

    /// After a success.
    pub fn reset(&mut self) {
        self.next = PAUSE_MIN;
    }
}

/// Connects to the first host that answers.
///
/// # Errors
///
/// The error of the last host, or the first that retrying cannot mend ([`ClientError::is_transient`]).
pub async fn connect_any(
    options: &Arc<ClientOptions>,
) -> Result<(Connection, Session), ClientError> {
    let mut last = ClientError::NoHost;
    for host in &options.hosts {
        match Connection::connect(options, host).await {
            Ok(connected) => return Ok(connected),
            // Another host may be another queue manager: it is asked too.
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_begin_anew() {
        let mut backoff = Backoff::seeded(7);
        let mut whole = PAUSE_MIN;
        for _ in 0..12 {
            let pause = backoff.pause();
            assert!(
                pause >= whole / 2 && pause <= whole,
                "{pause:?} of {whole:?}"
            );
            whole = (whole * 2).min(PAUSE_MAX);
        }
        assert_eq!(whole, PAUSE_MAX);
        backoff.reset();
        assert!(backoff.pause() <= PAUSE_MIN);
    }
}
