//! `GET /api/v1/withdrawals/{withdrawal_no}`

use axum::extract::State;
use platform::auth::Principal;
use platform::http::{Json, Path};
use platform::problem::ProblemDocument;
use schemas::ids::WithdrawalNo;

use super::document::WithdrawalDocument;
use crate::error::Refusal;
use crate::http::App;
use crate::store;

/// Show a withdrawal
#[utoipa::path(
    get,
    path = "/api/v1/withdrawals/{withdrawal_no}",
    tag = "withdrawals",
    params(("withdrawal_no" = String, Path)),
    responses((status = 200, body = WithdrawalDocument), (status = 404, body = ProblemDocument))
)]
pub(super) async fn show_withdrawal(
    State(app): State<App>,
    caller: Principal,
    Path(withdrawal_no): Path<WithdrawalNo>,
) -> Result<Json<WithdrawalDocument>, Refusal> {
    let mut connection = app.pool.acquire().await?;
    let withdrawal = store::withdrawals::find(&mut connection, withdrawal_no)
        .await?
        .filter(|withdrawal| caller.may_see(withdrawal.merchant_id))
        .ok_or(Refusal::NotFound)?;
    Ok(Json(withdrawal.into()))
}
