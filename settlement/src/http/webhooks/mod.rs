//! `/webhooks`

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;

mod bank;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(bank::receive_bank_webhook))
}
