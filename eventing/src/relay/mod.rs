//! The relay: takes committed events from the outbox to their topics.
//!
//! It promises that every committed event reaches its topic at least once, and that the first occurrences of an aggregate's
//! events appear in the order of their sequence, with no gap. It rests on four things:
//!
//! 1. One statement, hence one snapshot, reads all visible rows from the bottom, by `seq`. There is no cursor that a late
//!    commit could fall behind, and no gate that a long transaction could hold shut. (The `floor` is neither: it spares a
//!    read the numbers of which no row can come any more.)
//! 2. A row is deleted after its record was acknowledged, on the very connection whose session holds the lock.
//! 3. A producer never gives up on a record by itself. If it fails, it is thrown away with everything behind the failed
//!    record, and a new one starts at the first row that is left.
//! 4. Two producers at once, a stale relay's and its successor's, can only duplicate: each sends an aggregate's events in
//!    order and without a gap, from a row on that was not yet marked when it began.
//!
//! What a newcomer gets wrong: `seq` orders the events of one aggregate and says nothing about two.

mod failures;
mod floor;
mod health;
mod leader;
mod metrics;
mod publisher;
mod rows;
mod session;
mod span;
mod topics;
mod vacuum;
mod wake;

use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use leader::{LOCK_CLASS, LOCK_LANE};

use self::health::Health;
use self::leader::Leader;
use self::metrics::Metrics;
use self::session::{Session, SessionError};
use self::vacuum::Vacuum;
use crate::hold::Hold;
use crate::{Clock, Condition, KafkaSettings, Outbox};

/// How often a relay that stands by asks for the lock.
const STAND_BY: Duration = Duration::from_millis(250);

/// Bounds of a relay's work.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// Records under way at once. All are acknowledged before the next ones are read.
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
            batch_rows: 2_000,
            batch_bytes: 8 * 1024 * 1024,
            unknown_topic_grace: Duration::from_secs(10),
            stop_within: Duration::from_secs(3),
        }
    }
}

/// Publishes a service's outbox. Every replica runs one; one of them is active, and the others stand by.
#[derive(Debug)]
pub struct Relay {
    pool: PgPool,
    kafka: KafkaSettings,
    outbox: Outbox,
    settings: RelaySettings,
    condition: watch::Sender<Condition>,
}

/// Why a relay cannot run at all. Everything else it holds through.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// librdkafka refuses the configuration.
    #[error("no producer can be made from the kafka settings: {0}")]
    Configuration(rdkafka::error::KafkaError),
}

impl Relay {
    /// A relay of `outbox`, whose rows are in the database behind `pool`. It opens one connection of its own, with the pool's
    /// options: directly to PostgreSQL, because a pooler that shares sessions would share the lock.
    pub fn new(pool: PgPool, kafka: KafkaSettings, outbox: &Outbox) -> Self {
        Self {
            pool,
            kafka,
            outbox: outbox.clone(),
            settings: RelaySettings::default(),
            condition: watch::Sender::new(Condition::Up),
        }
    }

    /// Other bounds than the default ones.
    #[must_use]
    pub fn with_settings(mut self, settings: RelaySettings) -> Self {
        self.settings = settings;
        self
    }

    /// How the relay is doing, now and later.
    pub fn condition(&self) -> watch::Receiver<Condition> {
        self.condition.subscribe()
    }

    /// Relays until `shutdown`. While the database or Kafka is gone it holds, tries again, and says so in its condition.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), RelayError> {
        let parts = Parts {
            health: Health::new(self.condition.clone()),
            metrics: Metrics::new(self.clock()),
            vacuum: Vacuum::default(),
        };
        let outcome = tokio::select! {
            outcome = self.lead_again_and_again(&parts, &shutdown) => outcome,
            () = parts.vacuum.run(&self.pool) => Ok(()),
        };
        if let Err(error) = &outcome {
            Condition::Down(error.to_string()).publish(&self.condition);
        }
        outcome
    }

    async fn lead_again_and_again(
        &self,
        parts: &Parts,
        shutdown: &CancellationToken,
    ) -> Result<(), RelayError> {
        let mut hold = Hold::new();
        while !shutdown.is_cancelled() {
            let error = match self.lead_once(parts, &mut hold, shutdown).await {
                Ok(()) => return Ok(()),
                Err(SessionError::Configuration(error)) => return Err(RelayError::Configuration(error)),
                Err(SessionError::Leader(error)) => error,
            };
            tracing::warn!(%error, "the relay lost its connection to the database, and tries again");
            parts
                .health
                .holding(format!("the outbox cannot be read: {error}"));
            let _ = shutdown.run_until_cancelled(hold.pause()).await;
        }
        Ok(())
    }

    /// Stands by until the lock is free, and then relays until `shutdown` or until the connection is lost.
    async fn lead_once(
        &self,
        parts: &Parts,
        hold: &mut Hold,
        shutdown: &CancellationToken,
    ) -> Result<(), SessionError> {
        let options = self.pool.connect_options();
        let connect = Leader::connect(&options, self.outbox.service());
        let Some(leader) = shutdown.run_until_cancelled(connect).await else {
            return Ok(());
        };
        let mut leader = leader?;
        while !leader.try_lead().await? {
            parts.health.standing_by();
            hold.reset();
            if shutdown
                .run_until_cancelled(tokio::time::sleep(STAND_BY))
                .await
                .is_none()
            {
                return Ok(());
            }
        }
        tracing::info!("the relay is active");
        hold.reset();
        let _active = parts.metrics.active();
        Session::new(self, parts, leader).run(shutdown).await
    }
}

/// What outlives one period of activity.
#[derive(Debug)]
struct Parts {
    health: Health,
    metrics: Metrics,
    vacuum: Vacuum,
}

impl Relay {
    fn clock(&self) -> &Clock {
        self.outbox.clock()
    }

    fn producer_config(&self) -> rdkafka::ClientConfig {
        let mut config = self.kafka.producer(&format!("{}-relay", self.outbox.service()));
        // The queue takes a whole batch, so handing over never has to wait.
        config
            .set("queue.buffering.max.messages", "100000")
            .set("queue.buffering.max.kbytes", "1048576");
        config
    }
}
