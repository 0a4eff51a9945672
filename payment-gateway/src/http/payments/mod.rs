//! `/api/v1/payments`

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::App;

mod cancel_payment;
mod create_payment;
mod document;
mod get_payment;
mod list_payments;
mod order;
pub mod refunds;

pub use document::PaymentDocument;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(
            create_payment::create_payment,
            list_payments::list_payments
        ))
        .routes(routes!(get_payment::get_payment))
        .routes(routes!(cancel_payment::cancel_payment))
        .merge(refunds::routes())
}
