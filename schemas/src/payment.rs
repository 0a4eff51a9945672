//! Events of `payments.payment.v1`: a payment's and its refunds' changes of state, in one order under one key.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::catalogue::{PAYMENTS, Topic};
use crate::event::DomainEvent;
use crate::ids::{CustomerRef, EventId, MerchantId, PaymentNo, RefundNo};
use crate::money::Currency;
use crate::words::{event_types, symbols};

event_types!(
    /// What happened to a payment or to one of its refunds.
    PaymentEventType {
        /// The payment exists, nothing was sent to the PSP yet.
        Created = "payment.created",
        /// The PSP was asked, and has not decided.
        Processing = "payment.processing",
        /// The customer has to act (authentication, hosted page).
        RequiresAction = "payment.requires_action",
        /// The money was charged.
        Succeeded = "payment.succeeded",
        /// The PSP declined.
        Failed = "payment.failed",
        /// Cancelled, with the PSP's confirmation.
        Cancelled = "payment.cancelled",
        /// Never completed in time, with the PSP's confirmation.
        Expired = "payment.expired",
        /// A refund was asked for; its amount is reserved.
        RefundCreated = "refund.created",
        /// The refund was paid back.
        RefundSucceeded = "refund.succeeded",
        /// The refund was refused; its amount is free again.
        RefundFailed = "refund.failed",
        /// An operator discarded the event of this sequence; nothing is to be applied.
        Withheld = "payment.withheld",
    }
);

symbols!(
    /// A payment's status.
    PaymentStatus {
        /// Created, not yet sent to the PSP.
        Pending = "pending",
        /// Sent to the PSP; the outcome is not known.
        Processing = "processing",
        /// Waits for the customer.
        RequiresAction = "requires_action",
        /// Reserved and not captured.
        Authorized = "authorized",
        /// Charged.
        Success = "success",
        /// Declined.
        Failed = "failed",
        /// Cancelled.
        Cancelled = "cancelled",
        /// Not completed in time.
        Expired = "expired",
        /// Charged, and refunded in part.
        PartiallyRefunded = "partially_refunded",
        /// Charged, and refunded in full.
        Refunded = "refunded",
    }
);

symbols!(
    /// A refund's status.
    RefundStatus {
        /// Asked for, not yet sent to the PSP.
        Pending = "pending",
        /// Sent to the PSP; the outcome is not known.
        Processing = "processing",
        /// Paid back.
        Succeeded = "succeeded",
        /// Refused.
        Failed = "failed",
    }
);

symbols!(
    /// Why a payment or a refund failed, in words of ours: a PSP's own text never leaves the gateway.
    FailureCode {
        /// The issuer declined without saying more.
        CardDeclined = "card_declined",
        /// Not enough funds.
        InsufficientFunds = "insufficient_funds",
        /// The card has expired.
        ExpiredCard = "expired_card",
        /// Number, security code or another detail is wrong.
        InvalidCard = "invalid_card",
        /// The customer did not pass authentication.
        AuthenticationFailed = "authentication_failed",
        /// The PSP or the issuer suspects fraud.
        FraudSuspected = "fraud_suspected",
        /// The PSP could not process it, and says so definitively.
        ProcessingError = "processing_error",
        /// The PSP refused the request itself.
        Rejected = "rejected",
    }
);

/// The refund that a `refund.*` event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "Refund")]
pub struct RefundRecord {
    /// The refund's number.
    pub refund_no: RefundNo,
    /// What is paid back, minor units of the payment's currency, > 0.
    pub amount: i64,
    /// The refund's status before the event; none at `refund.created`.
    pub old_status: Option<RefundStatus>,
    /// The refund's status after the event.
    pub new_status: RefundStatus,
    /// Why it failed; at `refund.failed` only.
    #[serde(default)]
    pub failure_code: Option<FailureCode>,
}

/// One change of state of a payment or of one of its refunds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentEvent {
    /// Unique per event.
    pub event_id: EventId,
    /// What happened.
    pub event_type: PaymentEventType,
    /// When it happened, microseconds.
    #[serde(with = "crate::micros")]
    pub occurred_at: Timestamp,
    /// The payment: aggregate and record key.
    pub payment_no: PaymentNo,
    /// Whose payment it is.
    pub merchant_id: MerchantId,
    /// Position among this payment's events: 1, 2, 3, … without a gap.
    pub sequence: i64,
    /// The payment's status before the event; none at `payment.created`.
    pub old_status: Option<PaymentStatus>,
    /// The payment's status after the event; equal to `old_status` where only a refund changed.
    pub new_status: PaymentStatus,
    /// What was to be charged, minor units, > 0.
    pub amount: i64,
    /// Sum of the succeeded refunds after the event, minor units.
    pub amount_refunded: i64,
    /// ISO 4217 code of every amount in this event.
    pub currency: Currency,
    /// The merchant's own order number, at most 64 of `[A-Za-z0-9._-]`.
    pub order_no: String,
    /// Who paid, as a reference that says nothing about them.
    #[serde(default)]
    pub customer_ref: Option<CustomerRef>,
    /// Which PSP the payment goes through, e.g. `stripe`.
    pub channel: String,
    /// Why it failed; at `payment.failed` only.
    #[serde(default)]
    pub failure_code: Option<FailureCode>,
    /// The refund; at `refund.*` only.
    #[serde(default)]
    pub refund: Option<RefundRecord>,
}

impl DomainEvent for PaymentEvent {
    fn topic() -> &'static Topic {
        &PAYMENTS
    }

    fn event_id(&self) -> EventId {
        self.event_id
    }

    fn event_type(&self) -> &'static str {
        self.event_type.as_str()
    }

    fn occurred_at(&self) -> Timestamp {
        self.occurred_at
    }

    fn aggregate_key(&self) -> String {
        self.payment_no.to_string()
    }

    fn sequence(&self) -> i64 {
        self.sequence
    }

    fn merchant_id(&self) -> MerchantId {
        self.merchant_id
    }

    fn withheld(&self) -> Self {
        Self {
            event_type: PaymentEventType::Withheld,
            failure_code: None,
            refund: None,
            order_no: String::new(),
            ..self.clone()
        }
    }
}
