//! An answer of a service, as a story looks at it.

use anyhow::{Context, Result, bail};
use reqwest::{RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::Value;

/// Status, headers and body of an answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, if it is JSON; else null.
    pub body: Value,
}

impl Answer {
    /// Sends the request.
    pub async fn to(request: RequestBuilder) -> Result<Self> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        Ok(Self {
            status,
            headers,
            body: serde_json::from_str(&text).unwrap_or(Value::Null),
        })
    }

    /// The body of a success; any other answer is an error that shows it.
    pub fn success(self) -> Result<Value> {
        if StatusCode::from_u16(self.status).is_ok_and(|status| status.is_success()) {
            Ok(self.body)
        } else {
            bail!("answered {}: {}", self.status, self.body)
        }
    }

    /// The problem's stable word, behind the last colon of its type.
    pub fn problem(&self) -> &str {
        self.body["type"]
            .as_str()
            .and_then(|uri| uri.rsplit(':').next())
            .unwrap_or("none")
    }
}

/// A text field of a JSON object.
pub fn text(object: &Value, field: &str) -> Result<String> {
    object[field]
        .as_str()
        .map(str::to_owned)
        .with_context(|| format!("no text {field} in {object}"))
}

/// A whole number of a JSON object.
pub fn number(object: &Value, field: &str) -> Result<i64> {
    object[field]
        .as_i64()
        .with_context(|| format!("no number {field} in {object}"))
}
