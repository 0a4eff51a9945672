use sqlx::PgTransaction;

use super::failure::Failure;
use super::handler::{Delivery, Handler};
use super::parked;
use super::record::Record;
use super::runtime::{Runtime, Settled, bounded};
use super::watermarks::{self, Aggregate, Turn};
use crate::crash_point;

impl<H: Handler> Runtime<H> {
    /// Applies an event if it is its turn, and parks it if an earlier one of its aggregate is missing.
    pub(crate) async fn apply_in_order(
        &self,
        record: &Record,
        delivery: &Delivery,
    ) -> Result<Settled, Failure> {
        let aggregate = self.aggregate(&delivery.topic, &delivery.key);
        loop {
            // Looked up without the lock, so that `prepare` runs for an event only that will most likely be applied.
            let last = bounded(watermarks::last(&self.pool, &aggregate)).await?;
            match Turn::of(delivery.sequence, last) {
                Turn::Past => return Ok(Settled::Duplicate),
                Turn::Now => return self.apply_next(record, delivery, &aggregate).await,
                Turn::Later => {
                    if let Some(settled) = self.park(record, delivery, &aggregate).await? {
                        return Ok(settled);
                    }
                    // Its turn has come meanwhile.
                }
            }
        }
    }

    pub(crate) fn aggregate<'a>(&'a self, topic: &'a str, key: &'a str) -> Aggregate<'a> {
        Aggregate {
            group: &self.group.name,
            topic,
            key,
        }
    }

    async fn apply_next(
        &self,
        record: &Record,
        delivery: &Delivery,
        aggregate: &Aggregate<'_>,
    ) -> Result<Settled, Failure> {
        if delivery.event.is_unknown() {
            let message = "this version does not know the event's type";
            return Err(Failure::dead("unknown_event_type", message));
        }
        let prepared = if delivery.event.is_withheld() {
            None
        } else {
            Some(self.prepare(delivery).await?)
        };
        self.in_time(async {
            let locked = self.lock(aggregate).await;
            let (mut tx, last) = locked.map_err(Failure::bookkeeping)?;
            if Turn::of(delivery.sequence, last) != Turn::Now {
                // Only someone who applied this very event can have moved it.
                return Ok(Settled::Duplicate);
            }
            if let Some(prepared) = prepared {
                self.apply(&mut tx, delivery, &prepared).await?;
            }
            if record.parked {
                parked::remove_up_to(&mut tx, aggregate, delivery.sequence).await?;
            }
            let drain = watermarks::advance(&mut tx, aggregate, delivery.sequence).await?;
            crash_point("consumer.apply.before_commit");
            tx.commit().await?;
            crash_point("consumer.apply.after_commit");
            Ok(Settled::Applied { drain })
        })
        .await
    }

    /// Parks an event, unless its turn has come under the lock.
    async fn park(
        &self,
        record: &Record,
        delivery: &Delivery,
        aggregate: &Aggregate<'_>,
    ) -> Result<Option<Settled>, Failure> {
        self.in_time(async {
            let parking = async {
                let (mut tx, last) = self.lock(aggregate).await?;
                if Turn::of(delivery.sequence, last) != Turn::Later {
                    return Ok(None);
                }
                parked::park(&mut tx, aggregate, delivery.sequence, record, self.clock.now()).await?;
                tx.commit().await?;
                Ok(Some(Settled::Parked))
            };
            parking.await.map_err(Failure::bookkeeping)
        })
        .await
    }

    async fn lock(&self, aggregate: &Aggregate<'_>) -> Result<(PgTransaction<'static>, i64), sqlx::Error> {
        let mut tx = self.begin().await?;
        let last = watermarks::lock(&mut tx, aggregate).await?;
        Ok((tx, last))
    }
}
