//! A merchant's signed request.

use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use bytes::Bytes;
use platform::Problem;
use platform::http::RawBody;
use platform::signature::Signature;
use schemas::ids::{ApiKeyId, MerchantId};
use sha2::{Digest, Sha256};

use crate::domain::merchant::MerchantStatus;
use crate::domain::text::IdempotencyKey;
use crate::error::Refusal;
use crate::http::App;
use crate::store::api_keys;

/// A request whose signature by an active key of an active merchant was verified.
#[derive(Debug, Clone)]
pub struct SignedMerchant {
    /// Who signed.
    pub merchant_id: MerchantId,
    /// The path as it was signed, without the query.
    pub path: String,
    /// The key that was signed along, if there is one.
    pub idempotency_key: Option<IdempotencyKey>,
    /// The body as it was signed.
    pub body: Bytes,
}

impl FromRequest<App> for SignedMerchant {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let RawBody(body) = RawBody::from_request(Request::from_parts(parts.clone(), body), app).await?;
        let merchant_id = verify(app, &parts, &body).await.map_err(Refusal::into_problem)?;
        let idempotency_key = idempotency_key(&parts.headers).map_err(Refusal::into_problem)?;
        Ok(Self {
            merchant_id,
            path: parts.uri.path().to_owned(),
            idempotency_key,
            body,
        })
    }
}

/// The merchant who signed the request.
pub(super) async fn verify(app: &App, parts: &Parts, body: &[u8]) -> Result<MerchantId, Refusal> {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(api_key), Some(signature)) = (header("x-api-key"), header("x-signature")) else {
        return Err(Refusal::Unsigned);
    };
    let api_key: ApiKeyId = api_key.parse().map_err(|_| Refusal::KeyUnknown)?;
    let key = api_keys::get(&app.charging.pool, api_key)
        .await?
        .ok_or(Refusal::KeyUnknown)?;
    let secret = app
        .secrets
        .cipher
        .open(api_key.to_string().as_bytes(), &key.secret)?;
    let signature: Signature = signature.parse()?;
    let signed = canonical(&signature, parts, body);
    signature.verify([secret], app.charging.clock.now(), signed.as_bytes())?;
    // Only who knows the secret is told how the key and the merchant stand.
    if key.is_revoked {
        return Err(Refusal::KeyRevoked);
    }
    match key.merchant_status {
        MerchantStatus::Active => Ok(key.merchant_id),
        MerchantStatus::Suspended => Err(Refusal::Suspended),
    }
}

fn canonical(signature: &Signature, parts: &Parts, body: &[u8]) -> String {
    let path_and_query = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let key = parts
        .headers
        .get("idempotency-key")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let digest = hex::encode(Sha256::digest(body));
    format!(
        "{}\n{}\n{path_and_query}\n{key}\n{digest}",
        signature.timestamp_seconds(),
        parts.method
    )
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Refusal> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    // What is not even text fails as the text that it is not.
    let text = value.to_str().unwrap_or("\u{0}");
    let key = IdempotencyKey::parse(text).map_err(|error| Refusal::Text {
        field: "Idempotency-Key",
        error,
    })?;
    Ok(Some(key))
}
