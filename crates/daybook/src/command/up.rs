//! `daybook up`: the whole in one process.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use pipeline::{ApplyLevels, ConfigFile, Part, Running, StartOptions};
use sender::demo::{self, DemoOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::WrongConfiguration;
use crate::cli::{ConnectorArgs, Global, PartName, UpArgs};

pub(crate) async fn run(
    global: &Global,
    args: UpArgs,
    levels: ApplyLevels,
) -> anyhow::Result<ExitCode> {
    let parts = match args.only.is_empty() {
        true => {
            let mut parts = vec![
                Part::Gateway,
                Part::Queue,
                Part::Connector,
                Part::Log,
                Part::Aggregate,
                Part::Sink,
                Part::Web,
            ];
            if global.read_config()?.postgres.enabled {
                parts.push(Part::Postgres);
            }
            parts
        }
        false => args
            .only
            .iter()
            .flat_map(|name| match name {
                PartName::Front => vec![Part::Gateway, Part::Queue, Part::Connector],
                PartName::Log => vec![Part::Log],
                PartName::Aggregate => vec![Part::Aggregate],
                PartName::Sink => vec![Part::Sink],
                PartName::Web => vec![Part::Web],
                PartName::Postgres => vec![Part::Postgres],
            })
            .collect(),
    };
    let options = StartOptions {
        demo: args.demo,
        levels: Some(levels),
        ..start_options(global, parts)
    };
    serve(global, options).await
}

fn start_options(global: &Global, parts: Vec<Part>) -> StartOptions {
    StartOptions {
        data_dir: global.data_dir.clone(),
        parts,
        demo: false,
        connectors: Vec::new(),
        levels: None,
    }
}

/// The connector alone: of the gateway's queue, or those of files.
pub(crate) async fn run_connect(
    global: &Global,
    args: ConnectorArgs,
    levels: ApplyLevels,
) -> anyhow::Result<ExitCode> {
    let mut connectors = Vec::new();
    for path in &args.files {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| WrongConfiguration(format!("cannot read {shown}: {error}")))?;
        let file = ConfigFile::read(&text)
            .map_err(|error| WrongConfiguration(format!("{shown}: {error}")))?;
        let mistakes = pipeline::connector_mistakes(&file);
        if !mistakes.is_empty() {
            let mistakes = mistakes.join("\n  ");
            return Err(WrongConfiguration(format!("{shown}:\n  {mistakes}")).into());
        }
        connectors.push((shown, file));
    }
    let options = StartOptions {
        connectors,
        levels: Some(levels),
        ..start_options(global, vec![Part::Connector])
    };
    serve(global, options).await
}

pub(crate) async fn run_part(global: &Global, part: Part) -> anyhow::Result<ExitCode> {
    serve(global, start_options(global, vec![part])).await
}

async fn serve(global: &Global, options: StartOptions) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let plan = global.plan().await?;
    let zone = plan
        .aggregations()
        .next()
        .map(|aggregation| aggregation.zone.clone());
    let demo = options.demo;
    // Before anything listens: a Ctrl-C from now on stops cleanly.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut announce = |part: &'static str, found: String| {
        // Nobody may be reading: then there is nobody to tell.
        let _ = writeln!(std::io::stdout(), "  {part:<11} ready  {found}");
    };
    // It holds the whole configuration: too much to be carried about.
    let starting = Box::pin(pipeline::start(plan, options, &mut announce));
    let started = tokio::select! {
        started = starting => started?,
        _ = interrupt.recv() => return Ok(ExitCode::from(130)),
        // It may wait for a log that never answers.
        _ = terminate.recv() => return Ok(ExitCode::from(143)),
    };
    let millis = began.elapsed().as_millis();
    let _ = write_addresses(&started, global, demo, millis);
    let stop_demo = CancellationToken::new();
    let demo_task = match (demo, started.gateway) {
        (true, Some(gateway)) => {
            let options = DemoOptions {
                gateway: format!("http://{gateway}"),
                zone: zone.unwrap_or_else(|| "UTC".to_owned()),
                ..DemoOptions::default()
            };
            Some(tokio::spawn(demo::run(
                options,
                Arc::new(sender::Silent),
                stop_demo.clone(),
            )))
        }
        _ => None,
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    let _ = writeln!(
        std::io::stdout(),
        "\nstopping: what was accepted is carried through (Ctrl-C again to stop at once)"
    );
    stop_demo.cancel();
    if let Some(task) = demo_task {
        task.abort();
    }
    tokio::select! {
        () = started.stop() => {}
        _ = interrupt.recv() => return Ok(ExitCode::from(130)),
    }
    let _ = writeln!(std::io::stdout(), "stopped");
    Ok(ExitCode::SUCCESS)
}

fn write_addresses(
    running: &Running,
    global: &Global,
    demo: bool,
    millis: u128,
) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    write!(out, "\nDaybook is ready after {millis} ms.")?;
    if running.keeps_data() {
        write!(out, " Data is kept in {}.", global.data_dir.display())?;
    }
    writeln!(out, "\n")?;
    if let Some(web) = running.web {
        writeln!(out, "  page      http://{web}")?;
    }
    if let Some(gateway) = running.gateway {
        writeln!(
            out,
            "  gateway   http://{gateway}/v1/transactions/{{source}}"
        )?;
    }
    if let Some(mq) = running.mq {
        writeln!(out, "  mq        {}({})", mq.ip(), mq.port())?;
    }
    if !running.kafka.is_empty() {
        writeln!(out, "  kafka     {}", running.kafka)?;
    }
    if let Some(postgres) = running.postgres {
        let (host, port) = (postgres.ip(), postgres.port());
        writeln!(out, "  queries   psql -h {host} -p {port} daybook")?;
    }
    writeln!(out, "  health    http://{}/readyz, /metrics", running.admin)?;
    if let Some(gateway) = running.gateway {
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
        writeln!(out, "\nPost a first transaction:\n")?;
        writeln!(
            out,
            "  curl http://{gateway}/v1/transactions/json -d '{{\"id\":\"t-1\",\"account\":\"ann\",\"amount\":\"12.50\",\"currency\":\"EUR\",\"booked_at\":\"{now}\"}}'"
        )?;
    }
    if demo {
        writeln!(
            out,
            "\nMade-up traffic is being sent. Without --demo there is none."
        )?;
    }
    writeln!(out, "\nCtrl-C stops.")?;
    out.flush()
}
