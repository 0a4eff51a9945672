//! Measures the event backbone against ceilings of the same run.
//!
//! Each command starts a PostgreSQL and a Kafka of its own, prepares a bounded load, and prints a table, with the ratio of what
//! the backbone does to what its parts allow at all, and a line of JSON. What is measured runs in a process of its own, so
//! that its memory and its share of the processor are its own.
//!
//! What a newcomer gets wrong: comparing figures of two runs. The machine differs between them; ratios within one run do not.

#![expect(
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    reason = "measurements are ratios and no money; what a child does not say is null"
)]

mod child;
mod commands;
mod load;
mod report;
mod roles;
mod stand;
mod usage;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

use crate::report::Report;

// Also what librdkafka allocates with: the workspace has it override malloc.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the event backbone against ceilings of the same run.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Where the JSON goes as well.
    #[arg(long, global = true)]
    json: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Draining the outbox, the relay's memory and rest, and what the outbox costs its writer.
    Relay(commands::relay::Arguments),
    /// From the commit to the consumer, at 500 and at 2,000 transactions a second.
    Latency(commands::latency::Arguments),
    /// What consumer groups apply in a second.
    Consume(commands::consume::Arguments),
    /// A hundred thousand dead letters: how fast they are shown, and replayed.
    DeadLetters(commands::dead_letters::Arguments),
    /// The outbox's size over time, at the relay's full rate.
    Soak(commands::soak::Arguments),
    /// What is measured, in a process of its own.
    #[command(hide = true)]
    Child(roles::Arguments),
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new().context("no runtime")?;
    let report = match arguments.command {
        // It makes the runtimes that it needs, so that its threads can be told apart.
        Command::Child(role) => return role.run(),
        Command::Relay(command) => runtime.block_on(command.run())?,
        Command::Latency(command) => runtime.block_on(command.run())?,
        Command::Consume(command) => runtime.block_on(command.run())?,
        Command::DeadLetters(command) => runtime.block_on(command.run())?,
        Command::Soak(command) => runtime.block_on(command.run())?,
    };
    conclude(&report, arguments.json)
}

fn conclude(report: &Report, file: Option<PathBuf>) -> Result<()> {
    println!("\n{}", report.table());
    let json = report.json().to_string();
    println!("{json}");
    if let Some(file) = file {
        std::fs::write(&file, json).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}
