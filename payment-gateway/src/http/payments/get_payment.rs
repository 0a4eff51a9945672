//! `GET /api/v1/payments/{payment_no}`

use axum::extract::State;
use platform::http::{Json, Path};
use platform::problem::ProblemDocument;
use schemas::ids::PaymentNo;

use super::PaymentDocument;
use crate::auth::Caller;
use crate::domain::Payment;
use crate::error::Refusal;
use crate::http::App;
use crate::store;

/// Get a payment
#[utoipa::path(
    get,
    path = "/api/v1/payments/{payment_no}",
    tag = "payments",
    params(("payment_no" = String, Path)),
    responses((status = 200, body = PaymentDocument), (status = 404, body = ProblemDocument))
)]
pub(super) async fn get_payment(
    State(app): State<App>,
    caller: Caller,
    Path(payment_no): Path<PaymentNo>,
) -> Result<Json<PaymentDocument>, Refusal> {
    Ok(Json(find(&app, &caller, payment_no).await?.into()))
}

/// The payment, if the caller may see it.
pub(super) async fn find(app: &App, caller: &Caller, payment_no: PaymentNo) -> Result<Payment, Refusal> {
    let payment = store::payments::get(&app.charging.pool, payment_no).await?;
    payment
        .filter(|payment| caller.0.may_see(payment.merchant_id))
        .ok_or(Refusal::NotFound)
}
