//! How much traffic, and against what.

use std::time::Duration;

use clap::Args;
use url::Url;

use super::TrafficError;

/// Where the services are, who the merchant is, and how much traffic to make.
#[derive(Debug, Clone, Args)]
pub struct TrafficSettings {
    /// Base URL of the payment gateway.
    #[arg(long, env = "GATEWAY_URL")]
    pub gateway_url: Url,
    /// Base URL of the settlement service.
    #[arg(long, env = "SETTLEMENT_URL")]
    pub settlement_url: Url,
    /// Base URL of `simulator serve`: staff tokens, hosted pages, the receiver of notices.
    #[arg(long, env = "SIMULATOR_URL")]
    pub simulator_url: Url,
    /// The merchant whose shop this is, `mer_…`.
    #[arg(long, env = "MERCHANT_ID")]
    pub merchant_id: String,
    /// The merchant's key, `key_…`.
    #[arg(long, env = "API_KEY")]
    pub api_key: String,
    /// The key's secret.
    #[arg(long, env = "API_SECRET", hide_env_values = true)]
    pub api_secret: String,
    /// At most so many payments are started in a minute, evenly spaced; 1 to 60,000.
    #[arg(long, env = "SIMULATOR_TRAFFIC_PAYMENTS_PER_MINUTE", default_value_t = 60)]
    pub payments_per_minute: u32,
    /// At most so many payments are under way; 1 to 1,000.
    #[arg(long, env = "SIMULATOR_TRAFFIC_IN_FLIGHT", default_value_t = 8)]
    pub in_flight: usize,
    /// Of a hundred payments so many are refunded, if they succeed.
    #[arg(long, env = "SIMULATOR_TRAFFIC_REFUND_PERCENT", default_value_t = 10)]
    pub refund_percent: u32,
    /// ISO 4217 codes, separated by commas.
    #[arg(
        long,
        env = "SIMULATOR_TRAFFIC_CURRENCIES",
        default_value = "USD,EUR",
        value_delimiter = ','
    )]
    pub currencies: Vec<String>,
    /// Seconds between two settlements; 0 for none.
    #[arg(long, env = "SIMULATOR_TRAFFIC_SETTLE_EVERY_SECONDS", default_value_t = 60)]
    pub settle_every_seconds: u64,
    /// Stop after so many payments; by default never.
    #[arg(long, env = "SIMULATOR_TRAFFIC_PAYMENTS")]
    pub payments: Option<u64>,
}

impl TrafficSettings {
    pub(super) fn check(&self) -> Result<(), TrafficError> {
        if !(1..=60_000).contains(&self.payments_per_minute) {
            return Err(TrafficError::Settings(
                "--payments-per-minute must be between 1 and 60000",
            ));
        }
        if !(1..=1_000).contains(&self.in_flight) {
            return Err(TrafficError::Settings("--in-flight must be between 1 and 1000"));
        }
        if self.refund_percent > 100 {
            return Err(TrafficError::Settings(
                "--refund-percent must be between 0 and 100",
            ));
        }
        if self.currencies.iter().any(|code| code.len() != 3) || self.currencies.is_empty() {
            return Err(TrafficError::Settings(
                "--currencies must be ISO 4217 codes separated by commas",
            ));
        }
        Ok(())
    }

    /// Between the starts of two payments.
    pub(super) fn pause(&self) -> Duration {
        Duration::from_mins(1) / self.payments_per_minute.max(1)
    }
}

/// `base` without a slash at its end, so that a path can follow.
pub(super) fn base(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}
