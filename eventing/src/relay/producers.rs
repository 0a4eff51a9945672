//! The relay's producers: one that its lanes share, and one more for each lane that is in trouble.
//!
//! They share one because its records then go out in few, large requests, which is most of what a drain costs the broker,
//! and because each producer has threads of its own, also at rest. But a record that the broker refuses stops its producer
//! for good, and with it whatever the other lanes have under way; so a lane whose record was refused goes on with a
//! producer of its own until it is past that record.
//!
//! What a newcomer gets wrong: purging a producer while another lane still hands rows over to it would let a row through
//! whose predecessor was purged. So a producer is [closed](Producer::close) before, under a lock that handing over holds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryResult, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext, Message as _};
use tokio::sync::{Notify, RwLock};

use crate::kafka::is_there;
use crate::outbox::{LANES, Lane};

/// An opaque is a row's index in its batch, and above these bits its lane.
const INDEX_BITS: u32 = u16::BITS;

/// Makes producers, and keeps the one that lanes share.
pub(super) struct Producers {
    config: ClientConfig,
    shared: Mutex<Option<Arc<Producer>>>,
}

/// One librdkafka producer, and what became of the records given to it.
///
/// It is idempotent and gapless: an error that could leave a gap behind it stops it for good.
pub(super) struct Producer {
    pub(super) client: ThreadedProducer<Deliveries>,
    deliveries: Deliveries,
    /// Whether rows may be handed over. Handing over holds the lock.
    pub(super) is_open: RwLock<bool>,
}

/// Collects delivery reports; they come on the producer's own thread.
#[derive(Clone, Default)]
pub(super) struct Deliveries(Arc<Collected>);

#[derive(Default)]
struct Collected {
    lanes: [Arc<Pending>; LANES],
    last_error: Mutex<Option<String>>,
}

/// What one lane has under way.
#[derive(Default)]
pub(super) struct Pending {
    /// Records without a report, plus one while records are still being handed over.
    pub(super) outstanding: AtomicUsize,
    reports: Mutex<Vec<(usize, Option<RDKafkaErrorCode>)>>,
    pub(super) settled: Notify,
}

impl Producers {
    pub(super) fn new(config: ClientConfig) -> Self {
        Self {
            config,
            shared: Mutex::default(),
        }
    }

    /// The producer that lanes share.
    pub(super) fn shared(&self) -> KafkaResult<Arc<Producer>> {
        let mut shared = lock(&self.shared);
        if let Some(producer) = &*shared {
            return Ok(Arc::clone(producer));
        }
        let producer = self.another()?;
        *shared = Some(Arc::clone(&producer));
        Ok(producer)
    }

    /// One that nobody else has.
    pub(super) fn another(&self) -> KafkaResult<Arc<Producer>> {
        Producer::new(&self.config).map(Arc::new)
    }

    /// Throws away what a producer has under way, for all lanes that use it. They get another one from here on.
    pub(super) async fn discard(&self, producer: Arc<Producer>) {
        {
            let mut shared = lock(&self.shared);
            if shared
                .as_ref()
                .is_some_and(|shared| Arc::ptr_eq(shared, &producer))
            {
                *shared = None;
            }
        }
        producer.close().await;
        let_go(producer).await;
    }

    /// Ends the shared producer. No lane is at work any more.
    pub(super) async fn end(&self) {
        let shared = lock(&self.shared).take();
        if let Some(producer) = shared {
            let_go(producer).await;
        }
    }
}

/// Lets go of a producer. Its last user ends it, which joins a thread and waits for the last reports: some 100 ms of blocking.
pub(super) async fn let_go(producer: Arc<Producer>) {
    let _ = tokio::task::spawn_blocking(move || drop(producer)).await;
}

impl Producer {
    fn new(config: &ClientConfig) -> KafkaResult<Self> {
        let deliveries = Deliveries::default();
        Ok(Self {
            client: ThreadedProducer::from_config_and_context(config, deliveries.clone())?,
            deliveries,
            is_open: RwLock::new(true),
        })
    }

    /// Takes no more rows, and purges those that are under way: they are reported as failed.
    async fn close(self: &Arc<Self>) {
        *self.is_open.write().await = false;
        let this = Arc::clone(self);
        // It waits for librdkafka's threads.
        let purge = move || {
            this.client.purge(PurgeConfig::default().queue().inflight());
            this
        };
        if let Ok(this) = tokio::task::spawn_blocking(purge).await {
            drop(this);
        }
    }

    /// What a lane has under way here.
    pub(super) fn pending(&self, lane: Lane) -> Arc<Pending> {
        let pending = self.deliveries.0.lanes.get(lane.index());
        pending.map(Arc::clone).unwrap_or_default()
    }

    /// The last thing that the client complained about.
    pub(super) fn last_error(&self) -> Option<String> {
        lock(&self.deliveries.0.last_error).clone()
    }
}

impl Pending {
    pub(super) fn report_one(&self) {
        if self.outstanding.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.settled.notify_one();
        }
    }

    pub(super) fn reports(&self) -> MutexGuard<'_, Vec<(usize, Option<RDKafkaErrorCode>)>> {
        lock(&self.reports)
    }
}

/// What a record's report is known by.
pub(super) fn opaque(lane: Lane, index: usize) -> usize {
    debug_assert!(index >> INDEX_BITS == 0, "a batch has at most u16::MAX rows");
    lane.index() << INDEX_BITS | index
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the relay's producer complains");
        *lock(&self.0.last_error) = Some(reason.to_owned());
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        let error = match result {
            Ok(message) => is_there(message.offset()).err(),
            Err((error, _)) => Some(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown)),
        };
        let index = opaque & ((1 << INDEX_BITS) - 1);
        if let Some(pending) = self.0.lanes.get(opaque >> INDEX_BITS) {
            pending.reports().push((index, error));
            pending.report_one();
        }
    }
}

impl std::fmt::Debug for Producers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producers").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseRecord, DefaultProducerContext};
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;
    use crate::KafkaSettings;

    /// A broker that refuses the first of two batches, which are under way at once, for it does not lead the partition, and takes
    /// the second.
    struct Refusing(MockCluster<'static, DefaultProducerContext>);

    impl Refusing {
        fn new() -> Self {
            let cluster = MockCluster::new(1).unwrap();
            cluster.create_topic("events", 1, 1).unwrap();
            cluster
                .broker_round_trip_time(1, Duration::from_millis(200))
                .unwrap();
            let errors = [
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR,
            ];
            cluster.request_errors(RDKafkaApiKey::Produce, &errors);
            Self(cluster)
        }

        fn producer(&self) -> ClientConfig {
            let mut config = KafkaSettings::new(self.0.bootstrap_servers()).producer("test");
            // So that two records are two batches.
            config.set("batch.num.messages", "1");
            config
        }

        fn records(&self) -> i64 {
            let consumer: BaseConsumer = self.producer().create().unwrap();
            let (_, end) = consumer
                .fetch_watermarks("events", 0, Duration::from_secs(10))
                .unwrap();
            end
        }
    }

    fn send<C: ProducerContext<DeliveryOpaque = usize>>(client: &ThreadedProducer<C>, opaque: usize) {
        let record = BaseRecord::with_opaque_to("events", opaque);
        client.send(record.key("key").payload("event")).unwrap();
    }

    #[tokio::test]
    async fn a_record_that_a_later_one_vouches_for_is_not_published() {
        let broker = Refusing::new();
        let producer = Producers::new(broker.producer()).shared().unwrap();
        let lane = Lane::all().next().unwrap();
        let pending = producer.pending(lane);
        pending.outstanding.store(2, Ordering::Release);
        for index in 0..2 {
            send(&producer.client, opaque(lane, index));
        }
        while pending.outstanding.load(Ordering::Acquire) > 0 {
            pending.settled.notified().await;
        }
        let mut reports = pending.reports().clone();
        reports.sort_unstable_by_key(|(index, _)| *index);
        assert_eq!(
            (reports, broker.records()),
            (vec![(0, Some(RDKafkaErrorCode::GaplessGuarantee)), (1, None)], 1)
        );
    }

    /// The wrong way: whatever librdkafka reports as delivered counts as published.
    #[derive(Clone, Default)]
    struct Believing(Arc<AtomicUsize>);

    impl ClientContext for Believing {}

    impl ProducerContext for Believing {
        type DeliveryOpaque = usize;

        fn delivery(&self, result: &DeliveryResult<'_>, _: usize) {
            self.0.fetch_add(usize::from(result.is_ok()), Ordering::AcqRel);
        }
    }

    #[tokio::test]
    async fn who_believes_the_reports_takes_two_records_for_published_where_one_is() {
        let broker = Refusing::new();
        let believing = Believing::default();
        let client =
            ThreadedProducer::from_config_and_context(&broker.producer(), believing.clone()).unwrap();
        for index in 0..2 {
            send(&client, index);
        }
        client.flush(Duration::from_secs(10)).unwrap();
        assert_eq!((believing.0.load(Ordering::Acquire), broker.records()), (2, 1));
    }
}
