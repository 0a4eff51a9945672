//! `GET /api/v1/settlements`

use axum::extract::State;
use platform::auth::Principal;
use platform::cursor::{Cursor, Limit, Page};
use platform::http::{Json, Query};
use schemas::ids::{MerchantId, SettlementNo};
use schemas::money::Currency;
use schemas::settlement::SettlementStatus;
use serde::Deserialize;
use utoipa::IntoParams;

use super::document::SettlementDocument;
use crate::error::Refusal;
use crate::http::{App, scope};
use crate::store;
use crate::store::settlements::Filter;

/// Which settlements.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListSettlements {
    /// Of this merchant; a merchant sees its own anyway.
    #[param(value_type = Option<String>)]
    merchant_id: Option<MerchantId>,
    /// In this currency.
    #[param(value_type = Option<String>)]
    currency: Option<Currency>,
    /// In this status.
    #[param(value_type = Option<String>)]
    status: Option<SettlementStatus>,
    /// Where the page begins: `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<SettlementNo>>,
    /// 1 to 100, 20 if not given.
    #[serde(default)]
    #[param(value_type = Option<u16>)]
    limit: Limit,
}

/// List settlements, the newest first
#[utoipa::path(
    get,
    path = "/api/v1/settlements",
    tag = "settlements",
    params(ListSettlements),
    responses((status = 200, body = Page<SettlementDocument>))
)]
pub(super) async fn list_settlements(
    State(app): State<App>,
    caller: Principal,
    Query(query): Query<ListSettlements>,
) -> Result<Json<Page<SettlementDocument>>, Refusal> {
    let filter = Filter {
        merchant_id: scope(&caller, query.merchant_id)?,
        currency: query.currency,
        status: query.status,
        before: query.cursor.map(|cursor| cursor.0),
    };
    let mut connection = app.pool.acquire().await?;
    let rows = store::settlements::list(&mut connection, filter, query.limit.rows_to_read()).await?;
    let page = Page::new(rows, query.limit, |settlement| settlement.settlement_no);
    Ok(Json(
        page.map(|settlement| SettlementDocument::new(&settlement, &caller)),
    ))
}
