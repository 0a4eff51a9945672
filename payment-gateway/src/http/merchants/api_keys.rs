//! `/api/v1/merchants/{merchant_id}/api-keys`
//!
//! Two keys may live at once, so that a merchant can switch without a gap: rotate, deploy the new key, revoke the old one.

use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use platform::auth::{Staff, StaffMember};
use platform::http::{Json, Path};
use platform::problem::ProblemDocument;
use schemas::ids::{ApiKeyId, MerchantId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::credentials;
use crate::domain::merchant::MAX_LIVE_KEYS;
use crate::error::Refusal;
use crate::http::App;
use crate::store::{StoreError, api_keys, merchants};

/// A key just made, with the secret that is shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CreatedKey {
    /// Goes into `X-API-Key`.
    #[schema(value_type = String)]
    api_key: ApiKeyId,
    /// Keys the signature: the HMAC's key is these characters.
    api_secret: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// A key without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeyDocument {
    #[schema(value_type = String)]
    api_key: ApiKeyId,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Timestamp>,
}

/// A merchant's keys.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Keys {
    data: Vec<KeyDocument>,
}

/// Make a key
#[utoipa::path(
    post,
    path = "/api/v1/merchants/{merchant_id}/api-keys",
    tag = "merchants",
    params(("merchant_id" = String, Path)),
    responses((status = 201, body = CreatedKey), (status = 409, body = ProblemDocument))
)]
pub(super) async fn create_api_key(
    State(app): State<App>,
    Staff(staff): Staff,
    Path(merchant_id): Path<MerchantId>,
) -> Result<(StatusCode, Json<CreatedKey>), Refusal> {
    add(&app, &staff, merchant_id, None).await
}

/// Make a key that takes over from one; the old one signs until it is revoked
#[utoipa::path(
    post,
    path = "/api/v1/merchants/{merchant_id}/api-keys/{api_key}/rotate",
    tag = "merchants",
    params(("merchant_id" = String, Path), ("api_key" = String, Path)),
    responses((status = 201, body = CreatedKey), (status = 404, body = ProblemDocument), (status = 409, body = ProblemDocument))
)]
pub(super) async fn rotate_api_key(
    State(app): State<App>,
    Staff(staff): Staff,
    Path((merchant_id, api_key)): Path<(MerchantId, ApiKeyId)>,
) -> Result<(StatusCode, Json<CreatedKey>), Refusal> {
    add(&app, &staff, merchant_id, Some(api_key)).await
}

/// Revoke a key, at once
#[utoipa::path(
    delete,
    path = "/api/v1/merchants/{merchant_id}/api-keys/{api_key}",
    tag = "merchants",
    params(("merchant_id" = String, Path), ("api_key" = String, Path)),
    responses((status = 204), (status = 404, body = ProblemDocument))
)]
pub(super) async fn revoke_api_key(
    State(app): State<App>,
    Staff(staff): Staff,
    Path((merchant_id, api_key)): Path<(MerchantId, ApiKeyId)>,
) -> Result<StatusCode, Refusal> {
    staff.require_role("operator")?;
    if !api_keys::revoke(&app.charging.pool, merchant_id, api_key, app.charging.clock.now()).await? {
        return Err(Refusal::NotFound);
    }
    tracing::info!(%merchant_id, %api_key, by = staff.subject, "api key revoked");
    Ok(StatusCode::NO_CONTENT)
}

/// List a merchant's keys
#[utoipa::path(
    get,
    path = "/api/v1/merchants/{merchant_id}/api-keys",
    tag = "merchants",
    params(("merchant_id" = String, Path)),
    responses((status = 200, body = Keys))
)]
pub(super) async fn list_api_keys(
    State(app): State<App>,
    Staff(staff): Staff,
    Path(merchant_id): Path<MerchantId>,
) -> Result<Json<Keys>, Refusal> {
    staff.require_role("operator")?;
    let keys = api_keys::list(&app.charging.pool, merchant_id).await?;
    let documents = keys.into_iter().map(|key| KeyDocument {
        api_key: key.api_key,
        created_at: key.created_at,
        revoked_at: key.revoked_at,
    });
    Ok(Json(Keys {
        data: documents.collect(),
    }))
}

async fn add(
    app: &App,
    staff: &StaffMember,
    merchant_id: MerchantId,
    successor_of: Option<ApiKeyId>,
) -> Result<(StatusCode, Json<CreatedKey>), Refusal> {
    staff.require_role("operator")?;
    let mut tx = app.charging.pool.begin().await.map_err(StoreError::from)?;
    if !merchants::lock(&mut tx, merchant_id).await? {
        return Err(Refusal::NotFound);
    }
    let live = api_keys::live(&mut *tx, merchant_id).await?;
    if successor_of.is_some_and(|old| !live.contains(&old)) {
        return Err(Refusal::NotFound);
    }
    if live.len() >= MAX_LIVE_KEYS {
        return Err(Refusal::TooManyKeys);
    }
    let (api_key, api_secret, created_at) = (
        ApiKeyId::generate(),
        credentials::api_secret()?,
        app.charging.clock.now(),
    );
    let sealed = app
        .secrets
        .cipher
        .seal(api_key.to_string().as_bytes(), api_secret.as_bytes())?;
    api_keys::insert(&mut *tx, api_key, merchant_id, &sealed, created_at).await?;
    tx.commit().await.map_err(StoreError::from)?;
    tracing::info!(%merchant_id, %api_key, by = staff.subject, "api key made");
    Ok((
        StatusCode::CREATED,
        Json(CreatedKey {
            api_key,
            api_secret,
            created_at,
        }),
    ))
}
