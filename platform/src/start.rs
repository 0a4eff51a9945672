//! From the command line to a running service, and out again.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgMatches, Command, value_parser};

use crate::config::Settings;
use crate::problem::Chain;
use crate::service::Service;
use crate::{commands, database, serve, telemetry};

/// How long the runtime waits for blocking work when everything else has ended.
const RUNTIME_WITHIN: Duration = Duration::from_secs(1);

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs the service as its command line says; `main` returns what this returns. What goes wrong is told in one line.
pub fn start<S: Service>() -> ExitCode {
    let arguments = command::<S>().get_matches();
    match run::<S>(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{}: {}", S::NAME, Chain(&*failure));
            ExitCode::FAILURE
        }
    }
}

fn command<S: Service>() -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .global(true)
        .help("Configuration file in TOML; environment variables override it");
    let command = Command::new(S::NAME)
        .arg(config)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(Command::new("serve").about("Serve until told to stop"))
        .subcommand(Command::new("migrate").about("Bring the database to this version, and end"));
    commands::add::<S>(command)
}

fn run<S: Service>(arguments: &ArgMatches) -> Result<(), Failure> {
    // clap refuses a command line without a subcommand.
    let Some((subcommand, arguments)) = arguments.subcommand() else {
        return Ok(());
    };
    let file = arguments.get_one::<PathBuf>("config");
    let settings = Settings::<S::Config>::load(S::NAME, file.map(PathBuf::as_path))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let telemetry = {
        let _runtime = runtime.enter();
        telemetry::init(S::NAME, &settings.common.telemetry)?
    };
    let outcome = runtime.block_on(async {
        match subcommand {
            "serve" => serve::serve::<S>(settings).await.map_err(Failure::from),
            "migrate" => {
                let migrated = database::migrate(S::NAME, &settings.common.database, &S::migrations()).await;
                migrated.map_err(Failure::from)
            }
            other => commands::run::<S>(other, arguments, &settings).await,
        }
    });
    // Exporters send through the runtime.
    telemetry.flush();
    runtime.shutdown_timeout(RUNTIME_WITHIN);
    outcome
}
