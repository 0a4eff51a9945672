//! The launcher's command line; the scripts beside this crate call it.

use std::process::ExitCode;

use clap::Parser;
use local::command::Command;

/// Runs the whole platform on this machine.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    match Arguments::parse().command.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\n{error:#}");
            ExitCode::FAILURE
        }
    }
}
