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

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"whsec_test";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_webhook_is_signed_as_stripe_does_it() {
        // Computed with: printf '1700000000.{"id":1}' | openssl dgst -sha256 -hmac whsec_test
        let expected = "t=1700000000,v1=2f441ba4b3b2d50d28a9ab9d9fd8880376ecd1eb5d0435401553f5d8d0a5dcf8";
        let signature = Signature::sign_webhook(SECRET, at(1_700_000_000), br#"{"id":1}"#);
        assert_eq!(signature.to_string(), expected);
    }

    #[test]
    fn a_signature_holds_for_its_secret_body_and_time_only() {
        let now = at(1_700_000_000);
        let sent: Signature = Signature::sign_webhook(SECRET, now, b"body")
            .to_string()
            .parse()
            .unwrap();
        assert_eq!(sent.verify_webhook([SECRET], now, b"body"), Ok(()));
        assert_eq!(
            sent.verify_webhook([SECRET], now, b"bodY"),
            Err(SignatureError::Mismatch)
        );
        assert_eq!(
            sent.verify_webhook([b"other"], now, b"body"),
            Err(SignatureError::Mismatch)
        );
        assert_eq!(
            sent.verify_webhook([b"other", SECRET as &[u8]], now, b"body"),
            Ok(()),
            "a rotated secret"
        );
        let moved: Signature = sent
            .to_string()
            .replace("t=1700000000", "t=1700000001")
            .parse()
            .unwrap();
        assert_eq!(
            moved.verify_webhook([SECRET], now, b"body"),
            Err(SignatureError::Mismatch)
        );
    }

    #[test]
    fn a_signature_is_stale_after_five_minutes_either_way() {
        let signature = Signature::sign_webhook(SECRET, at(1_000), b"");
        for (now, expected) in [
            (at(700), Ok(())),
            (at(1_300), Ok(())),
            (at(699), Err(SignatureError::Stale)),
            (at(1_301), Err(SignatureError::Stale)),
        ] {
            assert_eq!(signature.verify_webhook([SECRET], now, b""), expected, "{now}");
        }
        let hostile: Signature = format!("t={},v1=00", i64::MIN).parse().unwrap();
        assert_eq!(
            hostile.verify_webhook([SECRET], at(0), b""),
            Err(SignatureError::Stale)
        );
    }

    #[test]
    fn one_of_several_digests_is_enough_and_other_versions_are_skipped() {
        let now = at(1_000);
        let good = Signature::sign_webhook(SECRET, now, b"x").to_string();
        let digest = good.split("v1=").nth(1).unwrap();
        let header = format!("t=1000, v0=zz, v1={}, v1={digest}", "00".repeat(32));
        assert_eq!(
            header
                .parse::<Signature>()
                .unwrap()
                .verify_webhook([SECRET], now, b"x"),
            Ok(())
        );
    }

    #[test]
    fn what_has_not_the_form_is_refused() {
        let too_many = format!("t=1{}", ",v1=00".repeat(MAX_DIGESTS + 1));
        for header in [
            "",
            "t=1",
            "v1=00",
            "t=x,v1=00",
            "t=1,v1=xyz",
            "nonsense",
            &too_many,
        ] {
            assert_eq!(
                header.parse::<Signature>(),
                Err(SignatureError::Malformed),
                "{header:?}"
            );
        }
    }
}
