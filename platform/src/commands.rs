//! The subcommands that operators use on what a service left behind: `outbox` and `dead-letters`.

use clap::{ArgMatches, Command, FromArgMatches as _, Subcommand as _};
use eventing::{Clock, SchemaRegistry, outbox};

use crate::config::Common;
use crate::database;
use crate::service::Service;
use crate::start::Failure;

/// Adds those that the service has use for.
pub(crate) fn add<S: Service>(mut command: Command) -> Command {
    if S::OUTBOX {
        let outbox = Command::new("outbox").about("Look after events that cannot be published");
        let outbox = outbox.subcommand_required(true).arg_required_else_help(true);
        command = command.subcommand(outbox::cli::Command::augment_subcommands(outbox));
    }
    command
}

/// Runs one of them.
pub(crate) async fn run<S: Service>(
    name: &str,
    arguments: &ArgMatches,
    common: &Common,
) -> Result<(), Failure> {
    let pool = database::pool(S::NAME, &common.database)?;
    let registry = SchemaRegistry::new(common.registry.url.as_str(), pool.clone())?;
    let clock = Clock::system();
    match name {
        "outbox" => {
            let command = outbox::cli::Command::from_arg_matches(arguments)?;
            command
                .run(outbox::cli::Context {
                    pool,
                    registry,
                    clock,
                })
                .await?;
        }
        _ => return Err(format!("there is no subcommand {name}").into()),
    }
    Ok(())
}
