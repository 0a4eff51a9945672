//! The gateway's own settings, beside those that every service has.

use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

/// All of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[psp]`
    pub psp: Psp,
    /// `[tokens]`
    pub tokens: Tokens,
    /// `[secrets]`
    pub secrets: Secrets,
    /// `[payments]`
    pub payments: Payments,
}

/// `[psp]`: who charges.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Psp {
    /// `[psp.stripe]`
    pub stripe: Stripe,
}

/// `[psp.stripe]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stripe {
    /// Where the API is, up to and without `/v1`.
    pub base_url: Url,
    /// The account's secret key.
    pub secret_key: SecretString,
    /// Secrets of the webhook endpoint; two while it is rolled over. Without one, every webhook is refused.
    #[serde(default)]
    pub webhook_secrets: Vec<SecretString>,
}

/// `[tokens]`: merchants' Bearer tokens for the other services.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// `iss`; the other services trust it.
    pub issuer: String,
    /// `aud`.
    #[serde(default = "Tokens::default_audience")]
    pub audience: String,
    /// Life of a token.
    #[serde(default = "Tokens::default_ttl_seconds")]
    pub ttl_seconds: u32,
}

/// `[secrets]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// 64 hexadecimal digits: what secrets and customers' addresses are encrypted with.
    pub master_key: SecretString,
}

/// `[payments]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payments {
    /// A payment that is open for longer is closed, with the PSP's confirmation.
    #[serde(default = "Payments::default_expire_after_seconds")]
    pub expire_after_seconds: u32,
    /// How often to look for payments whose outcome is open.
    #[serde(default = "Payments::default_sweep_interval_ms")]
    pub sweep_interval_ms: u64,
    /// How long a payment is left to whoever asks the PSP about it: longer than the 30 s that a call may take.
    #[serde(default = "Payments::default_claim_seconds")]
    pub claim_seconds: u32,
    /// Where customers go after the PSP's page; `payment_no` is appended.
    pub return_url: Url,
}

impl Tokens {
    fn default_audience() -> String {
        "payments-platform".to_owned()
    }

    fn default_ttl_seconds() -> u32 {
        900
    }
}

impl Payments {
    fn default_expire_after_seconds() -> u32 {
        6 * 3600
    }

    fn default_sweep_interval_ms() -> u64 {
        1000
    }

    fn default_claim_seconds() -> u32 {
        40
    }
}
