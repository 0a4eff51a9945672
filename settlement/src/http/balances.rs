//! `GET /api/v1/balances`

use axum::extract::State;
use platform::auth::Principal;
use platform::http::{Json, Query};
use platform::problem::ProblemDocument;
use schemas::ids::MerchantId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{App, scope};
use crate::error::Refusal;
use crate::store;
use crate::store::balances::MerchantBalance;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_balances))
}

/// Whose balances.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListBalances {
    /// A merchant sees its own anyway; staff have to say whose.
    #[param(value_type = Option<String>)]
    merchant_id: Option<MerchantId>,
}

/// A merchant's balances, one per currency that it ever had.
#[derive(Debug, Serialize, ToSchema)]
struct Balances {
    data: Vec<BalanceDocument>,
}

/// Where a merchant stands in one currency, in minor units.
#[derive(Debug, Serialize, ToSchema)]
struct BalanceDocument {
    #[schema(value_type = String)]
    merchant_id: MerchantId,
    /// ISO 4217.
    currency: &'static str,
    /// Owed and not yet on its way out; negative if refunds exceed what is owed.
    payable_amount: i64,
    /// The part of it that no settlement has taken.
    unsettled_amount: i64,
    /// Kept back for refunds under way.
    refunds_held_amount: i64,
    /// Ordered at the bank and not confirmed.
    in_transit_amount: i64,
    /// Paid out, less what came back.
    paid_out_amount: i64,
    /// Fees paid so far.
    fee_amount: i64,
}

/// Show balances
#[utoipa::path(
    get,
    path = "/api/v1/balances",
    tag = "balances",
    params(ListBalances),
    responses((status = 200, body = Balances), (status = 404, body = ProblemDocument), (status = 422, body = ProblemDocument))
)]
async fn list_balances(
    State(app): State<App>,
    caller: Principal,
    Query(query): Query<ListBalances>,
) -> Result<Json<Balances>, Refusal> {
    let merchant_id = scope(&caller, query.merchant_id)?.ok_or(Refusal::MerchantMissing)?;
    let mut connection = app.pool.acquire().await?;
    let balances = store::balances::of_merchant(&mut connection, merchant_id).await?;
    let data = balances
        .into_iter()
        .map(|balance| BalanceDocument::new(merchant_id, balance))
        .collect();
    Ok(Json(Balances { data }))
}

impl BalanceDocument {
    fn new(merchant_id: MerchantId, balance: MerchantBalance) -> Self {
        Self {
            merchant_id,
            currency: balance.currency.code(),
            payable_amount: balance.payable_minor,
            unsettled_amount: balance.unsettled_minor,
            refunds_held_amount: balance.refunds_held_minor,
            in_transit_amount: balance.in_transit_minor,
            paid_out_amount: balance.paid_out_minor,
            fee_amount: balance.fees_minor,
        }
    }
}
