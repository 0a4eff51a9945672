//! Health and metrics.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Encoder, TextEncoder};
use secrecy::SecretString;

use super::door::Door;
use super::internal::has_service_token;
use crate::auth::{AuthError, Principal};
use crate::health::{Health, Status};
use crate::http::Json;
use crate::problem::Problem;

#[derive(Clone, FromRef)]
struct Watched {
    health: Health,
    door: Arc<Door>,
    service_token: Arc<SecretString>,
}

pub(super) fn routes(health: Health, door: Arc<Door>, service_token: Arc<SecretString>) -> Router {
    let watched = Watched {
        health,
        door,
        service_token,
    };
    Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(watched)
}

/// The process runs and answers; nothing else is asked, so that a broken dependency restarts nobody.
async fn live() -> Json<serde_json::Value> {
    Json(serde_json::json!({ "status": "up" }))
}

/// 200 while the service does its work, if late; 503 when it cannot. A probe has no token and needs no more than the status;
/// the reasons name hosts and databases.
async fn ready(State(watched): State<Watched>, headers: HeaderMap) -> Response {
    let mut report = watched.health.report();
    let status = match report.status {
        Status::Up | Status::Degraded => StatusCode::OK,
        Status::Down => StatusCode::SERVICE_UNAVAILABLE,
    };
    if watched.admit(&headers).await.is_err() {
        report.components.clear();
    }
    (status, Json(report)).into_response()
}

async fn metrics(State(watched): State<Watched>, headers: HeaderMap) -> Response {
    if let Err(refusal) = watched.admit(&headers).await {
        return refusal;
    }
    let mut text = Vec::new();
    match TextEncoder::new().encode(&prometheus::gather(), &mut text) {
        Ok(()) => {
            let content_type = HeaderValue::from_static(prometheus::TEXT_FORMAT);
            ([(header::CONTENT_TYPE, content_type)], text).into_response()
        }
        Err(error) => Problem::internal(&error).into_response(),
    }
}

impl Watched {
    /// A browser sends no such token by itself, so who has one may use any name for us.
    async fn admit(&self, headers: &HeaderMap) -> Result<(), Response> {
        if has_service_token(headers, &self.service_token) {
            return Ok(());
        }
        if headers.contains_key(header::AUTHORIZATION) || !self.door.is_open {
            return match self.door.tokens.authenticate(headers).await {
                Ok(Principal::Staff(_)) => Ok(()),
                Ok(Principal::Merchant(_)) => Err(AuthError::WrongPrincipal.into_response()),
                Err(refusal) => Err(refusal.into_response()),
            };
        }
        if self.door.hosts.admit(headers) {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "unknown-host",
            "The request is addressed to a host that is not known here",
        )
        .detail("use an address of this machine, or add the name to operations.hosts")
        .into_response())
    }
}
