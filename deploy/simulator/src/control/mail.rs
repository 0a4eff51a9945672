//! Orders to the mail server, and what it received.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;

use super::order::Order;
use super::{done, refused};
use crate::mail::{Mailbox, Mode};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewMode {
    mode: Mode,
    count: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    to: Option<String>,
    message_id: Option<String>,
}

pub(super) async fn set_mode(State(mailbox): State<Mailbox>, Order(order): Order<NewMode>) -> Response {
    if order.count == Some(0) || (order.count.is_some() && matches!(order.mode, Mode::Normal | Mode::Down)) {
        return refused(
            StatusCode::BAD_REQUEST,
            "count is at least 1, and belongs to reject, defer and drop_answer",
        );
    }
    mailbox.set_mode(order.mode, order.count);
    done()
}

pub(super) async fn messages(State(mailbox): State<Mailbox>, Query(filter): Query<Filter>) -> Response {
    let to = filter.to.map(|to| to.to_lowercase());
    let message_id = filter.message_id.as_deref().map(|id| id.trim_matches(['<', '>']));
    let (messages, forgotten) = mailbox.messages(|message| {
        to.as_ref().is_none_or(|to| message.to.contains(to))
            && message_id.is_none_or(|id| message.message_id.as_deref() == Some(id))
    });
    Json(json!({ "messages": messages, "forgotten": forgotten })).into_response()
}
