//! `/api/v1/merchants`: staff let merchants in, and give them keys.

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::App;

mod api_keys;
mod create_merchant;
mod document;
mod get_merchant;
mod set_status;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create_merchant::create_merchant))
        .routes(routes!(get_merchant::get_merchant))
        .routes(routes!(set_status::suspend_merchant))
        .routes(routes!(set_status::activate_merchant))
        .routes(routes!(api_keys::create_api_key, api_keys::list_api_keys))
        .routes(routes!(api_keys::rotate_api_key))
        .routes(routes!(api_keys::revoke_api_key))
}
