//! A request on its way.

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use url::Url;

use super::error::{CallError, NotSent};
use super::{Answer, Client, exchange, retry};
use crate::breaker::Permit;

/// Collects the parts of a request; [`Request::send`] makes the call.
#[derive(Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    pub(super) client: Client,
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) reads_body: bool,
    pub(super) trouble: Trouble,
    is_repeatable: bool,
    permit: Option<Permit>,
    defect: Option<String>,
}

/// What counts against a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No answer, a 5xx, a 429.
    SilenceAndErrors,
    /// No answer.
    Silence,
}

impl Request {
    pub(super) fn new(client: Client, method: Method, url: Url) -> Self {
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        Self {
            client,
            method,
            url,
            headers,
            body,
            reads_body: true,
            trouble: Trouble::SilenceAndErrors,
            is_repeatable: false,
            permit: None,
            defect: None,
        }
    }

    /// Declares that sending it twice does no more than sending it once (an idempotency key, a pure read): only then is it
    /// retried.
    pub fn repeatable(mut self) -> Self {
        self.is_repeatable = true;
        self
    }

    /// The breaker minds only silence: an answer is one whatever its status, because errors of this destination are about what
    /// was asked, and must not keep others from asking.
    pub fn errors_are_answers(mut self) -> Self {
        self.trouble = Trouble::Silence;
        self
    }

    /// Sends it with leave that the breaker gave before: a breaker that has opened meanwhile does not hold it up. Retries
    /// ask for leave of their own.
    pub fn with_permit(mut self, permit: Permit) -> Self {
        self.permit = Some(permit);
        self
    }

    /// The answer's body does not matter and is not read.
    pub fn discard_body(mut self) -> Self {
        self.reads_body = false;
        self
    }

    /// Sets a header.
    pub fn header(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        match HeaderValue::from_str(value.as_ref()) {
            Ok(value) => {
                self.headers.insert(name, value);
            }
            Err(_) => self.defect = Some(format!("header {name} has characters that no header may have")),
        }
        self
    }

    /// Sets `Authorization: Bearer …`, marked so that it is not printed.
    pub fn bearer(mut self, token: &SecretString) -> Self {
        self = self.header(AUTHORIZATION, format!("Bearer {}", token.expose_secret()));
        if let Some(value) = self.headers.get_mut(AUTHORIZATION) {
            value.set_sensitive(true);
        }
        self
    }

    /// Appends `name=value` to the query.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }

    /// Sends these bytes.
    pub fn body(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.headers
            .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        self.body = body.into();
        self
    }

    /// Sends this as JSON.
    pub fn json(mut self, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(bytes) => self.body("application/json", bytes),
            Err(error) => {
                self.defect = Some(format!("its body is not JSON: {error}"));
                self
            }
        }
    }

    /// Sends this form-encoded.
    pub fn form<K: AsRef<str>, V: AsRef<str>>(self, fields: impl IntoIterator<Item = (K, V)>) -> Self {
        let mut encoded = url::form_urlencoded::Serializer::new(String::new());
        encoded.extend_pairs(fields);
        self.body("application/x-www-form-urlencoded", encoded.finish())
    }

    /// Makes the call, within the client's deadline.
    pub async fn send(mut self) -> Result<Answer, CallError> {
        if let Some(defect) = self.defect {
            return Err(CallError::NotSent(NotSent::Request(defect)));
        }
        let deadline = tokio::time::Instant::now() + self.client.settings.deadline;
        let permit = match self.permit.take() {
            Some(permit) => permit,
            None => exchange::permit(&self)?,
        };
        if self.is_repeatable {
            retry::send(&self, permit, deadline).await
        } else {
            exchange::send(&self, permit, deadline, 0).await
        }
    }
}
