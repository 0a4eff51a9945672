//! `GET /api/v1/withdrawals`

use axum::extract::State;
use platform::auth::Principal;
use platform::cursor::{Cursor, Limit, Page};
use platform::http::{Json, Query};
use schemas::ids::{MerchantId, SettlementNo, WithdrawalNo};
use schemas::withdrawal::WithdrawalStatus;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::document::WithdrawalDocument;
use crate::error::Refusal;
use crate::http::{App, scope};
use crate::payouts::schedule::STUCK_AFTER;
use crate::store;
use crate::store::withdrawals::{Condition, Filter};

/// Which withdrawals.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListWithdrawals {
    /// Of this merchant; a merchant sees its own anyway.
    #[param(value_type = Option<String>)]
    merchant_id: Option<MerchantId>,
    /// In this status.
    #[param(value_type = Option<String>)]
    status: Option<WithdrawalStatus>,
    /// Of this settlement.
    #[param(value_type = Option<String>)]
    settlement_no: Option<SettlementNo>,
    /// `stuck`: the outcome is open for more than 15 minutes. `conflict`: the bank contradicts what we hold as final.
    condition: Option<ConditionWord>,
    /// Where the page begins: `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<WithdrawalNo>>,
    /// 1 to 100, 20 if not given.
    #[serde(default)]
    #[param(value_type = Option<u16>)]
    limit: Limit,
}

/// Why a withdrawal needs a person.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ConditionWord {
    /// The outcome stays open.
    Stuck,
    /// The bank contradicts us.
    Conflict,
}

/// List withdrawals, the newest first
#[utoipa::path(
    get,
    path = "/api/v1/withdrawals",
    tag = "withdrawals",
    params(ListWithdrawals),
    responses((status = 200, body = Page<WithdrawalDocument>))
)]
pub(super) async fn list_withdrawals(
    State(app): State<App>,
    caller: Principal,
    Query(query): Query<ListWithdrawals>,
) -> Result<Json<Page<WithdrawalDocument>>, Refusal> {
    let filter = Filter {
        merchant_id: scope(&caller, query.merchant_id)?,
        status: query.status,
        settlement_no: query.settlement_no,
        condition: query.condition.map(|condition| match condition {
            ConditionWord::Stuck => Condition::StuckSince(app.clock.now() - STUCK_AFTER),
            ConditionWord::Conflict => Condition::Conflict,
        }),
        before: query.cursor.map(|cursor| cursor.0),
    };
    let mut connection = app.pool.acquire().await?;
    let rows = store::withdrawals::list(&mut connection, filter, query.limit.rows_to_read()).await?;
    let page = Page::new(rows, query.limit, |withdrawal| withdrawal.withdrawal_no);
    Ok(Json(page.map(WithdrawalDocument::from)))
}
