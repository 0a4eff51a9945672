//! A settlement: what a merchant is to be paid, and who agreed to it.
//!
//! `pending_approval → approved → processing → completed | failed`, or `rejected` instead of the approval. Whoever created a
//! settlement does not approve it. What happens to the money once it is `processing` is the withdrawal's story; a settlement
//! only learns the end of it, and a payout that comes back after `completed` leaves it completed.

use jiff::Timestamp;
use schemas::{
    ids::{MerchantId, SettlementNo},
    money::{Currency, Money},
    settlement::{SettlementEvent, SettlementStatus},
    withdrawal::WithdrawalFailureCode,
};

use crate::domain::{
    events,
    period::Period,
    totals::{Totals, TotalsOverflow},
};

mod state;
#[cfg(test)]
mod tests;

pub use state::{Decision, Execution, SettlementState};

/// A settlement of one merchant, currency and period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Its number.
    pub settlement_no: SettlementNo,
    /// Who is paid.
    pub merchant_id: MerchantId,
    /// How often such settlements are made.
    pub cycle: Cycle,
    /// What it is about; lines from before are carried over into it.
    pub period: Period,
    /// What its lines come to.
    pub totals: Totals,
    /// What is paid out: positive, and what the totals say.
    pub net: Money,
    /// The token subject of the member of staff who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its state last changed.
    pub updated_at: Timestamp,
    /// The number of its last event; dense from 1.
    pub sequence: i64,
    /// Where it stands.
    pub state: SettlementState,
}

/// How often a merchant is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cycle {
    /// Day by day.
    Daily,
}

impl Cycle {
    /// Its name in the database and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Daily => "daily",
        }
    }
}

/// What can be done to a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Agree to it.
    Approve,
    /// Refuse it.
    Reject,
    /// Pay it out.
    Execute,
    /// Take note that the bank paid.
    Complete,
    /// Take note that the bank did not pay.
    Fail,
}

/// Why a settlement cannot be made or changed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SettlementError {
    /// Its state does not allow it.
    #[error("cannot {action:?} a settlement that is {status:?}")]
    NotNow {
        /// What was asked.
        action: Action,
        /// What it is.
        status: SettlementStatus,
    },
    /// Four eyes.
    #[error("a settlement is not approved by whoever created it")]
    CreatorApproves,
    /// There are no lines.
    #[error("there is nothing to settle")]
    Nothing,
    /// There is nothing to pay; the lines wait for the next settlement.
    #[error("the net amount is {net_minor}, and only a positive one is settled")]
    NetNotPositive {
        /// In minor units.
        net_minor: i64,
    },
    /// The sums are beyond 64 bits.
    #[error(transparent)]
    Overflow(#[from] TotalsOverflow),
}

/// What a new settlement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Who is paid.
    pub merchant_id: MerchantId,
    /// In which currency.
    pub currency: Currency,
    /// How often.
    pub cycle: Cycle,
    /// For which time.
    pub period: Period,
}

impl Settlement {
    /// Makes a settlement of lines that come to `totals`.
    pub fn open(
        settlement_no: SettlementNo,
        scope: Scope,
        totals: Totals,
        created_by: String,
        now: Timestamp,
    ) -> Result<(Self, SettlementEvent), SettlementError> {
        if totals.entry_count == 0 {
            return Err(SettlementError::Nothing);
        }
        let net_minor = totals.net_minor()?;
        if net_minor <= 0 {
            return Err(SettlementError::NetNotPositive { net_minor });
        }
        let settlement = Self {
            settlement_no,
            merchant_id: scope.merchant_id,
            cycle: scope.cycle,
            period: scope.period,
            totals,
            net: Money::new(net_minor, scope.currency),
            created_by,
            created_at: now,
            updated_at: now,
            sequence: 1,
            state: SettlementState::PendingApproval,
        };
        let event = events::settlement(&settlement, None);
        Ok((settlement, event))
    }

    /// The currency of all its amounts.
    pub fn currency(&self) -> Currency {
        self.net.currency
    }

    /// A second person agrees.
    pub fn approve(self, approval: Decision) -> Result<(Self, SettlementEvent), SettlementError> {
        if !matches!(self.state, SettlementState::PendingApproval) {
            return Err(self.not_now(Action::Approve));
        }
        if approval.by == self.created_by {
            return Err(SettlementError::CreatorApproves);
        }
        let now = approval.at;
        Ok(self.moved_to(SettlementState::Approved { approval }, now))
    }

    /// A person refuses. Whoever created it may withdraw it so.
    pub fn reject(self, rejection: Decision) -> Result<(Self, SettlementEvent), SettlementError> {
        if !matches!(self.state, SettlementState::PendingApproval) {
            return Err(self.not_now(Action::Reject));
        }
        let now = rejection.at;
        Ok(self.moved_to(SettlementState::Rejected { rejection }, now))
    }

    /// A person has it paid out.
    pub fn execute(self, execution: Execution) -> Result<(Self, SettlementEvent), SettlementError> {
        let SettlementState::Approved { approval } = &self.state else {
            return Err(self.not_now(Action::Execute));
        };
        let (approval, now) = (approval.clone(), execution.at);
        Ok(self.moved_to(SettlementState::Processing { approval, execution }, now))
    }

    /// The bank paid.
    pub fn complete(self, now: Timestamp) -> Result<(Self, SettlementEvent), SettlementError> {
        let SettlementState::Processing { approval, execution } = &self.state else {
            return Err(self.not_now(Action::Complete));
        };
        let (approval, execution) = (approval.clone(), execution.clone());
        Ok(self.moved_to(
            SettlementState::Completed {
                approval,
                execution,
                completed_at: now,
            },
            now,
        ))
    }

    /// The bank did not pay.
    pub fn fail(
        self,
        failure: WithdrawalFailureCode,
        now: Timestamp,
    ) -> Result<(Self, SettlementEvent), SettlementError> {
        let SettlementState::Processing { approval, execution } = &self.state else {
            return Err(self.not_now(Action::Fail));
        };
        let (approval, execution) = (approval.clone(), execution.clone());
        Ok(self.moved_to(
            SettlementState::Failed {
                approval,
                execution,
                failed_at: now,
                failure,
            },
            now,
        ))
    }

    fn moved_to(mut self, state: SettlementState, now: Timestamp) -> (Self, SettlementEvent) {
        let old_status = self.state.status();
        self.state = state;
        self.sequence += 1;
        self.updated_at = now;
        let event = events::settlement(&self, Some(old_status));
        (self, event)
    }

    fn not_now(&self, action: Action) -> SettlementError {
        SettlementError::NotNow {
            action,
            status: self.state.status(),
        }
    }
}
