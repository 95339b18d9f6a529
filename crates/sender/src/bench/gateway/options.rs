//! What a run is asked for, and why it may be refused.

use std::time::Duration;

use super::mix::TemplateFile;
use super::search::StepLimits;
use crate::target::BadTarget;

/// Longest soak: all of a run is booked at one time, which has to stay within the days that are kept.
pub(crate) const SOAK_MAX: Duration = Duration::from_secs(12 * 3_600);
/// Longest step.
const STEP_MAX: Duration = Duration::from_secs(600);

/// What is measured, and how.
#[derive(Debug, Clone)]
pub struct GatewayBenchOptions {
    /// Address of the gateway.
    pub gateway: String,
    /// Address of the web server, whose totals are compared at the end; `None`: they are not.
    pub web: Option<String>,
    /// Aggregation with the columns `account` and `transactions`, and `total` where sums are to be compared.
    pub aggregation: String,
    /// `kind[:records]=weight,…`; `None`: [`MIX_DEFAULT`](super::MIX_DEFAULT), or all templates alike.
    pub mix: Option<String>,
    /// Kinds of the user's own.
    pub templates: Vec<TemplateFile>,
    /// Requests a second to begin with.
    pub start: u64,
    /// From one step's rate to the next, 1.05 to 10.
    pub factor: f64,
    /// Largest rate to try.
    pub rate_max: u64,
    /// Length of a step.
    pub step: Duration,
    /// Most halvings between the last good and the first bad rate.
    pub bisections: u32,
    /// No ramp: soak at this rate.
    pub rate: Option<u64>,
    /// Length of the soak; zero: none.
    pub soak: Duration,
    /// The soak's rate in percent of the largest rate that gateway and totals kept up with.
    pub soak_percent: u64,
    /// What a step has to keep.
    pub limits: StepLimits,
    /// Most connections to the gateway.
    pub connections: usize,
    /// Threads of the generator; 0: one on up to four cores, else a quarter of them, at most four.
    pub threads: usize,
    /// Accounts, all of this run alone.
    pub accounts: u64,
    /// Seed of amounts and part of all ids; a seed used before gives duplicates. `None`: from the clock.
    pub seed: Option<u64>,
    /// Process whose memory and processor time are reported.
    pub pid: Option<u32>,
    /// How long one request of the soak is repeated before it counts as failed.
    pub retry_for: Duration,
    /// How long the totals may stand still, after a step and at the end, before nobody waits for them any more.
    pub settle_max: Duration,
    /// The command, for the report.
    pub command: String,
    /// Show a bar on standard error if that is a terminal.
    pub progress: bool,
}

impl Default for GatewayBenchOptions {
    fn default() -> Self {
        Self {
            gateway: "http://127.0.0.1:8081".to_owned(),
            web: Some("http://127.0.0.1:8080".to_owned()),
            aggregation: "daily_totals".to_owned(),
            mix: None,
            templates: Vec::new(),
            start: 500,
            factor: 1.5,
            rate_max: 1_000_000,
            step: Duration::from_secs(10),
            bisections: 4,
            rate: None,
            soak: Duration::from_secs(120),
            soak_percent: 70,
            limits: StepLimits::default(),
            connections: 256,
            threads: 0,
            accounts: 1_000,
            seed: None,
            pid: None,
            retry_for: Duration::from_secs(30),
            settle_max: Duration::from_secs(60),
            command: String::new(),
            progress: true,
        }
    }
}

impl GatewayBenchOptions {
    /// The same with what makes a run about a minute long.
    pub fn quick(self) -> Self {
        Self {
            factor: 2.0,
            step: Duration::from_secs(3),
            bisections: 2,
            soak: Duration::from_secs(15),
            ..self
        }
    }
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayBenchError {
    /// An address cannot be used.
    #[error(transparent)]
    Target(#[from] BadTarget),
    /// A setting cannot be used.
    #[error("`{name}` is {value:?}, but must be {rule}")]
    Option {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        rule: String,
    },
    /// A template cannot be used.
    #[error("the template {name} cannot be used: {why}")]
    Template {
        /// Its name.
        name: String,
        /// Where, and what would be right.
        why: String,
    },
    /// The gateway does not answer. Retrying helps once it runs.
    #[error("the gateway cannot be measured: {0}")]
    Gateway(String),
    /// The first document of a kind was not accepted: no other would be.
    #[error("the gateway answered {status} to the first document of the kind {kind}: {why}")]
    Trial {
        /// Kind of document.
        kind: String,
        /// HTTP status.
        status: u16,
        /// What it said.
        why: String,
    },
    /// The gateway reads a template otherwise than it was meant.
    #[error("a document of the kind {kind} has {meant} records, but the gateway found {found}")]
    Records {
        /// Kind of document.
        kind: String,
        /// Records that were made.
        meant: u64,
        /// Records that were accepted.
        found: u64,
    },
    /// It was stopped before there was anything to report.
    #[error("stopped before the end, nothing was measured")]
    Stopped,
    /// A thread of the load could not be started.
    #[error("cannot start a thread of the load")]
    Thread(#[source] std::io::Error),
    /// A thread of the load has panicked.
    #[error("a thread of the load has failed")]
    Failed,
}

/// Refuses settings that nothing can be measured with.
pub(crate) fn check(options: &GatewayBenchOptions) -> Result<(), GatewayBenchError> {
    let number = |name, value: u64, least: u64, most: u64| match (least..=most).contains(&value) {
        true => Ok(()),
        false => Err(GatewayBenchError::Option {
            name,
            value: value.to_string(),
            rule: format!("between {least} and {most}"),
        }),
    };
    let rate_max = 10_000_000;
    number("start", options.start, 1, rate_max)?;
    number("rate_max", options.rate_max, options.start, rate_max)?;
    number("rate", options.rate.unwrap_or(1), 1, rate_max)?;
    number("bisections", u64::from(options.bisections), 0, 20)?;
    number("soak_percent", options.soak_percent, 1, 200)?;
    number("connections", options.connections as u64, 1, 10_000)?;
    number("threads", options.threads as u64, 0, 64)?;
    number("accounts", options.accounts, 1, 10_000_000)?;
    number("soak", options.soak.as_secs(), 0, SOAK_MAX.as_secs())?;
    number("step", options.step.as_secs(), 0, STEP_MAX.as_secs())?;
    let float = |name, value: f64, least: f64, most: f64| match (least..=most).contains(&value) {
        true => Ok(()),
        false => Err(GatewayBenchError::Option {
            name,
            value: value.to_string(),
            rule: format!("between {least} and {most}"),
        }),
    };
    float("factor", options.factor, 1.05, 10.0)?;
    float("p99", options.limits.p99_ms_max, 1.0, 60_000.0)?;
    let is_short = options.step < Duration::from_millis(100);
    if is_short || (options.rate.is_some() && options.soak.is_zero()) {
        let (name, rule) = match is_short {
            true => ("step", "at least 100 ms"),
            false => ("soak", "longer than 0 where there is no ramp"),
        };
        return Err(GatewayBenchError::Option {
            name,
            value: "0".to_owned(),
            rule: rule.to_owned(),
        });
    }
    Ok(())
}
