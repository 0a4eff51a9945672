//! `payments.payment.v1` into the ledger.
//!
//! The group is ordered: a payment's events come once each and without a gap, so that an event that does not fit what is booked
//! is a contradiction and not a delay. It becomes a dead letter and holds back the rest of its payment.

use eventing::Clock;
use eventing::consumer::{ConsumerGroup, Delivery, Failure, Handler};
use schemas::{
    catalogue,
    event::Event,
    ids::RefundNo,
    money::Money,
    payment::{PaymentEvent, PaymentEventType},
};
use sqlx::PgConnection;

use crate::{
    domain::{payment_books::Step, terms::Terms},
    store::{self, StoreError},
};

/// The consumer group's name.
pub const GROUP: &str = "settlement";

/// The group that feeds the ledger.
pub fn group() -> ConsumerGroup {
    ConsumerGroup::ordered(GROUP, [catalogue::PAYMENTS.name])
}

/// Books payments and refunds.
#[derive(Clone, Debug)]
pub struct PaymentEvents {
    clock: Clock,
    default_terms: Terms,
}

impl PaymentEvents {
    /// Books at the merchant's terms, else at `default_terms`.
    pub fn new(clock: Clock, default_terms: Terms) -> Self {
        Self { clock, default_terms }
    }

    async fn book(&self, tx: &mut PgConnection, event: &PaymentEvent) -> Result<(), Failure> {
        let Some((step, minor)) = self.step(tx, event).await? else {
            return Ok(());
        };
        let books = store::ledger::payment_books(tx, event.payment_no).await?;
        let amount = Money::new(minor, event.currency);
        let posting = books
            .post(step, event.merchant_id, amount, event.occurred_at)
            .map_err(|contradiction| Failure::dead("contradicts_ledger", contradiction))?;
        Ok(store::ledger::post(tx, &posting, Some(event.event_id), self.clock.now()).await?)
    }

    /// What the event is to the ledger, and over how much; `None` if no money moves.
    async fn step(
        &self,
        tx: &mut PgConnection,
        event: &PaymentEvent,
    ) -> Result<Option<(Step, i64)>, Failure> {
        let step = match event.event_type {
            PaymentEventType::Succeeded => {
                let own = store::terms::in_force(tx, event.merchant_id, event.occurred_at).await?;
                (Step::Succeeded(own.unwrap_or(self.default_terms)), event.amount)
            }
            PaymentEventType::RefundCreated => refund(event, Step::RefundCreated)?,
            PaymentEventType::RefundFailed => refund(event, Step::RefundFailed)?,
            PaymentEventType::RefundSucceeded => refund(event, Step::RefundSucceeded)?,
            PaymentEventType::Created
            | PaymentEventType::Processing
            | PaymentEventType::RequiresAction
            | PaymentEventType::Failed
            | PaymentEventType::Cancelled
            | PaymentEventType::Expired
            | PaymentEventType::Withheld => return Ok(None),
            // The runtime keeps these away; if one comes all the same, it may move money in a way that is not known here.
            PaymentEventType::Unknown => {
                return Err(Failure::dead(
                    "unknown_event_type",
                    "an event type that this version does not know",
                ));
            }
        };
        Ok(Some(step))
    }
}

fn refund(event: &PaymentEvent, step: fn(RefundNo) -> Step) -> Result<(Step, i64), Failure> {
    let refund = event
        .refund
        .as_ref()
        .ok_or_else(|| Failure::dead("refund_missing", "a refund's event without the refund"))?;
    Ok((step(refund.refund_no), refund.amount))
}

impl Handler for PaymentEvents {
    type Prepared = ();
    type Rows = ();

    const PREPARES: bool = false;

    async fn prepare(&self, _delivery: &Delivery) -> Result<(), Failure> {
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
            Event::Payment(event) => self.book(tx, event).await,
            Event::Settlement(_) | Event::Withdrawal(_) => {
                Err(Failure::dead("wrong_topic", "the ledger is fed by payments only"))
            }
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Sql(error) => error.into(),
            StoreError::Corrupt { .. } | StoreError::Stale { .. } => Self::dead("ledger_unreadable", error),
        }
    }
}
