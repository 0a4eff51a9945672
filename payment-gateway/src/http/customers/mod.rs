//! `DELETE /api/v1/customers/{customer_ref}`

use axum::extract::State;
use axum::http::StatusCode;
use platform::http::Path;
use platform::problem::ProblemDocument;
use schemas::ids::CustomerRef;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::SignedMerchant;
use crate::error::Refusal;
use crate::http::App;
use crate::store::customers;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(erase_customer))
}

/// Forget a customer: addresses are deleted, payments stay without description and metadata, later notices to them are suppressed
///
/// Erasing twice is the same as once. A later payment with the same address makes a new customer.
#[utoipa::path(
    delete,
    path = "/api/v1/customers/{customer_ref}",
    tag = "customers",
    params(("customer_ref" = String, Path)),
    responses((status = 204), (status = 404, body = ProblemDocument))
)]
pub(crate) async fn erase_customer(
    State(app): State<App>,
    Path(customer_ref): Path<CustomerRef>,
    merchant: SignedMerchant,
) -> Result<StatusCode, Refusal> {
    let now = app.charging.clock.now();
    let mut tx = app.charging.pool.begin().await?;
    if !customers::erase(&mut tx, merchant.merchant_id, customer_ref, now).await? {
        return Err(Refusal::NotFound);
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
