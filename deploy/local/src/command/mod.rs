//! The launcher's subcommands, one file each.

mod backbone;
mod interrupt;

use std::process::ExitCode;

use anyhow::{Context, Result};

/// What the launcher can do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Runs a program beside a PostgreSQL, a Kafka and a schema registry of its own, for tests.
    Backbone(backbone::Arguments),
}

impl Command {
    /// Does it.
    pub fn run(self) -> Result<ExitCode> {
        match self {
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
