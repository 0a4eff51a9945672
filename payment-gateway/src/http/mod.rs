//! The merchants' API. A folder mirrors a path, a file is one use case.

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use platform::auth::TokenVerifier;
use secrecy::SecretString;
use utoipa_axum::router::OpenApiRouter;

use crate::charging::Charging;
use crate::secrets::Secrets;

mod idempotency;
pub mod payments;
pub mod staff;
pub mod webhooks;

/// What handlers work with. Cheap to clone.
#[derive(Clone, FromRef)]
pub struct App {
    /// Database, outbox, clock, PSP.
    pub charging: Charging,
    /// Verifies Bearer tokens.
    pub tokens: TokenVerifier,
    /// The master key's work.
    pub secrets: Arc<Secrets>,
    /// Secrets of the PSP's webhook endpoint.
    pub webhook_secrets: Arc<[SecretString]>,
}

/// The public routes.
pub fn public(app: App) -> Router {
    let (routes, _document) = OpenApiRouter::new()
        .merge(payments::routes())
        .merge(staff::routes())
        .merge(webhooks::routes())
        .split_for_parts();
    routes.with_state(app)
}

/// The routes of the operations port.
pub fn internal(_app: App) -> Router {
    Router::new()
}
