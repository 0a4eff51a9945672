//! Merchants' tokens: short, signed with ES256, verified by the other services through the JWKS.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use eventing::Clock;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use platform::secrets::CipherError;
use schemas::ids::MerchantId;
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::config;
use crate::secrets::Secrets;
use crate::store::{StoreError, signing_keys};

/// Why no token was issued.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The key could not be read or kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key does not open with the configured master key.
    #[error("the signing key cannot be opened or sealed")]
    Cipher(#[from] CipherError),
    /// No key could be made.
    #[error("no signing key could be made")]
    Generate,
    /// The token could not be signed.
    #[error("the token could not be signed")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

/// Signs tokens with the newest key. Made once at start.
pub struct TokenIssuer {
    kid: String,
    key: EncodingKey,
    config: config::Tokens,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: String,
    iat: i64,
    exp: i64,
    jti: Uuid,
}

impl TokenIssuer {
    /// Takes the newest key, and makes the first one if there is none: replicas that start together agree on it.
    pub async fn load(
        pool: &PgPool,
        secrets: &Secrets,
        clock: &Clock,
        config: config::Tokens,
    ) -> Result<Self, TokenError> {
        let stored = match signing_keys::current(pool).await? {
            Some(stored) => stored,
            None => first_key(pool, secrets, clock).await?,
        };
        let private_key = secrets.cipher.open(stored.id.as_bytes(), &stored.private_key)?;
        Ok(Self {
            key: EncodingKey::from_ec_der(&private_key),
            kid: stored.id,
            config,
        })
    }

    /// A token that says who the merchant is, and its life in seconds.
    pub fn issue(&self, merchant_id: MerchantId, clock: &Clock) -> Result<(String, u32), TokenError> {
        let issued_at = clock.now().as_second();
        let claims = Claims {
            iss: &self.config.issuer,
            aud: &self.config.audience,
            sub: merchant_id.to_string(),
            iat: issued_at,
            exp: issued_at + i64::from(self.config.ttl_seconds),
            jti: Uuid::now_v7(),
        };
        let header = Header {
            kid: Some(self.kid.clone()),
            ..Header::new(Algorithm::ES256)
        };
        Ok((
            jsonwebtoken::encode(&header, &claims, &self.key)?,
            self.config.ttl_seconds,
        ))
    }
}

async fn first_key(
    pool: &PgPool,
    secrets: &Secrets,
    clock: &Clock,
) -> Result<signing_keys::StoredSigningKey, TokenError> {
    let mut tx = pool.begin().await.map_err(StoreError::from)?;
    signing_keys::lock(&mut tx).await?;
    if let Some(stored) = signing_keys::current(&mut *tx).await? {
        return Ok(stored);
    }
    let kid = Uuid::now_v7().to_string();
    let (private_key, public_jwk) = generate(&kid)?;
    let sealed = secrets.cipher.seal(kid.as_bytes(), &private_key)?;
    signing_keys::insert(&mut *tx, &kid, &sealed, &public_jwk, clock.now()).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(signing_keys::StoredSigningKey {
        id: kid,
        private_key: sealed,
    })
}

/// A P-256 key: PKCS#8, and its public half as a JWK (RFC 7517, RFC 7518 §6.2).
fn generate(kid: &str) -> Result<(Vec<u8>, Value), TokenError> {
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        .map_err(|_| TokenError::Generate)?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref())
        .map_err(|_| TokenError::Generate)?;
    // An uncompressed point: 0x04, x, y (SEC 1 §2.3.3).
    let Some((4, point)) = pair
        .public_key()
        .as_ref()
        .split_first()
        .map(|(form, point)| (*form, point))
    else {
        return Err(TokenError::Generate);
    };
    let (x, y) = point.split_at_checked(32).ok_or(TokenError::Generate)?;
    let jwk = json!({
        "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid,
        "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
    });
    Ok((document.as_ref().to_vec(), jwk))
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::jwk::Jwk;
    use jsonwebtoken::{DecodingKey, Validation};
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Read {
        sub: String,
    }

    #[test]
    fn a_token_verifies_against_the_published_key_and_no_other() {
        let (private_key, jwk) = generate("k1").unwrap();
        let issuer = TokenIssuer {
            kid: "k1".into(),
            key: EncodingKey::from_ec_der(&private_key),
            config: config::Tokens {
                issuer: "gateway".into(),
                audience: "platform".into(),
                ttl_seconds: 60,
            },
        };
        let merchant_id = MerchantId::generate();
        let (token, _) = issuer.issue(merchant_id, &Clock::system()).unwrap();
        let read = |jwk: &Value| {
            let jwk: Jwk = serde_json::from_value(jwk.clone()).unwrap();
            let mut validation = Validation::new(Algorithm::ES256);
            validation.set_issuer(&["gateway"]);
            validation.set_audience(&["platform"]);
            jsonwebtoken::decode::<Read>(&token, &DecodingKey::from_jwk(&jwk).unwrap(), &validation)
        };
        assert_eq!(read(&jwk).unwrap().claims.sub, merchant_id.to_string());
        assert!(read(&generate("k1").unwrap().1).is_err());
    }
}
