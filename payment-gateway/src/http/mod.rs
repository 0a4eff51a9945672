//! The merchants' API. A folder mirrors a path, a file is one use case.

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use platform::auth::TokenVerifier;
use secrecy::SecretString;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use crate::auth::TokenIssuer;
use crate::charging::Charging;
use crate::secrets::Secrets;

pub mod customers;
mod idempotency;
mod internal;
pub mod merchants;
pub mod payments;
pub mod staff;
pub mod tokens;
pub mod webhooks;

/// What handlers work with. Cheap to clone.
#[derive(Clone, FromRef)]
pub struct App {
    /// Database, outbox, clock, PSP.
    pub charging: Charging,
    /// Verifies Bearer tokens.
    pub tokens: TokenVerifier,
    /// Issues merchants' tokens.
    pub issuer: Arc<TokenIssuer>,
    /// The master key's work.
    pub secrets: Arc<Secrets>,
    /// Secrets of the PSP's webhook endpoint.
    pub webhook_secrets: Arc<[SecretString]>,
}

#[derive(OpenApi)]
#[openapi(info(
    title = "payment-gateway",
    description = "Take payments, refund them, and get told what became of them. Requests of merchants carry `X-API-Key` and \
                   `X-Signature: t=<unix seconds>,v1=<hex>`: HMAC-SHA256, keyed with the API secret, over t, METHOD, path and \
                   query, Idempotency-Key or nothing, and the hex SHA-256 of the body, joined by newlines."
))]
struct Api;

/// The public routes.
pub fn public(app: App) -> Router {
    let (routes, document) = OpenApiRouter::with_openapi(Api::openapi())
        .merge(payments::routes())
        .merge(customers::routes())
        .merge(merchants::routes())
        .merge(tokens::routes())
        .merge(staff::routes())
        .merge(webhooks::routes())
        .split_for_parts();
    routes
        .with_state(app)
        .merge(SwaggerUi::new("/docs").url("/openapi.json", document))
}

/// The routes of the operations port.
pub fn internal(app: App) -> Router {
    internal::routes().with_state(app)
}
