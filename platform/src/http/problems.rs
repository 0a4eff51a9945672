//! Every refusal is a problem, whoever refuses: the router (404, 405), an extractor of a library, a panic.

use std::any::Any;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// Turns refusals in plain text or without any body into problems; keeps their headers (`Allow`, `Retry-After`).
pub(super) async fn refusals(request: Request, next: Next) -> Response {
    let answer = next.run(request).await;
    let status = answer.status();
    if !(status.is_client_error() || status.is_server_error()) || is_written(answer.headers()) {
        return answer;
    }
    let mut problem = generic(status).into_response();
    for (name, value) in answer.headers() {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            problem.headers_mut().append(name, value.clone());
        }
    }
    problem
}

/// Whether somebody wrote this answer for its reader: a problem, a page, another format.
fn is_written(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    content_type.is_some_and(|content_type| !content_type.starts_with("text/plain"))
}

fn generic(status: StatusCode) -> Problem {
    match status {
        StatusCode::NOT_FOUND => Problem::not_found(),
        StatusCode::METHOD_NOT_ALLOWED => {
            Problem::new(status, "method-not-allowed", "This method is not allowed here")
        }
        StatusCode::PAYLOAD_TOO_LARGE => super::extract::too_large(),
        _ => {
            let title = status.canonical_reason().unwrap_or("Refused");
            Problem::new(status, title.to_ascii_lowercase().replace(' ', "-"), title)
        }
    }
}

/// A handler that panicked: the panic hook has logged it, with its place, and the client learns the trace id.
pub(super) fn panicked(_: Box<dyn Any + Send + 'static>) -> Response<Body> {
    Problem::internal_already_logged().into_response()
}
