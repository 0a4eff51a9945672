//! A payment: its states, and the only ways from one to the next.

use jiff::Timestamp;
use schemas::ids::{CustomerRef, EventId, MerchantId, PaymentNo};
use schemas::money::Money;
use schemas::payment::{FailureCode, PaymentEvent, PaymentEventType, PaymentStatus, RefundRecord};

use super::details::Details;
use super::psp::PspObjects;
use super::text::{OrderNo, PaymentMethod};

/// The one channel so far.
pub const CHANNEL: &str = "stripe";

/// A payment and everything that decides what may happen to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Its number, and the aggregate's id.
    pub payment_no: PaymentNo,
    /// Whose it is.
    pub merchant_id: MerchantId,
    /// The merchant's own number for it.
    pub order_no: OrderNo,
    /// Who pays.
    pub customer_ref: CustomerRef,
    /// What is charged.
    pub amount: Money,
    /// How; none: the customer chooses on the hosted page.
    pub payment_method: Option<PaymentMethod>,
    /// The merchant's attachments.
    pub details: Details,
    /// Its names at the PSP.
    pub psp: PspObjects,
    /// Somebody wants it closed; the PSP has not confirmed that yet.
    pub closing: Option<Closing>,
    /// How far it is.
    pub state: PaymentState,
    /// Number of its last event.
    pub sequence: i64,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its state last changed.
    pub updated_at: Timestamp,
}

/// What a merchant asks for.
#[derive(Debug, Clone)]
pub struct NewPayment {
    /// Number of the payment to be, and idempotency key at the PSP.
    pub payment_no: PaymentNo,
    /// Who asks.
    pub merchant_id: MerchantId,
    /// The merchant's own number for it.
    pub order_no: OrderNo,
    /// Who pays.
    pub customer_ref: CustomerRef,
    /// What is charged.
    pub amount: Money,
    /// How; none: the hosted page.
    pub payment_method: Option<PaymentMethod>,
    /// The merchant's attachments.
    pub details: Details,
}

/// How far a payment is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentState {
    /// Exists. Either the PSP has not been asked, or the customer has not used the hosted page.
    Pending,
    /// The PSP was asked, and its decision is not known.
    Processing,
    /// The customer has to authenticate.
    RequiresAction {
        /// Where.
        redirect_url: String,
    },
    /// Charged. Final but for refunds.
    Success(Charge),
    /// Declined. Final.
    Failed {
        /// Why, in our words.
        code: FailureCode,
    },
    /// Cancelled at the merchant's wish, or by the PSP. Final.
    Cancelled,
    /// Not completed in time. Final.
    Expired,
}

/// A charge, and how much of it went back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The PSP's object that carries it.
    pub intent: String,
    /// When it was made, as far as we know.
    pub paid_at: Timestamp,
    /// Paid back, minor units.
    pub refunded: i64,
    /// Asked to be paid back, outcome open, minor units.
    pub reserved: i64,
}

/// Why a payment is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// The merchant cancels.
    Cancel,
    /// It took too long.
    Expire,
}

/// A transition that the state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a payment that is {from} cannot become {to}")]
pub struct TransitionError {
    /// Where it is.
    pub from: PaymentStatus,
    /// Where it should have gone.
    pub to: PaymentStatus,
}

/// A payment after a transition, and what to tell the world.
pub type Transition = Result<(Payment, PaymentEvent), TransitionError>;

impl Payment {
    /// A new payment, and the first event of its life.
    pub fn create(new: NewPayment, now: Timestamp) -> (Self, PaymentEvent) {
        let payment = Self {
            payment_no: new.payment_no,
            merchant_id: new.merchant_id,
            order_no: new.order_no,
            customer_ref: new.customer_ref,
            amount: new.amount,
            payment_method: new.payment_method,
            details: new.details,
            psp: PspObjects::default(),
            closing: None,
            state: PaymentState::Pending,
            sequence: 1,
            created_at: now,
            updated_at: now,
        };
        let event = payment.event(PaymentEventType::Created, None, now);
        (payment, event)
    }

    /// The PSP was asked, and its answer is open.
    pub fn process(self, now: Timestamp) -> Transition {
        match self.state {
            PaymentState::Pending => {
                Ok(self.step(PaymentState::Processing, PaymentEventType::Processing, now))
            }
            PaymentState::Processing
            | PaymentState::RequiresAction { .. }
            | PaymentState::Success(_)
            | PaymentState::Failed { .. }
            | PaymentState::Cancelled
            | PaymentState::Expired => Err(self.refuse(PaymentStatus::Processing)),
        }
    }

    /// The customer has to authenticate.
    pub fn require_action(self, redirect_url: String, now: Timestamp) -> Transition {
        match self.state {
            PaymentState::Pending | PaymentState::Processing => {
                let state = PaymentState::RequiresAction { redirect_url };
                Ok(self.step(state, PaymentEventType::RequiresAction, now))
            }
            PaymentState::RequiresAction { .. }
            | PaymentState::Success(_)
            | PaymentState::Failed { .. }
            | PaymentState::Cancelled
            | PaymentState::Expired => Err(self.refuse(PaymentStatus::RequiresAction)),
        }
    }

    /// The PSP charged, with `intent`.
    pub fn succeed(mut self, intent: String, now: Timestamp) -> Transition {
        if !self.is_open() {
            return Err(self.refuse(PaymentStatus::Success));
        }
        self.psp.intent = Some(intent.clone());
        let charge = Charge {
            intent,
            paid_at: now,
            refunded: 0,
            reserved: 0,
        };
        Ok(self.step(PaymentState::Success(charge), PaymentEventType::Succeeded, now))
    }

    /// The PSP declined.
    pub fn fail(self, code: FailureCode, now: Timestamp) -> Transition {
        if !self.is_open() {
            return Err(self.refuse(PaymentStatus::Failed));
        }
        Ok(self.step(PaymentState::Failed { code }, PaymentEventType::Failed, now))
    }

    /// The PSP confirmed that nobody will be charged.
    pub fn cancel(self, now: Timestamp) -> Transition {
        if !self.is_open() {
            return Err(self.refuse(PaymentStatus::Cancelled));
        }
        Ok(self.step(PaymentState::Cancelled, PaymentEventType::Cancelled, now))
    }

    /// It took too long, and the PSP confirmed that nobody will be charged.
    pub fn expire(self, now: Timestamp) -> Transition {
        if !self.is_open() {
            return Err(self.refuse(PaymentStatus::Expired));
        }
        Ok(self.step(PaymentState::Expired, PaymentEventType::Expired, now))
    }

    /// Remembers that the payment is to be closed. No event: nothing has happened until the PSP confirms it. The first
    /// reason stays, because the PSP may already be confirming it.
    #[must_use]
    pub fn ask_to_close(mut self, closing: Closing) -> Self {
        if self.is_open() {
            self.closing.get_or_insert(closing);
        }
        self
    }

    /// May still become something else than it is, refunds aside.
    pub fn is_open(&self) -> bool {
        match self.state {
            PaymentState::Pending | PaymentState::Processing | PaymentState::RequiresAction { .. } => true,
            PaymentState::Success(_)
            | PaymentState::Failed { .. }
            | PaymentState::Cancelled
            | PaymentState::Expired => false,
        }
    }

    /// The customer pays on the PSP's page, where a declined attempt may be followed by another.
    pub fn is_hosted(&self) -> bool {
        self.payment_method.is_none()
    }

    /// The status as events and JSON show it; refunds show in it too.
    pub fn status(&self) -> PaymentStatus {
        match &self.state {
            PaymentState::Pending => PaymentStatus::Pending,
            PaymentState::Processing => PaymentStatus::Processing,
            PaymentState::RequiresAction { .. } => PaymentStatus::RequiresAction,
            PaymentState::Success(charge) if charge.refunded == 0 => PaymentStatus::Success,
            PaymentState::Success(charge) if charge.refunded < self.amount.minor => {
                PaymentStatus::PartiallyRefunded
            }
            PaymentState::Success(_) => PaymentStatus::Refunded,
            PaymentState::Failed { .. } => PaymentStatus::Failed,
            PaymentState::Cancelled => PaymentStatus::Cancelled,
            PaymentState::Expired => PaymentStatus::Expired,
        }
    }

    /// Sum of the succeeded refunds, minor units.
    pub fn amount_refunded(&self) -> i64 {
        match &self.state {
            PaymentState::Success(charge) => charge.refunded,
            PaymentState::Pending
            | PaymentState::Processing
            | PaymentState::RequiresAction { .. }
            | PaymentState::Failed { .. }
            | PaymentState::Cancelled
            | PaymentState::Expired => 0,
        }
    }

    pub(super) fn refuse(&self, to: PaymentStatus) -> TransitionError {
        TransitionError {
            from: self.status(),
            to,
        }
    }

    fn step(
        mut self,
        state: PaymentState,
        event_type: PaymentEventType,
        now: Timestamp,
    ) -> (Self, PaymentEvent) {
        let old_status = self.status();
        self.state = state;
        if !self.is_open() {
            self.closing = None;
        }
        self.sequence += 1;
        self.updated_at = now;
        let event = self.event(event_type, Some(old_status), now);
        (self, event)
    }

    /// The next event about a refund of this payment.
    pub(super) fn step_refund(
        mut self,
        charge: Charge,
        event_type: PaymentEventType,
        refund: RefundRecord,
        now: Timestamp,
    ) -> (Self, PaymentEvent) {
        let old_status = self.status();
        self.state = PaymentState::Success(charge);
        self.sequence += 1;
        self.updated_at = now;
        let event = PaymentEvent {
            refund: Some(refund),
            ..self.event(event_type, Some(old_status), now)
        };
        (self, event)
    }

    fn event(
        &self,
        event_type: PaymentEventType,
        old_status: Option<PaymentStatus>,
        now: Timestamp,
    ) -> PaymentEvent {
        let failure_code = match self.state {
            PaymentState::Failed { code } => Some(code),
            PaymentState::Pending
            | PaymentState::Processing
            | PaymentState::RequiresAction { .. }
            | PaymentState::Success(_)
            | PaymentState::Cancelled
            | PaymentState::Expired => None,
        };
        PaymentEvent {
            event_id: EventId::generate(),
            event_type,
            occurred_at: now,
            payment_no: self.payment_no,
            merchant_id: self.merchant_id,
            sequence: self.sequence,
            old_status,
            new_status: self.status(),
            amount: self.amount.minor,
            amount_refunded: self.amount_refunded(),
            currency: self.amount.currency,
            order_no: self.order_no.as_str().to_owned(),
            customer_ref: Some(self.customer_ref),
            channel: CHANNEL.to_owned(),
            failure_code,
            refund: None,
        }
    }
}
