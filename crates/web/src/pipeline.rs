//! The hops' figures over the last seconds.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use telemetry::{HistogramSnapshot, HopSnapshot, Meter, Telemetry, now_micros};

use crate::api::{HopFigures, Latency, Pipeline, Pressure, Trend};
use crate::hub::Hub;

/// How often a sample is taken.
pub(crate) const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// Samples that latency is measured over: ten seconds.
const LATENCY_SAMPLES: usize = 10;
/// Samples that rates are measured over: short, so that they follow.
const RATE_SAMPLES: usize = 3;

/// The lag has gone somewhere when it changed by more than this, and by more than a tenth.
const LAG_NOISE: i64 = 50;
/// What waits this long makes a hop busy, and this long behind, in seconds.
const BUSY_SECONDS: f64 = 1.0;
const BEHIND_SECONDS: f64 = 10.0;
/// The hop whose latency is end to end.
const LAST_HOP: &str = "web";

type Sample = (Instant, Vec<(&'static str, HopSnapshot)>);

/// Takes samples of the telemetry and answers with the latest figures.
#[derive(Debug)]
pub(crate) struct Sampler {
    telemetry: Arc<Telemetry>,
    hubs: Vec<Arc<Hub>>,
    clients_cut: Arc<Meter>,
    state: Mutex<(VecDeque<Sample>, Pipeline)>,
}

impl Sampler {
    pub(crate) fn new(
        telemetry: Arc<Telemetry>,
        hubs: Vec<Arc<Hub>>,
        clients_cut: Arc<Meter>,
    ) -> Self {
        let sampler = Self {
            telemetry,
            hubs,
            clients_cut,
            state: Mutex::default(),
        };
        sampler.sample();
        sampler
    }

    pub(crate) fn latest(&self) -> Pipeline {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.1.clone()
    }

    pub(crate) fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    pub(crate) fn sample(&self) {
        let now: Sample = (Instant::now(), self.telemetry.snapshot());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let samples = &state.0;
        let back = |count: usize| samples.get(samples.len().saturating_sub(count));
        let (short, long) = (back(RATE_SAMPLES), back(LATENCY_SAMPLES));
        let hops = now.1.iter();
        let hops = hops.map(|(name, hop)| figures(name, hop, now.0, short, long));
        let hops: Vec<HopFigures> = hops.collect();
        let last = hops.iter().find(|hop| hop.name == LAST_HOP);
        let latency = last.and_then(|hop| hop.latency.clone());
        for hub in &self.hubs {
            hub.set_latency(latency.clone());
        }
        let clients: usize = self.hubs.iter().map(|hub| hub.streams()).sum();
        let pipeline = Pipeline {
            taken_at: now_micros(),
            hops,
            latency,
            clients: clients as u64,
            clients_cut: u64::try_from(self.clients_cut.value()).unwrap_or(0),
        };
        state.1 = pipeline;
        state.0.push_back(now);
        if state.0.len() > LATENCY_SAMPLES {
            state.0.pop_front();
        }
    }
}

fn figures(
    name: &'static str,
    hop: &HopSnapshot,
    now: Instant,
    short: Option<&Sample>,
    long: Option<&Sample>,
) -> HopFigures {
    let find = |sample: &Sample| {
        let hops = sample.1.iter();
        let mut found = hops.filter(|(known, _)| *known == name);
        found.next().map(|(_, hop)| (sample.0, hop.clone()))
    };
    let rate_since = |(then, before): &(Instant, HopSnapshot)| {
        let seconds = now.duration_since(*then).as_secs_f64();
        let records = hop.records_out.saturating_sub(before.records_out);
        // A rate is shown to one digit; a count below 2^53 is exact.
        let rate = records as f64 / seconds.max(0.001);
        (rate * 10.0).round() / 10.0
    };
    let rate = short.and_then(find).as_ref().map_or(0.0, rate_since);
    let before = long.and_then(find);
    let lag_seconds = lag_seconds(hop.lag, before.as_ref().map_or(0.0, rate_since));
    let lag_trend = trend(before.as_ref().map_or(hop.lag, |(_, hop)| hop.lag), hop.lag);
    let before = before.map(|(_, hop)| hop.latency);
    let latency = hop.latency.since(&before.unwrap_or_default());
    HopFigures {
        name: name.to_owned(),
        rate,
        records_in: hop.records_in,
        records_out: hop.records_out,
        lag: hop.lag,
        latency: latency_of(&latency),
        quarantined: hop.quarantined,
        duplicates: hop.duplicates,
        // Known to the counts of the days only.
        late: 0,
        lag_seconds,
        lag_trend,
        pressure: pressure(hop.lag, lag_seconds, lag_trend),
    }
}

fn lag_seconds(lag: i64, rate: f64) -> Option<f64> {
    if lag <= 0 {
        return Some(0.0);
    }
    (rate > 0.0).then(|| (lag as f64 / rate * 10.0).round() / 10.0)
}

fn trend(before: i64, now: i64) -> Trend {
    let noise = LAG_NOISE.max(before.max(now) / 10);
    match now - before {
        change if change > noise => Trend::Rising,
        change if change < -noise => Trend::Falling,
        _ => Trend::Steady,
    }
}

fn pressure(lag: i64, lag_seconds: Option<f64>, trend: Trend) -> Pressure {
    match lag_seconds {
        // A few that wait without any having gone are those that came this moment.
        None if lag <= LAG_NOISE => Pressure::Ok,
        None => Pressure::Behind,
        Some(seconds) if seconds >= BEHIND_SECONDS => Pressure::Behind,
        Some(seconds) if seconds >= BUSY_SECONDS || trend == Trend::Rising => Pressure::Busy,
        Some(_) => Pressure::Ok,
    }
}

fn latency_of(latency: &HistogramSnapshot) -> Option<Latency> {
    let millis = |per_mille| {
        latency
            .quantile(per_mille)
            .map(|micros| micros as f64 / 1000.0)
    };
    Some(Latency {
        p50_ms: millis(500)?,
        p99_ms: millis(990)?,
        max_ms: millis(1000)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hop_is_behind_when_what_waits_takes_long_or_nothing_moves() {
        for (before, lag, rate, expected) in [
            (0, 0, 0.0, (Some(0.0), Trend::Steady, Pressure::Ok)),
            (0, 50, 0.0, (None, Trend::Steady, Pressure::Ok)),
            (0, 51, 0.0, (None, Trend::Rising, Pressure::Behind)),
            (
                900,
                1_000,
                1_001.0,
                (Some(1.0), Trend::Steady, Pressure::Busy),
            ),
            (
                1_000,
                900,
                1_000.0,
                (Some(0.9), Trend::Steady, Pressure::Ok),
            ),
            (
                1_000,
                1_112,
                10_000.0,
                (Some(0.1), Trend::Rising, Pressure::Busy),
            ),
            (
                20_000,
                10_000,
                1_000.0,
                (Some(10.0), Trend::Falling, Pressure::Behind),
            ),
        ] {
            let seconds = lag_seconds(lag, rate);
            let trend = trend(before, lag);
            let found = (seconds, trend, pressure(lag, seconds, trend));
            assert_eq!(found, expected, "{before} {lag} {rate}");
        }
    }

    #[test]
    fn figures_are_those_of_the_last_samples() {
        let telemetry = Arc::new(Telemetry::default());
        let hop = telemetry.hop("gateway");
        hop.observe(0, 900_000, 1);
        let sampler = Sampler::new(Arc::clone(&telemetry), Vec::new(), Arc::default());
        hop.add_out(100);
        hop.set_lag(7);
        hop.observe(0, 2_000, 10);
        std::thread::sleep(Duration::from_millis(20));
        sampler.sample();
        let pipeline = sampler.latest();
        let gateway = &pipeline.hops[0];
        assert!(gateway.rate > 0.0, "{gateway:?}");
        assert_eq!((gateway.lag, gateway.records_out), (7, 100));
        let latency = gateway.latency.as_ref().expect("observed");
        assert!(
            latency.max_ms < 3.0,
            "the first one was before: {latency:?}"
        );
        for _ in 0..LATENCY_SAMPLES {
            sampler.sample();
        }
        assert_eq!(sampler.latest().hops[0].latency, None);
        assert_eq!(sampler.latest().hops[0].rate, 0.0);
    }
}
