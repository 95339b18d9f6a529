//! The program: one binary, a subcommand a task. Data goes to stdout, everything else to stderr.
//!
//! Exit codes: 0 fine, 1 failed, 2 wrong usage or configuration.

mod cli;
mod command;

use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Command};

/// Many small allocations on many threads: a third less CPU than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The configuration is wrong: the text is complete, the exit code is 2.
#[derive(Debug)]
struct WrongConfiguration(String);

impl std::fmt::Display for WrongConfiguration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for WrongConfiguration {}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let levels = cli.global.start_logging();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("daybook: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(run(cli, levels));
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) if error.is::<WrongConfiguration>() => {
            eprintln!("daybook: {error}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("daybook: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli, levels: pipeline::ApplyLevels) -> anyhow::Result<ExitCode> {
    let global = cli.global;
    match cli.command {
        Command::Up(args) => command::up::run(&global, args, levels).await,
        Command::Queue(args) => command::queue::run(&global, args).await,
        Command::Gateway => command::up::run_part(&global, pipeline::Part::Gateway).await,
        Command::Connect(args) => command::up::run_connect(&global, args, levels).await,
        Command::Aggregate => command::up::run_part(&global, pipeline::Part::Aggregate).await,
        Command::Sink => command::up::run_part(&global, pipeline::Part::Sink).await,
        Command::Web => command::up::run_part(&global, pipeline::Part::Web).await,
        Command::Postgres => command::up::run_part(&global, pipeline::Part::Postgres).await,
        Command::Check(args) => command::check::run(&global, &args).await,
        Command::Mapping(args) => command::mapping::run(&global, &args),
        Command::Send(args) => command::send::run(&global, args).await,
        Command::Query(args) => command::query::run(&global, args).await,
        Command::Totals(args) => command::totals::run(&global, args).await,
        Command::Preview(args) => Box::pin(command::preview::run(&global, args)).await,
        Command::Trace(args) => command::trace::run(&global, args).await,
        Command::Prove(args) => command::prove::run(&global, args).await,
        Command::Bench(args) => command::bench::run(&global, args).await,
        Command::Completions { shell } => {
            use clap::CommandFactory;
            clap_complete::generate(
                shell,
                &mut Cli::command(),
                "daybook",
                &mut std::io::stdout(),
            );
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
