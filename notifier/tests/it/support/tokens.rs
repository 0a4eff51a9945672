//! Two issuers of tokens: the gateway for merchants, and one for staff. Both use the one key below, which is for tests.

use axum::{Json, Router, routing::get};
use eventing::Clock;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use platform::auth::TokenVerifier;
use platform::client::{Client, Settings};
use platform::config::{PrincipalKind, Trust};
use schemas::MerchantId;
use serde_json::json;

use super::receiver::listen;

const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg486wEsmETR3M6R5+
DaaYHBuuc+VvDU87hPxZT9So3r+hRANCAASg4acP/yi6oKMrQhdkUYtFO2b3hfjd
d4rhkKi3cnPX5NXTiBzZWRBPGTXOuJe3R04UgTikqFkUCNnC7jSabcp5
-----END PRIVATE KEY-----";

/// A verifier that trusts both issuers.
pub(crate) async fn verifier(clock: Clock) -> TokenVerifier {
    let key = json!({
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "test",
        "x": "oOGnD_8ouqCjK0IXZFGLRTtm94X43XeK4ZCot3Jz1-Q",
        "y": "1dOIHNlZEE8ZNc64l7dHThSBOKSoWRQI2cLuNJptynk",
    });
    let keys = json!({ "keys": [key] });
    let url = listen(Router::new().route("/jwks.json", get(async move || Json(keys)))).await;
    let trust = |issuer: &str, principal| Trust {
        issuer: issuer.to_owned(),
        jwks_url: format!("{url}/jwks.json").parse().unwrap(),
        audience: "payments-platform".to_owned(),
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
        clock,
    )
}

pub(crate) fn merchant(merchant_id: MerchantId) -> String {
    token("gateway", &merchant_id.to_string())
}

pub(crate) fn staff() -> String {
    token("staff", "staff_alice")
}

fn token(issuer: &str, subject: &str) -> String {
    let claims = json!({
        "iss": issuer, "sub": subject, "aud": "payments-platform", "exp": 4_000_000_000_u64, "roles": ["operator"],
    });
    let header = Header {
        kid: Some("test".to_owned()),
        ..Header::new(Algorithm::ES256)
    };
    encode(
        &header,
        &claims,
        &EncodingKey::from_ec_pem(PRIVATE_KEY.as_bytes()).unwrap(),
    )
    .unwrap()
}
