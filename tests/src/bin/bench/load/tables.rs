//! What the consumers write: one narrow row per event, or one wide row.

use anyhow::Result;
use eventing::consumer::{CopiedRows, TooLong};
use jiff::Timestamp;
use schemas::payment::PaymentEvent;
use sqlx::{Executor as _, PgConnection, PgPool};

/// The columns of `wide`, and how many they are.
pub(crate) const WIDE: &str = "event_id, payment_no, merchant_id, sequence, event_type, old_status, new_status, amount, \
    amount_refunded, currency, order_no, channel, occurred_at, recorded_partition, recorded_offset, recorded_at, \
    net_amount, fee_amount, day, hour";
const WIDE_COLUMNS: i16 = 20;

/// Makes the tables, or empties them with everything that a group knows.
pub(crate) async fn make(pool: &PgPool) -> Result<()> {
    pool.execute(
        "create table if not exists booked (
             event_id uuid not null, payment_no uuid not null, merchant_id uuid not null, sequence bigint not null,
             amount bigint not null, currency text not null, occurred_at timestamptz not null
         );
         create table if not exists wide (
             event_id uuid not null constraint wide_pkey primary key,
             payment_no uuid not null, merchant_id uuid not null, sequence bigint not null,
             event_type text not null, old_status text not null, new_status text not null,
             amount bigint not null, amount_refunded bigint not null, currency text not null,
             order_no text not null, channel text not null, occurred_at timestamptz not null,
             recorded_partition bigint not null, recorded_offset bigint not null, recorded_at timestamptz not null,
             net_amount bigint not null, fee_amount bigint not null, day bigint not null, hour bigint not null
         );
         create table if not exists watermark_ceiling (
             key text constraint watermark_ceiling_pkey primary key, last_sequence bigint not null
         ) with (fillfactor = 70);
         truncate booked, wide, watermark_ceiling, eventing.watermarks, eventing.parked;",
    )
    .await?;
    Ok(())
}

/// A narrow row's columns, each as an array: what UNNEST takes.
#[derive(Debug, Default)]
pub(crate) struct Booked {
    event_ids: Vec<uuid::Uuid>,
    payments: Vec<uuid::Uuid>,
    merchants: Vec<uuid::Uuid>,
    sequences: Vec<i64>,
    amounts: Vec<i64>,
    currencies: Vec<&'static str>,
    occurred_us: Vec<i64>,
}

impl Booked {
    pub(crate) fn push(&mut self, event: &PaymentEvent) {
        self.event_ids.push(event.event_id.uuid());
        self.payments.push(event.payment_no.uuid());
        self.merchants.push(event.merchant_id.uuid());
        self.sequences.push(event.sequence);
        self.amounts.push(event.amount);
        self.currencies.push(event.currency.code());
        self.occurred_us.push(event.occurred_at.as_microsecond());
    }

    /// Writes them all in one statement.
    pub(crate) async fn insert(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query(
            "insert into booked
             select event_id, payment_no, merchant_id, sequence, amount, currency,
                    timestamptz 'epoch' + occurred_us * interval '1 microsecond'
             from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[])
                  as row (event_id, payment_no, merchant_id, sequence, amount, currency, occurred_us)",
        )
        .bind(&self.event_ids)
        .bind(&self.payments)
        .bind(&self.merchants)
        .bind(&self.sequences)
        .bind(&self.amounts)
        .bind(&self.currencies)
        .bind(&self.occurred_us)
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// Writes one narrow row.
pub(crate) async fn insert_one(
    connection: &mut PgConnection,
    event: &PaymentEvent,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into booked
         values ($1, $2, $3, $4, $5, $6, timestamptz 'epoch' + $7::bigint * interval '1 microsecond')",
    )
    .bind(event.event_id.uuid())
    .bind(event.payment_no.uuid())
    .bind(event.merchant_id.uuid())
    .bind(event.sequence)
    .bind(event.amount)
    .bind(event.currency.code())
    .bind(event.occurred_at.as_microsecond())
    .execute(connection)
    .await?;
    Ok(())
}

/// Where a wide row's record was.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) partition: i64,
    pub(crate) offset: i64,
    pub(crate) recorded_at: Timestamp,
}

/// Adds an event's wide row.
pub(crate) fn widen(rows: &mut CopiedRows, event: &PaymentEvent, place: Place) -> Result<(), TooLong> {
    let fee = event.amount / 50 + 25;
    let occurred_us = event.occurred_at.as_microsecond();
    rows.row(WIDE_COLUMNS)
        .uuid(event.event_id.uuid())
        .uuid(event.payment_no.uuid())
        .uuid(event.merchant_id.uuid())
        .number(event.sequence)
        .text(event.event_type.as_str())?
        .text(event.old_status.unwrap_or(event.new_status).as_str())?
        .text(event.new_status.as_str())?
        .number(event.amount)
        .number(event.amount_refunded)
        .text(event.currency.code())?
        .text(&event.order_no)?
        .text(&event.channel)?
        .time(event.occurred_at)
        .number(place.partition)
        .number(place.offset)
        .time(place.recorded_at)
        .number(event.amount - fee)
        .number(fee)
        .number(occurred_us / 86_400_000_000)
        .number(occurred_us / 3_600_000_000);
    Ok(())
}
