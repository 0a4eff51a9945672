//! The ceiling of the drain: the same records from memory, by a bare producer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rdkafka::ClientContext;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, ProducerContext, ThreadedProducer};
use schemas::catalogue::PAYMENTS;
use serde_json::json;

use super::{Place, found, ready};
use crate::load::records::{Record, record};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[arg(long)]
    records: u64,
    #[arg(long)]
    prefix: String,
}

#[derive(Debug, Default)]
struct Counts {
    acknowledged: AtomicU64,
    failed: AtomicU64,
}

#[derive(Clone)]
struct Counting(Arc<Counts>);

impl ClientContext for Counting {}

impl ProducerContext for Counting {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let count = if result.is_ok() {
            &self.0.acknowledged
        } else {
            &self.0.failed
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Arguments {
    pub(super) fn run(self, place: &Place) -> Result<()> {
        let kafka = place.kafka(&self.prefix);
        let topic = kafka.topic(PAYMENTS.name).into_owned();
        let mut config = kafka.producer("bench-producer");
        // What suits a producer that has everything at hand: it batches, and its queue is never the limit.
        config
            .set("linger.ms", "5")
            .set("queue.buffering.max.messages", "500000")
            .set("queue.buffering.max.kbytes", "1048576");
        let counts = Arc::new(Counts::default());
        let producer = ThreadedProducer::from_config_and_context(&config, Counting(Arc::clone(&counts)))?;
        let records: Vec<Record> = (0..self.records).map(record).collect();
        ready()?;
        let begun = Instant::now();
        for record in &records {
            send(&producer, &topic, record)?;
        }
        let reported = || counts.acknowledged.load(Ordering::Relaxed) + counts.failed.load(Ordering::Relaxed);
        while reported() < self.records {
            std::thread::sleep(Duration::from_millis(1));
        }
        let seconds = begun.elapsed().as_secs_f64();
        ensure!(
            counts.failed.load(Ordering::Relaxed) == 0,
            "the broker refused records of the ceiling"
        );
        found(&json!({ "seconds": seconds }))
    }
}

fn send(producer: &ThreadedProducer<Counting>, topic: &str, record: &Record) -> Result<()> {
    let headers = record
        .headers
        .iter()
        .fold(OwnedHeaders::new_with_capacity(6), |headers, (key, value)| {
            headers.insert(Header {
                key,
                value: Some(value.as_bytes()),
            })
        });
    let mut outgoing = BaseRecord::to(topic)
        .key(record.key.as_bytes())
        .payload(&record.payload)
        .headers(headers);
    while let Err((error, back)) = producer.send(outgoing) {
        ensure!(
            error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull),
            error
        );
        outgoing = back;
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
