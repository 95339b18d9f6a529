//! Where the knee is: rates rise until one is too much, then the place between is halved.
//!
//! Pure: [`Search`] says which rate comes next and is told what came of it; [`judge`] says whether a step kept up.
//! A step that did not is tried once more before it counts, as one hiccup of the machine is no limit; one that was no
//! measurement twice more.

use std::time::Duration;

use serde::Serialize;

use super::number::measured;
use super::report::Step;

/// Steps that are halved downwards when the first rate is already too much.
const DESCENTS_MAX: u32 = 6;
/// What the totals may always need after a step: they are some tens of milliseconds behind, and are looked at a few
/// times a second.
const BEHIND_MIN: Duration = Duration::from_millis(500);
/// What they may need at most, however long the step.
const BEHIND_MAX: Duration = Duration::from_secs(5);

/// What a step says about its rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The gateway kept up.
    #[default]
    Good,
    /// It refused or failed.
    Errors,
    /// It accepted less than was offered.
    Rate,
    /// It took too long.
    Latency,
    /// It kept up, but the totals behind it did not: a queue grew.
    Totals,
    /// The generator was late itself: no measurement.
    Generator,
}

impl Verdict {
    /// In a few words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Errors => "errors",
            Self::Rate => "fell behind",
            Self::Latency => "too slow",
            Self::Totals => "totals behind",
            Self::Generator => "generator late: no measurement",
        }
    }

    /// The same of the gateway alone, whatever became of the totals.
    pub(crate) fn of_gateway(self) -> Self {
        match self {
            Self::Totals => Self::Good,
            other => other,
        }
    }
}

/// When a step counts as one that the gateway does not keep up with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StepLimits {
    /// Largest 99th percentile, in milliseconds.
    pub p99_ms_max: f64,
    /// Smallest part of the offered rate that is accepted, in percent.
    pub achieved_percent_min: f64,
    /// Most that the 99th percentile of requests may leave late though a connection was free, in milliseconds.
    pub late_ms_max: f64,
    /// Most of a core that one thread of the generator may use, in percent.
    pub generator_percent_max: f64,
    /// Most time that the totals may need after a step for what was accepted in it, in percent of the step's length; half
    /// a second is always allowed, and never more than five.
    pub behind_percent_max: f64,
}

impl Default for StepLimits {
    fn default() -> Self {
        Self::with_p99(250.0)
    }
}

impl StepLimits {
    /// Limits for a largest 99th percentile, in milliseconds.
    pub fn with_p99(p99_ms_max: f64) -> Self {
        Self {
            p99_ms_max,
            achieved_percent_min: 98.0,
            // How late the generator is adds to every latency: more than a fifth of the limit would decide the verdict.
            late_ms_max: p99_ms_max / 5.0,
            generator_percent_max: 90.0,
            behind_percent_max: 10.0,
        }
    }

    /// How long the totals may need after a step of so long.
    pub(crate) fn behind_max(&self, length: Duration) -> Duration {
        let part = length.as_secs_f64() * self.behind_percent_max / 100.0;
        Duration::try_from_secs_f64(part)
            .unwrap_or(BEHIND_MAX)
            .clamp(BEHIND_MIN, BEHIND_MAX)
    }
}

/// Whether a step kept up, and why not.
pub(crate) fn judge(step: &Step, limits: &StepLimits) -> (Verdict, String) {
    let faults = step.later + step.refused + step.broken;
    if faults > 0 {
        let why = format!(
            "{} answers 503 or like it, {} refusals, {} broken connections",
            step.later, step.refused, step.broken
        );
        return (Verdict::Errors, why);
    }
    // Before what it would blame the server for. A refusal above is the server's all the same.
    if step.late_p99_ms > limits.late_ms_max {
        let why = format!(
            "the generator sent late itself, p99 {:.1} ms with a connection free, {:.0} % of all cores in use",
            step.late_p99_ms,
            step.machine_cpu_percent.unwrap_or(0.0)
        );
        return (Verdict::Generator, why);
    }
    let a_thread = step.generator_cpu_percent / step.generator_threads.max(1) as f64;
    if a_thread > limits.generator_percent_max {
        let why = format!("the generator used {a_thread:.0} % of a core a thread");
        return (Verdict::Generator, why);
    }
    let achieved = step.achieved / step.offered.max(f64::MIN_POSITIVE) * 100.0;
    if achieved < limits.achieved_percent_min || step.unsent > 0 {
        let mut why = format!("{achieved:.1} % of the offered rate was accepted");
        if step.unsent > 0 {
            why.push_str(&format!(
                ", {} requests found no connection in time",
                step.unsent
            ));
        }
        return (Verdict::Rate, why);
    }
    if step.latency.p99_ms > limits.p99_ms_max {
        let why = format!(
            "p99 {:.1} ms, more than {:.0} ms",
            step.latency.p99_ms, limits.p99_ms_max
        );
        return (Verdict::Latency, why);
    }
    (Verdict::Good, String::new())
}

/// Whether the totals kept up with a step of so long, which the gateway kept up with, and why not. `behind` is the time
/// from the last answer until the totals had everything; `None` where they never had.
pub(crate) fn judge_totals(
    step: &Step,
    length: Duration,
    behind: Option<Duration>,
    limits: &StepLimits,
) -> (Verdict, String) {
    let Some(behind) = behind else {
        return (
            Verdict::Totals,
            "the totals stood still before they had everything".to_owned(),
        );
    };
    if behind <= limits.behind_max(length) {
        return (Verdict::Good, String::new());
    }
    let seconds = length.as_secs_f64();
    let bearable = step.records_per_second * seconds / (seconds + behind.as_secs_f64());
    let why = format!(
        "the totals had everything {:.1} s after the end, so they bear about {} records/s",
        behind.as_secs_f64(),
        measured(bearable)
    );
    (Verdict::Totals, why)
}

/// The search for the knee.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    start: u64,
    factor: f64,
    max: u64,
    /// Ends when bad and good are that close, in percent of the good one.
    resolution_percent: f64,
    /// Halvings left.
    bisections: u32,
    descents: u32,
    good: Option<u64>,
    bad: Option<(u64, Verdict)>,
    /// Failed, so many times, and comes again.
    again: Option<(u64, u32)>,
}

impl Search {
    pub(crate) fn new(start: u64, factor: f64, max: u64, bisections: u32) -> Self {
        Self {
            start: start.clamp(1, max.max(1)),
            factor,
            max,
            resolution_percent: 3.0,
            bisections,
            descents: 0,
            good: None,
            bad: None,
            again: None,
        }
    }

    /// The search for the largest rate that the totals keep up with too, which begins with what the steps of the search
    /// before said. `None` where they kept up with every rate that the gateway did.
    pub(crate) fn of_totals(steps: &[Step], bisections: u32) -> Option<Self> {
        // Rates are whole numbers far below 2^53.
        let rates = |verdict| {
            steps
                .iter()
                .filter(move |step| step.verdict == verdict)
                .map(|step| step.offered as u64)
        };
        // One that failed in a hiccup, and a larger that did not: the larger counts.
        let good = rates(Verdict::Good).max();
        let bad = rates(Verdict::Totals)
            .filter(|rate| good.is_none_or(|good| *rate > good))
            .min()?;
        let mut search = Self::new(bad, 1.0, bad, bisections);
        search.good = good;
        search.bad = Some((bad, Verdict::Totals));
        Some(search)
    }

    /// The rate to try next; `None` when the knee is known.
    pub(crate) fn next(&mut self) -> Option<u64> {
        if let Some((rate, _)) = self.again {
            return Some(rate);
        }
        match (self.good, self.bad) {
            (None, None) => Some(self.start),
            // Positive, and far below 2^53: the conversion only cuts off a fraction.
            (Some(good), None) if good < self.max => {
                let more = (good as f64 * self.factor).round() as u64;
                Some(more.clamp(good + 1, self.max))
            }
            (Some(_), None) => None,
            (None, Some((bad, _))) => {
                self.descents += 1;
                (bad > 1 && self.descents <= DESCENTS_MAX).then_some(bad / 2)
            }
            (Some(good), Some((bad, _))) => self.between(good, bad),
        }
    }

    fn between(&mut self, good: u64, bad: u64) -> Option<u64> {
        let distance = bad.saturating_sub(good) as f64;
        let is_close = distance / good as f64 * 100.0 <= self.resolution_percent;
        if is_close || bad <= good + 1 || self.bisections == 0 {
            return None;
        }
        self.bisections -= 1;
        Some(good + (bad - good) / 2)
    }

    /// What came of `rate`.
    pub(crate) fn record(&mut self, rate: u64, verdict: Verdict) {
        let failures = self.again.take().map_or(0, |(_, failures)| failures) + 1;
        let tries = match verdict {
            Verdict::Generator => 3,
            _ => 2,
        };
        match verdict {
            Verdict::Good => self.good = self.good.max(Some(rate)),
            _ if failures < tries => self.again = Some((rate, failures)),
            _ => self.bad = Some((rate, verdict)),
        }
    }

    /// The largest rate that was kept up with.
    pub(crate) fn knee(&self) -> Option<u64> {
        self.good
    }

    /// The smallest that was not, and why.
    pub(crate) fn limit(&self) -> Option<(u64, Verdict)> {
        self.bad
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::step;
    use super::*;

    /// Runs a search over a server that is a function; answers the rates that were tried.
    fn search(mut search: Search, mut server: impl FnMut(u64) -> Verdict) -> (Search, Vec<u64>) {
        let mut tried = Vec::new();
        while let Some(rate) = search.next() {
            tried.push(rate);
            search.record(rate, server(rate));
            assert!(tried.len() < 60, "it ends: {tried:?}");
        }
        (search, tried)
    }

    fn up_to(capacity: u64, limit: Verdict) -> impl FnMut(u64) -> Verdict {
        move |rate| match rate <= capacity {
            true => Verdict::Good,
            false => limit,
        }
    }

    #[test]
    fn the_knee_is_found_wherever_it_is() {
        for capacity in [510, 1_234, 7_340, 50_000, 812_345] {
            let begin = Search::new(500, 1.5, 10_000_000, 6);
            let (found, tried) = search(begin, up_to(capacity, Verdict::Latency));
            let knee = found.knee().expect("there is one");
            assert!(
                knee <= capacity && knee as f64 > capacity as f64 * 0.96,
                "{knee} of {capacity}"
            );
            let (bad, verdict) = found.limit().expect("it was reached");
            assert!(bad > capacity && verdict == Verdict::Latency);
            assert!(tried.len() < 40, "{tried:?}");
        }
    }

    #[test]
    fn each_rate_that_fails_comes_once_more() {
        let begin = Search::new(100, 2.0, 100_000, 2);
        let (found, tried) = search(begin, up_to(450, Verdict::Rate));
        assert_eq!(tried, [100, 200, 400, 800, 800, 600, 600, 500, 500]);
        assert_eq!(
            (found.knee(), found.limit()),
            (Some(400), Some((500, Verdict::Rate)))
        );
    }

    #[test]
    fn one_hiccup_is_no_limit() {
        let mut hiccups = 1;
        let begin = Search::new(100, 2.0, 1_000, 4);
        let (found, tried) = search(begin, |rate| {
            if rate == 400 && hiccups > 0 {
                hiccups -= 1;
                return Verdict::Latency;
            }
            Verdict::Good
        });
        assert_eq!(tried, [100, 200, 400, 400, 800, 1_000]);
        assert_eq!((found.knee(), found.limit()), (Some(1_000), None));
    }

    #[test]
    fn a_first_rate_that_is_too_much_is_halved() {
        let (found, _) = search(
            Search::new(1_000, 2.0, 9_000, 4),
            up_to(300, Verdict::Errors),
        );
        assert!(found.knee().is_some_and(|knee| (250..=300).contains(&knee)));
        let (found, tried) = search(Search::new(64, 2.0, 9_000, 4), up_to(0, Verdict::Errors));
        assert_eq!(found.knee(), None);
        assert_eq!(tried, [64, 64, 32, 32, 16, 16, 8, 8, 4, 4, 2, 2, 1, 1]);
    }

    #[test]
    fn a_late_generator_bounds_what_is_known() {
        let begin = Search::new(500, 2.0, 90_000, 0);
        let (found, tried) = search(begin, up_to(1_000, Verdict::Generator));
        assert_eq!(tried, [500, 1_000, 2_000, 2_000, 2_000]);
        assert_eq!(found.limit(), Some((2_000, Verdict::Generator)));
        // Late, then a measurement: that decides.
        let mut verdicts = [Verdict::Good, Verdict::Generator, Verdict::Rate].into_iter();
        let begin = Search::new(500, 2.0, 90_000, 0);
        let (found, _) = search(begin, |_| verdicts.next().unwrap_or_default());
        assert_eq!(found.limit(), Some((1_000, Verdict::Rate)));
    }

    #[test]
    fn what_the_totals_bear_is_searched_below_the_knee() {
        let steps = |verdicts: &[(u64, Verdict)]| -> Vec<Step> {
            let steps = verdicts.iter();
            steps
                .map(|(rate, verdict)| Step {
                    verdict: *verdict,
                    ..step(*rate)
                })
                .collect()
        };
        let of = |verdicts: &[(u64, Verdict)]| Search::of_totals(&steps(verdicts), 4);
        // Everywhere, or only where the gateway itself had enough.
        assert!(of(&[(500, Verdict::Good), (1_000, Verdict::Good)]).is_none());
        assert!(of(&[(500, Verdict::Good), (1_000, Verdict::Rate)]).is_none());
        let ramp = [
            (500, Verdict::Totals),
            (1_000, Verdict::Good),
            (2_000, Verdict::Totals),
            (4_000, Verdict::Totals),
            (8_000, Verdict::Errors),
        ];
        let (found, tried) = search(of(&ramp).expect("one"), up_to(1_300, Verdict::Totals));
        assert_eq!(tried, [1_500, 1_500, 1_250, 1_375, 1_375, 1_312, 1_312]);
        assert_eq!(
            (found.knee(), found.limit()),
            (Some(1_250), Some((1_312, Verdict::Totals)))
        );
        let first = [(500, Verdict::Totals), (1_000, Verdict::Rate)];
        let (found, tried) = search(of(&first).expect("one"), up_to(200, Verdict::Totals));
        assert_eq!(tried[..3], [250, 250, 125]);
        assert!(found.knee().is_some_and(|knee| (190..=200).contains(&knee)));
    }

    #[test]
    fn totals_are_judged_by_what_they_need_after_a_step() {
        let ms = Duration::from_millis;
        let judged = |length, behind| {
            let limits = StepLimits::default();
            judge_totals(&step(1_000), ms(length), behind, &limits)
        };
        for (length, most) in [(3_000, 500), (10_000, 1_000), (600_000, 5_000)] {
            assert_eq!(judged(length, Some(ms(most))).0, Verdict::Good);
            assert_eq!(judged(length, Some(ms(most + 1))).0, Verdict::Totals);
        }
        assert_eq!(
            judged(10_000, Some(ms(6_000))).1,
            "the totals had everything 6.0 s after the end, so they bear about 6,625 records/s"
        );
        assert_eq!(judged(10_000, None).0, Verdict::Totals);
    }

    #[test]
    fn steps_are_judged() {
        let judged = |change: &dyn Fn(&mut Step)| {
            let mut step = step(1_000);
            change(&mut step);
            judge(&step, &StepLimits::default()).0
        };
        assert_eq!(judged(&|_| {}), Verdict::Good);
        assert_eq!(judged(&|step| step.achieved = 980.0), Verdict::Good);
        assert_eq!(judged(&|step| step.achieved = 979.9), Verdict::Rate);
        assert_eq!(judged(&|step| step.unsent = 1), Verdict::Rate);
        assert_eq!(judged(&|step| step.latency.p99_ms = 250.0), Verdict::Good);
        assert_eq!(
            judged(&|step| step.latency.p99_ms = 250.1),
            Verdict::Latency
        );
        assert_eq!(judged(&|step| step.later = 1), Verdict::Errors);
        assert_eq!(judged(&|step| step.refused = 1), Verdict::Errors);
        assert_eq!(judged(&|step| step.broken = 1), Verdict::Errors);
        assert_eq!(judged(&|step| step.late_p99_ms = 50.0), Verdict::Good);
        assert_eq!(
            judged(&|step| {
                step.late_p99_ms = 50.1;
                step.latency.p99_ms = 9_999.0;
                step.achieved = 1.0;
            }),
            Verdict::Generator
        );
        assert_eq!(
            judged(&|step| step.generator_cpu_percent = 91.0),
            Verdict::Generator
        );
        assert_eq!(
            judged(&|step| {
                step.generator_cpu_percent = 170.0;
                step.generator_threads = 2;
            }),
            Verdict::Good
        );
    }
}
