//! The transaction of a batch.

use std::pin::pin;
use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::{Instant, timeout};
use tracing::Instrument as _;

use super::batch::{BATCH_TIME, Blame, Item, Outcome, Ready};
use super::failure::Failure;
use super::group::Ordering;
use super::handler::{Delivery, Handler};
use super::kept::Kept;
use super::ordered::Frontier;
use super::ready::key;
use super::runtime::{BOOKKEEPING_DEADLINE, Runtime, Settled, guarded};
use super::watermarks::Turn;
use crate::crash_point;

/// What a transaction has done so far.
struct Work<'a, H: Handler> {
    /// None in an unordered group.
    frontier: Option<Frontier<'a>>,
    rows: H::Rows,
    /// By the items' indices; none for those that were not reached.
    outcomes: Vec<Option<Outcome>>,
    applied: usize,
}

/// What is to be done with an event.
enum Step<'p, P> {
    Apply(&'p P),
    Settle(Outcome),
    Leave,
}

impl<H: Handler> Runtime<H> {
    /// Applies in one transaction what is ready of the items, parks what comes before its turn, and flushes within `deadline`.
    /// Leaves the items as they are unless it was committed; then those that it reached have their outcome.
    pub(crate) async fn transact(
        &self,
        items: &mut [Item<'_, H>],
        deadline: Duration,
        kept: &mut Kept,
    ) -> Result<(), Blame> {
        if items.iter().all(|item| item.outcome.is_some()) {
            return Ok(());
        }
        let whole = BATCH_TIME + self.group.handler_deadline * 2 + BOOKKEEPING_DEADLINE;
        let outcomes = timeout(whole, self.transaction(items, deadline, kept))
            .await
            .unwrap_or_else(|_| {
                Err(Blame::Nobody(Failure::infrastructure(
                    "the database does not answer",
                )))
            })?;
        for (item, outcome) in items.iter_mut().zip(outcomes) {
            item.outcome = item.outcome.or(outcome);
        }
        Ok(())
    }

    /// Keeps the connection if all went well. If not, the pool finds out what is left of it.
    async fn transaction(
        &self,
        items: &[Item<'_, H>],
        deadline: Duration,
        kept: &mut Kept,
    ) -> Result<Vec<Option<Outcome>>, Blame> {
        let mut taken = kept.take(&self.pool).await.map_err(nobody)?;
        let outcomes = self
            .transaction_on(&mut taken.connection, items, deadline)
            .await?;
        kept.keep(taken, &self.pool);
        Ok(outcomes)
    }

    async fn transaction_on(
        &self,
        connection: &mut PgConnection,
        items: &[Item<'_, H>],
        deadline: Duration,
    ) -> Result<Vec<Option<Outcome>>, Blame> {
        let mut tx = self.begin_on(&mut *connection).await.map_err(nobody)?;
        let mut frontier = match self.group.ordering {
            Ordering::PerKey => Some(Frontier::new(&self.group.name, items)),
            Ordering::Unordered => None,
        };
        if let Some(frontier) = &mut frontier
            && !self.lock(&mut tx, frontier).await.map_err(nobody)?
        {
            tx.rollback().await.map_err(nobody)?;
            tx = self.begin_on(connection).await.map_err(nobody)?;
            frontier.lock(&mut tx).await.map_err(nobody)?;
        }
        let mut work = Work::<H> {
            frontier,
            rows: H::Rows::default(),
            outcomes: vec![None; items.len()],
            applied: 0,
        };
        self.apply_all(&mut tx, &mut work, items).await?;
        if work.applied > 0 {
            let rows = std::mem::take(&mut work.rows);
            self.flush(&mut tx, rows, deadline).await?;
        }
        self.keep_books(&mut tx, &mut work, items).await?;
        crash_point("consumer.apply.before_commit");
        tx.commit().await.map_err(|error| Blame::Batch(error.into()))?;
        crash_point("consumer.apply.after_commit");
        if work.applied > 0 {
            self.metrics.batch(work.applied);
        }
        Ok(work.outcomes)
    }

    /// Locks the aggregates, the short way if that is likely to be one. `false` when it was none, and the transaction has to begin
    /// anew.
    async fn lock(&self, tx: &mut PgConnection, frontier: &mut Frontier<'_>) -> Result<bool, sqlx::Error> {
        if self.shortcut.looks_open()
            && let Some(runs) = frontier.runs()
        {
            let moved = frontier.move_ahead(tx, runs).await?;
            if !moved {
                self.shortcut.was_none();
            }
            return Ok(moved);
        }
        frontier.lock(tx).await?;
        Ok(true)
    }

    /// Applies one event after the other, until the time of a batch is over.
    async fn apply_all<'a>(
        &self,
        tx: &mut PgConnection,
        work: &mut Work<'a, H>,
        items: &'a [Item<'_, H>],
    ) -> Result<(), Blame> {
        let started = Instant::now();
        for (index, (item, delivery)) in open(items) {
            if work.applied > 0 && started.elapsed() > BATCH_TIME {
                return Ok(());
            }
            let outcome = match work.step(index, item, delivery) {
                Step::Leave => continue,
                Step::Settle(outcome) => outcome,
                Step::Apply(prepared) => {
                    self.apply(tx, &mut work.rows, item, delivery, prepared)
                        .await
                        .map_err(|failure| by(index, failure))?;
                    work.applied += 1;
                    work.settle(index, item, delivery)
                }
            };
            if let Some(slot) = work.outcomes.get_mut(index) {
                *slot = Some(outcome);
            }
        }
        Ok(())
    }

    async fn apply(
        &self,
        tx: &mut PgConnection,
        rows: &mut H::Rows,
        item: &Item<'_, H>,
        delivery: &Delivery,
        prepared: &H::Prepared,
    ) -> Result<(), Failure> {
        // In its place, because it may be large, and each layer around it would move it.
        let applied = pin!(self.handler.apply(tx, rows, delivery, prepared));
        self.guarded(applied.instrument(item.span.clone())).await
    }

    async fn flush(&self, tx: &mut PgConnection, rows: H::Rows, deadline: Duration) -> Result<(), Blame> {
        if deadline < self.group.handler_deadline {
            // The server has to give up as early as we do, or it would go on holding locks.
            let shorter = format!("set local statement_timeout = {}", deadline.as_millis().max(1));
            sqlx::raw_sql(sqlx::AssertSqlSafe(shorter))
                .execute(&mut *tx)
                .await
                .map_err(|error| Blame::Batch(error.into()))?;
        }
        guarded(deadline, self.handler.flush(tx, rows))
            .await
            .map_err(Blame::Batch)
    }

    /// Writes the runtime's own part. A handler that swallowed the error of one of its statements left a transaction behind which
    /// PostgreSQL only rolls back, and says so nowhere when it is committed; the first statement here notices.
    async fn keep_books(
        &self,
        tx: &mut PgConnection,
        work: &mut Work<'_, H>,
        items: &[Item<'_, H>],
    ) -> Result<(), Blame> {
        let Some(frontier) = &work.frontier else {
            sqlx::query("select").execute(&mut *tx).await.map_err(blamed)?;
            return self.note_replays(tx, &work.outcomes, items).await;
        };
        let written = frontier.write(&mut *tx, self.clock.now()).await.map_err(blamed)?;
        let Some(drains) = written else {
            let reason = "another member has begun the same aggregate just now";
            return Err(Blame::Nobody(Failure::infrastructure(reason)));
        };
        self.note_replays(tx, &work.outcomes, items).await?;
        if drains.is_empty() {
            return Ok(());
        }
        for (index, (_, delivery)) in open(items) {
            let due = || {
                drains
                    .iter()
                    .any(|(topic, name)| (topic.as_str(), name.as_str()) == key(delivery))
            };
            if let Some(Some(Outcome::Settled(Settled::Applied { drain }))) = work.outcomes.get_mut(index) {
                *drain = due();
            }
        }
        Ok(())
    }
}

impl<H: Handler> Runtime<H> {
    async fn note_replays(
        &self,
        tx: &mut PgConnection,
        outcomes: &[Option<Outcome>],
        items: &[Item<'_, H>],
    ) -> Result<(), Blame> {
        let applied =
            |outcome: &Option<Outcome>| matches!(outcome, Some(Outcome::Settled(Settled::Applied { .. })));
        let applied = items
            .iter()
            .zip(outcomes)
            .filter(|(_, outcome)| applied(outcome))
            .map(|(item, _)| (&item.envelope, item.record));
        self.note_applied(tx, applied).await.map_err(nobody)
    }
}

impl<'a, H: Handler> Work<'a, H> {
    fn step<'p>(
        &mut self,
        index: usize,
        item: &'p Item<'_, H>,
        delivery: &'a Delivery,
    ) -> Step<'p, H::Prepared>
    where
        'p: 'a,
    {
        let turn = match &mut self.frontier {
            None => Some(Turn::Now),
            Some(frontier) => frontier.turn(index, delivery),
        };
        match (turn, &item.ready) {
            (None, _) => Step::Leave,
            (Some(Turn::Past), _) => Step::Settle(Outcome::Settled(Settled::Duplicate)),
            (Some(Turn::Later), _) => {
                if let Some(frontier) = &mut self.frontier {
                    frontier.park(index, delivery, item.record);
                }
                Step::Settle(Outcome::Settled(Settled::Parked))
            }
            (Some(Turn::Now), Ready::Failed(_)) => Step::Settle(Outcome::Failed),
            (Some(Turn::Now), Ready::Withheld) => Step::Settle(self.settle(index, item, delivery)),
            (Some(Turn::Now), Ready::Prepared(prepared)) => Step::Apply(prepared),
            (Some(Turn::Now), Ready::No) => {
                // Its turn has come since it was looked up.
                if let Some(frontier) = &mut self.frontier {
                    frontier.stall(index);
                }
                Step::Leave
            }
        }
    }

    fn settle(&mut self, index: usize, item: &Item<'_, H>, delivery: &'a Delivery) -> Outcome {
        if let Some(frontier) = &mut self.frontier {
            frontier.advance(index, delivery, item.record);
        }
        Outcome::Settled(Settled::Applied { drain: false })
    }
}

/// The items without an outcome, with their indices.
fn open<'a, H: Handler>(
    items: &'a [Item<'_, H>],
) -> impl Iterator<Item = (usize, (&'a Item<'a, H>, &'a Delivery))> {
    items
        .iter()
        .enumerate()
        .filter(|(_, item)| item.outcome.is_none())
        .filter_map(|(index, item)| Some((index, (item, item.delivery.as_ref()?))))
}

/// A call of a handler failed. An event that met an aborted transaction need not be the one that left it so.
fn by(index: usize, failure: Failure) -> Blame {
    if failure.met_aborted_transaction() {
        Blame::Batch(failure)
    } else {
        Blame::Item(index, failure)
    }
}

/// A statement of our own failed.
fn nobody(error: sqlx::Error) -> Blame {
    Blame::Nobody(Failure::bookkeeping(error))
}

/// The same, behind a handler's statements: if one of these left the transaction aborted, that is the handler's fault.
fn blamed(error: sqlx::Error) -> Blame {
    let failure = Failure::from(error);
    if failure.met_aborted_transaction() {
        Blame::Batch(failure)
    } else {
        Blame::Nobody(failure)
    }
}
