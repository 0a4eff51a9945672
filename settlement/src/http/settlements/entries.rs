//! `GET /api/v1/settlements/{settlement_no}/entries`

use axum::extract::State;
use jiff::Timestamp;
use platform::auth::Principal;
use platform::cursor::{Cursor, Limit, Page};
use platform::http::{Json, Path, Query};
use platform::problem::ProblemDocument;
use schemas::ids::{PaymentNo, RefundNo, SettlementNo, WithdrawalNo};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::error::Refusal;
use crate::http::App;
use crate::store;
use crate::store::lines::Line;

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListEntries {
    /// Where the page begins: `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<i64>>,
    /// 1 to 100, 20 if not given.
    #[serde(default)]
    #[param(value_type = Option<u16>)]
    limit: Limit,
}

/// A ledger entry on what the merchant is owed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EntryDocument {
    /// The ledger's number of the entry.
    entry_id: i64,
    /// `charge`, `fee`, `refund` or `returned_payout`.
    component: &'static str,
    /// What it adds to the net, in minor units of the settlement's currency; negative for fees and refunds.
    amount: i64,
    #[schema(value_type = String, format = DateTime)]
    occurred_at: Timestamp,
    /// From before the settlement's period.
    carried_over: bool,
    #[schema(value_type = Option<String>)]
    payment_no: Option<PaymentNo>,
    #[schema(value_type = Option<String>)]
    refund_no: Option<RefundNo>,
    /// The earlier payout that failed or came back.
    #[schema(value_type = Option<String>)]
    withdrawal_no: Option<WithdrawalNo>,
}

/// List the ledger entries that a settlement settles
///
/// A rejected settlement has none: it has let go of them.
#[utoipa::path(
    get,
    path = "/api/v1/settlements/{settlement_no}/entries",
    tag = "settlements",
    params(("settlement_no" = String, Path), ListEntries),
    responses((status = 200, body = Page<EntryDocument>), (status = 404, body = ProblemDocument))
)]
pub(super) async fn list_settlement_entries(
    State(app): State<App>,
    caller: Principal,
    Path(settlement_no): Path<SettlementNo>,
    Query(query): Query<ListEntries>,
) -> Result<Json<Page<EntryDocument>>, Refusal> {
    let mut connection = app.pool.acquire().await?;
    store::settlements::find(&mut connection, settlement_no)
        .await?
        .filter(|settlement| caller.may_see(settlement.merchant_id))
        .ok_or(Refusal::NotFound)?;
    let after = query.cursor.map_or(0, |cursor| cursor.0);
    let rows = store::lines::of_settlement(&mut connection, settlement_no, after, query.limit.rows_to_read())
        .await?;
    let page = Page::new(rows, query.limit, |line| line.entry_id);
    Ok(Json(page.map(EntryDocument::from)))
}

impl From<Line> for EntryDocument {
    fn from(line: Line) -> Self {
        Self {
            entry_id: line.entry_id,
            component: line.component.name(),
            amount: line.owed_minor,
            occurred_at: line.occurred_at,
            carried_over: line.carried_over,
            payment_no: line.payment_no,
            refund_no: line.refund_no,
            withdrawal_no: line.withdrawal_no,
        }
    }
}
