//! The staff's token issuer.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://staff.example";

pub(crate) struct StaffIssuer {
    key: EncodingKey,
    pub(crate) jwks: Value,
}

impl StaffIssuer {
    pub(crate) fn new() -> Self {
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref()).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "staff-1",
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        });
        Self {
            key: EncodingKey::from_ec_der(document.as_ref()),
            jwks: json!({ "keys": [jwk] }),
        }
    }

    pub(crate) fn token(&self, roles: &[&str], now: Timestamp) -> String {
        let claims = json!({
            "iss": ISSUER, "aud": super::world::AUDIENCE, "sub": "staff_alice", "name": "Alice", "roles": roles,
            "exp": now.as_second() + 600,
        });
        let header = Header {
            kid: Some("staff-1".to_owned()),
            ..Header::new(Algorithm::ES256)
        };
        jsonwebtoken::encode(&header, &claims, &self.key).unwrap()
    }
}
