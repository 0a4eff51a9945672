//! `/api/v1/merchants/{merchant_id}`

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;

mod terms;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(terms::set_terms, terms::show_terms))
}
