//! Checkout Sessions: a hosted page on which the customer pays once.
//!
//! As at Stripe since 2022, the PaymentIntent comes to be when the customer first tries to pay, carries
//! `payment_intent_data[metadata]`, and is cancelled by expiring the session.

mod create;
mod read;

use axum::Router;
use axum::extract::{Path, State as Shared};
use axum::response::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::behaviour::Operation;
use super::books::Books;
use super::desk::Desk;
use super::endpoint::Call;
use super::error::StripeError;
use super::form::Metadata;
use super::method::PaymentMethod;
use super::payment_intent::{Attempt, PaymentIntent, State, attempt};
use super::{Psp, Settings, ids};
use crate::clock;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CheckoutSession {
    pub(super) id: String,
    pub(super) amount: i64,
    pub(super) currency: String,
    pub(super) metadata: Metadata,
    pub(super) intent_metadata: Metadata,
    pub(super) description: Option<String>,
    /// What the page says is sold.
    pub(super) product: String,
    pub(super) customer_email: Option<String>,
    pub(super) client_reference_id: Option<String>,
    pub(super) success_url: Option<String>,
    pub(super) cancel_url: Option<String>,
    pub(super) created: i64,
    pub(super) expires_at: i64,
    pub(super) state: SessionState,
    pub(super) payment_intent: Option<String>,
    /// Whether the money has arrived; a delayed payment completes the session before that.
    pub(super) paid: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SessionState {
    Open,
    Complete,
    Expired,
}

impl SessionState {
    pub(super) fn status(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Complete => "complete",
            Self::Expired => "expired",
        }
    }
}

pub(super) fn routes() -> Router<Psp> {
    Router::new()
        .route("/v1/checkout/sessions", get(read::list).post(create::create))
        .route("/v1/checkout/sessions/{id}", get(read::get))
        .route("/v1/checkout/sessions/{id}/expire", post(expire_on_request))
}

pub(super) fn render(session: &CheckoutSession, settings: &Settings) -> Value {
    let url = (session.state == SessionState::Open)
        .then(|| format!("{}/stripe/pay/{}", settings.public_url, session.id));
    json!({
        "id": session.id,
        "object": "checkout.session",
        "amount_subtotal": session.amount,
        "amount_total": session.amount,
        "cancel_url": session.cancel_url,
        "client_reference_id": session.client_reference_id,
        "created": session.created,
        "currency": session.currency,
        "customer": null,
        "customer_details": session.customer_email.as_ref().map(|email| json!({ "email": email })),
        "customer_email": session.customer_email,
        "expires_at": session.expires_at,
        "livemode": false,
        "metadata": session.metadata,
        "mode": "payment",
        "payment_intent": session.payment_intent,
        "payment_method_types": ["card"],
        "payment_status": if session.paid { "paid" } else { "unpaid" },
        "status": session.state.status(),
        "success_url": session.success_url,
        "ui_mode": "hosted",
        "url": url,
    })
}

pub(super) fn is_open(books: &Books, id: Option<&str>) -> bool {
    id.and_then(|id| books.sessions.get(id))
        .is_some_and(|session| session.state == SessionState::Open)
}

async fn expire_on_request(Shared(psp): Shared<Psp>, Path(id): Path<String>, call: Call) -> Response {
    psp.change(Operation::Cancel, call, move |desk, params| {
        params.only(&["expand"])?;
        expire(desk, &id)
    })
    .await
}

/// Closes an open session, and cancels the PaymentIntent of a customer who tried and did not succeed.
pub(super) fn expire(desk: &mut Desk<'_>, id: &str) -> Result<Value, StripeError> {
    let Some(mut session) = desk.books.sessions.get(id).cloned() else {
        return Err(StripeError::not_found("checkout.session", id, "session"));
    };
    if session.state != SessionState::Open {
        let status = session.state.status();
        return Err(StripeError::invalid(format!(
            "Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout Session has a status of {status}."
        )));
    }
    session.state = SessionState::Expired;
    let intent = session
        .payment_intent
        .as_deref()
        .and_then(|id| desk.books.intents.get(id))
        .cloned();
    if let Some(mut intent) = intent
        && intent
            .cancel(Some("automatic".to_owned()), clock::unix_seconds())
            .is_ok()
    {
        desk.save_intent(intent.clone());
        desk.intent_event("payment_intent.canceled", &intent);
    }
    desk.save_session(session.clone());
    desk.session_event("checkout.session.expired", &session);
    Ok(render(&session, desk.settings))
}

/// The customer pays on the hosted page.
pub(super) fn pay(
    desk: &mut Desk<'_>,
    id: &str,
    method: &PaymentMethod,
) -> Result<PaymentIntent, StripeError> {
    let Some(mut session) = desk.books.sessions.get(id).cloned() else {
        return Err(StripeError::not_found("checkout.session", id, "session"));
    };
    if session.state != SessionState::Open {
        return Err(StripeError::invalid(format!(
            "This Checkout Session is {}.",
            session.state.status()
        )));
    }
    let known = session
        .payment_intent
        .as_deref()
        .and_then(|id| desk.books.intents.get(id))
        .cloned();
    let mut intent = known.unwrap_or_else(|| new_intent(&session));
    session.payment_intent = Some(intent.id.clone());
    desk.save_session(session);
    let outcome = attempt(desk, &mut intent, method)?;
    conclude(desk, &intent, outcome);
    Ok(intent)
}

/// After an attempt: what was paid, or will be, completes the session.
pub(super) fn conclude(desk: &mut Desk<'_>, intent: &PaymentIntent, outcome: Attempt) {
    let paid = match outcome {
        Attempt::Succeeded => true,
        Attempt::Processing => false,
        Attempt::Declined(_) | Attempt::RequiresAction => return,
    };
    let Some(mut session) = intent
        .session
        .as_deref()
        .and_then(|id| desk.books.sessions.get(id))
        .cloned()
    else {
        return;
    };
    session.state = SessionState::Complete;
    session.paid = paid;
    desk.save_session(session.clone());
    desk.session_event("checkout.session.completed", &session);
}

fn new_intent(session: &CheckoutSession) -> PaymentIntent {
    PaymentIntent {
        id: ids::next("pi"),
        amount: session.amount,
        currency: session.currency.clone(),
        metadata: session.intent_metadata.clone(),
        description: session.description.clone(),
        receipt_email: session.customer_email.clone(),
        return_url: session.success_url.clone(),
        payment_method: None,
        created: clock::unix_seconds(),
        session: Some(session.id.clone()),
        state: State::RequiresPaymentMethod,
        refunds: Vec::new(),
        amount_refunded: 0,
        charges: Vec::new(),
    }
}
