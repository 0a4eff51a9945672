//! Payment events: written once each, listed newest first.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use schemas::payment::PaymentEvent;
use schemas::{EventId, MerchantId, PaymentNo, RefundNo};
use sqlx::{PgConnection, PgPool};

use crate::domain::scope::Scope;

/// Writes the event and moves its payment forward. A repeated event changes nothing; an older one only adds to the list.
pub async fn record(db: &mut PgConnection, event: &PaymentEvent) -> Result<(), sqlx::Error> {
    let refund = event.refund.as_ref();
    let written = sqlx::query!(
        r#"insert into payment_events
               (event_id, payment_no, merchant_id, sequence, event_type, old_status, new_status, amount, currency,
                channel, refund_no, refund_amount, occurred_at)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
           on conflict on constraint payment_events_pkey do nothing"#,
        event.event_id.uuid(),
        event.payment_no.uuid(),
        event.merchant_id.uuid(),
        event.sequence,
        event.event_type.as_str(),
        event.old_status.map(schemas::payment::PaymentStatus::as_str),
        event.new_status.as_str(),
        event.amount,
        event.currency.code(),
        event.channel,
        refund.map(|refund| refund.refund_no.uuid()),
        refund.map(|refund| refund.amount),
        event.occurred_at.to_sqlx() as _,
    )
    .execute(&mut *db)
    .await?;
    if written.rows_affected() == 0 {
        return Ok(());
    }
    advance(db, event).await
}

async fn advance(db: &mut PgConnection, event: &PaymentEvent) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"insert into payments as p
               (payment_no, merchant_id, channel, currency, amount, amount_refunded, status, sequence, first_seen_at)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
           on conflict on constraint payments_pkey do update set
               first_seen_at = least(p.first_seen_at, excluded.first_seen_at),
               status = case when excluded.sequence > p.sequence then excluded.status else p.status end,
               amount_refunded =
                   case when excluded.sequence > p.sequence then excluded.amount_refunded else p.amount_refunded end,
               sequence = greatest(p.sequence, excluded.sequence)"#,
        event.payment_no.uuid(),
        event.merchant_id.uuid(),
        event.channel,
        event.currency.code(),
        event.amount,
        event.amount_refunded,
        event.new_status.as_str(),
        event.sequence,
        event.occurred_at.to_sqlx() as _,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A payment event as it is listed.
#[derive(Debug, Clone)]
pub struct Row {
    /// The event.
    pub event_id: EventId,
    /// Its payment.
    pub payment_no: PaymentNo,
    /// Whose it is.
    pub merchant_id: MerchantId,
    /// Position among the payment's events.
    pub sequence: i64,
    /// What happened.
    pub event_type: String,
    /// The payment's status before; none at the first event.
    pub old_status: Option<String>,
    /// The payment's status after.
    pub new_status: String,
    /// The payment's amount, minor units.
    pub amount: i64,
    /// ISO 4217 code.
    pub currency: String,
    /// The PSP channel.
    pub channel: String,
    /// The refund that the event is about.
    pub refund_no: Option<RefundNo>,
    /// That refund's amount, minor units.
    pub refund_amount: Option<i64>,
    /// When it happened.
    pub occurred_at: Timestamp,
}

/// Which events to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only this payment's.
    pub payment_no: Option<PaymentNo>,
    /// Only this type.
    pub event_type: Option<String>,
    /// Only at or after this instant.
    pub start: Option<Timestamp>,
    /// Only before this instant.
    pub end: Option<Timestamp>,
    /// Only behind this event of the list, for the next page.
    pub after: Option<(Timestamp, EventId)>,
}

/// The events of a scope, newest first, at most `limit`.
pub async fn list(pool: &PgPool, scope: Scope, filter: &Filter, limit: i64) -> Result<Vec<Row>, sqlx::Error> {
    let (after_at, after_id) = filter.after.unzip();
    let rows = sqlx::query!(
        r#"select event_id as "event_id: EventId", payment_no as "payment_no: PaymentNo",
                  merchant_id as "merchant_id: MerchantId", sequence, event_type, old_status, new_status, amount,
                  currency, channel, refund_no as "refund_no: RefundNo", refund_amount, occurred_at
           from payment_events
           where ($1::uuid is null or merchant_id = $1)
             and ($2::uuid is null or payment_no = $2)
             and ($3::text is null or event_type = $3)
             and ($4::timestamptz is null or occurred_at >= $4)
             and ($5::timestamptz is null or occurred_at < $5)
             and ($6::timestamptz is null or (occurred_at, event_id) < ($6, $7::uuid))
           order by occurred_at desc, event_id desc
           limit $8"#,
        scope.merchant().map(MerchantId::uuid),
        filter.payment_no.map(PaymentNo::uuid),
        filter.event_type,
        filter.start.map(jiff_sqlx::ToSqlx::to_sqlx) as _,
        filter.end.map(jiff_sqlx::ToSqlx::to_sqlx) as _,
        after_at.map(jiff_sqlx::ToSqlx::to_sqlx) as _,
        after_id.map(EventId::uuid),
        limit,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Row {
            event_id: row.event_id,
            payment_no: row.payment_no,
            merchant_id: row.merchant_id,
            sequence: row.sequence,
            event_type: row.event_type,
            old_status: row.old_status,
            new_status: row.new_status,
            amount: row.amount,
            currency: row.currency,
            channel: row.channel,
            refund_no: row.refund_no,
            refund_amount: row.refund_amount,
            occurred_at: row.occurred_at.to_jiff(),
        })
        .collect())
}

/// How many arrivals there were: grows whenever there is something new to show. Counts this service's own writes, and
/// an arrival that commits late may be seen a moment after a younger one, which a dashboard does not mind.
pub async fn position(pool: &PgPool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"select coalesce(max(position), 0) as "position!" from payment_events"#)
        .fetch_one(pool)
        .await
}
