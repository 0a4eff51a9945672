use std::future::Future;

use jiff::Timestamp;
use schemas::Event;
use sqlx::PgConnection;
use uuid::Uuid;

use super::failure::Failure;

/// What a consumer group does with an event, in two steps.
///
/// Both may be called again for the same event: after a failure, a crash, a rebalance. What `apply` wrote is then rolled back,
/// or (in an ordered group) the runtime knows that it was done, or (in an unordered one) the handler's own unique keys do.
pub trait Handler: Send + Sync + 'static {
    /// What `prepare` hands to `apply`; `()` when nothing is read from the network.
    type Prepared: Send;

    /// Reads from the network what `apply` needs. It changes nothing, and runs outside any transaction.
    fn prepare(&self, delivery: &Delivery) -> impl Future<Output = Result<Self::Prepared, Failure>> + Send;

    /// Writes to the database, in the transaction in which the runtime writes its own bookkeeping. It calls nothing over the
    /// network, and neither commits nor rolls back; savepoints are fine.
    fn apply(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery,
        prepared: Self::Prepared,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// An event as a handler gets it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// What happened. Never of a type that this version does not know, and never a withheld one.
    pub event: Event,
    /// The domain topic, also when the record came through a retry tier.
    pub topic: String,
    /// The partition of the original record on that topic.
    pub partition: i32,
    /// The offset of the original record on that topic.
    pub offset: i64,
    /// Kafka's timestamp of the original record.
    pub recorded_at: Timestamp,
    /// The aggregate's id.
    pub key: String,
    /// The event's number within its aggregate: dense, from 1.
    pub sequence: i64,
    /// Which attempt this is; 1 at first.
    pub attempt: u32,
    /// Set when an operator replays a dead letter.
    pub replay: Option<Replay>,
}

impl Delivery {
    /// A first delivery of `event`, for a handler's own tests.
    pub fn sample(topic: impl Into<String>, event: Event) -> Self {
        Self {
            topic: topic.into(),
            partition: 0,
            offset: 0,
            recorded_at: event.occurred_at(),
            key: event.aggregate_key(),
            sequence: event.sequence(),
            attempt: 1,
            replay: None,
            event,
        }
    }
}

/// Which replay a record belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The job in which an operator asked for it.
    pub job: Uuid,
    /// The dead letter's id: its partition and offset on the dead-letter topic, as in `3-17`.
    pub letter: String,
}
