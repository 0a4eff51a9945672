//! The API for merchants and staff: what was sent to whom, and sending it again.

mod get_notification;
mod list_notifications;
mod resend_notification;
mod view;

use axum::Router;
use axum::extract::FromRef;
use eventing::Clock;
use platform::auth::{Principal, TokenVerifier};
use sqlx::PgPool;
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use crate::store::notices::Viewer;

/// What handlers work with.
#[derive(Clone, FromRef)]
pub struct AppState {
    /// The service's database.
    pub pool: PgPool,
    /// The time.
    pub clock: Clock,
    /// Who calls.
    pub tokens: TokenVerifier,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Notifier",
        description = "Notifications to merchants, their customers and the platform's approvers: what was sent, how it went, \
                       and sending it again."
    ),
    modifiers(&BearerToken),
    security(("bearer" = []))
)]
struct Document;

struct BearerToken;

impl utoipa::Modify for BearerToken {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", scheme);
    }
}

/// The routes, with their OpenAPI document at `/openapi.json` and a page for it at `/docs`.
pub fn routes(state: AppState) -> Router {
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(list_notifications::list_notifications))
        .routes(routes!(get_notification::get_notification))
        .routes(routes!(resend_notification::resend_notification))
        .with_state(state)
        .split_for_parts();
    router.merge(SwaggerUi::new("/docs").url("/openapi.json", document))
}

fn viewer(caller: &Principal) -> Viewer {
    match caller.tenant() {
        Some(merchant_id) => Viewer::Merchant(merchant_id),
        None => Viewer::Staff,
    }
}
