//! Signing a webhook as [Standard Webhooks](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md)
//! asks: HMAC-SHA256 over `id.timestamp.body`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// A merchant's key for signing.
pub struct WebhookSecret(Vec<u8>);

/// Why a secret cannot sign. It does not repeat the secret.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSecret {
    /// The prefix says what it is.
    #[error("expected a secret that starts with whsec_")]
    Prefix,
    /// What follows is the key.
    #[error("expected base64 after whsec_")]
    Base64,
    /// The specification's bounds.
    #[error("expected a key of 24 to 64 bytes, got {0}")]
    Length(usize),
}

impl WebhookSecret {
    /// Reads `whsec_` + base64 of 24 to 64 bytes.
    pub fn parse(secret: &str) -> Result<Self, InvalidSecret> {
        let encoded = secret.strip_prefix("whsec_").ok_or(InvalidSecret::Prefix)?;
        let key = STANDARD.decode(encoded).map_err(|_| InvalidSecret::Base64)?;
        if !(24..=64).contains(&key.len()) {
            return Err(InvalidSecret::Length(key.len()));
        }
        Ok(Self(key))
    }

    /// The value of `webhook-signature`.
    pub fn sign(&self, id: &str, timestamp_seconds: i64, body: &[u8]) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            unreachable!("HMAC takes a key of any length")
        };
        mac.update(format!("{id}.{timestamp_seconds}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_example_comes_out() {
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_key_out_of_bounds_is_refused() {
        assert!(matches!(
            WebhookSecret::parse("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            Err(InvalidSecret::Prefix)
        ));
        assert!(matches!(
            WebhookSecret::parse("whsec_%%"),
            Err(InvalidSecret::Base64)
        ));
        assert!(matches!(
            WebhookSecret::parse("whsec_AAAA"),
            Err(InvalidSecret::Length(3))
        ));
    }
}
