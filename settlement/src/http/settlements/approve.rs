//! `POST /api/v1/settlements/{settlement_no}/approve`

use axum::extract::State;
use platform::auth::{Principal, Staff};
use platform::http::{Json, Path};
use platform::problem::ProblemDocument;
use schemas::ids::SettlementNo;
use serde::Deserialize;
use utoipa::ToSchema;

use super::decision::{decision, own_name};
use super::document::SettlementDocument;
use crate::error::Refusal;
use crate::http::{APPROVER, App};
use crate::store;

/// An approval.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApproveSettlement {
    /// The subject of the token that the request carries.
    #[schema(example = "staff_bob")]
    approver_id: String,
    approver_name: Option<String>,
    comments: Option<String>,
}

/// Approve a settlement that somebody else made
#[utoipa::path(
    post,
    path = "/api/v1/settlements/{settlement_no}/approve",
    tag = "settlements",
    params(("settlement_no" = String, Path)),
    request_body = ApproveSettlement,
    responses(
        (status = 200, body = SettlementDocument),
        (status = 403, description = "not the approver's own token, or the creator's", body = ProblemDocument),
        (status = 404, body = ProblemDocument),
        (status = 409, description = "not waiting for an approval", body = ProblemDocument),
    )
)]
pub(super) async fn approve_settlement(
    State(app): State<App>,
    Staff(approver): Staff,
    Path(settlement_no): Path<SettlementNo>,
    Json(request): Json<ApproveSettlement>,
) -> Result<Json<SettlementDocument>, Refusal> {
    approver.require_role(APPROVER)?;
    own_name(&approver, &request.approver_id)?;
    let approval = decision(
        &approver,
        request.approver_name,
        request.comments,
        app.clock.now(),
    )?;

    let mut tx = app.pool.begin().await?;
    let settlement = store::settlements::lock(&mut tx, settlement_no)
        .await?
        .ok_or(Refusal::NotFound)?;
    let (settlement, event) = settlement.approve(approval)?;
    store::settlements::update(&mut tx, &settlement).await?;
    let appended = app.outbox.append(&mut tx, &event).await?;
    tx.commit().await?;
    app.outbox.committed(appended);
    Ok(Json(SettlementDocument::new(
        &settlement,
        &Principal::Staff(approver),
    )))
}
