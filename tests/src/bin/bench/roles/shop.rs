//! A service that publishes: writers, and unless told otherwise a relay, on runtimes of their own so that their threads can be
//! told apart.

use std::time::{Duration, Instant};

use anyhow::Result;
use eventing::{Clock, Outbox, Relay};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Place, found, ready, runtime, wait_for_the_end};
use crate::load::pace::{Pace, at_pace};
use crate::load::purchases::{self, Commit};
use crate::load::transitions;
use crate::usage;

/// How long its relay has before the writers begin.
const RELAY_SETTLES: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Transactions a second; as fast as it goes without.
    #[arg(long)]
    rate: Option<u32>,
    #[arg(long)]
    seconds: u64,
    #[arg(long, default_value_t = 16)]
    clients: u32,
    /// What a transaction does.
    #[arg(long, value_enum, default_value_t = Work::Purchase)]
    work: Work,
    /// Whether a purchase appends its event.
    #[arg(long, action = clap::ArgAction::Set, default_value_t = true)]
    append: bool,
    /// Whether this process relays as well.
    #[arg(long, action = clap::ArgAction::Set, default_value_t = true)]
    relay: bool,
    #[arg(long)]
    prefix: String,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Work {
    /// The gateway's transaction that creates a payment.
    Purchase,
    /// The lightest there is.
    Transition,
}

impl Arguments {
    pub(super) fn run(self, place: &Place) -> Result<()> {
        let clock = Clock::system();
        let (relaying, writing) = (runtime("relay")?, runtime("writer")?);
        let (relay, outbox) = relaying.block_on(async {
            let pool = place.pool(2).await?;
            let outbox = place.outbox(&pool).await?;
            anyhow::Ok((Relay::new(pool, place.kafka(&self.prefix), &outbox), outbox))
        })?;
        let pool = writing.block_on(place.pool(self.clients))?;
        ready()?;
        let stop = CancellationToken::new();
        let relay = self.relay.then(|| relaying.spawn(relay.run(stop.clone())));
        if relay.is_some() {
            std::thread::sleep(RELAY_SETTLES);
        }
        let (used, begun) = (relay_seconds()?, Instant::now());
        let (work, append) = (self.work, self.append);
        let committed = writing.block_on(at_pace(self.pace(), move || {
            let (pool, clock, outbox): (_, _, Outbox) = (pool.clone(), clock.clone(), outbox.clone());
            async move {
                match work {
                    Work::Purchase => purchases::purchase(&pool, &clock, append.then_some(&outbox)).await,
                    Work::Transition => transitions::transition(&pool, &clock, &outbox).await,
                }
            }
        }))?;
        let seconds = begun.elapsed().as_secs_f64();
        found(&json!({
            "seconds": seconds,
            "relay_cores": (relay_seconds()? - used) / seconds,
            "transactions": committed.len(),
            "commits": committed.iter().map(line).collect::<Vec<_>>(),
        }))?;
        // The relay goes on until everybody has seen what it sent.
        wait_for_the_end();
        stop.cancel();
        if let Some(relay) = relay {
            relaying.block_on(relay)??;
        }
        Ok(())
    }

    fn pace(&self) -> Pace {
        Pace {
            rate: self.rate,
            lasting: Duration::from_secs(self.seconds),
            clients: self.clients,
        }
    }
}

fn line(committed: &Commit) -> serde_json::Value {
    json!([committed.event_id, committed.began_us, committed.answered_us])
}

/// What the relay's threads have used: its runtime's, librdkafka's own, and the one that polls its producer.
fn relay_seconds() -> Result<f64> {
    usage::own_threads_seconds(|name| {
        name.starts_with("relay") || name.starts_with("rdk:") || name.starts_with("producer poll")
    })
}
