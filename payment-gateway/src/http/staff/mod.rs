//! `/api/v1/staff`: what our own people look at.

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::App;

mod payments;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(payments::list_trouble))
}
