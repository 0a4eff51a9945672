//! `GET /api/v1/payments/{payment_no}/refunds`

use axum::extract::State;
use platform::cursor::Page;
use platform::http::{Json, Path};
use platform::problem::ProblemDocument;
use schemas::ids::PaymentNo;

use super::{MAX_REFUNDS, RefundDocument};
use crate::auth::Caller;
use crate::error::Refusal;
use crate::http::App;
use crate::http::payments::get_payment;
use crate::store;

/// List a payment's refunds, oldest first; always one page
#[utoipa::path(
    get,
    path = "/api/v1/payments/{payment_no}/refunds",
    tag = "refunds",
    params(("payment_no" = String, Path)),
    responses((status = 200, body = Page<RefundDocument>), (status = 404, body = ProblemDocument))
)]
pub(super) async fn list_refunds(
    State(app): State<App>,
    caller: Caller,
    Path(payment_no): Path<PaymentNo>,
) -> Result<Json<Page<RefundDocument>>, Refusal> {
    let payment = get_payment::find(&app, &caller, payment_no).await?;
    let refunds = store::refunds::of_payment(&app.charging.pool, payment.payment_no, MAX_REFUNDS).await?;
    let data = refunds.into_iter().map(RefundDocument::from).collect();
    Ok(Json(Page {
        data,
        next_cursor: None,
    }))
}
