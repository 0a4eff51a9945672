//! Keeps the cost of a poll independent of what was published before.
//!
//! A deleted row's index entry stays until vacuum has been there, and every poll from the bottom passes over it. Autovacuum
//! looks once a minute, in which a busy relay deletes a million rows; so the relay asks for it as often as it is needed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::outbox::{LANES, Lane};

/// So many index entries fit in some 30 blocks, which a poll passes over in microseconds.
const AFTER_ROWS: u64 = 10_000;
/// Vacuum reads the partition, which may hold a long backlog; it waits for so many deleted rows per block of it, so that what it
/// takes stays a fraction of what deleting them took. A block holds some eight rows or more.
const AFTER_ROWS_PER_BLOCK: u64 = 2;
/// At full rate the rows of this time are still few enough to pass over, and vacuum takes a fraction of it.
const AT_MOST_EVERY: Duration = Duration::from_secs(2);

/// Counts what is deleted from each lane, and vacuums the partitions that have lost enough.
#[derive(Debug, Default)]
pub(super) struct Vacuum {
    deleted: [AtomicU64; LANES],
    due: Notify,
}

impl Vacuum {
    /// So many rows were deleted from a lane.
    pub(super) fn deleted(&self, lane: Lane, rows: u64) {
        let Some(deleted) = self.deleted.get(lane.index()) else {
            return;
        };
        if deleted.fetch_add(rows, Ordering::AcqRel) + rows >= AFTER_ROWS {
            self.due.notify_one();
        }
    }

    /// Vacuums whenever enough was deleted, for ever.
    pub(super) async fn run(&self, pool: &PgPool) {
        let mut not_before = Instant::now();
        loop {
            self.due.notified().await;
            tokio::time::sleep_until(not_before).await;
            for (lane, deleted) in Lane::all().zip(&self.deleted) {
                let rows = deleted.load(Ordering::Acquire);
                if rows >= AFTER_ROWS && is_worth_it(pool, lane, rows).await {
                    deleted.store(0, Ordering::Release);
                    vacuum(pool, lane).await;
                }
            }
            not_before = Instant::now() + AT_MOST_EVERY;
        }
    }
}

/// Whether so many deleted rows are enough for the size that the partition has.
async fn is_worth_it(pool: &PgPool, lane: Lane, rows: u64) -> bool {
    let blocks = sqlx::query_scalar!(
        r#"select pg_relation_size(format('eventing.outbox_%s', $1::smallint)::regclass)
                  / current_setting('block_size')::bigint as "blocks!""#,
        lane.number(),
    )
    .fetch_one(pool)
    .await;
    blocks.is_ok_and(|blocks| rows >= AFTER_ROWS_PER_BLOCK * blocks.unsigned_abs())
}

/// Vacuums a lane's partition. Whoever is vacuuming it already does what we want. A role that may not vacuum gets a warning, and
/// relies on autovacuum.
async fn vacuum(pool: &PgPool, lane: Lane) {
    let statement = format!(
        "vacuum (skip_locked, truncate false) eventing.outbox_{}",
        lane.number()
    );
    if let Err(error) = sqlx::query(AssertSqlSafe(statement)).execute(pool).await {
        tracing::debug!(%error, ?lane, "a partition of the outbox was not vacuumed");
    }
}
