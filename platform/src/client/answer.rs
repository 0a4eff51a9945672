//! An answer, read whole.

use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::error::{CallError, Unknown};

/// What the other side said, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, bounded by the client's settings; empty if the request discarded it.
    pub body: Bytes,
}

impl Answer {
    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        self.status.is_success()
    }

    /// Reads the body as JSON. The error holds nothing of the body, which may be personal.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        serde_json::from_slice(&self.body).map_err(|error| self.unreadable(reason(&error)))
    }

    /// Reads the body of a 2xx answer as JSON; another status is an error.
    pub fn success_json<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        if self.is_success() {
            self.json()
        } else {
            Err(self.unreadable("expected a 2xx".to_owned()))
        }
    }

    fn unreadable(&self, reason: String) -> CallError {
        CallError::Unknown(Unknown::Unreadable {
            status: self.status,
            reason,
        })
    }
}

fn reason(error: &serde_json::Error) -> String {
    format!(
        "{:?} error in its JSON at line {} column {}",
        error.classify(),
        error.line(),
        error.column()
    )
}
