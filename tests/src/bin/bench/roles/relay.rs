//! A relay and nothing else, so that the process's memory and time are the relay's.

use anyhow::Result;
use eventing::Relay;
use serde_json::json;

use super::{Place, found, ready, runtime, until_told_to_end};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[arg(long)]
    prefix: String,
}

impl Arguments {
    pub(super) fn run(self, place: &Place) -> Result<()> {
        let runtime = runtime("relay")?;
        let relay = runtime.block_on(async {
            let pool = place.pool(2).await?;
            let outbox = place.outbox(&pool).await?;
            anyhow::Ok(Relay::new(pool, place.kafka(&self.prefix), &outbox))
        })?;
        ready()?;
        runtime.block_on(relay.run(until_told_to_end()))?;
        found(&json!({}))
    }
}
