//! Who signs tokens: the gateway for merchants, the staff issuer for people.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use eventing::Clock;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use platform::auth::TokenVerifier;
use platform::client::{Client, Settings};
use platform::config::{PrincipalKind, Trust};
use schemas::ids::MerchantId;
use serde_json::{Value, json};
use url::Url;

const AUDIENCE: &str = "payments-platform";

/// Both issuers, for short with the same key.
pub(crate) struct Issuers {
    key: EncodingKey,
    jwks: Value,
}

impl Issuers {
    pub(crate) fn new() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = key.public_key().as_ref();
        let coordinate = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let jwks = json!({"keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "test",
            "x": coordinate(&point[1..33]), "y": coordinate(&point[33..65]),
        }]});
        Self {
            key: EncodingKey::from_ec_der(key.to_pkcs8v1().unwrap().as_ref()),
            jwks,
        }
    }

    pub(crate) fn jwks(&self) -> Value {
        self.jwks.clone()
    }

    pub(crate) fn verifier(outside: &Url, clock: &Clock) -> TokenVerifier {
        let trust = |issuer: &str, principal| Trust {
            issuer: issuer.to_owned(),
            jwks_url: outside.join("jwks.json").unwrap(),
            audience: AUDIENCE.to_owned(),
            algorithms: vec![Algorithm::ES256],
            principal,
        };
        let trusted = [
            trust("gateway", PrincipalKind::Merchant),
            trust("staff", PrincipalKind::Staff),
        ];
        TokenVerifier::new(
            &trusted,
            &Client::new("token-issuer", Settings::default()).unwrap(),
            clock.clone(),
        )
    }

    pub(crate) fn merchant(&self, merchant_id: MerchantId, clock: &Clock) -> String {
        self.sign(&json!({"iss": "gateway", "sub": merchant_id}), clock)
    }

    pub(crate) fn staff(&self, subject: &str, roles: &[&str], clock: &Clock) -> String {
        self.sign(
            &json!({"iss": "staff", "sub": subject, "name": subject, "roles": roles}),
            clock,
        )
    }

    fn sign(&self, claims: &Value, clock: &Clock) -> String {
        let mut claims = claims.clone();
        claims["aud"] = AUDIENCE.into();
        claims["exp"] = (clock.now().as_second() + 3600).into();
        let header = Header {
            kid: Some("test".to_owned()),
            ..Header::new(Algorithm::ES256)
        };
        jsonwebtoken::encode(&header, &claims, &self.key).unwrap()
    }
}
