//! Applies parked events once nothing stands before them any more.
//!
//! Whoever resolves an event drains behind it at once. Should it die in between, or be unable to (an operator's command has no
//! handler), the watermark's row says that a drain is due, and some member of the group takes it up.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::handler::Handler;
use super::holds::Stopped;
use super::parked::{self, Next};
use super::record::Record;
use super::runtime::{End, Runtime};
use super::watermarks::{self, Aggregate};

/// How often it is looked for drains that are due.
const INTERVAL: Duration = Duration::from_secs(1);

/// How often parked events are counted.
const COUNT_INTERVAL: Duration = Duration::from_secs(10);

/// Aggregates that are taken up at once.
const MAX_AGGREGATES: i64 = 20;

/// Events that a worker drains behind one record; the rest is left to the periodic drain, so that other keys get their turn.
const MAX_EVENTS: usize = 200;

impl<H: Handler> Runtime<H> {
    /// Applies the parked events of an aggregate whose turn has come.
    pub(crate) async fn drain(
        &self,
        topic: &str,
        key: &str,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        for _ in 0..MAX_EVENTS {
            if stop.is_cancelled() {
                return Err(Stopped);
            }
            let aggregate = self.aggregate(topic, key);
            match self
                .held(stop, || async move { parked::next(&self.pool, &aggregate).await })
                .await?
            {
                None => return Ok(()),
                Some(Next::Settled) => self.pass_over_settled(&aggregate, stop).await?,
                Some(Next::Event { sequence, record }) => {
                    if self.settle_parked(&record, stop).await? == End::SentOn {
                        // On its tier or among the dead letters, it keeps its turn by the watermark.
                        self.unpark(&aggregate, sequence, stop).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn settle_parked(&self, record: &Record, stop: &CancellationToken) -> Result<End, Stopped> {
        match self.admit(record, stop).await? {
            Some(envelope) => self.settle(record, &envelope, stop).await,
            None => Ok(End::SentOn),
        }
    }

    async fn pass_over_settled(
        &self,
        aggregate: &Aggregate<'_>,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        self.held(stop, || async move {
            let mut tx = self.begin().await?;
            parked::pass_over_settled(&mut tx, aggregate).await?;
            tx.commit().await
        })
        .await
    }

    async fn unpark(
        &self,
        aggregate: &Aggregate<'_>,
        sequence: i64,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        self.held(stop, || async move {
            let mut tx = self.begin().await?;
            parked::remove(&mut tx, aggregate, sequence).await?;
            tx.commit().await
        })
        .await
    }

    /// Takes up drains that are due, until it is told to stop.
    pub(crate) async fn drain_periodically(&self, stop: &CancellationToken) {
        let mut counted = None::<Instant>;
        while self.drain_due(stop).await.is_ok() {
            if counted.is_none_or(|at| at.elapsed() >= COUNT_INTERVAL) {
                counted = Some(Instant::now());
                if let Ok(events) = parked::count(&self.pool, &self.group.name).await {
                    self.metrics.parked(events);
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    async fn drain_due(&self, stop: &CancellationToken) -> Result<(), Stopped> {
        let group = &self.group.name;
        let due = self
            .held(stop, || async move {
                watermarks::take_due(&self.pool, group, MAX_AGGREGATES).await
            })
            .await?;
        for (topic, key) in due {
            self.drain(&topic, &key, stop).await?;
        }
        Ok(())
    }
}
