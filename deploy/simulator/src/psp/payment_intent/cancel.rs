//! `POST /v1/payment_intents/{id}/cancel`

use axum::extract::{Path, State as Shared};
use axum::response::Response;
use serde_json::Value;

use crate::clock;
use crate::psp::Psp;
use crate::psp::behaviour::Operation;
use crate::psp::checkout_session;
use crate::psp::desk::Desk;
use crate::psp::endpoint::Call;
use crate::psp::error::StripeError;
use crate::psp::form::Params;

const REASONS: &[&str] = &["duplicate", "fraudulent", "requested_by_customer", "abandoned"];

pub(super) async fn cancel(Shared(psp): Shared<Psp>, Path(id): Path<String>, call: Call) -> Response {
    psp.change(Operation::Cancel, call, move |desk, params| {
        perform(desk, &id, params)
    })
    .await
}

fn perform(desk: &mut Desk<'_>, id: &str, params: &Params) -> Result<Value, StripeError> {
    params.only(&["cancellation_reason", "expand"])?;
    let Some(mut intent) = desk.books.intents.get(id).cloned() else {
        return Err(StripeError::not_found("payment_intent", id, "intent"));
    };
    let reason = params.text("cancellation_reason")?;
    if let Some(unknown) = reason.filter(|reason| !REASONS.contains(reason)) {
        let message = format!(
            "Invalid cancellation_reason: must be one of {}",
            REASONS.join(", ")
        );
        return Err(StripeError::invalid(format!("{message}, not {unknown}")).param("cancellation_reason"));
    }
    if checkout_session::is_open(desk.books, intent.session.as_deref()) {
        return Err(StripeError::invalid(
            "You cannot cancel this PaymentIntent because it was created by a Checkout Session. Expire the Checkout Session instead.",
        )
        .code("payment_intent_unexpected_state"));
    }
    let canceled = intent.cancel(reason.map(str::to_owned), clock::unix_seconds());
    canceled.map_err(|error| error.with("payment_intent", intent.render(desk.settings)))?;
    desk.save_intent(intent.clone());
    desk.intent_event("payment_intent.canceled", &intent);
    Ok(intent.render(desk.settings))
}
