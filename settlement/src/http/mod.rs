//! The API. A folder mirrors a path, a file is one use case. Staff write; merchants read what is their own.

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use eventing::{Clock, Outbox};
use platform::auth::{Principal, TokenVerifier};
use schemas::ids::MerchantId;
use secrecy::SecretString;
use sqlx::PgPool;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use crate::domain::terms::Terms;
use crate::error::Refusal;
use crate::payouts::Payouts;

mod balances;
mod merchants;
mod settlements;
mod trial_balance;
mod webhooks;
mod withdrawals;

/// The role that makes settlements, has them paid out, and sets terms.
const OPERATOR: &str = "operator";

/// The role that approves and rejects.
const APPROVER: &str = "approver";

/// What handlers work with. Cheap to clone.
#[derive(Clone, FromRef)]
pub struct App {
    /// The service's database.
    pub pool: PgPool,
    /// What is told to the world.
    pub outbox: Outbox,
    /// The time.
    pub clock: Clock,
    /// Payouts on their way.
    pub payouts: Payouts,
    /// Verifies Bearer tokens.
    pub tokens: TokenVerifier,
    /// What a charge costs a merchant without terms of its own.
    pub default_terms: Terms,
    /// The bank signs its webhooks with it.
    pub webhook_secret: Arc<SecretString>,
}

#[derive(OpenApi)]
#[openapi(info(
    title = "settlement",
    description = "What merchants are owed, who agreed to pay it, and whether the bank did. Requests carry a Bearer token: a \
                   merchant's shows what is its own, staff see and do the rest. Amounts are minor units of the currency beside \
                   them."
))]
struct Api;

/// The public routes.
pub fn public(app: App) -> Router {
    let (routes, document) = OpenApiRouter::with_openapi(Api::openapi())
        .merge(settlements::routes())
        .merge(withdrawals::routes())
        .merge(merchants::routes())
        .merge(balances::routes())
        .merge(trial_balance::routes())
        .merge(webhooks::routes())
        .split_for_parts();
    routes
        .with_state(app)
        .merge(SwaggerUi::new("/docs").url("/openapi.json", document))
}

/// The merchant to which a list is confined: the caller, or the one that staff ask for. Another merchant's is not found.
fn scope(caller: &Principal, asked: Option<MerchantId>) -> Result<Option<MerchantId>, Refusal> {
    match asked {
        Some(merchant_id) if caller.may_see(merchant_id) => Ok(Some(merchant_id)),
        Some(_) => Err(Refusal::NotFound),
        None => Ok(caller.tenant()),
    }
}
