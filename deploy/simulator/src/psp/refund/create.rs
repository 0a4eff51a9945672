//! `POST /v1/refunds`

use axum::extract::State as Shared;
use axum::response::Response;
use serde_json::Value;

use super::{Refund, RefundState};
use crate::clock;
use crate::psp::behaviour::Operation;
use crate::psp::books::holds_money;
use crate::psp::desk::Desk;
use crate::psp::endpoint::Call;
use crate::psp::error::StripeError;
use crate::psp::form::Params;
use crate::psp::method::RefundVerdict;
use crate::psp::payment_intent::{Charge, PaymentIntent};
use crate::psp::settle::Due;
use crate::psp::{Psp, amounts, ids};

const KNOWN: &[&str] = &[
    "payment_intent",
    "charge",
    "amount",
    "reason",
    "metadata",
    "instructions_email",
    "expand",
];
const REASONS: &[&str] = &["duplicate", "fraudulent", "requested_by_customer"];

pub(super) async fn create(Shared(psp): Shared<Psp>, call: Call) -> Response {
    psp.change(Operation::Refund, call, perform).await
}

fn perform(desk: &mut Desk<'_>, params: &Params) -> Result<Value, StripeError> {
    params.only(KNOWN)?;
    let (mut intent, charge) = charged(desk, params)?;
    let rest = charge.amount - intent.amount_refunded;
    let amount = params
        .integer("amount")?
        .map(|amount| amounts::amount(amount, &intent.currency, "amount"))
        .transpose()?;
    let amount = amount.unwrap_or(rest);
    check_amount(amount, rest, &charge, &intent)?;
    let reason = params.text("reason")?;
    if let Some(unknown) = reason.filter(|reason| !REASONS.contains(reason)) {
        let message = format!(
            "Invalid reason: must be one of {}, not {unknown}",
            REASONS.join(", ")
        );
        return Err(StripeError::invalid(message).param("reason"));
    }
    let refund = Refund {
        id: ids::next("re"),
        payment_intent: intent.id.clone(),
        charge: charge.id.clone(),
        amount,
        currency: intent.currency.clone(),
        reason: reason.map(str::to_owned),
        metadata: params.metadata("metadata")?,
        created: clock::unix_seconds(),
        state: first_state(desk, &charge),
    };
    intent.refunds.push(refund.id.clone());
    if holds_money(&refund.state) {
        intent.amount_refunded += amount;
    }
    desk.save_intent(intent);
    desk.save_refund(refund.clone());
    announce(desk, &refund);
    Ok(refund.render())
}

fn charged(desk: &Desk<'_>, params: &Params) -> Result<(PaymentIntent, Charge), StripeError> {
    let by_intent = params.text("payment_intent")?;
    let by_charge = params.text("charge")?;
    let (intent, param) = match (by_intent, by_charge) {
        (Some(id), _) => {
            let found = desk.books.intents.get(id);
            (
                found.ok_or_else(|| StripeError::no_such("payment_intent", id, "payment_intent"))?,
                "payment_intent",
            )
        }
        (None, Some(id)) => {
            let found = desk
                .books
                .intents
                .iter()
                .find(|intent| intent.charges.iter().any(|charge| charge.id == id));
            (
                found.ok_or_else(|| StripeError::no_such("charge", id, "charge"))?,
                "charge",
            )
        }
        (None, None) => {
            let message =
                "One of the following params should be provided for this request: payment_intent or charge.";
            return Err(StripeError::invalid(message));
        }
    };
    let Some(charge) = intent.succeeded_charge() else {
        let message = format!(
            "This PaymentIntent ({}) does not have a successful charge to refund.",
            intent.id
        );
        return Err(StripeError::invalid(message).param(param));
    };
    Ok((intent.clone(), charge.clone()))
}

fn check_amount(amount: i64, rest: i64, charge: &Charge, intent: &PaymentIntent) -> Result<(), StripeError> {
    if rest == 0 {
        let message = format!("Charge {} has already been refunded.", charge.id);
        return Err(StripeError::invalid(message).code("charge_already_refunded"));
    }
    if amount > rest {
        let currency = intent.currency.to_uppercase();
        let message = format!(
            "Refund amount ({amount} {currency}) is greater than unrefunded amount on charge ({rest} {currency})"
        );
        return Err(StripeError::invalid(message).param("amount"));
    }
    Ok(())
}

fn first_state(desk: &mut Desk<'_>, charge: &Charge) -> RefundState {
    if desk.ordered_decline(Operation::Refund).is_some() {
        return RefundState::Failed {
            reason: "declined".to_owned(),
        };
    }
    match charge.refunds {
        RefundVerdict::Succeeds => RefundState::Succeeded { fails_at_ms: None },
        RefundVerdict::SucceedsLater => RefundState::Pending {
            settles_at_ms: desk.settles_at_ms(),
        },
        RefundVerdict::FailsLater => RefundState::Succeeded {
            fails_at_ms: Some(desk.settles_at_ms()),
        },
    }
}

fn announce(desk: &mut Desk<'_>, refund: &Refund) {
    desk.refund_event("refund.created", refund);
    match refund.state {
        RefundState::Failed { .. } => desk.refund_event("refund.failed", refund),
        RefundState::Pending { settles_at_ms: at_ms }
        | RefundState::Succeeded {
            fails_at_ms: Some(at_ms),
        } => {
            desk.due.push(Due::Refund {
                id: refund.id.clone(),
                at_ms,
            });
        }
        RefundState::Succeeded { fails_at_ms: None } => {}
    }
}
