//! `/api/v1/withdrawals`

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;

mod document;
mod list;
mod show;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list::list_withdrawals))
        .routes(routes!(show::show_withdrawal))
}
