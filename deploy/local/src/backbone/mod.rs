//! PostgreSQL, Kafka and the schema registry: what services, and tests of crates, stand on.

mod brokers;
pub mod kafka;
pub mod postgres;
pub mod registry;

use anyhow::Result;

pub use brokers::{Broker, Brokers};
pub use postgres::{Durability, Postgres};

use crate::distribution::Distribution;
use crate::http::Http;
use crate::ports::Ports;
use crate::processes::Processes;
use crate::progress::Progress;
use crate::state::State;

/// The running backbone, with the platform's databases, topics and schemas in it.
#[derive(Debug, Clone)]
pub struct Backbone {
    /// The database server.
    pub postgres: Postgres,
    /// `host:port` of every broker, with commas in between.
    pub kafka: String,
    /// The base of the registry's Confluent-compatible interface.
    pub registry: String,
}

impl Backbone {
    /// Starts all three side by side.
    pub async fn start(
        state: &State,
        ports: &Ports,
        distribution: &Distribution,
        durability: Durability,
        processes: &Processes,
        progress: Progress,
    ) -> Result<Self> {
        let http = Http::new()?;
        // Before anything starts.
        kafka::check_state(state, ports.brokers())?;
        let kafka = ports.kafka();
        let registry = registry::url(ports);
        let databases = async {
            let step = progress.step("PostgreSQL");
            let postgres = Postgres::start(state, ports, durability, processes).await?;
            step.done();
            let step = progress.step("schema registry, with the schemas");
            registry::start(ports, &postgres, distribution, &http, processes).await?;
            registry::register_schemas(&http, &registry).await?;
            step.done();
            Ok(postgres)
        };
        let broker = async {
            let step = progress.step(match ports.brokers() {
                Brokers::One => "Kafka, with the topics",
                Brokers::Three => "Kafka, three brokers, with the topics",
            });
            kafka::start(state, ports, distribution, processes, kafka::Java::Small).await?;
            kafka::create_topics(&kafka).await?;
            step.done();
            anyhow::Ok(())
        };
        let (postgres, ()) = tokio::try_join!(databases, broker)?;
        Ok(Self {
            postgres,
            kafka,
            registry,
        })
    }
}
