//! A lane's way to Kafka: hands a batch over to a producer, and learns what became of it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer as _};

use super::producers::{Pending, Producer, Producers, let_go, opaque};
use super::rows::Row;
use super::topics;
use crate::outbox::Lane;
use crate::{KafkaSettings, headers};

/// Rows are handed over in a loop that does not wait; after so many, other tasks get their turn.
const YIELD_EVERY: usize = 256;

/// Sends one batch of a lane at a time. After any failure it must be [discarded](Publisher::discard); what it still has under
/// way can then only arrive as a duplicate.
pub(super) struct Publisher {
    producer: Arc<Producer>,
    /// No other lane uses the producer.
    pub(super) is_alone: bool,
    lane: Lane,
    pending: Arc<Pending>,
    kafka: KafkaSettings,
}

/// What became of a batch. Rows that are in neither list are unresolved.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Indexes of rows that the broker acknowledged.
    pub(super) published: Vec<usize>,
    /// Indexes of rows that failed, and why, in the order of the reports.
    pub(super) failed: Vec<(usize, RDKafkaErrorCode)>,
}

/// A row that no broker was asked about, because it cannot be sent.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) index: usize,
    pub(super) reason: String,
}

impl Publisher {
    /// For a lane, with the producer that the lanes share or with one of its own.
    pub(super) fn new(
        producers: &Producers,
        kafka: &KafkaSettings,
        lane: Lane,
        is_alone: bool,
    ) -> KafkaResult<Self> {
        let producer = if is_alone {
            producers.another()
        } else {
            producers.shared()
        }?;
        Ok(Self {
            pending: producer.pending(lane),
            producer,
            is_alone,
            lane,
            kafka: kafka.clone(),
        })
    }

    /// Hands the rows over, except those behind a refused one of the same aggregate. Wait for [`Publisher::settled`] next.
    pub(super) async fn send(
        &self,
        rows: &[Row],
        mut refused: Vec<Refusal>,
    ) -> Result<Vec<Refusal>, KafkaError> {
        let mut blocked: HashSet<(&str, &str)> = refused
            .iter()
            .filter_map(|refusal| rows.get(refusal.index))
            .map(Row::aggregate)
            .collect();
        // Held until all are handed over: see `producers`.
        let is_open = self.producer.is_open.read().await;
        if !*is_open {
            return Err(KafkaError::MessageProduction(RDKafkaErrorCode::PurgeQueue));
        }
        let pending = &*self.pending;
        pending.reports().clear();
        pending.outstanding.store(1, Ordering::Release);
        let mut outcome = Ok(());
        for (index, row) in rows.iter().enumerate() {
            if !blocked.is_empty() && blocked.contains(&row.aggregate()) {
                continue;
            }
            match self.hand_over(index, row) {
                Ok(()) => {}
                Err(HandOverError::Refused(reason)) => {
                    blocked.insert(row.aggregate());
                    refused.push(Refusal { index, reason });
                }
                Err(HandOverError::Failed(error)) => {
                    outcome = Err(error);
                    break;
                }
            }
            if index % YIELD_EVERY == YIELD_EVERY - 1 {
                tokio::task::yield_now().await;
            }
        }
        pending.report_one();
        outcome.map(|()| refused)
    }

    fn hand_over(&self, index: usize, row: &Row) -> Result<(), HandOverError> {
        let headers = headers::stored_to_kafka(&row.headers)
            .map_err(|error| HandOverError::Refused(format!("its headers cannot be read: {error}")))?;
        let topic = self.kafka.topic(&row.topic);
        let record = BaseRecord::with_opaque_to(&topic, opaque(self.lane, index))
            .key(row.key.as_bytes())
            .payload(&row.payload)
            .headers(headers);
        self.pending.outstanding.fetch_add(1, Ordering::AcqRel);
        self.producer.client.send(record).map_err(|(error, _)| {
            self.pending.report_one();
            match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => HandOverError::Refused(format!(
                    "too large: {} bytes are more than this service may produce",
                    row.payload.len()
                )),
                _ => HandOverError::Failed(error),
            }
        })
    }

    /// Waits until every record of the batch has been reported.
    pub(super) async fn settled(&self) {
        let pending = &*self.pending;
        loop {
            let settled = pending.settled.notified();
            if pending.outstanding.load(Ordering::Acquire) == 0 {
                return;
            }
            settled.await;
        }
    }

    /// Takes the reports that have come for the batch.
    pub(super) fn take_report(&self) -> Report {
        let reports = std::mem::take(&mut *self.pending.reports());
        reports
            .into_iter()
            .fold(Report::default(), |mut report, (index, error)| {
                match error {
                    None => report.published.push(index),
                    Some(code) => report.failed.push((index, code)),
                }
                report
            })
    }

    /// The error that has stopped this producer for good, if one has.
    pub(super) fn fatal_error(&self) -> Option<String> {
        let client = self.producer.client.client();
        client.fatal_error().map(|(code, text)| format!("{code}: {text}"))
    }

    /// The last thing that the client complained about, which is why a batch does not settle.
    pub(super) fn last_error(&self) -> Option<String> {
        self.producer.last_error()
    }

    /// Asks the brokers whether a topic exists.
    pub(super) async fn topic_exists(&self, topic: &str) -> KafkaResult<bool> {
        let topic = self.kafka.topic(topic).into_owned();
        let client = self.producer.client.clone();
        let answer = tokio::task::spawn_blocking(move || topics::exists(client.client(), &topic)).await;
        answer.unwrap_or(Err(KafkaError::MetadataFetch(RDKafkaErrorCode::Fail)))
    }

    /// Whether all that was handed over is settled, and more could be.
    fn is_sound(&self) -> bool {
        self.pending.outstanding.load(Ordering::Acquire) == 0 && self.fatal_error().is_none()
    }

    /// Lets the producer go, if the others can go on with it.
    pub(super) async fn close(self, producers: &Producers) {
        if self.is_sound() {
            let_go(self.producer).await;
        } else {
            self.discard(producers).await;
        }
    }

    /// Throws away what the producer has under way, the other lanes' too. Returns once it is sent no more.
    pub(super) async fn discard(self, producers: &Producers) {
        producers.discard(self.producer).await;
    }
}

enum HandOverError {
    Refused(String),
    Failed(KafkaError),
}
