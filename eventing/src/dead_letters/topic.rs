//! Reads the records of a topic that are there now.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::mpsc;

use crate::KafkaSettings;
use crate::consumer::record::Record;

/// How long Kafka may say nothing before the reading fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// Records that are read ahead of whoever asked for them.
const AHEAD: usize = 200;

/// All records of a topic, in each partition in their order, until the end that each partition has when it is reached.
/// Dropping the receiver ends the reading.
pub(crate) fn records(kafka: &KafkaSettings, topic: &str) -> mpsc::Receiver<KafkaResult<Record>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let (kafka, topic) = (kafka.clone(), topic.to_owned());
    tokio::task::spawn_blocking(move || {
        if let Err(error) = read_all(&kafka, &topic, &sender) {
            // Nobody waits for it any more, or it is told.
            let _ = sender.blocking_send(Err(error));
        }
    });
    receiver
}

/// One record of a topic; none when it is not there any more.
pub(crate) async fn record(
    kafka: &KafkaSettings,
    topic: &str,
    partition: i32,
    offset: i64,
) -> KafkaResult<Option<Record>> {
    let (kafka, topic) = (kafka.clone(), topic.to_owned());
    tokio::task::spawn_blocking(move || read_one(&kafka, &topic, partition, offset))
        .await
        .unwrap_or(Err(KafkaError::Canceled))
}

fn read_all(
    kafka: &KafkaSettings,
    topic: &str,
    sender: &mpsc::Sender<KafkaResult<Record>>,
) -> KafkaResult<()> {
    let physical = kafka.topic(topic);
    let consumer = consumer(kafka)?;
    let metadata = consumer.fetch_metadata(Some(&physical), PATIENCE)?;
    let partitions: Vec<i32> = metadata
        .topics()
        .iter()
        .flat_map(|topic| {
            topic
                .partitions()
                .iter()
                .map(rdkafka::metadata::MetadataPartition::id)
        })
        .collect();
    if partitions.is_empty() {
        return Err(KafkaError::MetadataFetch(
            RDKafkaErrorCode::UnknownTopicOrPartition,
        ));
    }
    let mut assignment = TopicPartitionList::new();
    for partition in &partitions {
        assignment.add_partition_offset(&physical, *partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;

    let mut open: HashSet<i32> = partitions.into_iter().collect();
    let mut heard = Instant::now();
    while !open.is_empty() {
        match consumer.poll(Duration::from_millis(100)) {
            None if heard.elapsed() > PATIENCE => {
                return Err(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::OperationTimedOut,
                ));
            }
            Some(Ok(message)) => {
                if open.contains(&message.partition())
                    && sender
                        .blocking_send(Ok(Record::copy(&message, topic, 0)))
                        .is_err()
                {
                    return Ok(());
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(error)) if is_fatal(&error) => return Err(error),
            // Kafka's client connects again by itself.
            None | Some(Err(_)) => continue,
        }
        heard = Instant::now();
    }
    Ok(())
}

fn read_one(kafka: &KafkaSettings, topic: &str, partition: i32, offset: i64) -> KafkaResult<Option<Record>> {
    let physical = kafka.topic(topic);
    let consumer = consumer(kafka)?;
    let (low, high) = consumer.fetch_watermarks(&physical, partition, PATIENCE)?;
    if !(low..high).contains(&offset) {
        return Ok(None);
    }
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(&physical, partition, Offset::Offset(offset))?;
    consumer.assign(&assignment)?;
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let found = message.offset() == offset;
                return Ok(found.then(|| Record::copy(&message, topic, 0)));
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(None),
            Some(Err(error)) if is_fatal(&error) => return Err(error),
            Some(Err(_)) | None => {}
        }
    }
    Err(KafkaError::MessageConsumption(
        RDKafkaErrorCode::OperationTimedOut,
    ))
}

fn is_fatal(error: &KafkaError) -> bool {
    matches!(
        error,
        KafkaError::MessageConsumptionFatal(_)
            | KafkaError::MessageConsumption(
                RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::UnknownTopic
                    | RDKafkaErrorCode::TopicAuthorizationFailed
            )
    )
}

fn consumer(kafka: &KafkaSettings) -> KafkaResult<BaseConsumer> {
    let mut config = kafka.client("dead-letters");
    config
        // Kafka's client wants one; nothing is committed under it, and no group is joined.
        .set("group.id", kafka.topic("dead-letters-reader").as_ref())
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("allow.auto.create.topics", "false")
        .create()
}
