//! Records on the topic that no relay wrote and that are no events. Each has to become one dead letter of each group, and to hold
//! nothing back: most have the key of an aggregate that is being written just then.

use std::time::Duration;

use anyhow::{Context as _, Result};
use eventing::headers::RecordHeaders;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use schemas::catalogue::PAYMENTS;
use schemas::{DomainEvent as _, codec};

use super::consumer;
use super::model::{Kind, Stray};
use super::random::Random;
use super::stage::Stage;
use super::writer;
use crate::topics::Record;

/// The header that tells them from events, and says of which class their letters have to be.
const EXPECTED: &str = "history-stray";
/// Far beyond what a registry has given out.
const NO_SCHEMA: u32 = 2_000_000_000;
const SENT_WITHIN: Duration = Duration::from_secs(5);
const SENT_AT_ONCE: u64 = 3;

/// What is wrong with one: the classes under which such records die.
const CLASSES: [&str; 7] = [
    "not_framed",
    "no_value",
    "schema_unknown",
    "undecodable",
    "wrong_key",
    "no_key",
    "no_sequence",
];

/// Sends them, by a way that nobody cuts.
pub struct Strays {
    producer: FutureProducer,
    schema_id: u32,
    random: Random,
}

impl Strays {
    /// None sent yet.
    pub async fn new(stage: &Stage) -> Result<Self> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", stage.brokers())
            .set("enable.idempotence", "true")
            .create()?;
        Ok(Self {
            producer,
            schema_id: schema_id(stage).await?,
            random: Random::named(stage.seed(), "strays"),
        })
    }

    /// Sends a few. While a broker is down they do not come through, and that is no harm.
    pub async fn send(&mut self, stage: &Stage) {
        for _ in 0..self.random.between(1, SENT_AT_ONCE) {
            let class = self.random.pick(&CLASSES);
            let (key, value) = self.make(class, stage);
            let mut headers = RecordHeaders::new();
            headers.push(EXPECTED, class);
            let mut record = FutureRecord::<str, [u8]>::to(PAYMENTS.name).headers(headers.to_kafka());
            record.key = key.as_deref();
            record.payload = value.as_deref();
            let _ = self.producer.send(record, SENT_WITHIN).await;
        }
    }

    fn make(&mut self, class: &str, stage: &Stage) -> (Option<String>, Option<Vec<u8>>) {
        let number = writer::aggregate(stage.timeline.now() / 1000, &mut self.random);
        let event = |sequence| writer::event(stage.seed(), number, sequence);
        let framed = |sequence| {
            let body = codec::encode(&event(sequence)).expect("an event can be written");
            codec::frame(self.schema_id, &body)
        };
        let key = event(1).aggregate_key();
        match class {
            "not_framed" => (Some(key), Some(b"not an event".to_vec())),
            "no_value" => (Some(key), None),
            "schema_unknown" => (Some(key), Some(codec::frame(NO_SCHEMA, b"who knows"))),
            "undecodable" => {
                let mut cut = framed(1);
                cut.truncate(cut.len() / 2);
                (Some(key), Some(cut))
            }
            "wrong_key" => {
                let other = writer::event(stage.seed(), number + 1, 1).aggregate_key();
                (Some(other), Some(framed(1)))
            }
            "no_sequence" => (Some(key), Some(framed(0))),
            _ => (None, Some(framed(1))),
        }
    }
}

async fn schema_id(stage: &Stage) -> Result<u32> {
    let resources = consumer::resources(&stage.operator(Kind::Ordered))?;
    let id = resources
        .registry
        .id_of(&PAYMENTS.subject(), PAYMENTS.schema)
        .await
        .context("the payments' schema")?;
    resources.pool.close().await;
    Ok(id)
}

/// What a record is if it is none of the relay's.
pub fn recognise(record: &Record) -> Option<Stray> {
    Some(Stray {
        class: record.headers.get(EXPECTED)?.clone(),
        partition: record.partition,
        offset: record.offset,
    })
}
