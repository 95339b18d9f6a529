//! `daybook bench`: open-loop load against a running pipeline.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use sender::bench::{self, BenchOptions};

use super::send::{StandardError, interrupted};
use crate::cli::{BenchArgs, BenchCommand, Global};

pub(crate) async fn run(global: &Global, args: BenchArgs) -> anyhow::Result<ExitCode> {
    if let Some(BenchCommand::Gateway(args)) = args.what {
        return super::bench_gateway::run(global, args).await;
    }
    let config = global.read_config()?;
    let aggregation = config
        .aggregations
        .first()
        .map(|aggregation| aggregation.name.clone());
    let options = BenchOptions {
        gateway: format!("http://{}", config.gateway.address),
        web: format!("http://{}", config.web.address),
        aggregation: aggregation.unwrap_or_else(|| "daily_totals".to_owned()),
        rate: args.rate,
        bulk: args.bulk,
        connections: args.connections,
        duration: Duration::from_secs(args.duration),
        warm_up: Duration::from_secs(args.warm_up),
        accounts: args.accounts,
        seed: args.seed,
        pid: args.pid,
        progress: !args.json,
        ..BenchOptions::default()
    };
    let report = bench::run(options, Arc::new(StandardError), interrupted()).await?;
    let mut out = std::io::stdout().lock();
    match args.json {
        true => writeln!(out, "{}", report.to_json())?,
        false => writeln!(out, "{report}")?,
    }
    Ok(match report.passed {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
