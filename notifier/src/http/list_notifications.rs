use axum::extract::State;
use platform::auth::Principal;
use platform::cursor::{Cursor, Limit, Page};
use platform::http::{Json, Query};
use platform::problem::{Problem, ProblemDocument};
use schemas::{MerchantId, NotificationNo};
use serde::Deserialize;
use utoipa::IntoParams;

use super::view::NotificationView;
use super::{AppState, viewer};
use crate::domain::notice::{NoticeType, Status};
use crate::error::Error;
use crate::store::notices::{self, Filter};

/// What the list is narrowed to.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Of this merchant. A merchant sees its own in any case.
    #[param(value_type = Option<String>)]
    merchant_id: Option<MerchantId>,
    /// Of this type.
    r#type: Option<NoticeType>,
    /// In this status.
    status: Option<Status>,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<NotificationNo>>,
    /// How many to a page, 1 to 100.
    #[serde(default)]
    #[param(value_type = Option<u16>)]
    limit: Limit,
}

/// Notifications, the newest first
///
/// A merchant sees its own, but not those that are meant for the platform's staff; staff see all.
#[utoipa::path(
    get,
    path = "/api/v1/notifications",
    params(ListQuery),
    responses(
        (status = 200, body = Page<NotificationView>),
        (status = 401, body = ProblemDocument, description = "No valid token"),
        (status = 404, body = ProblemDocument, description = "Another merchant's"),
        (status = 422, body = ProblemDocument, description = "A parameter is unknown or not acceptable"),
    )
)]
pub(super) async fn list_notifications(
    State(state): State<AppState>,
    caller: Principal,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<NotificationView>>, Problem> {
    if query
        .merchant_id
        .is_some_and(|merchant_id| !caller.may_see(merchant_id))
    {
        return Err(Error::NotFound.into());
    }
    let filter = Filter {
        merchant_id: query.merchant_id,
        notice_type: query.r#type,
        status: query.status,
        before: query.cursor.map(|cursor| cursor.0),
    };
    let rows = notices::list(&state.pool, viewer(&caller), &filter, query.limit.rows_to_read())
        .await
        .map_err(Error::from)?;
    Ok(Json(
        Page::new(rows, query.limit, |notice| notice.notification_no).map(NotificationView::from),
    ))
}
