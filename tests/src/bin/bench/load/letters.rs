//! Dead letters, as the runtime would have written them.

use anyhow::{Context as _, Result};
use eventing::KafkaSettings;
use rdkafka::producer::{DefaultProducerContext, Producer as _, ThreadedProducer};
use schemas::DomainEvent as _;
use schemas::catalogue::PAYMENTS;

use super::events::{self, FLUSH, framed, send};
use super::purchases;

/// How many ways there are to fail.
const FINGERPRINTS: u64 = 20;

/// Puts so many letters of a group on its dead-letter topic, each of an event of its own.
pub(crate) fn produce(kafka: &KafkaSettings, group: &str, count: u64) -> Result<()> {
    let mut config = kafka.producer("bench-letters");
    config
        .set("linger.ms", "5")
        .set("queue.buffering.max.messages", "500000");
    let producer: ThreadedProducer<DefaultProducerContext> = config.create()?;
    let name = schemas::catalogue::dead_letter_topic(group);
    let topic = kafka.topic(&name);
    for number in 0..count {
        let event = events::event(number, count)?;
        let mut headers = purchases::headers(&event);
        let at = event.occurred_at.to_string();
        let failure = number % FINGERPRINTS;
        for (name, value) in [
            ("eventing-original-topic", PAYMENTS.name.to_owned()),
            ("eventing-original-partition", (number % 12).to_string()),
            ("eventing-original-offset", (number / 12).to_string()),
            ("eventing-original-timestamp", at.clone()),
            ("eventing-group", group.to_owned()),
            ("eventing-attempt", "1".to_owned()),
            ("eventing-first-failed-at", at.clone()),
            ("eventing-error-class", "handler".to_owned()),
            ("eventing-fingerprint", format!("{failure:016x}")),
            ("eventing-message", format!("failure of kind {failure}")),
            ("eventing-history", format!("1 {at} 0 handler {failure:016x}")),
        ] {
            headers.push(name, value);
        }
        send(
            &producer,
            &topic,
            &event.aggregate_key(),
            &framed(&event)?,
            headers.to_kafka(),
        )?;
    }
    producer
        .flush(FLUSH)
        .context("the letters do not reach the broker")
}
