//! What an event said, as far as a notice repeats it. Kept with the notice, so that every attempt says the same; it is
//! also the `data` of a webhook, so a field that is renamed here breaks merchants.

use jiff::Timestamp;
use schemas::payment::{FailureCode, PaymentEvent, PaymentStatus, RefundRecord, RefundStatus};
use schemas::settlement::{SettlementEvent, SettlementStatus};
use schemas::withdrawal::{WithdrawalEvent, WithdrawalFailureCode, WithdrawalStatus};
use schemas::{Currency, CustomerRef, MerchantId, Money, PaymentNo, RefundNo, SettlementNo, WithdrawalNo};
use serde::{Deserialize, Serialize};

/// What an event said about its object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "object", rename_all = "snake_case")]
pub enum Facts {
    /// A payment's event.
    Payment(PaymentFacts),
    /// A refund's event.
    Refund(RefundFacts),
    /// A settlement's event.
    Settlement(SettlementFacts),
    /// A withdrawal's event.
    Withdrawal(WithdrawalFacts),
}

/// A payment as of its event. Amounts are minor units of `currency`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "the fields are those of the event, which documents them"
)]
pub struct PaymentFacts {
    pub payment_no: PaymentNo,
    pub merchant_id: MerchantId,
    pub order_no: String,
    pub amount: i64,
    pub currency: Currency,
    pub amount_refunded: i64,
    pub status: PaymentStatus,
    pub failure_code: Option<FailureCode>,
    pub customer_ref: Option<CustomerRef>,
    pub channel: String,
}

/// A refund as of its event. Amounts are minor units of `currency`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "the fields are those of the event, which documents them"
)]
pub struct RefundFacts {
    pub refund_no: RefundNo,
    pub payment_no: PaymentNo,
    pub merchant_id: MerchantId,
    pub order_no: String,
    pub amount: i64,
    pub currency: Currency,
    pub status: RefundStatus,
    pub payment_amount: i64,
    pub payment_amount_refunded: i64,
    pub payment_status: PaymentStatus,
    pub customer_ref: Option<CustomerRef>,
}

/// A settlement as of its event. Amounts are minor units of `currency`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "the fields are those of the event, which documents them"
)]
pub struct SettlementFacts {
    pub settlement_no: SettlementNo,
    pub merchant_id: MerchantId,
    pub currency: Currency,
    pub gross_amount: i64,
    pub refund_amount: i64,
    #[serde(default)]
    pub returned_amount: i64,
    pub fee_amount: i64,
    pub net_amount: i64,
    pub status: SettlementStatus,
    pub period_start: Timestamp,
    pub period_end: Timestamp,
    pub entry_count: i64,
    pub withdrawal_no: Option<WithdrawalNo>,
}

/// A withdrawal as of its event. The amount is minor units of `currency`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "the fields are those of the event, which documents them"
)]
pub struct WithdrawalFacts {
    pub withdrawal_no: WithdrawalNo,
    pub settlement_no: SettlementNo,
    pub merchant_id: MerchantId,
    pub amount: i64,
    pub currency: Currency,
    pub status: WithdrawalStatus,
    pub failure_code: Option<WithdrawalFailureCode>,
}

impl Facts {
    /// The payment that the gateway is asked about for the contact, if there is one.
    pub fn payment_no(&self) -> Option<PaymentNo> {
        match self {
            Self::Payment(payment) => Some(payment.payment_no),
            Self::Refund(refund) => Some(refund.payment_no),
            Self::Settlement(_) | Self::Withdrawal(_) => None,
        }
    }
}

impl PaymentFacts {
    /// What `event` said about the payment.
    pub fn of(event: &PaymentEvent) -> Self {
        Self {
            payment_no: event.payment_no,
            merchant_id: event.merchant_id,
            order_no: event.order_no.clone(),
            amount: event.amount,
            currency: event.currency,
            amount_refunded: event.amount_refunded,
            status: event.new_status,
            failure_code: event.failure_code,
            customer_ref: event.customer_ref,
            channel: event.channel.clone(),
        }
    }

    /// What was charged, or was to be.
    pub fn money(&self) -> Money {
        Money::new(self.amount, self.currency)
    }
}

impl RefundFacts {
    /// What `event` said about `refund`.
    pub fn of(event: &PaymentEvent, refund: &RefundRecord) -> Self {
        Self {
            refund_no: refund.refund_no,
            payment_no: event.payment_no,
            merchant_id: event.merchant_id,
            order_no: event.order_no.clone(),
            amount: refund.amount,
            currency: event.currency,
            status: refund.new_status,
            payment_amount: event.amount,
            payment_amount_refunded: event.amount_refunded,
            payment_status: event.new_status,
            customer_ref: event.customer_ref,
        }
    }

    /// What was paid back.
    pub fn money(&self) -> Money {
        Money::new(self.amount, self.currency)
    }
}

impl SettlementFacts {
    /// What `event` said about the settlement.
    pub fn of(event: &SettlementEvent) -> Self {
        Self {
            settlement_no: event.settlement_no,
            merchant_id: event.merchant_id,
            currency: event.currency,
            gross_amount: event.gross_amount,
            refund_amount: event.refund_amount,
            returned_amount: event.returned_amount,
            fee_amount: event.fee_amount,
            net_amount: event.net_amount,
            status: event.new_status,
            period_start: event.period_start,
            period_end: event.period_end,
            entry_count: event.entry_count,
            withdrawal_no: event.withdrawal_no,
        }
    }

    /// `minor` units of the settlement's currency.
    pub fn money(&self, minor: i64) -> Money {
        Money::new(minor, self.currency)
    }
}

impl WithdrawalFacts {
    /// What `event` said about the withdrawal.
    pub fn of(event: &WithdrawalEvent) -> Self {
        Self {
            withdrawal_no: event.withdrawal_no,
            settlement_no: event.settlement_no,
            merchant_id: event.merchant_id,
            amount: event.amount,
            currency: event.currency,
            status: event.new_status,
            failure_code: event.failure_code,
        }
    }

    /// What was, or was to be, paid out.
    pub fn money(&self) -> Money {
        Money::new(self.amount, self.currency)
    }
}
