//! Asks about everything whose outcome is open, and forgets what is old. Runs on every replica; a row that one of them has
//! claimed is passed over by the others.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Charging, ChargingError};
use crate::store;

/// Calls of one replica's sweeps at once, so that requests keep their share of the PSP's patience. No more rows are claimed
/// than can be asked about at once: a claim would run out while its row waits.
pub(super) const AT_ONCE: usize = 16;
/// How long first answers and worked-off webhooks are kept.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Rows deleted in one go: short locks.
const PRUNED_AT_ONCE: i64 = 1000;
/// Sweeps between two prunings.
const SWEEPS_PER_PRUNING: u32 = 100;

/// Sweeps every `interval` until told to stop. A failure is logged, and the next sweep tries again.
pub async fn run(
    charging: Charging,
    interval: Duration,
    shutdown: CancellationToken,
) -> Result<(), Infallible> {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut sweeps: u32 = 0;
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        report(charging.sweep().await.map(drop));
        if sweeps.is_multiple_of(SWEEPS_PER_PRUNING) {
            report(charging.prune().await);
        }
        sweeps = sweeps.wrapping_add(1);
    }
    Ok(())
}

fn report(outcome: Result<(), ChargingError>) {
    if let Err(error) = outcome {
        tracing::warn!(error = %platform::problem::Chain(&error), "a sweep failed; the next one tries again");
    }
}

impl Charging {
    /// Sets out to ask about what is due, as far as there are hands for it; gives the tasks that do.
    pub async fn sweep(&self) -> Result<Vec<JoinHandle<()>>, ChargingError> {
        // Asking now would only push everything further into the future.
        if self.stripe.is_refusing() {
            return Ok(Vec::new());
        }
        let now = self.clock.now();
        let until = self.claimed_until(now);
        let mut tasks = Vec::new();
        let mut hands = self.free_hands();
        for payment_no in store::work::claim_payments(&self.pool, now, until, count(&hands)).await? {
            let (charging, hand) = (self.clone(), hands.pop());
            tasks.push(self.tasks.own(async move {
                let _hand = hand;
                if let Err(error) = charging.pursue(payment_no).await {
                    tracing::warn!(%payment_no, error = %platform::problem::Chain(&error), "payment not pursued");
                }
            }));
        }
        for refund_no in store::work::claim_refunds(&self.pool, now, until, count(&hands)).await? {
            let (charging, hand) = (self.clone(), hands.pop());
            tasks.push(self.tasks.own(async move {
                let _hand = hand;
                if let Err(error) = charging.pursue_refund(refund_no).await {
                    tracing::warn!(%refund_no, error = %platform::problem::Chain(&error), "refund not pursued");
                }
            }));
        }
        Ok(tasks)
    }

    fn free_hands(&self) -> Vec<OwnedSemaphorePermit> {
        std::iter::from_fn(|| Arc::clone(&self.hands).try_acquire_owned().ok()).collect()
    }

    /// Forgets first answers and webhooks that are old.
    pub async fn prune(&self) -> Result<(), ChargingError> {
        let before = self.clock.now() - KEPT_FOR;
        let is_full = |pruned: u64| i64::try_from(pruned).is_ok_and(|pruned| pruned >= PRUNED_AT_ONCE);
        while is_full(store::idempotency::prune(&self.pool, before, PRUNED_AT_ONCE).await?) {}
        while is_full(store::psp_events::prune(&self.pool, before, PRUNED_AT_ONCE).await?) {}
        Ok(())
    }
}

fn count(hands: &[OwnedSemaphorePermit]) -> i64 {
    i64::try_from(hands.len()).unwrap_or(i64::MAX)
}
