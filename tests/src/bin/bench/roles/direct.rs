//! The ceiling of the latency: the same events at the same rate, without database and relay.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use eventing::Clock;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Message as _};
use schemas::DomainEvent as _;
use schemas::catalogue::PAYMENTS;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Place, found, ready, runtime};
use crate::load::events::{FLUSH, framed};
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

/// The events that are reported as delivered and may have got lost, as some do on a topic that was created just now: a report without an
/// offset confirms nothing. One that is reported as failed is none of them, and is waited for in vain.
#[derive(Clone, Default)]
struct Unconfirmed(Arc<Mutex<HashSet<Uuid>>>);

impl ClientContext for Unconfirmed {}

impl ProducerContext for Unconfirmed {
    type DeliveryOpaque = Box<Uuid>;

    fn delivery(&self, result: &DeliveryResult<'_>, event_id: Box<Uuid>) {
        if result.as_ref().is_ok_and(|message| message.offset() < 0) {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(*event_id);
        }
    }
}

impl Arguments {
    pub(super) fn run(self, place: &Place) -> Result<()> {
        let runtime = runtime("direct")?;
        let kafka = place.kafka(&self.prefix);
        let topic = kafka.topic(PAYMENTS.name).into_owned();
        let unconfirmed = Unconfirmed::default();
        let config = kafka.producer("bench-direct");
        let producer = ThreadedProducer::from_config_and_context(&config, unconfirmed.clone())?;
        let producer = Arc::new(producer);
        ready()?;
        let even = Pace {
            rate: Some(self.rate),
            lasting: Duration::from_secs(self.seconds),
            clients: 16,
        };
        let clock = Clock::system();
        let sending = Arc::clone(&producer);
        let mut sent = runtime.block_on(at_pace(even, move || {
            let sent = send(&sending, &topic, &clock);
            async move { sent }
        }))?;
        producer
            .flush(FLUSH)
            .context("the events do not reach the broker")?;
        let unconfirmed = unconfirmed.0.lock().unwrap_or_else(PoisonError::into_inner);
        sent.retain(|(event_id, _)| !unconfirmed.contains(event_id));
        let commits: Vec<Value> = sent.into_iter().map(|(_, commit)| commit).collect();
        found(&json!({ "commits": commits }))
    }
}

/// Sends an event, and answers its id and when.
fn send(producer: &ThreadedProducer<Unconfirmed>, topic: &str, clock: &Clock) -> Result<(Uuid, Value)> {
    let event = purchases::event(clock)?;
    let event_id = event.event_id.uuid();
    let payload = framed(&event)?;
    let key = event.aggregate_key();
    let record = BaseRecord::with_opaque_to(topic, Box::new(event_id))
        .key(key.as_bytes())
        .payload(&payload)
        .headers(purchases::headers(&event).to_kafka());
    let sent_us = clock.now().as_microsecond();
    producer.send(record).map_err(|(error, _)| error)?;
    Ok((event_id, json!([event_id, sent_us, sent_us])))
}
