//! Refunds of a payment. A refund belongs to its payment: amounts are reserved and events numbered under the payment's lock.

use jiff::Timestamp;
use schemas::ids::{MerchantId, PaymentNo, RefundNo};
use schemas::money::Money;
use schemas::payment::{
    FailureCode, PaymentEvent, PaymentEventType, PaymentStatus, RefundRecord, RefundStatus,
};

use super::payment::{Charge, Payment, PaymentState};

/// Money on its way back to the customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Its number, and idempotency key at the PSP.
    pub refund_no: RefundNo,
    /// The payment that it gives back.
    pub payment_no: PaymentNo,
    /// Whose it is.
    pub merchant_id: MerchantId,
    /// How much.
    pub amount: Money,
    /// The merchant's own words; stays here.
    pub reason: Option<String>,
    /// Its name at the PSP; none until its answer is known.
    pub psp_refund: Option<String>,
    /// How far it is.
    pub state: RefundState,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its state last changed.
    pub updated_at: Timestamp,
}

/// How far a refund is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundState {
    /// Reserved; the PSP has not been asked.
    Pending,
    /// The PSP was asked, and has not decided.
    Processing,
    /// Paid back. Final.
    Succeeded,
    /// Refused; the reservation is gone. Final.
    Failed {
        /// Why, in our words.
        code: FailureCode,
    },
}

/// What a merchant asks to give back.
#[derive(Debug, Clone)]
pub struct NewRefund {
    /// Number of the refund to be.
    pub refund_no: RefundNo,
    /// Minor units; none: all that is left.
    pub amount: Option<i64>,
    /// The merchant's own words.
    pub reason: Option<String>,
}

/// Why a refund is not possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefundError {
    /// Nothing was charged.
    #[error("a payment that is {status} cannot be refunded")]
    NotCharged {
        /// How far it is.
        status: PaymentStatus,
    },
    /// Less is left than is asked for.
    #[error("only {rest} can still be refunded")]
    AboveRest {
        /// What is left, pending refunds taken off.
        rest: Money,
    },
    /// An amount that is not above zero.
    #[error("expected an amount above zero")]
    NotPositive,
}

/// A refund that was already final, and so cannot change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the refund is {status} already")]
pub struct RefundFinal {
    /// What it is.
    pub status: RefundStatus,
}

impl Refund {
    /// The status as events and JSON show it.
    pub fn status(&self) -> RefundStatus {
        match self.state {
            RefundState::Pending => RefundStatus::Pending,
            RefundState::Processing => RefundStatus::Processing,
            RefundState::Succeeded => RefundStatus::Succeeded,
            RefundState::Failed { .. } => RefundStatus::Failed,
        }
    }

    /// May still become something else than it is.
    pub fn is_open(&self) -> bool {
        match self.state {
            RefundState::Pending | RefundState::Processing => true,
            RefundState::Succeeded | RefundState::Failed { .. } => false,
        }
    }

    /// The PSP was asked, and has not decided. No event: the amount is as reserved as before.
    #[must_use]
    pub fn process(mut self, now: Timestamp) -> Self {
        if self.state == RefundState::Pending {
            self.state = RefundState::Processing;
            self.updated_at = now;
        }
        self
    }

    fn record(&self, old_status: Option<RefundStatus>) -> RefundRecord {
        RefundRecord {
            refund_no: self.refund_no,
            amount: self.amount.minor,
            old_status,
            new_status: self.status(),
            failure_code: match self.state {
                RefundState::Failed { code } => Some(code),
                RefundState::Pending | RefundState::Processing | RefundState::Succeeded => None,
            },
        }
    }
}

impl Payment {
    /// What can still be given back, pending refunds taken off. Zero when nothing was charged.
    pub fn refundable(&self) -> Money {
        let minor = match &self.state {
            PaymentState::Success(charge) => self.amount.minor - charge.refunded - charge.reserved,
            PaymentState::Pending
            | PaymentState::Processing
            | PaymentState::RequiresAction { .. }
            | PaymentState::Failed { .. }
            | PaymentState::Cancelled
            | PaymentState::Expired => 0,
        };
        Money { minor, ..self.amount }
    }

    /// Reserves a refund.
    pub fn refund(self, new: NewRefund, now: Timestamp) -> Result<(Self, Refund, PaymentEvent), RefundError> {
        let rest = self.refundable();
        let PaymentState::Success(charge) = &self.state else {
            return Err(RefundError::NotCharged {
                status: self.status(),
            });
        };
        let minor = new.amount.unwrap_or(rest.minor);
        if new.amount.is_some() && minor <= 0 {
            return Err(RefundError::NotPositive);
        }
        if minor > rest.minor || minor == 0 {
            return Err(RefundError::AboveRest { rest });
        }
        let charge = Charge {
            reserved: charge.reserved + minor,
            ..charge.clone()
        };
        let refund = Refund {
            refund_no: new.refund_no,
            payment_no: self.payment_no,
            merchant_id: self.merchant_id,
            amount: Money { minor, ..self.amount },
            reason: new.reason,
            psp_refund: None,
            state: RefundState::Pending,
            created_at: now,
            updated_at: now,
        };
        let record = refund.record(None);
        let (payment, event) = self.step_refund(charge, PaymentEventType::RefundCreated, record, now);
        Ok((payment, refund, event))
    }

    /// The PSP paid the refund back.
    pub fn refund_succeeded(
        self,
        refund: Refund,
        now: Timestamp,
    ) -> Result<(Self, Refund, PaymentEvent), RefundFinal> {
        let event_type = PaymentEventType::RefundSucceeded;
        self.settle_refund(refund, RefundState::Succeeded, event_type, now)
    }

    /// The PSP refused the refund; its amount is free again.
    pub fn refund_failed(
        self,
        refund: Refund,
        code: FailureCode,
        now: Timestamp,
    ) -> Result<(Self, Refund, PaymentEvent), RefundFinal> {
        self.settle_refund(
            refund,
            RefundState::Failed { code },
            PaymentEventType::RefundFailed,
            now,
        )
    }

    fn settle_refund(
        self,
        mut refund: Refund,
        state: RefundState,
        event_type: PaymentEventType,
        now: Timestamp,
    ) -> Result<(Self, Refund, PaymentEvent), RefundFinal> {
        let PaymentState::Success(charge) = &self.state else {
            unreachable!(
                "refund {} belongs to {}, which was never charged",
                refund.refund_no, self.payment_no
            )
        };
        if !refund.is_open() {
            return Err(RefundFinal {
                status: refund.status(),
            });
        }
        let paid_back = if state == RefundState::Succeeded {
            refund.amount.minor
        } else {
            0
        };
        let charge = Charge {
            refunded: charge.refunded + paid_back,
            reserved: charge.reserved - refund.amount.minor,
            ..charge.clone()
        };
        let old_status = refund.status();
        refund.state = state;
        refund.updated_at = now;
        let record = refund.record(Some(old_status));
        let (payment, event) = self.step_refund(charge, event_type, record, now);
        Ok((payment, refund, event))
    }
}
