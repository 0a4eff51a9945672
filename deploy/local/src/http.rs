//! Calls to what this launcher starts.

use std::ops::Deref;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::RequestBuilder;
use serde::de::DeserializeOwned;

const TIMEOUT: Duration = Duration::from_secs(15);

/// A client for addresses on this machine.
#[derive(Debug, Clone)]
pub struct Http(reqwest::Client);

impl Http {
    /// A client that gives up after some seconds and goes through no proxy.
    #[expect(
        clippy::disallowed_methods,
        reason = "a tool that talks to its own children needs no breaker, and must not depend on the services' platform"
    )]
    pub fn new() -> Result<Self> {
        reqwest::Client::builder()
            .timeout(TIMEOUT)
            .no_proxy()
            .build()
            .map(Self)
            .context("no HTTP client")
    }
}

impl Deref for Http {
    type Target = reqwest::Client;

    fn deref(&self) -> &reqwest::Client {
        &self.0
    }
}

/// Sends a request and reads the JSON of a successful answer; any other answer is an error that shows it.
pub async fn answer<T: DeserializeOwned>(request: RequestBuilder) -> Result<T> {
    let response = request.send().await?;
    let (status, url) = (response.status(), response.url().clone());
    let text = response.text().await?;
    if !status.is_success() {
        bail!("{url} answered {status}: {text}");
    }
    serde_json::from_str(&text).with_context(|| format!("{url} answered {text}"))
}
