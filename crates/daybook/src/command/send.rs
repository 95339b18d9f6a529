//! `daybook send`: files or generated load through the gateway.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sender::{Cut, GenerateOptions, Reporter, SendOptions, SendReport};
use tokio_util::sync::CancellationToken;

use crate::WrongConfiguration;
use crate::cli::{Global, SendArgs};

/// Lines for people go to standard error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StandardError;

impl Reporter for StandardError {
    fn say(&self, line: &str) {
        eprintln!("{line}");
    }
}

/// A token that fires at Ctrl-C.
pub(crate) fn interrupted() -> CancellationToken {
    let token = CancellationToken::new();
    let fire = token.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            fire.cancel();
        }
    });
    token
}

pub(crate) async fn run(global: &Global, args: SendArgs) -> anyhow::Result<ExitCode> {
    let config = global.read_config()?;
    let gateway = args
        .gateway
        .clone()
        .unwrap_or_else(|| format!("http://{}", config.gateway.address));
    let stop = interrupted();
    let report = match args.generate {
        Some(records) => generate(&args, gateway, records, stop).await?,
        None => files(&args, gateway, &config, stop).await?,
    };
    for problem in &report.problems {
        eprintln!("refused: {problem}");
    }
    if report.problems_left_off > 0 {
        eprintln!("refused: and {} more", report.problems_left_off);
    }
    eprintln!("{report}");
    if report.interrupted {
        eprintln!("stopped before the end: send the same again, what was accepted is counted once");
        return Ok(ExitCode::from(130));
    }
    Ok(match report.refused {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

async fn files(
    args: &SendArgs,
    gateway: String,
    config: &pipeline::Config,
    stop: CancellationToken,
) -> anyhow::Result<SendReport> {
    let mappings = pipeline::load_sources(config.sources_dir.as_deref()).map_err(|mistakes| {
        let texts: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        WrongConfiguration(texts.join("\n\n"))
    })?;
    let names: Vec<&str> = mappings.iter().map(mapping::Mapping::source).collect();
    let names = names.join(", ");
    let source = args.source.clone().ok_or_else(|| {
        WrongConfiguration(format!("--source must say what the files are: {names}"))
    })?;
    let found = mappings.iter().find(|mapping| mapping.source() == source);
    let mapping = found
        .ok_or_else(|| WrongConfiguration(format!("there is no source {source:?}: {names}")))?;
    let options = SendOptions {
        gateway,
        source,
        files: args.files.clone(),
        batch_records: args.batch,
        connections: args.connections,
        lenient: args.lenient,
        retry_for: Duration::from_secs(args.retry),
        rate_limit: args.rate,
        progress: !args.quiet,
    };
    sender::send(&options, &Cut::of(mapping), Arc::new(StandardError), stop)
        .await
        .context("not everything was sent; send the same again, what was accepted is counted once")
}

async fn generate(
    args: &SendArgs,
    gateway: String,
    records: u64,
    stop: CancellationToken,
) -> anyhow::Result<SendReport> {
    let options = GenerateOptions {
        gateway,
        source: args.source.clone().unwrap_or_else(|| "json".to_owned()),
        records,
        rate: args.rate,
        accounts: args.accounts,
        seed: args.seed,
        booked_at: None,
        batch_records: args.batch,
        connections: args.connections,
        retry_for: Duration::from_secs(args.retry),
        progress: !args.quiet,
    };
    sender::generate(&options, Arc::new(StandardError), stop)
        .await
        .context("not everything was sent")
}
