//! `GET /api/v1/payments`

use axum::extract::State;
use jiff::Timestamp;
use platform::Problem;
use platform::auth::Principal;
use platform::cursor::{Cursor, Limit, Page};
use platform::http::{Json, Query};
use platform::problem::ProblemDocument;
use schemas::ids::MerchantId;
use schemas::payment::PaymentStatus;
use serde::Deserialize;
use utoipa::IntoParams;

use super::PaymentDocument;
use crate::auth::Caller;
use crate::domain::{OrderNo, Payment};
use crate::error::Refusal;
use crate::http::App;
use crate::store;
use crate::store::payment_lists::{Filter, Position};

/// Which payments.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListPayments {
    /// Staff have to say whose; merchants see their own.
    #[param(value_type = Option<String>)]
    merchant_id: Option<MerchantId>,
    /// The merchant's own number.
    order_no: Option<String>,
    /// Only those in this status now.
    status: Option<String>,
    /// Only those created at or after this RFC 3339 instant.
    #[param(value_type = Option<String>)]
    created_from: Option<Timestamp>,
    /// Only those created before this RFC 3339 instant.
    #[param(value_type = Option<String>)]
    created_to: Option<Timestamp>,
    /// Where the page begins: `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<Position>>,
    /// 1 to 100, 20 if not given.
    #[serde(default)]
    #[param(value_type = Option<u16>)]
    limit: Limit,
}

/// List payments, newest first
#[utoipa::path(
    get,
    path = "/api/v1/payments",
    tag = "payments",
    params(ListPayments),
    responses((status = 200, body = Page<PaymentDocument>), (status = 422, body = ProblemDocument))
)]
pub(super) async fn list_payments(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ListPayments>,
) -> Result<Json<Page<PaymentDocument>>, Refusal> {
    let filter = Filter {
        merchant_id: merchant(&caller.0, query.merchant_id)?,
        status: query.status.as_deref().map(status).transpose()?,
        created_from: query.created_from,
        created_to: query.created_to,
    };
    let payments = if let Some(order_no) = &query.order_no {
        of_order(&app, &filter, order_no, query.cursor).await?
    } else {
        let (after, rows) = (query.cursor.map(|cursor| cursor.0), query.limit.rows_to_read());
        store::payment_lists::list(&app.charging.pool, &filter, after, rows).await?
    };
    let page = Page::new(payments, query.limit, |payment| {
        (payment.created_at, payment.payment_no)
    });
    Ok(Json(page.map(PaymentDocument::from)))
}

fn merchant(caller: &Principal, named: Option<MerchantId>) -> Result<MerchantId, Refusal> {
    match (caller.tenant(), named) {
        (Some(own), None) => Ok(own),
        (Some(own), Some(named)) if own == named => Ok(own),
        (Some(_), Some(_)) => Err(Refusal::OtherMerchant),
        (None, Some(named)) => Ok(named),
        (None, None) => {
            let problem =
                Problem::invalid_request().field_error("merchant_id", "expected whose payments to list");
            Err(problem.into())
        }
    }
}

fn status(word: &str) -> Result<PaymentStatus, Refusal> {
    let known = || {
        PaymentStatus::ALL
            .iter()
            .filter(|status| **status != PaymentStatus::Unknown)
    };
    known()
        .find(|status| status.as_str() == word)
        .copied()
        .ok_or_else(|| {
            let words: Vec<_> = known().map(|status| status.as_str()).collect();
            let message = format!("expected one of {}", words.join(", "));
            Problem::invalid_request().field_error("status", message).into()
        })
}

/// At most one payment has an order number, so there is nothing to page through.
async fn of_order(
    app: &App,
    filter: &Filter,
    order_no: &str,
    cursor: Option<Cursor<Position>>,
) -> Result<Vec<Payment>, Refusal> {
    let order_no = OrderNo::parse(order_no).map_err(|error| Refusal::Text {
        field: "order_no",
        error,
    })?;
    let mut connection = app.charging.pool.acquire().await?;
    let found = store::payments::find_order(&mut connection, filter.merchant_id, &order_no).await?;
    let found = found.map(|(payment, _)| payment).filter(|payment| {
        cursor.is_none()
            && filter.status.is_none_or(|status| payment.status() == status)
            && filter.created_from.is_none_or(|from| payment.created_at >= from)
            && filter.created_to.is_none_or(|to| payment.created_at < to)
    });
    Ok(found.into_iter().collect())
}
