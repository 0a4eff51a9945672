//! Signing a merchant's request, as any merchant's own program does.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// What a merchant signs a request with.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// `key_…`, sent with each request.
    pub id: String,
    /// Never sent.
    pub secret: String,
}

/// What is signed of a request.
#[derive(Debug, Clone, Copy)]
pub struct Unsigned<'a> {
    /// In upper case.
    pub method: &'a str,
    /// Path and query, as they go over the wire.
    pub target: &'a str,
    /// `Idempotency-Key`, or empty.
    pub idempotency_key: &'a str,
    /// The body, or nothing.
    pub body: &'a [u8],
}

impl ApiKey {
    /// The value of `X-Signature` for a request sent now.
    pub fn sign(&self, request: Unsigned<'_>) -> String {
        self.sign_at(unix_seconds(), request)
    }

    /// As [`ApiKey::sign`], for a request sent at this time, in seconds.
    ///
    /// # Panics
    /// Never: HMAC takes keys of any length.
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    pub fn sign_at(&self, unix_seconds: u64, request: Unsigned<'_>) -> String {
        let body = hex::encode(Sha256::digest(request.body));
        let text = format!(
            "{unix_seconds}\n{}\n{}\n{}\n{body}",
            request.method, request.target, request.idempotency_key
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).expect("HMAC takes any key");
        mac.update(text.as_bytes());
        format!("t={unix_seconds},v1={}", hex::encode(mac.finalize().into_bytes()))
    }
}

/// The time that goes into signatures.
#[expect(
    clippy::disallowed_methods,
    reason = "a client of the platform has the system's clock, as merchants' programs do"
)]
pub fn unix_seconds() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_covers_time_method_target_key_and_body() {
        let key = ApiKey {
            id: "key_x".into(),
            secret: "secret".into(),
        };
        let request = Unsigned {
            method: "POST",
            target: "/api/v1/payments?x=1",
            idempotency_key: "k",
            body: b"{}",
        };
        // printf '1700000000\nPOST\n/api/v1/payments?x=1\nk\n%s' "$(printf '{}' | sha256sum | cut -d' ' -f1)" | openssl dgst -sha256 -hmac secret
        assert_eq!(
            key.sign_at(1_700_000_000, request),
            "t=1700000000,v1=2d758fad59003be70fc2c23987fe1affc40227e2520d45c1567ef69bcbbdca44"
        );
    }
}
