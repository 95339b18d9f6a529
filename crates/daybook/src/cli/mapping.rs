//! Arguments of `mapping`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Write mappings: test them on examples, see how a file is read, draft one from a sample
#[derive(Debug, Args)]
#[command(after_help = "\
From a sample file to a tested mapping:

  daybook mapping infer payments.csv > sources/payments.toml      # a draft, with every path of the sample
  daybook mapping explain sources/payments.toml payments.csv      # which path gave which field, what is refused and why
  mkdir sources/payments.examples; cp payments.csv sources/payments.examples/first.in
  daybook mapping test --update sources/payments.toml             # writes first.out.ndjson: look at it
  daybook mapping test sources/payments.toml                      # from now on what differs is shown

The keys of a mapping are explained in config/sources/README.md, step by step in docs/mapping.md.")]
pub(crate) struct MappingArgs {
    #[command(subcommand)]
    pub(crate) command: MappingCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MappingCommand {
    // Their texts are with their arguments.
    Test(MappingTestArgs),
    Explain(MappingExplainArgs),
    Infer(MappingInferArgs),
}

/// Compare what examples give with what they should give
#[derive(Debug, Args)]
#[command(after_help = "\
Beside sources/till.toml its examples stand in sources/till.examples: NAME.in is a body as it is sent, NAME.out.ndjson what it must give, \
a JSON object a line: transactions, {\"refused\": …}, {\"passed_over\": …}, {\"document_refused\": …}. All arrive at \
2026-11-23T12:00:00Z, or at the time in arrival.txt of that folder. Ends with 1 if something differs.

  daybook mapping test                        # all mappings of the configured sources_dir, or of config/sources
  daybook mapping test sources/till.toml
  daybook mapping test --update               # write what they give now, then look at the difference in git")]
pub(crate) struct MappingTestArgs {
    /// Mapping files
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Write what the examples give now
    #[arg(long)]
    pub(crate) update: bool,
}

/// Show of each record which path gave which field through which steps, and what is refused, underlined
#[derive(Debug, Args)]
#[command(after_help = "\
The output holds what the file holds, such as card numbers. Records of binary formats are shown with all their fields first.

  daybook mapping explain pain.001 orders.xml
  daybook mapping explain sources/till.toml till.json")]
pub(crate) struct MappingExplainArgs {
    /// A source's name, or a mapping file
    pub(crate) source: String,
    /// A body as it is sent
    pub(crate) file: PathBuf,
    /// When it arrives (2026-11-23T12:00:00Z); now
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
}

/// Draft a mapping from a sample: JSON, NDJSON, CSV, XML, SWIFT MT, OFX, NACHA, ISO 8583
#[derive(Debug, Args)]
#[command(after_help = "\
The draft lists every path of the sample with examples, and proposes account, amount, currency, time and identity by their names and \
shapes: look at every line that says \"guessed\" or \"to do\". A sample in the format of a ready-made mapping gets a copy of that.

  daybook mapping infer payments.csv > sources/payments.toml")]
pub(crate) struct MappingInferArgs {
    /// A sample: a body as it is sent
    pub(crate) file: PathBuf,
    /// The source's name [default: from the file's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
}
