//! Requests to merchants' endpoints.
//!
//! A merchant chose the URL, so the address is checked where it is connected to, redirects are not followed, and nothing of
//! the answer is read but its status.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderName, StatusCode, header};
use bytes::Bytes;
use platform::breaker::Open;
use platform::client::{self, Answer, CallError, Client, ClientError, NotSent, Unknown};
use schemas::MerchantId;
use tokio::time::Instant;
use url::Url;

use crate::domain::mask;
use crate::domain::outcome::Outcome;
use crate::domain::reason::Reason;

/// Sends webhooks.
pub struct Webhooks {
    client: Client,
    per_host: u16,
    hosts: Mutex<HashMap<String, Load>>,
}

/// What a host has to do for us at present.
#[derive(Default)]
struct Load {
    in_flight: u16,
    /// Since when it has had all that it may have.
    full_since: Option<Instant>,
}

/// A signed request on its way.
pub struct Delivery {
    /// The endpoint.
    pub url: Url,
    /// `webhook-id`: the same at every attempt.
    pub id: String,
    /// `webhook-timestamp`: this attempt's.
    pub timestamp_seconds: i64,
    /// `webhook-signature`.
    pub signature: String,
    /// The body, as it was signed.
    pub body: Bytes,
}

/// Why an endpoint is not called now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotNow {
    /// It failed too often lately.
    Open(Open),
    /// Enough requests to its host are under way.
    Busy {
        /// When to ask again: soon for a host that answers, later for one that has hung for a while.
        retry_after: Duration,
    },
}

/// Leave to send one request to a host.
pub struct Slot<'a> {
    webhooks: &'a Webhooks,
    host: String,
    client: Client,
}

/// How long to wait for a host that has all the requests it may have.
const SHORTEST_WAIT: Duration = Duration::from_millis(50);
/// How long, when it has not answered any of them for long.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

impl Webhooks {
    /// A client within `bounds`, of which one host gets at most `per_host` requests at once.
    pub fn new(bounds: client::Settings, per_host: u16) -> Result<Self, ClientError> {
        Ok(Self {
            client: Client::new("merchant-webhook", bounds)?,
            per_host,
            hosts: Mutex::default(),
        })
    }

    /// Asks to call a merchant's endpoint now.
    pub fn slot(&self, merchant_id: MerchantId, url: &Url) -> Result<Slot<'_>, NotNow> {
        let host = mask::origin(url);
        // By merchant too: one merchant's broken path on a shared host says nothing about another's.
        let client = self.client.for_endpoint(&format!("{merchant_id} {host}"));
        // A permit that is dropped unused counts as nothing.
        client.breaker().permit().map(drop).map_err(NotNow::Open)?;
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let load = hosts.entry(host.clone()).or_default();
        if load.in_flight >= self.per_host {
            let full_for = load.full_since.get_or_insert_with(Instant::now).elapsed();
            return Err(NotNow::Busy {
                retry_after: full_for.clamp(SHORTEST_WAIT, LONGEST_WAIT),
            });
        }
        load.in_flight += 1;
        drop(hosts);
        Ok(Slot {
            webhooks: self,
            host,
            client,
        })
    }
}

impl Slot<'_> {
    /// Sends one request.
    pub async fn send(&self, delivery: Delivery) -> Outcome {
        let request = self
            .client
            .post(delivery.url)
            .header(header::ACCEPT, "*/*")
            .header(WEBHOOK_ID, delivery.id)
            .header(WEBHOOK_TIMESTAMP, delivery.timestamp_seconds.to_string())
            .header(WEBHOOK_SIGNATURE, delivery.signature)
            .body("application/json", delivery.body)
            .discard_body();
        match request.send().await {
            Ok(answer) => answered(&answer),
            Err(error) => unanswered(&error),
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut hosts = self.webhooks.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(load) = hosts.get_mut(&self.host) {
            load.in_flight -= 1;
            load.full_since = None;
            if load.in_flight == 0 {
                hosts.remove(&self.host);
            }
        }
    }
}

fn answered(answer: &Answer) -> Outcome {
    let code = answer.status.as_u16();
    if answer.is_success() {
        return Outcome::Delivered { code };
    }
    if answer.status == StatusCode::GONE {
        return Outcome::Refused {
            reason: Reason::EndpointGone,
            code: Some(code),
        };
    }
    Outcome::Failed {
        reason: Reason::AnswerRefused,
        code,
        retry_after: retry_after(answer),
    }
}

/// How long the endpoint asks us to wait, if it says so in seconds.
fn retry_after(answer: &Answer) -> Option<Duration> {
    let text = answer.headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    text.parse().ok().map(Duration::from_secs)
}

fn unanswered(error: &CallError) -> Outcome {
    match error {
        CallError::NotSent(NotSent::BreakerOpen(_)) => Outcome::NotSent {
            reason: Reason::BreakerOpen,
        },
        CallError::NotSent(NotSent::Forbidden(_)) => Outcome::Refused {
            reason: Reason::AddressRefused,
            code: None,
        },
        CallError::NotSent(NotSent::Request(_)) => Outcome::Refused {
            reason: Reason::InvalidUrl,
            code: None,
        },
        CallError::NotSent(NotSent::Connect(_)) => Outcome::NotSent {
            reason: Reason::ConnectionFailed,
        },
        CallError::Unknown(Unknown::Deadline(_)) => Outcome::Unknown {
            reason: Reason::TimedOut,
        },
        CallError::Unknown(Unknown::Connection(_) | Unknown::TooLong { .. } | Unknown::Unreadable { .. }) => {
            Outcome::Unknown {
                reason: Reason::ConnectionLost,
            }
        }
    }
}
