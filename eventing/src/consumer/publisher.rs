use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};

use super::holds::{Step, Stopped};
use crate::KafkaSettings;
use crate::headers::RecordHeaders;
use crate::kafka::is_there;

/// How long an acknowledgement may take before it is said that Kafka does not answer.
const SLOW: Duration = Duration::from_secs(2);

/// Room above the largest value: keys, the original headers and ours.
const HEADER_ROOM_BYTES: usize = 128 * 1024;

/// Writes to the group's retry and dead-letter topics.
pub(crate) struct Publisher {
    kafka: KafkaSettings,
    client_id: String,
    max_record_bytes: usize,
    producer: Mutex<FutureProducer>,
}

/// What is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    /// By its name in the catalogue.
    pub(crate) topic: &'a str,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) payload: Option<&'a [u8]>,
    pub(crate) headers: &'a RecordHeaders,
}

impl Publisher {
    pub(crate) fn new(
        kafka: &KafkaSettings,
        client_id: &str,
        max_record_bytes: usize,
    ) -> Result<Self, KafkaError> {
        let producer = create(kafka, client_id, max_record_bytes)?;
        Ok(Self {
            kafka: kafka.clone(),
            client_id: client_id.to_owned(),
            max_record_bytes,
            producer: Mutex::new(producer),
        })
    }

    pub(crate) fn kafka(&self) -> &KafkaSettings {
        &self.kafka
    }

    /// Writes a record, and returns once the brokers have it. Until then it waits, however long that takes.
    pub(crate) async fn publish(&self, outgoing: Outgoing<'_>, step: &mut Step<'_>) -> Result<(), Stopped> {
        while let Err(error) = self.try_publish(outgoing, step).await? {
            self.replace_if_fatal();
            step.wait(&format!(
                "kafka does not take a record for {}: {error}",
                outgoing.topic
            ))
            .await?;
        }
        Ok(())
    }

    /// Sends once. The acknowledgement is awaited without a deadline: a record that is given up may still be written.
    async fn try_publish(
        &self,
        outgoing: Outgoing<'_>,
        step: &mut Step<'_>,
    ) -> Result<Result<(), KafkaError>, Stopped> {
        let topic = self.kafka.topic(outgoing.topic);
        let mut record = FutureRecord::<[u8], [u8]>::to(&topic).headers(outgoing.headers.to_kafka());
        record.key = outgoing.key;
        record.payload = outgoing.payload;
        let producer = self
            .producer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut delivery = match producer.send_result(record) {
            Ok(delivery) => delivery,
            Err((error, _)) => return Ok(Err(error)),
        };
        loop {
            tokio::select! {
                delivered = &mut delivery => {
                    return Ok(match delivered {
                        Ok(Ok(written)) => is_there(written.offset).map_err(KafkaError::MessageProduction),
                        Ok(Err((error, _))) => Err(error),
                        Err(_) => Err(KafkaError::Canceled),
                    });
                }
                () = step.stop().cancelled() => return Err(Stopped),
                () = tokio::time::sleep(SLOW) => {
                    step.report(&format!("kafka has not acknowledged a record for {}", outgoing.topic));
                }
            }
        }
    }

    /// An idempotent producer that met a fatal error never works again.
    fn replace_if_fatal(&self) {
        let mut producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if producer.client().fatal_error().is_some()
            && let Ok(fresh) = create(&self.kafka, &self.client_id, self.max_record_bytes)
        {
            *producer = fresh;
        }
    }
}

fn create(
    kafka: &KafkaSettings,
    client_id: &str,
    max_record_bytes: usize,
) -> Result<FutureProducer, KafkaError> {
    let mut config = kafka.producer(client_id);
    config
        // Records here are independent of each other; one that is refused must not stop the others.
        .set("enable.gapless.guarantee", "false")
        .set(
            "message.max.bytes",
            (max_record_bytes + HEADER_ROOM_BYTES).to_string(),
        )
        .create()
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}
