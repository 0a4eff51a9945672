//! `POST /api/v1/settlements`

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use platform::auth::{Principal, Staff};
use platform::http::Json;
use platform::problem::ProblemDocument;
use schemas::ids::{MerchantId, SettlementNo};
use schemas::money::Currency;
use serde::Deserialize;
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::document::SettlementDocument;
use crate::domain::period::Period;
use crate::domain::settlement::{Cycle, Scope, Settlement, SettlementError};
use crate::error::Refusal;
use crate::http::{App, OPERATOR};
use crate::store;

/// What is to be settled: every unsettled entry of the merchant from before `end_date`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateSettlement {
    #[schema(value_type = String)]
    merchant_id: MerchantId,
    cycle: CycleWord,
    /// RFC 3339 instant, or a date in UTC. Entries from before are settled as well, and marked as carried over.
    #[schema(example = "2026-01-31T00:00:00Z")]
    start_date: String,
    /// RFC 3339 instant, exclusive; an end in second 59 includes that whole second, and a date its whole day.
    #[schema(example = "2026-01-31T23:59:59Z")]
    end_date: String,
    /// ISO 4217. May be left out if there is only one with something to settle.
    currency: Option<String>,
}

/// How often such settlements are made.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum CycleWord {
    /// Day by day.
    Daily,
}

/// Make a settlement
#[utoipa::path(
    post,
    path = "/api/v1/settlements",
    tag = "settlements",
    request_body = CreateSettlement,
    responses(
        (status = 201, body = SettlementDocument),
        (status = 403, body = ProblemDocument),
        (status = 422, description = "nothing to settle, nothing to pay, or no such period or currency", body = ProblemDocument),
    )
)]
pub(super) async fn create_settlement(
    State(app): State<App>,
    Staff(creator): Staff,
    Json(request): Json<CreateSettlement>,
) -> Result<Response, Refusal> {
    creator.require_role(OPERATOR)?;
    let period = Period::parse(&request.start_date, &request.end_date)?;
    let cycle = match request.cycle {
        CycleWord::Daily => Cycle::Daily,
    };
    let asked = request
        .currency
        .as_deref()
        .map(Currency::parse)
        .transpose()
        .map_err(|_| Refusal::Currency)?;

    let mut tx = app.pool.begin().await?;
    let merchant_id = request.merchant_id;
    let currency = currency(&mut tx, merchant_id, period, asked).await?;
    store::lines::lock_settling(&mut tx, merchant_id, currency).await?;
    let settlement_no = SettlementNo::generate();
    let totals = store::lines::take(&mut tx, settlement_no, merchant_id, currency, period).await?;
    let scope = Scope {
        merchant_id,
        currency,
        cycle,
        period,
    };
    let (settlement, event) = Settlement::open(
        settlement_no,
        scope,
        totals,
        creator.subject.clone(),
        app.clock.now(),
    )?;
    store::settlements::insert(&mut tx, &settlement).await?;
    let appended = app.outbox.append(&mut tx, &event).await?;
    tx.commit().await?;
    app.outbox.committed(appended);

    let document = SettlementDocument::new(&settlement, &Principal::Staff(creator));
    let location = HeaderValue::from_str(&format!("/api/v1/settlements/{settlement_no}")).ok();
    let location = location.map(|location| [(header::LOCATION, location)]);
    Ok((StatusCode::CREATED, location, Json(document)).into_response())
}

/// The currency that was asked for, or the only one that has something to settle.
async fn currency(
    connection: &mut PgConnection,
    merchant_id: MerchantId,
    period: Period,
    asked: Option<Currency>,
) -> Result<Currency, Refusal> {
    if let Some(currency) = asked {
        return Ok(currency);
    }
    let present = store::lines::unsettled_currencies(connection, merchant_id, period.end()).await?;
    match present.as_slice() {
        [] => Err(SettlementError::Nothing.into()),
        [only] => Ok(*only),
        [_, _, ..] => Err(Refusal::SeveralCurrencies(present)),
    }
}
