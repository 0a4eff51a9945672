//! `POST /webhooks/stripe`
//!
//! A webhook is a hint: it may come twice, late, and in any order. An object that cannot change any more is taken as it came;
//! any other one is asked for again. What is then known goes the way of all observations, so repetition changes nothing.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use platform::http::RawBody;
use platform::problem::ProblemDocument;
use platform::signature::Signature;
use schemas::ids::PaymentNo;
use secrecy::ExposeSecret;

use crate::charging::{Finding, RefundFinding};
use crate::clients::stripe::Reply;
use crate::clients::stripe::webhooks::{Event, Subject};
use crate::domain::psp::{PspPayment, PspRefund, PspStatus};
use crate::error::Refusal;
use crate::http::App;
use crate::store;
use crate::store::psp_events::PspEvent;

/// Receive a webhook of Stripe's
#[utoipa::path(
    post,
    path = "/webhooks/stripe",
    tag = "webhooks",
    params(("Stripe-Signature" = String, Header, description = "`t=…,v1=…`, several `v1` while a secret is rolled over")),
    responses(
        (status = 200, description = "worked off, or of no interest"),
        (status = 401, description = "not signed by Stripe, or too long ago", body = ProblemDocument),
        (status = 503, description = "send it again", body = ProblemDocument),
    )
)]
pub(super) async fn stripe(
    State(app): State<App>,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<StatusCode, Refusal> {
    verify(&app, &headers, &body)?;
    let event = Event::parse(&body)?;
    let subject = event.subject()?;
    if !store::psp_events::is_known(&app.charging.pool, &event.id).await? {
        let heard = PspEvent {
            id: event.id,
            event_type: event.event_type,
        };
        match subject {
            Subject::Intent { id, payment } => {
                let payment = current(payment, async || app.charging.stripe.ask_intent(&id).await).await?;
                take_in(&app, payment, &heard).await?;
            }
            Subject::Session { id, payment } => {
                let payment = current(payment, async || app.charging.stripe.ask_session(&id).await).await?;
                take_in(&app, payment, &heard).await?;
            }
            // A refund that succeeded may fail days later, so what a webhook says of one is never final.
            Subject::Refund { id, refund } => {
                let refund = answered(app.charging.stripe.ask_refund(&id).await, Some(refund))?;
                take_in_refund(&app, refund, &heard).await?;
            }
            Subject::Other => {}
        }
    }
    Ok(StatusCode::OK)
}

fn verify(app: &App, headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
    let signature = headers
        .get("stripe-signature")
        .and_then(|value| value.to_str().ok())
        .ok_or(Refusal::Unsigned)?;
    let signature: Signature = signature.parse()?;
    let secrets = app
        .webhook_secrets
        .iter()
        .map(|secret| secret.expose_secret().as_bytes());
    Ok(signature.verify_webhook(secrets, app.charging.clock.now(), body)?)
}

/// The payment as it is now.
async fn current(
    then: PspPayment,
    ask: impl AsyncFnOnce() -> Reply<PspPayment>,
) -> Result<PspPayment, Refusal> {
    match then.status {
        PspStatus::Succeeded | PspStatus::Cancelled => Ok(then),
        PspStatus::Unpaid(_) | PspStatus::Processing | PspStatus::RequiresAction { .. } => {
            answered(ask().await, Some(then))
        }
    }
}

/// The answer; what the webhook said, if the PSP refuses to tell; and otherwise the webhook has to come again.
fn answered<T>(reply: Reply<T>, then: Option<T>) -> Result<T, Refusal> {
    match reply {
        Reply::Answered(now) => Ok(now),
        Reply::Declined(_) => then.ok_or(Refusal::AskedInVain),
        Reply::NotSent(cause) | Reply::Unknown(cause) => {
            tracing::warn!(error = %platform::problem::Chain(&cause), "a webhook could not be checked with the psp");
            Err(Refusal::AskedInVain)
        }
    }
}

async fn take_in(app: &App, payment: PspPayment, heard: &PspEvent) -> Result<(), Refusal> {
    let Some(payment_no) = ours(app, &payment).await? else {
        // Other systems may share the account; their payments are none of our business.
        tracing::debug!(
            event_type = heard.event_type,
            "a webhook about no payment of ours"
        );
        return Ok(());
    };
    app.charging
        .apply(payment_no, &Finding::Seen(vec![payment]), Some(heard))
        .await?;
    Ok(())
}

/// The payment that the object says it is for, else the one that it pays for as far as we know.
async fn ours(app: &App, payment: &PspPayment) -> Result<Option<PaymentNo>, Refusal> {
    if let Some(payment_no) = payment.payment_no
        && store::payments::get(&app.charging.pool, payment_no)
            .await?
            .is_some()
    {
        return Ok(Some(payment_no));
    }
    match &payment.objects.intent {
        Some(intent) => Ok(store::payments::find_by_intent(&app.charging.pool, intent).await?),
        None => Ok(None),
    }
}

async fn take_in_refund(app: &App, refund: PspRefund, heard: &PspEvent) -> Result<(), Refusal> {
    let Some(refund_no) = refund.refund_no else {
        return Ok(());
    };
    let Some(known) = store::refunds::get(&app.charging.pool, refund_no).await? else {
        return Ok(());
    };
    let finding = RefundFinding::Seen(refund);
    app.charging
        .apply_refund(known.refund.payment_no, refund_no, &finding, Some(heard))
        .await?;
    Ok(())
}
