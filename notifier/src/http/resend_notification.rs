use axum::extract::State;
use axum::http::StatusCode;
use platform::auth::Principal;
use platform::http::{Json, Path};
use platform::problem::{Problem, ProblemDocument};
use schemas::NotificationNo;

use super::get_notification::show;
use super::view::NotificationWithAttempts;
use super::{AppState, viewer};
use crate::domain::resend::{Asker, ResendRefused, may_resend};
use crate::error::Error;
use crate::store::notices;

/// Send a notification again
///
/// It becomes pending with a whole schedule of attempts before it, and keeps its `webhook-id` or `Message-ID`. What is
/// pending is refused: it is tried by itself. A customer who was told can only be told again by staff.
#[utoipa::path(
    post,
    path = "/api/v1/notifications/{notification_no}/resend",
    params(("notification_no" = String, Path, description = "Its number, `ntf_…`")),
    responses(
        (status = 202, body = NotificationWithAttempts),
        (status = 401, body = ProblemDocument, description = "No valid token"),
        (status = 403, body = ProblemDocument, description = "A customer's mail that was delivered, asked for by a merchant"),
        (status = 404, body = ProblemDocument, description = "No such notification, or another merchant's"),
        (status = 409, body = ProblemDocument, description = "It is pending"),
    )
)]
pub(super) async fn resend_notification(
    State(state): State<AppState>,
    caller: Principal,
    Path(notification_no): Path<NotificationNo>,
) -> Result<(StatusCode, Json<NotificationWithAttempts>), Problem> {
    resend(&state, &caller, notification_no).await?;
    let shown = show(&state, &caller, notification_no).await?;
    Ok((StatusCode::ACCEPTED, Json(shown)))
}

async fn resend(state: &AppState, caller: &Principal, notification_no: NotificationNo) -> Result<(), Error> {
    let mut connection = state.pool.acquire().await?;
    let notice = notices::find(&mut connection, viewer(caller), notification_no)
        .await?
        .ok_or(Error::NotFound)?;
    let (asker, who) = match caller {
        Principal::Staff(member) => (Asker::Staff, member.subject.clone()),
        Principal::Merchant(merchant_id) => (Asker::Merchant, merchant_id.to_string()),
    };
    may_resend(notice.status, notice.recipient, asker)?;
    if !notices::rearm(&mut connection, notification_no, notice.status, state.clock.now()).await? {
        return Err(ResendRefused::Pending.into());
    }
    tracing::info!(%notification_no, by = who, was = notice.status.as_str(), "a notification is sent again");
    Ok(())
}
