//! The token issuer of the platform's staff: an OIDC issuer without a login page. Whoever can reach it gets a token
//! for any name, which is why it belongs on loopback only.

mod key;

use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) use self::key::KeyError;
use self::key::SigningKey;
use crate::clock;
use crate::control::order::Order;

const DEFAULT_TTL_SECONDS: i64 = 3600;
/// A demo runs for days; nothing needs a longer token.
const MAX_TTL_SECONDS: i64 = 30 * 24 * 3600;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Issuer(Arc<Inner>);

struct Inner {
    key: SigningKey,
    /// `iss` of every token, and the base of the issuer's URLs.
    url: String,
    audience: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenRequest {
    subject: String,
    name: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
    ttl_seconds: Option<i64>,
}

#[derive(Debug, Serialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: String,
    name: String,
    roles: Vec<String>,
}

impl Issuer {
    /// With a state directory the key is kept there, so that tokens outlive a restart.
    pub(crate) fn open(state: Option<&Path>, public_url: &str, audience: String) -> Result<Self, KeyError> {
        let key = SigningKey::load_or_generate(state)?;
        Ok(Self(Arc::new(Inner {
            key,
            url: format!("{public_url}/issuer"),
            audience,
        })))
    }

    pub(crate) fn routes(&self) -> Router {
        Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks.json", get(jwks))
            .route("/token", post(token))
            .with_state(self.clone())
    }
}

async fn discovery(State(issuer): State<Issuer>) -> Json<Value> {
    let url = &issuer.0.url;
    Json(json!({
        "issuer": url,
        "jwks_uri": format!("{url}/jwks.json"),
        "token_endpoint": format!("{url}/token"),
        "id_token_signing_alg_values_supported": ["ES256"],
        "subject_types_supported": ["public"],
        "response_types_supported": ["token"],
    }))
}

async fn jwks(State(issuer): State<Issuer>) -> Json<Value> {
    Json(json!({ "keys": [issuer.0.key.jwk()] }))
}

async fn token(State(issuer): State<Issuer>, Order(request): Order<TokenRequest>) -> Response {
    let ttl_seconds = request.ttl_seconds.unwrap_or(DEFAULT_TTL_SECONDS);
    if !(1..=MAX_TTL_SECONDS).contains(&ttl_seconds) || request.subject.is_empty() {
        let error = format!("expected a subject and ttl_seconds between 1 and {MAX_TTL_SECONDS}");
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response();
    }
    let now = clock::unix_seconds();
    let claims = Claims {
        iss: issuer.0.url.clone(),
        name: request.name.unwrap_or_else(|| request.subject.clone()),
        sub: request.subject,
        aud: issuer.0.audience.clone(),
        iat: now,
        nbf: now,
        exp: now + ttl_seconds,
        jti: Uuid::now_v7().to_string(),
        roles: request.roles,
    };
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some(issuer.0.key.id().to_owned());
    let signed = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ec_der(issuer.0.key.pkcs8()));
    match signed {
        Ok(access_token) => {
            let token =
                json!({ "access_token": access_token, "token_type": "Bearer", "expires_in": ttl_seconds });
            Json(token).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "a token could not be signed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
