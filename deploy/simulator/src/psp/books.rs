//! What the PSP did, as it really happened: every PaymentIntent, Checkout Session and refund.

use serde_json::{Value, json};

use super::checkout_session::CheckoutSession;
use super::payment_intent::{ChargeOutcome, PaymentIntent};
use super::refund::{Refund, RefundState};
use crate::journal::Restored;
use crate::shelf::Shelf;

/// Newest objects of each kind that are kept: more than any test or demo makes, some hundred megabytes at most.
const MAX_OBJECTS: usize = 200_000;

pub(super) const INTENTS: &str = "payment_intent";
pub(super) const SESSIONS: &str = "checkout_session";
pub(super) const REFUNDS: &str = "refund";

#[derive(Debug)]
pub(super) struct Books {
    pub(super) intents: Shelf<PaymentIntent>,
    pub(super) sessions: Shelf<CheckoutSession>,
    pub(super) refunds: Shelf<Refund>,
}

impl Books {
    pub(super) fn restore(restored: &mut Restored) -> Result<Self, serde_json::Error> {
        let mut books = Self {
            intents: Shelf::new(MAX_OBJECTS),
            sessions: Shelf::new(MAX_OBJECTS),
            refunds: Shelf::new(MAX_OBJECTS),
        };
        for intent in restored.take::<PaymentIntent>(INTENTS)? {
            let id = intent.id.clone();
            books.intents.put(&id, intent);
        }
        for session in restored.take::<CheckoutSession>(SESSIONS)? {
            let id = session.id.clone();
            books.sessions.put(&id, session);
        }
        for refund in restored.take::<Refund>(REFUNDS)? {
            let id = refund.id.clone();
            books.refunds.put(&id, refund);
        }
        Ok(books)
    }

    /// For `GET /control/books/psp`. Amounts are what moved, not what was asked for.
    pub(super) fn report(&self) -> Value {
        let payments: Vec<Value> = self.intents.iter().map(payment_line).collect();
        let refunds: Vec<Value> = self
            .refunds
            .iter()
            .map(|refund| self.refund_line(refund))
            .collect();
        let sessions: Vec<Value> = self.sessions.iter().map(session_line).collect();
        json!({
            "payments": payments,
            "refunds": refunds,
            "sessions": sessions,
            "forgotten": self.intents.forgotten() + self.sessions.forgotten() + self.refunds.forgotten(),
        })
    }

    fn refund_line(&self, refund: &Refund) -> Value {
        let payment_no = self
            .intents
            .get(&refund.payment_intent)
            .and_then(|intent| intent.metadata.get("payment_no"))
            .or_else(|| refund.metadata.get("payment_no"));
        json!({
            "refund_no": refund.metadata.get("refund_no"),
            "id": refund.id,
            "payment_no": payment_no,
            "payment_intent": refund.payment_intent,
            "amount": refund.amount,
            "currency": refund.currency.to_uppercase(),
            "status": refund.state.status(),
        })
    }
}

fn payment_line(intent: &PaymentIntent) -> Value {
    let succeeded = || {
        intent
            .charges
            .iter()
            .filter(|charge| charge.outcome == ChargeOutcome::Succeeded)
    };
    json!({
        "payment_no": intent.metadata.get("payment_no"),
        "id": intent.id,
        "amount": intent.amount,
        "currency": intent.currency.to_uppercase(),
        "status": intent.state.status(),
        "charges": succeeded().count(),
        "amount_charged": succeeded().map(|charge| charge.amount).sum::<i64>(),
        "amount_refunded": intent.amount_refunded,
        "checkout_session": intent.session,
    })
}

fn session_line(session: &CheckoutSession) -> Value {
    json!({
        "payment_no": session.intent_metadata.get("payment_no").or_else(|| session.metadata.get("payment_no")),
        "id": session.id,
        "amount": session.amount,
        "currency": session.currency.to_uppercase(),
        "status": session.state.status(),
        "payment_intent": session.payment_intent,
    })
}

/// Failed refunds give nothing back; all others have, or will have.
pub(super) fn holds_money(state: &RefundState) -> bool {
    match state {
        RefundState::Pending { .. } | RefundState::Succeeded { .. } => true,
        RefundState::Failed { .. } => false,
    }
}
