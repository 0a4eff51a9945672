//! The ceiling of the latency: the same events at the same rate, without database and relay.

use std::time::Duration;

use anyhow::Result;
use eventing::Clock;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, ThreadedProducer};
use schemas::DomainEvent as _;
use schemas::catalogue::PAYMENTS;
use serde_json::{Value, json};

use super::{Place, found, ready, runtime};
use crate::load::events::framed;
use crate::load::pace::{Pace, at_pace};
use crate::load::purchases;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[arg(long)]
    rate: u32,
    #[arg(long)]
    seconds: u64,
    #[arg(long)]
    prefix: String,
}

impl Arguments {
    pub(super) fn run(self, place: &Place) -> Result<()> {
        let runtime = runtime("direct")?;
        let kafka = place.kafka(&self.prefix);
        let topic = kafka.topic(PAYMENTS.name).into_owned();
        let producer: ThreadedProducer<DefaultProducerContext> = kafka.producer("bench-direct").create()?;
        ready()?;
        let even = Pace {
            rate: Some(self.rate),
            lasting: Duration::from_secs(self.seconds),
            clients: 16,
        };
        let clock = Clock::system();
        let sent = runtime.block_on(at_pace(even, move || {
            let sent = send(&producer, &topic, &clock);
            async move { sent }
        }))?;
        found(&json!({ "commits": sent }))
    }
}

/// Sends an event, and answers its id and when.
fn send(producer: &ThreadedProducer<DefaultProducerContext>, topic: &str, clock: &Clock) -> Result<Value> {
    let event = purchases::event(clock)?;
    let payload = framed(&event)?;
    let key = event.aggregate_key();
    let record = BaseRecord::to(topic)
        .key(key.as_bytes())
        .payload(&payload)
        .headers(purchases::headers(&event).to_kafka());
    let sent_us = clock.now().as_microsecond();
    producer.send(record).map_err(|(error, _)| error)?;
    Ok(json!([event.event_id.uuid(), sent_us, sent_us]))
}
