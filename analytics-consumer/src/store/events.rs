//! Payment events: written once each, listed newest first.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use schemas::payment::{PaymentEvent, PaymentStatus};
use schemas::{EventId, MerchantId, PaymentNo, RefundNo};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::domain::scope::Scope;

/// Writes events and moves their payments forward. A repeated event changes nothing; an older one only adds to the list.
///
/// Either is in the order of its ids, so that batches that share some cannot lock each other out.
pub async fn record(db: &mut PgConnection, events: &[PaymentEvent]) -> Result<(), sqlx::Error> {
    if events.is_empty() {
        return Ok(());
    }
    let mut events: Vec<&PaymentEvent> = events.iter().collect();
    events.sort_by_key(|event| event.event_id.uuid());
    insert(db, &events).await?;
    let mut payments = BTreeMap::<Uuid, Latest<'_>>::new();
    for event in events {
        payments
            .entry(event.payment_no.uuid())
            .and_modify(|latest| latest.merge(event))
            .or_insert(Latest {
                event,
                first_seen_at: event.occurred_at,
            });
    }
    advance(db, &payments.into_values().collect::<Vec<_>>()).await
}

/// What a batch says about one payment.
struct Latest<'a> {
    /// Of the highest sequence.
    event: &'a PaymentEvent,
    first_seen_at: Timestamp,
}

impl<'a> Latest<'a> {
    fn merge(&mut self, event: &'a PaymentEvent) {
        self.first_seen_at = self.first_seen_at.min(event.occurred_at);
        if event.sequence > self.event.sequence {
            self.event = event;
        }
    }
}

/// A column of the rows that are written in one statement.
fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

async fn insert(db: &mut PgConnection, events: &[&PaymentEvent]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"insert into payment_events
               (event_id, payment_no, merchant_id, sequence, event_type, old_status, new_status, amount, currency,
                channel, refund_no, refund_amount, occurred_at)
           select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::text[],
                $8::bigint[], $9::text[], $10::text[], $11::uuid[], $12::bigint[], $13::timestamptz[])
           on conflict on constraint payment_events_pkey do nothing"#,
        &column(events, |event| event.event_id.uuid()),
        &column(events, |event| event.payment_no.uuid()),
        &column(events, |event| event.merchant_id.uuid()),
        &column(events, |event| event.sequence),
        &column(events, |event| event.event_type.as_str()) as _,
        &column(events, |event| event.old_status.map(PaymentStatus::as_str)) as _,
        &column(events, |event| event.new_status.as_str()) as _,
        &column(events, |event| event.amount),
        &column(events, |event| event.currency.code()) as _,
        &column(events, |event| event.channel.as_str()) as _,
        &column(events, |event| event.refund.as_ref().map(|refund| refund.refund_no.uuid())) as _,
        &column(events, |event| event.refund.as_ref().map(|refund| refund.amount)) as _,
        &column(events, |event| event.occurred_at.to_sqlx()) as _,
    )
    .execute(db)
    .await?;
    Ok(())
}

async fn advance(db: &mut PgConnection, payments: &[Latest<'_>]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"insert into payments as p
               (payment_no, merchant_id, channel, currency, amount, amount_refunded, status, sequence, first_seen_at)
           select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[],
               $8::bigint[], $9::timestamptz[])
           on conflict on constraint payments_pkey do update set
               first_seen_at = least(p.first_seen_at, excluded.first_seen_at),
               status = case when excluded.sequence > p.sequence then excluded.status else p.status end,
               amount_refunded =
                   case when excluded.sequence > p.sequence then excluded.amount_refunded else p.amount_refunded end,
               sequence = greatest(p.sequence, excluded.sequence)
           where excluded.sequence > p.sequence or excluded.first_seen_at < p.first_seen_at"#,
        &column(payments, |payment| payment.event.payment_no.uuid()),
        &column(payments, |payment| payment.event.merchant_id.uuid()),
        &column(payments, |payment| payment.event.channel.as_str()) as _,
        &column(payments, |payment| payment.event.currency.code()) as _,
        &column(payments, |payment| payment.event.amount),
        &column(payments, |payment| payment.event.amount_refunded),
        &column(payments, |payment| payment.event.new_status.as_str()) as _,
        &column(payments, |payment| payment.event.sequence),
        &column(payments, |payment| payment.first_seen_at.to_sqlx()) as _,
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
