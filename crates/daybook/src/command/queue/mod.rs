//! `daybook queue`: the queue manager in a process of its own, and looking after queues.

mod admin;
mod browse;
mod define;
mod list;
mod transfer;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use pipeline::QueueProcess;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{ConnectArgs, Global, QueueAction, QueueArgs};
use admin::Admin;

pub(crate) async fn run(global: &Global, args: QueueArgs) -> anyhow::Result<ExitCode> {
    let Some(action) = args.action else {
        return serve(global).await;
    };
    match &action {
        QueueAction::Password => return password(),
        QueueAction::List(args) => {
            list::run(&mut administer(global, &args.connect).await?, args).await?;
        }
        QueueAction::Define(args) => {
            define::define(&mut administer(global, &args.connect).await?, args).await?;
        }
        QueueAction::Alter(args) => {
            define::alter(&mut administer(global, &args.connect).await?, args).await?;
        }
        QueueAction::Delete(args) => {
            define::delete(&mut administer(global, &args.connect).await?, args).await?;
        }
        QueueAction::Purge(args) => {
            define::purge(&mut administer(global, &args.connect).await?, args).await?;
        }
        QueueAction::Browse(args) => {
            let (_connection, mut session) = connect(global, &args.connect).await?;
            browse::run(&mut session, args).await?;
        }
        QueueAction::Move(args) => {
            let (_connection, mut session) = connect(global, &args.connect).await?;
            transfer::run_move(&mut session, args).await?;
        }
        QueueAction::Replay(args) => {
            let (_connection, mut session) = connect(global, &args.connect).await?;
            transfer::run_replay(&mut session, args).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The queue manager that is meant: the configuration's unless another one is named.
async fn connect(
    global: &Global,
    args: &ConnectArgs,
) -> anyhow::Result<(mq_client::Connection, mq_client::Session)> {
    admin::connect(args, global.read_config()?.queue).await
}

async fn administer(global: &Global, args: &ConnectArgs) -> anyhow::Result<Admin> {
    Admin::new(connect(global, args).await?).await
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
