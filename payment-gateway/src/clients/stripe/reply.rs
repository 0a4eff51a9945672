//! What a call to Stripe proves.
//!
//! | came | proves |
//! |---|---|
//! | 2xx | what the object says |
//! | 402 with Stripe's error document | the card was declined; the object comes with it |
//! | 400, 404, 422 and the like, with Stripe's error document | Stripe refused the request: nothing was charged |
//! | 400 `idempotency_error` | an earlier request under this key arrived: ask |
//! | 401, 403, 409, 429, 5xx, a page of whoever stands in between, no answer | nothing about the charge: ask |
//! | no connection, open breaker | nothing was sent |

use axum::http::StatusCode;
use platform::client::{Answer, CallError};
use schemas::payment::FailureCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::failures;
use super::objects::{PaymentIntent, Unintelligible};

/// What came of a call.
#[derive(Debug)]
pub enum Reply<T> {
    /// Stripe holds this.
    Answered(T),
    /// Stripe refused for good, and holds nothing of it.
    Declined(FailureCode),
    /// Proof that Stripe received nothing.
    NotSent(Cause),
    /// It may have been carried out.
    Unknown(Cause),
}

/// Why there is no answer; for the log, without anything that Stripe wrote.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// No answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// An answer that proves nothing.
    #[error("stripe answered {0}")]
    Status(StatusCode),
    /// An answer that we cannot read.
    #[error(transparent)]
    Unintelligible(#[from] Unintelligible),
}

#[derive(Debug, Deserialize)]
struct ErrorDocument {
    error: ErrorObject,
}

#[derive(Debug, Deserialize)]
struct ErrorObject {
    #[serde(rename = "type")]
    kind: String,
    code: Option<String>,
    decline_code: Option<String>,
    payment_intent: Option<PaymentIntent>,
}

impl<T> Reply<T> {
    /// Turns the answered object into something else.
    pub(super) fn and_then<U, E: Into<Cause>>(self, change: impl FnOnce(T) -> Result<U, E>) -> Reply<U> {
        match self {
            Self::Answered(object) => match change(object) {
                Ok(object) => Reply::Answered(object),
                Err(cause) => Reply::Unknown(cause.into()),
            },
            Self::Declined(code) => Reply::Declined(code),
            Self::NotSent(cause) => Reply::NotSent(cause),
            Self::Unknown(cause) => Reply::Unknown(cause),
        }
    }
}

/// Reads an answer whose object is `T`.
pub(super) fn read<T: DeserializeOwned>(answer: Result<Answer, CallError>) -> Reply<T> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return lost(error),
    };
    if answer.is_success() {
        return answer.json().map_or_else(lost, Reply::Answered);
    }
    match (answer.status, answer.json::<ErrorDocument>()) {
        (StatusCode::PAYMENT_REQUIRED, Ok(document)) => Reply::Declined(decline(&document)),
        (status, Ok(document)) if refuses(status) && document.is_a_refusal() => {
            Reply::Declined(FailureCode::Rejected)
        }
        (status, _) => Reply::Unknown(Cause::Status(status)),
    }
}

/// As [`read`], for calls that try to charge: a declined PaymentIntent comes inside the error.
pub(super) fn read_charge(answer: Result<Answer, CallError>) -> Reply<PaymentIntent> {
    if let Ok(answer) = &answer
        && answer.status == StatusCode::PAYMENT_REQUIRED
        && let Ok(ErrorDocument {
            error:
                ErrorObject {
                    payment_intent: Some(intent),
                    ..
                },
        }) = answer.json()
    {
        return Reply::Answered(intent);
    }
    read(answer)
}

fn lost<T>(error: CallError) -> Reply<T> {
    if error.is_not_sent() {
        Reply::NotSent(error.into())
    } else {
        Reply::Unknown(error.into())
    }
}

fn decline(ErrorDocument { error }: &ErrorDocument) -> FailureCode {
    failures::decline(error.code.as_deref(), error.decline_code.as_deref())
}

/// A 4xx that is about this request, and not about our key, our pace, or another request under way.
fn refuses(status: StatusCode) -> bool {
    status.is_client_error()
        && !matches!(
            status,
            StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::REQUEST_TIMEOUT
                | StatusCode::CONFLICT
                | StatusCode::TOO_EARLY
                | StatusCode::TOO_MANY_REQUESTS
        )
}

impl ErrorDocument {
    /// Stripe's own no to this very request; an `idempotency_error` is about an earlier one.
    fn is_a_refusal(&self) -> bool {
        matches!(self.error.kind.as_str(), "invalid_request_error" | "card_error")
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use serde_json::{Value, json};

    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "as the client gives it")]
    fn answer(status: u16, body: &Value) -> Result<Answer, CallError> {
        let status = StatusCode::from_u16(status).unwrap();
        Ok(Answer {
            status,
            headers: HeaderMap::new(),
            body: body.to_string().into(),
        })
    }

    fn error(kind: &str) -> Value {
        json!({ "error": { "type": kind } })
    }

    #[test]
    fn a_page_of_whoever_stands_in_between_proves_nothing() {
        for status in [400, 402, 404, 405, 413, 422] {
            let reply = read::<Value>(answer(status, &json!("<html>maintenance</html>")));
            assert!(matches!(reply, Reply::Unknown(_)), "{status}: {reply:?}");
        }
    }

    #[test]
    fn only_a_refusal_of_this_very_request_is_a_no() {
        for status in [400, 404, 422] {
            let reply = read::<Value>(answer(status, &error("invalid_request_error")));
            assert!(
                matches!(reply, Reply::Declined(FailureCode::Rejected)),
                "{status}: {reply:?}"
            );
        }
        for status in [401, 403, 408, 409, 429, 500, 502, 503, 504] {
            let reply = read::<Value>(answer(status, &error("api_error")));
            assert!(matches!(reply, Reply::Unknown(_)), "{status}: {reply:?}");
        }
        let reply = read::<Value>(answer(400, &error("idempotency_error")));
        assert!(matches!(reply, Reply::Unknown(_)), "{reply:?}");
    }

    #[test]
    fn a_decline_brings_the_payment_intent_along() {
        let intent =
            json!({ "id": "pi_1", "amount": 5, "currency": "eur", "status": "requires_payment_method" });
        let body =
            json!({ "error": { "type": "card_error", "code": "card_declined", "payment_intent": intent } });
        let Reply::Answered(intent) = read_charge(answer(402, &body)) else {
            panic!("not answered")
        };
        assert_eq!(intent.id, "pi_1");

        let body = json!({ "error": { "type": "card_error", "decline_code": "insufficient_funds" } });
        let reply = read_charge(answer(402, &body));
        assert!(
            matches!(reply, Reply::Declined(FailureCode::InsufficientFunds)),
            "{reply:?}"
        );
    }

    #[test]
    fn an_answer_that_cannot_be_read_proves_nothing() {
        let reply = read_charge(answer(200, &json!({ "surprise": true })));
        assert!(matches!(reply, Reply::Unknown(_)), "{reply:?}");
    }
}
