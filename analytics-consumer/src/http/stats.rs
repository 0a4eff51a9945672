//! `GET /api/v1/stats`.

use axum::extract::State;
use jiff::{SignedDuration, Timestamp};
use platform::auth::Principal;
use platform::http::{Json, Query};
use schemas::MerchantId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

use super::{App, scope};
use crate::domain::scope::Scope;
use crate::domain::stats::{Interval, MAX_POINTS, Stats};
use crate::error::Error;
use crate::store;
use crate::store::rollups::Window;

/// What to count.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// Only this merchant's; a merchant may leave it out.
    #[param(value_type = Option<String>)]
    merchant_id: Option<MerchantId>,
    /// Payments first seen at or after this instant (RFC 3339); a day before `end` unless given.
    #[param(value_type = Option<String>)]
    start: Option<Timestamp>,
    /// Payments first seen before this instant (RFC 3339); now unless given.
    #[param(value_type = Option<String>)]
    end: Option<Timestamp>,
    /// Width of the series' intervals; chosen by the length of the window unless given.
    interval: Option<Interval>,
    /// Only this PSP channel.
    channel: Option<String>,
}

/// The numbers of a window.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Answer {
    /// First instant of the window.
    #[schema(value_type = String)]
    start: Timestamp,
    /// First instant behind the window.
    #[schema(value_type = String)]
    end: Timestamp,
    /// Width of the series' intervals.
    interval: Interval,
    #[serde(flatten)]
    pub(crate) stats: Stats,
    /// Settlements by status, of all times.
    settlements: BTreeMap<String, i64>,
    /// Payouts by status, of all times.
    withdrawals: BTreeMap<String, i64>,
}

/// Counts, volume and success rate of payments by interval and channel.
#[utoipa::path(get, path = "/api/v1/stats", params(Parameters), responses((status = 200, body = Answer)))]
pub(crate) async fn get(
    State(app): State<App>,
    principal: Principal,
    Query(asked): Query<Parameters>,
) -> Result<Json<Answer>, Error> {
    let scope = scope(&principal)
        .narrow(asked.merchant_id)
        .ok_or(Error::NotFound)?;
    // The instant of this very moment is inside the default window.
    let end = asked
        .end
        .unwrap_or_else(|| app.clock.now() + SignedDuration::from_secs(1));
    let start = asked.start.unwrap_or(end - SignedDuration::from_hours(24));
    let span = end.duration_since(start).as_secs();
    if end <= start {
        return Err(Error::EmptyWindow);
    }
    let interval = asked.interval.unwrap_or(Interval::fitting(span));
    if span / interval.seconds() > MAX_POINTS {
        return Err(Error::TooManyIntervals);
    }
    Ok(Json(
        answer(
            &app,
            scope,
            Window {
                start,
                end,
                interval,
                channel: asked.channel,
            },
        )
        .await?,
    ))
}

/// The numbers of the last hour by minute: what the dashboard shows.
pub(crate) async fn last_hour(app: &App, scope: Scope) -> Result<Answer, Error> {
    let end = app.clock.now() + SignedDuration::from_secs(1);
    let start = end - SignedDuration::from_hours(1);
    answer(
        app,
        scope,
        Window {
            start,
            end,
            interval: Interval::Minute,
            channel: None,
        },
    )
    .await
}

async fn answer(app: &App, scope: Scope, window: Window) -> Result<Answer, Error> {
    let groups = store::rollups::groups(&app.pool, scope, &window).await?;
    Ok(Answer {
        start: window.start,
        end: window.end,
        interval: window.interval,
        stats: Stats::of(&groups),
        settlements: store::payouts::by_status(&app.pool, scope, "settlement").await?,
        withdrawals: store::payouts::by_status(&app.pool, scope, "withdrawal").await?,
    })
}
