//! The operators' listener: health, metrics, and the service's internal endpoints behind the service token.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Encoder, TextEncoder};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tower::ServiceExt;

use super::Json;
use crate::auth::AuthError;
use crate::health::{Health, Status};
use crate::problem::Problem;

/// The service's internal endpoints, which it hands in when it has started: health is answered before that.
#[derive(Clone, Default)]
pub(crate) struct Internal(Arc<OnceLock<Router>>);

impl Internal {
    /// Opens the internal endpoints; the first call counts.
    pub(crate) fn open(&self, routes: Router) {
        // A service serves once.
        let _ = self.0.set(routes);
    }
}

/// Health and metrics for everyone who reaches this listener; everything else asks for the service token.
pub(crate) fn router(internal: Internal, health: Health, service_token: SecretString) -> Router {
    let guarded = Router::new()
        .fallback(forward)
        .with_state(internal)
        .layer(from_fn_with_state(Arc::new(service_token), require_service_token));
    Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready).with_state(health))
        .route("/metrics", get(metrics))
        .fallback_service(guarded)
}

/// The process runs and answers; nothing else is asked, so that a broken dependency restarts nobody.
async fn live() -> Json<serde_json::Value> {
    Json(serde_json::json!({ "status": "up" }))
}

/// 200 while the service does its work, if late; 503 when it cannot.
async fn ready(State(health): State<Health>) -> Response {
    let report = health.report();
    let status = match report.status {
        Status::Up | Status::Degraded => StatusCode::OK,
        Status::Down => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(report)).into_response()
}

async fn metrics() -> Response {
    let mut text = Vec::new();
    match TextEncoder::new().encode(&prometheus::gather(), &mut text) {
        Ok(()) => {
            let content_type = HeaderValue::from_static(prometheus::TEXT_FORMAT);
            ([(header::CONTENT_TYPE, content_type)], text).into_response()
        }
        Err(error) => Problem::internal(&error).into_response(),
    }
}

async fn forward(State(internal): State<Internal>, request: Request) -> Response {
    match internal.0.get() {
        Some(routes) => routes.clone().oneshot(request).await.into_response(),
        None => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "starting",
            "The service is starting",
        )
        .retry_after(1)
        .into_response(),
    }
}

async fn require_service_token(
    State(token): State<Arc<SecretString>>,
    request: Request,
    next: Next,
) -> Response {
    let sent = request
        .headers()
        .get(header::AUTHORIZATION)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    let expected = format!("Bearer {}", token.expose_secret());
    if bool::from(sent.ct_eq(expected.as_bytes())) {
        next.run(request).await
    } else {
        AuthError::ServiceToken.into_response()
    }
}
