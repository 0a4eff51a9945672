//! The bank's answers: `{"error": {"code", "message"}}` where something is wrong.

use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use crate::idempotency::Saved;

#[derive(Debug)]
pub(super) struct BankError {
    pub(super) status: StatusCode,
    code: &'static str,
    message: String,
}

impl BankError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    pub(super) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(super) fn saved(&self) -> Saved {
        let body = json!({ "error": { "code": self.code, "message": self.message } });
        Saved {
            status: self.status.as_u16(),
            body: body.to_string(),
            request_id: String::new(),
        }
    }
}

pub(super) fn ok(status: StatusCode, body: &Value) -> Saved {
    Saved {
        status: status.as_u16(),
        body: body.to_string(),
        request_id: String::new(),
    }
}

pub(super) fn respond(answer: &Saved, replayed: bool) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (
        status,
        [(header::CONTENT_TYPE, "application/json")],
        answer.body.clone(),
    )
        .into_response();
    if replayed {
        response
            .headers_mut()
            .insert("idempotent-replayed", header::HeaderValue::from_static("true"));
    }
    response
}

pub(super) fn authenticate(headers: &HeaderMap, api_key: &str) -> Result<(), BankError> {
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    if given == Some(api_key) {
        return Ok(());
    }
    Err(BankError::new(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "send Authorization: Bearer with the bank's API key",
    ))
}

pub(super) async fn no_such_route(method: Method, uri: Uri) -> Response {
    let message = format!("the bank does not offer {method} {}", uri.path());
    respond(
        &BankError::new(StatusCode::NOT_FOUND, "not_found", message).saved(),
        false,
    )
}
