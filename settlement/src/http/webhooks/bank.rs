//! `POST /webhooks/bank`
//!
//! A webhook may come twice, late, and in any order; what it says goes the way of everything that the bank says, so that a
//! repetition changes nothing.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use platform::http::RawBody;
use platform::problem::ProblemDocument;
use platform::signature::Signature;
use secrecy::ExposeSecret;

use crate::clients::bank::Notice;
use crate::domain::withdrawal::ConflictKind;
use crate::error::Refusal;
use crate::http::App;
use crate::payouts::TakenIn;

/// Receive a webhook of the bank's
#[utoipa::path(
    post,
    path = "/webhooks/bank",
    tag = "webhooks",
    params(("Bank-Signature" = String, Header, description = "`t=<unix seconds>,v1=<hex>`: HMAC-SHA256 over `t.body`")),
    responses(
        (status = 200, description = "taken in, known before, or of no interest"),
        (status = 401, description = "not signed by the bank, or more than 300 s ago", body = ProblemDocument),
        (status = 404, description = "no such withdrawal", body = ProblemDocument),
        (status = 422, description = "unreadable, or not the payout that was ordered", body = ProblemDocument),
    )
)]
pub(super) async fn receive_bank_webhook(
    State(app): State<App>,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<StatusCode, Refusal> {
    verify(&app, &headers, &body)?;
    let Notice::Payout {
        withdrawal_no,
        report,
    } = Notice::parse(&body)?
    else {
        return Ok(StatusCode::OK);
    };
    match app.payouts.take_in(withdrawal_no, &report).await? {
        TakenIn::Agreed(_) => Ok(StatusCode::OK),
        TakenIn::Conflict(_, kind) => match kind {
            ConflictKind::OtherAmount | ConflictKind::OtherPayout | ConflictKind::NeverOrdered => {
                Err(kind.into())
            }
            // It is about our payout and signed by the bank: it is kept for staff, and sending it again would not help.
            ConflictKind::PaidAfterFailing | ConflictKind::FailedAfterPaying => Ok(StatusCode::OK),
        },
    }
}

fn verify(app: &App, headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
    let header = headers
        .get("bank-signature")
        .and_then(|value| value.to_str().ok());
    let signature: Signature = header.ok_or(Refusal::Unsigned)?.parse()?;
    let secret = app.webhook_secret.expose_secret().as_bytes();
    Ok(signature.verify_webhook([secret], app.clock.now(), body)?)
}
