//! What one phase measures.

use hdrhistogram::Histogram;

use super::report::Second;
use crate::bench::plan::Micros;
use crate::bench::report::Latency;
use crate::bench::visible::histogram;

/// Measured of one kind.
#[derive(Debug, Clone)]
pub(crate) struct KindFigures {
    pub(crate) requests: u64,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) latency: Histogram<u64>,
}

/// Measured in one phase.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    /// From the intended time to the answer that accepts, a request due behind the settling.
    pub(crate) latency: Histogram<u64>,
    /// How late requests left though a connection was free.
    pub(crate) late: Histogram<u64>,
    pub(crate) kinds: Vec<KindFigures>,
    /// Accepted between settling and the phase's end, whenever they were due: requests, records, bytes.
    pub(crate) within: (u64, u64, u64),
    /// Requests that were sent, and those that had waited for a connection.
    pub(crate) requests: u64,
    pub(crate) waited: u64,
    /// Due, and never sent for want of a connection.
    pub(crate) unsent: u64,
    /// Attempts answered with 503 or another *later*.
    pub(crate) later: u64,
    /// Requests refused: answers that no repetition changes.
    pub(crate) refused: u64,
    /// Attempts whose connection failed.
    pub(crate) broken: u64,
    pub(crate) retries: u64,
    pub(crate) given_up: u64,
    /// Answered until now, for the bar.
    pub(crate) done: u64,
    pub(crate) seconds: Seconds,
}

impl Figures {
    pub(crate) fn new(kinds: usize) -> Self {
        let kind = KindFigures {
            requests: 0,
            records: 0,
            bytes: 0,
            latency: histogram(),
        };
        Self {
            latency: histogram(),
            late: histogram(),
            kinds: vec![kind; kinds],
            within: (0, 0, 0),
            requests: 0,
            waited: 0,
            unsent: 0,
            later: 0,
            refused: 0,
            broken: 0,
            retries: 0,
            given_up: 0,
            done: 0,
            seconds: Seconds::new(),
        }
    }
}

/// What came in each second; latencies of a second are of the answers that came in it.
#[derive(Debug, Clone)]
pub(crate) struct Seconds {
    current: Histogram<u64>,
    accepted: u64,
    faults: u64,
    done: Vec<Second>,
}

impl Seconds {
    fn new() -> Self {
        Self {
            current: histogram(),
            accepted: 0,
            faults: 0,
            done: Vec::new(),
        }
    }

    /// Closes all seconds before the one of `now`.
    fn turn(&mut self, now: Micros) {
        while (self.done.len() as u64) < now / 1_000_000 {
            let latency = Latency::of(&self.current);
            self.done.push(Second {
                accepted: self.accepted,
                faults: self.faults,
                p50_ms: latency.p50_ms,
                p99_ms: latency.p99_ms,
                max_ms: latency.max_ms,
                ..Second::default()
            });
            self.current.reset();
            (self.accepted, self.faults) = (0, 0);
        }
    }

    pub(crate) fn accepted(&mut self, now: Micros, latency: Micros) {
        self.turn(now);
        self.accepted += 1;
        self.current.saturating_record(latency);
    }

    pub(crate) fn fault(&mut self, now: Micros) {
        self.turn(now);
        self.faults += 1;
    }

    /// All seconds until `now`, the one that has begun too.
    pub(crate) fn close(mut self, now: Micros) -> Vec<Second> {
        self.turn(now.max(1).next_multiple_of(1_000_000));
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_without_an_answer_are_seconds_too() {
        let mut seconds = Seconds::new();
        seconds.accepted(100_000, 5_000);
        seconds.accepted(3_200_000, 2_900_000);
        seconds.fault(3_300_000);
        let closed = seconds.close(4_100_000);
        let counts: Vec<(u64, u64)> = closed
            .iter()
            .map(|second| (second.accepted, second.faults))
            .collect();
        assert_eq!(counts, [(1, 0), (0, 0), (0, 0), (1, 1), (0, 0)]);
        assert!((closed[3].max_ms - 2_900.0).abs() < 3.0);
        assert_eq!(Seconds::new().close(0).len(), 1);
    }
}
