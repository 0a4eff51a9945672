//! RFC 9457 problem documents: the one form in which a service says no.
//!
//! A problem's `type` is stable and is what a client switches on. A 5xx tells nothing internal: the cause goes to the
//! log, once, and the answer carries the trace id under which it is found there.

use std::borrow::Cow;
use std::error::Error;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::telemetry;

/// What every problem `type` of the platform starts with.
pub const TYPE_PREFIX: &str = "urn:problem-type:payments:";

/// A problem on its way to the client: `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem(Box<Parts>);

// Boxed, because a problem is the error of every handler: their results stay small.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    status: StatusCode,
    slug: Cow<'static, str>,
    title: Cow<'static, str>,
    detail: Option<String>,
    errors: Vec<FieldError>,
    headers: HeaderMap,
}

/// One field that is wrong, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Path of the field in the request, `customer.email` or `items[0].amount`.
    #[schema(value_type = String)]
    pub field: Cow<'static, str>,
    /// What was expected, and what came.
    pub message: String,
}

/// The document as it is sent; services name it in their OpenAPI documents.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemDocument {
    /// `urn:problem-type:payments:` and a stable word.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// The same for every occurrence of this type.
    #[schema(value_type = String)]
    pub title: Cow<'static, str>,
    /// The HTTP status, repeated.
    pub status: u16,
    /// What is particular about this occurrence, and what to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The fields that were refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Under this id the request is found in traces and logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

impl Problem {
    /// A problem of the type `slug`: lower case words with hyphens, never changed once published.
    pub fn new(
        status: StatusCode,
        slug: impl Into<Cow<'static, str>>,
        title: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self(Box::new(Parts {
            status,
            slug: slug.into(),
            title: title.into(),
            detail: None,
            errors: Vec::new(),
            headers: HeaderMap::new(),
        }))
    }

    /// Says what is particular about this occurrence. It is sent to the client: no internals, no personal data.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds a field that was refused.
    #[must_use]
    pub fn field_error(mut self, field: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        self.0.errors.push(FieldError {
            field: field.into(),
            message: message.into(),
        });
        self
    }

    /// Adds a response header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Tells the client when to come back, in whole seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        self.header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// 404: there is no such thing, or not for this caller; the two are not told apart.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is nothing here")
    }

    /// 422: the request was understood and some of its values are not acceptable; add them with [`Problem::field_error`].
    pub fn invalid_request() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid-request",
            "The request has values that are not acceptable",
        )
    }

    /// 500: logs the failure with its causes, here and nowhere else, and tells the client nothing but the trace id.
    pub fn internal(failure: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = %Chain(failure), "request failed");
        Self::internal_already_logged()
    }

    pub(crate) fn internal_already_logged() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong on our side",
        )
        .detail("the request may or may not have had an effect; ask with the trace id")
    }

    /// 503: logs that something we depend on did not answer, and asks the client to come back.
    pub fn unavailable(failure: &(dyn Error + 'static)) -> Self {
        tracing::warn!(error = %Chain(failure), "request refused: a dependency is unavailable");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "Temporarily unavailable",
        )
        .retry_after(1)
    }

    /// The status it will be sent with.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The last part of its `type`.
    pub fn slug(&self) -> &str {
        &self.0.slug
    }

    /// The fields that were refused so far.
    pub fn field_errors(&self) -> &[FieldError] {
        &self.0.errors
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = ProblemDocument {
            type_uri: format!("{TYPE_PREFIX}{}", self.0.slug),
            title: self.0.title,
            status: self.0.status.as_u16(),
            detail: self.0.detail,
            errors: self.0.errors,
            trace_id: telemetry::current_trace_id(),
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let content_type = [(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        )];
        (self.0.status, self.0.headers, content_type, body).into_response()
    }
}

/// A failure of the database is ours: the client learns whether to come back, and nothing else.
impl From<sqlx::Error> for Problem {
    fn from(failure: sqlx::Error) -> Self {
        if crate::database::is_unavailable(&failure) {
            Self::unavailable(&failure)
        } else {
            Self::internal(&failure)
        }
    }
}

/// Prints a failure and its causes on one line, for the one log line it gets.
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut said = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Many errors already print their cause; saying it twice hides what matters.
            if !said.contains(&text) {
                write!(f, ": {text}")?;
                said = text;
            }
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    #[tokio::test]
    async fn a_problem_is_a_document_of_its_type() {
        let problem = Problem::new(StatusCode::CONFLICT, "already-approved", "Approved already")
            .detail("approved on Monday")
            .field_error("approver_id", "expected another person")
            .retry_after(3);
        let answer = problem.into_response();
        assert_eq!(answer.status(), StatusCode::CONFLICT);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(answer.headers()[header::RETRY_AFTER], "3");
        let body = to_bytes(answer.into_body(), 10_000).await.unwrap();
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&body).unwrap(),
            serde_json::json!({
                "type": "urn:problem-type:payments:already-approved",
                "title": "Approved already",
                "status": 409,
                "detail": "approved on Monday",
                "errors": [{ "field": "approver_id", "message": "expected another person" }],
            })
        );
    }

    #[tokio::test]
    async fn a_server_error_tells_nothing_internal() {
        let failure = std::io::Error::other("password of db-7 is wrong");
        for problem in [Problem::internal(&failure), Problem::unavailable(&failure)] {
            let body = to_bytes(problem.into_response().into_body(), 10_000)
                .await
                .unwrap();
            assert!(!String::from_utf8_lossy(&body).contains("db-7"));
        }
    }

    #[test]
    fn a_database_that_is_away_is_503_and_a_wrong_statement_500() {
        assert_eq!(
            Problem::from(sqlx::Error::PoolTimedOut).status(),
            StatusCode::SERVICE_UNAVAILABLE
        );
        assert_eq!(
            Problem::from(sqlx::Error::RowNotFound).status(),
            StatusCode::INTERNAL_SERVER_ERROR
        );
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the top failed: {0}")]
    struct Top(#[source] std::io::Error);

    #[test]
    fn causes_are_printed_once_each() {
        let quoting_its_cause = Top(std::io::Error::other("the bottom"));
        assert_eq!(
            Chain(&quoting_its_cause).to_string(),
            "the top failed: the bottom"
        );
        let silent_about_it = crate::ServeError::Listen {
            address: ([127, 0, 0, 1], 1).into(),
            key: "http.listen",
            source: std::io::Error::other("taken"),
        };
        assert!(
            Chain(&silent_about_it)
                .to_string()
                .ends_with("(configured as `http.listen`): taken")
        );
    }
}
