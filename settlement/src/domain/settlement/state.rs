//! The states of a settlement.

use jiff::Timestamp;
use schemas::{
    ids::WithdrawalNo,
    settlement::{SettlementEventType, SettlementStatus},
    withdrawal::WithdrawalFailureCode,
};

/// Where a settlement stands, with what is known there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettlementState {
    /// Nobody has decided yet.
    PendingApproval,
    /// A second person agreed.
    Approved {
        /// Who and when.
        approval: Decision,
    },
    /// A person refused; its lines are unsettled again.
    Rejected {
        /// Who and when.
        rejection: Decision,
    },
    /// The payout is under way.
    Processing {
        /// Who agreed.
        approval: Decision,
        /// Who had it paid out.
        execution: Execution,
    },
    /// The bank paid.
    Completed {
        /// Who agreed.
        approval: Decision,
        /// Who had it paid out.
        execution: Execution,
        /// When the bank said so.
        completed_at: Timestamp,
    },
    /// The bank did not pay; the net is owed again, as a new line.
    Failed {
        /// Who agreed.
        approval: Decision,
        /// Who had it paid out.
        execution: Execution,
        /// When the bank said so.
        failed_at: Timestamp,
        /// Why.
        failure: WithdrawalFailureCode,
    },
}

/// An approval or a rejection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The token subject of whoever decided.
    pub by: String,
    /// The name given with the decision.
    pub name: Option<String>,
    /// What they had to say about it.
    pub comments: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// The order to pay out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// The token subject of whoever gave it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// The payout.
    pub withdrawal_no: WithdrawalNo,
}

impl SettlementState {
    /// The state without what is known there.
    pub fn status(&self) -> SettlementStatus {
        match self {
            Self::PendingApproval => SettlementStatus::PendingApproval,
            Self::Approved { .. } => SettlementStatus::Approved,
            Self::Rejected { .. } => SettlementStatus::Rejected,
            Self::Processing { .. } => SettlementStatus::Processing,
            Self::Completed { .. } => SettlementStatus::Completed,
            Self::Failed { .. } => SettlementStatus::Failed,
        }
    }

    /// The event that says that a settlement got here.
    pub fn event_type(&self) -> SettlementEventType {
        match self {
            Self::PendingApproval => SettlementEventType::Created,
            Self::Approved { .. } => SettlementEventType::Approved,
            Self::Rejected { .. } => SettlementEventType::Rejected,
            Self::Processing { .. } => SettlementEventType::Processing,
            Self::Completed { .. } => SettlementEventType::Completed,
            Self::Failed { .. } => SettlementEventType::Failed,
        }
    }

    /// The approval or the rejection.
    pub fn decision(&self) -> Option<&Decision> {
        match self {
            Self::PendingApproval => None,
            Self::Rejected { rejection } => Some(rejection),
            Self::Approved { approval }
            | Self::Processing { approval, .. }
            | Self::Completed { approval, .. }
            | Self::Failed { approval, .. } => Some(approval),
        }
    }

    /// The order to pay out.
    pub fn execution(&self) -> Option<&Execution> {
        match self {
            Self::PendingApproval | Self::Approved { .. } | Self::Rejected { .. } => None,
            Self::Processing { execution, .. }
            | Self::Completed { execution, .. }
            | Self::Failed { execution, .. } => Some(execution),
        }
    }

    /// When the bank's answer ended it.
    pub fn finished_at(&self) -> Option<Timestamp> {
        match self {
            Self::PendingApproval
            | Self::Approved { .. }
            | Self::Rejected { .. }
            | Self::Processing { .. } => None,
            Self::Completed { completed_at, .. } => Some(*completed_at),
            Self::Failed { failed_at, .. } => Some(*failed_at),
        }
    }

    /// Why it failed.
    pub fn failure(&self) -> Option<WithdrawalFailureCode> {
        match self {
            Self::PendingApproval
            | Self::Approved { .. }
            | Self::Rejected { .. }
            | Self::Processing { .. }
            | Self::Completed { .. } => None,
            Self::Failed { failure, .. } => Some(*failure),
        }
    }
}
