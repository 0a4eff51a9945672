//! One request and its answer, with the patience of a shop: what did not arrive is sent again, with the same key.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

const ATTEMPTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(300);

#[derive(Debug, thiserror::Error)]
pub(super) enum ExchangeError {
    #[error("{what} got no answer: {source}")]
    NoAnswer { what: String, source: reqwest::Error },
    #[error("{what} was answered {status}: {body}")]
    Refused {
        what: String,
        status: StatusCode,
        body: String,
    },
}

impl ExchangeError {
    /// The first request with the same key may still be running: 409.
    fn may_be_repeated(&self) -> bool {
        self.is_outage() || matches!(self, Self::Refused { status, .. } if *status == StatusCode::CONFLICT)
    }

    /// The service is not there, or not able.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            Self::NoAnswer { .. } => true,
            Self::Refused { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
        }
    }
}

/// Sends what `request` makes until it is answered for good, at most six times in some ten seconds. For requests with an idempotency
/// key, and those that change nothing.
pub(super) async fn send(
    what: &str,
    request: impl Fn() -> reqwest::RequestBuilder,
) -> Result<Value, ExchangeError> {
    let mut pause = FIRST_PAUSE;
    let mut attempt = 1;
    loop {
        let error = match once(what, request()).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if attempt >= ATTEMPTS || !error.may_be_repeated() {
            return Err(error);
        }
        attempt += 1;
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

/// Sends a request once: what creates something without a key must not be sent again.
pub(super) async fn once(what: &str, request: reqwest::RequestBuilder) -> Result<Value, ExchangeError> {
    let no_answer = |source: reqwest::Error| ExchangeError::NoAnswer {
        what: what.to_owned(),
        source,
    };
    let answer = request.send().await.map_err(no_answer)?;
    let status = answer.status();
    let body = answer.text().await.map_err(no_answer)?;
    if status.is_success() {
        return Ok(serde_json::from_str(&body).unwrap_or_default());
    }
    let body = body.chars().take(300).collect();
    Err(ExchangeError::Refused {
        what: what.to_owned(),
        status,
        body,
    })
}
