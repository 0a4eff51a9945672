//! One producer, and what became of the records given to it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer,
};
use rdkafka::{ClientConfig, ClientContext};
use tokio::sync::Notify;

use super::rows::Row;
use super::topics;
use crate::{KafkaSettings, headers};

/// Rows are handed over in a loop that does not wait; after so many, other tasks get their turn.
const YIELD_EVERY: usize = 256;

/// A producer that sends one batch at a time.
///
/// It is idempotent and gapless: an error that could leave a gap behind it stops it for good. After any failure it must be
/// [discarded](Publisher::discard); what it still has under way can then only arrive as a duplicate.
pub(super) struct Publisher {
    producer: ThreadedProducer<Deliveries>,
    deliveries: Deliveries,
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

/// Collects delivery reports; they come on the producer's own thread.
#[derive(Clone)]
struct Deliveries(Arc<Pending>);

struct Pending {
    /// Records without a report, plus one while records are still being handed over.
    outstanding: AtomicUsize,
    reports: Mutex<Vec<(usize, Option<RDKafkaErrorCode>)>>,
    settled: Notify,
    last_error: Mutex<Option<String>>,
}

impl Publisher {
    pub(super) fn new(config: &ClientConfig, kafka: &KafkaSettings) -> KafkaResult<Self> {
        let deliveries = Deliveries(Arc::new(Pending {
            outstanding: AtomicUsize::new(0),
            reports: Mutex::default(),
            settled: Notify::new(),
            last_error: Mutex::default(),
        }));
        let producer = ThreadedProducer::from_config_and_context(config, deliveries.clone())?;
        Ok(Self {
            producer,
            deliveries,
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
        let pending = &*self.deliveries.0;
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
        let record = BaseRecord::with_opaque_to(&topic, index)
            .key(row.key.as_bytes())
            .payload(&row.payload)
            .headers(headers);
        self.deliveries.0.outstanding.fetch_add(1, Ordering::AcqRel);
        self.producer.send(record).map_err(|(error, _)| {
            self.deliveries.0.report_one();
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
        let pending = &*self.deliveries.0;
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
        let reports = std::mem::take(&mut *lock(&self.deliveries.0.reports));
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
        self.producer
            .client()
            .fatal_error()
            .map(|(code, text)| format!("{code}: {text}"))
    }

    /// The last thing that the client complained about, which is why a batch does not settle.
    pub(super) fn last_error(&self) -> Option<String> {
        lock(&self.deliveries.0.last_error).clone()
    }

    /// Asks the brokers whether a topic exists.
    pub(super) async fn topic_exists(&self, topic: &str) -> KafkaResult<bool> {
        let topic = self.kafka.topic(topic).into_owned();
        let producer = self.producer.clone();
        let answer = tokio::task::spawn_blocking(move || topics::exists(producer.client(), &topic)).await;
        answer.unwrap_or(Err(KafkaError::MetadataFetch(RDKafkaErrorCode::Fail)))
    }

    /// Throws away what is under way and ends the producer. Returns once it sends nothing any more.
    pub(super) async fn discard(self) {
        let discard = move || {
            self.producer.purge(PurgeConfig::default().queue().inflight());
            drop(self);
        };
        // It joins a thread and waits for its last reports: some 100 ms of blocking.
        let _ = tokio::task::spawn_blocking(discard).await;
    }
}

enum HandOverError {
    Refused(String),
    Failed(KafkaError),
}

impl Pending {
    fn report_one(&self) {
        if self.outstanding.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.settled.notify_one();
        }
    }
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the relay's producer complains");
        *lock(&self.0.last_error) = Some(reason.to_owned());
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, index: usize) {
        let error = result
            .as_ref()
            .err()
            .map(|(error, _)| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown));
        lock(&self.0.reports).push((index, error));
        self.0.report_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
