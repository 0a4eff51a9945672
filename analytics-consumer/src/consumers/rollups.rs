//! Every event of the three topics, into the tables that the numbers are read from.
//!
//! The group is unordered: an event may come late, or again. So each write is either keyed by the event, or moves a row
//! forward only to a higher sequence.

use eventing::consumer::{Delivery, Failure, Handler};
use schemas::Event;
use sqlx::PgConnection;

use crate::store;

/// The handler.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rollups;

impl Handler for Rollups {
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
        match &delivery.event {
            Event::Payment(event) => store::events::record(tx, event).await?,
            Event::Settlement(event) => store::payouts::record_settlement(tx, event).await?,
            Event::Withdrawal(event) => store::payouts::record_withdrawal(tx, event).await?,
        }
        Ok(())
    }
}
