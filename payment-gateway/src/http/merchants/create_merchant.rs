//! `POST /api/v1/merchants`

use axum::extract::State;
use axum::http::StatusCode;
use platform::auth::Staff;
use platform::http::Json;
use platform::problem::ProblemDocument;
use schemas::ids::MerchantId;
use serde::Deserialize;
use utoipa::ToSchema;

use super::document::CreatedMerchant;
use crate::auth::credentials;
use crate::domain::merchant::MerchantStatus;
use crate::domain::text::{Email, NotifyUrl, bounded};
use crate::error::{Refusal, in_field};
use crate::http::App;
use crate::store::merchants::{self, StoredMerchant};

const MAX_NAME_CHARS: usize = 200;

/// A merchant to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateMerchant {
    /// At most 200 characters.
    name: String,
    /// Where the merchant's own notices go.
    email: String,
    /// Where its webhooks go, unless a payment says otherwise.
    notify_url: Option<String>,
}

/// Let a merchant in
#[utoipa::path(
    post,
    path = "/api/v1/merchants",
    tag = "merchants",
    request_body = CreateMerchant,
    responses((status = 201, body = CreatedMerchant), (status = 403, body = ProblemDocument), (status = 422, body = ProblemDocument))
)]
pub(super) async fn create_merchant(
    State(app): State<App>,
    Staff(staff): Staff,
    Json(asked): Json<CreateMerchant>,
) -> Result<(StatusCode, Json<CreatedMerchant>), Refusal> {
    staff.require_role("operator")?;
    let name = bounded(&asked.name, MAX_NAME_CHARS).map_err(in_field("name"))?;
    let email = Email::parse(&asked.email).map_err(in_field("email"))?;
    let notify_url = asked
        .notify_url
        .as_deref()
        .map(NotifyUrl::parse)
        .transpose()
        .map_err(in_field("notify_url"))?;
    let merchant_id = MerchantId::generate();
    let webhook_secret = credentials::webhook_secret()?;
    let merchant = StoredMerchant {
        merchant_id,
        name: name.to_owned(),
        email: email.as_str().to_owned(),
        notify_url: notify_url.map(|url| url.as_str().to_owned()),
        status: MerchantStatus::Active,
        webhook_secret: app
            .secrets
            .cipher
            .seal(merchant_id.to_string().as_bytes(), webhook_secret.as_bytes())?,
        created_at: app.charging.clock.now(),
    };
    merchants::insert(&app.charging.pool, &merchant).await?;
    tracing::info!(%merchant_id, by = staff.subject, "merchant created");
    Ok((
        StatusCode::CREATED,
        Json(CreatedMerchant::new(merchant, webhook_secret)),
    ))
}
