use axum::extract::State;
use platform::auth::Principal;
use platform::http::{Json, Path};
use platform::problem::{Problem, ProblemDocument};
use schemas::NotificationNo;

use super::view::NotificationWithAttempts;
use super::{AppState, viewer};
use crate::error::Error;
use crate::store::notices;

/// More attempts than this are not shown; a round has a dozen at most.
const MAX_ATTEMPTS: u32 = 100;

/// One notification, with its attempts
#[utoipa::path(
    get,
    path = "/api/v1/notifications/{notification_no}",
    params(("notification_no" = String, Path, description = "Its number, `ntf_…`")),
    responses(
        (status = 200, body = NotificationWithAttempts),
        (status = 401, body = ProblemDocument, description = "No valid token"),
        (status = 404, body = ProblemDocument, description = "No such notification, or another merchant's"),
    )
)]
pub(super) async fn get_notification(
    State(state): State<AppState>,
    caller: Principal,
    Path(notification_no): Path<NotificationNo>,
) -> Result<Json<NotificationWithAttempts>, Problem> {
    let shown = show(&state, &caller, notification_no).await?;
    Ok(Json(shown))
}

pub(super) async fn show(
    state: &AppState,
    caller: &Principal,
    notification_no: NotificationNo,
) -> Result<NotificationWithAttempts, Error> {
    let mut connection = state.pool.acquire().await?;
    let notice = notices::find(&mut connection, viewer(caller), notification_no)
        .await?
        .ok_or(Error::NotFound)?;
    let attempts = notices::attempts(&mut connection, notification_no, MAX_ATTEMPTS).await?;
    Ok(NotificationWithAttempts::new(notice, attempts))
}
