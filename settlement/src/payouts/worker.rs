//! The loop that finds withdrawals that are due. Any number of replicas may run it.

use std::convert::Infallible;
use std::time::Duration;

use futures::StreamExt as _;
use platform::health::Reporter;
use platform::problem::Chain;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{PayoutError, Payouts};
use crate::store;
use crate::store::payout_queue::Job;

/// How many withdrawals one claim takes; a round goes on until fewer are due.
const BATCH: i64 = 16;

/// How many of them are worked on at once.
const AT_ONCE: usize = 8;

impl Payouts {
    /// Looks for due withdrawals every `interval`, or when woken, until shutdown.
    pub async fn run(
        self,
        interval: Duration,
        reporter: Reporter,
        shutdown: CancellationToken,
    ) -> Result<(), Infallible> {
        while !shutdown.is_cancelled() {
            match self.round(&shutdown).await {
                Ok(()) => reporter.up(),
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "payouts wait for the database");
                    reporter.degraded("payouts wait for the database");
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(interval) => {}
            }
        }
        Ok(())
    }

    /// Works on everything that is due now. What is begun is ended, also at shutdown.
    pub async fn round(&self, shutdown: &CancellationToken) -> Result<(), PayoutError> {
        loop {
            let (claim, now) = (Uuid::now_v7(), self.clock.now());
            let until = self.schedule.claimed_until(now);
            let mut connection = self.pool.acquire().await?;
            let jobs = store::payout_queue::claim(&mut connection, claim, now, until, BATCH).await?;
            drop(connection);
            let claimed = jobs.len();
            futures::stream::iter(jobs)
                .for_each_concurrent(AT_ONCE, |job| self.look(claim, job))
                .await;
            if i64::try_from(claimed).unwrap_or(BATCH) < BATCH || shutdown.is_cancelled() {
                return Ok(());
            }
        }
    }

    /// A failure leaves the claim to expire, so that the next look comes by itself and not at once.
    async fn look(&self, claim: Uuid, job: Job) {
        if let Err(error) = self.look_and_finish(claim, &job).await {
            tracing::warn!(withdrawal_no = %job.withdrawal_no, error = %Chain(&error), "a payout could not be followed up");
        }
    }

    async fn look_and_finish(&self, claim: Uuid, job: &Job) -> Result<(), PayoutError> {
        let withdrawal = self.follow_up(job).await?;
        let next_look = self
            .schedule
            .next_look(&withdrawal, job.attempts, self.clock.now());
        let mut connection = self.pool.acquire().await?;
        Ok(store::payout_queue::finish(&mut connection, claim, job.withdrawal_no, next_look).await?)
    }
}
