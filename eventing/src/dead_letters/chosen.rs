//! Reads single letters from their topic, many one after the other.

use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::{mpsc, oneshot};

use super::id::LetterId;
use super::letter::Letter;
use super::topic;
use crate::KafkaSettings;
use crate::consumer::record::Record;

/// How long Kafka may say nothing about a letter.
const PATIENCE: Duration = Duration::from_secs(30);

/// The most that is read at once.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// Letters that lie further ahead are jumped to rather than read up to.
const MAX_SKIPPED: i64 = 1_000;

type Answer = KafkaResult<Vec<(LetterId, Option<Letter>)>>;

/// Reads letters in the order in which they are asked for; quickly if that is the topic's.
#[derive(Clone, Debug)]
pub(crate) struct Letters(mpsc::Sender<(Vec<LetterId>, oneshot::Sender<Answer>)>);

impl Letters {
    /// Of this dead-letter topic. Dropping it ends the reading.
    pub(crate) fn of(kafka: &KafkaSettings, dead_letter_topic: &str) -> Self {
        let (asking, mut asked) = mpsc::channel::<(Vec<LetterId>, oneshot::Sender<Answer>)>(1);
        let (kafka, topic) = (kafka.clone(), dead_letter_topic.to_owned());
        tokio::task::spawn_blocking(move || {
            let mut reader = None;
            while let Some((ids, answer)) = asked.blocking_recv() {
                let read = read(&mut reader, &kafka, &topic, &ids);
                if read.is_err() {
                    reader = None;
                }
                // Whoever asked may be gone.
                let _ = answer.send(read);
            }
        });
        Self(asking)
    }

    /// The first of these letters, as many as may be held in memory, at least one; none in place of one that is not on the topic
    /// any more.
    pub(crate) async fn read(&self, ids: Vec<LetterId>) -> Answer {
        let (answer, answered) = oneshot::channel();
        let asked = self.0.send((ids, answer)).await;
        asked.map_err(|_| KafkaError::Canceled)?;
        answered.await.unwrap_or(Err(KafkaError::Canceled))
    }
}

struct Reader {
    consumer: BaseConsumer,
    topic: String,
    /// What is read next.
    at: Option<LetterId>,
}

fn read(reader: &mut Option<Reader>, kafka: &KafkaSettings, topic: &str, ids: &[LetterId]) -> Answer {
    let reader = match reader {
        Some(reader) => reader,
        None => reader.insert(Reader {
            consumer: topic::consumer(kafka)?,
            topic: topic.to_owned(),
            at: None,
        }),
    };
    let physical = kafka.topic(topic);
    let (mut read, mut bytes) = (Vec::with_capacity(ids.len()), 0);
    for id in ids {
        let record = reader.record(&physical, *id)?;
        bytes += record.as_ref().map_or(0, Record::bytes);
        read.push((*id, record.map(Letter::new)));
        if bytes >= MAX_BYTES {
            break;
        }
    }
    Ok(read)
}

impl Reader {
    fn record(&mut self, physical: &str, id: LetterId) -> KafkaResult<Option<Record>> {
        let is_near = self.at.is_some_and(|at| {
            at.partition == id.partition && (0..=MAX_SKIPPED).contains(&(id.offset - at.offset))
        });
        if !is_near {
            let (low, high) = self.consumer.fetch_watermarks(physical, id.partition, PATIENCE)?;
            if !(low..high).contains(&id.offset) {
                return Ok(None);
            }
            let mut assignment = TopicPartitionList::new();
            assignment.add_partition_offset(physical, id.partition, Offset::Offset(id.offset))?;
            self.consumer.assign(&assignment)?;
            self.at = Some(id);
        }
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let offset = message.offset();
                    let record = Record::copy(&message, self.topic.clone(), 0);
                    self.at = Some(LetterId {
                        partition: id.partition,
                        offset: offset + 1,
                    });
                    if offset >= id.offset {
                        if offset > id.offset {
                            // It was read past the letter, so the next one is to be jumped to.
                            self.at = None;
                        }
                        return Ok((offset == id.offset).then_some(record));
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.at = None;
                    return Ok(None);
                }
                Some(Err(error)) if topic::is_fatal(&error) => return Err(error),
                Some(Err(_)) | None => {}
            }
        }
        Err(KafkaError::MessageConsumption(
            RDKafkaErrorCode::OperationTimedOut,
        ))
    }
}
