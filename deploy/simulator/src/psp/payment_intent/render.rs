//! How a PaymentIntent and its charges look in answers and events.

use serde_json::{Value, json};

use super::{Charge, ChargeOutcome, PaymentIntent, State};
use crate::psp::Settings;
use crate::psp::method;

impl PaymentIntent {
    /// Also carries the page on which the cardholder confirms, so it needs to know where the simulator is reachable.
    pub(in crate::psp) fn render(&self, settings: &Settings) -> Value {
        let received = self.succeeded_charge().map_or(0, |charge| charge.amount);
        let (canceled_at, cancellation_reason) = match &self.state {
            State::Canceled { at, reason } => (Some(*at), reason.as_deref()),
            State::RequiresPaymentMethod
            | State::RequiresConfirmation
            | State::RequiresAction
            | State::Processing { .. }
            | State::Succeeded => (None, None),
        };
        // Stripe takes the method off again when it is declined.
        let payment_method = match self.state {
            State::RequiresPaymentMethod => None,
            _ => self.payment_method.as_deref(),
        };
        json!({
            "id": self.id,
            "object": "payment_intent",
            "amount": self.amount,
            "amount_capturable": 0,
            "amount_received": received,
            "automatic_payment_methods": null,
            "canceled_at": canceled_at,
            "cancellation_reason": cancellation_reason,
            "capture_method": "automatic",
            "client_secret": self.client_secret(),
            "confirmation_method": "automatic",
            "created": self.created,
            "currency": self.currency,
            "customer": null,
            "description": self.description,
            "last_payment_error": self.last_payment_error(),
            "latest_charge": self.charges.last().map(|charge| &charge.id),
            "livemode": false,
            "metadata": self.metadata,
            "next_action": self.next_action(settings),
            "payment_method": payment_method,
            "payment_method_types": ["card"],
            "processing": null,
            "receipt_email": self.receipt_email,
            "status": self.state.status(),
        })
    }

    pub(in crate::psp) fn render_charge(&self, charge: &Charge) -> Value {
        let (paid, status, failure) = match &charge.outcome {
            ChargeOutcome::Pending => (false, "pending", None),
            ChargeOutcome::Succeeded => (true, "succeeded", None),
            ChargeOutcome::Failed { code, message, .. } => (false, "failed", Some((code, message))),
        };
        let refunded = if paid { self.amount_refunded } else { 0 };
        json!({
            "id": charge.id,
            "object": "charge",
            "amount": charge.amount,
            "amount_captured": if paid { charge.amount } else { 0 },
            "amount_refunded": refunded,
            "captured": paid,
            "created": charge.created,
            "currency": self.currency,
            "failure_code": failure.map(|(code, _)| code),
            "failure_message": failure.map(|(_, message)| message),
            "livemode": false,
            "metadata": self.metadata,
            "paid": paid,
            "payment_intent": self.id,
            "payment_method": self.payment_method,
            "payment_method_details": { "type": "card", "card": self.card() },
            "refunded": paid && refunded == charge.amount,
            "status": status,
        })
    }

    pub(in crate::psp) fn client_secret(&self) -> String {
        format!("{}_secret_simulator", self.id)
    }

    fn next_action(&self, settings: &Settings) -> Value {
        if self.state != State::RequiresAction {
            return Value::Null;
        }
        json!({
            "type": "redirect_to_url",
            "redirect_to_url": {
                "url": format!("{}/stripe/authenticate/{}", settings.public_url, self.id),
                "return_url": self.return_url,
            },
        })
    }

    fn last_payment_error(&self) -> Value {
        let Some(Charge {
            id,
            outcome:
                ChargeOutcome::Failed {
                    code,
                    decline_code,
                    message,
                },
            ..
        }) = self.charges.last()
        else {
            return Value::Null;
        };
        json!({
            "type": "card_error",
            "code": code,
            "decline_code": decline_code,
            "message": message,
            "charge": id,
            "payment_method": self.render_method(),
        })
    }

    pub(in crate::psp) fn render_method(&self) -> Value {
        json!({
            "id": self.payment_method,
            "object": "payment_method",
            "type": "card",
            "card": self.card(),
        })
    }

    fn card(&self) -> Value {
        let known = self.payment_method.as_deref().and_then(method::find);
        json!({ "brand": known.map(|method| method.brand), "last4": known.map(|method| method.last4) })
    }
}
