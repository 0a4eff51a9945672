//! What the PSP says, held against what we know. Answers, webhooks and sweeps all end here.
//!
//! The newcomer's trap is to trust the order in which things are heard. An observation may be old: it only ever moves a
//! payment forward (pending, processing, requires action, final), never out of a final state, and what contradicts a
//! final state is a [`Conflict`].

use jiff::Timestamp;
use schemas::payment::PaymentEvent;

use super::payment::{Closing, Payment, PaymentState, Transition};
use super::psp::{Conflict, ConflictKind, PspPayment, PspRefund, PspRefundStatus, PspStatus};
use super::refund::{Refund, RefundState};

/// What an observation led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// No change of state. The payment may have learned its names at the PSP.
    Noted,
    /// One change, one event.
    Changed(Box<PaymentEvent>),
    /// A contradiction; nothing was applied.
    Conflict(Conflict),
}

impl Payment {
    /// Takes in what the PSP says about this payment.
    pub fn observe(mut self, seen: &PspPayment, now: Timestamp) -> (Self, Outcome) {
        if let Some(kind) = self.mismatch(seen) {
            let conflict = self.conflict(kind, seen);
            return (self, Outcome::Conflict(conflict));
        }
        if self.is_for_another_object(seen) {
            // Not the object that pays for us. Harmless, unless it charged.
            return match seen.status {
                PspStatus::Succeeded => {
                    let conflict = self.conflict(ConflictKind::SecondCharge, seen);
                    (self, Outcome::Conflict(conflict))
                }
                PspStatus::Unpaid(_)
                | PspStatus::Processing
                | PspStatus::RequiresAction { .. }
                | PspStatus::Cancelled => (self, Outcome::Noted),
            };
        }
        if self.is_open() {
            self.learn(seen);
            return self.advance(seen, now);
        }
        let outcome = self.contradiction(seen).map_or(Outcome::Noted, |kind| {
            Outcome::Conflict(self.conflict(kind, seen))
        });
        (self, outcome)
    }

    fn mismatch(&self, seen: &PspPayment) -> Option<ConflictKind> {
        if seen.payment_no != Some(self.payment_no) {
            return Some(ConflictKind::WrongPayment);
        }
        (seen.amount != self.amount).then_some(ConflictKind::WrongAmount)
    }

    fn is_for_another_object(&self, seen: &PspPayment) -> bool {
        let differs = |ours: &Option<String>, theirs: &Option<String>| matches!((ours, theirs), (Some(ours), Some(theirs)) if ours != theirs);
        differs(&self.psp.intent, &seen.objects.intent) || differs(&self.psp.session, &seen.objects.session)
    }

    fn learn(&mut self, seen: &PspPayment) {
        let objects = seen.objects.clone();
        self.psp.intent = self.psp.intent.take().or(objects.intent);
        self.psp.session = self.psp.session.take().or(objects.session);
        self.psp.payment_url = self.psp.payment_url.take().or(objects.payment_url);
    }

    /// An open payment, and what the PSP says about the object that pays for it.
    fn advance(self, seen: &PspPayment, now: Timestamp) -> (Self, Outcome) {
        let unchanged = self.clone();
        let transition = match &seen.status {
            PspStatus::Succeeded => match seen.objects.intent.clone() {
                Some(intent) => self.succeed(intent, now),
                // A paid session always names its intent; without a name there is nothing to refund later, so ask again.
                None => return (self, Outcome::Noted),
            },
            PspStatus::Unpaid(Some(code)) if !self.is_hosted() => self.fail(*code, now),
            PspStatus::Unpaid(_) => return (self, Outcome::Noted),
            PspStatus::Processing => self.process(now),
            // The hosted page leads the customer through authentication itself.
            PspStatus::RequiresAction { .. } if self.is_hosted() => return (self, Outcome::Noted),
            PspStatus::RequiresAction { redirect_url } => self.require_action(redirect_url.clone(), now),
            PspStatus::Cancelled => self.close(now),
        };
        match transition {
            Ok((payment, event)) => (payment, Outcome::Changed(Box::new(event))),
            // Heard late, or twice: the payment is past that.
            Err(_) => (unchanged, Outcome::Noted),
        }
    }

    /// The PSP confirmed that nobody will be charged: for the reason we gave it, else for its own, which on a hosted page
    /// is the page's end.
    pub fn close(self, now: Timestamp) -> Transition {
        match self.closing {
            Some(Closing::Expire) => self.expire(now),
            None if self.is_hosted() => self.expire(now),
            Some(Closing::Cancel) | None => self.cancel(now),
        }
    }

    fn contradiction(&self, seen: &PspPayment) -> Option<ConflictKind> {
        match (&self.state, &seen.status) {
            (
                PaymentState::Failed { .. } | PaymentState::Cancelled | PaymentState::Expired,
                PspStatus::Succeeded,
            ) => Some(ConflictKind::LateSuccess),
            (PaymentState::Success(_), PspStatus::Cancelled) => Some(ConflictKind::ContradictedSuccess),
            (
                PaymentState::Success(_),
                PspStatus::Succeeded
                | PspStatus::Unpaid(_)
                | PspStatus::Processing
                | PspStatus::RequiresAction { .. },
            )
            | (
                PaymentState::Failed { .. } | PaymentState::Cancelled | PaymentState::Expired,
                PspStatus::Unpaid(_)
                | PspStatus::Processing
                | PspStatus::RequiresAction { .. }
                | PspStatus::Cancelled,
            )
            | (PaymentState::Pending | PaymentState::Processing | PaymentState::RequiresAction { .. }, _) => {
                None
            }
        }
    }

    fn conflict(&self, kind: ConflictKind, seen: &PspPayment) -> Conflict {
        let reference = seen.objects.intent.as_ref().or(seen.objects.session.as_ref());
        Conflict {
            kind,
            psp_reference: reference.cloned().unwrap_or_default(),
            our_status: self.status().as_str(),
            psp_status: seen.status.word(),
            amount: seen.amount,
        }
    }

    /// Takes in what the PSP says about one of this payment's refunds.
    pub fn observe_refund(
        self,
        mut refund: Refund,
        seen: &PspRefund,
        now: Timestamp,
    ) -> (Self, Refund, Outcome) {
        if let Some(kind) = refund.mismatch(seen) {
            let conflict = refund.conflict(kind, seen);
            return (self, refund, Outcome::Conflict(conflict));
        }
        if !refund.is_open() {
            let outcome = refund.contradiction(seen);
            return (self, refund, outcome);
        }
        refund.psp_refund.get_or_insert_with(|| seen.id.clone());
        let before = (self.clone(), refund.clone());
        let settled = match seen.status {
            PspRefundStatus::Pending => return (self, refund.process(now), Outcome::Noted),
            PspRefundStatus::Succeeded => self.refund_succeeded(refund, now),
            PspRefundStatus::Failed(code) => self.refund_failed(refund, code, now),
        };
        match settled {
            Ok((payment, refund, event)) => (payment, refund, Outcome::Changed(Box::new(event))),
            Err(_) => (before.0, before.1, Outcome::Noted),
        }
    }
}

impl Refund {
    fn mismatch(&self, seen: &PspRefund) -> Option<ConflictKind> {
        let is_other = self.psp_refund.as_ref().is_some_and(|ours| *ours != seen.id);
        if seen.refund_no != Some(self.refund_no) || is_other {
            return Some(ConflictKind::WrongPayment);
        }
        (seen.amount != self.amount).then_some(ConflictKind::WrongAmount)
    }

    fn contradiction(&self, seen: &PspRefund) -> Outcome {
        let contradicts = match (self.state, seen.status) {
            (RefundState::Succeeded, PspRefundStatus::Failed(_))
            | (RefundState::Failed { .. }, PspRefundStatus::Succeeded) => true,
            (RefundState::Succeeded, PspRefundStatus::Succeeded | PspRefundStatus::Pending)
            | (RefundState::Failed { .. }, PspRefundStatus::Failed(_) | PspRefundStatus::Pending)
            | (RefundState::Pending | RefundState::Processing, _) => false,
        };
        if contradicts {
            Outcome::Conflict(self.conflict(ConflictKind::RefundContradicted, seen))
        } else {
            Outcome::Noted
        }
    }

    fn conflict(&self, kind: ConflictKind, seen: &PspRefund) -> Conflict {
        Conflict {
            kind,
            psp_reference: seen.id.clone(),
            our_status: self.status().as_str(),
            psp_status: seen.status.word(),
            amount: seen.amount,
        }
    }
}
