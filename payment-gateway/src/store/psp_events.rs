//! Webhooks of the PSP that were worked off.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use schemas::ids::PaymentNo;
use sqlx::PgExecutor;

use super::StoreError;

/// A webhook, as far as it is kept.
#[derive(Debug, Clone)]
pub struct PspEvent {
    /// The PSP's number for it.
    pub id: String,
    /// What it tells of.
    pub event_type: String,
}

/// Whether it was worked off already.
pub async fn is_known(db: impl PgExecutor<'_>, id: &str) -> Result<bool, StoreError> {
    let known = sqlx::query_scalar!("select 1 from psp_events where id = $1", id)
        .fetch_optional(db)
        .await?;
    Ok(known.is_some())
}

/// Notes that it was worked off, in the transaction that did it.
pub async fn insert(
    db: impl PgExecutor<'_>,
    event: &PspEvent,
    payment_no: PaymentNo,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into psp_events (id, event_type, payment_id, received_at) values ($1, $2, $3, $4)
         on conflict on constraint psp_events_pkey do nothing",
        event.id,
        event.event_type,
        payment_no.uuid(),
        now.to_sqlx(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets those received before, at most `rows` of them; tells how many.
pub async fn prune(db: impl PgExecutor<'_>, before: Timestamp, rows: i64) -> Result<u64, StoreError> {
    let pruned = sqlx::query!(
        "delete from psp_events where id in (select id from psp_events where received_at < $1 limit $2)",
        before.to_sqlx(),
        rows,
    )
    .execute(db)
    .await?;
    Ok(pruned.rows_affected())
}
