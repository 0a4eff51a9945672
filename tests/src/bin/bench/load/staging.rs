//! Fills the outbox with a million rows in seconds: they are copied into a table once, and from there as often as needed.

use anyhow::Result;
use eventing::consumer::{CopiedInto, CopiedRows};
use eventing::headers::RecordHeaders;
use schemas::catalogue::PAYMENTS;
use sqlx::{Executor as _, PgPool};

use super::records;

/// Rows of one copy.
const CHUNK: u64 = 10_000;
const COLUMNS: i16 = 5;
static STAGED: CopiedInto = CopiedInto::new("staged", "number, key, sequence, payload, headers");

/// Copies so many records into the staging table.
pub(crate) async fn stage(pool: &PgPool, count: u64) -> Result<()> {
    pool.execute(
        "create unlogged table staged (
             number bigint, key text, sequence bigint, payload bytea, headers bytea
         )",
    )
    .await?;
    let mut tx = pool.begin().await?;
    let mut from = 0;
    while from < count {
        let below = count.min(from + CHUNK);
        let mut rows = CopiedRows::default();
        for number in from..below {
            write_row(&mut rows, number)?;
        }
        STAGED.write(&mut tx, rows).await?;
        from = below;
    }
    tx.commit().await?;
    pool.execute("vacuum analyze staged").await?;
    Ok(())
}

fn write_row(rows: &mut CopiedRows, number: u64) -> Result<()> {
    let record = records::record(number);
    let mut headers = RecordHeaders::new();
    for (name, value) in record.headers {
        headers.push(name, value);
    }
    rows.row(COLUMNS)
        .number(i64::try_from(number)?)
        .text(&record.key)?
        .number(record.sequence)
        .bytes(&record.payload)?
        .bytes(&headers.to_bytes()?)?;
    Ok(())
}

/// Appends staged rows to the outbox, in their order and in one transaction.
pub(crate) async fn fill_outbox(pool: &PgPool, from: u64, below: u64) -> Result<()> {
    sqlx::query(
        "insert into eventing.outbox (lane, topic, key, sequence, payload, headers, created_at)
         select eventing.outbox_lane($1, key), $1, key, sequence, payload, headers, now()
         from staged where number >= $2 and number < $3 order by number",
    )
    .bind(PAYMENTS.name)
    .bind(i64::try_from(from)?)
    .bind(i64::try_from(below)?)
    .execute(pool)
    .await?;
    Ok(())
}

/// Whether any row is left.
pub(crate) async fn outbox_is_empty(pool: &PgPool) -> Result<bool> {
    let left: bool = sqlx::query_scalar("select exists (select from eventing.outbox)")
        .fetch_one(pool)
        .await?;
    Ok(!left)
}
