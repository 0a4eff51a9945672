//! Outgoing HTTP: every call has a deadline over the whole exchange, a breaker, bounded answers, and carries the trace.
//!
//! The one thing to get right with money is what an error means. [`CallError::NotSent`] is proof that the other side saw
//! nothing; after [`CallError::Unknown`] it may have done everything, and only asking again tells. An answer is an answer,
//! whatever its status.
//!
//! Redirects are not followed and proxies of the environment are not used: a call goes where it is configured to go.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use url::Url;

mod address;
mod answer;
mod error;
mod exchange;
mod request;
mod retry;

pub use address::{AddressPolicy, Forbidden, Lookup, LookupFunction, Network, NetworkError};
pub use answer::Answer;
pub use error::{CallError, ClientError, NotSent, Unknown};
pub use request::Request;

use crate::breaker::{Breaker, Breakers};

/// Calls one destination, or with [`Client::for_endpoint`] many of one kind. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    destination: &'static str,
    settings: Arc<Settings>,
    breaker: Breaker,
    endpoints: Breakers,
}

/// Bounds on a client's calls. The defaults are those of the platform.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Over the whole exchange: connecting, all retries, and the answer's body. 30 s.
    pub deadline: Duration,
    /// To get a connection; a failure here is proof that nothing was sent. 5 s.
    pub connect_timeout: Duration,
    /// Times that a request which is safe to repeat is sent again. 3.
    pub max_retries: u32,
    /// A longer answer is refused. 1 MiB.
    pub max_answer_bytes: usize,
    /// Where connections may go. Anywhere.
    pub addresses: AddressPolicy,
    /// Who looks names up. The system.
    pub lookup: Lookup,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            max_retries: 3,
            max_answer_bytes: 1024 * 1024,
            addresses: AddressPolicy::Any,
            lookup: Lookup::System,
        }
    }
}

impl Client {
    /// A client for `destination`, which is its name in metrics, logs and spans.
    pub fn new(destination: &'static str, settings: Settings) -> Result<Self, ClientError> {
        let resolver = address::Resolver {
            policy: settings.addresses.clone(),
            lookup: settings.lookup.clone(),
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the guarded client that the others are to use"
        )]
        let http = reqwest::Client::builder()
            .connect_timeout(settings.connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("payments-platform/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(resolver)
            .build()?;
        Ok(Self {
            http,
            destination,
            settings: Arc::new(settings),
            breaker: Breaker::new(destination),
            endpoints: Breakers::new(destination),
        })
    }

    /// The same client with the breaker of one endpoint (a host, a merchant's URL), kept apart from the others'.
    #[must_use]
    pub fn for_endpoint(&self, endpoint: &str) -> Self {
        Self {
            breaker: self.endpoints.of(endpoint),
            ..self.clone()
        }
    }

    /// The breaker of this destination.
    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// A GET, which is safe to repeat by its definition.
    pub fn get(&self, url: Url) -> Request {
        self.request(Method::GET, url).repeatable()
    }

    /// A POST, sent once unless it says that it is [`Request::repeatable`].
    pub fn post(&self, url: Url) -> Request {
        self.request(Method::POST, url)
    }

    /// A request of any method, sent once unless it says that it is [`Request::repeatable`].
    pub fn request(&self, method: Method, url: Url) -> Request {
        Request::new(self.clone(), method, url)
    }
}
