//! Requests as merchants, staff and the PSP send them.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use jiff::Timestamp;
use platform::signature::Signature;
use schemas::ids::{ApiKeyId, MerchantId};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tower::ServiceExt;

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Value,
}

impl Reply {
    /// The last part of the problem's type.
    pub(crate) fn problem(&self) -> &str {
        self.json["type"]
            .as_str()
            .unwrap_or_default()
            .rsplit(':')
            .next()
            .unwrap_or_default()
    }

    pub(crate) fn text(&self, field: &str) -> String {
        self.json[field]
            .as_str()
            .unwrap_or_else(|| panic!("no {field} in {}", self.json))
            .to_owned()
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.json);
        self
    }

    #[track_caller]
    pub(crate) fn refused(&self, status: u16, problem: &str) {
        assert_eq!(
            (self.status.as_u16(), self.problem()),
            (status, problem),
            "{}",
            self.json
        );
    }

    pub(crate) fn is_replayed(&self) -> bool {
        self.headers
            .get("idempotent-replayed")
            .is_some_and(|value| value == "true")
    }
}

/// A merchant and its key.
#[derive(Clone)]
pub(crate) struct Signer {
    pub(crate) merchant_id: MerchantId,
    pub(crate) api_key: ApiKeyId,
    pub(crate) secret: String,
}

/// A request to be signed.
#[derive(Clone)]
pub(crate) struct Unsigned<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) key: Option<&'a str>,
    pub(crate) body: String,
}

impl Signer {
    pub(crate) fn sign(&self, request: &Unsigned<'_>, now: Timestamp) -> Request<Body> {
        let digest = hex::encode(Sha256::digest(&request.body));
        let key = request.key.unwrap_or_default();
        let canonical = |seconds| {
            format!("{seconds}\n{}\n{}\n{key}\n{digest}", request.method, request.path).into_bytes()
        };
        let signature = Signature::sign(self.secret.as_bytes(), now, canonical);
        let mut builder = Request::builder()
            .method(request.method)
            .uri(request.path)
            .header("x-api-key", self.api_key.to_string())
            .header("x-signature", signature.to_string())
            .header("content-type", "application/json");
        if let Some(key) = request.key {
            builder = builder.header("idempotency-key", key);
        }
        builder.body(Body::from(request.body.clone())).unwrap()
    }
}

/// Sends a request to a router.
pub(crate) async fn send(router: Router, request: Request<Body>) -> Reply {
    let response = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Reply {
        status: parts.status,
        headers: parts.headers,
        json,
    }
}
