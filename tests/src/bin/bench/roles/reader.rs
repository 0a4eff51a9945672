//! Who waits for the records: another process, which notes when it sees each.

use std::time::Duration;

use anyhow::Result;
use eventing::Clock;
use eventing::headers::{CloudEvent, RecordHeaders};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use schemas::catalogue::PAYMENTS;
use serde_json::{Value, json};

use super::{Place, found, ready, until_told_to_end};
use crate::stand::PARTITIONS;

const POLL: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[arg(long)]
    prefix: String,
}

impl Arguments {
    pub(super) fn run(self, place: &Place) -> Result<()> {
        let kafka = place.kafka(&self.prefix);
        let consumer: BaseConsumer = kafka
            .client("bench-reader")
            .set("group.id", "bench-reader")
            .set("enable.auto.commit", "false")
            .create()?;
        let mut assignment = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            assignment.add_partition_offset(&kafka.topic(PAYMENTS.name), partition, Offset::Beginning)?;
        }
        consumer.assign(&assignment)?;
        // Nothing is there yet; its fetchers get on their way.
        consumer.poll(Duration::from_secs(1));
        ready()?;
        let (told, clock) = (until_told_to_end(), Clock::system());
        let mut seen: Vec<Value> = Vec::new();
        while !told.is_cancelled() {
            let Some(message) = consumer.poll(POLL) else {
                continue;
            };
            let message = message?;
            let seen_us = clock.now().as_microsecond();
            let event = CloudEvent::from_headers(&RecordHeaders::from_kafka(message.headers())?)?;
            seen.push(json!([event.id, seen_us]));
        }
        found(&json!({ "seen": seen }))
    }
}
