//! `daybook bench gateway`: how much inbound traffic the gateway takes, and for how long.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sender::bench::gateway::{self, GatewayBenchOptions, StepLimits, TemplateFile};

use super::send::{StandardError, interrupted};
use crate::WrongConfiguration;
use crate::cli::{BenchGatewayArgs, Global};

pub(crate) async fn run(global: &Global, args: BenchGatewayArgs) -> anyhow::Result<ExitCode> {
    let options = options(global, &args)?;
    // Before the run: nobody wants to hear of a directory that is missing after an hour.
    for path in args.report.iter().chain(&args.json) {
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let report = gateway::run(options, Arc::new(StandardError), interrupted()).await?;
    if let Some(path) = &args.report {
        write(path, &report.to_html())?;
    }
    if let Some(path) = &args.json {
        write(path, &report.to_json())?;
    }
    writeln!(std::io::stdout().lock(), "{report}")?;
    Ok(match report.passed {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn options(global: &Global, args: &BenchGatewayArgs) -> anyhow::Result<GatewayBenchOptions> {
    let config = global.read_config()?;
    let aggregation = config
        .aggregations
        .first()
        .map(|aggregation| aggregation.name.clone());
    let base = match args.quick {
        true => GatewayBenchOptions::default().quick(),
        false => GatewayBenchOptions::default(),
    };
    let address = |given: &Option<String>, configured: std::net::SocketAddr| {
        given
            .clone()
            .unwrap_or_else(|| format!("http://{configured}"))
    };
    let seconds = |given: Option<u64>, otherwise| given.map_or(otherwise, Duration::from_secs);
    Ok(GatewayBenchOptions {
        gateway: address(&args.gateway, config.gateway.address),
        web: (!args.no_web).then(|| address(&args.web, config.web.address)),
        aggregation: aggregation.unwrap_or_else(|| "daily_totals".to_owned()),
        mix: args.mix.clone(),
        templates: args
            .templates
            .iter()
            .map(|text| template(text))
            .collect::<anyhow::Result<_>>()?,
        start: args.start,
        factor: args.factor.unwrap_or(base.factor),
        rate_max: args.max_rate,
        step: seconds(args.step, base.step),
        bisections: args.bisections.unwrap_or(base.bisections),
        rate: args.rate,
        soak: seconds(args.soak, base.soak),
        soak_percent: args.share,
        limits: StepLimits::with_p99(args.p99),
        connections: args.connections,
        threads: args.threads,
        accounts: args.accounts,
        seed: args.seed,
        pid: args.pid,
        retry_for: Duration::from_secs(args.retry),
        command: command(),
        ..base
    })
}

/// Reads `NAME[@SOURCE]=FILE`.
fn template(text: &str) -> anyhow::Result<TemplateFile> {
    let (name, path) = text.split_once('=').ok_or_else(|| {
        WrongConfiguration(format!(
            "--template {text}: must be NAME=FILE, or NAME@SOURCE=FILE"
        ))
    })?;
    let (name, source) = name.split_once('@').unwrap_or((name, name));
    Ok(TemplateFile {
        name: name.to_owned(),
        source: source.to_owned(),
        text: std::fs::read(path).with_context(|| format!("cannot read the template {path}"))?,
    })
}

/// The command as a shell would take it again.
fn command() -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    let quoted = |argument: String| match !argument.is_empty() && argument.chars().all(plain) {
        true => argument,
        false => format!("'{}'", argument.replace('\'', "'\\''")),
    };
    let arguments = std::env::args_os().skip(1);
    let arguments: Vec<String> = arguments
        .map(|argument| quoted(argument.to_string_lossy().into_owned()))
        .collect();
    format!("daybook {}", arguments.join(" "))
}
