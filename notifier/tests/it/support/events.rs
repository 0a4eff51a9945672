//! Events as the other services publish them.

use jiff::Timestamp;
use schemas::payment::{PaymentEvent, PaymentEventType, PaymentStatus, RefundRecord, RefundStatus};
use schemas::settlement::{SettlementEvent, SettlementEventType, SettlementStatus};
use schemas::withdrawal::{WithdrawalEvent, WithdrawalEventType, WithdrawalStatus};
use schemas::{
    Currency, CustomerRef, Event, EventId, MerchantId, PaymentNo, RefundNo, SettlementNo, WithdrawalNo,
};

pub(crate) fn payment(merchant_id: MerchantId, event_type: PaymentEventType) -> Event {
    let is_refund = event_type.as_str().starts_with("refund.");
    let refund = RefundRecord {
        refund_no: RefundNo::generate(),
        amount: 300,
        old_status: Some(RefundStatus::Processing),
        new_status: RefundStatus::Succeeded,
        failure_code: None,
    };
    Event::Payment(Box::new(PaymentEvent {
        event_id: EventId::generate(),
        event_type,
        occurred_at: at(),
        payment_no: PaymentNo::generate(),
        merchant_id,
        sequence: 3,
        old_status: Some(PaymentStatus::Processing),
        new_status: PaymentStatus::Success,
        amount: 1234,
        amount_refunded: if is_refund { 300 } else { 0 },
        currency: eur(),
        order_no: "order-1".to_owned(),
        customer_ref: Some(CustomerRef::generate()),
        channel: "stripe".to_owned(),
        failure_code: None,
        refund: is_refund.then_some(refund),
    }))
}

pub(crate) fn succeeded(merchant_id: MerchantId) -> Event {
    payment(merchant_id, PaymentEventType::Succeeded)
}

pub(crate) fn settlement(merchant_id: MerchantId, event_type: SettlementEventType) -> Event {
    Event::Settlement(Box::new(SettlementEvent {
        event_id: EventId::generate(),
        event_type,
        occurred_at: at(),
        settlement_no: SettlementNo::generate(),
        merchant_id,
        sequence: 1,
        old_status: None,
        new_status: SettlementStatus::PendingApproval,
        gross_amount: 10_000,
        refund_amount: 300,
        returned_amount: 0,
        fee_amount: 250,
        net_amount: 9_450,
        currency: eur(),
        period_start: at(),
        period_end: at(),
        entry_count: 4,
        withdrawal_no: None,
    }))
}

pub(crate) fn withdrawal(merchant_id: MerchantId, event_type: WithdrawalEventType) -> Event {
    Event::Withdrawal(Box::new(WithdrawalEvent {
        event_id: EventId::generate(),
        event_type,
        occurred_at: at(),
        withdrawal_no: WithdrawalNo::generate(),
        settlement_no: SettlementNo::generate(),
        merchant_id,
        sequence: 3,
        old_status: Some(WithdrawalStatus::Processing),
        new_status: WithdrawalStatus::Completed,
        amount: 9_450,
        currency: eur(),
        failure_code: None,
    }))
}

pub(crate) fn topic(event: &Event) -> &'static str {
    match event {
        Event::Payment(_) => "payments.payment.v1",
        Event::Settlement(_) => "settlements.settlement.v1",
        Event::Withdrawal(_) => "settlements.withdrawal.v1",
    }
}

fn eur() -> Currency {
    Currency::parse("EUR").unwrap()
}

fn at() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}
