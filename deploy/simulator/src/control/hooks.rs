//! Orders to the merchants' ends, and what they received.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;

use super::order::Order;
use super::{done, refused};
use crate::hooks::{Hooks, Mode};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewMode {
    mode: Mode,
    path: Option<String>,
    count: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    path: Option<String>,
}

pub(super) async fn set_mode(State(hooks): State<Hooks>, Order(order): Order<NewMode>) -> Response {
    if order.count == Some(0) {
        return refused(StatusCode::BAD_REQUEST, "count is at least 1");
    }
    match hooks.set_mode(order.path, order.mode, order.count) {
        Ok(()) => done(),
        Err(error) => refused(StatusCode::BAD_REQUEST, error),
    }
}

pub(super) async fn received(State(hooks): State<Hooks>, Query(filter): Query<Filter>) -> Response {
    let (requests, forgotten) =
        hooks.received(|request| filter.path.as_ref().is_none_or(|path| request.path == *path));
    Json(json!({ "requests": requests, "forgotten": forgotten })).into_response()
}
