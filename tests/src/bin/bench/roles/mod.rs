//! What is measured, as a process of its own: from its own side. `crate::child` is the other side.

mod direct;
mod group;
mod producer;
mod reader;
mod relay;
mod shop;
mod tables;

use std::io::{BufRead as _, Read as _, Write as _};

use anyhow::Result;
use clap::Subcommand;
use eventing::{Clock, KafkaSettings, Outbox, SchemaRegistry};
use serde_json::Value;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio_util::sync::CancellationToken;

/// The service whose outbox it is.
const SERVICE: &str = "payment-gateway";

/// Where a child finds the stand, and what it is to be.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    role: Role,
}

/// Where the stand is.
#[derive(Debug, Clone, clap::Args)]
struct Place {
    #[arg(long)]
    database: String,
    #[arg(long)]
    brokers: String,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// The ceiling of the drain.
    Producer(producer::Arguments),
    /// A relay and nothing else.
    Relay(relay::Arguments),
    /// A service that publishes: writers, and a relay unless told otherwise.
    Shop(shop::Arguments),
    /// The ceiling of the latency.
    Direct(direct::Arguments),
    /// A consumer group.
    Group(group::Arguments),
    /// The ceiling of consumer groups.
    Tables(tables::Arguments),
    /// Who waits for the records.
    Reader(reader::Arguments),
}

impl Arguments {
    /// Plays the role to its end.
    pub(crate) fn run(self) -> Result<()> {
        let place = &self.place;
        match self.role {
            Role::Producer(role) => role.run(place),
            Role::Relay(role) => role.run(place),
            Role::Shop(role) => role.run(place),
            Role::Direct(role) => role.run(place),
            Role::Group(role) => role.run(place),
            Role::Tables(role) => role.run(place),
            Role::Reader(role) => role.run(place),
        }
    }
}

impl Place {
    /// Kafka with this prefix before the topics' names, which keeps one measurement's records from the next.
    fn kafka(&self, prefix: &str) -> KafkaSettings {
        let mut kafka = KafkaSettings::new(&self.brokers);
        prefix.clone_into(&mut kafka.topic_prefix);
        kafka
    }

    async fn pool(&self, connections: u32) -> Result<PgPool> {
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .min_connections(connections)
            .connect(&self.database)
            .await?;
        Ok(pool)
    }

    async fn outbox(&self, pool: &PgPool) -> Result<Outbox> {
        Ok(Outbox::load(SERVICE, &registry(pool)?, Clock::system()).await?)
    }
}

/// The schemas are in the database, so nobody asks this address.
fn registry(pool: &PgPool) -> Result<SchemaRegistry> {
    Ok(SchemaRegistry::new("http://127.0.0.1:1/", pool.clone())?)
}

/// Says that everything is prepared, and waits to be told to begin.
fn ready() -> Result<()> {
    say("ready")?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(())
}

/// Waits until whoever measures has seen enough, or is gone.
fn wait_for_the_end() {
    let mut rest = Vec::new();
    // Its end is all that it says, however it comes.
    let _ = std::io::stdin().lock().read_to_end(&mut rest);
}

/// Cancelled when whoever measures has seen enough, or is gone.
fn until_told_to_end() -> CancellationToken {
    let told = CancellationToken::new();
    let tell = told.clone();
    std::thread::spawn(move || {
        wait_for_the_end();
        tell.cancel();
    });
    told
}

fn found(what: &Value) -> Result<()> {
    say(&what.to_string())
}

fn say(line: &str) -> Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()?;
    Ok(())
}

/// A runtime whose threads have this name, so that the kernel's count of their time can be told from others'.
fn runtime(name: &str) -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name(name)
        .enable_all()
        .build()?)
}
