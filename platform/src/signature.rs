//! HMAC-SHA256 signatures in Stripe's form, `t=<unix seconds>,v1=<hex>`: webhooks of the PSP and the bank, and merchants'
//! requests, which sign a canonical string of their own.
//!
//! Verification takes constant time over the digests, and a timestamp outside the tolerance is refused before anything is
//! compared, so that an old signature is worth nothing.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;

/// How far a signature's time may be from ours, in seconds, either way.
pub const TOLERANCE_SECONDS: i64 = 300;

/// More digests than this in one header are not looked at: a sender that rotates keys sends two.
const MAX_DIGESTS: usize = 8;

/// A parsed signature header. Digests of unknown versions are skipped, as Stripe's documents ask for.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature {
    timestamp_seconds: i64,
    digests: Vec<Vec<u8>>,
}

/// Why a signature is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The header is not of the form `t=…,v1=…`.
    #[error("expected a signature of the form t=<unix seconds>,v1=<hex>")]
    Malformed,
    /// Signed too long ago, or in the future.
    #[error("the signature's time is more than {TOLERANCE_SECONDS} s away")]
    Stale,
    /// None of the digests was made with one of the secrets over these bytes.
    #[error("the signature does not match")]
    Mismatch,
}

impl Signature {
    /// Signs the bytes that `payload` makes of the time: sender's side.
    pub fn sign(secret: &[u8], now: Timestamp, payload: impl FnOnce(i64) -> Vec<u8>) -> Self {
        let timestamp_seconds = now.as_second();
        let digest = digest(secret, &payload(timestamp_seconds));
        Self {
            timestamp_seconds,
            digests: vec![digest],
        }
    }

    /// Signs a webhook body as Stripe does: the digest is over `t.body`.
    pub fn sign_webhook(secret: &[u8], now: Timestamp, body: &[u8]) -> Self {
        Self::sign(secret, now, |seconds| webhook_payload(seconds, body))
    }

    /// The time of signing as the header states it, which is part of what is signed.
    pub fn timestamp_seconds(&self) -> i64 {
        self.timestamp_seconds
    }

    /// Accepts if one of the digests was made with one of the `secrets` over `payload`, not long ago.
    pub fn verify<S: AsRef<[u8]>>(
        &self,
        secrets: impl IntoIterator<Item = S>,
        now: Timestamp,
        payload: &[u8],
    ) -> Result<(), SignatureError> {
        if now.as_second().abs_diff(self.timestamp_seconds) > TOLERANCE_SECONDS.unsigned_abs() {
            return Err(SignatureError::Stale);
        }
        let matches = |secret: S| {
            self.digests
                .iter()
                .any(|digest| is_digest(secret.as_ref(), payload, digest))
        };
        if secrets.into_iter().any(matches) {
            Ok(())
        } else {
            Err(SignatureError::Mismatch)
        }
    }

    /// Verifies a webhook as Stripe signs it: the digest is over `t.body`.
    pub fn verify_webhook<S: AsRef<[u8]>>(
        &self,
        secrets: impl IntoIterator<Item = S>,
        now: Timestamp,
        body: &[u8],
    ) -> Result<(), SignatureError> {
        self.verify(secrets, now, &webhook_payload(self.timestamp_seconds, body))
    }
}

impl FromStr for Signature {
    type Err = SignatureError;

    fn from_str(header: &str) -> Result<Self, SignatureError> {
        let mut timestamp_seconds = None;
        let mut digests = Vec::new();
        for part in header.split(',') {
            let (key, value) = part.trim().split_once('=').ok_or(SignatureError::Malformed)?;
            match key {
                "t" => timestamp_seconds = Some(value.parse().map_err(|_| SignatureError::Malformed)?),
                "v1" => digests.push(hex::decode(value).map_err(|_| SignatureError::Malformed)?),
                _ => {}
            }
        }
        let timestamp_seconds = timestamp_seconds.ok_or(SignatureError::Malformed)?;
        if digests.is_empty() || digests.len() > MAX_DIGESTS {
            return Err(SignatureError::Malformed);
        }
        Ok(Self {
            timestamp_seconds,
            digests,
        })
    }
}

/// The header's text.
impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t={}", self.timestamp_seconds)?;
        self.digests
            .iter()
            .try_for_each(|digest| write!(f, ",v1={}", hex::encode(digest)))
    }
}

/// A signature lets its holder repeat the request for a while: it stays out of logs.
impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature {{ t: {} }}", self.timestamp_seconds)
    }
}

fn webhook_payload(seconds: i64, body: &[u8]) -> Vec<u8> {
    let mut payload = format!("{seconds}.").into_bytes();
    payload.extend_from_slice(body);
    payload
}

fn digest(secret: &[u8], payload: &[u8]) -> Vec<u8> {
    keyed(secret)
        .chain_update(payload)
        .finalize()
        .into_bytes()
        .to_vec()
}

fn is_digest(secret: &[u8], payload: &[u8], digest: &[u8]) -> bool {
    keyed(secret).chain_update(payload).verify_slice(digest).is_ok()
}

#[expect(
    clippy::expect_used,
    reason = "HMAC takes keys of any length: its constructor's error cannot happen"
)]
fn keyed(secret: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(secret).expect("hmac accepts a key of any length")
}
