//! The command line of `daybook bench gateway`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    // Its text is with its arguments: the one of a variant would hide it.
    Gateway(BenchGatewayArgs),
}

/// Measure inbound traffic: mixed formats, faster and faster until the gateway no longer keeps up, then for long
///
/// First every kind of document is sent once, so that a mix which cannot be accepted is told at once. Then the ramp:
/// steps of rising rate, until less than 98 % of it is accepted, p99 is beyond --p99, or anything is refused; such a
/// step is tried once more before it counts. Between the last good and the first bad rate the place is halved: the
/// largest good rate is the knee. After each step the totals take in what was accepted: where they need longer than a
/// tenth of the step, the largest rate that they keep up with is searched too. Then the soak, at a share of that. At
/// the end what was accepted is compared with what was sent, by the answers, and by the totals of the bench's own
/// accounts on the page's API.
///
/// Every request has an intended time, and its latency counts from there, so a stall of the gateway is in the figures
/// of all that had to wait. A step in which the generator itself was late is no measurement, and says so.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BenchGatewayArgs {
    /// About a minute: short steps, a coarse knee, a soak of 15 s
    #[arg(long)]
    pub(crate) quick: bool,

    /// What is sent: kind=weight, or kind:records=weight for documents of so many records. Kinds: json, json-bulk, card-csv,
    /// pain.001, camt.054, and what --template gives [default: json=60,pain.001=20,card-csv=15,json-bulk=5]
    #[arg(long, value_name = "MIX", help_heading = "Load")]
    pub(crate) mix: Option<String>,
    /// A document of your own for the source NAME; NAME@SOURCE where the kind is called otherwise. May come several times
    #[arg(
        long = "template",
        value_name = "NAME[@SOURCE]=FILE",
        help_heading = "Load"
    )]
    pub(crate) templates: Vec<String>,
    /// Most connections; too few of them wait for each other, which is in the latencies
    #[arg(long, default_value_t = 256, value_name = "N", help_heading = "Load")]
    pub(crate) connections: usize,
    /// Threads of the generator [0: one on up to four cores, else a quarter of them, at most four]
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = "Load")]
    pub(crate) threads: usize,
    /// Accounts, all of this run alone
    #[arg(long, default_value_t = 1_000, value_name = "N", help_heading = "Load")]
    pub(crate) accounts: u64,
    /// Chooses accounts and amounts; one used before gives duplicates [default: from the clock]
    #[arg(long, value_name = "N", help_heading = "Load")]
    pub(crate) seed: Option<u64>,

    /// Requests a second of the first step
    #[arg(long, default_value_t = 500, value_name = "N", help_heading = "Ramp")]
    pub(crate) start: u64,
    /// From one step's rate to the next [default: 1.5; quick: 2]
    #[arg(long, value_name = "TIMES", help_heading = "Ramp")]
    pub(crate) factor: Option<f64>,
    /// Length of a step, in seconds [default: 10; quick: 3]
    #[arg(long, value_name = "SECONDS", help_heading = "Ramp")]
    pub(crate) step: Option<u64>,
    /// Largest rate to try
    #[arg(
        long,
        default_value_t = 1_000_000,
        value_name = "N",
        help_heading = "Ramp"
    )]
    pub(crate) max_rate: u64,
    /// Most halvings between the last good and the first bad rate [default: 4; quick: 2]
    #[arg(long, value_name = "N", help_heading = "Ramp")]
    pub(crate) bisections: Option<u32>,
    /// Largest 99th percentile of a step that keeps up, in milliseconds
    #[arg(
        long,
        default_value_t = 250.0,
        value_name = "MS",
        help_heading = "Ramp"
    )]
    pub(crate) p99: f64,

    /// Length of the soak, in seconds; 0 for none [default: 120; quick: 15]
    #[arg(long, value_name = "SECONDS", help_heading = "Soak")]
    pub(crate) soak: Option<u64>,
    /// The soak's rate in percent of the largest that gateway and totals kept up with
    #[arg(
        long,
        default_value_t = 70,
        value_name = "PERCENT",
        help_heading = "Soak"
    )]
    pub(crate) share: u64,
    /// No ramp: soak at so many requests a second
    #[arg(long, value_name = "N", help_heading = "Soak")]
    pub(crate) rate: Option<u64>,
    /// How long a request of the soak is repeated that was answered with 503 or not at all, in seconds
    #[arg(
        long,
        default_value_t = 30,
        value_name = "SECONDS",
        help_heading = "Soak"
    )]
    pub(crate) retry: u64,

    /// Gateway to measure [default: the configured one]
    #[arg(long, value_name = "URL", help_heading = "Where")]
    pub(crate) gateway: Option<String>,
    /// Web server whose totals are compared [default: the configured one]
    #[arg(long, value_name = "URL", help_heading = "Where")]
    pub(crate) web: Option<String>,
    /// Neither wait for totals nor compare them: the gateway runs alone
    #[arg(long, conflicts_with = "web", help_heading = "Where")]
    pub(crate) no_web: bool,
    /// Process to report memory and CPU of, on this machine
    #[arg(long, value_name = "PID", help_heading = "Where")]
    pub(crate) pid: Option<u32>,

    /// Write the report as one HTML page that needs nothing else
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(crate) report: Option<PathBuf>,
    /// Write the same numbers as JSON
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(crate) json: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:

  daybook bench gateway --quick                    # a minute: where does it saturate?
  daybook bench gateway --report r.html --pid $(pgrep -o daybook)   # 5 minutes, with a report
  daybook bench gateway --mix json=1 --p99 50      # single posts, and 50 ms are too slow
  daybook bench gateway --mix pain.001:1000=1 --start 10   # files of 1,000 payments
  daybook bench gateway --rate 2000 --soak 3600    # an hour at 2,000 requests a second
  daybook bench gateway --template mt940=statement.txt --template iso8583=message.dat \\
    --mix json=50,mt940=20,iso8583=30

A template is a file as the source system sends it, with gaps where documents differ:

  {id}            unlike all others; {id:12} has 12 characters 0-9 A-Z
  {number}        counts; {number:6} has 6 digits
  {account}       one of --accounts; {account:8} is 8 digits
  {amount}        12.50; {signed} is also negative, {comma} is 12,50, {minor} is 1250
  {minor:12}      zeros in front; {amount:12} has spaces behind
  {time}          RFC 3339, the same in the whole run; {time:%y%m%d} by strftime, in UTC
  {each} {end}    what is between is repeated for each record, as often as --mix says
  {count} {sum} {sum_comma} {sum_minor}   of the document's records

Other braces stay as they are. A template's requests have an Idempotency-Key each, so that a
file without {id} is new every time where its source takes ids from there. Totals are compared
for the kinds that are built in; for templates the counts of the answers are.

Ends with 0 if a knee was found, the soak lost nothing, and all sums are equal. What goes wrong
in the ramp is what it looks for.";

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use crate::cli::{BenchCommand, Cli, Command};

    #[test]
    fn the_bench_is_told_from_the_gateways() {
        let bench = |line: &str| match Cli::try_parse_from(line.split(' ')).map(|cli| cli.command) {
            Ok(Command::Bench(args)) => Some(args),
            _ => None,
        };
        let plain = bench("daybook bench --rate 5 --json").expect("parses");
        assert!(plain.what.is_none() && plain.rate == 5);
        let gateway = bench(
            "daybook --port-offset 7 bench gateway --quick --json a.json --template a@b=c --template d=e",
        );
        let Some(BenchCommand::Gateway(args)) = gateway.expect("parses").what else {
            panic!("no gateway");
        };
        assert!(args.quick && args.soak.is_none() && args.templates.len() == 2);
        assert!(bench("daybook bench --rate 5 gateway").is_none());
        assert!(bench("daybook bench gateway --no-web --web http://x").is_none());
        Cli::command().debug_assert();
    }
}
