//! Extractors like axum's, except that what they refuse is a problem, and names the field.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// A JSON body; also an answer in JSON. Not JSON: 400, `not-json`. JSON of the wrong shape: 422, `invalid-request`, with the
/// field's path. Use `#[serde(deny_unknown_fields)]` on `T`, so that a misspelt optional field is not ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Json<T>(pub T);

/// The query string. Of the wrong shape: 422, `invalid-request`, with the parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Query<T>(pub T);

/// Path parameters. One that cannot be a name of the thing names nothing: 404.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Path<T>(pub T);

/// The body as it was sent, for what is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawBody(pub Bytes);

impl<T: DeserializeOwned> Json<T> {
    /// Reads a body that was taken with [`RawBody`].
    pub fn from_bytes(body: &[u8]) -> Result<Self, Problem> {
        let mut deserializer = serde_json::Deserializer::from_slice(body);
        let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let path = error.path().to_string();
            refused(&path, error.inner())
        })?;
        deserializer.end().map_err(|error| refused(".", &error))?;
        Ok(Self(value))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(&request) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "The body must be sent as application/json",
            ));
        }
        let RawBody(body) = RawBody::from_request(request, state).await?;
        Self::from_bytes(&body)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Bytes::from_request(request, state)
            .await
            .map(Self)
            .map_err(|rejection| unread(&rejection))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let deserializer = serde_urlencoded::Deserializer::new(url::form_urlencoded::parse(query.as_bytes()));
        serde_path_to_error::deserialize(deserializer)
            .map(Self)
            .map_err(|error| {
                let path = error.path().to_string();
                invalid(&path, error.inner().to_string())
            })
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) if rejection.status().is_server_error() => Err(Problem::internal(&rejection)),
            Err(_) => Err(Problem::not_found()),
        }
    }
}

/// Tells what is no JSON at all from JSON that says something unacceptable.
fn refused(path: &str, error: &serde_json::Error) -> Problem {
    if error.is_data() {
        return invalid(path, without_position(&error.to_string()));
    }
    Problem::new(StatusCode::BAD_REQUEST, "not-json", "The body is not JSON").detail(format!(
        "at line {}, column {}",
        error.line(),
        error.column()
    ))
}

fn invalid(path: &str, message: String) -> Problem {
    // A misspelt field has a type of its own: the client's program is wrong, not a value in it.
    let problem = if message.starts_with("unknown field") {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "unknown-field",
            "The request has a field that is not known",
        )
    } else {
        Problem::invalid_request()
    };
    // A refusal of the whole has no path.
    if path.is_empty() || path == "." {
        problem.detail(message)
    } else {
        problem.field_error(path.to_owned(), message)
    }
}

/// `serde_json` appends where it stopped reading, which says nothing to somebody who made the JSON with a program.
fn without_position(message: &str) -> String {
    message.split(" at line ").next().unwrap_or(message).to_owned()
}

fn unread(rejection: &BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return too_large();
    }
    Problem::new(
        StatusCode::BAD_REQUEST,
        "body-not-read",
        "The body did not arrive whole",
    )
}

/// 413.
pub(super) fn too_large() -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too-large",
        "The body is larger than is accepted",
    )
}

fn is_json(request: &Request) -> bool {
    let content_type = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = content_type
        .and_then(|text| text.split(';').next())
        .unwrap_or_default()
        .trim();
    essence.eq_ignore_ascii_case("application/json") || essence.to_ascii_lowercase().ends_with("+json")
}
