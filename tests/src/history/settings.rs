//! What the processes of a history are told, through their environment.

use anyhow::{Context, Result};
use eventing::{Clock, KafkaSettings};
use jiff::Timestamp;

use super::timeline::Timeline;

/// What every process of a history knows.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What it is called.
    pub name: String,
    /// The run's seed.
    pub seed: u64,
    /// Its database, by way of its own door.
    pub database: String,
    /// The brokers, by way of their doors.
    pub brokers: String,
    /// The registry, by way of its door.
    pub registry: String,
    /// When the run began.
    pub began: Timestamp,
    /// When writers stop.
    pub write_until: Timestamp,
    /// The folder of the writers' journals.
    pub journals: String,
    /// A mistake that this process makes on purpose, to show that it is found.
    pub wrong: Option<String>,
}

impl Settings {
    /// As environment variables.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("HISTORY_NAME", self.name.clone()),
            ("HISTORY_SEED", self.seed.to_string()),
            ("HISTORY_DATABASE", self.database.clone()),
            ("HISTORY_BROKERS", self.brokers.clone()),
            ("HISTORY_REGISTRY", self.registry.clone()),
            ("HISTORY_BEGAN", self.began.to_string()),
            ("HISTORY_WRITE_UNTIL", self.write_until.to_string()),
            ("HISTORY_JOURNALS", self.journals.clone()),
        ];
        variables.extend(self.wrong.clone().map(|wrong| ("HISTORY_WRONG", wrong)));
        variables
    }

    /// From environment variables.
    pub fn from_environment() -> Result<Self> {
        let get = |name: &str| {
            std::env::var(name).with_context(|| format!("{name} is not set: `history` starts its processes"))
        };
        Ok(Self {
            name: get("HISTORY_NAME")?,
            seed: get("HISTORY_SEED")?.parse()?,
            database: get("HISTORY_DATABASE")?,
            brokers: get("HISTORY_BROKERS")?,
            registry: get("HISTORY_REGISTRY")?,
            began: get("HISTORY_BEGAN")?.parse()?,
            write_until: get("HISTORY_WRITE_UNTIL")?.parse()?,
            journals: get("HISTORY_JOURNALS")?,
            wrong: get("HISTORY_WRONG").ok(),
        })
    }

    /// How it reaches Kafka.
    pub fn kafka(&self) -> KafkaSettings {
        KafkaSettings::new(&self.brokers)
    }

    /// The run's time.
    pub fn timeline(&self) -> Timeline {
        Timeline::since(self.began)
    }

    /// Whether writers go on.
    pub fn writes(&self) -> bool {
        Clock::system().now() < self.write_until
    }
}
