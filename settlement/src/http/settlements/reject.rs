//! `POST /api/v1/settlements/{settlement_no}/reject`

use axum::extract::State;
use platform::auth::{Principal, Staff};
use platform::http::{Json, Path, RawBody};
use platform::problem::ProblemDocument;
use schemas::ids::SettlementNo;
use serde::Deserialize;
use utoipa::ToSchema;

use super::decision::{decision, own_name};
use super::document::SettlementDocument;
use crate::error::Refusal;
use crate::http::{APPROVER, App};
use crate::store;

/// A rejection. The body may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RejectSettlement {
    /// If given, the subject of the token that the request carries.
    #[schema(example = "staff_bob")]
    approver_id: Option<String>,
    approver_name: Option<String>,
    #[serde(alias = "reason")]
    comments: Option<String>,
}

/// Reject a settlement; its entries are unsettled again
#[utoipa::path(
    post,
    path = "/api/v1/settlements/{settlement_no}/reject",
    tag = "settlements",
    params(("settlement_no" = String, Path)),
    request_body = RejectSettlement,
    responses(
        (status = 200, body = SettlementDocument),
        (status = 403, body = ProblemDocument),
        (status = 404, body = ProblemDocument),
        (status = 409, description = "decided before", body = ProblemDocument),
    )
)]
pub(super) async fn reject_settlement(
    State(app): State<App>,
    Staff(approver): Staff,
    Path(settlement_no): Path<SettlementNo>,
    RawBody(body): RawBody,
) -> Result<Json<SettlementDocument>, Refusal> {
    approver.require_role(APPROVER)?;
    let request = if body.is_empty() {
        RejectSettlement::default()
    } else {
        Json::<RejectSettlement>::from_bytes(&body)
            .map_err(|problem| Refusal::Unreadable(Box::new(problem)))?
            .0
    };
    if let Some(approver_id) = &request.approver_id {
        own_name(&approver, approver_id)?;
    }
    let rejection = decision(
        &approver,
        request.approver_name,
        request.comments,
        app.clock.now(),
    )?;

    let mut tx = app.pool.begin().await?;
    let settlement = store::settlements::lock(&mut tx, settlement_no)
        .await?
        .ok_or(Refusal::NotFound)?;
    let (settlement, event) = settlement.reject(rejection)?;
    store::settlements::update(&mut tx, &settlement).await?;
    store::lines::release(&mut tx, settlement_no).await?;
    let appended = app.outbox.append(&mut tx, &event).await?;
    tx.commit().await?;
    app.outbox.committed(appended);
    Ok(Json(SettlementDocument::new(
        &settlement,
        &Principal::Staff(approver),
    )))
}
