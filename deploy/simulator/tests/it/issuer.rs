//! Staff tokens: verifiable with the published key, and only with it.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use crate::support::{World, answer, ok};

async fn verify(world: &World, token: &str) -> Result<Value, jsonwebtoken::errors::Error> {
    let keys: JwkSet = serde_json::from_value(world.control("/issuer/jwks.json").await).unwrap();
    let kid = jsonwebtoken::decode_header(token)?.kid.unwrap();
    let Some(key) = keys.find(&kid) else {
        return Err(jsonwebtoken::errors::ErrorKind::InvalidSignature.into());
    };
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&["payments-platform"]);
    validation.set_issuer(&[world.url("/issuer")]);
    Ok(jsonwebtoken::decode::<Value>(token, &DecodingKey::from_jwk(key)?, &validation)?.claims)
}

async fn token(world: &World) -> String {
    let request =
        json!({ "subject": "staff_alice", "name": "Alice", "roles": ["operator"], "ttl_seconds": 60 });
    let issued = ok(world.client.post(world.url("/issuer/token")).json(&request)).await;
    assert_eq!(
        (&issued["token_type"], &issued["expires_in"]),
        (&"Bearer".into(), &60.into())
    );
    issued["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_token_carries_what_was_asked_for_and_verifies_with_the_published_key() {
    let world = World::start().await;
    let claims = verify(&world, &token(&world).await).await.unwrap();
    assert_eq!(
        (&claims["sub"], &claims["name"], &claims["roles"]),
        (&"staff_alice".into(), &"Alice".into(), &json!(["operator"]))
    );
    let discovery = world.control("/issuer/.well-known/openid-configuration").await;
    assert_eq!(discovery["issuer"], world.url("/issuer"));
    assert_eq!(discovery["jwks_uri"], world.url("/issuer/jwks.json"));
    let nonsense = world
        .client
        .post(world.url("/issuer/token"))
        .json(&json!({ "subject": "a", "admin": true }));
    assert_eq!(answer(nonsense).await.0, 400);
}

#[tokio::test]
async fn another_issuers_token_does_not_verify() {
    let (one, other) = (World::start().await, World::start().await);
    assert!(verify(&one, &token(&other).await).await.is_err());
}

#[tokio::test]
async fn the_key_outlives_a_restart() {
    let dir = std::env::temp_dir().join(format!("simulator-key-{}", uuid::Uuid::now_v7()));
    let state = format!("--state={}", dir.display());
    let world = World::start_with(&[&state]).await;
    let keys = world.control("/issuer/jwks.json").await;
    world.simulator.stop().await;

    let world = World::start_with(&[&state]).await;

    assert_eq!(world.control("/issuer/jwks.json").await, keys);
    std::fs::remove_dir_all(dir).unwrap();
}
