//! What a service does that publishes: the gateway's own transaction that creates a payment, with the event or without it.
//!
//! Its tables, with their indexes and constraints, are the gateway's, and so are its statements: it finds the customer, keeps the
//! idempotency key, and inserts the payment.

use anyhow::Result;
use eventing::headers::{CloudEvent, RecordHeaders};
use eventing::outbox::Appended;
use eventing::{Clock, Outbox};
use jiff_sqlx::ToSqlx as _;
use schemas::payment::{PaymentEvent, PaymentEventType, PaymentStatus};
use schemas::{Currency, DomainEvent as _, EventId, MerchantId, PaymentNo};
use sqlx::{Executor as _, PgPool, PgTransaction};
use uuid::Uuid;

/// Stands for every hash and every sealed address.
const DIGEST: [u8; 32] = [7; 32];
/// Merchants, each with one customer who comes back.
const MERCHANTS: u128 = 1_000;

/// The gateway's tables, with merchants and customers.
pub(crate) async fn create_tables(pool: &PgPool) -> Result<()> {
    for migration in [
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../payment-gateway/migrations/0001_merchants.sql"
        )),
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../payment-gateway/migrations/0002_payments.sql"
        )),
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../payment-gateway/migrations/0003_idempotency.sql"
        )),
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../payment-gateway/migrations/0004_payments_by_customer.sql"
        )),
    ] {
        pool.execute(migration).await?;
    }
    let ids: Vec<Uuid> = (1..=MERCHANTS).map(Uuid::from_u128).collect();
    sqlx::query(
        "with merchant as (
             insert into merchants (id, name, email, status, webhook_secret, created_at, updated_at)
             select id, 'a merchant', 'a@merchant.example', 'active', $2, now(), now() from unnest($1::uuid[]) as id
             returning id
         )
         insert into customers (id, merchant_id, email, email_digest, created_at)
         select id, id, $2, $2, now() from merchant",
    )
    .bind(ids)
    .bind(&DIGEST[..])
    .execute(pool)
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

/// A committed transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Commit {
    pub(crate) event_id: Uuid,
    /// When the commit was asked for and when it was answered, in microseconds of the clock.
    pub(crate) began_us: i64,
    pub(crate) answered_us: i64,
}

impl Commit {
    /// Commits the transaction that makes this event.
    pub(crate) async fn commit(tx: PgTransaction<'_>, clock: &Clock, event: &PaymentEvent) -> Result<Self> {
        let began_us = clock.now().as_microsecond();
        tx.commit().await?;
        let answered_us = clock.now().as_microsecond();
        Ok(Self {
            event_id: event.event_id.uuid(),
            began_us,
            answered_us,
        })
    }
}

/// Makes a payment in one transaction, and publishes its event if there is an outbox.
pub(crate) async fn purchase(pool: &PgPool, clock: &Clock, outbox: Option<&Outbox>) -> Result<Commit> {
    let mut event = event(clock)?;
    let merchant = Uuid::from_u128(event.event_id.uuid().as_u128() % MERCHANTS + 1);
    event.merchant_id = MerchantId::from_uuid(merchant);
    event.order_no = event.event_id.uuid().to_string();
    let now = clock.now().to_sqlx();
    let mut tx = pool.begin().await?;
    let customer: Uuid =
        sqlx::query_scalar("select id from customers where merchant_id = $1 and email_digest = $2")
            .bind(merchant)
            .bind(&DIGEST[..])
            .fetch_one(&mut *tx)
            .await?;
    sqlx::query(
        "insert into idempotency_keys (merchant_id, method, path, key, request_hash, resource_id, claimed_until, created_at)
         values ($1, 'POST', '/api/v1/payments', $2, $3, $4, $5, $5)
         on conflict on constraint idempotency_keys_pkey do nothing",
    )
    .bind(merchant)
    .bind(&event.order_no)
    .bind(&DIGEST[..])
    .bind(event.payment_no.uuid())
    .bind(now)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "insert into payments (id, merchant_id, order_no, customer_id, channel, amount, currency, payment_method,
                               description, metadata, notify_url, request_hash, status, sequence, psp_attempts,
                               psp_posted_at, next_check_at, created_at, updated_at)
         values ($1, $2, $3, $4, 'stripe', $5, $6, 'card', 'an order', '{}', 'https://merchant.example/notices', $7,
                 'pending', 1, 1, $8, $8, $8, $8)
         on conflict on constraint payments_order_no_once do nothing",
    )
    .bind(event.payment_no.uuid())
    .bind(merchant)
    .bind(&event.order_no)
    .bind(customer)
    .bind(event.amount)
    .bind(event.currency.code())
    .bind(&DIGEST[..])
    .bind(now)
    .execute(&mut *tx)
    .await?;
    let appended = match outbox {
        Some(outbox) => outbox.append(&mut tx, &event).await?,
        None => Appended::default(),
    };
    let committed = Commit::commit(tx, clock, &event).await?;
    if let Some(outbox) = outbox {
        outbox.committed(appended);
    }
    Ok(committed)
}
