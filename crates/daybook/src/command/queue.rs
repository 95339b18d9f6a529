//! `daybook queue`: the queue manager in a process of its own.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use pipeline::QueueProcess;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Global, QueueAction, QueueArgs};

pub(crate) async fn run(global: &Global, args: QueueArgs) -> anyhow::Result<ExitCode> {
    match args.action {
        None => serve(global).await,
        Some(QueueAction::Password) => password(),
    }
}

fn password() -> anyhow::Result<ExitCode> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let password = line.trim_end_matches(['\r', '\n']);
    anyhow::ensure!(
        !password.is_empty(),
        "the password is empty: give it on the first line of stdin"
    );
    let hash = pipeline::hash_password(password)?;
    writeln!(std::io::stdout(), "{hash}")?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(global: &Global) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let plan = global.plan().await?;
    // Before anything listens: a Ctrl-C from now on stops cleanly.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut announce = |part: &'static str, found: String| {
        // Nobody may be reading: then there is nobody to tell.
        let _ = writeln!(std::io::stdout(), "  {part:<11} ready  {found}");
    };
    let process = QueueProcess::start(&plan, &global.data_dir, &mut announce).await?;
    let _ = write_addresses(&process, &plan, global, began.elapsed().as_millis());
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    let _ = writeln!(std::io::stdout(), "\nstopping: clients are told");
    tokio::select! {
        () = process.stop() => {}
        _ = interrupt.recv() => return Ok(ExitCode::from(130)),
    }
    let _ = writeln!(std::io::stdout(), "stopped");
    Ok(ExitCode::SUCCESS)
}

fn write_addresses(
    process: &QueueProcess,
    plan: &pipeline::Plan,
    global: &Global,
    millis: u128,
) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let mq = process.mq;
    writeln!(
        out,
        "\nDaybook is ready after {millis} ms. Data is kept in {}.\n",
        global.data_dir.display()
    )?;
    writeln!(
        out,
        "  mq        queue manager {}, channel {}, connection name {}({})",
        types::names::QUEUE_MANAGER,
        plan.config().queue.channel,
        mq.ip(),
        mq.port()
    )?;
    writeln!(out, "  health    http://{}/readyz, /metrics", process.admin)?;
    writeln!(out, "\nCtrl-C stops.")?;
    out.flush()
}
