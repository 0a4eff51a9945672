//! What is told to the world about a settlement or a withdrawal that has just changed.

use schemas::{
    ids::EventId,
    settlement::{SettlementEvent, SettlementStatus},
    withdrawal::{WithdrawalEvent, WithdrawalStatus},
};

use super::{settlement::Settlement, withdrawal::Withdrawal};

/// The event of a settlement's last change, from `old_status` to what it is now.
pub(super) fn settlement(settlement: &Settlement, old_status: Option<SettlementStatus>) -> SettlementEvent {
    SettlementEvent {
        event_id: EventId::generate(),
        event_type: settlement.state.event_type(),
        occurred_at: settlement.updated_at,
        settlement_no: settlement.settlement_no,
        merchant_id: settlement.merchant_id,
        sequence: settlement.sequence,
        old_status,
        new_status: settlement.state.status(),
        gross_amount: settlement.totals.gross_minor,
        refund_amount: settlement.totals.refund_minor,
        fee_amount: settlement.totals.fee_minor,
        returned_amount: settlement.totals.returned_minor,
        net_amount: settlement.net.minor,
        currency: settlement.currency(),
        period_start: settlement.period.start(),
        period_end: settlement.period.end(),
        entry_count: settlement.totals.entry_count,
        withdrawal_no: settlement
            .state
            .execution()
            .map(|execution| execution.withdrawal_no),
    }
}

/// The event of a withdrawal's last change, from `old_status` to what it is now.
pub(super) fn withdrawal(withdrawal: &Withdrawal, old_status: Option<WithdrawalStatus>) -> WithdrawalEvent {
    WithdrawalEvent {
        event_id: EventId::generate(),
        event_type: withdrawal.state.event_type(),
        occurred_at: withdrawal.updated_at,
        withdrawal_no: withdrawal.withdrawal_no,
        settlement_no: withdrawal.settlement_no,
        merchant_id: withdrawal.merchant_id,
        sequence: withdrawal.sequence,
        old_status,
        new_status: withdrawal.state.status(),
        amount: withdrawal.amount.minor,
        currency: withdrawal.amount.currency,
        failure_code: withdrawal.state.failure(),
    }
}
