//! Reads topics beside the group: from somewhere to the end, or one record.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::metadata::MetadataPartition;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::mpsc;

use crate::KafkaSettings;
use crate::consumer::record::Record;

/// How long Kafka may say nothing before the reading fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// Records that are read ahead of whoever asked for them. A record has up to a megabyte.
const AHEAD: usize = 32;

/// The next offset to read of each partition; a partition that is not named is read from its beginning.
pub(crate) type Positions = HashMap<i32, i64>;

/// Where a reading ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// At the end that each partition has when it is reached.
    End,
    /// When the receiver is dropped.
    Dropped,
}

/// The offsets between which a partition has records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) partition: i32,
    pub(crate) low: i64,
    pub(crate) high: i64,
}

/// The records of a topic, in each partition in their order. Dropping the receiver ends the reading.
pub(crate) fn records(
    kafka: &KafkaSettings,
    topic: &str,
    from: Positions,
    until: Until,
) -> mpsc::Receiver<KafkaResult<Record>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let (kafka, topic) = (kafka.clone(), topic.to_owned());
    tokio::task::spawn_blocking(move || {
        if let Err(error) = read_all(&kafka, &topic, &from, until, &sender) {
            // Nobody waits for it any more, or it is told.
            let _ = sender.blocking_send(Err(error));
        }
    });
    receiver
}

/// Which records the partitions of a topic have now.
pub(crate) async fn extents(kafka: &KafkaSettings, topic: &str) -> KafkaResult<Vec<Extent>> {
    let (kafka, topic) = (kafka.clone(), topic.to_owned());
    let reading = tokio::task::spawn_blocking(move || {
        let physical = kafka.topic(&topic);
        let consumer = consumer(&kafka)?;
        let extent = |partition| {
            let (low, high) = consumer.fetch_watermarks(&physical, partition, PATIENCE)?;
            Ok(Extent { partition, low, high })
        };
        partitions(&consumer, &physical)?
            .into_iter()
            .map(extent)
            .collect()
    });
    reading.await.unwrap_or(Err(KafkaError::Canceled))
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

fn partitions(consumer: &BaseConsumer, physical: &str) -> KafkaResult<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(physical), PATIENCE)?;
    let partitions: Vec<i32> = metadata
        .topics()
        .iter()
        .flat_map(|topic| topic.partitions().iter().map(MetadataPartition::id))
        .collect();
    if partitions.is_empty() {
        return Err(KafkaError::MetadataFetch(
            RDKafkaErrorCode::UnknownTopicOrPartition,
        ));
    }
    Ok(partitions)
}

fn read_all(
    kafka: &KafkaSettings,
    topic: &str,
    from: &Positions,
    until: Until,
    sender: &mpsc::Sender<KafkaResult<Record>>,
) -> KafkaResult<()> {
    let physical = kafka.topic(topic);
    let consumer = consumer(kafka)?;
    let partitions = partitions(&consumer, &physical)?;
    let mut assignment = TopicPartitionList::new();
    for partition in &partitions {
        let offset = from
            .get(partition)
            .map_or(Offset::Beginning, |next| Offset::Offset(*next));
        assignment.add_partition_offset(&physical, *partition, offset)?;
    }
    consumer.assign(&assignment)?;

    let mut open: HashSet<i32> = partitions.into_iter().collect();
    let mut heard = Instant::now();
    while !open.is_empty() && !sender.is_closed() {
        match consumer.poll(Duration::from_millis(100)) {
            None if until == Until::End && heard.elapsed() > PATIENCE => {
                return Err(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::OperationTimedOut,
                ));
            }
            Some(Ok(message)) => {
                if open.contains(&message.partition())
                    && sender
                        .blocking_send(Ok(Record::copy(&message, topic.to_owned(), 0)))
                        .is_err()
                {
                    return Ok(());
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                if until == Until::End {
                    open.remove(&partition);
                }
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
                return Ok(found.then(|| Record::copy(&message, topic.to_owned(), 0)));
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

pub(super) fn is_fatal(error: &KafkaError) -> bool {
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

pub(super) fn consumer(kafka: &KafkaSettings) -> KafkaResult<BaseConsumer> {
    let mut config = kafka.client("dead-letters");
    config
        // Kafka's client wants one; nothing is committed under it, and no group is joined.
        .set("group.id", kafka.topic("dead-letters-reader").as_ref())
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        // A position that retention has passed over is taken up at what is left.
        .set("auto.offset.reset", "earliest")
        .set("queued.max.messages.kbytes", "16384")
        .set("allow.auto.create.topics", "false")
        .create()
}
