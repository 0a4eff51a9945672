//! Every event of the platform, in any order: each is written down as the notices it calls for, and nothing else happens
//! here. Whom to write to is asked when a notice is delivered.

use eventing::Clock;
use eventing::consumer::{ConsumerGroup, Delivery, Failure, Handler};
use sqlx::PgConnection;

use crate::domain::plan::plan;
use crate::store::StoreError;
use crate::store::planned::{self, Origin};

/// The group's name.
pub const GROUP: &str = "notifier";

/// The consumer group: all domain topics, unordered.
pub fn group() -> ConsumerGroup {
    let topics = schemas::catalogue::TOPICS.iter().map(|topic| topic.name);
    ConsumerGroup::unordered(GROUP, topics)
}

/// Writes down the notices that an event calls for.
pub struct Events {
    clock: Clock,
    approver_count: u16,
}

impl Events {
    /// A handler that tells so many approvers.
    pub fn new(clock: Clock, approver_count: u16) -> Self {
        Self {
            clock,
            approver_count,
        }
    }
}

impl Handler for Events {
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
        let plan = plan(&delivery.event, self.approver_count)
            .map_err(|contradiction| Failure::dead("event_contradicts_itself", contradiction))?;
        let Some(plan) = plan else { return Ok(()) };
        let (now, event) = (self.clock.now(), &delivery.event);
        let origin = Origin {
            topic: &delivery.topic,
            partition: delivery.partition,
            offset: delivery.offset,
        };
        planned::insert(tx, event, origin, &plan, now)
            .await
            .map_err(failure)?;
        if delivery.replay.is_some() {
            planned::rearm_failed(tx, event, now).await.map_err(failure)?;
        }
        Ok(())
    }
}

/// The runtime tells apart what the database's failure means.
fn failure(error: StoreError) -> Failure {
    match error {
        StoreError::Database(error) => error.into(),
        StoreError::Unreadable(cause) => Failure::dead("facts_unwritable", cause),
    }
}
