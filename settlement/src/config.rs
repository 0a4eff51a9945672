//! Settings of this service alone; those that every service has are the platform's.

use std::time::Duration;

use jiff::SignedDuration;
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use crate::domain::terms::{Terms, TermsError};

/// The service's own sections.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The bank that pays out.
    pub bank: Bank,
    /// What a charge costs a merchant for whom no terms were set.
    #[serde(default)]
    pub fees: Fees,
    /// How payouts are followed up.
    #[serde(default)]
    pub payouts: Payouts,
}

/// `[bank]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bank {
    /// What precedes `/v1/payouts`, e.g. `https://api.bank.example`.
    pub base_url: Url,
    /// Sent as Bearer token.
    pub api_key: SecretString,
    /// The bank signs its webhooks with it.
    pub webhook_secret: SecretString,
}

/// `[fees]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fees {
    /// Hundredths of a percent.
    pub basis_points: i64,
    /// Minor units of the charge's currency.
    pub fixed_minor: i64,
}

impl Default for Fees {
    /// 2.9 % and 30 minor units: a usual price for cards.
    fn default() -> Self {
        Self {
            basis_points: 290,
            fixed_minor: 30,
        }
    }
}

impl Fees {
    /// As terms, if they are possible.
    pub fn terms(self) -> Result<Terms, FeesError> {
        Terms::new(self.basis_points, self.fixed_minor).map_err(FeesError)
    }
}

/// The default fees are impossible.
#[derive(Debug, thiserror::Error)]
#[error("the settings in [fees] are not acceptable: {0}")]
pub struct FeesError(#[source] TermsError);

/// `[payouts]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Payouts {
    /// How often the worker looks for payouts that are due; also the first distance between two looks at the same one, which
    /// doubles from there.
    pub sweep_interval_ms: u32,
    /// How long a payout that one replica looks at is left alone by the others, and so how long one that died with it waits. Too
    /// short only makes the bank get the same order twice under one key.
    pub claim_seconds: u32,
}

impl Default for Payouts {
    /// A call to the bank has 30 s.
    fn default() -> Self {
        Self {
            sweep_interval_ms: 1_000,
            claim_seconds: 40,
        }
    }
}

impl Payouts {
    /// How often to look, at least a millisecond apart.
    pub fn sweep_interval(self) -> Duration {
        Duration::from_millis(u64::from(self.sweep_interval_ms.max(1)))
    }

    /// How long a look is claimed.
    pub fn claim(self) -> SignedDuration {
        SignedDuration::from_secs(i64::from(self.claim_seconds))
    }
}
