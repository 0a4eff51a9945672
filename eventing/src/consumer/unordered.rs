use sqlx::PgConnection;

use super::failure::Failure;
use super::handler::{Delivery, Handler};
use super::runtime::{Runtime, Settled};
use crate::crash_point;

impl<H: Handler> Runtime<H> {
    /// Applies an event, of which the handler's own unique keys tell whether it was applied before.
    pub(crate) async fn apply_unordered(&self, delivery: &Delivery) -> Result<Settled, Failure> {
        if delivery.event.is_unknown() || delivery.event.is_withheld() {
            return Ok(Settled::PassedOver);
        }
        let prepared = self.prepare(delivery).await?;
        self.in_time(async {
            let mut tx = self.begin().await.map_err(Failure::bookkeeping)?;
            self.apply(&mut tx, delivery, &prepared).await?;
            refuse_aborted(&mut tx).await?;
            crash_point("consumer.apply.before_commit");
            tx.commit().await?;
            crash_point("consumer.apply.after_commit");
            Ok(Settled::Applied { drain: false })
        })
        .await
    }
}

/// A handler that swallowed the error of one of its statements left a transaction behind which PostgreSQL only rolls back, and
/// says so nowhere when it is committed.
async fn refuse_aborted(tx: &mut PgConnection) -> Result<(), Failure> {
    sqlx::query("select").execute(tx).await?;
    Ok(())
}
