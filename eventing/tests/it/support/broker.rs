//! Topics of one test's own, and what is on them.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use eventing::KafkaSettings;
use eventing::headers::RecordHeaders;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use uuid::Uuid;

use super::{DEADLINE, address};

const PARTITIONS: i32 = 3;
pub(crate) const PARTITION_COUNT: usize = PARTITIONS as usize;

/// A record as it lies on a topic.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) key: String,
    pub(crate) value: Vec<u8>,
    pub(crate) headers: RecordHeaders,
    /// As they are, which need not be text, nor be there.
    pub(crate) raw_key: Option<Vec<u8>>,
    pub(crate) raw_value: Option<Vec<u8>>,
}

impl Record {
    /// The event's number within its aggregate, as the header says.
    pub(crate) fn sequence(&self) -> i64 {
        self.headers.text("ce_sequence").unwrap().parse().unwrap()
    }
}

/// Settings under which all topics are this test's own.
pub(crate) fn settings() -> KafkaSettings {
    let mut settings = KafkaSettings::new(address("TEST_KAFKA_BROKERS"));
    settings.topic_prefix = format!("test-{}.", Uuid::new_v4().simple());
    settings
}

/// Creates a topic and waits until every broker knows it.
pub(crate) async fn create_topic(kafka: &KafkaSettings, name: &str, config: &[(&str, &str)]) {
    let name = kafka.topic(name);
    let admin: AdminClient<DefaultClientContext> = kafka.client("test-admin").create().unwrap();
    let mut topic = NewTopic::new(&name, PARTITIONS, TopicReplication::Fixed(1));
    for (key, value) in config {
        topic = topic.set(key, value);
    }
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
    for created in admin.create_topics([&topic], &options).await.unwrap() {
        created.unwrap();
    }
}

/// Deletes all records that a topic holds now.
pub(crate) async fn delete_records(kafka: &KafkaSettings, name: &str) {
    let admin: AdminClient<DefaultClientContext> = kafka.client("test-admin").create().unwrap();
    let mut all = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        all.add_partition_offset(&kafka.topic(name), partition, Offset::End)
            .unwrap();
    }
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
    let deleted = admin.delete_records(&all, &options).await.unwrap();
    for partition in deleted.elements() {
        partition.error().unwrap();
    }
}

/// Reads a topic from its beginning until it holds `count` records, and then what else is there.
pub(crate) async fn read_topic(kafka: &KafkaSettings, name: &str, count: usize) -> Vec<Record> {
    let (kafka, name) = (kafka.clone(), name.to_owned());
    tokio::task::spawn_blocking(move || read_blocking(&kafka, &name, count))
        .await
        .unwrap()
}

fn read_blocking(kafka: &KafkaSettings, name: &str, count: usize) -> Vec<Record> {
    let mut config = kafka.client("test-reader");
    config
        .set("group.id", "unused")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut assignment = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        assignment
            .add_partition_offset(&kafka.topic(name), partition, Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&assignment).unwrap();

    let began = Instant::now();
    let mut records = Vec::new();
    let mut at_end = HashSet::new();
    while records.len() < count || at_end.len() < PARTITION_COUNT {
        assert!(
            began.elapsed() < DEADLINE,
            "{} of {count} records came in {DEADLINE:?}",
            records.len()
        );
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Ok(message)) => {
                at_end.remove(&message.partition());
                records.push(Record {
                    key: String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned(),
                    value: message.payload().unwrap_or_default().to_vec(),
                    headers: RecordHeaders::from_kafka(message.headers()).unwrap(),
                    raw_key: message.key().map(<[u8]>::to_vec),
                    raw_value: message.payload().map(<[u8]>::to_vec),
                });
            }
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(partition))) => {
                at_end.insert(partition);
            }
            Some(Err(error)) => panic!("reading {name}: {error}"),
        }
    }
    records
}

/// The first occurrences of each key's sequences, in the order in which they lie on the topic.
pub(crate) fn first_occurrences(records: &[Record]) -> HashMap<String, Vec<i64>> {
    let mut sequences: HashMap<String, Vec<i64>> = HashMap::new();
    for record in records {
        let seen = sequences.entry(record.key.clone()).or_default();
        if !seen.contains(&record.sequence()) {
            seen.push(record.sequence());
        }
    }
    sequences
}

/// Fails unless every key's first occurrences are 1, 2, 3, … without a gap.
pub(crate) fn assert_in_order_without_gap(records: &[Record]) {
    for (key, sequences) in first_occurrences(records) {
        let expected: Vec<i64> = (1..).take(sequences.len()).collect();
        assert_eq!(sequences, expected, "first occurrences of {key}");
    }
}
