//! A histogram with a fixed relative error, of atomics.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Buckets a doubling: values are known to 1/16.
const STEPS: u64 = 16;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Values of 2^40 µs (12 days) and more share the last bucket.
const VALUE_BITS_MAX: u32 = 40;
const BUCKETS: usize = ((VALUE_BITS_MAX - STEP_BITS + 1) as usize) * STEPS as usize;

/// Bounds shown to Prometheus, in microseconds.
const BOUNDS_MICROS: &[u64] = &[
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    5_000_000, 30_000_000,
];

/// Microseconds, counted in buckets of 6 % width.
#[derive(Debug)]
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
    max: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
            max: AtomicU64::new(0),
        }
    }
}

fn index(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let exponent = value.ilog2();
    let step = (value >> (exponent - STEP_BITS)) & (STEPS - 1);
    let row = u64::from(exponent - STEP_BITS + 1);
    ((row * STEPS + step) as usize).min(BUCKETS - 1)
}

/// Largest value of a bucket.
fn upper(index: usize) -> u64 {
    let (row, step) = (index as u64 / STEPS, index as u64 % STEPS);
    if row == 0 {
        return step;
    }
    ((STEPS + step + 1) << (row - 1)) - 1
}

impl Histogram {
    /// Counts `times` observations of `micros`.
    pub fn record(&self, micros: u64, times: u64) {
        self.buckets[index(micros)].fetch_add(times, Relaxed);
        self.sum.fetch_add(micros.saturating_mul(times), Relaxed);
        self.max.fetch_max(micros, Relaxed);
    }

    /// The counts now.
    pub fn snapshot(&self) -> HistogramSnapshot {
        HistogramSnapshot {
            counts: self
                .buckets
                .iter()
                .map(|bucket| bucket.load(Relaxed))
                .collect(),
            sum: self.sum.load(Relaxed),
            max: self.max.load(Relaxed),
        }
    }
}

/// The counts of a [`Histogram`] at one moment.
#[derive(Debug, Clone, Default)]
pub struct HistogramSnapshot {
    counts: Vec<u64>,
    sum: u64,
    max: u64,
}

impl HistogramSnapshot {
    /// What was counted since an earlier snapshot. `max` stays that of all time.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier.counts.iter().copied().chain(std::iter::repeat(0));
        Self {
            counts: self
                .counts
                .iter()
                .zip(before)
                .map(|(now, before)| now.saturating_sub(before))
                .collect(),
            sum: self.sum.saturating_sub(earlier.sum),
            max: self.max,
        }
    }

    /// Observations.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Largest observation, exact, in microseconds.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// Value that `per_mille` of 1,000 observations do not exceed (500 = median), in microseconds,
    /// at most 6 % too high; `None` without observations.
    pub fn quantile(&self, per_mille: u64) -> Option<u64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = (count * per_mille.min(1000)).div_ceil(1000).max(1);
        let mut seen = 0;
        let found = self.counts.iter().position(|bucket| {
            seen += bucket;
            seen >= rank
        });
        found.map(|index| upper(index).min(self.max))
    }

    /// `labels` such as `hop="web"`, or none.
    pub(crate) fn render(&self, text: &mut String, name: &str, labels: &str) {
        let (separator, own) = match labels {
            "" => ("", String::new()),
            labels => (",", format!("{{{labels}}}")),
        };
        for bound in BOUNDS_MICROS {
            let within = self
                .counts
                .iter()
                .enumerate()
                .take_while(|(index, _)| upper(*index) <= *bound);
            let count: u64 = within.map(|(_, count)| count).sum();
            let seconds = Seconds(*bound);
            let _ = writeln!(
                text,
                "{name}_bucket{{{labels}{separator}le=\"{seconds}\"}} {count}"
            );
        }
        let count = self.count();
        let _ = writeln!(
            text,
            "{name}_bucket{{{labels}{separator}le=\"+Inf\"}} {count}"
        );
        let _ = writeln!(text, "{name}_sum{own} {}", Seconds(self.sum));
        let _ = writeln!(text, "{name}_count{own} {count}");
    }
}

/// Microseconds shown as seconds.
struct Seconds(u64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = format!("{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_the_bucket_that_ends_at_or_above_it() {
        for exponent in 0..45 {
            for value in [
                1_u64 << exponent,
                (1 << exponent) + 1,
                (1 << exponent) * 3 / 2,
            ] {
                let index = index(value);
                assert!(index == BUCKETS - 1 || upper(index) >= value, "{value}");
                assert!(index == 0 || upper(index - 1) < value, "{value}");
            }
        }
    }

    #[test]
    fn quantiles_of_one_to_a_thousand() {
        let histogram = Histogram::default();
        let empty = histogram.snapshot();
        assert_eq!(empty.quantile(500), None);
        (1..=1000).for_each(|value| histogram.record(value, 1));
        let all = histogram.snapshot();
        let near = |quantile, expected: u64| {
            let found = all.quantile(quantile).expect("not empty");
            assert!(
                found >= expected && found <= expected + expected / 16 + 1,
                "{found} for {expected}"
            );
        };
        near(500, 500);
        near(990, 990);
        assert_eq!(all.quantile(1000), Some(1000));
        assert_eq!(all.since(&all).count(), 0);
    }
}
