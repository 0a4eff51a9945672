//! The states of a withdrawal.

use jiff::Timestamp;
use schemas::withdrawal::{WithdrawalEventType, WithdrawalFailureCode, WithdrawalStatus};

use super::PayoutId;

/// Where a withdrawal stands, with what is known there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WithdrawalState {
    /// The bank has not been told, and no attempt was made.
    Pending,
    /// The bank has been told, or may have been.
    Processing {
        /// When the first attempt was about to be made.
        started_at: Timestamp,
        /// The bank's name for it, once known.
        payout_id: Option<PayoutId>,
    },
    /// The bank paid.
    Completed {
        /// When the first attempt was about to be made.
        started_at: Timestamp,
        /// The bank's name for it.
        payout_id: PayoutId,
        /// When we learned of it.
        completed_at: Timestamp,
    },
    /// The bank did not pay, and will not.
    Failed {
        /// When the first attempt was about to be made.
        started_at: Timestamp,
        /// The bank's name for it; none if it refused the order.
        payout_id: Option<PayoutId>,
        /// When we learned of it.
        failed_at: Timestamp,
        /// Why.
        failure: WithdrawalFailureCode,
    },
    /// The money left and came back.
    Returned {
        /// When the first attempt was about to be made.
        started_at: Timestamp,
        /// The bank's name for it.
        payout_id: PayoutId,
        /// When we learned that it had been paid; none if the return was the first we heard.
        completed_at: Option<Timestamp>,
        /// When we learned that it came back.
        returned_at: Timestamp,
        /// Why.
        failure: WithdrawalFailureCode,
    },
}

impl WithdrawalState {
    /// The state without what is known there.
    pub fn status(&self) -> WithdrawalStatus {
        match self {
            Self::Pending => WithdrawalStatus::Pending,
            Self::Processing { .. } => WithdrawalStatus::Processing,
            Self::Completed { .. } => WithdrawalStatus::Completed,
            Self::Failed { .. } => WithdrawalStatus::Failed,
            Self::Returned { .. } => WithdrawalStatus::Returned,
        }
    }

    /// The event that says that a withdrawal got here.
    pub fn event_type(&self) -> WithdrawalEventType {
        match self {
            Self::Pending => WithdrawalEventType::Created,
            Self::Processing { .. } => WithdrawalEventType::Processing,
            Self::Completed { .. } => WithdrawalEventType::Completed,
            Self::Failed { .. } => WithdrawalEventType::Failed,
            Self::Returned { .. } => WithdrawalEventType::Returned,
        }
    }

    /// The bank's name for the payout, once known.
    pub fn payout_id(&self) -> Option<&PayoutId> {
        match self {
            Self::Pending => None,
            Self::Processing { payout_id, .. } | Self::Failed { payout_id, .. } => payout_id.as_ref(),
            Self::Completed { payout_id, .. } | Self::Returned { payout_id, .. } => Some(payout_id),
        }
    }

    /// When the first attempt was about to be made.
    pub fn started_at(&self) -> Option<Timestamp> {
        match self {
            Self::Pending => None,
            Self::Processing { started_at, .. }
            | Self::Completed { started_at, .. }
            | Self::Failed { started_at, .. }
            | Self::Returned { started_at, .. } => Some(*started_at),
        }
    }

    /// When we learned that it had been paid.
    pub fn completed_at(&self) -> Option<Timestamp> {
        match self {
            Self::Pending | Self::Processing { .. } | Self::Failed { .. } => None,
            Self::Completed { completed_at, .. } => Some(*completed_at),
            Self::Returned { completed_at, .. } => *completed_at,
        }
    }

    /// When we learned that it failed or came back.
    pub fn undone_at(&self) -> Option<Timestamp> {
        match self {
            Self::Pending | Self::Processing { .. } | Self::Completed { .. } => None,
            Self::Failed { failed_at, .. } => Some(*failed_at),
            Self::Returned { returned_at, .. } => Some(*returned_at),
        }
    }

    /// Why it did not reach the merchant.
    pub fn failure(&self) -> Option<WithdrawalFailureCode> {
        match self {
            Self::Pending | Self::Processing { .. } | Self::Completed { .. } => None,
            Self::Failed { failure, .. } | Self::Returned { failure, .. } => Some(*failure),
        }
    }
}
