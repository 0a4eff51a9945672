//! Stripe's HTTP API, as far as we use it: PaymentIntents confirmed at once, Checkout Sessions for the hosted page, refunds.
//!
//! Everything here speaks our words outwards ([`crate::domain::psp`]) and Stripe's inwards. No text of Stripe's leaves: error
//! messages may quote what the customer typed.
//!
//! The newcomer's trap: an error status is not a "no". Only some answers prove that nothing was charged; see [`reply`].

use platform::breaker::{Open, Permit};
use platform::client::{Answer, CallError, Client, NotSent, Request};
use schemas::ids::PaymentNo;
use secrecy::SecretString;
use url::Url;

pub mod amounts;
mod failures;
mod objects;
mod payments;
mod refunds;
mod reply;
pub mod webhooks;

pub use reply::{Cause, Reply};

/// The version whose shapes we read; without it an account's default would decide.
const API_VERSION: &str = "2024-06-20";

/// A Stripe account. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stripe {
    client: Client,
    base_url: Url,
    secret_key: SecretString,
    /// Where customers go after the hosted page or an authentication.
    return_url: Url,
}

impl Stripe {
    /// Speaks to the API below `base_url`, which ends before `/v1`.
    pub fn new(client: Client, base_url: Url, secret_key: SecretString, return_url: Url) -> Self {
        Self {
            client,
            base_url,
            secret_key,
            return_url,
        }
    }

    /// Calls are refused at the moment, because too many failed.
    pub fn is_refusing(&self) -> bool {
        self.client.breaker().is_open()
    }

    /// Leave for one call, to be taken before anything is promised.
    pub fn permit(&self) -> Result<Permit, Open> {
        self.client.breaker().permit()
    }

    fn url(&self, segments: &[&str]) -> Result<Url, CallError> {
        let mut url = self.base_url.clone();
        let no_path = |()| CallError::NotSent(NotSent::Request("the base url takes no path".to_owned()));
        url.path_segments_mut()
            .map_err(no_path)?
            .pop_if_empty()
            .push("v1")
            .extend(segments);
        Ok(url)
    }

    fn get(&self, segments: &[&str]) -> Result<Request, CallError> {
        Ok(self.authorised(self.client.get(self.url(segments)?)))
    }

    /// A POST that may be repeated: under an idempotency key, or because its effect is a state and not a deed.
    fn post(&self, segments: &[&str]) -> Result<Request, CallError> {
        Ok(self
            .authorised(self.client.post(self.url(segments)?))
            .repeatable())
    }

    fn authorised(&self, request: Request) -> Request {
        request
            .bearer(&self.secret_key)
            .header(axum::http::HeaderName::from_static("stripe-version"), API_VERSION)
    }

    fn returning(&self, payment_no: PaymentNo) -> String {
        let mut url = self.return_url.clone();
        url.query_pairs_mut()
            .append_pair("payment_no", &payment_no.to_string());
        url.into()
    }
}

/// Sends with the breaker's leave that the caller has, or asks for it now.
async fn send(request: Request, permit: Option<Permit>) -> Result<Answer, CallError> {
    match permit {
        Some(permit) => request.with_permit(permit).send().await,
        None => request.send().await,
    }
}

/// The header that makes a POST safe to repeat.
const IDEMPOTENCY_KEY: axum::http::HeaderName = axum::http::HeaderName::from_static("idempotency-key");
