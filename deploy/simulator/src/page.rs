//! Pages for people: server-rendered, readable without JavaScript, nothing loaded from elsewhere.

use askama::Template;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

/// Nothing but our own inline style, forms to ourselves, and mail in a sandboxed frame.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-src 'self'; form-action 'self'; base-uri 'none'";

pub(crate) fn show(page: &impl Template) -> Response {
    show_with(StatusCode::OK, page)
}

pub(crate) fn show_with(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (
            status,
            [
                (header::CONTENT_TYPE, "text/html; charset=utf-8"),
                (header::CONTENT_SECURITY_POLICY, POLICY),
            ],
            html,
        )
            .into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A page that only says something.
#[derive(Template)]
#[template(path = "message.html")]
pub(crate) struct Message<'a> {
    pub(crate) title: &'a str,
    pub(crate) text: &'a str,
}

pub(crate) fn not_found(text: &str) -> Response {
    show_with(
        StatusCode::NOT_FOUND,
        &Message {
            title: "Not found",
            text,
        },
    )
}
