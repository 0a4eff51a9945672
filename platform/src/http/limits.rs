//! What a request may cost.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::Limited;
use tokio::sync::Semaphore;

use super::extract::too_large;
use crate::config::Limits;
use crate::problem::Problem;

/// Leave to work on so many requests at once.
#[derive(Clone)]
pub(super) struct Concurrency(Arc<Semaphore>);

impl Concurrency {
    pub(super) fn new(limits: Limits) -> Self {
        Self(Arc::new(Semaphore::new(limits.concurrency)))
    }
}

/// One request too many is told to come back, at once: a queue would only make everybody late.
pub(super) async fn bound_concurrency(
    State(Concurrency(leave)): State<Concurrency>,
    request: Request,
    next: Next,
) -> Response {
    let Ok(_leave) = leave.try_acquire() else {
        return Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "overloaded",
            "Too many requests at once",
        )
        .retry_after(1)
        .into_response();
    };
    next.run(request).await
}

/// The handler is dropped at its deadline; what it handed to `Context::own` goes on.
pub(super) async fn bound_time(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    tokio::time::timeout(limits.timeout(), next.run(request))
        .await
        .unwrap_or_else(|_| {
            Problem::new(
                StatusCode::GATEWAY_TIMEOUT,
                "timeout",
                "The request was not answered in time",
            )
            .detail(
                "it may still take effect; ask for the result, or repeat it with the same idempotency key",
            )
            .into_response()
        })
}

/// A body that says it is too large is not kept at all, and one that does not say so is kept up to the bound.
pub(super) async fn bound_body(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok());
    if announced
        .and_then(|length| length.parse().ok())
        .is_some_and(|length: usize| length > limits.body_bytes)
    {
        return too_large().into_response();
    }
    let mut request = request.map(|body| Body::new(Limited::new(body, limits.body_bytes)));
    // axum has a default of its own, which would be another bound beside ours.
    DefaultBodyLimit::apply(DefaultBodyLimit::disable(), &mut request);
    next.run(request).await
}
