//! A withdrawal as JSON.

use jiff::Timestamp;
use schemas::ids::{MerchantId, SettlementNo, WithdrawalNo};
use schemas::withdrawal::WithdrawalFailureCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::withdrawal::{PayoutId, Withdrawal, WithdrawalState};

/// The payout of a settlement.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WithdrawalDocument {
    #[schema(value_type = String)]
    withdrawal_no: WithdrawalNo,
    #[schema(value_type = String)]
    settlement_no: SettlementNo,
    #[schema(value_type = String)]
    merchant_id: MerchantId,
    /// Minor units of `currency`.
    amount: i64,
    /// ISO 4217.
    currency: &'static str,
    /// `pending`, `processing`, `completed`, `failed` or `returned`.
    status: &'static str,
    /// The bank's name for it, once known.
    payout_id: Option<String>,
    /// Why it did not reach the merchant: `account_closed`, `account_invalid`, `bank_rejected` or `returned_by_bank`.
    failure_code: Option<&'static str>,
    /// How the bank contradicts us, if it does; a person has to look at it.
    conflict: Option<&'static str>,
    #[schema(value_type = Option<String>, format = DateTime)]
    completed_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    failed_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    returned_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<Withdrawal> for WithdrawalDocument {
    fn from(withdrawal: Withdrawal) -> Self {
        let state = &withdrawal.state;
        let (failed_at, returned_at) = match state {
            WithdrawalState::Pending
            | WithdrawalState::Processing { .. }
            | WithdrawalState::Completed { .. } => (None, None),
            WithdrawalState::Failed { failed_at, .. } => (Some(*failed_at), None),
            WithdrawalState::Returned { returned_at, .. } => (None, Some(*returned_at)),
        };
        Self {
            withdrawal_no: withdrawal.withdrawal_no,
            settlement_no: withdrawal.settlement_no,
            merchant_id: withdrawal.merchant_id,
            amount: withdrawal.amount.minor,
            currency: withdrawal.amount.currency.code(),
            status: state.status().as_str(),
            payout_id: state.payout_id().map(PayoutId::as_str).map(str::to_owned),
            failure_code: state.failure().map(WithdrawalFailureCode::as_str),
            conflict: withdrawal.conflict.as_ref().map(|conflict| conflict.kind.name()),
            completed_at: state.completed_at(),
            failed_at,
            returned_at,
            created_at: withdrawal.created_at,
            updated_at: withdrawal.updated_at,
        }
    }
}
