//! `GET /api/v1/merchants/{merchant_id}`

use axum::extract::State;
use platform::http::{Json, Path};
use platform::problem::ProblemDocument;
use schemas::ids::MerchantId;

use super::document::MerchantDocument;
use crate::auth::Caller;
use crate::error::Refusal;
use crate::http::App;
use crate::store::merchants;

/// Get a merchant
#[utoipa::path(
    get,
    path = "/api/v1/merchants/{merchant_id}",
    tag = "merchants",
    params(("merchant_id" = String, Path)),
    responses((status = 200, body = MerchantDocument), (status = 404, body = ProblemDocument))
)]
pub(super) async fn get_merchant(
    State(app): State<App>,
    caller: Caller,
    Path(merchant_id): Path<MerchantId>,
) -> Result<Json<MerchantDocument>, Refusal> {
    if !caller.0.may_see(merchant_id) {
        return Err(Refusal::NotFound);
    }
    let merchant = merchants::get(&app.charging.pool, merchant_id)
        .await?
        .ok_or(Refusal::NotFound)?;
    Ok(Json(merchant.into()))
}
