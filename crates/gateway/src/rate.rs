//! How much a client may send: so many of something a second, exactly.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A limit of one client on one thing: requests, or records.
///
/// The generic cell rate algorithm (ITU-T I.371): one instant is remembered, and over any time `t` no more than
/// `burst + t × per_second` pass. Nothing waits inside, so nothing is held for who sends too much.
#[derive(Debug)]
pub(crate) struct Rate {
    per_second: u32,
    burst: u32,
    /// When all that passed would be through, had it come at the rate.
    due: Mutex<Option<Instant>>,
}

impl Rate {
    /// `burst` is how many may come at once; at least one.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        Self {
            per_second: per_second.max(1),
            burst: burst.max(1),
            due: Mutex::new(None),
        }
    }

    /// How many may come at once.
    pub(crate) fn burst(&self) -> u32 {
        self.burst
    }

    /// Lets `count` through together, or says after which time they would pass; more than the burst never do.
    pub(crate) fn take(&self, count: u32, now: Instant) -> Result<(), Duration> {
        let one = Duration::from_secs(1) / self.per_second;
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let from = due.map_or(now, |due| due.max(now));
        let until = from + one * count;
        let ahead = until - now;
        let ahead_max = one * self.burst;
        if ahead > ahead_max {
            return Err(ahead - ahead_max);
        }
        *due = Some(until);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let (rate, begun) = (Rate::new(10, 3), Instant::now());
        let at = |millis| begun + Duration::from_millis(millis);
        let passed = |count, millis| rate.take(count, at(millis)).is_ok();
        assert!(passed(2, 0) && passed(1, 0) && !passed(1, 0));
        assert!(!passed(1, 99) && passed(1, 100) && !passed(1, 100));
        assert!(!passed(2, 200), "together or not at all");
        assert!(passed(1, 200));
        assert!(
            passed(3, 5_000) && !passed(1, 5_000),
            "what was not used is not saved up"
        );
        assert!(!passed(4, 60_000), "more than the burst never pass");
        assert_eq!(rate.take(2, at(5_050)), Err(Duration::from_millis(150)));
    }

    #[test]
    fn over_any_time_no_more_than_burst_and_rate_pass() {
        let (rate, begun) = (Rate::new(10, 3), Instant::now());
        let mut passed: Vec<(u64, u32)> = Vec::new();
        for step in 0..400_u64 {
            let (millis, count) = (step * 37, 1 + (step % 3) as u32);
            let now = begun + Duration::from_millis(millis);
            passed.extend(rate.take(count, now).is_ok().then_some((millis, count)));
        }
        for (index, (first, _)) in passed.iter().enumerate() {
            let mut sum = 0;
            for (last, count) in &passed[index..] {
                sum += u64::from(*count);
                assert!(sum <= 3 + (last - first) / 100, "{first} to {last}");
            }
        }
        let all: u32 = passed.iter().map(|(_, count)| count).sum();
        assert!((140..=150).contains(&all), "{all}");
    }
}
