//! The command line.

mod bench_gateway;
mod mapping;
mod queue;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use pipeline::{Config, Plan};

pub(crate) use self::mapping::*;
use crate::WrongConfiguration;
pub(crate) use bench_gateway::*;
pub(crate) use queue::*;

/// The day's transactions, from any source to a live page of totals, each counted exactly once.
///
/// Try it:  daybook up --demo        then open http://127.0.0.1:8080
///
/// Post a transaction of your own:
///   curl http://127.0.0.1:8081/v1/transactions/json -d '{"id":"t-1","account":"ann",
///     "amount":"12.50","currency":"EUR","booked_at":"2026-11-23T10:15:00+01:00"}'
#[derive(Debug, Parser)]
#[command(
    name = "daybook",
    version,
    verbatim_doc_comment,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every subcommand.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Configuration file. Without it `daybook.toml` of this directory, or the defaults
    #[arg(long, global = true, env = "DAYBOOK_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where queue, log and store are kept
    #[arg(
        long,
        global = true,
        env = "DAYBOOK_DATA_DIR",
        default_value = "daybook-data",
        value_name = "DIR"
    )]
    pub(crate) data_dir: PathBuf,
    /// Added to every port, so that several can run on one machine
    #[arg(
        long,
        global = true,
        env = "DAYBOOK_PORT_OFFSET",
        default_value_t = 0,
        value_name = "N"
    )]
    pub(crate) port_offset: u16,
    /// How log lines look, on stderr
    #[arg(
        long,
        global = true,
        env = "DAYBOOK_LOG_FORMAT",
        default_value = "text"
    )]
    pub(crate) log_format: LogFormat,
    /// Which log lines: error, warn, info, debug, or by part (`warn,connector=debug`)
    #[arg(
        long,
        global = true,
        env = "DAYBOOK_LOG",
        default_value = "warn",
        value_name = "FILTER"
    )]
    pub(crate) log: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything in this process
    Up(UpArgs),
    /// Run the gateway alone, against the queue manager of the configuration
    Gateway,
    // Its text is with its arguments: the one of a variant would hide it.
    Queue(QueueArgs),
    /// Run the connector alone, from the queue manager to the log of the configuration
    Connect(ConnectorArgs),
    /// Run the aggregations alone, against the log of the configuration
    Aggregate,
    /// Run the sink alone
    Sink,
    /// Run page and API alone
    Web,
    /// Answer queries over PostgreSQL's protocol alone: psql, Grafana and BI tools read the totals, on port 5433
    Postgres,
    /// Check configuration and sources, and report every mistake with its place
    Check(CheckArgs),
    // Its text is with its arguments, as that of `queue`.
    Mapping(MappingArgs),
    /// Send files, or generated load, through the gateway
    Send(SendArgs),
    /// Ask the store with SQL
    Query(QueryArgs),
    /// Print the totals as they were at a moment, counted again from the log
    Totals(TotalsArgs),
    /// Show what the configuration would change of the totals that are published, before it is put in force
    Preview(PreviewArgs),
    /// Show the way of one transaction: received, log, which totals it changed from what to what, store
    Trace(TraceArgs),
    /// Compare in and out at every hop, and results and store with totals recomputed from the log
    Prove(ProveArgs),
    /// Measure: open-loop load, latency from the intended send time to the event on the page's stream; `bench gateway`:
    /// mixed formats up to what the gateway can take, then for long
    Bench(BenchArgs),
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Without files it carries the gateway's queue to the topic of transactions, and Kafka Connect's REST API on port 8083 \
manages further connectors. With files it runs those connectors and nothing else, as a standalone worker of Kafka Connect \
does: configurations of IBM's MQ source connector are read as they are.

  daybook connect                          # the gateway's queue, and the API
  daybook connect mq-source.properties     # IBM's configuration, unchanged
  curl -X PUT -H 'Content-Type: application/json' localhost:8083/connectors/payments/config -d @mq-source.json")]
pub(crate) struct ConnectorArgs {
    /// Configurations of connectors, properties or JSON
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Also send made-up traffic of today through the gateway, so that the page moves
    #[arg(long)]
    pub(crate) demo: bool,
    /// Only these parts: front (gateway, queue, connector), log, aggregate, sink, web, postgres
    #[arg(long, value_delimiter = ',', value_name = "PARTS")]
    pub(crate) only: Vec<PartName>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum PartName {
    Front,
    Log,
    Aggregate,
    Sink,
    Web,
    Postgres,
}

#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// Which source the files are of: `daybook check` lists them
    #[arg(long)]
    pub(crate) source: Option<String>,
    /// Files, directories, or `-` for standard input
    #[arg(value_name = "FILE", required_unless_present = "generate")]
    pub(crate) files: Vec<PathBuf>,
    /// Gateway to send to [default: the configured one]
    #[arg(long, value_name = "URL")]
    pub(crate) gateway: Option<String>,
    /// Most records in one request; each request is accepted whole or not at all
    #[arg(long, default_value_t = 5_000, value_name = "N")]
    pub(crate) batch: usize,
    /// Connections at once
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub(crate) connections: usize,
    /// Accept the good records of a request with bad ones
    #[arg(long)]
    pub(crate) lenient: bool,
    /// How long to go on trying while the gateway is away, in seconds
    #[arg(long, default_value_t = 3_600, value_name = "SECONDS")]
    pub(crate) retry: u64,
    /// Send this many generated transactions instead of files
    #[arg(long, value_name = "N", conflicts_with = "files")]
    pub(crate) generate: Option<u64>,
    /// Transactions a second at most [default: as fast as the gateway takes them]
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<u64>,
    /// Accounts of generated transactions
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    pub(crate) accounts: u64,
    /// The same seed generates the same transactions
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// No progress bar
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Only what the conditions leave open is read: a day of business_day, and of a whole key its row; EXPLAIN shows it. today() is the business \
day of the first aggregation, today('name') that of another.

  daybook query \"SELECT currency, sum(total) FROM daily_totals WHERE business_day = today() GROUP BY currency\"
  daybook query \"EXPLAIN SELECT total FROM daily_totals WHERE business_day = '2026-11-23' AND account = 'ann'\"
  daybook query --format csv \"SELECT * FROM counts\"
  psql -h 127.0.0.1 -p 5433 daybook        # the same tables, while `daybook up` or `daybook postgres` runs")]
pub(crate) struct QueryArgs {
    /// For example: SELECT currency, sum(total) FROM daily_totals GROUP BY currency
    pub(crate) sql: String,
    /// How the answer is printed
    #[arg(long, default_value = "table")]
    pub(crate) format: OutputFormat,
}

#[derive(Debug, Args)]
pub(crate) struct TotalsArgs {
    /// Which aggregation; the first of the configuration
    pub(crate) aggregation: Option<String>,
    /// A time of today in the aggregation's zone (14:03), or one with its date and offset (2026-11-23T14:03:00+01:00); now
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// Which business day (2026-11-23); the one of that moment
    #[arg(long, value_name = "DAY")]
    pub(crate) day: Option<String>,
    /// How the totals are printed
    #[arg(long, default_value = "table")]
    pub(crate) format: OutputFormat,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Counts the kept days under the definition in force and under the one of the configuration, both from the log and up to the same \
moment, and prints the rows that differ. Nothing is changed; traffic may go on. Ends with 0 if there is no difference, with 1 if \
there is one.

  daybook preview --config new.toml                 # the first aggregation
  daybook preview daily_totals --rows 0             # only how many rows, and the sums
  daybook preview daily_totals --json | jq .        # every row that differs")]
pub(crate) struct PreviewArgs {
    /// Which aggregation; the first of the configuration
    pub(crate) aggregation: Option<String>,
    /// Most rows that are printed, the largest days first
    #[arg(long, default_value_t = 20, value_name = "ROWS")]
    pub(crate) rows: usize,
    /// Print one JSON object for each row that differs, and a last one with the sums
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    /// The transaction's id
    pub(crate) id: String,
    /// Only of this source; ids are unique within one
    #[arg(long, value_name = "SOURCE")]
    pub(crate) source: Option<String>,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum OutputFormat {
    Table,
    Csv,
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct ProveArgs {
    /// How long everything accepted may take to arrive, in seconds. Traffic may go on: then what was
    /// accepted at the first look must have arrived at the last
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub(crate) wait: u64,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) what: Option<BenchCommand>,
    /// Transactions a second
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    pub(crate) rate: u64,
    /// Transactions in one request; 1 = single posts
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) bulk: u64,
    /// Connections [0: 128 for single posts, 8 for bulk]
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) connections: usize,
    /// How long to measure, in seconds
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
    pub(crate) duration: u64,
    /// How long to run before measuring, in seconds
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    pub(crate) warm_up: u64,
    /// Accounts
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    pub(crate) accounts: u64,
    /// Chooses accounts and amounts; one used before gives duplicates [default: from the clock]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Process to report memory and CPU by thread of
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Check whether this engine can count all aggregations, whatever the configuration says of them
    #[arg(long, value_name = "ENGINE")]
    pub(crate) engine: Option<EngineName>,
}

/// What adds up.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum EngineName {
    /// This program
    Native,
    /// Apache Spark
    Spark,
}

impl Global {
    /// Begins to log; the answer changes what is logged from then on.
    pub(crate) fn start_logging(&self) -> pipeline::ApplyLevels {
        use tracing_subscriber::EnvFilter;
        // Cassandra's driver tells every attempt to connect; what failed because of it is told by the part that it concerns.
        let filter_of = |directives: &str| EnvFilter::try_new(format!("scylla=off,{directives}"));
        let filter = filter_of(&self.log).unwrap_or_else(|error| {
            eprintln!(
                "daybook: --log {:?} is not understood ({error}); using warn",
                self.log
            );
            EnvFilter::new("scylla=off,warn")
        });
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            // That stderr is gone would be told on stderr, which panics. Nobody reads: then there is nobody to tell.
            .with_ansi(std::io::stderr().is_terminal())
            .log_internal_errors(false)
            .with_writer(std::io::stderr);
        // Two types, one behaviour.
        macro_rules! begin {
            ($builder:expr) => {{
                let builder = $builder.with_filter_reloading();
                let handle = builder.reload_handle();
                builder.init();
                std::sync::Arc::new(move |directives: &str| {
                    let filter = filter_of(directives).map_err(|error| error.to_string())?;
                    handle.reload(filter).map_err(|error| error.to_string())
                })
            }};
        }
        match self.log_format {
            LogFormat::Text => begin!(builder),
            LogFormat::Json => begin!(builder.json()),
        }
    }

    /// The configuration as given, ports moved.
    pub(crate) fn read_config(&self) -> anyhow::Result<Config> {
        let default = Path::new("daybook.toml");
        let path = self
            .config
            .as_deref()
            .or_else(|| default.exists().then_some(default));
        let mut config = match path {
            None => Config::default(),
            Some(path) => Config::read(path).map_err(|error| {
                let mut text = error.to_string();
                if let Some(cause) = std::error::Error::source(&error) {
                    text = format!("{text}: {cause}");
                }
                WrongConfiguration(text)
            })?,
        };
        config.offset_ports(self.port_offset);
        Ok(config)
    }

    /// The configuration, checked.
    pub(crate) async fn plan(&self) -> anyhow::Result<Plan> {
        Self::plan_of(self.read_config()?).await
    }

    /// A configuration, checked.
    pub(crate) async fn plan_of(config: Config) -> anyhow::Result<Plan> {
        // A large future: not in each of those that ask.
        Box::pin(Plan::check(config)).await.map_err(|mistakes| {
            let mut text = match mistakes.len() {
                1 => "the configuration has a mistake:".to_owned(),
                count => format!("the configuration has {count} mistakes:"),
            };
            for mistake in mistakes {
                text = format!("{text}\n\n{mistake}");
            }
            WrongConfiguration(text).into()
        })
    }
}
