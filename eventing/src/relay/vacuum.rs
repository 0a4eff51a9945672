//! Keeps the cost of a poll independent of what was published before.
//!
//! A deleted row's index entry stays until vacuum has been there, and every poll from the bottom passes over it. Autovacuum
//! looks once a minute, in which a busy relay deletes a million rows; so the relay asks for it as often as it is needed.

use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::time::Instant;

/// So many index entries fit in some 30 blocks, which a poll passes over in microseconds.
const AFTER_ROWS: u64 = 10_000;
/// At full rate the rows of this time are still few enough to pass over, and vacuum takes a fraction of it.
const AT_MOST_EVERY: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(super) struct Vacuum(Notify);

/// Counts what one active relay deletes.
#[derive(Debug)]
pub(super) struct Deletions<'a> {
    vacuum: &'a Vacuum,
    rows: u64,
}

impl Vacuum {
    pub(super) fn deletions(&self) -> Deletions<'_> {
        Deletions {
            vacuum: self,
            rows: 0,
        }
    }

    /// Vacuums whenever enough was deleted, for ever.
    pub(super) async fn run(&self, pool: &PgPool) {
        let mut not_before = Instant::now();
        loop {
            self.0.notified().await;
            tokio::time::sleep_until(not_before).await;
            // Whoever is vacuuming already does what we want. A role that may not vacuum gets a warning, and relies on
            // autovacuum.
            let statement = sqlx::query!("vacuum (skip_locked, truncate false) eventing.outbox");
            if let Err(error) = statement.execute(pool).await {
                tracing::debug!(%error, "the outbox table was not vacuumed");
            }
            not_before = Instant::now() + AT_MOST_EVERY;
        }
    }
}

impl Deletions<'_> {
    pub(super) fn add(&mut self, rows: u64) {
        self.rows += rows;
        if self.rows >= AFTER_ROWS {
            self.rows = 0;
            self.vacuum.0.notify_one();
        }
    }
}
