//! `/api/v1/payments/{payment_no}/refunds`

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::App;

mod create_refund;
mod document;
mod get_refund;
mod list_refunds;

pub use document::RefundDocument;

/// A payment has at most this many refunds, so that a list of them is one page, here and at the PSP.
pub const MAX_REFUNDS: i64 = 100;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create_refund::create_refund, list_refunds::list_refunds))
        .routes(routes!(get_refund::get_refund))
}
