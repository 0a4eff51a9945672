//! The relay: takes committed events from the outbox to their topics.
//!
//! It promises that every committed event reaches its topic at least once, and that the first occurrences of an aggregate's
//! events appear in the order of their sequence, with no gap. It rests on six things:
//!
//! 1. An aggregate is in one lane, and a lane is relayed by whoever holds its lease: one task, which sends a batch, waits for
//!    all acknowledgements, marks it, and reads again. (A few rows it marks a moment later; until then it reads past them.)
//! 2. One statement, hence one snapshot, reads all visible rows of the lane from the bottom, by `seq`. There is no cursor that a
//!    late commit could fall behind, and no gate that a long transaction could hold shut. (The `floor` is neither: it spares
//!    a read the numbers of which no row can come any more.)
//! 3. A row is deleted after its record was acknowledged, in a statement that checks the lease.
//! 4. A producer never gives up on a record by itself. If it fails, it is thrown away with everything behind the failed
//!    record, and a new one starts at the first row that is left. The lanes share one; a lane whose record failed has its own
//!    until it is past it, so that the others have to answer for it once at most.
//! 5. Two producers at once, a stale owner's and its successor's, can only duplicate: each sends an aggregate's events in
//!    order and without a gap, from a row on that was not yet marked when it began.
//! 6. Of each batch only an aggregate's first row is sent until it is acknowledged. A broker takes any sequence from a producer
//!    that the partition has not met, so a second request that is under way could take a lost first one's place.
//!
//! What a newcomer gets wrong: `seq` orders the events of one aggregate and says nothing about two.

mod connection;
mod failures;
mod floor;
mod glance;
mod health;
mod keeper;
mod lane;
pub mod leases;
mod metrics;
mod producers;
mod publisher;
mod rows;
mod span;
mod state;
mod topics;
mod vacuum;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::watch as watched;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::health::Health;
use self::keeper::Keeper;
use self::metrics::Metrics;
use self::producers::Producers;
use self::state::Activity;
use self::vacuum::Vacuum;
use crate::outbox::LANES;
use crate::{Clock, Condition, KafkaSettings, Outbox};

/// How often the outbox is looked at for the gauges.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Bounds of a relay's work.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// Records under way at once in each lane. All are acknowledged before the lane's next ones are read.
    pub batch_rows: u16,
    /// Bytes of them, which bounds the relay's memory; a single larger row is still sent.
    pub batch_bytes: u32,
    /// How long a topic may be missing before its rows are set aside.
    pub unknown_topic_grace: Duration,
    /// How long a stopping relay waits for the acknowledgements that are due. What does not come is sent again later.
    pub stop_within: Duration,
}

impl Default for RelaySettings {
    fn default() -> Self {
        Self {
            batch_rows: 1_000,
            batch_bytes: 2 * 1024 * 1024,
            unknown_topic_grace: Duration::from_secs(10),
            stop_within: Duration::from_secs(3),
        }
    }
}

/// Publishes a service's outbox. Every replica runs one, and they share the lanes.
#[derive(Debug)]
pub struct Relay {
    pool: PgPool,
    kafka: KafkaSettings,
    outbox: Outbox,
    settings: RelaySettings,
    condition: watched::Sender<Condition>,
}

/// Why a relay cannot run at all. Everything else it holds through.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// librdkafka refuses the configuration.
    #[error("no producer can be made from the kafka settings: {0}")]
    Configuration(rdkafka::error::KafkaError),
}

impl Relay {
    /// A relay of `outbox`, whose rows are in the database behind `pool`. It opens connections of its own with the pool's
    /// options, one for each lane that it has and one more, and uses the pool for vacuum only.
    pub fn new(pool: PgPool, kafka: KafkaSettings, outbox: &Outbox) -> Self {
        Self {
            pool,
            kafka,
            outbox: outbox.clone(),
            settings: RelaySettings::default(),
            condition: watched::Sender::new(Condition::Up),
        }
    }

    /// Other bounds than the default ones.
    #[must_use]
    pub fn with_settings(mut self, settings: RelaySettings) -> Self {
        self.settings = settings;
        self
    }

    /// How the relay is doing, now and later.
    pub fn condition(&self) -> watched::Receiver<Condition> {
        self.condition.subscribe()
    }

    /// Relays until `shutdown`. While the database or Kafka is gone it holds, tries again, and says so in its condition.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), RelayError> {
        let producers = Producers::new(self.producer_config());
        let shared = Arc::new(Shared {
            name: Uuid::now_v7(),
            database: (*self.pool.connect_options()).clone(),
            health: Health::new(self.condition.clone()),
            metrics: Metrics::new(self.outbox.clock()),
            vacuum: Vacuum::default(),
            activity: Activity::new(),
            producers,
            kafka: self.kafka,
            outbox: self.outbox,
            settings: self.settings,
        });
        let keeper = Keeper::new(Arc::clone(&shared));
        let outcome = tokio::select! {
            outcome = keeper.run(&shutdown) => outcome,
            () = shared.vacuum.run(&self.pool) => Ok(()),
        };
        if let Err(error) = &outcome {
            Condition::Down(error.to_string()).publish(&self.condition);
        }
        outcome
    }

    fn producer_config(&self) -> rdkafka::ClientConfig {
        let mut config = self.kafka.producer(&format!("{}-relay", self.outbox.service()));
        // The queue takes a batch of every lane, so handing over never has to wait.
        let messages = LANES * usize::from(self.settings.batch_rows);
        config
            .set("queue.buffering.max.messages", messages.max(10_000).to_string())
            .set("queue.buffering.max.kbytes", "1048576");
        config
    }
}

/// What the keeper and the lanes' tasks share.
#[derive(Debug)]
struct Shared {
    /// New at each start, so that a relay can never be taken for the one it was before.
    name: Uuid,
    database: PgConnectOptions,
    kafka: KafkaSettings,
    outbox: Outbox,
    settings: RelaySettings,
    health: Health,
    metrics: Metrics,
    vacuum: Vacuum,
    activity: Activity,
    producers: Producers,
}

impl Shared {
    fn clock(&self) -> &Clock {
        self.outbox.clock()
    }
}
