//! A consumer group with topics and a database of its own.

use std::time::Duration;

use bytes::Buf as _;
use eventing::consumer::{Consumer, ConsumerError, ConsumerGroup, Handler, Resources};
use eventing::headers::{CloudEvent, RecordHeaders};
use eventing::{Clock, Condition, KafkaSettings, SchemaRegistry};
use jiff::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::groups::GroupInfo;
use rdkafka::producer::{FutureProducer, FutureRecord};
use schemas::catalogue::PAYMENTS;
use schemas::payment::PaymentEvent;
use schemas::{DomainEvent as _, PaymentNo, codec};
use sqlx::{Executor as _, PgPool};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::broker::{self, Record};
use crate::support::database::Database;
use crate::support::{events, eventually};

pub(crate) struct Stage {
    _database: Database,
    pub(crate) pool: PgPool,
    pub(crate) kafka: KafkaSettings,
    pub(crate) registry: SchemaRegistry,
    pub(crate) clock: Clock,
    pub(crate) group: ConsumerGroup,
    producer: FutureProducer,
    schema_id: u32,
}

/// Short tiers, so that a test need not wait for the real ones.
pub(crate) const TIERS: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(600),
];

/// An ordered group on the payments' topic.
pub(crate) fn ordered() -> ConsumerGroup {
    ConsumerGroup::ordered("group", [PAYMENTS.name])
        .tiers(TIERS)
        .handler_deadline(Duration::from_secs(5))
}

/// An unordered group on the payments' topic.
pub(crate) fn unordered() -> ConsumerGroup {
    ConsumerGroup::unordered("group", [PAYMENTS.name])
        .tiers(TIERS)
        .handler_deadline(Duration::from_secs(5))
}

/// Ends all connections to the database but the one that asks for it, and answers how many.
pub(crate) async fn end_connections(pool: &PgPool) -> sqlx::Result<u64> {
    let ended = sqlx::query(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid()",
    )
    .execute(pool)
    .await?;
    Ok(ended.rows_affected())
}

/// A client of a group's member, as the broker knows it. A member is a client for each domain topic, and one for the retry tiers.
pub(crate) struct Joined {
    /// Its name; one that was thrown out and came back has another.
    pub(crate) id: String,
    /// What it calls itself.
    pub(crate) client_id: String,
    /// Its partitions by their topics' names on the cluster.
    pub(crate) partitions: Vec<(String, i32)>,
}

impl Joined {
    /// Whether it has partitions of this topic.
    pub(crate) fn has(&self, physical_topic: &str) -> bool {
        self.partitions.iter().any(|(topic, _)| topic == physical_topic)
    }
}

/// Reads partitions in Kafka's own form: a version, how many topics, and for each its name and its partitions.
fn partitions(mut assignment: &[u8]) -> Vec<(String, i32)> {
    let bytes = &mut assignment;
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.advance(2);
    let mut partitions = Vec::new();
    for _ in 0..bytes.get_i32() {
        let length = usize::try_from(bytes.get_i16()).unwrap();
        let topic = String::from_utf8(bytes.copy_to_bytes(length).to_vec()).unwrap();
        for _ in 0..bytes.get_i32() {
            partitions.push((topic.clone(), bytes.get_i32()));
        }
    }
    partitions
}

impl Stage {
    pub(crate) async fn new(group: ConsumerGroup) -> Self {
        let database = Database::create().await;
        let pool = database.pool.clone();
        pool.execute(
            "create table applied (position bigint generated always as identity, event_id uuid, key text, sequence bigint);
             create table noted (event_id uuid primary key, key text, sequence bigint)",
        )
        .await
        .unwrap();
        let kafka = broker::settings();
        // Nor are old events deleted in reality.
        for topic in &group.topics {
            broker::create_topic(&kafka, topic, &[("retention.ms", "-1")]).await;
        }
        for tier in (1..).take(group.tiers.len()) {
            broker::create_topic(&kafka, &group.retry_topic(tier), &[]).await;
        }
        broker::create_topic(&kafka, &group.dead_letter_topic(), &[]).await;
        let registry = events::registry(&pool).await;
        let schema_id = registry
            .id_of(&PAYMENTS.subject(), PAYMENTS.schema)
            .await
            .unwrap();
        let producer = kafka.producer("test-producer").create().unwrap();
        Self {
            _database: database,
            pool,
            kafka,
            registry,
            clock: Clock::system(),
            group,
            producer,
            schema_id,
        }
    }

    pub(crate) fn resources(&self) -> Resources {
        Resources {
            pool: self.pool.clone(),
            kafka: self.kafka.clone(),
            registry: self.registry.clone(),
            clock: self.clock.clone(),
        }
    }

    /// Starts a member of the group.
    pub(crate) fn start<H: Handler>(&self, handler: H) -> Member {
        self.start_with(handler, self.resources())
    }

    /// Starts a member of the group as another release has it.
    pub(crate) fn start_as<H: Handler>(&self, group: ConsumerGroup, handler: H) -> Member {
        Self::run(Consumer::new(group, handler, self.resources()))
    }

    pub(crate) fn start_with<H: Handler>(&self, handler: H, resources: Resources) -> Member {
        Self::run(Consumer::new(self.group.clone(), handler, resources))
    }

    fn run<H: Handler>(consumer: Consumer<H>) -> Member {
        let (condition, shutdown) = (consumer.condition(), CancellationToken::new());
        let mut task = JoinSet::new();
        task.spawn(consumer.run(shutdown.clone()));
        Member {
            task,
            shutdown,
            condition,
        }
    }

    /// Puts an event onto its topic, as a relay does.
    pub(crate) async fn send(&self, event: &PaymentEvent) {
        let key = event.aggregate_key();
        self.send_record(
            PAYMENTS.name,
            Some(key.as_bytes()),
            Some(&self.framed(event)),
            &headers(event),
        )
        .await;
    }

    /// The clients of the group's members.
    pub(crate) async fn joined(&self) -> Vec<Joined> {
        let kafka = self.kafka.clone();
        let group = kafka.topic(&self.group.name).into_owned();
        let joined = tokio::task::spawn_blocking(move || {
            let client: BaseConsumer = kafka.client("test-groups").create().unwrap();
            let groups = loop {
                match client.fetch_group_list(Some(&group), Duration::from_secs(20)) {
                    // A broker that has only just started.
                    Err(KafkaError::GroupListFetch(RDKafkaErrorCode::CoordinatorLoadInProgress)) => {}
                    groups => break groups.unwrap(),
                }
            };
            let members = groups.groups().iter().flat_map(GroupInfo::members);
            let joined = members.map(|member| Joined {
                id: member.id().to_owned(),
                client_id: member.client_id().to_owned(),
                partitions: partitions(member.assignment().unwrap_or_default()),
            });
            joined.collect()
        });
        joined.await.unwrap()
    }

    /// Puts an event onto its topic with an earlier timestamp than now.
    pub(crate) async fn send_as_of(&self, event: &PaymentEvent, sent_at: Timestamp) {
        let (topic, key) = (self.kafka.topic(PAYMENTS.name), event.aggregate_key());
        let payload = self.framed(event);
        let record = FutureRecord::to(&topic)
            .key(key.as_bytes())
            .payload(&payload)
            .headers(headers(event).to_kafka())
            .timestamp(sent_at.as_millisecond());
        let sent = self.producer.send_result(record).map_err(|(error, _)| error);
        sent.unwrap().await.unwrap().unwrap();
    }

    /// Puts events onto their topic, in order and without waiting for each.
    pub(crate) async fn send_all(&self, events: &[PaymentEvent]) {
        let topic = self.kafka.topic(PAYMENTS.name);
        let mut acknowledged = Vec::new();
        for event in events {
            let (key, payload) = (event.aggregate_key(), self.framed(event));
            let record = FutureRecord::to(&topic)
                .key(key.as_bytes())
                .payload(&payload)
                .headers(headers(event).to_kafka());
            let sent = self.producer.send_result(record).map_err(|(error, _)| error);
            acknowledged.push(sent.unwrap());
        }
        for acknowledged in acknowledged {
            acknowledged.await.unwrap().unwrap();
        }
    }

    /// Puts other bytes under an event's key and full headers.
    pub(crate) async fn send_cloud_event(&self, event: &PaymentEvent, value: &[u8]) {
        let cloud_event = CloudEvent {
            id: event.event_id.uuid(),
            event_type: event.event_type().into(),
            source: "payment-gateway".into(),
            time: event.occurred_at,
            subject: event.aggregate_key(),
            sequence: event.sequence,
        };
        let key = event.aggregate_key();
        self.send_record(
            PAYMENTS.name,
            Some(key.as_bytes()),
            Some(value),
            &cloud_event.to_headers(),
        )
        .await;
    }

    /// The event of this sequence, sent.
    pub(crate) async fn send_next(&self, payment_no: PaymentNo, sequence: i64) -> PaymentEvent {
        let event = events::payment(payment_no, sequence);
        self.send(&event).await;
        event
    }

    pub(crate) fn framed(&self, event: &PaymentEvent) -> Vec<u8> {
        codec::frame(self.schema_id, &codec::encode(event).unwrap())
    }

    pub(crate) async fn send_record(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: &RecordHeaders,
    ) {
        let topic = self.kafka.topic(topic);
        let mut record = FutureRecord::<[u8], [u8]>::to(&topic).headers(headers.to_kafka());
        record.key = key;
        record.payload = payload;
        self.producer
            .send_result(record)
            .map_err(|(error, _)| error)
            .unwrap()
            .await
            .unwrap()
            .unwrap();
    }

    /// What the handler applied, in the order in which it was committed.
    pub(crate) async fn applied(&self) -> Vec<(String, i64)> {
        sqlx::query_as("select key, sequence from applied order by position")
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    /// The sequences that were applied of one aggregate.
    pub(crate) async fn applied_of(&self, payment_no: PaymentNo) -> Vec<i64> {
        let key = payment_no.to_string();
        let mine = self
            .applied()
            .await
            .into_iter()
            .filter(|(applied, _)| *applied == key);
        mine.map(|(_, sequence)| sequence).collect()
    }

    pub(crate) async fn until_applied(&self, payment_no: PaymentNo, sequences: &[i64]) {
        eventually(
            &format!("{sequences:?} of {payment_no} are applied"),
            async || self.applied_of(payment_no).await.len() >= sequences.len(),
        )
        .await;
        assert_eq!(self.applied_of(payment_no).await, sequences);
    }

    pub(crate) async fn count(&self, table: &'static str) -> i64 {
        let count = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        sqlx::query_scalar(count).fetch_one(&self.pool).await.unwrap()
    }

    pub(crate) async fn until_count(&self, table: &'static str, count: i64) {
        eventually(&format!("{table} holds {count} rows"), async || {
            self.count(table).await >= count
        })
        .await;
        assert_eq!(self.count(table).await, count, "{table}");
    }

    /// The group's dead letters, of which there are at least `count`.
    pub(crate) async fn letters(&self, count: usize) -> Vec<Record> {
        broker::read_topic(&self.kafka, &self.group.dead_letter_topic(), count).await
    }

    /// What was sent to a retry tier, at least `count` records.
    pub(crate) async fn retried(&self, tier: u32, count: usize) -> Vec<Record> {
        broker::read_topic(&self.kafka, &self.group.retry_topic(tier), count).await
    }
}

/// The headers that a relay gives an event.
pub(crate) fn headers(event: &PaymentEvent) -> RecordHeaders {
    let mut headers = RecordHeaders::new();
    headers.push("ce_id", event.event_id.to_string());
    headers.push("ce_type", event.event_type());
    headers.push("ce_sequence", event.sequence.to_string());
    headers.push(
        "traceparent",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    );
    headers
}

/// A member that runs until it is stopped or dropped; dropped, it just goes away, as a process that is killed.
pub(crate) struct Member {
    task: JoinSet<Result<(), ConsumerError>>,
    shutdown: CancellationToken,
    pub(crate) condition: watch::Receiver<Condition>,
}

impl Member {
    /// Stops it in order.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        self.task.join_next().await.unwrap().unwrap().unwrap();
    }

    pub(crate) async fn until_degraded(&mut self) -> String {
        let condition = self
            .condition
            .wait_for(|condition| matches!(condition, Condition::Degraded(_)));
        let condition = tokio::time::timeout(crate::support::DEADLINE, condition)
            .await
            .unwrap()
            .unwrap()
            .clone();
        match condition {
            Condition::Degraded(reason) => reason,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn until_up(&mut self) {
        let up = self.condition.wait_for(|condition| *condition == Condition::Up);
        tokio::time::timeout(crate::support::DEADLINE, up)
            .await
            .unwrap()
            .unwrap();
    }
}
