//! One request and its answer, through the breaker.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use tokio::time::Instant;
use tracing::Instrument;

use super::Answer;
use super::address::Forbidden;
use super::error::{CallError, NotSent, Unknown};
use super::request::{Request, Trouble};
use crate::breaker::Permit;
use crate::telemetry;

/// Asks the breaker for leave to send the request once.
pub(super) fn permit(request: &Request) -> Result<Permit, CallError> {
    let permit = request.client.breaker.permit();
    permit.map_err(|open| CallError::NotSent(open.into()))
}

/// Sends the request once.
pub(super) async fn send(
    request: &Request,
    permit: Permit,
    deadline: Instant,
    resend_count: u32,
) -> Result<Answer, CallError> {
    let span = tracing::info_span!(
        "http.client",
        otel.name = %format_args!("{} {}", request.method, request.client.destination),
        otel.kind = "client",
        http.request.method = %request.method,
        http.request.resend_count = resend_count,
        server.address = request.url.host_str(),
        http.response.status_code = tracing::field::Empty,
    );
    let outcome = exchange(request, deadline).instrument(span.clone()).await;
    if let Ok(answer) = &outcome {
        span.record("http.response.status_code", answer.status.as_u16());
    }
    if is_failure(request.trouble, &outcome) {
        permit.failure();
    } else {
        permit.success();
    }
    outcome
}

async fn exchange(request: &Request, deadline: Instant) -> Result<Answer, CallError> {
    let settings = &request.client.settings;
    settings
        .addresses
        .check_literal(&request.url)
        .map_err(|forbidden| CallError::NotSent(forbidden.into()))?;
    let mut headers = request.headers.clone();
    telemetry::inject_trace(&mut headers);
    let call = async {
        let mut answer = request
            .client
            .http
            .request(request.method.clone(), request.url.clone())
            .headers(headers)
            .body(request.body.clone())
            .send()
            .await
            .map_err(classify)?;
        let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
        let body = if request.reads_body {
            read(answer, settings.max_answer_bytes).await?
        } else {
            Bytes::new()
        };
        Ok(Answer {
            status,
            headers,
            body,
        })
    };
    let too_late = |_| Err(CallError::Unknown(Unknown::Deadline(settings.deadline)));
    tokio::time::timeout_at(deadline, call)
        .await
        .unwrap_or_else(too_late)
}

async fn read(mut answer: reqwest::Response, limit: usize) -> Result<Bytes, CallError> {
    let status = answer.status();
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(classify)? {
        if body.len() + chunk.len() > limit {
            return Err(CallError::Unknown(Unknown::TooLong { status, limit }));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Only an error before a connection existed proves that nothing was sent.
fn classify(error: reqwest::Error) -> CallError {
    // A URL may hold what must not be printed.
    let error = error.without_url();
    if let Some(forbidden) = Forbidden::cause_of(&error) {
        return CallError::NotSent(forbidden.into());
    }
    if error.is_connect() {
        return CallError::NotSent(NotSent::Connect(error));
    }
    if error.is_builder() {
        return CallError::NotSent(NotSent::Request(error.to_string()));
    }
    CallError::Unknown(Unknown::Connection(error))
}

/// What counts against the destination: trouble on its side. A refusal is an answer.
fn is_failure(minded: Trouble, outcome: &Result<Answer, CallError>) -> bool {
    match outcome {
        Ok(answer) => minded == Trouble::SilenceAndErrors && is_trouble(answer.status),
        Err(CallError::NotSent(NotSent::Connect(_)) | CallError::Unknown(_)) => true,
        Err(CallError::NotSent(NotSent::BreakerOpen(_) | NotSent::Forbidden(_) | NotSent::Request(_))) => {
            false
        }
    }
}

/// 5xx and 429: come back later.
pub(super) fn is_trouble(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

/// How long the other side asks us to wait, if it says so in seconds.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}
