//! A payment's events, numbered as the gateway numbers them.

use eventing::consumer::{Delivery, Failure, Handler as _};
use jiff::{SignedDuration, Timestamp};
use schemas::event::Event;
use schemas::ids::{EventId, MerchantId, PaymentNo, RefundNo};
use schemas::money::Currency;
use schemas::payment::{PaymentEvent, PaymentEventType, PaymentStatus, RefundRecord, RefundStatus};

use super::World;

/// A payment at the gateway. Each event is a second after the one before.
#[derive(Clone)]
#[expect(clippy::struct_field_names, reason = "the platform's word for it")]
pub(crate) struct Payment {
    pub(crate) payment_no: PaymentNo,
    pub(crate) merchant_id: MerchantId,
    amount: i64,
    currency: Currency,
    pub(crate) at: Timestamp,
    sequence: i64,
}

impl Payment {
    pub(crate) fn new(merchant_id: MerchantId, amount: i64, currency: &str, at: &str) -> Self {
        Self {
            payment_no: PaymentNo::generate(),
            merchant_id,
            amount,
            currency: Currency::parse(currency).unwrap(),
            at: at.parse().unwrap(),
            sequence: 0,
        }
    }

    pub(crate) fn event(
        &mut self,
        event_type: PaymentEventType,
        refund: Option<(RefundNo, i64)>,
    ) -> PaymentEvent {
        self.sequence += 1;
        self.at += SignedDuration::from_secs(1);
        PaymentEvent {
            event_id: EventId::generate(),
            event_type,
            occurred_at: self.at,
            payment_no: self.payment_no,
            merchant_id: self.merchant_id,
            sequence: self.sequence,
            old_status: None,
            new_status: PaymentStatus::Success,
            amount: self.amount,
            amount_refunded: 0,
            currency: self.currency,
            order_no: "order-1".to_owned(),
            customer_ref: None,
            channel: "stripe".to_owned(),
            failure_code: None,
            refund: refund.map(|(refund_no, amount)| RefundRecord {
                refund_no,
                amount,
                old_status: None,
                new_status: RefundStatus::Pending,
                failure_code: None,
            }),
        }
    }

    pub(crate) async fn succeed(&mut self, world: &World) {
        let event = self.event(PaymentEventType::Succeeded, None);
        world.apply(event).await.unwrap();
    }

    pub(crate) async fn refund(
        &mut self,
        world: &World,
        event_type: PaymentEventType,
        no: RefundNo,
        amount: i64,
    ) {
        let event = self.event(event_type, Some((no, amount)));
        world.apply(event).await.unwrap();
    }
}

impl World {
    /// Applies an event as the consumer's runtime does: in one transaction, which is rolled back on failure.
    pub(crate) async fn apply(&self, event: PaymentEvent) -> Result<(), Failure> {
        let delivery = Delivery::sample("payments.payment.v1", Event::Payment(Box::new(event)));
        self.handler.prepare(&delivery).await?;
        let mut tx = self.database.pool.begin().await.unwrap();
        self.handler.apply(&mut tx, &mut (), &delivery, &()).await?;
        tx.commit().await.unwrap();
        Ok(())
    }

    /// A charge of `amount` that succeeded at `at`.
    pub(crate) async fn charged(
        &self,
        merchant_id: MerchantId,
        amount: i64,
        currency: &str,
        at: &str,
    ) -> Payment {
        let mut payment = Payment::new(merchant_id, amount, currency, at);
        payment.succeed(self).await;
        payment
    }
}
