//! The launcher's subcommands, one file each.

mod backbone;
mod detach;
mod down;
mod interrupt;
mod logs;
mod status;
mod token;
mod up;
mod watch;
mod welcome;

use std::process::ExitCode;

use anyhow::{Context, Result};

/// What the launcher can do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Starts everything and keeps it running.
    Up(up::Arguments),
    /// Stops everything.
    Down(down::Arguments),
    /// Shows what runs, and how it is.
    Status(status::Arguments),
    /// Shows what a service says.
    Logs(logs::Arguments),
    /// Prints a fresh token.
    Token(token::Arguments),
    /// Runs a program beside a PostgreSQL, a Kafka and a schema registry of its own, for tests.
    Backbone(backbone::Arguments),
}

impl Command {
    /// Does it.
    pub fn run(self) -> Result<ExitCode> {
        match self {
            Self::Up(arguments) => arguments.run(),
            Self::Down(arguments) => arguments.run(),
            Self::Status(arguments) => runtime()?.block_on(arguments.run()),
            Self::Logs(arguments) => arguments.run(),
            Self::Token(arguments) => runtime()?.block_on(arguments.run()),
            Self::Backbone(arguments) => runtime()?.block_on(arguments.run()),
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("no runtime")
}
