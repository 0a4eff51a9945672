//! Writing down what became of a claim.

use std::time::Duration;

use eventing::dead_letters;
use jiff::Timestamp;
use platform::problem::Chain;
use sqlx::PgConnection;

use super::Courier;
use crate::consumers::events::GROUP;
use crate::domain::notice::State;
use crate::domain::outcome::{Jitter, Outcome};
use crate::store::StoreError;
use crate::store::claims::{self, Claim};

/// While the database is away, an outcome is kept at hand and written when it is back, as long as the lease holds.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(500);

impl Courier {
    /// Writes down what an attempt came to. If that fails until the lease ends, the attempt stays without an outcome, and
    /// whoever claims the notice next sends it again.
    pub(super) async fn record(
        &self,
        claim: &Claim,
        attempt: u32,
        outcome: &Outcome,
        masked_recipient: &str,
    ) {
        let now = self.clock.now();
        let jitter = Jitter::from_random(rand::random());
        let state = self
            .schedule
            .after(outcome, claim.round_attempts + 1, now, jitter);
        self.log(claim, outcome, &state);
        loop {
            match self
                .try_record(claim, attempt, outcome, &state, masked_recipient, now)
                .await
            {
                Ok(true) => return,
                Ok(false) => {
                    tracing::warn!(notification_no = %claim.notification_no, "the lease ended before the outcome was recorded");
                    return;
                }
                Err(error) if self.clock.now() < claim.lease_ends_at => {
                    tracing::warn!(error = %Chain(&error), "an outcome cannot be recorded yet");
                    tokio::time::sleep(TRY_AGAIN_AFTER).await;
                }
                Err(error) => {
                    tracing::error!(
                        notification_no = %claim.notification_no, error = %Chain(&error),
                        "an outcome was not recorded; the notification will be sent again"
                    );
                    return;
                }
            }
        }
    }

    async fn try_record(
        &self,
        claim: &Claim,
        attempt: u32,
        outcome: &Outcome,
        state: &State,
        masked_recipient: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        claims::finish_attempt(&mut tx, claim, attempt, outcome, now).await?;
        let held = close(&mut tx, claim, state, Some(masked_recipient), now).await?;
        tx.commit().await?;
        Ok(held)
    }

    /// Ends a claim without an attempt.
    pub(super) async fn settle(&self, claim: &Claim, state: &State) -> Result<(), StoreError> {
        self.meters.count(claim.channel, state.status().as_str());
        let mut tx = self.pool.begin().await?;
        close(&mut tx, claim, state, None, self.clock.now()).await?;
        tx.commit().await?;
        Ok(())
    }

    fn log(&self, claim: &Claim, outcome: &Outcome, state: &State) {
        self.meters.count(claim.channel, outcome.as_str());
        let (channel, reason) = (
            claim.channel.as_str(),
            outcome.reason().map(super::super::domain::reason::Reason::as_str),
        );
        match state {
            State::Failed { .. } => tracing::warn!(
                notification_no = %claim.notification_no, channel, outcome = outcome.as_str(), reason,
                "a notification failed for good"
            ),
            State::Pending { .. } | State::Sent { .. } | State::Suppressed { .. } => tracing::info!(
                notification_no = %claim.notification_no, channel, outcome = outcome.as_str(), reason,
                "attempted a notification"
            ),
        }
    }
}

/// Ends a claim. A notice that failed is from the same moment on a dead letter of the group.
async fn close(
    tx: &mut PgConnection,
    claim: &Claim,
    state: &State,
    masked_recipient: Option<&str>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let held = claims::settle(tx, claim, state, masked_recipient, now).await?;
    if let (true, State::Failed { reason }) = (held, state) {
        let message = format!(
            "{} by {} to the {} failed: {reason}",
            claim.notification_no,
            claim.channel.as_str(),
            claim.recipient
        );
        dead_letters::append(tx, GROUP, &claim.source, "delivery_failed", &message).await?;
    }
    Ok(held)
}
