//! `POST /api/v1/settlements/{settlement_no}/execute`

use axum::extract::State;
use platform::auth::{Principal, Staff};
use platform::http::{Json, Path};
use platform::problem::ProblemDocument;
use schemas::ids::{SettlementNo, WithdrawalNo};

use super::document::SettlementDocument;
use crate::domain::settlement::Execution;
use crate::domain::withdrawal::Withdrawal;
use crate::error::Refusal;
use crate::http::{App, OPERATOR};
use crate::store;

/// Have an approved settlement paid out
///
/// Creates the withdrawal. The bank is told afterwards, and the settlement is `processing` until it has answered.
#[utoipa::path(
    post,
    path = "/api/v1/settlements/{settlement_no}/execute",
    tag = "settlements",
    params(("settlement_no" = String, Path)),
    responses(
        (status = 200, body = SettlementDocument),
        (status = 403, body = ProblemDocument),
        (status = 404, body = ProblemDocument),
        (status = 409, description = "not approved, or executed before", body = ProblemDocument),
    )
)]
pub(super) async fn execute_settlement(
    State(app): State<App>,
    Staff(operator): Staff,
    Path(settlement_no): Path<SettlementNo>,
) -> Result<Json<SettlementDocument>, Refusal> {
    operator.require_role(OPERATOR)?;
    let now = app.clock.now();
    let withdrawal_no = WithdrawalNo::generate();
    let execution = Execution {
        by: operator.subject.clone(),
        at: now,
        withdrawal_no,
    };

    let mut tx = app.pool.begin().await?;
    let settlement = store::settlements::lock(&mut tx, settlement_no)
        .await?
        .ok_or(Refusal::NotFound)?;
    let (settlement, processing) = settlement.execute(execution)?;
    let (withdrawal, created, payout) = Withdrawal::open(
        withdrawal_no,
        settlement_no,
        settlement.merchant_id,
        settlement.net,
        now,
    )?;
    store::withdrawals::insert(&mut tx, &withdrawal).await?;
    store::settlements::update(&mut tx, &settlement).await?;
    store::ledger::post(&mut tx, &payout, None, now).await?;
    let processing = app.outbox.append(&mut tx, &processing).await?;
    let created = app.outbox.append(&mut tx, &created).await?;
    tx.commit().await?;
    app.outbox.committed(processing.and(created));
    app.payouts.wake();
    Ok(Json(SettlementDocument::new(
        &settlement,
        &Principal::Staff(operator),
    )))
}
