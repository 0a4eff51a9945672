//! Records as a subscriber sees them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use apache_avro::Schema;
use local::http::{Http, answer};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use schemas::{Event, codec};
use serde::Deserialize;

const TIMEOUT: Duration = Duration::from_secs(20);

/// A record and where it stands.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its key.
    pub key: Vec<u8>,
    /// Its bytes.
    pub payload: Vec<u8>,
    /// Its headers; of two with one name the later.
    pub headers: BTreeMap<String, String>,
}

fn consumer(brokers: &str) -> Result<BaseConsumer> {
    let consumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "system-tests-reader")
        .set("enable.auto.commit", "false")
        .create()?;
    Ok(consumer)
}

/// Every record of a topic that is there now, partition by partition.
pub fn read(brokers: &str, topic: &str) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    read_from(brokers, topic, &BTreeMap::new(), |record| records.push(record))?;
    records.sort_by_key(|record| (record.partition, record.offset));
    Ok(records)
}

/// The same, from an offset on where one is given for the partition, each record at once; a partition's in their order.
pub fn read_from(
    brokers: &str,
    topic: &str,
    offsets: &BTreeMap<i32, i64>,
    mut each: impl FnMut(Record),
) -> Result<()> {
    let consumer = consumer(brokers)?;
    let mut wanted = BTreeMap::new();
    let mut assignment = TopicPartitionList::new();
    for partition in partitions(&consumer, topic)? {
        let (low, high) = consumer.fetch_watermarks(topic, partition, TIMEOUT)?;
        let from = offsets.get(&partition).map_or(low, |offset| low.max(*offset));
        if high > from {
            wanted.insert(partition, high);
            assignment.add_partition_offset(topic, partition, Offset::Offset(from))?;
        }
    }
    consumer.assign(&assignment)?;
    let mut progress = Instant::now();
    let mut trouble = None;
    while !wanted.is_empty() {
        if progress.elapsed() > TIMEOUT {
            bail!("{topic} could not be read to its end: partitions {wanted:?} are missing ({trouble:?})");
        }
        let message = match consumer.poll(Duration::from_millis(200)) {
            None => continue,
            Some(Ok(message)) => message,
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error.into()),
            // Brokers that were just started anew come back by themselves.
            Some(Err(error)) => {
                trouble = Some(error);
                continue;
            }
        };
        progress = Instant::now();
        let Some(high) = wanted.get(&message.partition()) else {
            continue;
        };
        if message.offset() + 1 >= *high {
            wanted.remove(&message.partition());
        }
        each(Record {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().unwrap_or_default().to_vec(),
            payload: message.payload().unwrap_or_default().to_vec(),
            headers: headers(&message),
        });
    }
    Ok(())
}

fn headers(message: &impl Message) -> BTreeMap<String, String> {
    let Some(headers) = message.headers() else {
        return BTreeMap::new();
    };
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    headers
        .iter()
        .map(|header| (header.key.to_owned(), text(header.value)))
        .collect()
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Result<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
    let topic = metadata.topics().first().context("no such topic")?;
    Ok(topic
        .partitions()
        .iter()
        .map(rdkafka::metadata::MetadataPartition::id)
        .collect())
}

/// How many records a topic ever had.
pub fn count(brokers: &str, topic: &str) -> Result<i64> {
    let consumer = consumer(brokers)?;
    let mut count = 0;
    for partition in partitions(&consumer, topic)? {
        count += consumer.fetch_watermarks(topic, partition, TIMEOUT)?.1;
    }
    Ok(count)
}

/// Puts a record on a topic as any program could.
pub fn produce(brokers: &str, topic: &str, key: &[u8], payload: &[u8]) -> Result<()> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("partitioner", "murmur2_random")
        .create()?;
    producer
        .send(BaseRecord::to(topic).key(key).payload(payload))
        .map_err(|(error, _)| error)?;
    producer.flush(TIMEOUT)?;
    Ok(())
}

/// Decodes records with the schemas that they were written with, as the registry has them.
#[derive(Debug)]
pub struct Decoder {
    http: Http,
    registry: String,
    known: BTreeMap<u32, Schema>,
}

impl Decoder {
    /// A decoder that asks this registry.
    pub fn new(http: Http, registry: String) -> Self {
        Self {
            http,
            registry,
            known: BTreeMap::new(),
        }
    }

    /// The event in a record of a topic.
    pub async fn decode(&mut self, topic: &str, record: &Record) -> Result<Event> {
        #[derive(Deserialize)]
        struct Registered {
            schema: String,
        }
        let (id, body) = codec::unframe(&record.payload)?;
        if !self.known.contains_key(&id) {
            let url = format!("{}/schemas/ids/{id}", self.registry);
            let registered: Registered = answer(self.http.get(url)).await?;
            self.known.insert(id, Schema::parse_str(&registered.schema)?);
        }
        let schema = self.known.get(&id).context("a schema")?;
        Ok(codec::decode(topic, schema, body)?)
    }
}
