//! Which charts a report has.

use super::chart::{Chart, Series};
use super::number::measured;
use super::report::{GatewayReport, Second, Soak, Step};
use super::search::Verdict;
use crate::bench::report::Latency;

/// Of the ramp: what was offered and accepted, and the latency there.
pub(crate) fn ramp(report: &GatewayReport) -> [Chart; 2] {
    [rates(report), step_latencies(report)]
}

/// Of the soak, second by second; the server only where it was watched.
pub(crate) fn soak(soak: &Soak) -> Vec<Chart> {
    let line = |name, class, value: fn(&Second) -> Option<f64>| {
        over_time(&soak.timeline, name, class, value)
    };
    let chart = |title, y_label, is_log, series| Chart {
        title,
        x_label: "seconds",
        y_label,
        is_log,
        series,
        mark: None,
    };
    // A last second that is none would look like a fall.
    let whole = soak.timeline.len().min(soak.seconds as usize);
    let rate = |name, class, value: fn(&Second) -> Option<f64>| {
        over_time(&soak.timeline[..whole], name, class, value)
    };
    let rates = vec![
        rate("due", "c4", |second| Some(second.offered as f64)),
        rate("accepted", "c1", |second| Some(second.accepted as f64)),
        rate("faults", "c3", |second| Some(second.faults as f64)),
    ];
    let latencies = vec![
        line("p50", "c1", |second| positive(second.p50_ms)),
        line("p99", "c2", |second| positive(second.p99_ms)),
        line("max", "c3", |second| positive(second.max_ms)),
    ];
    let mut charts = vec![
        chart("Rate", "requests in a second", false, rates),
        chart("Latency", "ms to the 202", true, latencies),
    ];
    let cpu = line("server", "c1", |second| second.cpu_percent);
    let memory = line("server", "c2", |second| second.rss_mib);
    if !cpu.points.is_empty() {
        charts.push(chart("Processor", "percent of one core", false, vec![cpu]));
        charts.push(chart("Resident memory", "MiB", false, vec![memory]));
    }
    charts
}

/// A second without an answer has no latency.
fn positive(value: f64) -> Option<f64> {
    (value > 0.0).then_some(value)
}

/// Steps that measured something, by rate; of those with one rate the last, which decided.
fn by_rate(report: &GatewayReport) -> Vec<&Step> {
    let measured = |step: &&Step| step.verdict != Verdict::Generator;
    let mut steps: Vec<&Step> = report.steps.iter().filter(measured).collect();
    steps.reverse();
    steps.sort_by(|a, b| a.offered.total_cmp(&b.offered));
    steps.dedup_by(|later, first| later.offered == first.offered);
    steps
}

fn knee_mark(report: &GatewayReport) -> Option<(f64, String)> {
    let step = report.steps.get(report.knee.as_ref()?.step)?;
    Some((step.offered, format!("knee {}/s", measured(step.offered))))
}

fn rates(report: &GatewayReport) -> Chart {
    let line = |name, class, value: fn(&Step) -> f64| Series {
        name,
        class,
        points: by_rate(report)
            .iter()
            .map(|step| (step.offered, value(step)))
            .collect(),
        dots: true,
    };
    Chart {
        title: "Offered and accepted",
        x_label: "offered, requests/s",
        y_label: "requests/s",
        is_log: false,
        series: vec![
            line("offered", "c4", |step| step.offered),
            line("accepted", "c1", |step| step.achieved),
        ],
        mark: knee_mark(report),
    }
}

fn step_latencies(report: &GatewayReport) -> Chart {
    let line = |name, class, value: fn(&Latency) -> f64| Series {
        name,
        class,
        points: by_rate(report)
            .iter()
            .map(|step| (step.offered, value(&step.latency)))
            .collect(),
        dots: true,
    };
    Chart {
        title: "Latency by rate",
        x_label: "offered, requests/s",
        y_label: "ms to the 202",
        is_log: true,
        series: vec![
            line("p50", "c1", |latency| latency.p50_ms),
            line("p99", "c2", |latency| latency.p99_ms),
            line("max", "c3", |latency| latency.max_ms),
        ],
        mark: knee_mark(report),
    }
}

fn over_time(
    timeline: &[Second],
    name: &'static str,
    class: &'static str,
    value: impl Fn(&Second) -> Option<f64>,
) -> Series {
    let points = timeline.iter().enumerate();
    Series {
        name,
        class,
        // Seconds are far below 2^53.
        points: points
            .filter_map(|(second, found)| Some((second as f64, value(found)?)))
            .collect(),
        dots: false,
    }
}
