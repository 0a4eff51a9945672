//! Merchants' tokens for the other services, and the keys that verify them.

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use platform::http::Json;
use platform::problem::ProblemDocument;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::SignedMerchant;
use crate::error::Refusal;
use crate::http::App;
use crate::store::signing_keys;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create_token))
        .routes(routes!(get_jwks))
}

/// A token, as OAuth 2.0 words it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenDocument {
    /// Goes into `Authorization: Bearer …`.
    access_token: String,
    /// `Bearer`.
    token_type: &'static str,
    /// Its life, seconds.
    expires_in: u32,
}

/// Get a token for the other services
#[utoipa::path(
    post,
    path = "/api/v1/tokens",
    tag = "tokens",
    responses((status = 200, body = TokenDocument), (status = 401, body = ProblemDocument))
)]
pub(crate) async fn create_token(
    State(app): State<App>,
    merchant: SignedMerchant,
) -> Result<impl IntoResponse, Refusal> {
    let (access_token, expires_in) = app.issuer.issue(merchant.merchant_id, &app.charging.clock)?;
    let token = TokenDocument {
        access_token,
        token_type: "Bearer",
        expires_in,
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(token)))
}

/// A JSON Web Key Set (RFC 7517).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Jwks {
    /// The keys.
    #[schema(value_type = Vec<Object>)]
    keys: Vec<Value>,
}

/// The keys that verify merchants' tokens
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "tokens", responses((status = 200, body = Jwks)))]
pub(crate) async fn get_jwks(State(app): State<App>) -> Result<impl IntoResponse, Refusal> {
    let keys = signing_keys::published(&app.charging.pool, app.charging.clock.now()).await?;
    Ok(([(CACHE_CONTROL, "public, max-age=60")], Json(Jwks { keys })))
}
