//! The lightest transition of an aggregate, so that writers at a high rate leave the machine to what is measured: the aggregate's
//! row, which the update locks, and its event.

use anyhow::Result;
use eventing::{Clock, Outbox};
use schemas::PaymentNo;
use sqlx::{Executor as _, PgPool};
use uuid::Uuid;

use super::purchases::{self, Commit};

/// Aggregates, few enough to stay in memory and many enough that transitions seldom meet.
const AGGREGATES: u128 = 10_000;

/// The aggregates, none of which has had a transition.
pub(crate) async fn create_table(pool: &PgPool) -> Result<()> {
    pool.execute(
        "create table transitions (id uuid primary key, sequence bigint not null) with (fillfactor = 50)",
    )
    .await?;
    let ids: Vec<Uuid> = (1..=AGGREGATES).map(Uuid::from_u128).collect();
    sqlx::query("insert into transitions (id, sequence) select id, 0 from unnest($1::uuid[]) as id")
        .bind(ids)
        .execute(pool)
        .await?;
    Ok(())
}

/// The next transition of some aggregate and its event.
pub(crate) async fn transition(pool: &PgPool, clock: &Clock, outbox: &Outbox) -> Result<Commit> {
    let mut event = purchases::event(clock)?;
    let aggregate = Uuid::from_u128(event.event_id.uuid().as_u128() % AGGREGATES + 1);
    event.payment_no = PaymentNo::from_uuid(aggregate);
    let mut tx = pool.begin().await?;
    event.sequence =
        sqlx::query_scalar("update transitions set sequence = sequence + 1 where id = $1 returning sequence")
            .bind(aggregate)
            .fetch_one(&mut *tx)
            .await?;
    let appended = outbox.append(&mut tx, &event).await?;
    let committed = Commit::commit(tx, clock, &event).await?;
    outbox.committed(appended);
    Ok(committed)
}
