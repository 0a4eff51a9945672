//! The service's internal endpoints, behind the service token.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tower::ServiceExt;

use crate::auth::AuthError;
use crate::problem::Problem;

/// The service's internal endpoints, which it hands in when it has started: health is answered before that.
#[derive(Clone, Default)]
pub struct Internal(Arc<OnceLock<Router>>);

impl Internal {
    /// Opens the internal endpoints; the first call counts.
    pub fn open(&self, routes: Router) {
        // A service serves once.
        let _ = self.0.set(routes);
    }
}

pub(super) fn routes(internal: Internal, token: Arc<SecretString>) -> Router {
    Router::new()
        .fallback(forward)
        .with_state(internal)
        .layer(from_fn_with_state(token, require_service_token))
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
    if has_service_token(request.headers(), &token) {
        next.run(request).await
    } else {
        AuthError::ServiceToken.into_response()
    }
}

/// Whether the request carries the service token.
pub(super) fn has_service_token(headers: &HeaderMap, token: &SecretString) -> bool {
    let sent = headers
        .get(header::AUTHORIZATION)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    let expected = format!("Bearer {}", token.expose_secret());
    bool::from(sent.ct_eq(expected.as_bytes()))
}
