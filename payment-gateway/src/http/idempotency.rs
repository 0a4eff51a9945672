//! The first answer to a request with an `Idempotency-Key`, kept and given again.
//!
//! A key is noted in the transaction that creates the payment or refund, and never before: so a request that was refused
//! leaves nothing behind, and one that died in between can be answered from what it created.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::SignedDuration;
use serde::Serialize;
use uuid::Uuid;

use crate::auth::SignedMerchant;
use crate::error::Refusal;
use crate::http::App;
use crate::store;
use crate::store::idempotency::{Answer, Scope};

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// A request is answered within 10 s, so whoever has not answered after this is gone.
pub(super) const ANSWERED_WITHIN: SignedDuration = SignedDuration::from_secs(15);

/// Where a request with a key stands.
pub(super) enum Beginning {
    /// Nobody has seen the key.
    First,
    /// Answered before.
    Answered(Answer),
    /// The first one died after it created this, and we answer in its place.
    Abandoned(Uuid),
}

/// What the request's key is valid for.
pub(super) fn scope(merchant: &SignedMerchant) -> Option<Scope> {
    let key = merchant.idempotency_key.clone()?;
    Some(Scope {
        merchant_id: merchant.merchant_id,
        method: "POST",
        path: merchant.path.clone(),
        key,
    })
}

/// Looks up where a request with this key stands.
pub(super) async fn begin(app: &App, scope: &Scope, request_hash: &[u8]) -> Result<Beginning, Refusal> {
    let pool = &app.charging.pool;
    let Some(record) = store::idempotency::find(pool, scope).await? else {
        return Ok(Beginning::First);
    };
    if record.request_hash != request_hash {
        return Err(Refusal::KeyReused);
    }
    if let Some(answer) = record.answer {
        return Ok(Beginning::Answered(answer));
    }
    let now = app.charging.clock.now();
    if record.claimed_until > now
        || !store::idempotency::take_over(pool, scope, now, now + ANSWERED_WITHIN).await?
    {
        return Err(Refusal::KeyInFlight);
    }
    Ok(Beginning::Abandoned(record.resource_id))
}

/// Makes an answer of a document, and keeps it if the request had a key.
pub(super) async fn keep(
    app: &App,
    scope: Option<&Scope>,
    status: StatusCode,
    document: &impl Serialize,
) -> Result<Answer, Refusal> {
    let answer = Answer {
        status: status.as_u16(),
        body: serde_json::to_vec(document)?,
    };
    if let Some(scope) = scope {
        store::idempotency::answer(&app.charging.pool, scope, &answer).await?;
    }
    Ok(answer)
}

/// The answer, given for the first time.
pub(super) fn first(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let json = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, json)], answer.body).into_response()
}

/// The answer, given again.
pub(super) fn again(answer: Answer) -> Response {
    let mut response = first(answer);
    response
        .headers_mut()
        .insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
