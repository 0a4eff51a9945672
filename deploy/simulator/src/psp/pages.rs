//! The pages a customer sees: the hosted payment page, and the bank's question behind `requires_action`.
//!
//! A real PSP sends the browser on to the shop; here the last page shows a link to it, because the shop of a local
//! run is often a name that leads nowhere.

use askama::Template;
use axum::Router;
use axum::extract::{Form, Path, State as Shared};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use serde::Deserialize;

use super::checkout_session::{self, CheckoutSession, SessionState};
use super::desk::Desk;
use super::method::{self, AUTHENTICATION_FAILED, PaymentMethod};
use super::payment_intent::{Attempt, ChargeOutcome, PaymentIntent, State};
use super::{Psp, amounts};
use crate::clock;
use crate::page;

pub(super) fn routes() -> Router<Psp> {
    Router::new()
        .route("/pay/{id}", get(show_payment).post(pay))
        .route("/authenticate/{id}", get(show_question).post(answer_question))
}

#[derive(Template)]
#[template(path = "pay.html")]
struct PayPage<'a> {
    amount: String,
    product: &'a str,
    methods: &'static [PaymentMethod],
    notice: Option<String>,
    cancel_url: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "authenticate.html")]
struct QuestionPage {
    amount: String,
}

#[derive(Template)]
#[template(path = "outcome.html")]
struct OutcomePage {
    title: &'static str,
    text: String,
    status: &'static str,
    amount: String,
    return_url: Option<String>,
}

#[derive(Deserialize)]
struct Payment {
    payment_method: String,
}

#[derive(Deserialize)]
struct Answer {
    outcome: Outcome,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Complete,
    Fail,
}

async fn show_payment(Shared(psp): Shared<Psp>, Path(id): Path<String>) -> Response {
    psp.transact(None, |desk| match desk.books.sessions.get(&id) {
        Some(session) => session_page(desk, session, None),
        None => page::not_found("There is no such payment page."),
    })
    .0
}

async fn pay(Shared(psp): Shared<Psp>, Path(id): Path<String>, Form(payment): Form<Payment>) -> Response {
    let Some(method) = method::find(&payment.payment_method) else {
        return page::not_found("There is no such payment method.");
    };
    psp.transact(None, |desk| {
        let paid = checkout_session::pay(desk, &id, method);
        let Some(session) = desk.books.sessions.get(&id) else {
            return page::not_found("There is no such payment page.");
        };
        match paid {
            Ok(intent) if intent.state == State::RequiresAction => to_question(desk, &intent),
            Ok(intent) => session_page(desk, session, decline_message(&intent)),
            Err(_) => session_page(desk, session, None),
        }
    })
    .0
}

async fn show_question(Shared(psp): Shared<Psp>, Path(id): Path<String>) -> Response {
    psp.transact(None, |desk| match desk.books.intents.get(&id) {
        Some(intent) if intent.state == State::RequiresAction => page::show(&QuestionPage {
            amount: amounts::display(intent.amount, &intent.currency),
        }),
        Some(intent) => intent_page(intent),
        None => page::not_found("There is no such payment."),
    })
    .0
}

async fn answer_question(
    Shared(psp): Shared<Psp>,
    Path(id): Path<String>,
    Form(answer): Form<Answer>,
) -> Response {
    psp.transact(None, |desk| {
        let Some(mut intent) = desk.books.intents.get(&id).cloned() else {
            return page::not_found("There is no such payment.");
        };
        let Some(method) = intent.payment_method.as_deref().and_then(method::find) else {
            return intent_page(&intent);
        };
        let decline = (answer.outcome == Outcome::Fail).then_some(AUTHENTICATION_FAILED);
        if let Ok(outcome) = intent.act(method, decline, clock::unix_seconds()) {
            desk.save_intent(intent.clone());
            let event = match outcome {
                Attempt::Declined(_) => "payment_intent.payment_failed",
                Attempt::Succeeded | Attempt::RequiresAction | Attempt::Processing => {
                    "payment_intent.succeeded"
                }
            };
            desk.intent_event(event, &intent);
            checkout_session::conclude(desk, &intent, outcome);
        }
        let session = intent
            .session
            .as_deref()
            .and_then(|id| desk.books.sessions.get(id));
        match session {
            Some(session) => session_page(desk, session, decline_message(&intent)),
            None => intent_page(&intent),
        }
    })
    .0
}

fn to_question(desk: &Desk<'_>, intent: &PaymentIntent) -> Response {
    Redirect::to(&format!(
        "{}/stripe/authenticate/{}",
        desk.settings.public_url, intent.id
    ))
    .into_response()
}

/// Where the customer stands: may pay, has to confirm, has paid, or is too late.
fn session_page(desk: &Desk<'_>, session: &CheckoutSession, notice: Option<String>) -> Response {
    let amount = amounts::display(session.amount, &session.currency);
    let intent = session
        .payment_intent
        .as_deref()
        .and_then(|id| desk.books.intents.get(id));
    match session.state {
        SessionState::Open => match intent {
            Some(intent) if intent.state == State::RequiresAction => to_question(desk, intent),
            _ => page::show(&PayPage {
                amount,
                product: &session.product,
                methods: method::ALL,
                notice,
                cancel_url: session.cancel_url.as_deref(),
            }),
        },
        SessionState::Complete => page::show(&OutcomePage {
            title: if session.paid { "Paid" } else { "On its way" },
            text: if session.paid {
                "Thank you."
            } else {
                "Your bank is still working on it."
            }
            .to_owned(),
            status: if session.paid { "succeeded" } else { "processing" },
            amount,
            return_url: session
                .success_url
                .as_ref()
                .map(|url| url.replace("{CHECKOUT_SESSION_ID}", &session.id)),
        }),
        SessionState::Expired => page::show(&OutcomePage {
            title: "Too late",
            text: "This payment page has expired or was cancelled. Ask the shop for a new one.".to_owned(),
            status: "expired",
            amount,
            return_url: session.cancel_url.clone(),
        }),
    }
}

/// The end of a confirmation that did not come from a hosted page.
fn intent_page(intent: &PaymentIntent) -> Response {
    let title = match intent.state {
        State::Succeeded => "Paid",
        State::Processing { .. } => "On its way",
        State::RequiresPaymentMethod | State::RequiresConfirmation => "Not paid",
        State::RequiresAction => "Your bank asks",
        State::Canceled { .. } => "Cancelled",
    };
    let redirect_status = if intent.state == State::Succeeded {
        "succeeded"
    } else {
        "failed"
    };
    page::show(&OutcomePage {
        title,
        text: decline_message(intent).unwrap_or_default(),
        status: intent.state.status(),
        amount: amounts::display(intent.amount, &intent.currency),
        return_url: intent
            .return_url
            .as_deref()
            .and_then(|url| return_url(url, intent, redirect_status)),
    })
}

/// As Stripe sends the browser back: with the intent, its secret and the outcome in the query.
fn return_url(url: &str, intent: &PaymentIntent, redirect_status: &str) -> Option<String> {
    let mut url = url::Url::parse(url).ok()?;
    url.query_pairs_mut()
        .append_pair("payment_intent", &intent.id)
        .append_pair("payment_intent_client_secret", &intent.client_secret())
        .append_pair("redirect_status", redirect_status);
    Some(url.into())
}

fn decline_message(intent: &PaymentIntent) -> Option<String> {
    match (&intent.state, intent.charges.last().map(|charge| &charge.outcome)) {
        (State::RequiresPaymentMethod, Some(ChargeOutcome::Failed { message, .. })) => Some(message.clone()),
        _ => None,
    }
}
