//! The subcommands that operators use on what a service left behind: `outbox` and `dead-letters`.

use clap::{ArgMatches, Command, FromArgMatches as _, Subcommand as _};
use eventing::consumer::Resources;
use eventing::{Clock, SchemaRegistry, dead_letters, outbox};

use crate::config::Settings;
use crate::database;
use crate::service::Service;
use crate::start::Failure;

/// Adds those that the service has use for.
pub(crate) fn add<S: Service>(mut command: Command) -> Command {
    if S::OUTBOX {
        let outbox = group_of_commands("outbox").about("Look after events that cannot be published");
        command = command.subcommand(outbox::cli::Command::augment_subcommands(outbox));
    }
    if !S::groups().is_empty() {
        let letters = group_of_commands("dead-letters").about("Look after records that could not be applied");
        command = command.subcommand(dead_letters::cli::Command::augment_subcommands(letters));
    }
    command
}

fn group_of_commands(name: &'static str) -> Command {
    Command::new(name)
        .subcommand_required(true)
        .arg_required_else_help(true)
}

/// Runs one of them.
pub(crate) async fn run<S: Service>(
    name: &str,
    arguments: &ArgMatches,
    settings: &Settings<S::Config>,
) -> Result<(), Failure> {
    let common = &settings.common;
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
        "dead-letters" => {
            let command = dead_letters::cli::Command::from_arg_matches(arguments)?;
            let resources = Resources {
                pool,
                kafka: common.kafka.clone(),
                registry,
                clock,
            };
            let context = dead_letters::Context {
                groups: &S::groups(),
                resources: &resources,
                rehearsals: &S::rehearsals(&settings.own, &resources)?,
            };
            command.run(&context, &mut std::io::stdout()).await?;
        }
        _ => return Err(format!("there is no subcommand {name}").into()),
    }
    Ok(())
}
