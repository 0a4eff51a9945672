//! From the command line to a running service, and out again.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, Command, value_parser};
use tokio_util::sync::CancellationToken;

use crate::config::Settings;
use crate::context::Context;
use crate::problem::Chain;
use crate::service::{ServeError, Service};
use crate::{database, telemetry};

/// How long requests in work may take to finish once shutdown has begun.
pub(crate) const DRAIN: Duration = Duration::from_secs(15);
/// How long tasks may take after that.
const FINISH: Duration = Duration::from_secs(10);

/// Runs the service as its command line says; `main` returns what this returns.
pub fn start<S: Service>() -> ExitCode {
    let arguments = command::<S>().get_matches();
    match run::<S>(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            #[expect(
                clippy::print_stderr,
                reason = "the one line that says why the process ends, also before logs exist"
            )]
            {
                eprintln!("{}: {}", S::NAME, Chain(&*failure));
            }
            ExitCode::FAILURE
        }
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn command<S: Service>() -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .global(true)
        .help("Configuration file in TOML; environment variables override it");
    Command::new(S::NAME)
        .arg(config)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(Command::new("serve").about("Serve until told to stop"))
        .subcommand(Command::new("migrate").about("Bring the database to this version, and end"))
}

fn run<S: Service>(arguments: &clap::ArgMatches) -> Result<(), Failure> {
    let file = arguments.get_one::<PathBuf>("config");
    let settings = Settings::<S::Config>::load(S::NAME, file.map(PathBuf::as_path))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let guard = {
        let _runtime = runtime.enter();
        telemetry::init(S::NAME, &settings.common.telemetry)?
    };
    let outcome = runtime.block_on(async {
        match arguments.subcommand() {
            Some(("migrate", _)) => migrate::<S>(&settings).await,
            _ => serve::<S>(settings).await.map_err(Failure::from),
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    guard.flush();
    outcome
}

async fn migrate<S: Service>(settings: &Settings<S::Config>) -> Result<(), Failure> {
    let pool = database::pool(S::NAME, &settings.common.database)?;
    eventing::MIGRATOR.run(&pool).await?;
    S::migrations().run(&pool).await?;
    Ok(())
}

async fn serve<S: Service>(settings: Settings<S::Config>) -> Result<(), ServeError> {
    let pool = database::pool(S::NAME, &settings.common.database).map_err(ServeError::other)?;
    let shutdown = CancellationToken::new();
    let context = Context::new(S::NAME, settings, pool, shutdown.clone())?;
    context.spawn("signals", signals(shutdown.clone()));
    let served = S::serve(context.clone()).await;
    shutdown.cancel();
    if !context.tasks().finish(FINISH).await {
        tracing::warn!("tasks were still running when the time to finish them was over");
    }
    served?;
    context
        .tasks()
        .take_failure()
        .map_or(Ok(()), |failure| Err(failure.into()))
}

async fn signals(shutdown: CancellationToken) -> Result<(), std::io::Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        () = shutdown.cancelled() => {}
    }
    shutdown.cancel();
    Ok(())
}
