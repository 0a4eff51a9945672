//! Reads a part of the group's topics and hands the records to the workers, which it shares with the readers of the other parts.
//!
//! It runs on a thread of its own, because the rebalance callbacks of Kafka's client block the thread that reads until the
//! revoked partitions are idle, and the workers need theirs meanwhile.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use rdkafka::Message as _;
use rdkafka::consumer::{Consumer as _, MessageStream, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::assignment::{Assignment, Job, PartitionId, Read};
use super::decode::{Bounds, decode_alike};
use super::envelope;
use super::group::ConsumerGroup;
use super::holds::Holds;
use super::metrics::Metrics;
use super::rebalance::Context;
use super::record::Record;
use super::subscription::{Part, Subscription};
use crate::{Clock, KafkaSettings, SchemaRegistry};

/// How often positions are handed to Kafka's client, and it commits what it was handed.
const TICK: Duration = Duration::from_millis(200);
const COMMIT_INTERVAL_MS: &str = "500";

/// What Kafka's clients of one member fetch ahead together: a third of a second at the speed of the fastest handlers, several times
/// `FETCH_WAIT_MS`.
const FETCHED_RECORDS: usize = 50_000;
const FETCHED_KBYTES: usize = 32 * 1024;
/// The part of it that the client of the tiers has; those of the domain topics share the rest.
const FETCHED_OF_TIERS: usize = 8;
const FETCH_WAIT_MS: &str = "100";

/// What is taken in at once of what Kafka's client has fetched. Beyond what a member may have in hand, it has this of each client
/// at most.
const CHUNK_RECORDS: usize = 100;
const CHUNK_BYTES: usize = 1024 * 1024;

/// Reads a part of the subscription on behalf of one member of a group.
pub(crate) struct Reader {
    pub(crate) consumer: Arc<StreamConsumer<Context>>,
    pub(crate) subscription: Arc<Subscription>,
    pub(crate) assignment: Arc<Assignment>,
    pub(crate) workers: Vec<UnboundedSender<Job>>,
    pub(crate) registry: SchemaRegistry,
    pub(crate) bounds: Bounds,
    pub(crate) holds: Arc<Holds>,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
    pub(crate) drain_deadline: Duration,
}

/// Kafka's client cannot go on, and has to be replaced.
#[derive(Debug)]
pub(crate) struct Fatal(pub(crate) KafkaError);

/// A client that reads for `group`.
pub(crate) fn connect(
    group: &ConsumerGroup,
    kafka: &KafkaSettings,
    context: Context,
) -> KafkaResult<StreamConsumer<Context>> {
    let (subscription, part) = (Arc::clone(&context.subscription), context.part.clone());
    let fetched = |together: usize| {
        let of_tiers = together / FETCHED_OF_TIERS;
        let of_domain = (together - of_tiers) / group.topics.len().max(1);
        if part.is_tiers { of_tiers } else { of_domain }.to_string()
    };
    let mut config = kafka.client(&format!("{}-{}", group.name, part.name));
    // A killed member's partitions wait that long for their next owner. Brokers allow no less than 6 s by default.
    if !kafka.properties.contains_key("session.timeout.ms") {
        config.set("session.timeout.ms", "10000");
    }
    config
        .set("group.id", kafka.topic(&group.name).as_ref())
        .set("group.protocol", "classic")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("auto.offset.reset", "earliest")
        // What is done is stored by us, and committed by Kafka's client at its interval.
        .set("enable.auto.offset.store", "false")
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", COMMIT_INTERVAL_MS)
        .set("enable.partition.eof", "false")
        .set("allow.auto.create.topics", "false")
        // A consumer slower than its fetcher would otherwise stall for a second whenever the queue is full.
        .set("fetch.queue.backoff.ms", "20")
        // One request at a time asks a broker for what is not fetched yet. When that is partitions which have nothing, it waits for
        // this time, and what is queued has to last as long.
        .set("fetch.wait.max.ms", FETCH_WAIT_MS)
        .set("queued.min.messages", fetched(FETCHED_RECORDS))
        .set("queued.max.messages.kbytes", fetched(FETCHED_KBYTES))
        // Of each partition at once, compressed: all of them may be in one answer, which is taken whole.
        .set("fetch.message.max.bytes", "262144")
        // A topic that is created later is noticed within this time.
        .set("topic.metadata.refresh.interval.ms", "10000");
    let consumer: StreamConsumer<Context> = config.create_with_context(context)?;
    let topics: Vec<&str> = subscription
        .topics(&part)
        .iter()
        .map(|topic| topic.physical.as_str())
        .collect();
    consumer.subscribe(&topics)?;
    Ok(consumer)
}

impl Reader {
    /// Reads until `shutdown`, then lets go of all partitions and leaves the group.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> Result<(), Fatal> {
        let read = self.read(&shutdown).await;
        let ids = self.ids();
        self.assignment.stop(&ids);
        if !self.assignment.wait_until_idle(&ids, self.drain_deadline) {
            tracing::warn!(
                "a record is still being handled after the shutdown's deadline; it will be read again"
            );
        }
        self.consumer.context().commit(&*self.consumer, &ids);
        self.assignment.remove(&ids);
        // Dropping the consumer leaves the group, so that the other members take over at once.
        read
    }

    fn part(&self) -> &Part {
        &self.consumer.context().part
    }

    fn ids(&self) -> Vec<PartitionId> {
        self.assignment.ids(self.part())
    }

    async fn read(&self, shutdown: &CancellationToken) -> Result<(), Fatal> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next_due: Option<Timestamp> = None;
        let mut messages = self.consumer.stream();
        let mut freed = self.assignment.freed();
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                _ = tick.tick() => {
                    self.store_positions();
                    let (records, bytes) = self.assignment.in_hand();
                    self.metrics.in_hand(records, bytes);
                    // Revoked partitions take their waiting records along.
                    next_due = self.release_due();
                    self.apply_pauses();
                }
                Ok(()) = freed.changed() => self.apply_pauses(),
                () = sleep_until(&self.clock, next_due), if next_due.is_some() => {
                    next_due = self.release_due();
                    self.apply_pauses();
                }
                message = messages.next(), if self.assignment.may_read() => {
                    let chunk = self.read_chunk(message, &mut messages)?;
                    if let Some(due) = self.take(chunk) {
                        next_due = Some(next_due.map_or(due, |next| next.min(due)));
                    }
                }
            }
        }
    }

    /// Copies a message, and what is there of those behind it.
    fn read_chunk(
        &self,
        first: Option<KafkaResult<BorrowedMessage<'_>>>,
        messages: &mut MessageStream<'_, Context>,
    ) -> Result<Vec<Read>, Fatal> {
        let (mut chunk, mut bytes) = (Vec::with_capacity(CHUNK_RECORDS), 0);
        let mut next = first;
        while let Some(message) = next {
            match message {
                Ok(message) => {
                    if let Some(read) = self.copy(&message) {
                        bytes += read.record.bytes();
                        chunk.push(read);
                    }
                }
                Err(error @ KafkaError::MessageConsumptionFatal(_)) => return Err(Fatal(error)),
                Err(error) => {
                    tracing::warn!(%error, "reading from kafka");
                    self.holds.kafka(Some(error.to_string()));
                }
            }
            if chunk.len() >= CHUNK_RECORDS || bytes >= CHUNK_BYTES {
                break;
            }
            next = messages.next().now_or_never().flatten();
        }
        self.decode(&mut chunk);
        Ok(chunk)
    }

    /// Decodes what can be decoded without a wait. What else is to be done with a record waits for the database, and this need
    /// not wait for that.
    fn decode(&self, chunk: &mut [Read]) {
        for alike in chunk.chunk_by_mut(|one, next| one.partition.topic == next.partition.topic) {
            let topic = alike
                .first()
                .and_then(|read| self.subscription.topic(read.partition));
            if let Some(topic) = topic.filter(|topic| topic.tier == 0) {
                let records = alike.iter_mut().map(|read| (&read.record, &mut read.event));
                decode_alike(records, &topic.name, &self.registry, self.bounds);
            }
        }
    }

    fn copy(&self, message: &BorrowedMessage<'_>) -> Option<Read> {
        let partition = self.subscription.id(message.topic(), message.partition())?;
        let topic = self.subscription.topic(partition)?;
        let record = Record::copy(message, topic.name.clone(), topic.tier);
        Some(Read {
            partition,
            event: None,
            due: not_before(&record),
            record,
            generation: self.assignment.generation(),
        })
    }

    /// Takes records in; answers when the first of those is due that have to wait.
    fn take(&self, chunk: Vec<Read>) -> Option<Timestamp> {
        let admitted = self.assignment.admit(chunk, self.clock.now());
        for job in admitted.jobs {
            self.dispatch(job);
        }
        if admitted.pauses {
            self.apply_pauses();
        }
        admitted.next_due
    }

    /// One key goes to one worker, whichever of the group's topics its records come from.
    fn dispatch(&self, job: Job) {
        let worker = match self.workers.as_slice() {
            [only] => Some(only),
            workers => workers.get(share(&job.record, workers.len())),
        };
        if let Some(worker) = worker {
            // A worker ends after this reader only.
            let _ = worker.send(job);
        }
    }

    fn release_due(&self) -> Option<Timestamp> {
        let (jobs, next) = self.assignment.due(self.part(), self.clock.now());
        for job in jobs {
            self.dispatch(job);
        }
        next
    }

    fn apply_pauses(&self) {
        let (pause, resume) = self.assignment.pauses(self.part());
        let tell = |ids: &[PartitionId], what: &dyn Fn(&[PartitionId]) -> KafkaResult<()>| {
            if !ids.is_empty()
                && let Err(error) = what(ids)
            {
                tracing::warn!(%error, "partitions could not be paused or resumed");
            }
        };
        tell(&pause, &|ids| self.consumer.pause(&self.subscription.list(ids)));
        tell(&resume, &|ids| self.consumer.resume(&self.subscription.list(ids)));
    }

    fn store_positions(&self) {
        let stored = self.consumer.context().store(&*self.consumer, &self.ids());
        if let Err(error) = stored {
            tracing::warn!(%error, "positions could not be stored; their records may be read again");
        }
    }
}

/// Which of so many workers has a record's key.
fn share(record: &Record, workers: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    match &record.key {
        Some(key) => key.hash(&mut hasher),
        None => record.place.offset.hash(&mut hasher),
    }
    usize::try_from(hasher.finish() % workers as u64).unwrap_or_default()
}

/// When a record of a retry tier is due. One whose header cannot be read is due now: it is dead-lettered for that.
fn not_before(record: &Record) -> Option<Timestamp> {
    if record.tier == 0 {
        return None;
    }
    record.headers.readable.text(envelope::NOT_BEFORE)?.parse().ok()
}

async fn sleep_until(clock: &Clock, at: Option<Timestamp>) {
    if let Some(at) = at {
        clock.sleep_until(at).await;
    }
}
