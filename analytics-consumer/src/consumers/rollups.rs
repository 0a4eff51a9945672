//! Every event of the three topics, into the tables that the numbers are read from.
//!
//! The group is unordered: an event may come late, or again. So each write is either keyed by the event, or moves a row
//! forward only to a higher sequence. What a batch holds is written with one statement a table.

use eventing::consumer::{Delivery, Failure, Handler};
use schemas::Event;
use schemas::payment::PaymentEvent;
use sqlx::PgConnection;

use crate::store;
use crate::store::payouts::State;

/// The handler.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rollups;

/// What a batch holds.
#[derive(Debug, Default)]
pub struct Rows {
    payments: Vec<PaymentEvent>,
    payouts: Vec<State>,
}

impl Handler for Rollups {
    type Prepared = ();
    type Rows = Rows;

    const PREPARES: bool = false;

    async fn prepare(&self, _: &Delivery) -> Result<(), Failure> {
        Ok(())
    }

    async fn apply(
        &self,
        _: &mut PgConnection,
        rows: &mut Rows,
        delivery: &Delivery,
        (): &(),
    ) -> Result<(), Failure> {
        match &delivery.event {
            Event::Payment(event) => rows.payments.push(PaymentEvent::clone(event)),
            Event::Settlement(event) => rows.payouts.push(State::of_settlement(event)),
            Event::Withdrawal(event) => rows.payouts.push(State::of_withdrawal(event)),
        }
        Ok(())
    }

    async fn flush(&self, tx: &mut PgConnection, rows: Rows) -> Result<(), Failure> {
        store::events::record(tx, &rows.payments).await?;
        store::payouts::record(tx, rows.payouts).await?;
        Ok(())
    }
}
