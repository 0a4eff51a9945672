//! Numbers over HTTP: as JSON, as a page, and live over a WebSocket.

mod credentials;
mod dashboard;
mod live;
mod payment_events;
mod session;
mod stats;
mod tickets;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use eventing::Clock;
use platform::Context;
use platform::auth::TokenVerifier;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;

use crate::config::{Config, Dashboard};
use crate::live::Live;

/// What the handlers work with.
#[derive(Clone, FromRef)]
pub struct App {
    pool: PgPool,
    clock: Clock,
    tokens: TokenVerifier,
    live: Live,
    dashboard: Arc<Dashboard>,
    shutdown: CancellationToken,
}

impl App {
    /// From what the service is given.
    pub fn new(service: &Context<Config>, live: Live) -> Self {
        Self {
            pool: service.pool().clone(),
            clock: service.clock().clone(),
            tokens: service.tokens(),
            live,
            dashboard: Arc::new(service.config().dashboard.clone()),
            shutdown: service.shutdown(),
        }
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "analytics-consumer",
        description = "Payment events, statistics and the live dashboard."
    ),
    paths(payment_events::list, stats::get, tickets::issue),
    components(schemas(platform::problem::ProblemDocument))
)]
struct Api;

/// The service's routes.
pub fn router(app: App) -> Router {
    let docs = utoipa_swagger_ui::SwaggerUi::new("/docs").url("/openapi.json", Api::openapi());
    Router::new()
        .route("/api/v1/events/payment", get(payment_events::list))
        .route("/api/v1/stats", get(stats::get))
        .route("/api/v1/live/tickets", post(tickets::issue))
        .route("/api/v1/live", get(live::open))
        .route("/dashboard", get(dashboard::page))
        .route("/dashboard/dashboard.js", get(dashboard::script))
        .route("/dashboard/dashboard.css", get(dashboard::style))
        .route("/dashboard/session", post(session::open))
        .route("/dashboard/session/close", post(session::close))
        .route(
            "/",
            get(|| async { axum::response::Redirect::to("/dashboard").into_response() }),
        )
        .with_state(app)
        .merge(docs)
}

/// What a caller may see.
fn scope(principal: &platform::auth::Principal) -> crate::domain::scope::Scope {
    principal.tenant().map_or(
        crate::domain::scope::Scope::All,
        crate::domain::scope::Scope::Merchant,
    )
}
