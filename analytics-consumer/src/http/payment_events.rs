//! `GET /api/v1/events/payment`.

use axum::extract::State;
use jiff::Timestamp;
use platform::auth::Principal;
use platform::cursor::{Cursor, Limit, Page};
use platform::http::{Json, Query};
use schemas::{EventId, MerchantId, PaymentNo, RefundNo};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{App, scope};
use crate::error::Error;
use crate::store::events::{self, Filter, Row};

/// What to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// Only this merchant's; a merchant may leave it out.
    #[param(value_type = Option<String>)]
    merchant_id: Option<MerchantId>,
    /// Only this payment's.
    #[param(value_type = Option<String>)]
    payment_no: Option<PaymentNo>,
    /// Only this type, e.g. `payment.succeeded`.
    event_type: Option<String>,
    /// Only at or after this instant (RFC 3339).
    #[param(value_type = Option<String>)]
    start: Option<Timestamp>,
    /// Only before this instant (RFC 3339).
    #[param(value_type = Option<String>)]
    end: Option<Timestamp>,
    /// The `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<(Timestamp, EventId)>>,
    /// Rows a page, 1 to 100.
    #[serde(default)]
    #[param(value_type = Option<u16>)]
    limit: Limit,
}

/// A payment event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PaymentEvent {
    #[schema(value_type = String)]
    event_id: EventId,
    event_type: String,
    #[schema(value_type = String)]
    payment_no: PaymentNo,
    #[schema(value_type = String)]
    merchant_id: MerchantId,
    /// Position among the payment's events, from 1.
    sequence: i64,
    /// The payment's status before; null at its first event.
    old_status: Option<String>,
    /// The payment's status after.
    new_status: String,
    /// The PSP channel, e.g. `stripe`.
    channel: String,
    /// The payment's amount, minor units.
    amount: i64,
    currency: String,
    #[schema(value_type = Option<String>)]
    refund_no: Option<RefundNo>,
    /// The refund's amount, minor units.
    refund_amount: Option<i64>,
    /// When it happened, milliseconds since 1970-01-01T00:00:00Z.
    occurred_at_ms: i64,
    /// The same, as RFC 3339 with milliseconds.
    occurred_at: String,
}

impl From<Row> for PaymentEvent {
    fn from(row: Row) -> Self {
        Self {
            event_id: row.event_id,
            event_type: row.event_type,
            payment_no: row.payment_no,
            merchant_id: row.merchant_id,
            sequence: row.sequence,
            old_status: row.old_status,
            new_status: row.new_status,
            channel: row.channel,
            amount: row.amount,
            currency: row.currency,
            refund_no: row.refund_no,
            refund_amount: row.refund_amount,
            occurred_at_ms: row.occurred_at.as_millisecond(),
            occurred_at: format!("{:.3}", row.occurred_at),
        }
    }
}

/// Payment events, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/events/payment",
    params(Parameters),
    responses((status = 200, body = Page<PaymentEvent>))
)]
pub(crate) async fn list(
    State(app): State<App>,
    principal: Principal,
    Query(asked): Query<Parameters>,
) -> Result<Json<Page<PaymentEvent>>, Error> {
    let scope = scope(&principal)
        .narrow(asked.merchant_id)
        .ok_or(Error::NotFound)?;
    let filter = Filter {
        payment_no: asked.payment_no,
        event_type: asked.event_type,
        start: asked.start,
        end: asked.end,
        after: asked.cursor.map(|Cursor(position)| position),
    };
    let rows = events::list(&app.pool, scope, &filter, asked.limit.rows_to_read()).await?;
    let page = Page::new(rows, asked.limit, |row| (row.occurred_at, row.event_id));
    Ok(Json(page.map(PaymentEvent::from)))
}

/// The newest events of a scope, as the dashboard shows them.
pub(crate) async fn newest(
    app: &App,
    scope: crate::domain::scope::Scope,
    count: i64,
) -> Result<Vec<PaymentEvent>, Error> {
    let rows = events::list(&app.pool, scope, &Filter::default(), count).await?;
    Ok(rows.into_iter().map(PaymentEvent::from).collect())
}
