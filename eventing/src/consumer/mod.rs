//! Consuming: once, in order, with retries that harm nobody.
//!
//! A [`Consumer`] reads the domain topics of its [`ConsumerGroup`] and the group's own retry topics, and gives each event to a
//! [`Handler`]. An event that fails goes to the next retry tier, and after the last one to the dead letters, while the others go
//! on. What is not the record's fault (database, registry, Kafka) is waited for in place.
//!
//! What a newcomer gets wrong: ownership of a partition protects nothing, because a rebalance or a paused process leaves two
//! members with the same record. What makes an event applied once is in the database: the watermark row of its aggregate
//! in an ordered group, the handler's own unique keys in an unordered one.

mod assignment;
mod batch;
pub(crate) mod blocks;
pub(crate) mod bounds;
mod breaker;
mod claims;
mod copied;
pub(crate) mod decode;
mod drain;
pub(crate) mod envelope;
mod fail;
mod failure;
pub(crate) mod gaps;
mod group;
mod handler;
mod holds;
mod kept;
mod lag;
mod member;
mod metrics;
#[cfg(test)]
mod model;
mod ordered;
pub(crate) mod parked;
mod publisher;
mod reader;
mod ready;
mod rebalance;
pub(crate) mod record;
mod requests;
mod runtime;
mod shortcut;
mod subscription;
mod tracker;
mod transact;
pub(crate) mod watermarks;
mod worker;

use std::sync::Arc;

use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use breaker::BreakerSettings;
pub use copied::{CopiedInto, CopiedRows, TooLong};
pub use failure::Failure;
pub(crate) use failure::fingerprint;
pub use gaps::Gap;
pub use group::{ConsumerGroup, Ordering};
pub use handler::{Delivery, Handler, Replay};

use breaker::Breakers;
use holds::Holds;
use metrics::Metrics;
use publisher::Publisher;
use runtime::Runtime;
pub(crate) use runtime::guarded;

use crate::{Clock, Condition, KafkaSettings, SchemaRegistry};

/// What a consumer, and the command for dead letters, work with. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Resources {
    /// The group's own database, migrated with [`crate::MIGRATOR`].
    pub pool: PgPool,
    /// Where the topics are.
    pub kafka: KafkaSettings,
    /// Which schema a record was written with.
    pub registry: SchemaRegistry,
    /// The time.
    pub clock: Clock,
}

/// Why a consumer stopped, or did not start. Failing infrastructure is not among it: that is waited for.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// The group's settings contradict themselves or the catalogue.
    #[error("consumer group {group}: {reason}")]
    Group {
        /// The group's name.
        group: String,
        /// What is wrong.
        reason: String,
    },
    /// Kafka's client does not accept its settings.
    #[error("the kafka client cannot be created: {0}")]
    Client(#[source] rdkafka::error::KafkaError),
}

/// One member of a consumer group.
#[derive(Debug)]
pub struct Consumer<H> {
    group: ConsumerGroup,
    handler: H,
    resources: Resources,
    condition: watch::Sender<Condition>,
}

impl<H: Handler> Consumer<H> {
    /// A member of `group`. It reads nothing before [`Consumer::run`].
    pub fn new(group: ConsumerGroup, handler: H, resources: Resources) -> Self {
        Self {
            group,
            handler,
            resources,
            condition: watch::Sender::default(),
        }
    }

    /// How it is doing: degraded while it waits for its infrastructure.
    pub fn condition(&self) -> watch::Receiver<Condition> {
        self.condition.subscribe()
    }

    /// Consumes until `shutdown` is cancelled; then finishes the records that are being handled, within the group's drain
    /// deadline, commits, and leaves the group.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ConsumerError> {
        self.group.check().map_err(|reason| ConsumerError::Group {
            group: self.group.name.clone(),
            reason,
        })?;
        let (runtime, kafka) = self.runtime().map_err(ConsumerError::Client)?;
        member::run(Arc::new(runtime), kafka, shutdown)
            .await
            .map_err(ConsumerError::Client)
    }

    /// What its workers share, and where they read from.
    fn runtime(self) -> Result<(Runtime<H>, KafkaSettings), rdkafka::error::KafkaError> {
        let Resources {
            pool,
            kafka,
            registry,
            clock,
        } = self.resources;
        let client_id = format!("{}-publisher", self.group.name);
        let metrics = Metrics::new(&self.group.name);
        let holds = Arc::new(Holds::new(&self.group.name, self.condition, metrics.clone()));
        let runtime = Runtime {
            publisher: Publisher::new(&kafka, &client_id, self.group.max_record_bytes)?,
            breakers: Breakers::new(&self.group, pool.clone(), Arc::clone(&holds), metrics.clone()),
            holds,
            group: self.group,
            handler: self.handler,
            pool,
            registry,
            clock,
            metrics,
            shortcut: shortcut::Shortcut::new(),
        };
        Ok((runtime, kafka))
    }
}
