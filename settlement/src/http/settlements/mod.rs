//! `/api/v1/settlements`

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;

mod approve;
mod create;
mod decision;
mod document;
mod entries;
mod execute;
mod list;
mod reject;
mod show;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create::create_settlement, list::list_settlements))
        .routes(routes!(show::show_settlement))
        .routes(routes!(entries::list_settlement_entries))
        .routes(routes!(approve::approve_settlement))
        .routes(routes!(reject::reject_settlement))
        .routes(routes!(execute::execute_settlement))
}
