//! What a service does that publishes: a transaction that makes a payment, with the event or without it.

use anyhow::Result;
use eventing::headers::{CloudEvent, RecordHeaders};
use eventing::outbox::Appended;
use eventing::{Clock, Outbox};
use schemas::payment::{PaymentEvent, PaymentEventType, PaymentStatus};
use schemas::{Currency, DomainEvent as _, EventId, MerchantId, PaymentNo};
use sqlx::{Executor as _, PgPool};
use uuid::Uuid;

/// The tables of a purchase: as a gateway's, an idempotency row and a payment with two indexes.
pub(crate) async fn create_tables(pool: &PgPool) -> Result<()> {
    pool.execute(
        "create table if not exists idempotency (
             key uuid primary key, request_sha256 bytea not null, created_at timestamptz not null default now()
         );
         create table if not exists payments (
             payment_no uuid primary key, merchant_id uuid not null, amount bigint not null, currency text not null,
             status text not null, sequence bigint not null, created_at timestamptz not null default now()
         );
         create index if not exists payments_merchant on payments (merchant_id, created_at);",
    )
    .await?;
    Ok(())
}

/// A new payment's first event.
pub(crate) fn event(clock: &Clock) -> Result<PaymentEvent> {
    Ok(PaymentEvent {
        event_id: EventId::generate(),
        event_type: PaymentEventType::Created,
        occurred_at: clock.now(),
        payment_no: PaymentNo::generate(),
        merchant_id: MerchantId::generate(),
        sequence: 1,
        old_status: None,
        new_status: PaymentStatus::Pending,
        amount: 1_999,
        amount_refunded: 0,
        currency: Currency::parse("EUR")?,
        order_no: "order-1".into(),
        customer_ref: None,
        channel: "stripe".into(),
        failure_code: None,
        refund: None,
    })
}

/// The headers of an event as the outbox writes them.
pub(crate) fn headers(event: &PaymentEvent) -> RecordHeaders {
    CloudEvent {
        id: event.event_id.uuid(),
        event_type: event.event_type().to_owned(),
        source: "payment-gateway".to_owned(),
        time: event.occurred_at,
        subject: event.aggregate_key(),
        sequence: event.sequence,
    }
    .to_headers()
}

/// A committed purchase.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Purchase {
    pub(crate) event_id: Uuid,
    /// When the commit was asked for and when it was answered, in microseconds of the clock.
    pub(crate) commit_began_us: i64,
    pub(crate) committed_us: i64,
}

/// Makes a payment in one transaction, and publishes its event if there is an outbox.
pub(crate) async fn purchase(pool: &PgPool, clock: &Clock, outbox: Option<&Outbox>) -> Result<Purchase> {
    let event = event(clock)?;
    let mut tx = pool.begin().await?;
    sqlx::query("insert into idempotency (key, request_sha256) values ($1, $2)")
        .bind(event.event_id.uuid())
        .bind(&[7_u8; 32][..])
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "insert into payments (payment_no, merchant_id, amount, currency, status, sequence)
         values ($1, $2, $3, $4, 'pending', 1)",
    )
    .bind(event.payment_no.uuid())
    .bind(event.merchant_id.uuid())
    .bind(event.amount)
    .bind(event.currency.code())
    .execute(&mut *tx)
    .await?;
    let appended = match outbox {
        Some(outbox) => outbox.append(&mut tx, &event).await?,
        None => Appended::default(),
    };
    let commit_began_us = clock.now().as_microsecond();
    tx.commit().await?;
    let committed_us = clock.now().as_microsecond();
    if let Some(outbox) = outbox {
        outbox.committed(appended);
    }
    Ok(Purchase {
        event_id: event.event_id.uuid(),
        commit_began_us,
        committed_us,
    })
}
