//! One look at one withdrawal: order it, or ask what became of it.

use eventing::crash_point;
use jiff::Timestamp;
use platform::client::CallError;
use platform::problem::Chain;
use schemas::ids::WithdrawalNo;

use super::schedule::may_repeat;
use super::{PayoutError, Payouts, metrics};
use crate::clients::bank::Ordered;
use crate::domain::withdrawal::{PayoutId, Withdrawal, WithdrawalState};
use crate::store;
use crate::store::payout_queue::Job;

impl Payouts {
    /// Does what is due, and says how the withdrawal stands afterwards.
    pub(super) async fn follow_up(&self, job: &Job) -> Result<Withdrawal, PayoutError> {
        let withdrawal = self.started(job.withdrawal_no).await?;
        match &withdrawal.state {
            WithdrawalState::Pending | WithdrawalState::Processing { payout_id: None, .. } => {
                match job.first_posted_at {
                    None => self.order(withdrawal).await,
                    Some(first_posted_at) => self.find_or_repeat(withdrawal, first_posted_at).await,
                }
            }
            WithdrawalState::Processing {
                payout_id: Some(payout_id),
                ..
            }
            | WithdrawalState::Completed { payout_id, .. } => {
                let payout_id = payout_id.clone();
                self.ask(withdrawal, &payout_id).await
            }
            WithdrawalState::Failed { .. } | WithdrawalState::Returned { .. } => Ok(withdrawal),
        }
    }

    /// The withdrawal, which from here on is known to have been begun.
    async fn started(&self, withdrawal_no: WithdrawalNo) -> Result<Withdrawal, PayoutError> {
        let mut tx = self.pool.begin().await?;
        let withdrawal = store::withdrawals::lock(&mut tx, withdrawal_no)
            .await?
            .ok_or(PayoutError::NotFound)?;
        if !matches!(withdrawal.state, WithdrawalState::Pending) {
            return Ok(withdrawal);
        }
        let sequence = withdrawal.sequence;
        let (withdrawal, event) = withdrawal.start(self.clock.now())?;
        store::withdrawals::update(&mut tx, &withdrawal, sequence).await?;
        let appended = self.outbox.append(&mut tx, &event).await?;
        tx.commit().await?;
        self.outbox.committed(appended);
        Ok(withdrawal)
    }

    /// Sends the order. That it may have left is written down before, and taken back only against proof.
    async fn order(&self, withdrawal: Withdrawal) -> Result<Withdrawal, PayoutError> {
        let (withdrawal_no, noted_at) = (withdrawal.withdrawal_no, self.clock.now());
        let mut connection = self.pool.acquire().await?;
        store::payout_queue::note_posting(&mut connection, withdrawal_no, noted_at).await?;
        drop(connection);
        crash_point("settlement.bank.before");
        let ordered = self.bank.order(&withdrawal).await;
        crash_point("settlement.bank.after");
        match ordered {
            Ok(Ordered::Accepted(report)) => Ok(self.take_in(withdrawal_no, &report).await?.withdrawal()),
            Ok(Ordered::Refused) => Ok(self.take_in_refusal(withdrawal_no).await?.withdrawal()),
            Err(error) => {
                if error.is_not_sent() {
                    let mut connection = self.pool.acquire().await?;
                    store::payout_queue::withdraw_posting(&mut connection, withdrawal_no, noted_at).await?;
                }
                silence(withdrawal_no, "order", &error);
                Ok(withdrawal)
            }
        }
    }

    /// An order may have left, and its answer did not come.
    async fn find_or_repeat(
        &self,
        withdrawal: Withdrawal,
        first_posted_at: Timestamp,
    ) -> Result<Withdrawal, PayoutError> {
        let withdrawal_no = withdrawal.withdrawal_no;
        let found = match self.bank.find(withdrawal_no).await {
            Ok(found) => found,
            Err(error) => {
                silence(withdrawal_no, "find", &error);
                return Ok(withdrawal);
            }
        };
        if found.is_empty() {
            if may_repeat(first_posted_at, self.clock.now()) {
                return self.order(withdrawal).await;
            }
            metrics::stuck();
            tracing::error!(
                %withdrawal_no,
                %first_posted_at,
                "the bank does not know this payout, and its order is too old to be repeated safely: staff must decide"
            );
            return Ok(withdrawal);
        }
        let mut now_so = withdrawal;
        // More than one is the bank's mistake; the second is then a conflict.
        for report in &found {
            now_so = self.take_in(withdrawal_no, report).await?.withdrawal();
        }
        Ok(now_so)
    }

    async fn ask(&self, withdrawal: Withdrawal, payout_id: &PayoutId) -> Result<Withdrawal, PayoutError> {
        match self.bank.ask(payout_id).await {
            Ok(report) => Ok(self
                .take_in(withdrawal.withdrawal_no, &report)
                .await?
                .withdrawal()),
            Err(error) => {
                silence(withdrawal.withdrawal_no, "ask", &error);
                Ok(withdrawal)
            }
        }
    }
}

fn silence(withdrawal_no: WithdrawalNo, call: &'static str, error: &CallError) {
    tracing::warn!(%withdrawal_no, call, error = %Chain(error), "the bank gave no answer; the payout is looked at again");
}
