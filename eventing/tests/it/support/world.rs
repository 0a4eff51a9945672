//! A service in small: aggregates, an outbox, and relays.

use eventing::outbox::{AppendError, Appended};
use eventing::relay::{RelayError, RelaySettings};
use eventing::{Clock, Condition, KafkaSettings, Outbox, Relay, SchemaRegistry};
use schemas::PaymentNo;
use schemas::catalogue::PAYMENTS;
use sqlx::{PgPool, PgTransaction};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::broker::{self, Record};
use super::database::Database;
use super::{events, eventually};

pub(crate) const SERVICE: &str = "payment-gateway";

pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) pool: PgPool,
    pub(crate) kafka: KafkaSettings,
    pub(crate) registry: SchemaRegistry,
    pub(crate) outbox: Outbox,
}

impl World {
    /// A service with an empty database and empty topics.
    pub(crate) async fn new() -> Self {
        let world = Self::without_topic().await;
        broker::create_topic(&world.kafka, PAYMENTS.name, &[]).await;
        world
    }

    /// The same, but nobody has created its topic.
    pub(crate) async fn without_topic() -> Self {
        Self::with(Database::create().await, broker::settings()).await
    }

    /// Another process of the same service.
    pub(crate) async fn join(database: &str, topic_prefix: &str) -> Self {
        let kafka = KafkaSettings {
            topic_prefix: topic_prefix.to_owned(),
            ..broker::settings()
        };
        Self::with(Database::join(database).await, kafka).await
    }

    async fn with(database: Database, kafka: KafkaSettings) -> Self {
        let pool = database.pool.clone();
        let registry = events::registry(&pool).await;
        let outbox = Outbox::load(SERVICE, &registry, Clock::system()).await.unwrap();
        Self {
            database,
            pool,
            kafka,
            registry,
            outbox,
        }
    }

    /// A transition as every service makes one: lock the aggregate, count its sequence up, append.
    pub(crate) async fn transition(
        &self,
        tx: &mut PgTransaction<'_>,
        payment_no: PaymentNo,
    ) -> Result<i64, AppendError> {
        Ok(self.append_next(tx, payment_no).await?.0)
    }

    async fn append_next(
        &self,
        tx: &mut PgTransaction<'_>,
        payment_no: PaymentNo,
    ) -> Result<(i64, Appended), AppendError> {
        let sequence = lock_and_advance(tx, payment_no).await?;
        let event = events::payment(payment_no, sequence);
        Ok((sequence, self.outbox.append(tx, &event).await?))
    }

    /// One transition in a transaction of its own.
    pub(crate) async fn commit(&self, payment_no: PaymentNo) -> i64 {
        let mut tx = self.pool.begin().await.unwrap();
        let (sequence, appended) = self.append_next(&mut tx, payment_no).await.unwrap();
        tx.commit().await.unwrap();
        self.outbox.committed(appended);
        sequence
    }

    /// Starts a relay, as a replica of the service would.
    pub(crate) fn start_relay(&self) -> RunningRelay {
        self.start_relay_with(self.kafka.clone(), RelaySettings::default())
    }

    pub(crate) fn start_relay_with(&self, kafka: KafkaSettings, settings: RelaySettings) -> RunningRelay {
        run(Relay::new(self.pool.clone(), kafka, &self.outbox).with_settings(settings))
    }

    /// Starts a relay that reaches the database in another way.
    pub(crate) fn start_relay_on(&self, pool: PgPool) -> RunningRelay {
        run(Relay::new(pool, self.kafka.clone(), &self.outbox))
    }

    /// How many rows are not known to be published.
    pub(crate) async fn depth(&self) -> i64 {
        sqlx::query_scalar("select count(*) from eventing.outbox")
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    pub(crate) async fn until_published(&self) {
        eventually("the outbox is empty", async || self.depth().await == 0).await;
    }

    /// Everything on the payments' topic, which holds at least `count` records.
    pub(crate) async fn records(&self, count: usize) -> Vec<Record> {
        broker::read_topic(&self.kafka, PAYMENTS.name, count).await
    }
}

/// Locks an aggregate's row, which is created with its first event, and counts its sequence up.
pub(crate) async fn lock_and_advance(
    tx: &mut PgTransaction<'_>,
    payment_no: PaymentNo,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "insert into payments values ($1, 1)
         on conflict (payment_no) do update set sequence = payments.sequence + 1
         returning sequence",
    )
    .bind(payment_no.uuid())
    .fetch_one(&mut **tx)
    .await
}

fn run(relay: Relay) -> RunningRelay {
    let (condition, shutdown) = (relay.condition(), CancellationToken::new());
    let mut task = JoinSet::new();
    task.spawn(relay.run(shutdown.clone()));
    RunningRelay {
        task,
        shutdown,
        condition,
    }
}

/// A relay that runs until it is stopped or dropped.
pub(crate) struct RunningRelay {
    task: JoinSet<Result<(), RelayError>>,
    shutdown: CancellationToken,
    pub(crate) condition: watch::Receiver<Condition>,
}

impl RunningRelay {
    /// Stops it in order.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        self.task.join_next().await.unwrap().unwrap().unwrap();
    }
}
