//! `GET /api/v1/payments/{payment_no}/refunds/{refund_no}`

use axum::extract::State;
use platform::http::{Json, Path};
use platform::problem::ProblemDocument;
use schemas::ids::{PaymentNo, RefundNo};

use super::RefundDocument;
use crate::auth::Caller;
use crate::error::Refusal;
use crate::http::App;
use crate::store;

/// Get a refund
#[utoipa::path(
    get,
    path = "/api/v1/payments/{payment_no}/refunds/{refund_no}",
    tag = "refunds",
    params(("payment_no" = String, Path), ("refund_no" = String, Path)),
    responses((status = 200, body = RefundDocument), (status = 404, body = ProblemDocument))
)]
pub(super) async fn get_refund(
    State(app): State<App>,
    caller: Caller,
    Path((payment_no, refund_no)): Path<(PaymentNo, RefundNo)>,
) -> Result<Json<RefundDocument>, Refusal> {
    let known = store::refunds::get(&app.charging.pool, refund_no).await?;
    let refund = known
        .map(|known| known.refund)
        .filter(|refund| refund.payment_no == payment_no && caller.0.may_see(refund.merchant_id));
    Ok(Json(refund.ok_or(Refusal::NotFound)?.into()))
}
