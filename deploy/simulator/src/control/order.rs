//! A JSON body of an order: an empty body counts as `{}`, and what cannot be read is answered with the reason.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::de::DeserializeOwned;
use serde_json::json;

pub(crate) struct Order<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Order<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let body = Bytes::from_request(request, state)
            .await
            .map_err(axum::response::IntoResponse::into_response)?;
        let text: &[u8] = if body.trim_ascii().is_empty() {
            b"{}"
        } else {
            &body
        };
        match serde_json::from_slice(text) {
            Ok(order) => Ok(Self(order)),
            Err(error) => {
                let error = format!("{error}; GET /control shows what each order takes");
                Err((StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response())
            }
        }
    }
}
