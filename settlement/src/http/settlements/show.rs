//! `GET /api/v1/settlements/{settlement_no}`

use axum::extract::State;
use platform::auth::Principal;
use platform::http::{Json, Path};
use platform::problem::ProblemDocument;
use schemas::ids::SettlementNo;

use super::document::SettlementDocument;
use crate::error::Refusal;
use crate::http::App;
use crate::store;

/// Show a settlement
#[utoipa::path(
    get,
    path = "/api/v1/settlements/{settlement_no}",
    tag = "settlements",
    params(("settlement_no" = String, Path)),
    responses((status = 200, body = SettlementDocument), (status = 404, body = ProblemDocument))
)]
pub(super) async fn show_settlement(
    State(app): State<App>,
    caller: Principal,
    Path(settlement_no): Path<SettlementNo>,
) -> Result<Json<SettlementDocument>, Refusal> {
    let mut connection = app.pool.acquire().await?;
    let settlement = store::settlements::find(&mut connection, settlement_no)
        .await?
        .filter(|settlement| caller.may_see(settlement.merchant_id))
        .ok_or(Refusal::NotFound)?;
    Ok(Json(SettlementDocument::new(&settlement, &caller)))
}
