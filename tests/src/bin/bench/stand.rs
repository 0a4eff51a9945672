//! What a benchmark stands on: a PostgreSQL and a Kafka of its own, in a temporary folder.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use local::backbone::{Broker, Durability, Postgres, kafka};
use local::distribution::Distribution;
use local::ports::{Endpoint, Ports};
use local::progress::Progress;
use local::run::Run;
use local::state::State;
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use sha2::{Digest as _, Sha256};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Executor as _, PgPool};

/// The partitions of every topic here.
pub(crate) const PARTITIONS: i32 = 12;
/// The database in which everything happens: the gateway's, as good as any.
const DATABASE: &str = "payment_gateway";
const TIMEOUT: Duration = Duration::from_secs(30);

/// The running stand.
pub(crate) struct Stand {
    run: Run,
    /// The database over its socket: over TCP the driver's small writes stall for 40 ms.
    pub(crate) database: String,
    /// `host:port` of the broker.
    pub(crate) brokers: String,
    /// Ours to prepare and to look.
    pub(crate) pool: PgPool,
    admin: PgPool,
}

impl Stand {
    /// Starts both, with the eventing schema in the database.
    pub(crate) async fn start() -> Result<Self> {
        if cfg!(debug_assertions) {
            println!("This is a debug build: its figures mean nothing. Use cargo run --release.");
        }
        let folder = std::env::temp_dir().join(format!("bench-{}", std::process::id()));
        let run = Run::prepare_afresh(State::at(&folder)?)?;
        match Self::begin(&run).await {
            Ok((database, brokers, pool, admin)) => Ok(Self {
                run,
                database,
                brokers,
                pool,
                admin,
            }),
            Err(error) => {
                run.stop().await;
                Err(error)
            }
        }
    }

    async fn begin(run: &Run) -> Result<(String, String, PgPool, PgPool)> {
        let ports = Ports::free(&[])?;
        let distribution = Distribution::fetch(&local::downloads(), Progress::Shown).await?;
        let java = kafka::Java::Measured;
        // Full durability: a commit that waits for nothing would flatter every ratio.
        let (postgres, ()) = tokio::try_join!(
            Postgres::start(&run.state, &ports, Durability::Full, &run.processes),
            kafka::start(&run.state, &ports, &distribution, &run.processes, java),
        )?;
        let admin = PgPool::connect(&postgres.admin_url()).await?;
        // Checkpoints by time, as on a server that was set up, and not because a gigabyte is full.
        for setting in ["max_wal_size = '8GB'", "checkpoint_timeout = '15min'"] {
            admin
                .execute(AssertSqlSafe(format!("alter system set {setting}")))
                .await?;
        }
        admin.execute("select pg_reload_conf()").await?;
        let database = postgres.socket_url(DATABASE, postgres.port());
        let pool = PgPoolOptions::new()
            .max_connections(40)
            .connect(&database)
            .await?;
        eventing::MIGRATOR.run(&pool).await?;
        keep_schemas(&pool).await?;
        Ok((
            database,
            ports.address(Endpoint::Kafka(Broker::FIRST)),
            pool,
            admin,
        ))
    }

    /// Ends both and removes what they wrote.
    pub(crate) async fn stop(self) -> Result<()> {
        self.pool.close().await;
        self.admin.close().await;
        self.run.stop().await;
        let state = self.run.state.clone();
        drop(self.run);
        let lock = state.lock()?;
        state.erase(&lock)?;
        std::fs::remove_dir_all(state.path()).context("the temporary folder stays")
    }

    /// Writes everything out now, so that no checkpoint falls into a measurement.
    pub(crate) async fn checkpoint(&self) -> Result<()> {
        self.admin.execute("checkpoint").await?;
        Ok(())
    }

    /// Keeps little of the log, for the disk's sake, at the price of more checkpoints.
    pub(crate) async fn bound_wal(&self) -> Result<()> {
        self.admin
            .execute("alter system set max_wal_size = '1GB'")
            .await?;
        self.admin.execute("select pg_reload_conf()").await?;
        Ok(())
    }

    /// Creates a topic.
    pub(crate) async fn create_topic(&self, name: &str, settings: &[(&str, &str)]) -> Result<()> {
        let admin = kafka::admin(&self.brokers)?;
        let topic = settings.iter().fold(
            NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1)),
            |topic, (name, value)| topic.set(name, value),
        );
        let created = admin.create_topics([&topic], &AdminOptions::new()).await?;
        for result in created {
            if let Err((name, error)) = result {
                bail!("cannot create the topic {name}: {error}");
            }
        }
        Ok(())
    }

    /// Deletes a topic, for the disk's sake.
    pub(crate) async fn delete_topic(&self, name: &str) -> Result<()> {
        let admin = kafka::admin(&self.brokers)?;
        for result in admin.delete_topics(&[name], &AdminOptions::new()).await? {
            if let Err((name, error)) = result {
                bail!("cannot delete the topic {name}: {error}");
            }
        }
        Ok(())
    }

    /// How many records a topic has had.
    pub(crate) async fn records(&self, topic: &str) -> Result<u64> {
        let (brokers, topic) = (self.brokers.clone(), topic.to_owned());
        tokio::task::spawn_blocking(move || Counter::new(&brokers, &topic)?.count()).await?
    }

    /// Waits until a topic has had so many records.
    pub(crate) async fn wait_for_records(&self, topic: &str, wanted: u64, within: Duration) -> Result<()> {
        let (brokers, topic) = (self.brokers.clone(), topic.to_owned());
        let wait = move || -> Result<()> {
            let counter = Counter::new(&brokers, &topic)?;
            let begun = std::time::Instant::now();
            loop {
                let count = counter.count()?;
                if count >= wanted {
                    return Ok(());
                }
                if begun.elapsed() > within {
                    bail!(
                        "{topic} has {count} records of {wanted} after {} s",
                        within.as_secs()
                    );
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        tokio::task::spawn_blocking(wait).await?
    }
}

struct Counter {
    consumer: BaseConsumer,
    topic: String,
}

impl Counter {
    fn new(brokers: &str, topic: &str) -> Result<Self> {
        let consumer = eventing::KafkaSettings::new(brokers)
            .client("bench-counter")
            .set("group.id", "bench-counter")
            .create()?;
        Ok(Self {
            consumer,
            topic: topic.to_owned(),
        })
    }

    fn count(&self) -> Result<u64> {
        let mut count = 0;
        for partition in 0..PARTITIONS {
            let (_, high) = self.consumer.fetch_watermarks(&self.topic, partition, TIMEOUT)?;
            count += u64::try_from(high)?;
        }
        Ok(count)
    }
}

/// Keeps our schemas in the database as the registry would have answered, so that none has to run.
async fn keep_schemas(pool: &PgPool) -> Result<()> {
    for (id, topic) in (1_i32..).zip(schemas::catalogue::TOPICS) {
        sqlx::query("insert into eventing.schemas (id, definition, fetched_at) values ($1, $2, now())")
            .bind(id)
            .bind(topic.schema)
            .execute(pool)
            .await?;
        sqlx::query(
            "insert into eventing.subject_schemas (subject, definition_sha256, schema_id) values ($1, $2, $3)",
        )
        .bind(topic.subject())
        .bind(&Sha256::digest(topic.schema)[..])
        .bind(id)
        .execute(pool)
        .await?;
    }
    Ok(())
}
