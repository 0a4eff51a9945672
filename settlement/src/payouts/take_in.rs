//! What the bank says, written down: the withdrawal, the ledger, the settlement and their events in one transaction.

use eventing::outbox::Appended;
use schemas::ids::WithdrawalNo;
use sqlx::PgTransaction;

use super::{PayoutError, Payouts, metrics};
use crate::domain::ledger::LedgerError;
use crate::domain::withdrawal::{ConflictKind, Moved, Report, Reported, SettlementEnd, Withdrawal};
use crate::store;

/// What became of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakenIn {
    /// The withdrawal is now so, changed or not.
    Agreed(Withdrawal),
    /// The bank contradicts us; that is kept, and nothing else was changed.
    Conflict(Withdrawal, ConflictKind),
}

impl TakenIn {
    /// The withdrawal as it is now.
    pub fn withdrawal(self) -> Withdrawal {
        match self {
            Self::Agreed(withdrawal) | Self::Conflict(withdrawal, _) => withdrawal,
        }
    }
}

impl Payouts {
    /// Takes in what the bank says about a withdrawal, however it came to say it, and however often.
    pub async fn take_in(
        &self,
        withdrawal_no: WithdrawalNo,
        report: &Report,
    ) -> Result<TakenIn, PayoutError> {
        self.change(withdrawal_no, |withdrawal, now| withdrawal.report(report, now))
            .await
    }

    /// Takes note that the bank refused the order.
    pub(super) async fn take_in_refusal(&self, withdrawal_no: WithdrawalNo) -> Result<TakenIn, PayoutError> {
        self.change(withdrawal_no, Withdrawal::reject).await
    }

    async fn change(
        &self,
        withdrawal_no: WithdrawalNo,
        change: impl FnOnce(Withdrawal, jiff::Timestamp) -> Result<Reported, LedgerError>,
    ) -> Result<TakenIn, PayoutError> {
        let mut tx = self.pool.begin().await?;
        let before = store::withdrawals::lock(&mut tx, withdrawal_no)
            .await?
            .ok_or(PayoutError::NotFound)?;
        let sequence = before.sequence;
        let mut appended = Appended::default();
        let taken_in = match change(before.clone(), self.clock.now())? {
            Reported::Nothing => return Ok(TakenIn::Agreed(before)),
            Reported::Accepted(withdrawal) => {
                store::withdrawals::update(&mut tx, &withdrawal, sequence).await?;
                TakenIn::Agreed(withdrawal)
            }
            Reported::Moved(moved) => {
                appended = self.follow(&mut tx, &moved, sequence).await?;
                TakenIn::Agreed(moved.withdrawal)
            }
            Reported::Conflicting(withdrawal, kind) => {
                store::withdrawals::update(&mut tx, &withdrawal, sequence).await?;
                TakenIn::Conflict(withdrawal, kind)
            }
        };
        tx.commit().await?;
        self.outbox.committed(appended);
        if let TakenIn::Conflict(_, kind) = taken_in {
            metrics::conflict(kind);
            tracing::error!(%withdrawal_no, conflict = kind.name(), "the bank contradicts what is booked: {kind}");
        }
        Ok(taken_in)
    }

    /// A withdrawal's row is locked before its settlement's, here and everywhere.
    async fn follow(
        &self,
        tx: &mut PgTransaction<'_>,
        moved: &Moved,
        sequence: i64,
    ) -> Result<Appended, PayoutError> {
        let (withdrawal, now) = (&moved.withdrawal, moved.withdrawal.updated_at);
        store::withdrawals::update(tx, withdrawal, sequence).await?;
        for posting in &moved.postings {
            store::ledger::post(tx, posting, None, now).await?;
        }
        let next_look = self.schedule.next_look(withdrawal, 0, now);
        store::payout_queue::reschedule(tx, withdrawal.withdrawal_no, next_look).await?;
        let appended = self.outbox.append(tx, &moved.event).await?;
        Ok(appended.and(self.end_settlement(tx, moved).await?))
    }

    async fn end_settlement(
        &self,
        tx: &mut PgTransaction<'_>,
        moved: &Moved,
    ) -> Result<Appended, PayoutError> {
        let (settlement_no, now) = (moved.withdrawal.settlement_no, moved.withdrawal.updated_at);
        if moved.settlement == SettlementEnd::Unchanged {
            return Ok(Appended::default());
        }
        let settlement = store::settlements::lock(tx, settlement_no)
            .await?
            .ok_or(PayoutError::NotFound)?;
        let (settlement, event) = match moved.settlement {
            SettlementEnd::Completed => settlement.complete(now)?,
            SettlementEnd::Failed(failure) => settlement.fail(failure, now)?,
            SettlementEnd::Unchanged => return Ok(Appended::default()),
        };
        store::settlements::update(tx, &settlement).await?;
        Ok(self.outbox.append(tx, &event).await?)
    }
}
