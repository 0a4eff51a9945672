//! The one HTTP client of the simulator: for outgoing webhooks and for demo traffic.

use std::time::Duration;

/// Builds a client that follows no redirects, uses no proxy and gives up after `timeout`, body included.
#[expect(
    clippy::disallowed_methods,
    reason = "a PSP, a bank and a merchant's shop are not services of ours: no breaker of ours may help them"
)]
pub(crate) fn build(timeout: Duration) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(2))
        .timeout(timeout)
        .pool_max_idle_per_host(32)
        .build()
}
