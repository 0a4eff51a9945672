//! A database, topics, and a runtime between them.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use jiff::Timestamp;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use schemas::catalogue::PAYMENTS;
use schemas::payment::{PaymentEvent, PaymentEventType, PaymentStatus};
use schemas::{Currency, DomainEvent as _, EventId, MerchantId, PaymentNo, codec};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool};
use uuid::Uuid;

use crate::consumer::record::{Headers, Place, Record};
use crate::consumer::runtime::Runtime;
use crate::consumer::watermarks::{self, Aggregate};
use crate::consumer::{Consumer, ConsumerGroup, Delivery, Failure, Handler, Resources};
use crate::headers::CloudEvent;
use crate::{Clock, KafkaSettings, SchemaRegistry};

const SCHEMA_ID: u32 = 1;
const TIERS: u32 = 2;

/// What the handler does with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Apply,
    Retry,
    Dead,
}

/// Does as it is told, and writes down what it applied.
#[derive(Debug, Default)]
pub(super) struct Scripted(Arc<Mutex<VecDeque<Answer>>>);

impl Handler for Scripted {
    type Prepared = ();
    type Rows = ();

    async fn prepare(&self, _: &Delivery) -> Result<(), Failure> {
        Ok(())
    }

    async fn apply(
        &self,
        tx: &mut PgConnection,
        (): &mut (),
        delivery: &Delivery,
        (): &(),
    ) -> Result<(), Failure> {
        sqlx::query("insert into applied (key, sequence) values ($1, $2)")
            .bind(&delivery.key)
            .bind(delivery.sequence)
            .execute(tx)
            .await?;
        match self.0.lock().unwrap().pop_front().unwrap_or(Answer::Apply) {
            Answer::Apply => Ok(()),
            Answer::Retry => Err(Failure::retry("not yet")),
            Answer::Dead => Err(Failure::dead("never", "never")),
        }
    }
}

/// What the runtime sent.
pub(super) enum Sent {
    Tier(Record),
    /// A dead letter, with its event's sequence.
    Letter(i64, Record),
}

pub(super) struct World {
    pub(super) runtime: Runtime<Scripted>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    database: String,
    inbox: BaseConsumer,
    /// Where the inbox stands in each topic.
    positions: RefCell<BTreeMap<String, i64>>,
}

impl World {
    pub(super) async fn new() -> Self {
        let (database, pool) = create_database().await;
        let group = ConsumerGroup::ordered("model", [PAYMENTS.name])
            .tiers(vec![Duration::ZERO; TIERS as usize])
            .handler_deadline(Duration::from_secs(5));
        let mut topics: Vec<String> = (1..=TIERS).map(|tier| group.retry_topic(tier)).collect();
        topics.push(group.dead_letter_topic());
        let mut kafka = KafkaSettings::new(variable("TEST_KAFKA_BROKERS"));
        kafka.topic_prefix = format!("model-{}.", Uuid::new_v4().simple());
        let physical: Vec<String> = topics
            .iter()
            .map(|topic| kafka.topic(topic).into_owned())
            .collect();
        create_topics(&kafka, &physical).await;
        let mut inbox = kafka.client("inbox");
        inbox.set("group.id", "unused").set("fetch.wait.max.ms", "2");
        let inbox: BaseConsumer = inbox.create().unwrap();
        let mut assignment = TopicPartitionList::new();
        for topic in &physical {
            assignment
                .add_partition_offset(topic, 0, Offset::Beginning)
                .unwrap();
        }
        inbox.assign(&assignment).unwrap();

        let handler = Scripted::default();
        let answers = Arc::clone(&handler.0);
        let resources = Resources {
            registry: SchemaRegistry::new("http://127.0.0.1:1", pool.clone()).unwrap(),
            pool,
            kafka,
            clock: Clock::system(),
        };
        let (runtime, _) = Consumer::new(group, handler, resources).runtime().unwrap();
        runtime.breakers.refresh().await.unwrap();
        Self {
            runtime,
            answers,
            database,
            inbox,
            positions: RefCell::new(physical.into_iter().map(|topic| (topic, 0)).collect()),
        }
    }

    /// An aggregate's events as they are read from their topic.
    pub(super) fn events(count: i64) -> (String, Vec<Record>) {
        let payment_no = PaymentNo::generate();
        let events = (1..=count).map(|sequence| record(&event(payment_no, sequence)));
        (payment_no.to_string(), events.collect())
    }

    /// Says what the handler does with the first events that it gets from now on.
    pub(super) fn answer(&self, answers: &[Answer]) {
        *self.answers.lock().unwrap() = answers.iter().copied().collect();
    }

    pub(super) fn aggregate<'a>(&'a self, key: &'a str) -> Aggregate<'a> {
        self.runtime.aggregate(PAYMENTS.name, key)
    }

    /// The sequences that were applied of an aggregate, in the order of their commits.
    pub(super) async fn applied(&self, key: &str) -> Vec<i64> {
        sqlx::query_scalar("select sequence from applied where key = $1 order by position")
            .bind(key)
            .fetch_all(&self.runtime.pool)
            .await
            .unwrap()
    }

    /// The aggregates whose drain is due, or will be once a member that died is given up on.
    pub(super) async fn due(&self, keys: &[&str]) -> Vec<(String, String)> {
        let pool = &self.runtime.pool;
        sqlx::query(
            "update eventing.watermarks set drain_due_at = case when key = any($1) then now() end
             where drain_due_at is not null",
        )
        .bind(keys)
        .execute(pool)
        .await
        .unwrap();
        watermarks::take_due(pool, &self.runtime.group.name, 20)
            .await
            .unwrap()
    }

    /// What was sent since it was asked last.
    pub(super) fn sent(&self) -> Vec<Sent> {
        let mut positions = self.positions.borrow_mut();
        let timeout = Duration::from_secs(10);
        let end = |topic: &String| self.inbox.fetch_watermarks(topic, 0, timeout).unwrap().1;
        let ends: BTreeMap<String, i64> = positions
            .keys()
            .map(|topic| (topic.clone(), end(topic)))
            .collect();
        let mut sent = Vec::new();
        while positions.iter().any(|(topic, position)| *position < ends[topic]) {
            // Events of the client's own end a poll as well.
            let Some(message) = self.inbox.poll(timeout) else {
                continue;
            };
            let message = message.unwrap();
            positions.insert(message.topic().to_owned(), message.offset() + 1);
            let topic = self.runtime.publisher.kafka().logical(message.topic());
            let tier = (1..=TIERS).find(|tier| self.runtime.group.retry_topic(*tier) == topic);
            let record = Record::copy(&message, topic.to_owned(), tier.unwrap_or(0));
            sent.push(if tier.is_some() {
                Sent::Tier(record)
            } else {
                let sequence = record.headers.readable.text("ce_sequence").unwrap();
                Sent::Letter(sequence.parse().unwrap(), record)
            });
        }
        sent
    }

    /// Moves an aggregate back whatever was applied, which is wrong.
    pub(super) async fn go_back(&self, tx: &mut PgConnection, aggregate: &Aggregate<'_>, sequence: i64) {
        sqlx::query(
            "update eventing.watermarks set last_sequence = least(last_sequence, $3 - 1)
             where consumer_group = $1 and key = $2",
        )
        .bind(aggregate.group)
        .bind(aggregate.key)
        .bind(sequence)
        .execute(&mut *tx)
        .await
        .unwrap();
    }

    pub(super) async fn drop(self) {
        self.runtime.pool.close().await;
        admin()
            .await
            .execute(AssertSqlSafe(format!(
                "drop database if exists {} with (force)",
                self.database
            )))
            .await
            .unwrap();
    }
}

/// Works on something, and dies after so many polls: at any point at which it waits.
pub(super) async fn until_crash<F: Future>(working: F, polls: Option<u16>) -> Option<F::Output> {
    let mut working = pin!(working);
    let mut polled = 0;
    poll_fn(|context| {
        if polls.is_some_and(|polls| polled >= polls) {
            return Poll::Ready(None);
        }
        polled += 1;
        working.as_mut().poll(context).map(Some)
    })
    .await
}

fn options() -> PgConnectOptions {
    variable("TEST_DATABASE_URL").parse().unwrap()
}

fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run deploy/test, which starts what the tests need"))
}

async fn create_topics(kafka: &KafkaSettings, topics: &[String]) {
    let admin: AdminClient<DefaultClientContext> = kafka.client("model-admin").create().unwrap();
    let topics: Vec<NewTopic<'_>> = topics
        .iter()
        .map(|topic| NewTopic::new(topic, 1, TopicReplication::Fixed(1)))
        .collect();
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
    for created in admin.create_topics(&topics, &options).await.unwrap() {
        created.unwrap();
    }
}

async fn admin() -> PgConnection {
    PgConnection::connect_with(&options()).await.unwrap()
}

async fn create_database() -> (String, PgPool) {
    let name = format!("eventing_model_{}", Uuid::new_v4().simple());
    let create = AssertSqlSafe(format!("create database {name}"));
    admin().await.execute(create).await.unwrap();
    let pool = PgPoolOptions::new()
        .max_connections(8)
        .connect_with(options().database(&name))
        .await
        .unwrap();
    crate::MIGRATOR.run(&pool).await.unwrap();
    pool.execute(
        "create table applied (position bigint generated always as identity, key text, sequence bigint);
         create index on applied (key)",
    )
    .await
    .unwrap();
    sqlx::query("insert into eventing.schemas (id, definition, fetched_at) values ($1, $2, now())")
        .bind(i32::try_from(SCHEMA_ID).unwrap())
        .bind(PAYMENTS.schema)
        .execute(&pool)
        .await
        .unwrap();
    (name, pool)
}

fn event(payment_no: PaymentNo, sequence: i64) -> PaymentEvent {
    PaymentEvent {
        event_id: EventId::generate(),
        event_type: PaymentEventType::Processing,
        occurred_at: Timestamp::from_second(1_800_000_000).unwrap(),
        payment_no,
        merchant_id: MerchantId::generate(),
        sequence,
        old_status: Some(PaymentStatus::Pending),
        new_status: PaymentStatus::Processing,
        amount: 1_999,
        amount_refunded: 0,
        currency: Currency::parse("EUR").unwrap(),
        order_no: "order-1".into(),
        customer_ref: None,
        channel: "stripe".into(),
        failure_code: None,
        refund: None,
    }
}

/// As the relay publishes it.
fn record(event: &PaymentEvent) -> Record {
    let cloud_event = CloudEvent {
        id: event.event_id.uuid(),
        event_type: event.event_type().into(),
        source: "payment-gateway".into(),
        time: event.occurred_at,
        subject: event.aggregate_key(),
        sequence: event.sequence,
    };
    Record {
        place: Place {
            topic: PAYMENTS.name.into(),
            partition: 0,
            offset: event.sequence,
        },
        tier: 0,
        parked: false,
        recorded_at: event.occurred_at,
        key: Some(event.aggregate_key().into_bytes()),
        payload: Some(codec::frame(SCHEMA_ID, &codec::encode(event).unwrap())),
        headers: Headers {
            readable: cloud_event.to_headers(),
            unreadable: None,
        },
    }
}
