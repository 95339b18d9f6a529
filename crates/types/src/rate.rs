//! How much somebody may do: so many of something a second, exactly.

use std::time::{Duration, Instant};

/// A rate with a burst: over any time `t` no more than `burst + t × per_second` pass.
///
/// The generic cell rate algorithm (ITU-T I.371). What it remembers of whoever is limited is one instant, which the
/// caller keeps, so that a million of them cost a million instants. Nothing waits inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    per_second: u32,
    burst: u32,
}

impl Rate {
    /// `burst` is how many may come at once. Both are at least one.
    pub fn new(per_second: u32, burst: u32) -> Self {
        Self {
            per_second: per_second.max(1),
            burst: burst.max(1),
        }
    }

    /// How many may come at once.
    pub fn burst(self) -> u32 {
        self.burst
    }

    /// Lets `count` through together. `due` is when all that passed would be through, had it come at the rate; `None` before
    /// anything did.
    ///
    /// # Errors
    ///
    /// After which time they would pass, and `due` stays; more than the burst never do.
    pub fn take(self, due: &mut Option<Instant>, count: u32, now: Instant) -> Result<(), Duration> {
        let one = Duration::from_secs(1) / self.per_second;
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
        let mut due = None;
        let at = |millis| begun + Duration::from_millis(millis);
        let mut passed = |count, millis| rate.take(&mut due, count, at(millis)).is_ok();
        assert!(passed(2, 0) && passed(1, 0) && !passed(1, 0));
        assert!(!passed(1, 99) && passed(1, 100) && !passed(1, 100));
        assert!(!passed(2, 200), "together or not at all");
        assert!(passed(1, 200));
        assert!(
            passed(3, 5_000) && !passed(1, 5_000),
            "what was not used is not saved up"
        );
        assert!(!passed(4, 60_000), "more than the burst never pass");
        assert_eq!(
            rate.take(&mut due, 2, at(5_050)),
            Err(Duration::from_millis(150))
        );
    }

    #[test]
    fn over_any_time_no_more_than_burst_and_rate_pass() {
        let (rate, begun) = (Rate::new(10, 3), Instant::now());
        let mut due = None;
        let mut passed: Vec<(u64, u32)> = Vec::new();
        for step in 0..400_u64 {
            let (millis, count) = (step * 37, 1 + (step % 3) as u32);
            let now = begun + Duration::from_millis(millis);
            passed.extend(
                rate.take(&mut due, count, now)
                    .is_ok()
                    .then_some((millis, count)),
            );
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
