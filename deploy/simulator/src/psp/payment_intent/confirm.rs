//! `POST /v1/payment_intents/{id}/confirm`, and charging as all ways to pay share it.

use axum::extract::{Path, State as Shared};
use axum::response::Response;
use serde_json::{Value, json};

use super::{Attempt, PaymentIntent};
use crate::clock;
use crate::psp::behaviour::Operation;
use crate::psp::desk::Desk;
use crate::psp::endpoint::Call;
use crate::psp::error::StripeError;
use crate::psp::form::Params;
use crate::psp::method::{Decline, PaymentMethod};
use crate::psp::settle::Due;
use crate::psp::{Psp, expand, method};

const KNOWN: &[&str] = &[
    "payment_method",
    "return_url",
    "receipt_email",
    "off_session",
    "use_stripe_sdk",
    "expand",
];

pub(super) async fn confirm(Shared(psp): Shared<Psp>, Path(id): Path<String>, call: Call) -> Response {
    psp.change(Operation::Payment, call, move |desk, params| {
        perform(desk, &id, params)
    })
    .await
}

fn perform(desk: &mut Desk<'_>, id: &str, params: &Params) -> Result<Value, StripeError> {
    params.only(KNOWN)?;
    let Some(mut intent) = desk.books.intents.get(id).cloned() else {
        return Err(StripeError::not_found("payment_intent", id, "intent"));
    };
    if let Some(return_url) = params.text("return_url")? {
        intent.return_url = Some(return_url.to_owned());
    }
    let named = params.text("payment_method")?.map(str::to_owned);
    let Some(method_id) = named.or_else(|| intent.payment_method.clone()) else {
        return Err(intent.unexpected_state("confirm").param("payment_method"));
    };
    let Some(method) = method::find(&method_id) else {
        return Err(StripeError::no_such(
            "PaymentMethod",
            &method_id,
            "payment_method",
        ));
    };
    let expand = expand::read(params, &["latest_charge"])?;
    charge(desk, intent, method, &expand)
}

/// Charges as an API call does: a decline is an error, but the intent and its event remain.
pub(super) fn charge(
    desk: &mut Desk<'_>,
    mut intent: PaymentIntent,
    method: &PaymentMethod,
    expand: &[String],
) -> Result<Value, StripeError> {
    match attempt(desk, &mut intent, method)? {
        Attempt::Declined(decline) => Err(declined(desk, &intent, decline)),
        Attempt::Succeeded | Attempt::RequiresAction | Attempt::Processing => {
            Ok(expand::intent(&intent, desk.settings, expand))
        }
    }
}

/// Tries to charge, saves the intent, and tells the world.
pub(in crate::psp) fn attempt(
    desk: &mut Desk<'_>,
    intent: &mut PaymentIntent,
    method: &PaymentMethod,
) -> Result<Attempt, StripeError> {
    let decline = desk.ordered_decline(Operation::Payment);
    let settles_at_ms = desk.settles_at_ms();
    let attempt = intent.attempt(method, decline, clock::unix_seconds(), settles_at_ms)?;
    desk.save_intent(intent.clone());
    let event = match attempt {
        Attempt::Succeeded => "payment_intent.succeeded",
        Attempt::Declined(_) => "payment_intent.payment_failed",
        Attempt::RequiresAction => "payment_intent.requires_action",
        Attempt::Processing => {
            desk.due.push(Due::Payment {
                id: intent.id.clone(),
                at_ms: settles_at_ms,
            });
            "payment_intent.processing"
        }
    };
    desk.intent_event(event, intent);
    Ok(attempt)
}

fn declined(desk: &Desk<'_>, intent: &PaymentIntent, decline: Decline) -> StripeError {
    StripeError::card(decline.code, decline.decline_code, decline.message)
        .with("charge", json!(intent.charges.last().map(|charge| &charge.id)))
        .with("payment_intent", intent.render(desk.settings))
        .with("payment_method", intent.render_method())
}
