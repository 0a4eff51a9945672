//! A withdrawal: the payout of one settlement, as far as the bank has told.
//!
//! `pending → processing → completed | failed | returned`, and `completed → returned` when the money comes back later. The
//! bank tells by webhook, by its answer and when asked, in any order and as often as it likes: what was already known changes
//! nothing, what is older is passed over, and what contradicts is kept as a conflict for a person to look at.

use jiff::Timestamp;
use schemas::{
    ids::{MerchantId, SettlementNo, WithdrawalNo},
    money::Money,
    withdrawal::{WithdrawalEvent, WithdrawalFailureCode, WithdrawalStatus},
};

use crate::domain::{
    events,
    ledger::{Fact, LedgerError, Posting},
};

mod report;
mod state;
#[cfg(test)]
mod tests;

pub use report::{Conflict, ConflictKind, PayoutId, PayoutIdError, PayoutStatus, Report};
pub use state::WithdrawalState;

/// The payout of one settlement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// Its number, which is also the idempotency key towards the bank.
    pub withdrawal_no: WithdrawalNo,
    /// What it pays out.
    pub settlement_no: SettlementNo,
    /// Who is paid.
    pub merchant_id: MerchantId,
    /// How much, positive.
    pub amount: Money,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its state last changed.
    pub updated_at: Timestamp,
    /// The number of its last event; dense from 1.
    pub sequence: i64,
    /// Where it stands.
    pub state: WithdrawalState,
    /// The first thing the bank said that contradicts it.
    pub conflict: Option<Conflict>,
}

/// What a report does to a withdrawal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reported {
    /// It was known.
    Nothing,
    /// The bank's name for the payout was learned.
    Accepted(Withdrawal),
    /// The withdrawal moved on.
    Moved(Box<Moved>),
    /// The bank contradicts us.
    Conflicting(Withdrawal, ConflictKind),
}

/// A withdrawal's step, with all that follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// As it is now.
    pub withdrawal: Withdrawal,
    /// What the world is told.
    pub event: WithdrawalEvent,
    /// What is booked, in this order.
    pub postings: Vec<Posting>,
    /// What it means for the settlement.
    pub settlement: SettlementEnd,
}

/// What a withdrawal's step means for its settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettlementEnd {
    /// It was paid out.
    Completed,
    /// It was not.
    Failed(WithdrawalFailureCode),
    /// It had ended before.
    Unchanged,
}

/// Why a withdrawal cannot be started.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a withdrawal that is {0:?} cannot be started")]
pub struct NotPending(pub WithdrawalStatus);

impl Withdrawal {
    /// Makes the withdrawal that pays out `settlement_no`.
    pub fn open(
        withdrawal_no: WithdrawalNo,
        settlement_no: SettlementNo,
        merchant_id: MerchantId,
        net: Money,
        now: Timestamp,
    ) -> Result<(Self, WithdrawalEvent, Posting), LedgerError> {
        let posting = Posting::new(Fact::Payout(withdrawal_no), merchant_id, net, now)?;
        let withdrawal = Self {
            withdrawal_no,
            settlement_no,
            merchant_id,
            amount: net,
            created_at: now,
            updated_at: now,
            sequence: 1,
            state: WithdrawalState::Pending,
            conflict: None,
        };
        let event = events::withdrawal(&withdrawal, None);
        Ok((withdrawal, event, posting))
    }

    /// The bank is about to be told. From here on it may know, whatever becomes of the call.
    pub fn start(self, now: Timestamp) -> Result<(Self, WithdrawalEvent), NotPending> {
        match self.state {
            WithdrawalState::Pending => Ok(self.moved_to(
                WithdrawalState::Processing {
                    started_at: now,
                    payout_id: None,
                },
                now,
            )),
            WithdrawalState::Processing { .. }
            | WithdrawalState::Completed { .. }
            | WithdrawalState::Failed { .. }
            | WithdrawalState::Returned { .. } => Err(NotPending(self.state.status())),
        }
    }

    /// The bank refused the order: nothing was paid, and nothing will be.
    pub fn reject(self, now: Timestamp) -> Result<Reported, LedgerError> {
        match &self.state {
            WithdrawalState::Processing {
                started_at,
                payout_id: None,
            } => {
                let started_at = *started_at;
                self.failed(started_at, None, WithdrawalFailureCode::BankRejected, now)
            }
            // A webhook or another replica was first, and knows better than a repeated order.
            WithdrawalState::Processing {
                payout_id: Some(_), ..
            }
            | WithdrawalState::Pending
            | WithdrawalState::Completed { .. }
            | WithdrawalState::Failed { .. }
            | WithdrawalState::Returned { .. } => Ok(Reported::Nothing),
        }
    }

    /// Takes in what the bank says.
    pub fn report(self, report: &Report, now: Timestamp) -> Result<Reported, LedgerError> {
        if report.amount != self.amount {
            return Ok(self.conflicting(ConflictKind::OtherAmount, now));
        }
        if self
            .state
            .payout_id()
            .is_some_and(|known| *known != report.payout_id)
        {
            return Ok(self.conflicting(ConflictKind::OtherPayout, now));
        }
        match &self.state {
            WithdrawalState::Pending => Ok(self.conflicting(ConflictKind::NeverOrdered, now)),
            WithdrawalState::Processing { started_at, .. } => {
                let started_at = *started_at;
                self.decided(started_at, report, now)
            }
            WithdrawalState::Completed {
                started_at,
                completed_at,
                ..
            } => match report.status {
                PayoutStatus::Processing | PayoutStatus::Completed => Ok(Reported::Nothing),
                PayoutStatus::Failed(_) => Ok(self.conflicting(ConflictKind::FailedAfterPaying, now)),
                PayoutStatus::Returned(failure) => {
                    let state = WithdrawalState::Returned {
                        started_at: *started_at,
                        payout_id: report.payout_id.clone(),
                        completed_at: Some(*completed_at),
                        returned_at: now,
                        failure,
                    };
                    let back = Fact::PayoutReturned(self.withdrawal_no);
                    self.move_on(state, &[back], SettlementEnd::Unchanged, now)
                }
            },
            WithdrawalState::Failed { .. } => match report.status {
                PayoutStatus::Processing | PayoutStatus::Failed(_) => Ok(Reported::Nothing),
                PayoutStatus::Completed | PayoutStatus::Returned(_) => {
                    Ok(self.conflicting(ConflictKind::PaidAfterFailing, now))
                }
            },
            WithdrawalState::Returned { .. } => match report.status {
                PayoutStatus::Processing | PayoutStatus::Completed | PayoutStatus::Returned(_) => {
                    Ok(Reported::Nothing)
                }
                PayoutStatus::Failed(_) => Ok(self.conflicting(ConflictKind::FailedAfterPaying, now)),
            },
        }
    }

    /// What the bank says while we wait for it.
    fn decided(
        self,
        started_at: Timestamp,
        report: &Report,
        now: Timestamp,
    ) -> Result<Reported, LedgerError> {
        let payout_id = report.payout_id.clone();
        let paid = Fact::PayoutCompleted(self.withdrawal_no);
        match report.status {
            PayoutStatus::Processing if self.state.payout_id().is_some() => Ok(Reported::Nothing),
            PayoutStatus::Processing => {
                let state = WithdrawalState::Processing {
                    started_at,
                    payout_id: Some(payout_id),
                };
                Ok(Reported::Accepted(Self { state, ..self }))
            }
            PayoutStatus::Completed => {
                let state = WithdrawalState::Completed {
                    started_at,
                    payout_id,
                    completed_at: now,
                };
                self.move_on(state, &[paid], SettlementEnd::Completed, now)
            }
            PayoutStatus::Failed(failure) => self.failed(started_at, Some(payout_id), failure, now),
            PayoutStatus::Returned(failure) => {
                let (completed_at, returned_at) = (None, now);
                let state = WithdrawalState::Returned {
                    started_at,
                    payout_id,
                    completed_at,
                    returned_at,
                    failure,
                };
                // It cannot come back without having left: the completion that was never reported is booked as well.
                let facts = [paid, Fact::PayoutReturned(self.withdrawal_no)];
                self.move_on(state, &facts, SettlementEnd::Failed(failure), now)
            }
        }
    }

    /// The money stays with the platform, and is owed to the merchant again.
    fn failed(
        self,
        started_at: Timestamp,
        payout_id: Option<PayoutId>,
        failure: WithdrawalFailureCode,
        now: Timestamp,
    ) -> Result<Reported, LedgerError> {
        let state = WithdrawalState::Failed {
            started_at,
            payout_id,
            failed_at: now,
            failure,
        };
        let unpaid = Fact::PayoutFailed(self.withdrawal_no);
        self.move_on(state, &[unpaid], SettlementEnd::Failed(failure), now)
    }

    fn move_on(
        self,
        state: WithdrawalState,
        facts: &[Fact],
        settlement: SettlementEnd,
        now: Timestamp,
    ) -> Result<Reported, LedgerError> {
        let post = |fact: &Fact| Posting::new(*fact, self.merchant_id, self.amount, now);
        let postings = facts.iter().map(post).collect::<Result<_, _>>()?;
        let (withdrawal, event) = self.moved_to(state, now);
        Ok(Reported::Moved(Box::new(Moved {
            withdrawal,
            event,
            postings,
            settlement,
        })))
    }

    fn moved_to(mut self, state: WithdrawalState, now: Timestamp) -> (Self, WithdrawalEvent) {
        let old_status = self.state.status();
        self.state = state;
        self.sequence += 1;
        self.updated_at = now;
        let event = events::withdrawal(&self, Some(old_status));
        (self, event)
    }

    /// Keeps the first conflict: it is the one that explains the others.
    fn conflicting(mut self, kind: ConflictKind, now: Timestamp) -> Reported {
        self.conflict.get_or_insert(Conflict { kind, at: now });
        Reported::Conflicting(self, kind)
    }
}
