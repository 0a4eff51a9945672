//! A settlement as JSON.

use jiff::Timestamp;
use platform::auth::Principal;
use schemas::ids::{MerchantId, SettlementNo, WithdrawalNo};
use schemas::settlement::SettlementStatus;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::settlement::{Decision, Settlement, SettlementState};

/// A settlement. Amounts are minor units of `currency`; `net_amount` = `gross_amount` − `refund_amount` − `fee_amount` +
/// `returned_amount`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SettlementDocument {
    #[schema(value_type = String)]
    settlement_no: SettlementNo,
    #[schema(value_type = String)]
    merchant_id: MerchantId,
    /// ISO 4217.
    currency: &'static str,
    /// `daily`.
    cycle: &'static str,
    /// `pending_approval`, `approved`, `processing`, `completed`, `failed` or `rejected`.
    status: &'static str,
    period: PeriodDocument,
    /// Charges.
    gross_amount: i64,
    /// Refunds held less refunds whose hold was released; negative if more were released.
    refund_amount: i64,
    /// Fees of the charges.
    fee_amount: i64,
    /// Earlier payouts that failed or came back.
    returned_amount: i64,
    /// What is paid out.
    net_amount: i64,
    /// Ledger entries that it settles.
    entry_count: i64,
    /// How many of them are from before the period.
    carried_over_count: i64,
    /// The payout, once executed.
    #[schema(value_type = Option<String>)]
    withdrawal_no: Option<WithdrawalNo>,
    created_by: String,
    approved_by: Option<String>,
    /// Shown to staff only.
    approver_name: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    approved_at: Option<Timestamp>,
    rejected_by: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    rejected_at: Option<Timestamp>,
    /// What was said with the approval or rejection. Shown to staff only.
    comments: Option<String>,
    executed_by: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    executed_at: Option<Timestamp>,
    /// When the bank's answer ended it.
    #[schema(value_type = Option<String>, format = DateTime)]
    finished_at: Option<Timestamp>,
    /// Why the payout failed.
    failure_code: Option<&'static str>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// From `start` to just before `end`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PeriodDocument {
    #[schema(value_type = String, format = DateTime)]
    start: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    end: Timestamp,
}

impl SettlementDocument {
    /// As `reader` may see it: what staff write to each other is not the merchant's.
    pub(super) fn new(settlement: &Settlement, reader: &Principal) -> Self {
        let (state, totals) = (&settlement.state, &settlement.totals);
        let (approval, rejection) = match state {
            SettlementState::PendingApproval => (None, None),
            SettlementState::Rejected { rejection } => (None, Some(rejection)),
            SettlementState::Approved { approval }
            | SettlementState::Processing { approval, .. }
            | SettlementState::Completed { approval, .. }
            | SettlementState::Failed { approval, .. } => (Some(approval), None),
        };
        let by = |decision: &Decision| decision.by.clone();
        let internal = state.decision().filter(|_| matches!(reader, Principal::Staff(_)));
        Self {
            settlement_no: settlement.settlement_no,
            merchant_id: settlement.merchant_id,
            currency: settlement.currency().code(),
            cycle: settlement.cycle.name(),
            status: SettlementStatus::as_str(state.status()),
            period: PeriodDocument {
                start: settlement.period.start(),
                end: settlement.period.end(),
            },
            gross_amount: totals.gross_minor,
            refund_amount: totals.refund_minor,
            fee_amount: totals.fee_minor,
            returned_amount: totals.returned_minor,
            net_amount: settlement.net.minor,
            entry_count: totals.entry_count,
            carried_over_count: totals.carried_over_count,
            withdrawal_no: state.execution().map(|execution| execution.withdrawal_no),
            created_by: settlement.created_by.clone(),
            approved_by: approval.map(by),
            approver_name: internal.and_then(|decision| decision.name.clone()),
            approved_at: approval.map(|decision| decision.at),
            rejected_by: rejection.map(by),
            rejected_at: rejection.map(|decision| decision.at),
            comments: internal.and_then(|decision| decision.comments.clone()),
            executed_by: state.execution().map(|execution| execution.by.clone()),
            executed_at: state.execution().map(|execution| execution.at),
            finished_at: state.finished_at(),
            failure_code: state
                .failure()
                .map(schemas::withdrawal::WithdrawalFailureCode::as_str),
            created_at: settlement.created_at,
            updated_at: settlement.updated_at,
        }
    }
}
