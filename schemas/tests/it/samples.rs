//! One event of each type, with every optional field once present and once absent.

use jiff::Timestamp;
use schemas::payment::{
    FailureCode, PaymentEvent, PaymentEventType, PaymentStatus, RefundRecord, RefundStatus,
};
use schemas::settlement::{SettlementEvent, SettlementEventType, SettlementStatus};
use schemas::withdrawal::{WithdrawalEvent, WithdrawalEventType, WithdrawalFailureCode, WithdrawalStatus};
use schemas::{Currency, EventId};
use uuid::Uuid;

fn uuid(last: u128) -> Uuid {
    Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0000 + last)
}

fn instant() -> Timestamp {
    Timestamp::from_microsecond(1_767_225_600_123_456).unwrap()
}

pub(crate) fn payment_created() -> PaymentEvent {
    PaymentEvent {
        event_id: EventId::from_uuid(uuid(1)),
        event_type: PaymentEventType::Created,
        occurred_at: instant(),
        payment_no: uuid(2).into(),
        merchant_id: uuid(3).into(),
        sequence: 1,
        old_status: None,
        new_status: PaymentStatus::Pending,
        amount: 1_999,
        amount_refunded: 0,
        currency: Currency::parse("EUR").unwrap(),
        order_no: "order-1".into(),
        customer_ref: None,
        channel: "stripe".into(),
        failure_code: None,
        refund: None,
    }
}

pub(crate) fn refund_failed() -> PaymentEvent {
    PaymentEvent {
        event_type: PaymentEventType::RefundFailed,
        sequence: 300,
        old_status: Some(PaymentStatus::PartiallyRefunded),
        new_status: PaymentStatus::PartiallyRefunded,
        amount: i64::MAX,
        amount_refunded: 1,
        customer_ref: Some(uuid(4).into()),
        failure_code: Some(FailureCode::Rejected),
        refund: Some(RefundRecord {
            refund_no: uuid(5).into(),
            amount: 500,
            old_status: Some(RefundStatus::Processing),
            new_status: RefundStatus::Failed,
            failure_code: Some(FailureCode::ProcessingError),
        }),
        ..payment_created()
    }
}

pub(crate) fn settlement_processing() -> SettlementEvent {
    SettlementEvent {
        event_id: EventId::from_uuid(uuid(6)),
        event_type: SettlementEventType::Processing,
        occurred_at: instant(),
        settlement_no: uuid(7).into(),
        merchant_id: uuid(3).into(),
        sequence: 3,
        old_status: Some(SettlementStatus::Approved),
        new_status: SettlementStatus::Processing,
        gross_amount: 10_000,
        refund_amount: 500,
        fee_amount: 320,
        returned_amount: 0,
        net_amount: 9_180,
        currency: Currency::parse("EUR").unwrap(),
        period_start: instant(),
        period_end: instant(),
        entry_count: 42,
        withdrawal_no: Some(uuid(8).into()),
    }
}

pub(crate) fn settlement_created() -> SettlementEvent {
    SettlementEvent {
        event_type: SettlementEventType::Created,
        sequence: 1,
        old_status: None,
        new_status: SettlementStatus::PendingApproval,
        withdrawal_no: None,
        ..settlement_processing()
    }
}

pub(crate) fn withdrawal_returned() -> WithdrawalEvent {
    WithdrawalEvent {
        event_id: EventId::from_uuid(uuid(9)),
        event_type: WithdrawalEventType::Returned,
        occurred_at: instant(),
        withdrawal_no: uuid(8).into(),
        settlement_no: uuid(7).into(),
        merchant_id: uuid(3).into(),
        sequence: 4,
        old_status: Some(WithdrawalStatus::Completed),
        new_status: WithdrawalStatus::Returned,
        amount: 9_180,
        currency: Currency::parse("EUR").unwrap(),
        failure_code: Some(WithdrawalFailureCode::ReturnedByBank),
    }
}

pub(crate) fn withdrawal_created() -> WithdrawalEvent {
    WithdrawalEvent {
        event_type: WithdrawalEventType::Created,
        sequence: 1,
        old_status: None,
        new_status: WithdrawalStatus::Pending,
        failure_code: None,
        ..withdrawal_returned()
    }
}
