//! `POST /api/v1/merchants/{merchant_id}/suspend` and `…/activate`

use axum::extract::State;
use platform::auth::{Staff, StaffMember};
use platform::http::{Json, Path};
use platform::problem::ProblemDocument;
use schemas::ids::MerchantId;

use super::document::MerchantDocument;
use crate::domain::merchant::MerchantStatus;
use crate::error::Refusal;
use crate::http::App;
use crate::store::merchants;

/// Suspend a merchant: its requests are refused, what is under way goes on
#[utoipa::path(
    post,
    path = "/api/v1/merchants/{merchant_id}/suspend",
    tag = "merchants",
    params(("merchant_id" = String, Path)),
    responses((status = 200, body = MerchantDocument), (status = 404, body = ProblemDocument))
)]
pub(super) async fn suspend_merchant(
    State(app): State<App>,
    Staff(staff): Staff,
    Path(merchant_id): Path<MerchantId>,
) -> Result<Json<MerchantDocument>, Refusal> {
    set(&app, &staff, merchant_id, MerchantStatus::Suspended).await
}

/// Let a suspended merchant in again
#[utoipa::path(
    post,
    path = "/api/v1/merchants/{merchant_id}/activate",
    tag = "merchants",
    params(("merchant_id" = String, Path)),
    responses((status = 200, body = MerchantDocument), (status = 404, body = ProblemDocument))
)]
pub(super) async fn activate_merchant(
    State(app): State<App>,
    Staff(staff): Staff,
    Path(merchant_id): Path<MerchantId>,
) -> Result<Json<MerchantDocument>, Refusal> {
    set(&app, &staff, merchant_id, MerchantStatus::Active).await
}

async fn set(
    app: &App,
    staff: &StaffMember,
    merchant_id: MerchantId,
    status: MerchantStatus,
) -> Result<Json<MerchantDocument>, Refusal> {
    staff.require_role("operator")?;
    let pool = &app.charging.pool;
    if !merchants::set_status(pool, merchant_id, status, app.charging.clock.now()).await? {
        return Err(Refusal::NotFound);
    }
    tracing::info!(%merchant_id, status = status.as_str(), by = staff.subject, "merchant status set");
    let merchant = merchants::get(pool, merchant_id)
        .await?
        .ok_or(Refusal::NotFound)?;
    Ok(Json(merchant.into()))
}
