//! `/webhooks`: what PSPs tell us.

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::App;

mod stripe;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(stripe::stripe))
}
