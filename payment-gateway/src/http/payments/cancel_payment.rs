//! `POST /api/v1/payments/{payment_no}/cancel`
//!
//! A payment is cancelled when the PSP says so, and not before: it may be charging at this moment.

use axum::extract::State;
use axum::http::StatusCode;
use platform::http::{Json, Path};
use platform::problem::ProblemDocument;
use schemas::ids::PaymentNo;

use super::PaymentDocument;
use crate::auth::SignedMerchant;
use crate::domain::{Closing, Payment, PaymentState};
use crate::error::Refusal;
use crate::http::App;
use crate::store;

/// Cancel a payment
///
/// Safe to repeat. 202 means that the PSP has not confirmed it yet: the payment will become `cancelled`, or what the PSP made of
/// it meanwhile.
#[utoipa::path(
    post,
    path = "/api/v1/payments/{payment_no}/cancel",
    tag = "payments",
    params(("payment_no" = String, Path)),
    responses(
        (status = 200, description = "cancelled", body = PaymentDocument),
        (status = 202, description = "asked for, not confirmed yet", body = PaymentDocument),
        (status = 404, body = ProblemDocument),
        (status = 409, description = "too late", body = ProblemDocument),
        (status = 503, description = "the PSP cannot be reached, nothing was changed", body = ProblemDocument),
    )
)]
pub(super) async fn cancel_payment(
    State(app): State<App>,
    Path(payment_no): Path<PaymentNo>,
    merchant: SignedMerchant,
) -> Result<(StatusCode, Json<PaymentDocument>), Refusal> {
    let payment = store::payments::get(&app.charging.pool, payment_no).await?;
    let payment = payment
        .filter(|payment| payment.merchant_id == merchant.merchant_id)
        .ok_or(Refusal::NotFound)?;
    if !payment.is_open() {
        return answer(payment);
    }
    let room = app.charging.room()?;
    let charging = app.charging.clone();
    let call = app.charging.tasks.own(async move {
        let _room = room;
        charging.ask_to_close(payment_no, Closing::Cancel).await?;
        charging.pursue(payment_no).await
    });
    match tokio::time::timeout(app.charging.terms.patience, call).await {
        Ok(payment) => answer(payment??),
        Err(_) => answer(
            store::payments::get(&app.charging.pool, payment_no)
                .await?
                .ok_or(Refusal::NotFound)?,
        ),
    }
}

fn answer(payment: Payment) -> Result<(StatusCode, Json<PaymentDocument>), Refusal> {
    let status = match payment.state {
        PaymentState::Cancelled => StatusCode::OK,
        PaymentState::Pending | PaymentState::Processing | PaymentState::RequiresAction { .. } => {
            StatusCode::ACCEPTED
        }
        PaymentState::Success(_) | PaymentState::Failed { .. } | PaymentState::Expired => {
            return Err(Refusal::NotCancellable(payment.status()));
        }
    };
    Ok((status, Json(payment.into())))
}
